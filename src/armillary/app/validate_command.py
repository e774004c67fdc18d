"""``armillary validate``: score the models on tables of measured runs."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from armillary.app.options import catalog_option, echo_json, json_option, write_file

if TYPE_CHECKING:
    from armillary.validation import Row, Summary

EXAMPLE = """
\b
Example:
  armillary validate training --data measured_runs.csv
  armillary validate training --data measured_runs.csv --json > score.json
"""


@click.group(epilog=EXAMPLE)
def command() -> None:
    """Score the models on measured runs; the figures are part of the docs."""


@command.command(epilog=EXAMPLE)
@click.option(
    "--data",
    required=True,
    type=click.Path(path_type=Path),
    help="CSV of measured runs, see docs/validation.md.",
)
@click.option("--rows/--no-rows", default=True, help="Print every row, or the sums only.")
@click.option(
    "--markdown", default=None, type=click.Path(path_type=Path), help="Write the sums as a docs page."
)
@json_option
@catalog_option
def training(
    data: Path, rows: bool, markdown: Path | None, as_json: bool, catalogs: tuple[Path, ...]
) -> None:
    """Score step time: error per row and in sum, by chip, kind, scale and source."""
    from armillary import catalog as catalog_room
    from armillary.app.console import progress
    from armillary.validation import read_table, summarise, validate_training

    known = catalog_room.load(*catalogs)
    table = read_table(data)
    with progress("evaluating rows") as step:
        done = [0]

        def tick() -> None:
            done[0] += 1
            step(done[0], len(table))

        results = validate_training(table, known, progress=tick)
    scored = [r for r in results if r.scored]
    if markdown is not None:
        write_file(markdown, _markdown(scored))
        click.echo(f"wrote {markdown}", err=True)
    if as_json:
        echo_json(_json(results, scored))
        return
    _print(results if rows else [], scored)
    total = summarise(scored)
    missing = sum(r.ratio is None for r in scored)
    click.echo(f"{total.n} of {total.n + missing} scored rows evaluated", err=True)


def _json(results: list[Row], scored: list[Row]) -> dict[str, Any]:
    from armillary.validation import summarise

    total = summarise(scored)
    return {
        "summary": {
            "n": total.n,
            "median_abs_error": total.median_abs_error,
            "p90_abs_error": total.p90_abs_error,
            "median_error": total.median_error,
            "kendall_tau": total.kendall_tau,
        },
        "rows": [
            {
                "id": r.id,
                "metric": r.metric,
                "measured": r.measured,
                "predicted": r.predicted,
                "assumed": list(r.assumed),
                **({"reason": r.reason} if r.predicted is None else {}),
            }
            for r in results
        ],
    }


def _groups(scored: list[Row]) -> Iterable[tuple[str, list[tuple[str, Summary]]]]:
    from armillary.validation import summarise

    yield "all", [("all scored rows", summarise(scored))]
    for title, key in (("dense or MoE", "kind"), ("chip", "chip"), ("scale", "scale"), ("source", "source")):
        labels = sorted({getattr(r, key) for r in scored})
        yield title, [(label, summarise(r for r in scored if getattr(r, key) == label)) for label in labels]


def _cells(label: str, s: Summary) -> tuple[str, ...]:
    if s.n == 0:
        return (label, "0", "-", "-", "-", "-")
    tau = "-" if s.kendall_tau is None else f"{s.kendall_tau:.2f}"
    return (
        label,
        str(s.n),
        f"{s.median_abs_error:.1%}",
        f"{s.p90_abs_error:.1%}",
        f"{s.median_error:+.1%}",
        tau,
    )


HEADINGS = ("", "rows", "median", "p90", "bias", "tau")


def _print(rows: list[Row], scored: list[Row]) -> None:
    from rich.table import Table

    from armillary.app.console import out

    console = out()
    if rows:
        table = Table(title="Rows", title_justify="left", box=None, pad_edge=False)
        for name in ("id", "metric", "measured", "predicted", "step time error", "assumed or reason"):
            table.add_column(name, justify="left" if name in ("id", "metric") else "right", overflow="fold")
        for r in rows:
            table.add_row(
                r.id,
                r.metric,
                "-" if r.measured is None else f"{r.measured:.5g}",
                "-" if r.predicted is None else f"{r.predicted:.5g}",
                "-" if r.ratio is None else f"{r.ratio - 1:+.1%}",
                r.reason or "; ".join(r.assumed),
            )
        console.print(table)
    for title, lines in _groups(scored):
        table = Table(
            title=f"Step time error, by {title}" if title != "all" else "Step time error",
            title_justify="left",
            box=None,
            pad_edge=False,
        )
        for name in HEADINGS:
            table.add_column(name, justify="left" if not name else "right")
        for label, summary in lines:
            table.add_row(*_cells(label, summary))
        console.print(table)


def _markdown(scored: list[Row]) -> str:
    from collections import Counter

    missing = Counter(r.reason for r in scored if r.ratio is None)
    lines = [
        "<!-- made by: armillary validate training --data measured_runs.csv --markdown docs/accuracy.md -->",
        "# Measured accuracy of the training model",
        "",
        "Error of predicted step time against published runs, each with the layout as its source prints it.",
        "Median and p90 are of |predicted / measured - 1|, bias is the signed median, tau Kendall's rank",
        "correlation among runs of one model on as many of one chip.",
        "",
    ]
    for title, rows in _groups(scored):
        lines += [
            f"## By {title}" if title != "all" else "## All",
            "",
            "| " + " | ".join(HEADINGS) + " |",
            "|---|" + "---:|" * (len(HEADINGS) - 1),
        ]
        lines += ["| " + " | ".join(_cells(label, s)) + " |" for label, s in rows]
        lines.append("")
    if missing:
        lines += ["## Not evaluated", ""]
        lines += [f"- {count}: {reason}" for reason, count in missing.most_common()]
        lines.append("")
    return "\n".join(lines)

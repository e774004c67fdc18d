"""``armillary validate``: score the models on tables of measurements."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from armillary.app.options import catalog_option, echo_json, json_option, make_folder
from armillary.app.writing import OutputFile, write_file

if TYPE_CHECKING:
    from armillary.app.accuracy import Lines
    from armillary.validation import Row

EXAMPLE = """
\b
Example:
  armillary validate training
  armillary validate training --data measured_runs.csv --json > score.json
  armillary validate memory --no-rows
  armillary validate collectives --no-rows
"""

Command = Callable[..., Any]


@click.group(epilog=EXAMPLE)
def command() -> None:
    """Score the models on measurements; the figures are part of the docs."""


def _shared(function: Command) -> Command:
    """Options of every score."""
    folder, file = click.Path(path_type=Path, file_okay=False), click.Path(path_type=Path)
    for option in reversed(
        (
            click.option(
                "--data", default=None, type=file, help="CSV of measurements; default: the shipped."
            ),
            click.option("--rows/--no-rows", default=True, help="Print every row, or the sums only."),
            click.option(
                "--markdown", default=None, type=OutputFile(), help="Write sums and figures as a docs page."
            ),
            click.option("--figures", default=None, type=folder, help="Write the figures as SVG files."),
            click.option("--record", is_flag=True, help="Rewrite the recorded score that tests hold."),
            json_option,
            catalog_option,
        )
    ):
        function = option(function)
    return function


@command.command(epilog=EXAMPLE)
@_shared
def training(
    data: Path | None,
    rows: bool,
    markdown: Path | None,
    figures: Path | None,
    record: bool,
    as_json: bool,
    catalogs: tuple[Path, ...],
) -> None:
    """Score step time: error per row and in sum, by chip, kind, scale and source, and growth with scale."""
    from armillary import catalog as catalog_room
    from armillary.app import accuracy
    from armillary.validation import read_table, scaling, training_figures, validate_training

    known = catalog_room.load(*catalogs)
    table = read_table(data) if data else read_table()
    results = _progress(len(table), lambda tick: validate_training(table, known, progress=tick))
    scored = [r for r in results if r.scored]
    _write(
        lambda images: accuracy.training_page(scored, images),
        lambda: accuracy.training_drawings(scored),
        markdown,
        figures,
    )
    if record:
        _record("training", training_figures(scored), data)
    slope = scaling(scored)
    if as_json:
        found = {"pairs": slope.pairs, "median_abs_error": slope.median_abs_error}
        echo_json(_json(results, scored) | {"scaling": found})
        return
    _print(results if rows else [], accuracy.training_groups(scored), "step time error")
    click.echo(accuracy.scaling_words(slope))
    _count(scored)


@command.command(epilog=EXAMPLE)
@_shared
def memory(
    data: Path | None,
    rows: bool,
    markdown: Path | None,
    figures: Path | None,
    record: bool,
    as_json: bool,
    catalogs: tuple[Path, ...],
) -> None:
    """Score peak memory, of slices of models on one box and of whole runs, and the step time of the slices.

    The sums of --json are of the peak that the allocator hands out where a file has it, else of whole runs.
    """
    from armillary import catalog as catalog_room
    from armillary.app import accuracy
    from armillary.validation import PEAK, RUNS, SLICES, memory_figures, read_memory_table, validate_memory

    known = catalog_room.load(*catalogs)
    table = [row for path in ([data] if data else [SLICES, RUNS]) for row in read_memory_table(path)]
    results = _progress(len(table), lambda tick: validate_memory(table, known, progress=tick))
    scored = [r for r in results if r.scored]
    scored = [r for r in scored if r.metric == PEAK] or scored
    _write(
        lambda images: accuracy.memory_page(results, images),
        lambda: accuracy.memory_drawings(results),
        markdown,
        figures,
    )
    if record:
        _record("memory", memory_figures(scored), data)
    if as_json:
        sums = {m: _sums(part) for m, part in accuracy.by(results, "metric").items()}
        echo_json(_json(results, scored) | {"metrics": sums})
        return
    _print(results if rows else [], accuracy.memory_groups(results), "error")
    _count(scored)


@command.command(epilog=EXAMPLE)
@_shared
def collectives(
    data: Path | None,
    rows: bool,
    markdown: Path | None,
    figures: Path | None,
    record: bool,
    as_json: bool,
    catalogs: tuple[Path, ...],
) -> None:
    """Score the time of collectives: rows from 1 MB up by their error, small messages by their factor.

    The summary of --json is of the scored rows from 1 MB up.
    """
    from armillary import catalog as catalog_room
    from armillary.app import collectives_accuracy as accuracy
    from armillary.validation import collectives_figures, read_collectives, validate_collectives
    from armillary.validation.collectives import large

    known = catalog_room.load(*catalogs)
    table = read_collectives(data) if data else read_collectives()
    results = _progress(len(table), lambda tick: validate_collectives(table, known, progress=tick))
    _write(
        lambda images: accuracy.collectives_page(results, images),
        lambda: accuracy.collectives_drawings(results),
        markdown,
        figures,
    )
    if record:
        _record("collectives", collectives_figures(results), data)
    if as_json:
        echo_json(_json(results, large(results)) | accuracy.collectives_json(results, data is None))
        return
    _print(results if rows else [], accuracy.collectives_groups(results), "time error")
    for line in (accuracy.latency_words(results), *(accuracy.held_out_lines() if data is None else ())):
        click.echo(line)
    _count([r for r in results if r.scored])


@command.command(epilog=EXAMPLE)
@_shared
def alltoall(
    data: Path | None,
    rows: bool,
    markdown: Path | None,
    figures: Path | None,
    record: bool,
    as_json: bool,
    catalogs: tuple[Path, ...],
) -> None:
    """Score dispatch and combine of mixtures of experts, by library, phase, mode and ranks.

    Where a row publishes time and bandwidth, its time is scored and both are shown.
    """
    from armillary import catalog as catalog_room
    from armillary.app import alltoall_accuracy
    from armillary.validation import ALLTOALL, alltoall_figures, read_alltoall_table, validate_alltoall

    known = catalog_room.load(*catalogs)
    table = read_alltoall_table(data or ALLTOALL)
    results = _progress(len(table), lambda tick: validate_alltoall(table, known, progress=tick))
    scored = [r for r in results if r.scored]
    _write(
        lambda images: alltoall_accuracy.alltoall_page(scored, images),
        lambda: alltoall_accuracy.alltoall_drawings(scored),
        markdown,
        figures,
    )
    if record:
        _record("alltoall", alltoall_figures(scored), data)
    if as_json:
        echo_json(_json(results, scored))
        return
    _print(results if rows else [], alltoall_accuracy.alltoall_groups(scored), "time error")
    _count(scored)


@command.command(epilog=EXAMPLE)
@_shared
def serving(
    data: Path | None,
    rows: bool,
    markdown: Path | None,
    figures: Path | None,
    record: bool,
    as_json: bool,
    catalogs: tuple[Path, ...],
) -> None:
    """Score time per output token, time to first token and throughput of deployments, each simulated.

    The summary of --json is of the time per output token; `metrics` has that of each metric.
    """
    from armillary import catalog as catalog_room
    from armillary.app import serving_accuracy as accuracy
    from armillary.validation import SERVING, read_serving_table, serving_figures, validate_serving

    known = catalog_room.load(*catalogs)
    table = read_serving_table(data or SERVING)
    results = _progress(len(table), lambda tick: validate_serving(table, known, progress=tick))
    scored = [r for r in results if r.scored]
    _write(
        lambda images: accuracy.serving_page(scored, images),
        lambda: accuracy.serving_drawings(scored),
        markdown,
        figures,
    )
    if record:
        _record("serving", serving_figures(scored), data)
    if as_json:
        sums = {m: _sums(part) for m, part in accuracy.by_metric(scored).items()}
        first = [r for r in scored if r.metric == "tpot_ms"] or scored
        echo_json(_json(results, first) | {"metrics": sums})
        return
    _print(results if rows else [], accuracy.serving_groups(scored), "error")
    _count(scored)


def _progress(total: int, work: Callable[[Callable[[], None]], list[Row]]) -> list[Row]:
    """Do the work with a bar that each of its calls moves on."""
    from armillary.app.console import progress

    with progress("evaluating rows") as step:
        done = [0]

        def tick() -> None:
            done[0] += 1
            step(done[0], total)

        return work(tick)


def _write(
    page: Callable[[Mapping[str, str]], str],
    draw: Callable[[], dict[str, str]],
    markdown: Path | None,
    figures: Path | None,
) -> None:
    """Write the page with its figures in `images` beside it, and the figures alone where asked."""
    if markdown is None and figures is None:
        return
    drawings = draw()
    if figures is not None:
        make_folder(figures)
        for name, svg in drawings.items():
            _file(figures / f"{name}.svg", svg)
    if markdown is not None:
        links = {name: f"images/{markdown.stem}-{name}.svg" for name in drawings}
        for name, svg in drawings.items():
            _file(markdown.parent / links[name], svg)
        _file(markdown, page(links))


def _file(path: Path, text: str) -> None:
    write_file(path, text)
    click.echo(f"wrote {path}", err=True)


def _record(section: str, found: Mapping[str, float], data: Path | None) -> None:
    from armillary.errors import InputError
    from armillary.validation import RECORD, record

    if data is not None:
        raise InputError("--record is of the shipped measurements; leave out --data")
    _file(RECORD, record(section, found))


def _sums(rows: Sequence[Row]) -> dict[str, Any]:
    from armillary.validation import summarise

    return summarise(rows)._asdict()


def _json(results: list[Row], scored: list[Row]) -> dict[str, Any]:
    return {
        "summary": _sums(scored),
        "rows": [
            {
                "id": r.id,
                "metric": r.metric,
                "measured": r.measured,
                "predicted": r.predicted,
                "assumed": list(r.assumed),
                **({"reason": r.reason} if r.predicted is None or r.reason else {}),
            }
            for r in results
        ],
    }


def _count(scored: Sequence[Row]) -> None:
    done = sum(r.ratio is not None for r in scored)
    click.echo(f"{done} of {len(scored)} scored rows evaluated", err=True)


def _print(rows: list[Row], groups: Sequence[tuple[str, Lines]], what: str) -> None:
    from rich.table import Table

    from armillary.app.accuracy import HEADINGS, cells
    from armillary.app.console import out

    console = out()
    if rows:
        table = Table(title="Rows", title_justify="left", box=None, pad_edge=False)
        for name in ("id", "metric", "measured", "predicted", what, "assumed or reason"):
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
    title = what[0].upper() + what[1:]
    for name, lines in groups:
        table = Table(
            title=f"{title}, by {name}" if name != "all" else title,
            title_justify="left",
            box=None,
            pad_edge=False,
        )
        for heading in HEADINGS:
            table.add_column(heading, justify="left" if not heading else "right")
        for label, summary in lines:
            table.add_row(*cells(label, summary))
        console.print(table)

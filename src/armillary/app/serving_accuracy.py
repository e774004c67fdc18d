"""The score of serving as people read it: sums by metric and factor, a page, figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from armillary.app.accuracy import Lines, by, cells
from armillary.app.figures import scatter
from armillary.app.figures.lines import Series
from armillary.validation import Row, explain, summarise

NAMES = {
    "tpot_ms": "time per output token",
    "ttft_ms": "time to first token",
    "tokens_per_s_per_gpu": "tokens per second and accelerator",
}
FACTORS = ("chip", "engine", "model", "mode")
SUMS = ("", "rows", "median", "p90", "bias", "tau")


def by_metric(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Rows of each metric that was published, in the order of `NAMES`."""
    return {m: found for m in NAMES if (found := [r for r in rows if r.metric == m])}


def serving_groups(scored: Sequence[Row]) -> list[tuple[str, Lines]]:
    """Sums by metric, then of each metric by factor, each group with its title."""
    parts = by_metric(scored)
    groups: list[tuple[str, Lines]] = [("metric", [(NAMES[m], summarise(rows)) for m, rows in parts.items()])]
    for metric, rows in parts.items():
        done = [r for r in rows if r.ratio is not None]
        for factor in FACTORS:
            lines = [(label, summarise(part)) for label, part in by(_labelled(done), factor).items()]
            groups.append((f"{factor}, {NAMES[metric]}", lines))
    return groups


def _labelled(rows: Sequence[Row]) -> list[Row]:
    """Rows whose chip is the catalog's name, so that spellings of the source do not split a group."""
    return [r._replace(chip=dict(r.factors)["chip"]) for r in rows]


def serving_page(scored: Sequence[Row], images: Mapping[str, str]) -> str:
    """Page of the documentation on serving; `images` are links by figure."""
    lines = [
        "<!-- made by: armillary validate serving --markdown docs/serving-accuracy.md -->",
        "# Measured accuracy of serving",
        "",
        "Predicted over measured, of published deployments: each row's closed loop of users is simulated",
        "request by request on the engine model. Median and p90 are of |predicted / measured - 1|, bias is",
        "the signed median, tau is Kendall's within one model, chip, lengths and engine.",
        "",
    ]
    for title, rows in serving_groups(scored):
        lines += [f"## By {title}", "", "| " + " | ".join(SUMS) + " |", "|---|" + "---:|" * (len(SUMS) - 1)]
        lines += ["| " + " | ".join(cells(label, s)[: len(SUMS)]) + " |" for label, s in rows]
        lines.append("")
        if title == "metric":
            for name, link in images.items():
                lines += [f"![Predicted against measured {NAMES[name]}]({link})", ""]
    lines += ["## What the residual is made of", ""]
    for metric, part in by_metric(scored).items():
        lines += [
            f"Of the {NAMES[metric]}, share of the variance of log(ratio) that a factor explains alone:",
            "",
        ]
        lines += ["| factor | share | levels | furthest off | bias | rows |", "|---|---:|---:|---|---:|---:|"]
        lines += [
            f"| {e.factor} | {e.share:.0%} | {e.levels} | {e.worst} | {e.bias:+.0%} | {e.rows} |"
            for e in explain(part)
            if e.factor != "metric"
        ]
        lines.append("")
    missing = sorted({r.reason for r in scored if r.ratio is None})
    if missing:
        lines += ["## Not evaluated", "", *(f"- {reason}" for reason in missing), ""]
    return "\n".join(lines)


def serving_drawings(scored: Sequence[Row]) -> dict[str, str]:
    """Figures of predicted against measured by metric."""
    found = {}
    for metric, rows in by_metric(scored).items():
        points: dict[str, list[tuple[float, float]]] = {}
        for r in rows:
            if r.ratio and r.measured and r.predicted:
                scale = 1.0 if metric == "tokens_per_s_per_gpu" else 1e-3
                points.setdefault(dict(r.factors)["engine"], []).append(
                    (scale * r.measured, scale * r.predicted)
                )
        series: Series = sorted(points.items(), key=lambda item: -len(item[1]))
        unit = "token/s" if metric == "tokens_per_s_per_gpu" else "s"
        if series:
            title = f"Predicted against measured {NAMES[metric]}"
            found[metric] = scatter(series, "measured", "predicted", title, band=0.2, unit=unit)
    return found

"""Scores as people read them: tables of errors, pages of the documentation, figures."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from armillary.app.figures import bar_chart, range_chart, scatter
from armillary.app.figures.axes import number
from armillary.app.figures.lines import Series
from armillary.validation import PEAK, RUN_METRIC, Row, Scaling, Summary, explain, scaling, summarise

HEADINGS = ("", "rows", "median", "p90", "bias", "tau")
FACTORS = (("dense or MoE", "kind"), ("chip", "chip"), ("scale", "scale"), ("source", "source"))
NAMED = 3
"""Points that a scatter plot names: those furthest off. [-]"""
REACH, MEMORY_REACH = 0.6, 0.04
"""Of the axis of errors by factor, either way, of step time and of memory. [-]"""
METRIC_NAMES = {
    PEAK: "peak allocated",
    "measured_peak_reserved_gib": "peak reserved",
    "measured_ms": "step time",
    RUN_METRIC: "whole runs",
}

Lines = Sequence[tuple[str, Summary]]


def training_groups(scored: Sequence[Row]) -> list[tuple[str, Lines]]:
    """Sums by factor, each group with its title; that of all rows first."""
    groups: list[tuple[str, Lines]] = [("all", [("all scored rows", summarise(scored))])]
    for title, key in FACTORS:
        groups.append((title, [(label, summarise(rows)) for label, rows in by(scored, key).items()]))
    return groups


def memory_groups(results: Sequence[Row]) -> list[tuple[str, Lines]]:
    """Sums by metric, and of the peak by dense or MoE."""
    lines = [(METRIC_NAMES[m], summarise(rows)) for m, rows in by(results, "metric").items()]
    peaks = [r for r in results if r.metric == PEAK]
    kinds = [(label, summarise(rows)) for label, rows in by(peaks, "kind").items()]
    return [("metric", lines), *([("dense or MoE, peak allocated", kinds)] if kinds else [])]


def by(rows: Iterable[Row], key: str) -> dict[str, list[Row]]:
    """Rows by a field's value, in order of it; scales and metrics as they first stand."""
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        found[getattr(row, key, "") or dict(row.factors)[key]].append(row)
    if key == "scale":
        return dict(sorted(found.items(), key=lambda item: min(r.accelerators for r in item[1])))
    return dict(found if key == "metric" else sorted(found.items()))


def cells(label: str, s: Summary) -> tuple[str, ...]:
    """A line of the table of sums."""
    if s.n == 0:
        return (label, "0", "-", "-", "-", "-")
    tau = "-" if s.kendall_tau is None else f"{s.kendall_tau:.2f}"
    errors = (f"{s.median_abs_error:.1%}", f"{s.p90_abs_error:.1%}", f"{s.median_error:+.1%}")
    return (label, str(s.n), *errors, tau)


def scaling_words(found: Scaling) -> str:
    """One sentence on the scaling slope."""
    if not found.pairs:
        return "Scaling slope: no pairs."
    return (
        f"Scaling slope, rate at 8 N over rate at N: median error {found.median_abs_error:.1%} "
        f"over {found.pairs} pairs."
    )


def training_page(scored: Sequence[Row], images: Mapping[str, str]) -> str:
    """Page of the documentation on step time; `images` are links by figure."""
    lines = [
        "<!-- made by: armillary validate training --markdown docs/accuracy.md -->",
        "# Measured accuracy of the training model",
        "",
        "Error of predicted step time against published runs, each with the layout as its source prints it.",
        "Median and p90 are of |predicted / measured - 1|, bias is the signed median, tau Kendall's rank",
        "correlation among runs of one model on as many of one chip.",
        "",
    ]
    groups = training_groups(scored)
    lines += [*_tables(groups[:1]), scaling_words(scaling(scored)), ""]
    lines += _figure(images, "scatter", "Predicted against measured step time of published runs")
    lines += _figure(images, "factors", "Error of predicted step time by factor")
    lines += [
        "What is left hangs on these factors, each taken alone; they overlap, so shares do not add up.",
        "",
        *_figure(images, "explained", "Share of the variance of the error that each factor explains"),
        *_tables(groups[1:]),
    ]
    return "\n".join(lines + _missing(scored))


def memory_page(results: Sequence[Row], images: Mapping[str, str]) -> str:
    """Page of the documentation on memory."""
    slices = [r for r in results if r.metric != RUN_METRIC]
    lines = [
        "<!-- made by: armillary validate memory --markdown docs/memory-accuracy.md -->",
        "# Measured accuracy of the memory model",
        "",
        "Slices of models on 8 accelerators: peak of what PyTorch's allocator hands out (allocated) and",
        "takes from the device (reserved: with fragmentation), and step time. Memory of whole runs is as a",
        "source reports it, compared with reserved. Errors are of predicted / measured - 1.",
        "",
        "The formulas were written with the slices in view, and rows that differ only in micro-batches have",
        "one measured peak: this is a check of the accounting, not an error on unseen jobs.",
        "",
        *_tables(memory_groups(results)),
        *_figure(images, "scatter", "Predicted against measured peak memory"),
        *_figure(images, "factors", "Error of predicted peak memory by factor"),
    ]
    peaks = {r.id: r for r in slices if r.metric == PEAK and r.ratio}
    if peaks:
        lines += ["## Cases", "", "| case | measured | predicted | error |", "|---|---:|---:|---:|"]
        lines += [
            f"| {r.id} | {r.measured:.2f} GiB | {r.predicted:.2f} GiB | {(r.ratio or 0) - 1:+.1%} |"
            for r in peaks.values()
        ]
        lines.append("")
    return "\n".join(lines + _missing([r for r in results if r.scored]))


def _tables(groups: Iterable[tuple[str, Lines]]) -> list[str]:
    lines = []
    for title, rows in groups:
        lines += [f"## By {title}" if title != "all" else "## All", ""]
        lines += ["| " + " | ".join(HEADINGS) + " |", "|---|" + "---:|" * (len(HEADINGS) - 1)]
        lines += ["| " + " | ".join(cells(label, s)) + " |" for label, s in rows]
        lines.append("")
    return lines


def _figure(images: Mapping[str, str], name: str, words: str) -> list[str]:
    return [f"![{words}]({images[name]})", ""] if name in images else []


def _missing(scored: Iterable[Row]) -> list[str]:
    missing = Counter(r.reason for r in scored if r.ratio is None)
    if not missing:
        return []
    return ["## Not evaluated", "", *(f"- {count}: {why}" for why, count in missing.most_common()), ""]


def training_drawings(scored: Sequence[Row]) -> dict[str, str]:
    """Figures of the step time by name: `scatter`, `factors`, `explained`."""
    rows = [r for r in scored if r.ratio and r.step]
    explained = explain(rows)
    bars = [(f"{e.factor}, {e.levels} levels; {e.worst} {_signed(e.bias)}", e.share) for e in explained]
    return {
        "scatter": scatter(
            _series(rows, _family, _step),
            "measured step time",
            "predicted step time",
            f"Predicted against measured step time of {len(rows)} published training runs",
            band=0.1,
            unit="s",
            notes=_furthest(rows, _step),
        ),
        "factors": _by_factor(rows, (*FACTORS, ("precision", "precision")), "Error of predicted step time"),
        "explained": bar_chart(
            bars,
            "Variance of the error that each factor explains alone, and the bias of its worst level",
            percent=True,
        ),
    }


def memory_drawings(results: Sequence[Row]) -> dict[str, str]:
    """Figures of the memory by name: `scatter`, and `factors` of the peaks that were measured in slices."""
    rows = [r for r in results if r.ratio and r.metric in (PEAK, RUN_METRIC)]
    peaks = [r for r in rows if r.metric == PEAK]
    drawn = {
        "scatter": scatter(
            _series(rows, lambda r: f"{METRIC_NAMES[r.metric]}: {_family(r)} {r.kind}", _gib),
            "measured memory [GiB]",
            "predicted memory [GiB]",
            f"Predicted against measured memory of {len(rows)} runs",
            band=0.1,
            notes=_furthest(rows, _gib),
        )
    }
    if peaks:
        factors = (("model", "model"), ("layout", "layout"), ("tokens in a sequence", "sequence"))
        drawn["factors"] = _by_factor(peaks, factors, "Error of predicted peak memory", MEMORY_REACH)
    return drawn


def _step(row: Row) -> tuple[float, float]:
    """Measured and predicted step time [s]."""
    return (row.step or 1.0) / (row.ratio or 1.0), row.step or 1.0


def _gib(row: Row) -> tuple[float, float]:
    """Measured and predicted memory [GiB]."""
    return row.measured or 1.0, row.predicted or 1.0


def _signed(share: float) -> str:
    return ("+" if share >= 0 else "") + number(round(share, 2), percent=True)


def _family(row: Row) -> str:
    return row.chip.split("-")[0]


Point = Callable[[Row], tuple[float, float]]


def _series(rows: Iterable[Row], name: Callable[[Row], str], point: Point) -> Series:
    """Points by name, the largest series first."""
    found: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for row in rows:
        found[name(row)].append(point(row))
    return sorted(found.items(), key=lambda series: -len(series[1]))


def _furthest(rows: Iterable[Row], point: Point) -> list[tuple[float, float, str]]:
    """The rows furthest off, one a job, to be named."""
    worst: dict[str, Row] = {}
    for row in sorted(rows, key=lambda r: -abs(np.log(r.ratio or 1.0))):
        worst.setdefault(row.job, row)
    return [(*point(row), row.job.split("|")[1]) for row in list(worst.values())[:NAMED]]


def _by_factor(
    rows: Sequence[Row], factors: Iterable[tuple[str, str]], title: str, reach: float = REACH
) -> str:
    groups = []
    for heading, key in factors:
        lines = []
        for label, part in by(rows, key).items():
            low, middle, high = np.percentile([(r.ratio or 1.0) - 1 for r in part], (10, 50, 90))
            lines.append((label, float(low), float(middle), float(high), len(part)))
        groups.append((heading, lines))
    note = "bar: 10th to 90th percentile of predicted / measured - 1; stroke: median"
    return range_chart(groups, title, -reach, reach, note)

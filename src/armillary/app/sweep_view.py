"""``train --sweep``: a property of the machine varied, as tables, as a figure, as plain data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.table import Table

from armillary.app.console import out
from armillary.app.figures import bar_chart, line_chart
from armillary.app.options import echo_json, price_of
from armillary.app.writing import write_figure
from armillary.catalog import Catalog
from armillary.errors import InfeasibleError
from armillary.twin import SWEEPS, Curve, Point, Price, by_ring_bandwidth, by_system
from armillary.units import show


def show_sweep(
    kind: str,
    job: Any,
    machine: Any,
    accelerators: int,
    known: Catalog,
    fixed: dict[str, Any],
    price: Price | None,
    given: bool,
    svg: Path | None,
    as_json: bool,
) -> None:
    """Answer ``train --sweep``; `given` is True where one price was given for all systems.

    Raises
    ------
    InfeasibleError
        If nothing is feasible at any value, once the answer is printed.
    """

    def cost_of(p: Point) -> float | None:
        """USD per million tokens; each system of a comparison at its own price unless one was given."""
        one = price_of(None, p.label, known) if kind == "system" and not given else price
        return (
            None
            if one is None or not p.tokens_per_accelerator
            else one.per_accelerator / p.tokens_per_accelerator * 1e6
        )

    partition = machine.partitions[0]
    if kind == "bandwidth":
        curves = [
            by_ring_bandwidth(job, machine, partition, accelerators, ring, fixed)
            for ring in ("scale-up", machine.rings[-1].name)
        ]
    elif kind == "system":
        curves = [by_system(job, accelerators, known, fixed)]
    else:
        curves = [SWEEPS[kind](job, machine, partition, accelerators, fixed)]
    if svg is not None:
        title = f"{job.model.name} on {partition.system.name}"
        series = [(c.name, [(p.x, p.mfu) for p in c.points if p.mfu is not None]) for c in curves]
        if kind == "system":
            rows = [(p.label, p.mfu) for p in curves[0].points if p.mfu is not None]
            figure = bar_chart(rows, title=f"MFU of {job.model.name} by system", percent=True)
        else:
            figure = line_chart(
                series, x_label=curves[0].title, y_label="MFU", log_x=True, percent=True, title=title
            )
        write_figure(svg, figure)
    if as_json:
        echo_json(
            [
                {"name": c.name, "title": c.title, "points": [_point(p, cost_of(p)) for p in c.points]}
                for c in curves
            ]
        )
    else:
        _print(curves, cost_of)
    points = [p for c in curves for p in c.points]
    if all(p.step is None for p in points):
        raise InfeasibleError(
            f"--sweep {kind}: no value has a feasible layout; at {points[0].label}: {points[0].layout}"
        )


def _print(curves: list[Curve], cost_of: Callable[[Point], float | None]) -> None:
    """Print a table for each curve."""
    for curve in curves:
        table = Table(title=curve.title, title_justify="left", box=None, pad_edge=False)
        for name in ("value", "accelerators", "step", "MFU", "tokens/s/acc", "USD/Mtoken", "", "best layout"):
            table.add_column(name, justify="left" if name in ("", "best layout") else "right")
        most = max((p.mfu or 0.0) for p in curve.points) or 1.0
        for p in curve.points:
            if p.step is None:
                table.add_row(p.label, f"{p.accelerators:,}", "-", "-", "-", "-", "", p.layout)
            else:
                table.add_row(
                    p.label,
                    f"{p.accelerators:,}",
                    show(p.step, "s"),
                    f"{p.mfu:.1%}",
                    f"{p.tokens_per_accelerator:,.0f}",
                    "-" if (usd := cost_of(p)) is None else f"{usd:.4f}",
                    "█" * round(20 * (p.mfu or 0) / most),
                    p.layout,
                )
        out().print(table)


def _point(p: Point, cost: float | None) -> dict[str, Any]:
    return {
        "x": p.x,
        "label": p.label,
        "accelerators": p.accelerators,
        "step_s": p.step,
        "mfu": p.mfu,
        "tokens_per_s_per_accelerator": p.tokens_per_accelerator,
        "cost_usd_per_million_tokens": cost,
        "layout": p.layout,
    }

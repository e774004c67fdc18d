"""A report as one self-contained HTML file with figures."""

from __future__ import annotations

from typing import Any

from armillary.app import plan_tables, report_view
from armillary.app.figures import line_chart, rings, stacked_bar
from armillary.app.gradients_view import gradients_figure
from armillary.app.portfolio_page import portfolio_page
from armillary.app.serving_page import serving_page
from armillary.app.waterfall_view import waterfall_figure
from armillary.twin import Report
from armillary.twin.report import Fleet, WorkloadAnswer
from armillary.units import show


def html_report(report: Report, top: int) -> str:
    """Render the report."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("armillary.app"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html").render(
        title=report.scenario.name,
        about=report.scenario.about.strip(),
        catalog_version=report.catalog_version,
        fleets=[_fleet(f) for f in report.fleets],
        ring_headings=report_view.RING_HEADINGS,
        tensions=[report_view.tension_text(t) for t in report.tensions],
        workloads=[_workload(w, top) for w in report.workloads],
        serving=serving_page(report.serving) if report.serving is not None else None,
        portfolio=portfolio_page(report.portfolio) if report.portfolio is not None else None,
        unplanned=report.unplanned,
        facts=report.scenario.facts,
        assumed=report.scenario.assumed,
    )


def _fleet(fleet: Fleet) -> dict[str, Any]:
    chips = {p.accelerator.name.upper(): p.accelerator for p in fleet.machine.partitions}
    slowest = min(c.memory_bandwidth for c in chips.values())
    levels = [("chip", " and ".join(chips), f"{show(slowest, 'B/s')} HBM")]
    levels += [
        (
            r.ring.name,
            f"{r.ring.size:,} accelerators",
            f"{show(r.ring.bandwidth, 'B/s')} each, {show(r.ring.latency, 's')}",
        )
        for r in fleet.rings
    ]
    return {
        "name": f"{fleet.name} ({fleet.provider})",
        "facts": report_view.fleet_rows(fleet),
        "rings": report_view.ring_rows(fleet),
        "figure": rings(levels, f"{fleet.name}: nested rings"),
    }


SLOWEST_DRAWN = 10.0
"""Of the Pareto front, layouts at most this many times as slow as the fastest are drawn. [-]"""


def _workload(w: WorkloadAnswer, top: int) -> dict[str, Any]:
    if w.plan is None:
        return {"title": report_view.workload_title(w), "infeasible": w.infeasible}
    plan = w.plan
    shown = plan.candidates[:top]
    steps = stacked_bar(
        [(c.layout.describe(), list(plan_tables.parts_of(c.estimate).items())) for c in shown],
        "s",
        "Where the step goes",
    )
    memory = stacked_bar(
        [(c.layout.describe(), list(plan_tables.memory_of(c.estimate).items())) for c in shown],
        "B",
        "What fills the memory of the fullest accelerator",
        limit=plan.best.estimate.capacity,
    )
    points = [(float(c.estimate.memory.total) / 1e9, float(c.estimate.time.total)) for c in plan.front]
    front = line_chart(
        [
            (
                "Pareto front",
                [(gb, seconds) for gb, seconds in points if seconds <= SLOWEST_DRAWN * plan.step],
            )
        ],
        "memory of the fullest accelerator [GB]",
        "step time",
        "Step time against memory",
        y_unit="s",
        log_y=True,
    )
    return {
        "title": report_view.workload_title(w),
        "infeasible": "",
        "missed": w.infeasible,
        "summary": plan_tables.plan_summary(plan),
        "bounds": report_view.bound_text(w),
        "seen": plan_tables.counted(plan),
        "figures": [
            steps,
            waterfall_figure(plan.waterfall, "From the ideal step to the predicted one"),
            memory,
            front,
        ],
        "curves": _curves(w),
        "slopes": gradients_figure(w.gradients) if w.gradients is not None else "",
        "verdict": w.gradients.verdict if w.gradients is not None else "",
        "assumed": plan.assumed,
    }


def _curves(w: WorkloadAnswer) -> list[str]:
    bandwidths = [c for c in w.curves if c.name.startswith("bandwidth")]
    others = [c for c in w.curves if not c.name.startswith("bandwidth")]
    figures = []
    if bandwidths:
        series = [
            (c.name.removeprefix("bandwidth "), [(p.x, p.mfu) for p in c.points if p.mfu is not None])
            for c in bandwidths
        ]
        figures.append(
            line_chart(
                series,
                "bandwidth of the ring, times",
                "MFU",
                "What each ring's bandwidth buys",
                log_x=True,
                percent=True,
            )
        )
    for c in others:
        points = [(p.x, p.mfu) for p in c.points if p.mfu is not None]
        figures.append(
            line_chart([(c.name, points)], c.title, "MFU", f"MFU by {c.title}", log_x=True, percent=True)
        )
    return figures

"""A report in the terminal, and as plain data for JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from armillary.app import plan_tables
from armillary.app.gradients_view import gradients_json, gradients_view
from armillary.app.portfolio_json import portfolio_json
from armillary.app.portfolio_view import portfolio_view
from armillary.app.serving_json import serving_json
from armillary.app.serving_view import serving_view
from armillary.scenario import Scenario
from armillary.twin import Report
from armillary.twin.report import Fleet, Tension, WorkloadAnswer
from armillary.twin.sensitivity import Curve
from armillary.units import show


def fleet_rows(fleet: Fleet) -> list[tuple[str, str]]:
    """What a cluster is, in words and units."""
    m = fleet.machine
    parts = "; ".join(
        f"{p.domains:,} x {p.system.title} ({p.accelerators:,} {p.accelerator.name.upper()}"
        + (f", ready {p.ready}" if p.ready else "")
        + ")"
        for p in m.partitions
    )
    low = "fp4" if m.peak("fp4") else "fp8"
    return [
        ("partitions", parts),
        ("accelerators", f"{m.accelerators:,} in {m.domains:,} scale-up domains on one network"),
        ("host CPUs", f"{m.cpus:,} vCPU"),
        ("memory", f"{show(m.memory, 'B')} of HBM"),
        (
            "peak",
            f"{show(m.peak('bf16'), 'FLOP/s')} BF16, {show(m.peak(low), 'FLOP/s')} {low.upper()}, dense",
        ),
        (
            "power",
            f"{show(fleet.power, 'W')} of IT, {show(fleet.facility_power, 'W')} at the meter "
            f"(PUE {fleet.pue:.2f})",
        ),
    ]


def ring_rows(fleet: Fleet) -> list[tuple[str, ...]]:
    """One line a ring: name, size, instances, bandwidth, latency, oversubscription, bisection."""
    return [
        (
            row.ring.name,
            f"{row.ring.size:,}",
            f"{row.instances:,.0f}",
            f"{show(row.ring.bandwidth, 'B/s')}",
            show(row.ring.latency, "s"),
            f"{row.ring.oversubscription:g}:1",
            "in network" if row.ring.reduces else "-",
            show(row.bisection, "B/s"),
        )
        for row in fleet.rings
    ]


RING_HEADINGS = (
    "ring",
    "accelerators",
    "instances",
    "bandwidth each",
    "latency",
    "oversubscription",
    "reduction",
    "bisection",
)


def tension_text(t: Tension) -> str:
    """What the contract's money buys, in a sentence."""
    return (
        f"{t.contract}: {show(t.total, 'USD')} are {show(t.per_year, 'USD')} a year. At "
        f"{t.price.per_accelerator * 3600:.2f} USD per accelerator-hour ({t.price.source}) that pays for "
        f"{t.affordable:,.0f} accelerators all year; the fleet here has {t.fleet:,}, which the same "
        f"money rents at {t.implied * 3600:.2f} USD per accelerator-hour."
    )


def bound_text(w: WorkloadAnswer) -> str:
    """What a step is bound by, in words."""
    if not w.bounds:
        return "arithmetic alone"
    return ", ".join(f"{name.replace('_', ' ')} {share:.1%}" for name, share in w.bounds[:4])


def workload_title(w: WorkloadAnswer) -> str:
    """One line of what is trained where."""
    job = w.workload
    return (
        f"{job.name}: {job.model_name} ({show(w.parameters, 'parameters')}), {show(job.tokens, 'tokens')}, "
        f"{job.precision}, on {job.slice.accelerators:,} {job.slice.accelerator.name.upper()}"
    )


def curve_table(curve: Curve) -> Table:
    """A what-if as a table."""
    table = Table(box=None, pad_edge=False)
    table.add_column(curve.title)
    for p in curve.points:
        table.add_column(p.label, justify="right")
    counts = [p.accelerators for p in curve.points]
    if len(set(counts)) > 1 and counts != [p.x for p in curve.points]:
        table.add_row("accelerators", *(f"{p.accelerators:,}" for p in curve.points))
    table.add_row("MFU", *("-" if p.mfu is None else f"{p.mfu:.1%}" for p in curve.points))
    table.add_row("step", *("-" if p.step is None else show(p.step, "s") for p in curve.points))
    return table


def report_view(report: Report, top: int) -> RenderableType:
    """The whole report for a terminal."""
    parts: list[RenderableType] = [
        Text(report.scenario.name, style="bold"),
        report.scenario.about.strip(),
        "",
    ]
    for fleet in report.fleets:
        parts += [Text(f"Fleet {fleet.name} ({fleet.provider})", style="bold"), _facts(fleet_rows(fleet))]
        rings = Table(box=None, pad_edge=False)
        for i, name in enumerate(RING_HEADINGS):
            rings.add_column(name, justify="left" if i == 0 else "right")
        for row in ring_rows(fleet):
            rings.add_row(*row)
        parts += [rings, ""]
    for t in report.tensions:
        parts += [tension_text(t), ""]
    for w in report.workloads:
        parts.append(Text(workload_title(w), style="bold"))
        if w.plan is None:
            parts += [f"no feasible plan: {w.infeasible}", ""]
            continue
        parts += [plan_tables.plan_view(w.plan, top), f"bound by: {bound_text(w)}"]
        if w.infeasible:
            parts.append(f"not feasible: {w.infeasible}")
        if w.gradients is not None:
            parts += ["", gradients_view(w.gradients)]
        parts += [x for c in w.curves for x in ("", curve_table(c))]
        parts.append("")
    if report.serving is not None:
        parts += [*serving_view(report.serving), ""]
    if report.portfolio is not None:
        parts += [*portfolio_view(report.portfolio), ""]
    if report.unplanned:
        parts += [f"nothing to buy is planned: {report.unplanned}", ""]
    return Group(*parts)


def _facts(rows: list[tuple[str, str]]) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(name, value)
    return table


def stated_json(scenario: Scenario) -> dict[str, Any]:
    """What a scenario says of itself: where its figures come from, and what was assumed to read it."""
    return {
        "scenario": scenario.name,
        "about": scenario.about,
        "facts": [asdict(fact) for fact in scenario.facts],
        "assumed": list(scenario.assumed),
    }


def report_json(report: Report, top: int) -> dict[str, Any]:
    """The whole report as plain data in SI units."""
    return {
        **stated_json(report.scenario),
        "catalog_version": report.catalog_version,
        "fleets": [
            {
                "name": f.name,
                "provider": f.provider,
                "accelerators": f.machine.accelerators,
                "domains": f.machine.domains,
                "cpus": f.machine.cpus,
                "memory_byte": f.machine.memory,
                "it_power_w": f.power,
                "facility_power_w": f.facility_power,
                "pue": f.pue,
                "rings": [
                    {**asdict(r.ring), "instances": r.instances, "bisection": r.bisection} for r in f.rings
                ],
            }
            for f in report.fleets
        ],
        "contracts": [
            {
                "name": t.contract,
                "total_usd": t.total,
                "usd_per_year": t.per_year,
                "price_usd_per_accelerator_s": t.price.per_accelerator,
                "affordable_accelerators": t.affordable,
                "fleet_accelerators": t.fleet,
                "implied_usd_per_accelerator_s": t.implied,
            }
            for t in report.tensions
        ],
        "workloads": [_workload(w, top) for w in report.workloads],
        "serving": serving_json(report.serving) if report.serving is not None else None,
        "portfolio": portfolio_json(report.portfolio) if report.portfolio is not None else None,
        "unplanned": report.unplanned or None,
    }


def _workload(w: WorkloadAnswer, top: int) -> dict[str, Any]:
    return {
        "name": w.workload.name,
        "model": w.workload.model_name,
        "parameters": w.parameters,
        "cluster": w.workload.cluster,
        "infeasible": w.infeasible or None,
        "plan": plan_tables.plan_json(w.plan, top) if w.plan is not None else None,
        "bounds": dict(w.bounds),
        "gradients": gradients_json(w.gradients) if w.gradients is not None else None,
        "curves": [
            {"name": c.name, "title": c.title, "points": [asdict(p) for p in c.points]} for c in w.curves
        ],
    }

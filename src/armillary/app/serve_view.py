"""Sizes of serving as people read them: tables, JSON, a figure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from armillary.app.figures import line_chart
from armillary.serving.agents import AgentFleet
from armillary.serving.sizing import Infeasible, Sized, Targets, Workload, pareto

SHOWN = 12
"""Deployments that a table lists. [-]"""


def _layout(one: Sized) -> str:
    return one.layout.words() if one.prefill is None else f"{one.prefill.words()} : {one.layout.words()}"


def _replicas(one: Sized) -> str:
    return f"{one.replicas}" if one.prefill is None else f"{one.prefill_replicas} : {one.replicas}"


def print_sizing(
    workload: Workload,
    targets: Targets,
    found: Sequence[Sized],
    reasons: Sequence[Infeasible],
    agents: AgentFleet | None = None,
) -> None:
    """Print deployments, the cheapest first, or what binds."""
    from rich.table import Table

    from armillary.app.console import err, out

    console = out()
    limits = ", ".join(
        f"{name} {value * 1e3:g} ms"
        for name, value in zip(("TTFT", "TPOT", "end to end"), targets, strict=False)
        if math.isfinite(value)
    )
    console.print(
        f"{workload.mean:,.1f} requests/s on average, {workload.peak:,.1f} at the peak; "
        f"p{targets.percentile:g} within {limits or 'no limits'}"
    )
    if found:
        table = Table(box=None, pad_edge=False)
        for heading in (
            "system",
            "layout (prompts : decoding)",
            "replicas",
            "accelerators",
            "req/s each",
            "TTFT",
            "TPOT",
            "USD/M in",
            "USD/M out",
            "IT power",
        ):
            table.add_column(heading, justify="left" if heading in ("system",) else "right")
        priced = any(one.cost for one in found)
        ordered = sorted(found, key=lambda s: (s.cost if priced else 0.0, s.accelerators))
        for one in ordered[:SHOWN]:
            table.add_row(
                one.system,
                _layout(one),
                _replicas(one),
                f"{one.accelerators:,}",
                f"{one.rate:.3g}",
                f"{one.ttft * 1e3:.0f} ms",
                f"{one.tpot * 1e3:.1f} ms",
                f"{one.per_input * 1e6:.3g}" if one.cost else "-",
                f"{one.per_output * 1e6:.3g}" if one.cost else "-",
                f"{one.power / 1e6:.3g} MW",
            )
        console.print(table)
        if len(found) > SHOWN:
            console.print(f"{len(found) - SHOWN} more with --json")
    if agents is not None:
        console.print(
            f"agents: {agents.vcpus / 1e6:,.3g} million vCPUs and {agents.memory / 1e12:,.3g} TB for "
            f"{agents.sandboxes:,.0f} sandboxes at once; their tools keep {agents.working_vcpus / 1e6:,.3g} "
            f"million busy (assumptions: docs/demand.md)"
        )
    for reason in reasons:
        factor = reason.best / reason.asked if reason.asked else math.inf
        err().print(
            f"{reason.system}: infeasible; {reason.constraint} is at least {reason.best:.3g}, "
            f"asked is {reason.asked:.3g} ({factor:.2f} times)"
        )


def sizing_json(
    workload: Workload,
    targets: Targets,
    found: Sequence[Sized],
    reasons: Sequence[Infeasible],
    agents: AgentFleet | None = None,
) -> dict[str, Any]:
    """The same as plain values, SI units."""
    front = pareto(found)
    return {
        "workload": {"mean": workload.mean, "peak": workload.peak},
        "targets": {k: v if math.isfinite(v) else None for k, v in targets._asdict().items()},
        "deployments": [
            {
                name: getattr(one, name)
                for name in one.__dataclass_fields__
                if name not in ("layout", "prefill")
            }
            | {
                "layout": {k: int(v) for k, v in one.layout._asdict().items()},
                "prefill": None
                if one.prefill is None
                else {k: int(v) for k, v in one.prefill._asdict().items()},
                "pareto": one in front,
            }
            for one in found
        ],
        "infeasible": [reason._asdict() for reason in reasons],
        "agents": None if agents is None else agents._asdict() | {"vcpus": agents.vcpus},
    }


def pareto_figure(found: Sequence[Sized]) -> str:
    """Throughput of an accelerator against the speed that a user sees, a line a system."""
    series = []
    for system in dict.fromkeys(one.system for one in found):
        front = pareto([one for one in found if one.system == system])
        series.append((system, [(one.interactivity, one.tokens_per_accelerator) for one in reversed(front)]))
    return line_chart(
        series,
        "tokens a second and user",
        "output tokens a second and accelerator",
        "Throughput against interactivity of the sized deployments",
    )

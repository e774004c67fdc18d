"""Sizes of serving as people read them: tables, JSON, throughput against interactivity."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from armillary.app.figures import line_chart
from armillary.serving.agents import AgentFleet
from armillary.serving.facts import facts
from armillary.serving.front import FrontPoint
from armillary.serving.layout import EngineLayout
from armillary.serving.precision import PRECISIONS, Precision
from armillary.serving.sized import Infeasible, Sized, pareto
from armillary.serving.verification import Check
from armillary.serving.workload import Targets, Workload

if TYPE_CHECKING:
    from rich.table import Table

SHOWN = 12
"""Deployments, and points of a front, that a table lists. [-]"""
JOULE_PER_WH = 3600.0
LATENCIES = ("TTFT", "TPOT", "end to end")
QUERIES = ("energy_per_query", "energy_per_query_gpt_4o", "energy_per_query_10k_input")
"""Facts that energy per message is held against."""


class Answer(NamedTuple):
    """Deployments of one workload on all systems, and what binds on those without."""

    workload: Workload
    found: list[Sized]
    reasons: list[Infeasible]


def _layout(one: Sized | FrontPoint) -> str:
    names = [layout.words() for layout in (one.prefill, one.layout) if layout is not None]
    return " : ".join("tp1" if name == "one accelerator" else name for name in names)


def _replicas(one: Sized) -> str:
    return f"{one.replicas:,}" if one.prefill is None else f"{one.prefill_replicas:,} : {one.replicas:,}"


def _spares(one: Sized) -> str:
    return f"{one.spares:,}" if one.prefill is None else f"{one.prefill_spares:,} : {one.spares:,}"


def _precision(one: Precision) -> str:
    return next((name for name, known in PRECISIONS.items() if known == one), "/".join(one))


def _limits(targets: Targets) -> str:
    parts = [
        f"p{at:g} of {name} within {limit * 1e3:g} ms"
        for name, limit, at in zip(LATENCIES, targets.limits, targets.percentiles, strict=True)
        if math.isfinite(limit)
    ]
    if targets.goodput:
        parts.append(f"{targets.goodput:.4g} of all within all limits at once")
    return ", ".join(parts) or "no limits of latency"


def print_sizing(
    answers: Sequence[Answer],
    targets: Targets,
    headroom: float,
    ahead: tuple[float, float] | None,
    agents: AgentFleet | None = None,
) -> None:
    """Print deployments, the cheapest first, what was simulated, and what binds."""
    from armillary.app.console import out

    console = out()
    for i, answer in enumerate(answers):
        asked = answer.workload
        if ahead is not None:
            console.print("now" if not i else f"after {ahead[1]:.3g} years of {ahead[0]:+.0%} a year")
        console.print(
            f"{asked.mean:,.1f} requests/s on average, {asked.peak:,.1f} in the peak hour, "
            f"{asked.built_for:,.1f} with a margin of {asked.margin:.0%}; spares of {headroom:.0%}; "
            f"{_limits(targets)}"
        )
        _print_found(answer.found)
        _print_reasons(answer.reasons)
    first = answers[0]
    for system in dict.fromkeys(one.system for one in first.found):
        _print_detail(
            min((s for s in first.found if s.system == system), key=_order), targets, first.workload
        )
    if agents is not None:
        console.print(
            f"agents: {agents.vcpus / 1e6:,.3g} million vCPUs and {agents.memory / 1e12:,.3g} TB for "
            f"{agents.sandboxes:,.0f} sandboxes at once; their tools keep {agents.working_vcpus / 1e6:,.3g} "
            f"million busy (assumptions: docs/demand.md)"
        )
        if first.found:
            hosts = min(first.found, key=_order).host_vcpus
            console.print(
                f"        the hosts of the cheapest deployment bring {hosts / 1e6:,.3g} million vCPUs"
            )


def _order(one: Sized) -> tuple[float, int]:
    return one.cost, one.accelerators


def _print_found(found: Sequence[Sized]) -> None:
    """Print a line a deployment; where the window is too narrow for it, its size and what it gives apart."""
    from armillary.app.console import out

    if not found:
        return
    priced = any(one.cost for one in found)
    ordered = sorted(found, key=lambda s: (s.cost if priced else 0.0, s.accelerators))
    named, sizes, given, power = _columns(found, ordered[:SHOWN])
    console = out()
    whole = {**named, **sizes, **given, **power}
    if _width(whole) <= console.width:
        console.print(_table(whole))
    else:
        console.print(_table({**named, **sizes, **power}), "", _table({**named, **given}))
    if len(found) > SHOWN:
        console.print(f"{len(found) - SHOWN} more with --json")


Columns = dict[str, list[str]]


def _columns(found: Sequence[Sized], shown: Sequence[Sized]) -> tuple[Columns, Columns, Columns, Columns]:
    """Cells by heading: which deployment, how large, what it gives at what cost, its power."""
    several = len({(one.engine, one.precision) for one in found}) > 1

    def costs(each: Callable[[Sized], float]) -> list[str]:
        return [f"{each(one):.3g}" if one.cost else "-" for one in shown]

    named = {
        "system": [one.system for one in shown],
        "layout": [
            _layout(one) + (f" {one.engine} {_precision(one.precision)}" if several else "") for one in shown
        ],
    }
    sizes = {
        "replicas": [_replicas(one) for one in shown],
        "spares": [_spares(one) for one in shown],
        "chips": [f"{one.accelerators:,}" for one in shown],
        "systems": [f"{one.systems:,}" for one in shown],
    }
    given = {
        "TTFT ms": [f"{one.ttft * 1e3:.0f}" for one in shown],
        "TPOT ms": [f"{one.tpot * 1e3:.1f}" for one in shown],
        "USD/M in": costs(lambda one: one.per_input * 1e6),
        **({"cached": costs(lambda one: one.per_cached * 1e6)} if any(one.cached for one in found) else {}),
        "out": costs(lambda one: one.per_output * 1e6),
        "USD/1k msg": costs(lambda one: one.per_message * 1e3),
    }
    return named, sizes, given, {"MW": [f"{one.power / 1e6:.3g}" for one in shown]}


def _width(columns: Columns) -> int:
    """Characters of a line of a table."""
    return sum(max(map(len, (name, *cells))) + 2 for name, cells in columns.items()) - 2


def _table(columns: Columns) -> Table:
    """A table of columns, of which the layout alone folds."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for name in columns:
        side: Literal["left", "right"] = "left" if name == "system" else "right"
        table.add_column(name, justify=side, no_wrap=name != "layout", overflow="fold")
    for cells in zip(*columns.values(), strict=True):
        table.add_row(*cells)
    return table


def _print_detail(one: Sized, targets: Targets, asked: Workload) -> None:
    """What was simulated of the cheapest deployment of a system, and what else it says."""
    from armillary.app.console import out

    console = out()
    apart = "" if one.prefill is None else " (prompts : decoding)"
    console.print(f"{one.system}, {_layout(one)}{apart}:")
    for check in one.checks:
        console.print(f"  {_check_words(check, one)}: {_trial_words(check, targets)}")
    console.print(f"  steps of up to {one.step_tokens:,} tokens on each attention-parallel rank")
    if one.handover is not None:
        wire = "scale-up network" if one.handover.wire == "scale-up" else "NICs"
        console.print(
            f"  KV of prompts crosses the {wire}, {one.handover.time * 1e3:.3g} ms for the mean prompt"
        )
    if one.cached:
        console.print(f"  {one.cached:.0%} of the input was found in prefix caches")
    queries = ", ".join(f"{facts('demand_facts')[name].value:g}" for name in QUERIES)
    console.print(
        f"  {one.energy_per_message / JOULE_PER_WH:.3g} Wh a message at full IT power all day, "
        f"{one.per_token_energy:.3g} J an output token (published for a query: {queries} Wh, docs/serving.md)"
    )


def _check_words(check: Check, one: Sized) -> str:
    apart = one.prefill is not None
    size = f"{check.prefill_replicas} : {check.replicas}" if apart else f"{check.replicas}"
    down = f"{check.prefill_down} : {check.down}" if apart else f"{check.down}"
    failing = check.prefill_down + check.down
    state = f"{down} of them down" if failing else "all up"
    whole = "the whole fleet" if check.whole else "a part of the fleet"
    return f"simulated {size} replicas ({whole}) at {check.rate:,.4g} requests/s, {state}"


def _trial_words(check: Check, targets: Targets) -> str:
    trial = check.trial
    times = [
        f"{name} p{at:g} {_time(t)}"
        for name, at, t in zip(LATENCIES, targets.percentiles, trial.times, strict=True)
    ]
    return ", ".join([*times, f"{trial.good:.2%} of {trial.requests:,} within all limits"])


def _time(seconds: float) -> str:
    return f"{seconds:.3g} s" if seconds >= 1 else f"{seconds * 1e3:.3g} ms"


def _print_reasons(reasons: Sequence[Infeasible]) -> None:
    from armillary.app.console import err

    for reason in reasons:
        factor = reason.best / reason.asked if reason.asked else math.inf
        err().print(
            f"{reason.system}: infeasible; {reason.constraint} is at least {reason.best:.3g}, "
            f"asked is {reason.asked:.3g} ({factor:.2f} times)",
            soft_wrap=True,
        )


def print_front(points: Sequence[FrontPoint]) -> None:
    """Print throughput against interactivity of each system, evenly spread over its front."""
    from rich.table import Table

    from armillary.app.console import out

    table = Table(box=None, pad_edge=False, title="throughput against interactivity, closed form")
    headings = (
        "system",
        "layout",
        "batch",
        "tokens/s and user",
        "tokens/s and accelerator",
    )
    for heading in headings:
        table.add_column(heading, justify="left" if heading == "system" else "right")
    for system in dict.fromkeys(point.system for point in points):
        own = [point for point in points if point.system == system]
        last = max(min(SHOWN, len(own)) - 1, 1)
        for i in sorted({round(k * (len(own) - 1) / last) for k in range(last + 1)}):
            point = own[i]
            table.add_row(
                system,
                f"{_layout(point)} {point.engine} {_precision(point.precision)}",
                f"{point.batch:,.0f}",
                f"{point.interactivity:.3g}",
                f"{point.tokens_per_accelerator:,.4g}",
            )
    out().print(table)


def front_figure(points: Sequence[FrontPoint]) -> str:
    """Throughput of an accelerator against the speed that a user sees, a line a system."""
    series = []
    for system in dict.fromkeys(point.system for point in points):
        own = [point for point in points if point.system == system]
        series.append((system, [(p.interactivity, p.tokens_per_accelerator) for p in reversed(own)]))
    return line_chart(
        series,
        "tokens a second and user",
        "output tokens a second and accelerator",
        "Throughput against interactivity, all layouts and batches, closed form",
    )


def sizing_json(
    answers: Sequence[Answer],
    targets: Targets,
    ahead: tuple[float, float] | None,
    points: Sequence[FrontPoint],
    agents: AgentFleet | None = None,
) -> dict[str, Any]:
    """The same as plain values, SI units."""
    first = answers[0]
    later = None
    if ahead is not None:
        later = {"growth": ahead[0], "years": ahead[1]} | _answer_json(answers[1])
    return {
        **_answer_json(first),
        "targets": {k: v if v is None or math.isfinite(v) else None for k, v in targets._asdict().items()},
        "horizon": later,
        "front": [
            point._asdict()
            | {
                "precision": _precision(point.precision),
                "layout": _degrees(point.layout),
                "prefill": _degrees(point.prefill),
            }
            for point in points
        ],
        "published_wh_per_query": {name: facts("demand_facts")[name]._asdict() for name in QUERIES},
        "agents": None if agents is None else agents._asdict() | {"vcpus": agents.vcpus},
    }


def _answer_json(answer: Answer) -> dict[str, Any]:
    asked = answer.workload
    front = pareto(answer.found)
    return {
        "workload": {
            "mean": asked.mean,
            "peak": asked.peak,
            "margin": asked.margin,
            "built_for": asked.built_for,
            "burstiness": asked.burstiness,
            "prefixes": "trace" if asked.trace is not None else "share" if asked.cached else "none",
        },
        "deployments": [_sized_json(one) | {"pareto": one in front} for one in answer.found],
        "infeasible": [reason._asdict() for reason in answer.reasons],
    }


def _sized_json(one: Sized) -> dict[str, Any]:
    return {name: getattr(one, name) for name in one.__dataclass_fields__} | {
        "precision": _precision(one.precision),
        "layout": _degrees(one.layout),
        "prefill": _degrees(one.prefill),
        "handover": None if one.handover is None else one.handover._asdict(),
        "checks": [check._asdict() | {"trial": check.trial._asdict()} for check in one.checks],
    }


def _degrees(layout: EngineLayout | None) -> dict[str, int] | None:
    return None if layout is None else {name: int(value) for name, value in layout._asdict().items()}

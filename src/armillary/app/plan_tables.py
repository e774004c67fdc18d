"""Training plans in the terminal and as JSON: top layouts, where the time goes, what fills the memory."""

from __future__ import annotations

from typing import Any

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from armillary.app.waterfall_view import waterfall_json, waterfall_view
from armillary.training import Candidate, Estimate
from armillary.twin import TrainingPlan
from armillary.units import show

PARTS_SHOWN = 0.002
"""Parts below this share of the total are summed up as ``other``."""

COLOURS = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#D55E00",
    "#CC79A7",
    "#56B4E9",
    "#F0E442",
    "#999999",
    "#7A5195",
    "#4C9F70",
    "#B85C00",
    "#5B8FF9",
    "#A0522D",
    "#708090",
    "#C71585",
)
"""Okabe-Ito first: told apart with any kind of colour vision."""


def parts_of(estimate: Estimate) -> dict[str, float]:
    """Seconds of a step by named part, those that are zero left out."""
    return {name.replace("_", " "): v for name, v in _floats(estimate.time).items() if v > 0}


def memory_of(estimate: Estimate) -> dict[str, float]:
    """Bytes by kind, those that are zero left out."""
    return {name: v for name, v in _floats(estimate.memory).items() if v > 0}


def _floats(parts: Any) -> dict[str, float]:
    return {name: float(np.asarray(value)) for name, value in parts._asdict().items()}


def bar(parts: dict[str, float], whole: float, unit: str, width: int = 60) -> RenderableType:
    """A bar of coloured blocks with its legend; `whole` is the bar's full length."""
    line, legend = Text(), Text()
    for (name, value), colour in zip(parts.items(), COLOURS, strict=False):
        line.append("█" * round(width * value / whole), style=colour)
        if value / whole >= PARTS_SHOWN:
            legend.append("■ ", style=colour)
            legend.append(f"{name} {show(value, unit)} ({value / whole:.1%})   ")
    spare = width - len(line.plain)
    if spare > 0:
        line.append("░" * spare, style="dim")
    return Group(line, legend)


def counted(plan: TrainingPlan) -> str:
    """How much of the space the answer rests on."""
    words = f"{plan.evaluated:,} valid layouts timed of {plan.seen:,} combinations"
    if plan.pruned:
        words += f", {plan.pruned:,} more ruled out by a bound on time and memory"
    if plan.unseen:
        words += f"; interrupted: {plan.unseen:.0%} of the space was not seen, so better may be there"
    return words


def plan_summary(plan: TrainingPlan) -> list[tuple[str, str]]:
    """What a planner asks first, in words and units."""
    best = plan.best
    e = best.estimate
    used = float(e.accelerators)
    spare = f", {plan.granted - used:,.0f} kept as spares in their domains" if used < plan.granted else ""
    facts = [
        ("layout", best.layout.describe()),
        ("accelerators", f"{used:,.0f} of {plan.granted:,}{spare}"),
        ("step", f"{show(plan.step, 's')} for {show(plan.job.tokens_per_step, 'tokens')}"),
        (
            "MFU",
            f"{float(e.mfu):.1%} of the BF16 peak (causal attention counted as half)"
            + (f"; {float(e.mfu) * used / plan.granted:.1%} counting the spares" if spare else ""),
        ),
        (
            "throughput",
            f"{float(e.tokens_per_accelerator):,.0f} tokens/s/accelerator, "
            f"{show(plan.job.tokens_per_step / plan.step, 'tokens/s')} in all",
        ),
        ("memory", f"{float(e.memory.total) / 1e9:.0f} of {e.capacity / 1e9:.0f} GB"),
        (
            "time to train",
            f"{show(plan.duration, 's')} for {show(plan.tokens, 'tokens')}, without interruptions",
        ),
    ]
    if plan.price is not None and plan.cost is not None:
        facts.append(
            (
                "cost",
                f"{show(plan.cost, 'USD')} at {plan.price.per_accelerator * 3600:.2f} USD per "
                f"accelerator-hour ({plan.price.source}); {plan.cost_per_million_tokens:.4f} USD per "
                "million tokens",
            )
        )
    return facts


def plan_view(plan: TrainingPlan, top: int) -> RenderableType:
    """The whole answer for a terminal."""
    table = Table(title="Best layouts by step time", title_justify="left", box=None, pad_edge=False)
    for name, kind in (
        ("layout", "left"),
        ("step", "right"),
        ("MFU", "right"),
        ("tokens/s/acc", "right"),
        ("memory", "right"),
        ("bubble", "right"),
        ("exposed comm", "right"),
    ):
        table.add_column(name, justify=kind, no_wrap=name != "layout")  # type: ignore[arg-type]
    for c in plan.candidates[:top]:
        table.add_row(*_cells(c))
    facts = Table(box=None, show_header=False, pad_edge=False)
    facts.add_column(style="bold")
    facts.add_column(overflow="fold")
    for name, value in plan_summary(plan):
        facts.add_row(name, value)
    e = plan.best.estimate
    roomy = plan.roomiest[0]
    footer = [
        f"{counted(plan)}; {sum(s.too_large for s in plan.searches):,} did not fit in memory",
        f"most headroom within 10% of the fastest: {roomy.layout.describe()} "
        f"({float(roomy.estimate.memory.total) / 1e9:.0f} GB, {show(float(roomy.estimate.time.total), 's')})",
        *(f"assumed: {a}" for a in plan.assumed),
    ]
    return Group(
        table,
        "",
        facts,
        "",
        Text("Where the step goes", style="bold"),
        bar(parts_of(e), plan.step, "s"),
        "",
        Text("What fills the memory", style="bold"),
        bar(memory_of(e), e.capacity, "B"),
        "",
        *footer,
    )


def _cells(c: Candidate) -> tuple[str, ...]:
    e, t = c.estimate, _floats(c.estimate.time)
    total = sum(t.values())
    comm = sum(
        t[k]
        for k in (
            "tensor_parallel",
            "context_parallel",
            "expert_parallel",
            "pipeline_transfer",
            "data_parallel",
        )
    )
    return (
        c.layout.describe(),
        show(total, "s"),
        f"{float(e.mfu):.1%}",
        f"{float(e.tokens_per_accelerator):,.0f}",
        f"{float(e.memory.total) / 1e9:.0f} GB",
        f"{t['pipeline_bubble'] / total:.1%}",
        f"{comm / total:.1%}",
    )


def explain_view(plan: TrainingPlan) -> RenderableType:
    """Every term of the best layout."""
    e, describe = plan.best.estimate, plan.best.layout.describe()
    layout = Table(title=f"Layout: {describe}", title_justify="left", box=None)
    layout.add_column("field")
    layout.add_column("value", justify="right")
    for name, value in plan.best.layout._asdict().items():
        layout.add_row(name, str(value))
    busy = ", ".join(f"{k.replace('_', ' ')} {show(v, 's')}" for k, v in _floats(e.busy).items() if v > 0)
    memory = Table(title="Memory of the fullest accelerator", title_justify="left", box=None)
    memory.add_column("kind")
    memory.add_column("size", justify="right")
    memory.add_column("share of capacity", justify="right")
    total = float(e.memory.total)
    for name, value in [*_floats(e.memory).items(), ("total", total)]:
        style = "bold" if name == "total" else ""
        memory.add_row(name, f"{value / 1e9:.2f} GB", f"{value / e.capacity:.1%}", style=style)
    network = f"Busy on the network, hidden or not: {busy or 'never'}"
    return Group(layout, "", waterfall_view(plan.waterfall), "", network, "", memory)


def candidate_json(c: Candidate) -> dict[str, Any]:
    """A layout with its answer as plain data in SI units."""
    e = c.estimate
    return {
        "layout": c.layout._asdict(),
        "describe": c.layout.describe(),
        "step_s": float(e.time.total),
        "mfu": float(e.mfu),
        "tokens_per_s_per_accelerator": float(e.tokens_per_accelerator),
        "micro_batches": float(np.asarray(e.micro_batches)),
        "accelerators": float(e.accelerators),
        "time_s": _floats(e.time),
        "busy_s": _floats(e.busy),
        "memory_byte": _floats(e.memory),
        "memory_total_byte": float(e.memory.total),
        "memory_capacity_byte": e.capacity,
    }


def plan_json(plan: TrainingPlan, top: int) -> dict[str, Any]:
    """The whole answer as plain data in SI units."""
    return {
        "model": plan.job.model.name,
        "system": plan.searches[0].space.machine.system.name,
        "accelerator": plan.searches[0].space.machine.accelerator.name,
        "granted": plan.granted,
        "sequence": plan.job.sequence,
        "global_batch": plan.job.global_batch,
        "precision": plan.job.recipe.name,
        "best": candidate_json(plan.best),
        "waterfall": waterfall_json(plan.waterfall),
        "plans": [candidate_json(c) for c in plan.candidates[:top]],
        "roomiest": [candidate_json(c) for c in plan.roomiest[:top]],
        "pareto": [candidate_json(c) for c in plan.front],
        "evaluated": plan.evaluated,
        "pruned": plan.pruned,
        "unseen": plan.unseen,
        "combinations": plan.seen,
        "out_of_memory": sum(s.too_large for s in plan.searches),
        "invalid": {reason: count for s in plan.searches for reason, count in s.invalid.items()},
        "tokens": plan.tokens,
        "steps": plan.steps,
        "time_to_train_s": plan.duration,
        "price_usd_per_accelerator_s": plan.price.per_accelerator if plan.price else None,
        "price_source": plan.price.source if plan.price else None,
        "cost_usd": plan.cost,
        "cost_usd_per_million_tokens": plan.cost_per_million_tokens,
        "assumed": list(plan.assumed),
    }

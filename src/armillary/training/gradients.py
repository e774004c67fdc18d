"""What 1% more of each scarce thing buys: elasticities of the step. Imports this room's search.

Every rate of the model is varied by itself and the step estimated again, once at the layout as it is and
once with the layout re-chosen. At a fixed layout the elasticities of all rates add up to about 1, since a
machine that is twice as fast in everything takes half the time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import log
from typing import Any, NamedTuple

import numpy as np

from armillary.machine import Slice
from armillary.training.calibration import Calibration
from armillary.training.job import Job
from armillary.training.layout import Layout
from armillary.training.search import search
from armillary.training.step import estimate

STEP = 1.01
"""How much more of a rate is tried. [-]"""
CAPACITY_STEP = 1.10
"""How much more memory is tried: it acts only by the layouts that it opens, which 1% seldom does. [-]"""
ACCELERATOR_STEP = 2
"""How many times the accelerators are tried: groups must stay whole. [-]"""
GROUPS = ("network", "chip", "software", "scale")
"""What a thing belongs to; all but ``scale`` are rates, capacity aside."""
OVERHEADS = (
    *(
        "gap",
        "gap_graphs",
        "host_launch",
        "routing",
        "routing_graphs",
        "expert_launch",
        "dispatch_latency_inside",
    ),
)
"""Times of `Software` that the host and its kernels launches cost."""

Turned = tuple[Slice, Calibration]


class Knob(NamedTuple):
    """A thing to have more of. turn : the machine with `step` times as much (or as quick)."""

    name: str
    group: str
    step: float
    turn: Callable[[Slice, Calibration, float], Turned]


class Gradient(NamedTuple):
    """Percent off the step for 1% more of a thing [-]; None where it cannot be said.

    step : how many times as much was tried, scaled to 1% by logarithms [-].
    fixed : at the layout as it is. chosen : with the layout re-chosen.
    """

    name: str
    group: str
    step: float
    fixed: float | None
    chosen: float | None

    @property
    def value(self) -> float:
        """With the layout re-chosen where known, else at the layout as it is [-]."""
        return self.chosen if self.chosen is not None else self.fixed or 0.0


@dataclass(frozen=True, slots=True)
class Gradients:
    """All elasticities at a layout, the largest first."""

    layout: Layout
    rows: tuple[Gradient, ...]

    def of(self, group: str) -> float:
        """Sum over a group, see `Gradient.value` [-]."""
        return sum(row.value for row in self.rows if row.group == group)

    @property
    def verdict(self) -> str:
        """What the network weighs beside the chips, in a sentence."""
        network, chip = self.of("network"), self.of("chip")
        beside = f"; the network weighs {network / chip:.2f} times the chips" if chip > 0 else ""
        return (
            f"1% more of the whole network takes {network:.2f}% off the step, of the whole chip {chip:.2f}%, "
            f"of host and launches {self.of('software'):.2f}%{beside}"
        )


def gradients(
    job: Job,
    machine: Slice,
    layout: Layout,
    calibration: Calibration,
    near: Mapping[str, Sequence[Any]] | None = None,
) -> Gradients:
    """Elasticities of the step time at a layout.

    Parameters
    ----------
    job, machine, calibration
        As in `step.estimate`.
    layout : Layout
        One layout, not a mesh.
    near : mapping, optional
        Constraints under which the layout is re-chosen, as `search` takes them; without, it is not.
    """
    before = _step(job, machine, layout, calibration)
    best = _best(job, machine, calibration, near) if near is not None else None
    rows = []
    for knob in knobs(job, machine):
        turned = knob.turn(machine, calibration, knob.step)
        after = _kept(job, turned, layout, knob)
        chosen = _best(job, *turned, near) if best is not None else None
        rows.append(
            Gradient(
                knob.name,
                knob.group,
                knob.step,
                _elasticity(before, after, knob.step),
                _elasticity(best, chosen, knob.step),
            )
        )
    return Gradients(layout, tuple(sorted(rows, key=lambda row: -abs(row.value))))


def knobs(job: Job, machine: Slice) -> list[Knob]:
    """Everything that a step may be short of."""
    found = [
        knob
        for ring in machine.rings
        for knob in (
            Knob(f"{ring.name} bandwidth", "network", STEP, _ring(ring.name, "bandwidth")),
            Knob(f"{ring.name} latency", "network", STEP, _ring(ring.name, "latency")),
        )
    ]
    precisions = dict.fromkeys(("bf16", job.recipe.gemm))
    found += [Knob(f"{p.upper()} GEMM rate", "chip", STEP, _gemm_rate(p)) for p in precisions]
    return [
        *found,
        Knob("attention rate", "chip", STEP, _attention_rate),
        Knob("HBM bandwidth", "chip", STEP, _chip("memory_bandwidth")),
        Knob("HBM capacity", "chip", CAPACITY_STEP, _chip("memory_capacity")),
        Knob("host link", "software", STEP, _chip("host_bandwidth")),
        Knob("host and launches", "software", STEP, _overheads),
        Knob("accelerators", "scale", ACCELERATOR_STEP, _grown),
    ]


def _ring(name: str, field: str) -> Callable[[Slice, Calibration, float], Turned]:
    def turn(machine: Slice, calibration: Calibration, step: float) -> Turned:
        value = next(getattr(r, field) for r in machine.rings if r.name == name)
        return machine.with_ring(
            name, **{field: value / step if field == "latency" else value * step}
        ), calibration

    return turn


def _chip(field: str) -> Callable[[Slice, Calibration, float], Turned]:
    def turn(machine: Slice, calibration: Calibration, step: float) -> Turned:
        chip = machine.accelerator
        more: dict[str, Any] = {field: getattr(chip, field) * step}
        return replace(machine, accelerator=replace(chip, **more)), calibration

    return turn


def _gemm_rate(precision: str) -> Callable[[Slice, Calibration, float], Turned]:
    def turn(machine: Slice, calibration: Calibration, step: float) -> Turned:
        rates = dict(calibration.chip.gemm)
        rates[precision] = rates.get(precision, 0.0) * step
        return machine, replace(calibration, chip=replace(calibration.chip, gemm=rates))

    return turn


def _attention_rate(machine: Slice, calibration: Calibration, step: float) -> Turned:
    return machine, calibration.with_software(attention_share=calibration.software.attention_share * step)


def _overheads(machine: Slice, calibration: Calibration, step: float) -> Turned:
    software = calibration.software
    quick: dict[str, Any] = {name: getattr(software, name) / step for name in OVERHEADS}
    quick["dispatch_latency"] = {name: value / step for name, value in software.dispatch_latency.items()}
    return machine, calibration.with_software(**quick)


def _grown(machine: Slice, calibration: Calibration, step: float) -> Turned:
    return machine.grown(round(machine.accelerators * step)), calibration


def _kept(job: Job, turned: Turned, layout: Layout, knob: Knob) -> float | None:
    """Step time of the same layout, with more data-parallel ranks on more accelerators."""
    if knob.group == "scale":
        wider = _wider(job, layout, round(knob.step))
        return None if wider is None else _step(job, turned[0], wider, turned[1])
    return _step(job, turned[0], layout, turned[1])


def _wider(job: Job, layout: Layout, times: int) -> Layout | None:
    """The layout with so many times the data-parallel ranks; None where the batch does not allow it."""
    ranks = layout.dp * layout.cp
    batches = job.global_batch / (layout.micro_batch * layout.dp * times)
    whole = batches >= 1 and batches % 1 == 0
    fills = (layout.vpp == 1 or batches % layout.pp == 0) and (
        layout.schedule < 2 or batches >= 2 * layout.pp
    )
    if not (whole and fills):
        return None
    shard = layout.shard * times if layout.zero and layout.shard == ranks else layout.shard
    return layout._replace(dp=layout.dp * times, shard=shard)


def _step(job: Job, machine: Slice, layout: Layout, calibration: Calibration) -> float:
    return float(np.asarray(estimate(job, machine, layout, calibration).time.total))


def _best(
    job: Job, machine: Slice, calibration: Calibration, near: Mapping[str, Sequence[Any]] | None
) -> float | None:
    found = search(job, machine, calibration, near, top=1).fastest
    return float(found[0].estimate.time.total) if found else None


def _elasticity(before: float | None, after: float | None, step: float) -> float | None:
    if before is None or after is None:
        return None
    return log(before / after) / log(step) + 0.0

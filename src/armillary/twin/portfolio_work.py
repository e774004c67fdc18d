"""What a unit of a SKU does of each stream of work: serving as sized, training as planned.

Imports rooms above.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from armillary.errors import InputError
from armillary.machine import Partition, build
from armillary.model import parameters
from armillary.scenario import (
    AskedGeneration,
    AskedSku,
    Horizon,
    Purchasing,
    Scenario,
    ServedOn,
    ServingWorkload,
    TrainingWorkload,
)
from armillary.training import Job, recipe
from armillary.twin.capacity import need
from armillary.twin.plan import TrainingPlan, plan_training
from armillary.twin.serving_sizes import SizedPlace, highest_demand, size_place, sizings

Key = tuple[str, str]
"""A workload and a system, by name."""
EVEN = 1.0 / 3600
"""Price of an accelerator where only the fewest are sought: any one will do. [USD/s]"""


class Work(NamedTuple):
    """What one unit of a SKU does of a stream, in the stream's unit [unit of work/s]; 0 with the reason."""

    stream: str
    sku: str
    rate: float
    words: str


@dataclass(frozen=True, slots=True)
class Known:
    """Sizes and plans by workload and system; a plan is None where the system cannot run it, with why."""

    sizes: Mapping[Key, SizedPlace]
    plans: Mapping[Key, tuple[TrainingPlan | None, str]]


def calls(scenario: Scenario, asked: Purchasing) -> dict[Key, partial[Any]]:
    """Sizings and searches that the portfolio takes, ready to run: each workload on each system."""
    horizon = scenario.horizon or Horizon(asked.origin, asked.calendar.quarters)
    systems = {k.system.name: k for k in asked.skus if k.system is not None}
    found: dict[Key, partial[Any]] = {}
    for served in scenario.serving.values():
        # Where the file's clusters have the system, the sizing is that of the serving answer.
        there = dict(zip((p.system for p in served.places), sizings(served, scenario, horizon), strict=True))
        for name, sku in systems.items():
            found[served.name, name] = there.get(name) or partial(_size, served, sku, horizon)
    for like in dict.fromkeys(g.like for g in asked.generations):
        for name, sku in systems.items():
            found[like, name] = partial(_plan, scenario.workloads[like], sku, scenario)
    return found


def known_of(results: Mapping[Key, Any], scenario: Scenario) -> Known:
    """What `calls` gave, sizes and training plans apart."""
    sizes = {key: found for key, found in results.items() if key[0] in scenario.serving}
    return Known(sizes, {key: found for key, found in results.items() if key[0] not in scenario.serving})


def _size(workload: ServingWorkload, sku: AskedSku, horizon: Horizon) -> SizedPlace:
    """A served model on a system, wherever that stands."""
    assert sku.system is not None
    assert sku.accelerator is not None
    place = Partition(sku.system, sku.accelerator, 1)
    asked = highest_demand(workload, horizon)
    return size_place(workload, ServedOn("", sku.system.name), place, EVEN, 1.0, asked)


def _plan(workload: TrainingWorkload, sku: AskedSku, scenario: Scenario) -> tuple[TrainingPlan | None, str]:
    """A training run on a system: on its own cluster's network where it stands there, else on a flat one."""
    assert sku.system is not None
    assert sku.accelerator is not None
    job = Job(
        workload.model, workload.sequence, workload.global_batch, recipe(workload.precision),
        workload.imbalance, workload.capacity,
    )  # fmt: skip
    machine, partition = scenario.clusters[workload.cluster].machine, None
    names = [p.system.name for p in machine.partitions]
    count = workload.slice.accelerators
    if sku.system.name in names and machine.partitions[names.index(sku.system.name)].accelerators >= count:
        partition = names.index(sku.system.name)
    else:
        size = sku.system.scale_up_size
        machine = build(sku.system, sku.accelerator, max(round(count / size), 1) * size)
        count = machine.accelerators
    try:
        plan = plan_training(
            job, machine, count, workload.tokens, None, workload.constraints, partition=partition, top=1
        )
    except InputError as error:
        return None, str(error)
    return (plan, "") if plan.candidates else (None, f"nothing of {workload.name} fits on {sku.system.name}")


def served_rate(at: SizedPlace) -> float:
    """Requests that an accelerator serves at the peak, with headroom and idle parts of domains [1/s]."""
    domains = need(at, at.asked.peak)[2]
    return at.asked.peak / (domains * at.partition.system.scale_up_size)


def trained_rate(plan: TrainingPlan, goodput: float) -> float:
    """Of one accelerator, 6 x active parameters x tokens over its time [FLOP/s]."""
    flop = 6.0 * parameters(plan.job.model).active * plan.tokens
    return flop / (plan.duration * plan.granted) * goodput


def generation_flop(generation: AskedGeneration, scenario: Scenario) -> float:
    """Compute of a generation's final run [FLOP]."""
    if generation.flop is not None:
        return generation.flop
    run = scenario.workloads[generation.like]
    return 6.0 * parameters(run.model).active * run.tokens


def work_of(scenario: Scenario, asked: Purchasing, known: Known) -> tuple[Work, ...]:
    """What a unit of each SKU does of serving and of each generation."""
    found = []
    for sku in asked.skus:
        if sku.system is None:
            continue
        for served in scenario.serving.values():
            at = known.sizes[served.name, sku.system.name]
            words = "" if at.deployments else at.infeasible
            found.append(Work(served.name, sku.name, served_rate(at) if at.deployments else 0.0, words))
        for g in asked.generations:
            plan, words = known.plans[g.like, sku.system.name]
            rate = 0.0 if plan is None else trained_rate(plan, asked.goodput)
            found.append(Work(g.name, sku.name, rate, words))
    return tuple(found)


def rate(works: Sequence[Work], stream: str, sku: str) -> float:
    """Of a stream on a SKU; 0 where it does none of it [unit of work/s]."""
    return next((w.rate for w in works if w.stream == stream and w.sku == sku), 0.0)

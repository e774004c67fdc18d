"""Fabrics to try a plan on: one property varied at a time, the others as in the base."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from math import ceil
from typing import NamedTuple

import numpy as np

from armillary.catalog import Accelerator, System
from armillary.errors import InfeasibleError, InputError, did_you_mean
from armillary.machine import Ring, Slice, build
from armillary.model import parameters
from armillary.network.clos import Level, clos
from armillary.network.equipment import network_cost
from armillary.network.fabric import Fabric
from armillary.network.traffic import ring_flows
from armillary.training import Calibration, Job, Layout
from armillary.training.on_fabric import Background, FabricStep
from armillary.training.outer import outer_exchange, outer_share
from armillary.training.traffic import Integers, exchanges, placed

OVERSUBSCRIPTIONS = (1.0, 2.0, 4.0, 8.0)
"""Ratios of leaf to spine to try [-]."""
DOMAINS = (8, 36, 72, 144, 576)
"""Scale-up domains to try: HGX node, half a rack, NVL72, two racks, Kyber [accelerators]."""
OUTER_STEPS = (100, 500)
"""Inner steps between two outer exchanges: 500 kept the loss of synchronous training for small models
(Douillard et al. 2023, arXiv:2311.08105, section 4). [-]"""
HIDDEN_STEPS = 0.0
"""Inner steps that an outer exchange hides under: none, as in DiLoCo; Streaming DiLoCo has several. [-]"""


class Shape(NamedTuple):
    """The network above the scale-up domains.

    leaf : accelerators under one leaf [-]. oversubscription : of leaf to spine [-]. rails, routing, planes :
    as in `network.clos.clos`. rail_count : rails, where leaves serve them [-]. queue_pairs : of each flow,
    for ECMP's hash; 4 is an assumption: NCCL opens one for each of a few channels, Meta took 16 (Gangidi et
    al. 2024) [-].
    """

    leaf: int = 32
    oversubscription: float = 1.0
    rails: str = "optimised"
    routing: str = "spray"
    planes: int = 1
    rail_count: int = 8
    queue_pairs: int = 4


class LongHaul(NamedTuple):
    """Links between two clusters, all together. bandwidth : one way [byte/s]; latency : one way [s]."""

    bandwidth: float
    latency: float


class Plan(NamedTuple):
    """What is tried on every fabric."""

    job: Job
    machine: Slice
    layout: Layout
    calibration: Calibration


class Case(NamedTuple):
    """A fabric to try a plan on.

    question : what is varied. label : its value. plan : where the case changes it (machine, batch). place,
    background : as in `training.on_fabric`. extra : what the case adds to a step beside its fabric's own
    exchanges [s]. bought : the fabric that was paid for, where it is not the same. clusters : how many such
    fabrics there are [-]. note : what it assumes.
    """

    question: str
    label: str
    plan: Plan
    shape: Shape
    fabric: Fabric
    place: Integers | None = None
    background: Background | None = None
    extra: Callable[[FabricStep], float] | None = None
    bought: Fabric | None = None
    clusters: int = 1
    note: str = ""


def machine_of(system: System, chip: Accelerator, accelerators: int, used: int, ratio: float) -> Slice:
    """Slice of a machine whose one outer ring has the oversubscription of the spine."""
    bandwidth = system.nic_bandwidth / ratio
    whole = accelerators // used * system.scale_up_size
    ring = Ring("cluster", whole, bandwidth, system.nic_latency, ratio)
    return build(system, chip, whole, [ring]).slice(accelerators, domain_used=used)


def fabric_of(machine: Slice, shape: Shape, clusters: int = 1, haul: LongHaul | None = None) -> Fabric:
    """Fabric that holds a slice: leaf and spine, and long-haul links above where there are more clusters.

    Raises
    ------
    InputError
        If the shape makes no fabric.
    """
    system = machine.system
    size = system.scale_up_size
    rails = rails_of(system, shape)
    unit = group_of(system, shape)
    each = ceil(machine.domains * size / clusters / unit) * unit
    domain, chip = machine.rings[0], machine.accelerator
    levels = [Level("leaf", shape.leaf), Level("spine", each, shape.oversubscription)]
    if haul is not None:
        levels.append(Level("region", 0, bandwidth=haul.bandwidth, latency=haul.latency))
    return clos(
        each * clusters,
        levels,
        system.nic_bandwidth,
        system.nic_latency,
        size,
        chip.scale_up_bandwidth,
        domain.latency,
        shape.routing,
        shape.rails,
        rails,
        shape.planes,
        name=f"{system.name} {shape.rails}-rail {shape.routing}",
    )


def rails_of(system: System, shape: Shape) -> int:
    """Largest number of rails, up to the shape's, that divides a scale-up domain; 1 without rails [-]."""
    size, wished = system.scale_up_size, shape.rail_count if shape.rails != "none" else 1
    return next(r for r in range(min(wished, size), 0, -1) if size % r == 0)


def group_of(system: System, shape: Shape) -> int:
    """Accelerators that a fabric has a multiple of: those of whole leaves, one on each rail, and domains."""
    return int(np.lcm(shape.leaf * rails_of(system, shape), system.scale_up_size))


def case_cost(case: Case) -> float:
    """Cost of the switches and cables of the plan's share of a fabric, long-haul links not counted [USD]."""
    fabric = case.bought or case.fabric
    share = min(float(case.plan.layout.accelerators) / fabric.endpoints, 1.0)
    return case.clusters * network_cost(fabric, levels=("host", "leaf")).total * share


def by_oversubscription(plan: Plan, shape: Shape) -> list[Case]:
    """Vary how thin the spine is."""
    cases = []
    for ratio in OVERSUBSCRIPTIONS:
        thin = shape._replace(oversubscription=ratio)
        machine = _thinned(plan.machine, ratio)
        cases.append(
            Case("oversubscription", f"{ratio:g}:1", plan._replace(machine=machine), thin,
                 fabric_of(machine, thin))
        )  # fmt: skip
    return cases


def _thinned(machine: Slice, ratio: float) -> Slice:
    system = machine.system
    return machine_of(system, machine.accelerator, machine.accelerators, machine.domain_used, ratio)


def by_domain(plan: Plan, shape: Shape) -> list[Case]:
    """Vary how many accelerators share the scale-up network; all of a domain are used."""
    cases = []
    ranks = plan.machine.accelerators
    for size in DOMAINS:
        if size > ranks:
            continue
        system = replace(plan.machine.system, scale_up_size=size)
        used = next(u for u in range(size, 0, -1) if ranks % u == 0)
        machine = machine_of(system, plan.machine.accelerator, ranks, used, shape.oversubscription)
        note = f"{used} of {size} used" if used < size else ""
        cases.append(
            Case(
                "domain",
                str(size),
                plan._replace(machine=machine),
                shape,
                fabric_of(machine, shape),
                note=note,
            )
        )
    return cases


def by_rails(plan: Plan, shape: Shape) -> list[Case]:
    """Leaves that serve nodes, leaves that serve rails, and rails that nothing joins."""
    cases = []
    for rails in ("none", "optimised", "only"):
        other = shape._replace(rails=rails)
        cases.append(Case("rails", rails, plan, other, fabric_of(plan.machine, other)))
    return cases


def by_routing(plan: Plan, shape: Shape) -> list[Case]:
    """Every packet its own path, a hashed path a flow, a static one."""
    cases = []
    for routing in ("spray", "ecmp", "static"):
        other = shape._replace(routing=routing)
        cases.append(Case("routing", routing, plan, other, fabric_of(plan.machine, other)))
    return cases


def by_failure(plan: Plan, shape: Shape) -> list[Case]:
    """Nothing, a spine, every fourth one, a leaf at half, a slow rail; what cuts the plan off is left out."""
    fabric = fabric_of(plan.machine, shape)
    spines = fabric.switches["spine"]
    fourth = [(f"spine {i}", 0.0) for i in range(0, spines, 4)]
    broken: dict[str, list[tuple[str, float]]] = {
        "one spine down": [("spine 0", 0.0)],
        f"{len(fourth)} of {spines} spines down": fourth,
        "a leaf's NICs and links at half": [("leaf 0", 0.5)],
    }
    if shape.rails != "none":
        broken["a rail at half"] = [("rail 0", 0.5)]
    cases, cut = [], []
    for label, failures in broken.items():
        left = fabric.degraded(failures)
        if _joined(plan, left):
            cases.append(Case("failure", label, plan, shape, left, bought=fabric))
        else:
            cut.append(label)
    note = f"cut off by {', '.join(cut)}" if cut else ""
    return [Case("failure", "none", plan, shape, fabric, note=note), *cases]


def _joined(plan: Plan, fabric: Fabric) -> bool:
    """True where every flow of a plan still has a path."""
    place = placed(plan.machine, fabric.endpoints, int(plan.layout.accelerators))
    try:
        for exchange in exchanges(*plan, place, fabric.domain):
            fabric.routes(exchange.traffic.source, exchange.traffic.target)
    except InputError:
        return False
    return True


def by_placement(plan: Plan, shape: Shape, seed: int = 0) -> list[Case]:
    """Domains side by side, and in random order as a long-lived cluster hands them out, on two spines."""
    ranks = int(plan.layout.accelerators)
    size = plan.machine.system.scale_up_size
    cases = []
    for ratio in dict.fromkeys((shape.oversubscription, OVERSUBSCRIPTIONS[-2])):
        thin = shape._replace(oversubscription=ratio)
        thinned = plan._replace(machine=_thinned(plan.machine, ratio))
        fabric = fabric_of(plan.machine, thin)
        packed = placed(plan.machine, fabric.endpoints, ranks)
        places = {"packed": packed, "scattered": scattered(packed, fabric.endpoints, size, seed)}
        for label, place in places.items():
            note = f"seed {seed}" if label == "scattered" else ""
            cases.append(Case("placement", f"{label}, {ratio:g}:1", thinned, thin, fabric, place, note=note))
    return cases


def scattered(place: Integers, endpoints: int, size: int, seed: int) -> Integers:
    """The same ranks with their domains in random order over all domains of the fabric."""
    order = np.random.default_rng(seed).permutation(endpoints // size)
    moved: Integers = order[place // size] * size + place % size
    return moved


def by_neighbours(plan: Plan, shape: Shape, seed: int = 0) -> list[Case]:
    """Alone, and beside another job as large whose domains lie among this one's, on a thin spine."""
    ranks = int(plan.layout.accelerators)
    shape = shape._replace(oversubscription=max(shape.oversubscription, OVERSUBSCRIPTIONS[1]))
    plan = plan._replace(machine=_thinned(plan.machine, shape.oversubscription))
    machine = plan.machine
    both = replace(machine, accelerators=2 * machine.accelerators, domains=2 * machine.domains)
    fabric = fabric_of(both, shape)
    size = machine.system.scale_up_size
    place = scattered(placed(machine, fabric.endpoints, ranks), fabric.endpoints, size, seed)
    free = np.setdiff1d(np.arange(fabric.endpoints // size), place // size)
    whole = free[:, None] * size + np.arange(size)
    other = Background(ring_flows(whole.reshape(1, -1), fabric.domain, 1.0))
    ratio = f"{shape.oversubscription:g}:1"
    note = f"scattered among each other, seed {seed}; the other job rings all the time"
    return [
        Case("neighbours", f"alone, {ratio}", plan, shape, fabric, place, note=f"scattered, seed {seed}"),
        Case("neighbours", f"another job, {ratio}", plan, shape, fabric, place, other, note=note),
    ]


def by_generation(plan: Plan, shape: Shape, older: System | None = None) -> list[Case]:
    """All of one generation, and half with older NICs; the slower chip of the two paces the step.

    Without an older system its NIC is half as fast and the chip the same, which the note says.
    """
    fabric = fabric_of(plan.machine, shape)
    bandwidth = older.nic_bandwidth if older is not None else plan.machine.system.nic_bandwidth / 2
    factor = min(bandwidth / plan.machine.system.nic_bandwidth, 1.0)
    first = np.arange(fabric.endpoints // 2)
    slow = plan.machine.with_ring("cluster", bandwidth=plan.machine.rings[-1].bandwidth * factor)
    name = older.name if older is not None else "with half the NIC"
    note = "compute as the newer" if older is None else ""
    return [
        Case("generations", plan.machine.system.name, plan, shape, fabric),
        Case("generations", f"half {name}", plan._replace(machine=slow), shape,
             fabric.with_links(fabric.nics(first), factor), note=note),
    ]  # fmt: skip


def by_long_haul(plan: Plan, shape: Shape, haul: LongHaul) -> list[Case]:
    """One cluster; two joined by thin links, synchronised at every step; and only every so many (DiLoCo)."""
    ranks = int(plan.layout.accelerators)
    joined = fabric_of(plan.machine, shape, 2, haul)
    half = joined.endpoints // 2
    packed = placed(plan.machine, joined.endpoints, ranks)
    size = plan.machine.system.scale_up_size
    split = plan.machine.domains // 2 * size
    place = np.where(packed < split, packed, packed - split + half)
    inner, why = _halved(plan, shape)
    note = "closed form without the long haul" + (f"; no infrequent synchronisation: {why}" if why else "")
    cases = [
        Case("long haul", "one cluster", plan, shape, fabric_of(plan.machine, shape)),
        Case("long haul", "two, every step", plan, shape, joined, place, note=note),
    ]
    if inner is None:
        return cases
    exchange = outer_exchange(parameters(plan.job.model).total, 2, haul.bandwidth, haul.latency)
    for every in OUTER_STEPS:

        def extra(on: FabricStep, every: int = every) -> float:
            return float(outer_share(exchange, float(on.loaded.time.total), every, HIDDEN_STEPS))

        note = "DiLoCo; what it does to the loss is not in it"
        fabric = fabric_of(inner.machine, shape)
        label = f"two, every {every}"
        cases.append(Case("long haul", label, inner, shape, fabric, extra=extra, clusters=2, note=note))
    return cases


def _halved(plan: Plan, shape: Shape) -> tuple[Plan | None, str]:
    """The plan of one of two clusters that share the batch, or why there is none."""
    layout, machine = plan.layout, plan.machine
    ranks = layout.tp * layout.cp * layout.dp
    for what, number, parts in (
        ("data-parallel ranks", layout.dp, 2),
        ("domains", machine.domains, 2),
        ("sequences", plan.job.global_batch, 2 * layout.micro_batch),
        ("ranks under experts", ranks, 2 * layout.ep * layout.etp),
    ):
        if number % parts:
            return None, f"{number:g} {what} do not divide by {parts}"
    half = machine_of(
        machine.system,
        machine.accelerator,
        int(layout.accelerators) // 2,
        machine.domain_used,
        shape.oversubscription,
    )
    copies = layout.dp // 2 * layout.cp
    shard = layout.shard if copies % layout.shard == 0 else copies
    return Plan(
        plan.job._replace(global_batch=plan.job.global_batch / 2),
        half,
        layout._replace(dp=layout.dp // 2, shard=shard),
        plan.calibration,
    ), ""


QUESTIONS = (
    "oversubscription",
    "domain",
    "rails",
    "routing",
    "failure",
    "placement",
    "neighbours",
    "generations",
    "long-haul",
)
"""What can be varied."""


def fabric_cases(
    plan: Plan, shape: Shape, questions: Iterable[str], haul: LongHaul, older: System | None = None
) -> list[Case]:
    """Cases of some questions.

    Raises
    ------
    InputError
        If a question is not known.
    InfeasibleError
        If the plan has one accelerator only, which no network joins.
    """
    if plan.layout.accelerators < 2:
        raise InfeasibleError("a plan on one accelerator has no network to vary")
    cases: list[Case] = []
    simple = {
        "oversubscription": by_oversubscription,
        "domain": by_domain,
        "rails": by_rails,
        "routing": by_routing,
        "failure": by_failure,
        "placement": by_placement,
        "neighbours": by_neighbours,
    }
    for question in questions:
        if question in simple:
            cases += simple[question](plan, shape)
        elif question == "generations":
            cases += by_generation(plan, shape, older)
        elif question == "long-haul":
            cases += by_long_haul(plan, shape, haul)
        else:
            raise InputError(
                f"unknown question {question!r}{did_you_mean(question, QUESTIONS)} "
                f"(known: {', '.join(QUESTIONS)})"
            )
    return cases

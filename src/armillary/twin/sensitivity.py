"""What-ifs: the best plan again with one property of the machine changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from armillary.catalog import Catalog
from armillary.errors import InfeasibleError, InputError
from armillary.machine import Machine, Partition, build
from armillary.training import Candidate, Gradients, Job, Layout, calibration, gradients, search
from armillary.twin.plan import TrainingPlan, grown, uses_of

DOMAINS = (8, 36, 72, 144, 576)
"""Scale-up domain sizes to try: HGX node, half a rack, NVL72, two racks, Kyber [accelerators]."""
OVERSUBSCRIPTIONS = (1.0, 2.0, 4.0, 7.0, 15.0)
"""Ratios to try: full bisection to the core of published fabrics (7:1 Meta 24k, 15:1 HPN 7.0)."""
BANDWIDTHS = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Factors on a ring's bandwidth to try."""
SCALES = (1024, 4096, 16384, 65536, 262144, 524288)
"""Working accelerators to try; each is rounded to a power of two of scale-up domains."""

NARROW: Mapping[str, Sequence[Any]] = {
    "sharding": [(1, "all"), (3, "all")],
    "cp_exchange": [0],
    "order": [0],
    "schedule": [0],
    "etp": [1],
    "micro_batch": [1, 2, 4],
    "vpp": [1, 2, 3, 4, 6, 8],
}
"""Choices that what-ifs leave out to answer fast; the reference point is searched the same way."""


@dataclass(frozen=True, slots=True)
class Point:
    """One what-if.

    x : the property varied. accelerators : granted [-]. step [s], mfu : None where nothing fits.
    """

    x: float
    label: str
    accelerators: int
    step: float | None
    mfu: float | None
    tokens_per_accelerator: float | None
    layout: str


@dataclass(frozen=True, slots=True)
class Curve:
    """A property of the machine varied."""

    name: str
    title: str
    points: tuple[Point, ...]


def _point(
    x: float, label: str, job: Job, machine: Machine, accelerators: int, fixed: Mapping[str, Sequence[Any]]
) -> Point:
    found: list[Candidate] = []
    try:
        slices = uses_of(machine, accelerators)
    except InputError as error:
        return Point(x, label, accelerators, None, None, None, str(error))
    why = ""
    for part in slices:
        answer = search(job, part, calibration(part.accelerator), fixed, top=1)
        try:
            found.append(answer.best)
        except InfeasibleError as error:
            why = str(error)
    if not found:
        return Point(x, label, accelerators, None, None, None, why)
    best = min(found, key=lambda c: float(c.estimate.time.total))
    e = best.estimate
    # Every granted accelerator counts, spares of the domain too.
    used = float(e.accelerators) / accelerators
    return Point(
        x,
        label,
        accelerators,
        float(e.time.total),
        float(e.mfu) * used,
        float(e.tokens_per_accelerator) * used,
        best.layout.describe(),
    )


def around(layout: Layout, fixed: Mapping[str, Sequence[Any]] | None = None) -> dict[str, list[Any]]:
    """Constraints for what-ifs near a plan: `NARROW` with the plan's own choices added, then `fixed`.

    With these the unchanged machine gives the plan's own step time.
    """
    near = {name: list(values) for name, values in NARROW.items()}
    for name in near:
        if name == "sharding":
            near[name] += [(int(layout.zero), where) for where in ("all", "domain")]
        else:
            near[name].append(getattr(layout, name))
    unique = {name: list(dict.fromkeys(values)) for name, values in near.items()}
    return {**unique, **{name: list(values) for name, values in (fixed or {}).items()}}


def plan_gradients(plan: TrainingPlan, fixed: Mapping[str, Sequence[Any]] | None = None) -> Gradients:
    """What 1% more of each thing buys at a plan's best layout, and with the layout re-chosen near it."""
    layout = plan.best.layout
    return gradients(plan.job, plan.slice, layout, plan.calibrated, around(layout, fixed))


def _narrowed(fixed: Mapping[str, Sequence[Any]] | None) -> dict[str, Sequence[Any]]:
    return {**NARROW, **(fixed or {})}


def by_domain(
    job: Job,
    machine: Machine,
    partition: Partition,
    accelerators: int,
    fixed: Mapping[str, Sequence[Any]] | None = None,
    sizes: Iterable[int] = DOMAINS,
) -> Curve:
    """Vary how many accelerators share the scale-up network, at the same batch.

    Domains stay whole: each size has as many of them as come nearest to the accelerators asked for, at least
    one. Where a size does not divide them it has a few more or less, which its point and the title say.
    """
    points = []
    for size in sizes:
        domains = max(round(accelerators / size), 1)
        system = replace(partition.system, scale_up_size=size)
        part = replace(partition, system=system, domains=domains)
        points.append(
            _point(
                size, str(size), job, replace(machine, partitions=(part,)), domains * size, _narrowed(fixed)
            )
        )
    title = "scale-up domain size [accelerators]"
    if any(p.accelerators != accelerators for p in points):
        title += f", in whole domains: {' / '.join(f'{p.accelerators:,}' for p in points)} in all"
    return Curve("domain", title, tuple(points))


def by_ring_bandwidth(
    job: Job,
    machine: Machine,
    partition: Partition,
    accelerators: int,
    ring: str,
    fixed: Mapping[str, Sequence[Any]] | None = None,
    factors: Iterable[float] = BANDWIDTHS,
) -> Curve:
    """Scale the bandwidth of one ring: ``scale-up``, or the name of an outer one."""
    points = []
    for factor in factors:
        if ring == "scale-up":
            chip = partition.accelerator
            faster = replace(chip, scale_up_bandwidth=chip.scale_up_bandwidth * factor)
            changed = replace(machine, partitions=(replace(partition, accelerator=faster),))
        else:
            system = replace(partition.system, nic_bandwidth=partition.system.nic_bandwidth * factor)
            rings = tuple(
                replace(r, bandwidth=r.bandwidth * factor) if r.name == ring else r for r in machine.rings
            )
            changed = replace(machine, partitions=(replace(partition, system=system),), rings=rings)
        points.append(_point(factor, f"{factor:g}x", job, changed, accelerators, _narrowed(fixed)))
    return Curve(f"bandwidth {ring}", f"bandwidth of the {ring} ring [times]", tuple(points))


def by_oversubscription(
    job: Job,
    machine: Machine,
    partition: Partition,
    accelerators: int,
    fixed: Mapping[str, Sequence[Any]] | None = None,
    ratios: Iterable[float] = OVERSUBSCRIPTIONS,
) -> Curve:
    """Vary the oversubscription of the outermost ring that the job crosses."""
    nic = partition.system.nic_bandwidth
    points = []
    for ratio in ratios:
        outer = machine.rings[-1]
        thin = replace(outer, bandwidth=nic / ratio, oversubscription=ratio)
        changed = replace(machine, partitions=(partition,), rings=(*machine.rings[:-1], thin))
        points.append(_point(ratio, f"{ratio:g}:1", job, changed, accelerators, _narrowed(fixed)))
    return Curve("oversubscription", f"oversubscription of the {machine.rings[-1].name} ring", tuple(points))


def by_scale(
    job: Job,
    machine: Machine,
    partition: Partition,
    accelerators: int,
    fixed: Mapping[str, Sequence[Any]] | None = None,
    scales: Iterable[int] = SCALES,
) -> Curve:
    """Vary the number of accelerators; the batch grows with them, so that each has the same work."""
    size = partition.system.scale_up_size
    points = []
    for scale in scales:
        power = 1 << (size.bit_length() - 1)
        whole = max(scale // power, 1) * size
        batch = max(round(job.global_batch * whole / accelerators), 1)
        batch = 1 << max(batch.bit_length() - 1, 0)
        grownup = grown(machine, partition, whole)
        points.append(
            _point(whole, f"{whole:,}", job._replace(global_batch=batch), grownup, whole, _narrowed(fixed))
        )
    return Curve("scale", "accelerators, same batch for each", tuple(points))


def by_sequence(
    job: Job,
    machine: Machine,
    partition: Partition,
    accelerators: int,
    fixed: Mapping[str, Sequence[Any]] | None = None,
    sequences: Iterable[int] = (4096, 8192, 16384, 32768, 65536, 131072),
) -> Curve:
    """Vary the sequence length at the same tokens per step."""
    tokens = job.tokens_per_step
    only = replace(machine, partitions=(partition,))
    points = [
        _point(
            s,
            f"{s:,}",
            job._replace(sequence=s, global_batch=max(round(tokens / s), 1)),
            only,
            accelerators,
            _narrowed(fixed),
        )
        for s in sequences
    ]
    return Curve("sequence", "sequence length [token], same tokens per step", tuple(points))


SWEEPS: dict[str, Callable[..., Curve]] = {
    "domain": by_domain,
    "oversubscription": by_oversubscription,
    "scale": by_scale,
    "sequence": by_sequence,
}
"""Sweeps by name; ``bandwidth`` takes a ring as well, see `by_ring_bandwidth`."""


def by_system(
    job: Job,
    accelerators: int,
    catalog: Catalog,
    fixed: Mapping[str, Sequence[Any]] | None = None,
    systems: Iterable[str] = ("p5", "p5en", "p6-b200", "p6-b300", "p6e-gb200", "p6e-gb300"),
) -> Curve:
    """Train the same job on other systems of the catalog, each with as many accelerators or a few less."""
    points = []
    for i, name in enumerate(systems):
        system = catalog.system(name)
        chip = catalog.accelerator(system.accelerator)
        count = max(accelerators // system.scale_up_size, 1) * system.scale_up_size
        if not chip.peak.get(job.recipe.gemm):
            points.append(Point(i, name, count, None, None, None, f"no {job.recipe.gemm} arithmetic"))
            continue
        points.append(_point(i, name, job, build(system, chip, count), count, _narrowed(fixed)))
    return Curve("system", "system", tuple(points))

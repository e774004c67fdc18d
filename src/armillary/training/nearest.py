"""What to change where a wish has no feasible layout, or a slow one. Imports this room's search.

A wish is a mapping of constraints as `search` takes them. The nearest feasible layout changes the fewest
fields of the wish; of several, it is the fastest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import inf, lcm, prod
from typing import Any, NamedTuple

from armillary.machine import Slice
from armillary.training.calibration import Calibration
from armillary.training.job import Job
from armillary.training.layout import CHOICES, Layout
from armillary.training.search import Candidate, Search, search
from armillary.training.space import OFFLOADS

Wish = Mapping[str, Sequence[Any]]

SLOW = 1.10
"""A wish slower than so many times the best is told what a change would give. [-]"""
GROWTH = (1, 1.5, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
"""Times as many accelerators to try where a wish does not fit. [-]"""
REASONS = 2
"""Reasons to tell at most, those that rule out last first."""
POLICIES = ("recompute", "sharding", "micro_batch", "offload_activations", "offload_optimizer")
"""Fields that trade time for memory and leave the parallel degrees alone."""


class Change(NamedTuple):
    """A field of a wish that a layout does not keep."""

    field: str
    wished: tuple[Any, ...]
    got: Any

    def __str__(self) -> str:
        """Say it, e.g. ``pp from 1 to 8``."""
        wished = " or ".join(said(self.field, v) for v in self.wished)
        return f"{said_name(self.field)} from {wished} to {said(self.field, self.got)}"


@dataclass(frozen=True, slots=True)
class Near:
    """A feasible layout and what it changes of a wish."""

    candidate: Candidate
    changes: tuple[Change, ...]

    @property
    def step(self) -> float:
        """Step time [s]."""
        return float(self.candidate.estimate.time.total)


@dataclass(frozen=True, slots=True)
class Advice:
    """What would help a wish.

    why : what binds, empty where the wish is feasible but slow.
    best : step time without the wish, None where nothing is feasible [s].
    nearest : None where no change of the wish helps.
    needed, missing : memory an accelerator that the wish would fit in, and what of that lacks [byte]; 0
        where memory is not what binds.
    accelerators : the least tried on which the wish is feasible, None for none of them [-].
    policies : the wish with other recomputation, sharding, micro-batch or offload; None where none fits.
    """

    why: str
    best: float | None
    nearest: Near | None
    needed: float = 0.0
    missing: float = 0.0
    accelerators: int | None = None
    policies: Near | None = None


def advise(
    job: Job, machines: Sequence[Slice], calibration: Calibration, wish: Wish, step: float | None = None
) -> Advice | None:
    """Say what would help a wish; None where it is feasible and fast.

    Parameters
    ----------
    job, calibration
        As in `step.estimate`.
    machines : sequence of Slice
        Ways to use the same accelerators.
    wish : mapping
        Constraints of `search`.
    step : float, optional
        Step time of the best layout under the wish, where there is one. [s]
    """
    if step is not None:
        return _faster(job, machines, calibration, wish, step)
    found = [search(job, m, calibration, wish, top=1) for m in machines]
    least = min(found, key=_lacking).nearest
    needed = float(least.estimate.memory_total) if least is not None else 0.0
    best = _best(job, machines, calibration, {}) if wish else None
    return Advice(
        why_not(found, wish),
        float(best.estimate.time.total) if best else None,
        nearest(job, machines, calibration, wish) if best else None,
        needed,
        needed - least.estimate.capacity if least is not None else 0.0,
        _accelerators(job, machines, calibration, wish),
        _policies(job, machines, calibration, wish, least.layout) if least is not None else None,
    )


def why_not(found: Sequence[Search], wish: Wish) -> str:
    """Say what binds; of a wish that cannot be laid out, the reasons that rule it out."""
    short = [s for s in found if s.nearest is not None]
    if short:
        return min(short, key=_lacking).why_nothing_fits()
    if not wish:
        return "\n".join(dict.fromkeys(s.why_nothing_fits() for s in found))
    reasons = dict.fromkeys(why for s in found for why in reversed(tuple(s.invalid)))
    asked = " ".join(f"{said_name(k)}={','.join(said(k, x) for x in v)}" for k, v in wish.items())
    told = "; ".join([*reasons][:REASONS]) or "micro-batches do not divide the batch"
    return f"no layout with {asked} is valid: {told}"


def _lacking(found: Search) -> float:
    return float(found.nearest.estimate.memory_total) if found.nearest is not None else inf


def said(field: str, value: Any) -> str:
    """A value of a constraint as people write it.

    Examples
    --------
    >>> said("recompute", 2), said("tp", 8), said("sharding", (3, "domain"))
    ('full', '8', '3/domain')
    """
    if isinstance(value, tuple):
        return f"{value[0]}" if value[1] == "all" else f"{value[0]}/{value[1]}"
    return CHOICES[field][int(value)] if field in CHOICES else f"{value:g}"


def said_name(field: str) -> str:
    """Name of a constraint as people write it."""
    return "zero" if field == "sharding" else field


def nearest(
    job: Job, machines: Sequence[Slice], calibration: Calibration, wish: Wish, most: int | None = None
) -> Near | None:
    """The feasible layout that changes fewest fields of a wish, the fastest of these.

    Parameters
    ----------
    most : int, optional
        Fields to change at most; all by default. [-]
    """
    for count in range((len(wish) if most is None else most) + 1):
        near = _changing(job, machines, calibration, wish, count)
        if near is not None:
            return near
    return None


def _changing(
    job: Job, machines: Sequence[Slice], calibration: Calibration, wish: Wish, count: int
) -> Near | None:
    """The fastest layout that keeps all but `count` fields of a wish."""
    kept = ({k: v for k, v in wish.items() if k not in freed} for freed in combinations(wish, count))
    found = [c for fixed in kept if (c := _best(job, machines, calibration, fixed)) is not None]
    if not found:
        return None
    best = min(found, key=_time)
    return Near(best, changed(wish, best.layout))


def changed(wish: Wish, layout: Layout) -> tuple[Change, ...]:
    """Fields of a wish that a layout does not keep."""
    changes = []
    for name, values in wish.items():
        got = layout.zero if name == "sharding" else getattr(layout, name)
        wished = tuple(dict.fromkeys(v[0] if name == "sharding" else v for v in values))
        if got not in wished:
            changes.append(Change(name, wished, got))
    return tuple(changes)


def _best(job: Job, machines: Sequence[Slice], calibration: Calibration, fixed: Wish) -> Candidate | None:
    found = (search(job, m, calibration, fixed, top=1).fastest for m in machines)
    return min((c for fastest in found for c in fastest), key=_time, default=None)


def _time(candidate: Candidate) -> float:
    return float(candidate.estimate.time.total)


def _faster(
    job: Job, machines: Sequence[Slice], calibration: Calibration, wish: Wish, step: float
) -> Advice | None:
    """What changing one field gives, for a wish that is feasible but slow."""
    best = _best(job, machines, calibration, {}) if wish else None
    if best is None or step <= SLOW * _time(best):
        return None
    near = _changing(job, machines, calibration, wish, 1)
    if near is not None and near.step >= step:
        near = None
    return Advice("", _time(best), near)


def _accelerators(job: Job, machines: Sequence[Slice], calibration: Calibration, wish: Wish) -> int | None:
    """The least of the numbers tried on which the wish is feasible."""
    sizes = sorted(((n, m) for m in machines for n in _sizes(m, wish)), key=lambda item: item[0])
    for number, machine in sizes:
        if search(job, machine.grown(number), calibration, wish, top=1).fastest:
            return number
    return None


def _sizes(machine: Slice, wish: Wish) -> Iterator[int]:
    """Numbers of accelerators to try: whole domains, and multiples of the ranks that a wish asks for."""
    ranks = prod(int(min(wish[name])) for name in ("tp", "cp", "pp") if name in wish)
    unit = lcm(machine.domain_used, ranks)
    units = -(-machine.accelerators // unit)
    for number in {1 << (units - 1).bit_length(), *(int(units * f) for f in GROWTH if units * f % 1 == 0)}:
        if machine.accelerators < number * unit <= GROWTH[-1] * machine.accelerators:
            yield number * unit


def _policies(
    job: Job, machines: Sequence[Slice], calibration: Calibration, wish: Wish, short: Layout
) -> Near | None:
    """The wish with policies freed: those it names, then offload as well."""
    degrees = {k: v for k, v in wish.items() if k not in POLICIES}
    for fixed in ([degrees] if len(degrees) < len(wish) else []) + [{**degrees, **OFFLOADS}]:
        best = _best(job, machines, calibration, fixed)
        if best is not None:
            was = {k: [getattr(short, "zero" if k == "sharding" else k)] for k in POLICIES}
            was["sharding"] = [(short.zero, "all")]
            return Near(best, changed(was, best.layout))
    return None

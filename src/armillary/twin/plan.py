"""`TrainingPlan`: the best layouts of a job on a machine, with time to train and money."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from armillary.errors import InfeasibleError, InputError
from armillary.machine import Machine, Partition, Slice
from armillary.training import (
    Calibration,
    Candidate,
    Job,
    Search,
    Waterfall,
    calibration,
    search,
    waterfall,
)


@dataclass(frozen=True, slots=True)
class Price:
    """Of one accelerator's time [USD/s], with where it comes from."""

    per_accelerator: float
    source: str


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """The answer to "how do I train this on that".

    granted : accelerators paid for [-]; a layout may leave some of each domain idle as spares.
    searches : one a way of using the domains (all of it, or a power of two of it).
    calibrated : what chips and software were taken to sustain.
    ways : searches that the answer takes; an interrupt leaves fewer [-].
    """

    job: Job
    machine: Machine
    granted: int
    tokens: float
    price: Price | None
    searches: tuple[Search, ...]
    calibrated: Calibration
    ways: int = 1

    @property
    def assumed(self) -> tuple[str, ...]:
        """What stands in for missing calibration."""
        return self.calibrated.assumed

    @property
    def slice(self) -> Slice:
        """What the best layout runs on."""
        best = self.best
        return next(s.space.machine for s in self.searches if any(c is best for c in s.fastest))

    @property
    def waterfall(self) -> Waterfall:
        """From the ideal step to that of the best layout."""
        return waterfall(self.job, self.slice, self.best.layout, self.calibrated)

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """Fastest layouts over all searches."""
        return self._merge(lambda s: s.fastest)

    @property
    def roomiest(self) -> tuple[Candidate, ...]:
        """Layouts with most memory to spare among those at most a tenth slower than the fastest."""
        limit = self.step * 1.10
        near = [c for s in self.searches for c in s.roomiest if float(c.estimate.time.total) <= limit]
        return tuple(sorted(near, key=lambda c: float(c.estimate.memory.total)))

    @property
    def front(self) -> tuple[Candidate, ...]:
        """Pareto front of step time and memory."""
        out: list[Candidate] = []
        for c in self._merge(lambda s: s.front):
            if not out or float(c.estimate.memory.total) < float(out[-1].estimate.memory.total):
                out.append(c)
        return tuple(out)

    def _merge(self, pick: Callable[[Search], tuple[Candidate, ...]]) -> tuple[Candidate, ...]:
        return tuple(
            sorted((c for s in self.searches for c in pick(s)), key=lambda c: float(c.estimate.time.total))
        )

    @property
    def best(self) -> Candidate:
        """The fastest layout.

        Raises
        ------
        InfeasibleError
            If none fits; says what lacks least.
        """
        found = self.candidates
        if not found:
            raise InfeasibleError("\n".join(dict.fromkeys(s.why_nothing_fits() for s in self.searches)))
        return found[0]

    @property
    def step(self) -> float:
        """Step time of the best layout [s]."""
        return float(self.best.estimate.time.total)

    @property
    def steps(self) -> float:
        """Optimizer steps to consume `tokens` [-]."""
        return self.tokens / self.job.tokens_per_step

    @property
    def duration(self) -> float:
        """Time to train without interruptions [s]."""
        return self.steps * self.step

    @property
    def cost(self) -> float | None:
        """Of all granted accelerators over `duration`; None without a price [USD]."""
        return self.duration * self.granted * self.price.per_accelerator if self.price else None

    @property
    def cost_per_million_tokens(self) -> float | None:
        """[USD per 1e6 token]."""
        return self.cost / self.tokens * 1e6 if self.cost is not None else None

    @property
    def evaluated(self) -> int:
        """Layouts timed over all searches [-]."""
        return sum(s.evaluated for s in self.searches)

    @property
    def pruned(self) -> int:
        """Valid layouts that a bound on time and memory ruled out, untimed [-]."""
        return sum(s.pruned for s in self.searches)

    @property
    def unseen(self) -> float:
        """Share of the searches that an interrupt left unseen, 0 to 1."""
        return 1 - sum(1 - s.unseen for s in self.searches) / self.ways

    @property
    def seen(self) -> int:
        """Combinations looked at, invalid ones included [-]."""
        return sum(s.space.size + sum(s.invalid.values()) for s in self.searches)


def uses_of(machine: Machine, accelerators: int, partition: int | None = None) -> list[Slice]:
    """Ways to use the domains of a grant: every accelerator, and the largest power of two of each domain.

    A domain of 72 used by 64 leaves eight as spares, and lets power-of-two groups stay inside it.
    """
    whole = machine.slice(accelerators, partition)
    size = whole.system.scale_up_size
    power = 1 << (size.bit_length() - 1)
    if size == power or accelerators % size:
        return [whole]
    domains = accelerators // size
    return [whole, machine.slice(domains * power, partition, domain_used=power)]


def plan_training(
    job: Job,
    machine: Machine,
    accelerators: int,
    tokens: float,
    price: Price | None = None,
    fixed: Mapping[str, Sequence[Any]] | None = None,
    partition: int | None = None,
    top: int = 5,
    progress: Callable[[int, int], None] | None = None,
    calibrated: Calibration | None = None,
) -> TrainingPlan:
    """Search the layouts of a job on a grant of accelerators.

    Parameters
    ----------
    job : Job
    machine : Machine
    accelerators : int
        Granted. [-]
    tokens : float
        To train on. [token]
    price : Price, optional
    fixed : mapping, optional
        Hard constraints, see `training.search`.
    partition : int, optional
        Which partition of the machine.

    Raises
    ------
    InputError
        If the accelerators are not there, or the recipe's precision is not one of the chip's.
    """
    slices = uses_of(machine, accelerators, partition)
    chip = slices[0].accelerator
    if not chip.peak.get(job.recipe.gemm):
        raise InputError(
            f"{chip.name} has no {job.recipe.gemm} arithmetic for precision {job.recipe.name!r}; "
            f"it has {', '.join(chip.peak)}"
        )
    known = calibrated or calibration(chip)
    searches: list[Search] = []
    for part in slices:
        searches.append(search(job, part, known, fixed, top, progress))
        if searches[-1].unseen:  # interrupted
            break
    return TrainingPlan(job, machine, accelerators, tokens, price, tuple(searches), known, ways=len(slices))


def grown(machine: Machine, partition: Partition, accelerators: int) -> Machine:
    """The same machine with one partition only, grown to hold so many accelerators (for what-ifs)."""
    size = partition.system.scale_up_size
    domains = max(-(-accelerators // size), 1)
    wide = replace(partition, domains=domains)
    outermost = machine.rings[-1]
    rings = (
        *machine.rings[:-1],
        replace(outermost, size=max(outermost.size, wide.accelerators)),
    )
    return replace(machine, partitions=(wide,), rings=rings)

"""The fleet through the quarters of a plan: who gets which scale-up domains, in the order of priorities.

Serving holds its domains for a whole quarter. Training runs start when their domains are free and end when
they are done; what is left after both is left.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil

from armillary.machine import Partition
from armillary.scenario import Horizon, Scenario, ServedOn, ServingWorkload, TrainingWorkload
from armillary.scenario.months import QUARTER, later
from armillary.serving.sized import packed
from armillary.twin.growth import QUARTERS_A_YEAR, grown, mean_grown, years_between
from armillary.twin.plan import TrainingPlan
from armillary.twin.serving_sizes import SizedPlace


@dataclass(frozen=True, slots=True)
class Placed:
    """A part of a workload on one system. peak : its requests at the peak [1/s]. domains : scale-up ones."""

    at: SizedPlace
    replicas: int
    prefill_replicas: int
    domains: int
    peak: float

    @property
    def accelerators(self) -> int:
        """Of replicas; a domain may hold more [-]."""
        best = self.at.best
        prefill = 0 if best.prefill is None else int(best.prefill.accelerators)
        return self.replicas * int(best.layout.accelerators) + self.prefill_replicas * prefill

    @property
    def held(self) -> int:
        """Of its domains, all paid for [-]."""
        return self.domains * self.at.partition.system.scale_up_size

    @property
    def cost(self) -> float | None:
        """Of a quarter; None without a price [USD]."""
        return None if self.at.price is None else self.held * self.at.price * QUARTER

    @property
    def energy(self) -> float:
        """Of a quarter at the meter, its domains at full load [J]."""
        return self.domains * self.at.partition.system.power * self.at.pue * QUARTER


@dataclass(frozen=True, slots=True)
class ServedQuarter:
    """A workload in a quarter.

    messages : in it [-]. peak : of its last day, the busiest hour [1/s].
    placed : on each system that serves it; missing : of the peak, without a place [1/s].
    lacking : domains of `lacking_system` that the missing part would take [-].
    """

    workload: ServingWorkload
    messages: float
    peak: float
    placed: tuple[Placed, ...]
    missing: float
    lacking: int
    lacking_system: str

    @property
    def domains(self) -> int:
        """Scale-up domains that serve it [-]."""
        return sum(p.domains for p in self.placed)

    @property
    def served(self) -> float:
        """Messages of the quarter less the share of the peak that has no place [-]."""
        return self.messages * (1 - self.missing / self.peak) if self.peak else 0.0

    @property
    def tokens(self) -> float:
        """Read and written for what is served [token]."""
        mean = self.workload.demand.lengths.mean
        return self.served * (mean.input + mean.output)

    @property
    def cost(self) -> float | None:
        """Of the quarter; None without a price [USD]."""
        costs = [p.cost for p in self.placed]
        return None if None in costs or not costs else sum(c for c in costs if c is not None)

    @property
    def energy(self) -> float:
        """Of the quarter, at the meter [J]."""
        return sum(p.energy for p in self.placed)

    def latency(self, what: str, percentile: float) -> float | None:
        """Of ``ttft``, ``tpot`` or ``e2e`` the highest of the systems that serve it, None without [s]."""
        found = [
            float(getattr(one, what))
            for p in self.placed
            for one in p.at.latency
            if one.percentile == percentile
        ]
        return max(found, default=None)


@dataclass(frozen=True, slots=True)
class TrainedQuarter:
    """A training run in a quarter. domains : it holds; time : that it runs [s]; done : it ends in it."""

    name: str
    domains: int
    accelerators: int
    time: float
    done: bool

    @property
    def mean_domains(self) -> float:
        """Over the quarter [-]."""
        return self.domains * self.time / QUARTER


@dataclass(frozen=True, slots=True)
class QuarterRow:
    """A quarter. start : ISO month. ready : partitions that run from its beginning."""

    start: str
    ready: tuple[Partition, ...]
    serving: tuple[ServedQuarter, ...]
    training: tuple[TrainedQuarter, ...]

    @property
    def domains(self) -> int:
        """That are ready [-]."""
        return sum(p.domains for p in self.ready)

    @property
    def accelerators(self) -> int:
        """That are ready [-]."""
        return sum(p.accelerators for p in self.ready)

    @property
    def host_vcpus(self) -> int:
        """Of the hosts that are ready [-]."""
        return sum(p.nodes * p.system.cpus_per_node for p in self.ready)

    @property
    def serving_domains(self) -> int:
        """That serve [-]."""
        return sum(s.domains for s in self.serving)

    @property
    def demanded_domains(self) -> int:
        """That serve, and that what has no place would take [-]."""
        return self.serving_domains + sum(s.lacking for s in self.serving)

    @property
    def for_training(self) -> int:
        """Left by serving [-]."""
        return self.domains - self.serving_domains

    @property
    def training_domains(self) -> float:
        """That train, mean of the quarter [-]."""
        return sum(t.mean_domains for t in self.training)

    @property
    def left_domains(self) -> float:
        """Left by serving and training, mean of the quarter [-]."""
        return self.for_training - self.training_domains

    @property
    def for_training_time(self) -> float:
        """Accelerators' time that serving leaves [s]."""
        held = sum(p.held for s in self.serving for p in s.placed)
        return (self.accelerators - held) * QUARTER

    @property
    def training_time(self) -> float:
        """Accelerators' time that training takes [s]."""
        return sum(t.accelerators * t.time for t in self.training)


@dataclass(slots=True)
class _Held:
    """What holds domains of a partition in a quarter: (from, to, domains) [s]."""

    there: int
    spans: list[tuple[float, float, int]] = field(default_factory=list)

    def free(self, start: float, end: float) -> int:
        """Domains that are free all the while."""
        points = [start, *(a for a, _, _ in self.spans if start < a < end)]
        return min(self.there - sum(d for a, b, d in self.spans if a <= t < b) for t in points)

    def earliest(self, domains: int, duration: float) -> float | None:
        """When so many are free for a while, or to the quarter's end."""
        for start in sorted({0.0, *(b for _, b, _ in self.spans)}):
            if start < QUARTER and self.free(start, min(start + duration, QUARTER)) >= domains:
                return start
        return None

    def take(self, start: float, end: float, domains: int) -> None:
        self.spans.append((start, end, domains))


def plan_quarters(
    scenario: Scenario,
    horizon: Horizon,
    sizes: Mapping[str, Sequence[SizedPlace]],
    plans: Mapping[str, TrainingPlan],
) -> tuple[QuarterRow, ...]:
    """Give out the fleet, quarter by quarter.

    Parameters
    ----------
    scenario : Scenario
    horizon : Horizon
    sizes : mapping
        Of each served workload, its places with a deployment; the first is filled first.
    plans : mapping
        Of each training run that has one.
    """
    left = {name: plan.duration for name, plan in plans.items()}
    work: list[ServingWorkload | TrainingWorkload] = [
        *scenario.serving.values(),
        *(w for w in scenario.workloads.values() if w.name in plans),
    ]
    work.sort(key=lambda w: (-w.priority, isinstance(w, TrainingWorkload)))
    rows = []
    for i in range(horizon.quarters):
        start = later(horizon.start, 3 * i)
        ready = {
            ServedOn(c.name, p.system.name): p
            for c in scenario.clusters.values()
            for p in c.machine.partitions
            if p.ready <= start
        }
        held = {place: _Held(p.domains) for place, p in ready.items()}
        serving, training = [], []
        for w in work:
            if isinstance(w, ServingWorkload):
                serving.append(_serve(w, sizes.get(w.name, ()), held, start))
            else:
                ran = _train(w, held, left)
                if ran is not None:
                    training.append(ran)
        rows.append(QuarterRow(start, tuple(ready.values()), tuple(serving), tuple(training)))
    return tuple(rows)


def need(at: SizedPlace, peak: float) -> tuple[int, int, int]:
    """Replicas, those of prompts apart, and domains that serve a peak [1/s].

    Notes
    -----
    Replicas stand in groups behind a router each, as the sizing simulates them, so that each sees its own
    share of the arrivals whatever their number: a deployment sized at one rate serves another with replicas,
    and those of prompts apart, in proportion, rounded up. Fewer than one group pool a little less.
    """
    best, part = at.best, peak / at.asked.peak
    replicas = max(ceil(best.replicas * part - 1e-9), 1)
    prefill = 0 if best.prefill is None else max(ceil(best.prefill_replicas * part - 1e-9), 1)
    return replicas, prefill, _domains(at, replicas, prefill)


def _domains(at: SizedPlace, replicas: int, prefill: int) -> int:
    best = at.best
    classes = [(replicas, int(best.layout.accelerators))]
    if best.prefill is not None:
        classes.append((prefill, int(best.prefill.accelerators)))
    return packed(classes, at.partition.system.scale_up_size)


def _serve(
    workload: ServingWorkload,
    places: Sequence[SizedPlace],
    held: Mapping[ServedOn, _Held],
    start: str,
) -> ServedQuarter:
    """Place a quarter's demand on the places in order; each takes what it has room for."""
    d = workload.demand
    begin = years_between(d.since, start)
    end = begin + 1 / QUARTERS_A_YEAR
    if end <= 0:
        return ServedQuarter(workload, 0.0, 0.0, (), 0.0, 0, "")
    first = max(begin, 0.0)
    lasts = (end - first) * QUARTERS_A_YEAR * QUARTER
    messages = d.messages * mean_grown(d.growth, first, end) * lasts
    peak = missing = d.messages * grown(d.growth, end) * d.shape.peak_over_mean
    placed = []
    for at in places:
        if missing <= 0:
            break
        if at.place not in held:  # not ready yet
            continue
        free = held[at.place].free(0.0, QUARTER)
        one = _fitted(at, missing, free)
        if one is not None:
            held[at.place].take(0.0, QUARTER, one.domains)
            placed.append(one)
            missing = max(missing - one.peak, 0.0)
    wanted = [at for at in places if at.place in held] or places
    lacking = need(wanted[0], missing)[2] if missing and wanted else 0
    system = wanted[0].place.system if lacking else ""
    return ServedQuarter(workload, messages, peak, tuple(placed), missing, lacking, system)


def _fitted(at: SizedPlace, peak: float, free: int) -> Placed | None:
    """As much of a peak as fits into free domains; None where nothing does."""
    replicas, prefill, domains = need(at, peak)
    if domains <= free:
        return Placed(at, replicas, prefill, domains, peak)
    best = at.best
    low, high = 0, replicas  # the most replicas that fit, by halving
    while high - low > 1:
        middle = (low + high) // 2
        if need(at, at.asked.peak * middle / best.replicas)[2] <= free:
            low = middle
        else:
            high = middle
    if not low:
        return None
    part = at.asked.peak * low / best.replicas
    return Placed(at, *need(at, part), part)


def _train(
    workload: TrainingWorkload, held: Mapping[ServedOn, _Held], left: dict[str, float]
) -> TrainedQuarter | None:
    """Run a training run for as much of a quarter as it has domains and is not done; None where it waits."""
    place = ServedOn(workload.cluster, workload.slice.system.name)
    remaining = left[workload.name]
    if remaining <= 0 or place not in held:
        return None
    domains = workload.slice.domains
    start = held[place].earliest(domains, remaining)
    if start is None:
        return None
    done = start + remaining <= QUARTER
    end = start + remaining if done else QUARTER
    held[place].take(start, end, domains)
    left[workload.name] = 0.0 if done else remaining - (end - start)
    size = workload.slice.system.scale_up_size
    return TrainedQuarter(workload.name, domains, domains * size, end - start, done)

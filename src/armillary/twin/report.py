"""`run`: answer a scenario. `Report`: everything that was found, as values for terminal, HTML and JSON."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from armillary.catalog import Catalog
from armillary.errors import InfeasibleError
from armillary.machine import Machine, Partition, Ring
from armillary.model import parameters
from armillary.scenario import Cluster, Scenario, TrainingWorkload
from armillary.training import Gradients, Job, recipe
from armillary.twin.executor import run_all
from armillary.twin.plan import Price, TrainingPlan, plan_training
from armillary.twin.portfolio_answer import PortfolioAnswer, portfolio_answer
from armillary.twin.portfolio_work import Key, known_of
from armillary.twin.portfolio_work import calls as portfolio_calls
from armillary.twin.sensitivity import (
    Curve,
    around,
    by_domain,
    by_oversubscription,
    by_ring_bandwidth,
    by_scale,
    plan_gradients,
)
from armillary.twin.serving_answer import ServingAnswer, serving_answer
from armillary.twin.serving_sizes import SizedPlace, sizings
from armillary.units import show

YEAR = 365.25 * 86400.0


@dataclass(frozen=True, slots=True)
class RingRow:
    """A ring of a cluster. instances : how many there are [-]; bisection : of one [byte/s]."""

    ring: Ring
    instances: float
    bisection: float


@dataclass(frozen=True, slots=True)
class Fleet:
    """What a cluster is. power : IT [W]; facility_power : with cooling and losses [W]."""

    name: str
    provider: str
    machine: Machine
    rings: tuple[RingRow, ...]
    power: float
    facility_power: float
    pue: float


@dataclass(frozen=True, slots=True)
class Tension:
    """What a contract's money buys against what the fleet would cost.

    affordable : accelerators that the yearly amount pays for all year at `price` [-].
    implied : price at which it pays for the whole fleet all year [USD/s].
    """

    contract: str
    total: float
    per_year: float
    price: Price
    affordable: float
    fleet: int
    implied: float


@dataclass(frozen=True, slots=True)
class WorkloadAnswer:
    """A workload's plan, or why there is none.

    bounds : parts of the step that are not arithmetic, largest first: name and share [-].
    gradients : what 1% more of each thing buys; of the workload that takes most accelerator time alone.
    """

    workload: TrainingWorkload
    cluster: Cluster
    plan: TrainingPlan | None
    infeasible: str
    parameters: int
    bounds: tuple[tuple[str, float], ...]
    curves: tuple[Curve, ...]
    gradients: Gradients | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """The answer to a scenario."""

    scenario: Scenario
    catalog_version: str
    fleets: tuple[Fleet, ...]
    tensions: tuple[Tension, ...]
    workloads: tuple[WorkloadAnswer, ...]
    serving: ServingAnswer | None = None
    portfolio: PortfolioAnswer | None = None
    unplanned: str = ""
    """Why nothing can be planned of what to buy, or empty."""

    @property
    def infeasible(self) -> tuple[tuple[str, str], ...]:
        """Workloads without an answer, each with what binds."""
        trained = [(w.workload.name, w.infeasible) for w in self.workloads if w.infeasible]
        served = self.serving.workloads if self.serving is not None else ()
        why = self.unplanned or (self.portfolio.infeasible if self.portfolio is not None else "")
        return (
            *trained,
            *((w.workload.name, w.infeasible) for w in served if w.infeasible),
            *([("portfolio", why)] if why else []),
        )

    @property
    def feasible(self) -> bool:
        """True where every training run has a plan in time, and all that is to be served is."""
        return not self.infeasible


def run(
    scenario: Scenario,
    catalog: Catalog,
    top: int = 5,
    progress: Callable[[int, int], None] | None = None,
    jobs: int = 1,
) -> Report:
    """Answer every question of a scenario, in order: fleet, training, serving, what-ifs, what to buy.

    Parameters
    ----------
    scenario : Scenario
    catalog : Catalog
        The one the scenario was read with.
    top : int
        Layouts to keep per workload. [-]
    progress : callable, optional
        Called with (parts done, parts in all).
    jobs : int
        Processes to spread plans and what-ifs over; the answer does not depend on it. [-]
    """
    ask_fleet, ask_training = ("fleet" in scenario.questions), ("training" in scenario.questions)
    work = list(scenario.workloads.values()) if ask_training else []
    horizon = scenario.horizon if "serving" in scenario.questions else None
    served = list(scenario.serving.values()) if horizon is not None else []
    sizing = [sizings(w, scenario, horizon) for w in served if horizon is not None]
    bought = scenario.purchasing if "portfolio" in scenario.questions else None
    known: set[Key] = {(w.name, w.slice.system.name) for w in work}
    known |= {(w.name, place.system) for w in served for place in w.places}
    needed = {} if bought is None else portfolio_calls(scenario, bought)
    more = {key: call for key, call in needed.items() if key not in known}
    total = 1 + 6 * len(work) + bool(work) + sum(map(len, sizing)) + len(more) + (bought is not None)
    done = 0

    def tick() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, total)

    fleets = tuple(_fleet(c, catalog) for c in scenario.clusters.values()) if ask_fleet else ()
    tensions = _tensions(scenario) if ask_fleet else ()
    tick()
    first: list[partial[Any]] = [_planning(w, scenario, top) for w in work]
    sizes: list[partial[Any]] = [call for calls in sizing for call in calls]
    begun = iter(run_all([*first, *sizes, *more.values()], jobs, tick))
    plans: list[TrainingPlan] = [next(begun) for _ in work]
    sized: list[list[SizedPlace]] = [[next(begun) for _ in calls] for calls in sizing]
    results: dict[Key, Any] = {(w.name, w.slice.system.name): p for w, p in zip(work, plans, strict=True)}
    results = {key: (p, "") if p.candidates else (None, "nothing fits") for key, p in results.items()}
    results |= {(w.name, s.place.system): s for w, row in zip(served, sized, strict=True) for s in row}
    results |= {key: next(begun) for key in more}
    asked = [_what_ifs(w, scenario, plan) for w, plan in zip(work, plans, strict=True)]
    largest = _largest(plans)
    slopes = [partial(plan_gradients, plans[i], work[i].constraints) for i in largest]
    calls: list[partial[Any]] = [*slopes, *(call for calls in asked for call in calls)]
    found = iter(run_all(calls, jobs, tick))
    steepest = {i: next(found) for i in largest}
    answers = tuple(
        _answer(w, scenario, plan, tuple(next(found) for _ in calls), steepest.get(i))
        for i, (w, plan, calls) in enumerate(zip(work, plans, asked, strict=True))
    )
    serving = None
    if horizon is not None and served:
        feasible = {w.name: p for w, p in zip(work, plans, strict=True) if p.candidates}
        serving = serving_answer(scenario, horizon, sized, feasible)
    portfolio, unplanned = None, ""
    if bought is not None:
        try:
            portfolio = portfolio_answer(
                scenario, bought, known_of({key: results[key] for key in needed}, scenario)
            )
        except InfeasibleError as error:
            unplanned = str(error)
        tick()
    return Report(scenario, catalog.version, fleets, tensions, answers, serving, portfolio, unplanned)


def _fleet(cluster: Cluster, catalog: Catalog) -> Fleet:
    machine = cluster.machine
    first = machine.rings_of(machine.partitions[0])
    rows = [
        RingRow(r, machine.accelerators / min(r.size, machine.accelerators), machine.bisection(r))
        for r in machine.rings
    ]
    inner = RingRow(first[0], float(machine.domains), first[0].bandwidth * first[0].size / 2)
    pue = cluster.pue
    return Fleet(
        cluster.name, cluster.provider, machine, (inner, *rows), machine.power, machine.power * pue, pue
    )


def _tensions(scenario: Scenario) -> tuple[Tension, ...]:
    out = []
    for contract in scenario.contracts.values():
        served = [c for c in scenario.clusters.values() if c.provider == contract.provider]
        fleet = sum(c.machine.accelerators for c in served)
        priced = next((c for c in served if c.price is not None), None)
        if not fleet or priced is None or priced.price is None:
            continue
        per_year = contract.total / (contract.term / YEAR)
        price = Price(priced.price, priced.price_source)
        out.append(
            Tension(
                contract.name,
                contract.total,
                per_year,
                price,
                per_year / YEAR / price.per_accelerator,
                fleet,
                per_year / YEAR / fleet,
            )
        )
    return tuple(out)


def _job(workload: TrainingWorkload) -> Job:
    return Job(
        workload.model,
        workload.sequence,
        workload.global_batch,
        recipe(workload.precision),
        workload.imbalance,
        workload.capacity,
    )


def _planning(workload: TrainingWorkload, scenario: Scenario, top: int) -> partial[TrainingPlan]:
    """The search for a workload's plan, ready to run."""
    cluster = scenario.clusters[workload.cluster]
    price = Price(cluster.price, cluster.price_source) if cluster.price is not None else None
    return partial(
        plan_training,
        _job(workload),
        cluster.machine,
        workload.slice.accelerators,
        workload.tokens,
        price,
        workload.constraints,
        partition=_partition_of(cluster.machine, workload),
        top=top,
    )


def _what_ifs(workload: TrainingWorkload, scenario: Scenario, plan: TrainingPlan) -> list[partial[Curve]]:
    """The sensitivities of a plan, ready to run; none where nothing fits."""
    if not plan.candidates:
        return []
    machine = scenario.clusters[workload.cluster].machine
    partition: Partition = machine.partitions[_partition_of(machine, workload)]
    asked = (plan.job, machine, partition, plan.granted)
    fixed = around(plan.best.layout, workload.constraints)
    return [
        partial(by_ring_bandwidth, *asked, "scale-up", fixed),
        partial(by_ring_bandwidth, *asked, machine.rings[-1].name, fixed),
        partial(by_oversubscription, *asked, fixed),
        partial(by_domain, *asked, fixed),
        partial(by_scale, *asked, fixed),
    ]


def _largest(plans: Sequence[TrainingPlan]) -> list[int]:
    """Which plan takes most accelerator time; none where none is feasible."""
    spent = {i: plan.granted * plan.duration for i, plan in enumerate(plans) if plan.candidates}
    return sorted(spent, key=lambda i: -spent[i])[:1]


def _answer(
    workload: TrainingWorkload,
    scenario: Scenario,
    plan: TrainingPlan,
    curves: tuple[Curve, ...],
    slopes: Gradients | None,
) -> WorkloadAnswer:
    cluster = scenario.clusters[workload.cluster]
    count = parameters(workload.model).total
    try:
        best = plan.best
    except InfeasibleError as error:
        return WorkloadAnswer(workload, cluster, None, str(error), count, (), ())
    step = float(best.estimate.time.total)
    shares = {name: float(value) / step for name, value in best.estimate.time._asdict().items()}
    bounds = sorted(((k, v) for k, v in shares.items() if k != "gemm" and v > 0.005), key=lambda b: -b[1])
    missed = _missed_deadline(plan, workload.deadline)
    return WorkloadAnswer(workload, cluster, plan, missed, count, tuple(bounds), curves, slopes)


def _missed_deadline(plan: TrainingPlan, deadline: float | None) -> str:
    """What a plan that takes too long lacks, empty where it is in time."""
    if deadline is None or plan.duration <= deadline:
        return ""
    return (
        f"the deadline binds: the best takes {show(plan.duration, 's')} of {show(deadline, 's')} allowed; "
        f"at the same rate each, about {plan.granted * plan.duration / deadline:,.0f} accelerators would do"
    )


def _partition_of(machine: Machine, workload: TrainingWorkload) -> int:
    names = [p.system.name for p in machine.partitions]
    return names.index(workload.slice.system.name)

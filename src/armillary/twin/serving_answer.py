"""The answer to what is served: sizes by system, quarters of the fleet, CPUs of agents, and what binds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf

from armillary.machine import Partition
from armillary.scenario import Horizon, Scenario, ServingWorkload
from armillary.serving.agents import AgentFleet, AgentWork, agent_fleet, margins
from armillary.serving.facts import Fact, facts
from armillary.twin.capacity import QuarterRow, ServedQuarter, plan_quarters
from armillary.twin.plan import TrainingPlan
from armillary.twin.serving_sizes import SizedPlace


@dataclass(frozen=True, slots=True)
class ServedAnswer:
    """A served workload. sizes : of each place, in the order that they are filled. infeasible : or empty."""

    workload: ServingWorkload
    sizes: tuple[SizedPlace, ...]
    infeasible: str


@dataclass(frozen=True, slots=True)
class AgentsQuarter:
    """CPUs that tools of agents take in a quarter. tasks : at its end, mean of a day [1/s].

    fleet : at the peak. host_vcpus : of the hosts that are ready [-].
    """

    workload: str
    start: str
    tasks: float
    fleet: AgentFleet
    host_vcpus: int

    @property
    def share_of_hosts(self) -> float:
        """VCPUs that the tools take, over those of the hosts [-]."""
        return self.fleet.vcpus / self.host_vcpus if self.host_vcpus else inf


@dataclass(frozen=True, slots=True)
class NamedFact:
    """A fact behind the demand, by its name."""

    name: str
    fact: Fact


@dataclass(frozen=True, slots=True)
class ServingAnswer:
    """What is served through the quarters of the plan.

    agents : by quarter, of workloads that have agents. facts : behind streams of demand and work of agents.
    """

    horizon: Horizon
    workloads: tuple[ServedAnswer, ...]
    quarters: tuple[QuarterRow, ...]
    agents: tuple[AgentsQuarter, ...]
    facts: tuple[NamedFact, ...]

    @property
    def feasible(self) -> bool:
        """True where all that is asked for is served."""
        return not any(w.infeasible for w in self.workloads)


def serving_answer(
    scenario: Scenario,
    horizon: Horizon,
    sized: Sequence[Sequence[SizedPlace]],
    plans: Mapping[str, TrainingPlan],
) -> ServingAnswer:
    """Put sizes, fleet and training plans together.

    Parameters
    ----------
    scenario : Scenario
    horizon : Horizon
    sized : sequence of sequence of SizedPlace
        Of each served workload, in the scenario's order, its places.
    plans : mapping
        Of each training run that has one.
    """
    work = list(scenario.serving.values())
    ordered = [_in_order(w, places) for w, places in zip(work, sized, strict=True)]
    usable = {w.name: [p for p in places if p.deployments] for w, places in zip(work, ordered, strict=True)}
    quarters = plan_quarters(scenario, horizon, usable, plans)
    answers = tuple(
        ServedAnswer(w, tuple(places), _what_binds(w, places, quarters))
        for w, places in zip(work, ordered, strict=True)
    )
    agents = tuple(
        _agents(s, s.workload.agents, row)
        for row in quarters
        for s in row.serving
        if s.workload.agents is not None and s.messages > 0
    )
    return ServingAnswer(horizon, answers, quarters, agents, _facts_of(work))


def _in_order(workload: ServingWorkload, places: Sequence[SizedPlace]) -> list[SizedPlace]:
    """As the file says; else the cheapest first, or the fewest accelerators where prices lack."""
    if workload.ordered:
        return list(places)
    priced = all(p.price is not None for p in places)

    def burden(place: SizedPlace) -> tuple[float, int]:
        if not place.deployments:
            return inf, 0
        best = place.best
        return (best.cost if priced else 0.0), best.accelerators

    return sorted(places, key=burden)


def _what_binds(
    workload: ServingWorkload, places: Sequence[SizedPlace], quarters: Sequence[QuarterRow]
) -> str:
    """Why not all of a workload is served, empty where it is."""
    if not any(p.deployments for p in places):
        return "; ".join(p.infeasible for p in places)
    short: list[tuple[QuarterRow, ServedQuarter]] = [
        (row, s) for row in quarters for s in row.serving if s.workload is workload and s.missing > 0
    ]
    if not short:
        return ""
    row, first = short[0]
    worst_row, worst = max(short, key=lambda pair: pair[1].missing / pair[1].peak)
    one = "one quarter" if len(short) == 1 else f"{len(short)} of {len(quarters)} quarters"
    return (
        f"the fleet binds in {one}, first in {row.start}, when {_there(row.ready)} are ready: "
        f"{_lack(first)}; worst in {worst_row.start}: {_lack(worst)}"
    )


def _lack(s: ServedQuarter) -> str:
    return (
        f"{s.missing / s.peak:.0%} of the peak of {s.peak:,.0f} requests/s has no place, which would take "
        f"{s.lacking:,} more {s.lacking_system}"
    )


def _there(ready: Sequence[Partition]) -> str:
    return " and ".join(f"{p.domains:,} {p.system.name}" for p in ready) or "none"


def _agents(s: ServedQuarter, work: AgentWork, row: QuarterRow) -> AgentsQuarter:
    shape = s.workload.demand.shape
    tasks = s.peak / shape.peak_over_mean / work.model_calls
    over = margins(peak_over_mean=shape.peak_over_mean)
    return AgentsQuarter(s.workload.name, row.start, tasks, agent_fleet(tasks, work, over), row.host_vcpus)


def _facts_of(work: Sequence[ServingWorkload]) -> tuple[NamedFact, ...]:
    tables = []
    if any(w.demand.stream for w in work):
        tables.append("demand_facts")
    if any(w.agents is not None for w in work):
        tables.append("agent_facts")
    return tuple(NamedFact(name, fact) for table in tables for name, fact in facts(table).items())

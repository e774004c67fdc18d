"""Work by quarter and future: what is served, models to train, research, CPUs of agents.

Imports rooms above.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

import numpy as np

from armillary.errors import InfeasibleError
from armillary.portfolio import QUARTER, Demand, growing
from armillary.portfolio.calendar import Floats
from armillary.scenario import CPUS, RESEARCH, Purchasing, Scenario, ServingWorkload
from armillary.scenario.months import later
from armillary.serving.agents import agent_fleet, margins
from armillary.twin.growth import grown, years_between
from armillary.twin.portfolio_work import Work, generation_flop, rate

REQUESTS, COMPUTE, VCPUS = "requests/s", "FLOP/s", "vCPU"


def demands(scenario: Scenario, asked: Purchasing, works: Sequence[Work], penalties: Floats) -> list[Demand]:
    """Streams of work.

    Parameters
    ----------
    scenario : Scenario
    asked : Purchasing
    works : sequence of Work
    penalties : array
        `[stream]` in the order of the result. [USD/unit of work]

    Raises
    ------
    InfeasibleError
        If a generation cannot be trained on any SKU.
    """
    found = [*_served(scenario, asked), *_trained(scenario, asked, works), *_cpus(scenario, asked)]
    ranks = sorted({d.priority for d in found}, reverse=True)  # people: higher first; here: 1 first
    return [
        d._replace(
            penalty=float(penalty), priority=ranks.index(d.priority) + 1, floor=asked.floors.get(d.name, 0.0)
        )
        for d, penalty in zip(found, penalties, strict=True)
    ]


def names(scenario: Scenario, asked: Purchasing) -> list[str]:
    """Of the streams, in their order."""
    found = [*scenario.serving, *(g.name for g in asked.generations)]
    if asked.generations and asked.research:
        found.append(RESEARCH)
    return [*found, CPUS] if any(w.agents is not None for w in scenario.serving.values()) else found


def uncertain(asked: Purchasing, stream: str) -> Floats:
    """`[quarter, future]` factors on the median of a stream: 1 as long as the futures are one.

    The logarithm of growth is a random walk; streams are drawn apart.
    """
    spread = asked.spreads.get(stream, asked.spread)
    seed = [asked.seed, *stream.encode()]
    number = int(np.random.default_rng(seed).integers(2**31))
    path = growing(1.0, 1.0, spread, asked.futures, number)
    one = (asked.futures.node == asked.futures.node[:, :1]).all(1)
    if asked.futures.size > 1 and one.any():
        last = int(np.flatnonzero(one)[-1])
        path = path / path[last, 0]
        path[: last + 1] = 1.0
    elif asked.futures.size == 1:
        path = np.ones_like(path)
    return path


def peak(workload: ServingWorkload, origin: str, quarter: int) -> float:
    """Of the busiest hour of a quarter's last day, in the median future [1/s]."""
    d = workload.demand
    years = years_between(d.since, later(origin, 3 * (quarter + 1)))
    return d.messages * grown(d.growth, years) * d.shape.peak_over_mean if years > 0 else 0.0


def _served(scenario: Scenario, asked: Purchasing) -> list[Demand]:
    found = []
    for w in scenario.serving.values():
        base = np.array([peak(w, asked.origin, q) for q in range(asked.calendar.quarters)])
        amount = base[:, None] * uncertain(asked, w.name)
        found.append(Demand(w.name, amount, 0.0, REQUESTS, w.priority, interruptible=False))
    return found


def _trained(scenario: Scenario, asked: Purchasing, works: Sequence[Work]) -> list[Demand]:
    """A stream for each generation, and one for research, in accelerators of the reference SKU."""
    shape = (asked.calendar.quarters, asked.futures.size)
    apart = (asked.futures.node != asked.futures.node[:, :1]).any(1)
    found = []
    research = np.zeros(shape)
    for g in asked.generations:
        if not any(w.rate for w in works if w.stream == g.name):
            reasons = "; ".join(dict.fromkeys(w.words for w in works if w.stream == g.name and w.words))
            raise InfeasibleError(f"generation {g.name!r} cannot be trained on any SKU: {reasons}")
    first = reference_sku(asked, works)
    for i, g in enumerate(asked.generations):
        flop = generation_flop(g, scenario)
        away = np.random.default_rng([asked.seed, i]).normal(size=asked.futures.size)
        away = away if asked.futures.size > 1 else np.zeros(1)
        factor = np.where(apart[:, None], np.exp(g.spread * away), 1.0)
        longest = max(ceil(g.duration / QUARTER - 1e-6), 1)
        least = g.minimum * rate(works, g.name, first)
        length = longest if not least else min(longest, max(ceil(flop / (least * QUARTER) - 1e-6), 1))
        amount = np.zeros(shape)
        amount[g.ready - length : g.ready] = max(flop / (length * QUARTER), least)
        amount *= factor
        cluster = float(amount[amount > 0].min())
        priority = scenario.workloads[g.like].priority
        found.append(Demand(g.name, amount, 0.0, COMPUTE, priority, cluster, interruptible=False))
        lead = max(round(asked.lead / QUARTER), 1)
        part = asked.research / (1 - asked.research) * flop / (lead * QUARTER) / rate(works, g.name, first)
        since = max(g.ready - lead, 0)  # what lies before the plan is left out
        research[since : g.ready] += part * factor[since : g.ready]
    if asked.generations and asked.research:
        priority = min(d.priority for d in found)
        found.append(Demand(RESEARCH, research, 0.0, f"{first} at work", priority))
    return found


def reference_sku(asked: Purchasing, works: Sequence[Work]) -> str:
    """The first SKU that trains all generations, or serves, where there are none.

    Raises
    ------
    InfeasibleError
        If there is none.
    """
    needed = [g.name for g in asked.generations]
    for sku in asked.skus:
        if sku.system is not None and all(rate(works, name, sku.name) for name in needed):
            return sku.name
    raise InfeasibleError(
        "no SKU of accelerators can train all of " + ", ".join(needed) if needed else "no SKU of accelerators"
    )


def _cpus(scenario: Scenario, asked: Purchasing) -> list[Demand]:
    """VCPUs of agents' tools: at the peak of each workload's day."""
    total = np.zeros((asked.calendar.quarters, asked.futures.size))
    priorities = []
    for w in scenario.serving.values():
        if w.agents is None:
            continue
        priorities.append(w.priority)
        over = margins(peak_over_mean=w.demand.shape.peak_over_mean)
        one = agent_fleet(1.0, w.agents, over).vcpus  # of a task a second, mean of a day
        for q in range(asked.calendar.quarters):
            tasks = peak(w, asked.origin, q) / w.demand.shape.peak_over_mean / w.agents.model_calls
            total[q] += tasks * one * uncertain(asked, w.name)[q]
    return [Demand(CPUS, total, 0.0, VCPUS, max(priorities))] if priorities else []

"""The answer to what to buy: the programme that a scenario makes, its plan, ramps, deal, prices of work.

Imports rooms above.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import inf

import numpy as np

from armillary.errors import InfeasibleError, InputError
from armillary.portfolio import (
    Chance,
    Offer,
    Plan,
    Programme,
    Ramps,
    Sku,
    Worth,
    seconds_after,
    simulate_ramps,
    solve,
    without_option,
)
from armillary.portfolio.answers import worth
from armillary.portfolio.calendar import Floats
from armillary.portfolio.records import PAY_AS_YOU_GO
from armillary.scenario import CPUS, RESEARCH, AskedOffer, Purchasing, Scenario
from armillary.twin.executor import run_all
from armillary.twin.portfolio_deal import Deal, OwnOrRent, deal_of, own_or_rent
from armillary.twin.portfolio_demand import demands, names, reference_sku
from armillary.twin.portfolio_tallies import capacity_of, spending_of, wanted_of
from armillary.twin.portfolio_work import (
    Known,
    Work,
    calls,
    generation_flop,
    known_of,
    rate,
    trained_rate,
    work_of,
)

RAMPS = 20_000
"""Ramps drawn: the standard error of a chance is 0.35 points at most. [-]"""
GAP, SECONDS = 0.0025, 60.0
"""At which a plan stops, unless asked otherwise: as a share, and [s]."""


@dataclass(frozen=True, slots=True)
class WorkPrice:
    """What an offer's unit costs, and by stream what its work does [USD/unit of work]; of the first quarter.

    unit : [USD/s]. million_tokens : by served workload, read and written [USD]. run : by generation [USD].
    """

    offer: str
    source: str
    unit: float
    work: Mapping[str, float]
    million_tokens: Mapping[str, float]
    run: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Trained:
    """A generation. starts, ends : quarters of its run, the end excluded.

    accelerators : of the reference SKU on one network, in the median future [-]. network : where it is
    trained, empty where it is not. unmet : expected share [-].
    """

    name: str
    flop: float
    source: str
    starts: int
    ends: int
    accelerators: float
    network: str
    unmet: float


@dataclass(frozen=True, slots=True)
class PortfolioAnswer:
    """What to buy.

    plan : None where none holds, with why in `infeasible`. works : what units do of streams.
    reference : SKU in whose units demand is told. capacity : by label of provider and contract, expected
    accelerators that are had `[quarter]`; wanted : that all demand would take, `[quarter, future]`.
    spending : by the same labels and what else is paid, expected, undiscounted [USD].
    chance : that all ramps are up before `asked.deployed_by`. options : what each is worth.
    """

    asked: Purchasing
    programme: Programme
    plan: Plan | None
    infeasible: str
    works: tuple[Work, ...]
    reference: str
    prices: tuple[WorkPrice, ...]
    generations: tuple[Trained, ...]
    capacity: Mapping[str, Floats]
    wanted: Floats
    spending: Mapping[str, Floats]
    ramps: Ramps | None
    chance: Chance | None
    deal: Deal | None
    owning: OwnOrRent | None
    options: tuple[tuple[str, Worth], ...]

    @property
    def labels(self) -> tuple[str, ...]:
        """Of the quarters."""
        return self.asked.quarters.labels


def portfolio_answer(
    scenario: Scenario, asked: Purchasing, known: Known, gap: float = GAP, seconds: float = SECONDS
) -> PortfolioAnswer:
    """Make the programme, solve it, and say what it means.

    Parameters
    ----------
    scenario : Scenario
    asked : Purchasing
        Of the scenario.
    known : Known
        What `portfolio_work.calls` gives.
    gap : float
        At which to stop, as a share. [-]
    seconds : float
        At which each search for a plan stops. [s]

    Raises
    ------
    InfeasibleError
        If a generation can be trained on no SKU.
    """
    works = work_of(scenario, asked, known)
    programme, ramps = programme_of(scenario, asked, works)
    plan, why, options = None, "", tuple[tuple[str, Worth], ...]()
    try:
        plan = solve(programme, gap, seconds)
        options = tuple((o.name, _option(programme, plan, o.name, gap, seconds)) for o in programme.options)
    except InfeasibleError as error:
        why = str(error)
    reference = reference_sku(asked, works)
    return PortfolioAnswer(
        asked, programme, plan, why, works, reference, prices_of(scenario, asked, programme, known),
        _generations(scenario, asked, programme, works, plan),
        {} if plan is None else capacity_of(programme, plan), wanted_of(programme, reference),
        {} if plan is None else spending_of(programme, plan), ramps, _chance(asked, ramps),
        deal_of(scenario, asked), own_or_rent(asked), options,
    )  # fmt: skip


def _option(programme: Programme, plan: Plan, name: str, gap: float, seconds: float) -> Worth:
    """What an option is worth; all there is where no plan holds without it."""
    try:
        return at_least_nothing(worth(plan, solve(without_option(programme, name), gap, seconds)))
    except InfeasibleError:
        return Worth(inf, (inf, inf), np.full_like(plan.by_future, inf), plan, plan)


def at_least_nothing(found: Worth) -> Worth:
    """The worth of a freedom: who has it need not use it, so that it is never below 0.

    Where the search with it ended early at a dearer plan than without it, the latter is the better of both.
    """
    if found.better.objective <= found.worse.objective:
        return found
    between = (0.0, max(found.worse.objective - found.better.bound, 0.0))
    return Worth(0.0, between, np.zeros_like(found.by_future), found.worse, found.worse)


def plan_purchases(
    scenario: Scenario,
    gap: float = GAP,
    seconds: float = SECONDS,
    progress: Callable[[int, int], None] | None = None,
    jobs: int = 1,
) -> PortfolioAnswer:
    """Answer what to buy alone: sizes, training plans, programme, plan.

    Parameters
    ----------
    scenario : Scenario
    gap, seconds : float
        As in `portfolio_answer`.
    progress : callable, optional
        Called with (parts done, parts in all).
    jobs : int
        Processes to spread sizes and training plans over. [-]

    Raises
    ------
    InputError
        If the scenario says nothing that can be bought.
    InfeasibleError
        As in `portfolio_answer`.
    """
    asked = scenario.purchasing
    if asked is None:
        raise InputError(
            f"{scenario.name} says nothing that can be bought; add a portfolio: (docs/portfolio.md)"
        )
    work, done = calls(scenario, asked), 0
    total = len(work) + 1

    def tick() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, total)

    known = known_of(dict(zip(work, run_all(list(work.values()), jobs, tick), strict=True)), scenario)
    found = portfolio_answer(scenario, asked, known, gap, seconds)
    tick()
    return found


def programme_of(
    scenario: Scenario, asked: Purchasing, works: Sequence[Work]
) -> tuple[Programme, Ramps | None]:
    """The stochastic programme of a scenario, and the ramps that its capacities are from."""
    streams = names(scenario, asked)
    blank = demands(scenario, asked, works, np.zeros(len(streams)))
    skus = tuple(Sku(k.name, performance(asked, works, k.name, streams), k.power) for k in asked.skus)
    done = {k.name: k.performance for k in skus}
    penalties = np.zeros(len(streams))
    for i, name in enumerate(streams):
        costs = [
            float(np.min(o.offer.price)) / (done[o.offer.sku][name] * o.offer.efficiency)
            for o in asked.offers
            if done[o.offer.sku].get(name, 0.0) > 0
        ]
        penalties[i] = min(costs, default=0.0) * asked.penalties.get(name, asked.penalty)
    found = tuple(d._replace(penalty=float(p)) for d, p in zip(blank, penalties, strict=True))
    ramps = _ramps(asked)
    offers = tuple(_offered(o, asked, ramps) for o in asked.offers)
    sites = tuple(x.site for x in asked.sites)
    programme = Programme(
        asked.calendar, asked.futures, found, skus, sites, offers, asked.contracts, asked.options,
        asked.share, {}, asked.budget, asked.risk,
    )  # fmt: skip
    return programme, ramps


def performance(
    asked: Purchasing, works: Sequence[Work], sku: str, streams: Sequence[str]
) -> dict[str, float]:
    """Work of one unit by stream; what a SKU cannot do is left out."""
    one = next(k for k in asked.skus if k.name == sku)
    if one.cpu is not None:
        return {CPUS: 1.0} if CPUS in streams else {}
    found = {name: r for name in streams if (r := rate(works, name, sku)) > 0}
    if RESEARCH in streams:
        first = reference_sku(asked, works)
        # Experiments are of the generations' kind: a mean over them of what an accelerator does.
        ratios = [rate(works, g.name, sku) / rate(works, g.name, first) for g in asked.generations]
        if min(ratios) > 0:
            found[RESEARCH] = float(np.mean(ratios))
    return found


def _ramps(asked: Purchasing) -> Ramps | None:
    sites = [x.ramp for x in asked.sites if x.ramp is not None]
    return simulate_ramps(sites, asked.quarters, RAMPS, asked.seed) if sites else None


def _offered(one: AskedOffer, asked: Purchasing, ramps: Ramps | None) -> Offer:
    """An offer with the capacity of its site: by its ramp in each future or in the median, by its power."""
    if not one.on_ramp or ramps is None:
        power = next(x.site.power for x in asked.sites if x.site.name == one.offer.site)
        if np.ndim(power) == 0 or np.ndim(one.offer.capacity):
            return one.offer
        # Nothing can be had where there is no power yet; the site is opened when there is.
        return one.offer._replace(capacity=np.where(np.asarray(power) > 0, one.offer.capacity, 0.0))
    site = [r.name for r in ramps.sites].index(one.offer.site)
    drawn = ramps.futures(asked.futures.size)[site]
    order = np.random.default_rng(asked.seed).permutation(asked.futures.size)
    drawn = drawn[:, order]  # late sites have nothing to do with high demand
    middle = np.median(drawn, axis=1, keepdims=True)
    apart = (asked.futures.node != asked.futures.node[:, :1]).any(1)
    if one.offer.kind in PAY_AS_YOU_GO:
        return one.offer._replace(capacity=np.where(apart[:, None], drawn, middle))
    return one.offer._replace(capacity=middle[:, 0])


def _chance(asked: Purchasing, ramps: Ramps | None) -> Chance | None:
    """That all ramps are up before a month."""
    if ramps is None or not asked.deployed_by:
        return None
    return ramps.chance_by(seconds_after(asked.origin, asked.deployed_by))


def prices_of(
    scenario: Scenario, asked: Purchasing, programme: Programme, known: Known
) -> tuple[WorkPrice, ...]:
    """Prices of a unit of work, offer by offer."""
    found = []
    for one in asked.offers:
        sku = next(k for k in programme.skus if k.name == one.offer.sku)
        system = next(k.system for k in asked.skus if k.name == one.offer.sku)
        unit = float(np.ravel(one.offer.price)[0])
        work = {name: unit / (r * one.offer.efficiency) for name, r in sku.performance.items()}
        tokens = {}
        for w in scenario.serving.values():
            if w.name in work:
                mean = w.demand.lengths.mean
                # Units stand for the peak, day and night; tokens come at the mean.
                tokens[w.name] = (
                    work[w.name] * w.demand.shape.peak_over_mean / (mean.input + mean.output) * 1e6
                )
        runs = {}
        for g in asked.generations:
            plan = None if system is None else known.plans[g.like, system.name][0]
            if plan is not None:
                runs[g.name] = generation_flop(g, scenario) * unit / trained_rate(plan, asked.goodput)
        found.append(WorkPrice(one.offer.name, one.source, unit, work, tokens, runs))
    return tuple(found)


def _generations(
    scenario: Scenario, asked: Purchasing, programme: Programme, works: Sequence[Work], plan: Plan | None
) -> tuple[Trained, ...]:
    first = reference_sku(asked, works)
    found = []
    for g in asked.generations:
        w = [d.name for d in programme.demands].index(g.name)
        demand = programme.demands[w]
        runs = np.flatnonzero(np.asarray(demand.amount).max(1) > 0)
        unmet, network = 0.0, ""
        if plan is not None:
            network = plan.homes.get(g.name, "")
            weight = asked.futures.probability
            unmet = float((plan.unmet[w] * weight).sum() / (plan.demand[w] * weight).sum())
        each = float(np.median(demand.amount[runs].max(0))) / rate(works, g.name, first)
        found.append(
            Trained(
                g.name, generation_flop(g, scenario), g.source, int(runs[0]), int(runs[-1]) + 1, each,
                network, unmet,
            )
        )  # fmt: skip
    return tuple(found)

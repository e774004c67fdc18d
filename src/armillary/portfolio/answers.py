"""What a plan is worth against others: options, providers, prices, single-provider strategies, a signed deal.

Each answer is a difference between programmes that differ in one thing. Plans stop at a gap, so that a
difference is known to within the two gaps: `between` gives the interval that is proven.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from armillary.errors import InfeasibleError, InputError, did_you_mean
from armillary.portfolio.calendar import Floats
from armillary.portfolio.plan import Plan
from armillary.portfolio.records import Programme
from armillary.portfolio.solving import SECONDS, solve


class Worth(NamedTuple):
    """Objective without something less the objective with it [USD].

    value : of the two plans. between : proven interval. by_future : difference of the discounted costs,
    `[F]`.
    """

    value: float
    between: tuple[float, float]
    by_future: Floats
    better: Plan
    worse: Plan


def worth(better: Plan, worse: Plan) -> Worth:
    """Compare two plans of programmes that differ in one thing."""
    value = worse.objective - better.objective
    between = (worse.bound - better.objective, worse.objective - better.bound)
    return Worth(value, between, worse.by_future - better.by_future, better, worse)


def providers_of(programme: Programme) -> tuple[str, ...]:
    """Names of the providers, in the order of their sites."""
    return tuple(dict.fromkeys(s.provider for s in programme.sites))


def _known(name: str, known: Iterable[str], what: str) -> None:
    names = tuple(known)
    if name not in names:
        raise InputError(f"unknown {what} {name!r}{did_you_mean(name, names)}")


def without_option(programme: Programme, option: str) -> Programme:
    """The programme without one option."""
    _known(option, (o.name for o in programme.options), "option")
    return programme._replace(options=tuple(o for o in programme.options if o.name != option))


def only_providers(programme: Programme, providers: Iterable[str]) -> Programme:
    """The programme with some providers alone; no share is held, and others' contracts are not signed."""
    kept = set(providers)
    for name in kept:
        _known(name, providers_of(programme), "provider")
    sites = {s.name for s in programme.sites if s.provider in kept}
    return programme._replace(
        sites=tuple(s for s in programme.sites if s.name in sites),
        offers=tuple(o for o in programme.offers if o.site in sites),
        contracts=tuple(c for c in programme.contracts if c.provider in kept),
        options=tuple(o for o in programme.options if o.site in sites),
        share=programme.share if len(kept) * programme.share >= 1 else 1.0,
    )


def repriced(programme: Programme, provider: str, factor: float) -> Programme:
    """The programme with all prices and strikes of a provider times a factor."""
    _known(provider, providers_of(programme), "provider")
    sites = {s.name for s in programme.sites if s.provider == provider}
    return programme._replace(
        offers=tuple(
            o._replace(price=np.asarray(o.price) * factor) if o.site in sites else o for o in programme.offers
        ),
        options=tuple(
            o._replace(strike=o.strike * factor) if o.site in sites else o for o in programme.options
        ),
    )


def option_value(programme: Programme, option: str, gap: float = 0.0025, seconds: float = SECONDS) -> Worth:
    """What an option is worth beyond its premium: the plan without it less the plan with it, by future."""
    without = without_option(programme, option)
    return worth(solve(programme, gap, seconds), solve(without, gap, seconds))


class Regret(NamedTuple):
    """A strategy, its plan (None where it is not feasible), and what it costs more than the best [USD]."""

    strategy: str
    plan: Plan | None
    regret: float


def single_provider_regrets(
    programme: Programme, best: Plan | None = None, gap: float = 0.0025, seconds: float = SECONDS
) -> tuple[Regret, ...]:
    """What buying everything from one provider costs more than the best plan, for each provider.

    Providers that cannot serve everything leave it unmet at its penalty.
    """
    found = best or solve(programme, gap, seconds)
    regrets = []
    for provider in providers_of(programme):
        try:
            plan = _solve_served(only_providers(programme, [provider]), gap, seconds)
        except InfeasibleError:
            regrets.append(Regret(provider, None, math.inf))
            continue
        regrets.append(Regret(provider, plan, plan.objective - found.objective))
    return tuple(regrets)


def _solve_served(programme: Programme, gap: float, seconds: float) -> Plan:
    """Solve though some demand may have nobody left to serve it: it is unmet, at its penalty."""
    return solve(programme, gap, seconds, servable=False)


class Added(NamedTuple):
    """A provider added to those before it. saves : expected cost plus weighted CVaR [USD]."""

    provider: str
    plan: Plan
    saves: float


def provider_values(programme: Programme, gap: float = 0.0025, seconds: float = SECONDS) -> tuple[Added, ...]:
    """What the first, second, nth provider saves, each time the one that saves most.

    The first is the best alone, and saves against serving nothing of what its offers do not serve: its value
    is not a number that means much, and is given as nan. A share of a single provider is held only by sets of
    providers that could hold it.
    """
    left = list(providers_of(programme))
    chosen: list[str] = []
    added: list[Added] = []
    while left:
        plans = {}
        for name in left:
            try:
                plans[name] = _solve_served(only_providers(programme, [*chosen, name]), gap, seconds)
            except InfeasibleError:
                continue
        if not plans:
            raise InfeasibleError(
                "no order of providers holds the constraints: floors or signed contracts bind"
            )
        name = min(plans, key=lambda n: plans[n].objective)
        saves = added[-1].plan.objective - plans[name].objective if added else math.nan
        added.append(Added(name, plans[name], saves))
        chosen.append(name)
        left.remove(name)
    return tuple(added)


def share_of_work(programme: Programme, plan: Plan, provider: str) -> float:
    """Expected share of a provider in the work of all quarters, by value. [-]"""
    _known(provider, providers_of(programme), "provider")
    by_provider = (plan.work.sum(1) * programme.futures.probability).sum(1)
    total = float(by_provider.sum())
    return float(by_provider[providers_of(programme).index(provider)]) / total if total else 0.0


class WalkAway(NamedTuple):
    """Factors on a provider's prices at which it keeps and loses its share, and its share at each."""

    keeps: float
    loses: float
    share_kept: float
    share_lost: float
    asked: float


def walk_away(
    programme: Programme,
    provider: str,
    share: float | None = None,
    bounds: tuple[float, float] = (0.25, 4.0),
    tolerance: float = 0.01,
    gap: float = 0.0025,
    seconds: float = SECONDS,
) -> WalkAway:
    """The price that a provider can ask before it loses its share of the work, by bisection on a factor.

    Parameters
    ----------
    programme : Programme
    provider : str
    share : float or None
        Of the work of all quarters, by value; the share in the plan at today's prices by default. [-]
    bounds : tuple of float
        Least and largest factor on its prices. [-]
    tolerance : float
        Of the factor, relative. [-]
    gap, seconds
        Of each plan.

    Raises
    ------
    InfeasibleError
        If it does not have that share even at the least factor.
    """
    fixed = programme._replace(value=_values(programme))

    def kept(factor: float) -> float:
        return share_of_work(fixed, solve(repriced(fixed, provider, factor), gap, seconds), provider)

    asked = kept(1.0) - 1e-6 if share is None else share
    low, high = bounds
    at_low, at_high = kept(low), kept(high)
    if at_low < asked:
        raise InfeasibleError(
            f"{provider} has {at_low:.1%} of the work even at {low:g} times its prices; {asked:.1%} is asked"
        )
    if at_high >= asked:
        return WalkAway(high, math.inf, at_high, math.nan, asked)
    while high / low > 1 + tolerance:
        middle = math.sqrt(low * high)
        at = kept(middle)
        if at >= asked:
            low, at_low = middle, at
        else:
            high, at_high = middle, at
    return WalkAway(low, high, at_low, at_high, asked)


def _values(programme: Programme) -> dict[str, float]:
    """Value of work by stream, as the programme stands [USD/unit of work]."""
    from armillary.portfolio.arrays import arrays, values

    return values(programme, arrays(programme))


def as_signed(
    programme: Programme, signed: Sequence[str], gap: float = 0.0025, seconds: float = SECONDS
) -> Worth:
    """What a deal as signed costs against the best: named contracts held, against a free choice."""
    for name in signed:
        _known(name, (c.name for c in programme.contracts), "contract")
    held = programme._replace(
        contracts=tuple(c._replace(signed=c.name in signed) for c in programme.contracts)
    )
    free = programme._replace(contracts=tuple(c._replace(signed=False) for c in programme.contracts))
    return worth(solve(free, gap, seconds), solve(held, gap, seconds))


class Clause(NamedTuple):
    """What a clause costs: the plan with it less the plan without it [USD]."""

    clause: str
    cost: Worth


def clause_costs(
    programme: Programme, gap: float = 0.0025, seconds: float = SECONDS, plan: Plan | None = None
) -> tuple[Clause, ...]:
    """What each clause costs or, where it is in our favour, saves (negative), by solving without it."""
    variants: list[tuple[str, Programme]] = []

    def changed(name: str, **fields: Any) -> Programme:
        return programme._replace(
            contracts=tuple(c._replace(**fields) if c.name == name else c for c in programme.contracts)
        )

    for c in programme.contracts:
        if c.minimum_take > 0:
            variants.append((f"minimum take of {c.name}", changed(c.name, minimum_take=0.0)))
        if c.prepayment > 0:
            variants.append((f"prepayment of {c.name}", changed(c.name, prepayment=0.0)))
        if c.most_favoured:
            variants.append((f"most favoured in {c.name}", changed(c.name, most_favoured=False)))
        flat = tuple(t._replace(discount=0.0) for t in c.tiers)
        if flat != c.tiers:
            variants.append((f"discounts of {c.name}", changed(c.name, tiers=flat)))
    if programme.share < 1:
        variants.append(("share of one provider", programme._replace(share=1.0)))
    if programme.budget is not None:
        variants.append(("budget", programme._replace(budget=None)))
    if any(np.isfinite(np.asarray(s.power)).any() for s in programme.sites):
        sites = tuple(s._replace(power=math.inf) for s in programme.sites)
        variants.append(("power of the sites", programme._replace(sites=sites)))
    for d in programme.demands:
        if d.cluster > 0:
            demands = tuple(o._replace(cluster=0.0) if o.name == d.name else o for o in programme.demands)
            variants.append((f"one network for {d.name}", programme._replace(demands=demands)))
    with_all = plan or solve(programme, gap, seconds)
    return tuple(Clause(name, worth(solve(other, gap, seconds), with_all)) for name, other in variants)

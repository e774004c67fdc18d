"""A plan: what to buy, what it costs by named parts, what is served in each quarter and future.

Only numpy.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from armillary.portfolio.arrays import Arrays
from armillary.portfolio.assembly import Assembly
from armillary.portfolio.calendar import Floats, sums
from armillary.portfolio.committing import years
from armillary.portfolio.records import Programme


class Costs(NamedTuple):
    """Expected, discounted [USD].

    discounts and rebates are negative; prepayment is what paying early costs.
    """

    on_demand: float = 0.0
    spot: float = 0.0
    bought: float = 0.0
    exercised: float = 0.0
    premiums: float = 0.0
    discounts: float = 0.0
    rebates: float = 0.0
    shortfall: float = 0.0
    prepayment: float = 0.0
    sites: float = 0.0
    egress: float = 0.0
    unmet: float = 0.0

    @property
    def total(self) -> float:
        """Sum of the parts. [USD]"""
        return sum(self)


class Purchase(NamedTuple):
    """Take-or-pay units of an offer from `start` to `end`, excluded [quarter]. cost : undiscounted [USD]."""

    offer: str
    site: str
    sku: str
    start: int
    end: int
    units: float
    cost: float


class Signed(NamedTuple):
    """A contract of the plan. tier : its number. total : what is committed over the term [USD]."""

    contract: str
    tier: int
    total: float


class Plan(NamedTuple):
    """What to do, and what it is worth. W streams, T quarters, F futures, O offers, P providers.

    status : "optimal" within the gap that was asked, or "time limit". objective : expected cost plus the
    weighted CVaR; bound : proven, no plan is cheaper; gap : between them, as a share of the objective.
    expected, cvar : of the discounted cost [USD]; by_future : `[F]`. served, unmet, demand : `[W, T, F]`
    [unit of work/s]. used : pay-as-you-go units `[O, T, F]`. owned : take-or-pay units `[T, F]` of each SKU
    at each site, by (site, SKU). busy : share of the work that owned units could do that they do, `[T, F]`.
    exercised : by option `[F]` units. spend : cash by provider `[P, T, F]`, undiscounted, penalties left out
    [USD]. work : by provider, worth by `value`, `[P, T, F]` [USD]. power : by site `[S, T, F]` [W].
    point : the same as columns of the exact assembly, scaled.
    """

    status: str
    objective: float
    bound: float
    seconds: float
    expected: float
    cvar: float
    costs: Costs
    by_future: Floats
    opened: tuple[str, ...]
    signed: tuple[Signed, ...]
    homes: dict[str, str]
    purchases: tuple[Purchase, ...]
    rights: tuple[str, ...]
    exercised: dict[str, Floats]
    demand: Floats
    unmet: Floats
    used: Floats
    owned: dict[tuple[str, str], Floats]
    busy: Floats
    spend: Floats
    work: Floats
    power: Floats
    point: Floats

    @property
    def gap(self) -> float:
        """Proven optimality gap. [-]"""
        return gap(self.objective, self.bound)

    @property
    def served(self) -> Floats:
        """`[W, T, F]` [unit of work/s]."""
        return self.demand - self.unmet


def gap(value: float, bound: float) -> float:
    """Distance of a plan from its bound, as a share of the plan; 0 for a plan of no cost. [-]"""
    if not math.isfinite(value) or not math.isfinite(bound):
        return math.inf
    away = max(value - bound, 0.0)
    return away / abs(value) if value else (math.inf if away > 1e-9 else 0.0)


def cvar(costs: Floats, probability: Floats, level: float) -> float:
    """Mean of the worst `1 - level` of the futures, the boundary one in part.

    Examples
    --------
    >>> cvar(np.array([1.0, 2.0, 3.0, 4.0]), np.full(4, 0.25), 0.5)
    3.5
    """
    order = np.argsort(-costs)
    left, total = 1.0 - level, 0.0
    for i in order:
        part = min(float(probability[i]), left)
        total += part * float(costs[i])
        left -= part
    return total / (1.0 - level)


def plan_of(
    programme: Programme,
    arrays: Arrays,
    assembly: Assembly,
    x: Floats,
    status: str,
    bound: float,
    seconds: float,
) -> Plan:
    """Read a point of the exact programme in people's terms.

    Parameters
    ----------
    programme, arrays, assembly
        The assembly over the futures' own nodes.
    x : array
        A feasible point.
    status : str
    bound : float
        In scaled money.
    seconds : float
        That solving took. [s]
    """
    states, money, of = assembly.states, arrays.scales.money, assembly.states.of
    usage, bought, committed = assembly.usage, assembly.bought, assembly.committed
    sku_of, units = arrays.sku, arrays.scales.units
    quarters, count = of.shape
    unmet = x[assembly.unmet][:, of] * arrays.scales.work[:, None, None]
    use = np.zeros((len(programme.offers), states.size))
    np.add.at(use, (usage.offer, usage.state), x[usage.column])
    by_future, spend = _payments(programme, arrays, assembly, x)
    probability = programme.futures.probability
    expected = float(by_future @ probability)
    risk = programme.risk
    worst = cvar(by_future, probability, risk.level)
    value = expected + risk.weight * worst
    power = np.zeros((len(programme.sites), states.size))
    np.add.at(power, arrays.site, use * arrays.power[sku_of][:, None])
    exact_power = power[:, of]
    owned: dict[tuple[str, str], Floats] = {}

    def add(site: int, sku: int, amount: Floats) -> None:
        key = (programme.sites[site].name, programme.skus[sku].name)
        owned[key] = owned.get(key, np.zeros((quarters, count))) + amount * units[sku]
        exact_power[site] += amount * arrays.power[sku]

    bought_units = x[bought.columns]
    made = []
    for j in np.flatnonzero(bought_units > 1e-9):
        o = int(bought.purchases.offer[j])
        amount = np.zeros((quarters, count))
        amount[bought.purchases.start[j] : bought.purchases.end[j]] = bought_units[j]
        add(int(arrays.site[o]), int(sku_of[o]), amount)
        offer = programme.offers[o]
        cost = float(bought.purchases.cash[j].sum() * bought_units[j]) * money
        start, end = int(bought.purchases.start[j]), int(bought.purchases.end[j])
        made.append(
            Purchase(offer.name, offer.site, offer.sku, start, end, bought_units[j] * units[sku_of[o]], cost)
        )
    exercised = {}
    for option, one in zip(programme.options, bought.exercises, strict=True):
        taken = x[one.units][one.node]
        exercised[option.name] = taken * units[one.sku]
        amount = np.zeros((quarters, count))
        amount[one.active] = taken
        if taken.any():
            add(one.site, one.sku, amount)
    return Plan(
        status=status,
        objective=value,
        # At an optimum the two differ by rounding, either way.
        bound=min(bound * money, value),
        seconds=seconds,
        expected=expected,
        cvar=worst,
        costs=_parts(programme, arrays, assembly, x),
        by_future=by_future,
        opened=tuple(
            programme.sites[s].name
            for s, column in zip(assembly.sites_opened, assembly.opened[assembly.sites_opened], strict=True)
            if x[column] > 0.5
        ),
        signed=tuple(
            Signed(programme.contracts[c].name, int(k), float(x[total]) * money)
            for c, k, z, total in zip(
                committed.contract, committed.tier, committed.signed, committed.total, strict=True
            )
            if x[z] > 0.5
        ),
        homes={
            programme.demands[w].name: arrays.networks[n]
            for w, n, column in zip(assembly.home_stream, assembly.home_network, assembly.home, strict=True)
            if x[column] > 0.5
        },
        purchases=tuple(made),
        rights=tuple(
            o.name for o, column in zip(programme.options, bought.rights, strict=True) if x[column] > 0.5
        ),
        exercised=exercised,
        demand=arrays.demand * arrays.scales.work[:, None, None],
        unmet=np.maximum(unmet, 0.0),
        used=(use * units[sku_of][:, None])[:, of],
        owned=owned,
        busy=_busy(arrays, assembly, x, owned, programme),
        spend=spend,
        work=_work(arrays, assembly, x) * money,
        power=exact_power * arrays.scales.power,
        point=x,
    )


def objective(programme: Programme, arrays: Arrays, assembly: Assembly, x: Floats) -> float:
    """Expected cost plus the weighted CVaR of a point. [money]"""
    by_future, _ = _payments(programme, arrays, assembly, x)
    risk, probability = programme.risk, programme.futures.probability
    worst = cvar(by_future, probability, risk.level) if risk.weight else 0.0
    return float(by_future @ probability + risk.weight * worst) / arrays.scales.money


def _payments(programme: Programme, arrays: Arrays, assembly: Assembly, x: Floats) -> tuple[Floats, Floats]:
    """Discounted cost of each future, and undiscounted cash by provider, quarter and future [USD]."""
    states, money, of = assembly.states, arrays.scales.money, assembly.states.of
    quarters = len(arrays.factor)
    owner = np.full(len(x), -1)
    bought, committed = assembly.bought, assembly.committed
    owner[assembly.usage.column] = arrays.provider[arrays.site[assembly.usage.offer]]
    owner[bought.columns] = arrays.provider[arrays.site[bought.purchases.offer]]
    owner[assembly.opened[assembly.sites_opened]] = arrays.provider[assembly.sites_opened]
    owner[bought.clusters.column] = arrays.provider[bought.clusters.site]
    owner[bought.pooled.column] = bought.pooled.provider
    for one, right in zip(bought.exercises, bought.rights, strict=True):
        owner[one.units] = owner[right] = arrays.provider[one.site]
    for i, c in enumerate(committed.contract):
        p = arrays.providers.index(programme.contracts[c].provider)
        owner[committed.total[i]] = owner[committed.signed[i]] = p
        owner[committed.spend[i][1]] = owner[committed.shortfall[i][2]] = owner[committed.rebate[i][2]] = p
    providers = len(arrays.providers)
    now, later = np.zeros((providers, quarters)), np.zeros((providers, states.size))
    t, column, cash = assembly.cash_now
    np.add.at(now, (owner[column], t), cash * x[column])
    state, column, cash = assembly.cash_later
    np.add.at(later, (owner[column], state), cash * x[column])
    spend = (now[:, :, None] + later[:, of]) * money
    unmet = (arrays.penalty[:, None] * x[assembly.unmet]).sum(0)[of] * money
    return ((spend.sum(0) + unmet) * arrays.factor[:, None]).sum(0), spend


def _parts(programme: Programme, arrays: Arrays, assembly: Assembly, x: Floats) -> Costs:
    """Expected cost by its named parts."""
    states, usage, bought = assembly.states, assembly.usage, assembly.bought
    weight = states.probability * arrays.factor[states.quarter]
    spot = np.array([o.kind == "spot" for o in programme.offers])[usage.offer]
    used = arrays.price[usage.offer, states.quarter[usage.state]] * weight[usage.state] * x[usage.column]
    site = arrays.site[usage.offer]
    egress = float(
        (arrays.egress[usage.stream, site] * usage.work * weight[usage.state] * x[usage.column]).sum()
    )
    t, column, cash = assembly.cash_now
    now = sums(column, cash * arrays.factor[t], len(x)) * x
    state, column, cash = assembly.cash_later
    later = sums(column, cash * weight[state], len(x)) * x
    exercised = sum(float(later[one.units].sum()) for one in bought.exercises)
    committed = assembly.committed
    money = arrays.scales.money
    return Costs(
        on_demand=float(used[~spot].sum()) * money,
        spot=float(used[spot].sum()) * money,
        bought=float(now[bought.columns].sum()) * money,
        exercised=exercised * money,
        premiums=float(now[bought.rights].sum()) * money,
        discounts=sum(float(later[c].sum()) for _, c in committed.spend) * money,
        rebates=sum(float(later[c].sum()) for _, _, c, _ in committed.rebate) * money,
        shortfall=sum(float(later[c].sum()) for _, _, c in committed.shortfall) * money,
        prepayment=float(now[committed.total].sum()) * money,
        sites=float(now[assembly.opened[assembly.sites_opened]].sum()) * money,
        egress=(egress + float(now[bought.clusters.column].sum()) + float(later[bought.pooled.column].sum()))
        * money,
        unmet=float(((arrays.penalty[:, None] * x[assembly.unmet]).sum(0) * weight).sum()) * money,
    )


def _work(arrays: Arrays, assembly: Assembly, x: Floats) -> Floats:
    """Work given by provider, by value, `[P, T, F]` [money]."""
    states, usage, bought = assembly.states, assembly.usage, assembly.bought
    given = np.zeros((len(arrays.providers), states.size))
    np.add.at(
        given,
        (arrays.provider[arrays.site[usage.offer]], usage.state),
        usage.work * arrays.value[usage.stream] * x[usage.column],
    )
    pooled = bought.pooled
    worth = pooled.work * arrays.value[pooled.stream]
    np.add.at(given, (pooled.provider, pooled.state), worth * x[pooled.column])
    whole = given[:, states.of]
    clusters = bought.clusters
    worth = arrays.performance[clusters.stream, clusters.sku] * arrays.value[clusters.stream]
    done = worth * x[clusters.column]
    np.add.at(whole, (arrays.provider[clusters.site], clusters.quarter), done[:, None])
    return whole


def _busy(
    arrays: Arrays, assembly: Assembly, x: Floats, owned: dict[tuple[str, str], Floats], programme: Programme
) -> Floats:
    """Share of owned units, weighed by what they cost in power or count, that are set aside or in use."""
    states, bought = assembly.states, assembly.bought
    in_use = np.zeros(states.size)
    pooled = bought.pooled
    weigh = arrays.power if arrays.power.any() else np.ones(len(arrays.power))
    np.add.at(in_use, pooled.state, weigh[pooled.sku] * x[pooled.column])
    whole = in_use[states.of]
    clusters = bought.clusters
    np.add.at(whole, clusters.quarter, (weigh[clusters.sku] * x[clusters.column])[:, None])
    has = np.zeros(whole.shape)
    index = {k.name: i for i, k in enumerate(programme.skus)}
    for (_, sku_name), amount in owned.items():
        i = index[sku_name]
        has += weigh[i] * amount / arrays.scales.units[i]
    return np.where(has > 1e-9, whole / np.where(has > 1e-9, has, 1.0), 0.0)


def commitment_by_year(programme: Programme, signed: Signed) -> list[tuple[int, float]]:
    """First quarter of each year of a signed contract and what is committed for it [USD]."""
    contract = next(c for c in programme.contracts if c.name == signed.contract)
    return [(first, share * signed.total) for first, _, share in years(contract, programme.calendar.quarters)]

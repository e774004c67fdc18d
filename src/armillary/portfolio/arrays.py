"""A programme as arrays, in scaled units: what assembly and pricing read. Only numpy.

Scales: a stream's largest demand is 100; the unit of a SKU serves at most 1 of that; the middle price of a
unit in a quarter is 1; the largest power of a unit is 1. Shapes: W streams, K SKUs, S sites, O offers,
T quarters, F futures.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from armillary.portfolio.calendar import QUARTER, Floats, Integers
from armillary.portfolio.records import PAY_AS_YOU_GO, Programme

LARGEST = 100.0
EXCHANGE = 1.001
"""How much more a unit of any SKU earns on a stream of higher priority than on one of lower, at least. [-]"""


class Scales(NamedTuple):
    """A scaled unit of work `[stream]` [unit of work/s], SKU `[sku]` [units], money [USD], power [W]."""

    work: Floats
    units: Floats
    money: float
    power: float


class Arrays(NamedTuple):
    """demand : `[W, T, F]`. floor, cluster, penalty (after priorities) : `[W]`. performance : `[W, K]`.

    power : `[K]`; site_power, factor : `[S, T]`, `[T]`. opening, standing : `[S]`. egress : `[W, S]`.
    site, sku : of offers, `[O]`. price : `[O, T]` for a quarter. capacity : `[O, T, F]`, or `[O, T, 1]` where
    none is uncertain. work : `[W, O]` of a unit of an offer. network, provider : of sites, numbers.
    Pairs (pair_offer, pair_stream) are what pay-as-you-go can be used for.
    """

    scales: Scales
    demand: Floats
    floor: Floats
    cluster: Floats
    penalty: Floats
    performance: Floats
    power: Floats
    site_power: Floats
    factor: Floats
    opening: Floats
    standing: Floats
    ready: Integers
    egress: Floats
    site: Integers
    sku: Integers
    price: Floats
    capacity: Floats
    work: Floats
    network: Integers
    provider: Integers
    value: Floats
    pair_offer: Integers
    pair_stream: Integers
    networks: tuple[str, ...]
    providers: tuple[str, ...]

    @property
    def placed(self) -> Integers:
        """Streams that run on one network."""
        return np.flatnonzero(self.cluster > 0)


def by_quarter(value: float | Floats, quarters: int) -> Floats:
    """`[quarter]` from a number or an array."""
    return np.broadcast_to(np.asarray(value, float), (quarters,))


def _performance(programme: Programme) -> Floats:
    return np.array([[k.performance.get(d.name, 0.0) for k in programme.skus] for d in programme.demands])


def penalties(programme: Programme) -> Floats:
    """Penalties after priorities, `[stream]` [USD/unit of work].

    A penalty is raised, where needed, until a unit of any SKU that serves two streams saves more on the one
    of higher priority. Then no optimum serves the lower one with units that the higher one lacks.
    """
    performance = _performance(programme)
    raised = np.array([d.penalty for d in programme.demands], float)
    order = np.argsort([-d.priority for d in programme.demands], kind="stable")
    for i in order:
        for j in order:
            if programme.demands[j].priority > programme.demands[i].priority:
                both = (performance[i] > 0) & (performance[j] > 0)
                if both.any():
                    least = raised[j] * (performance[j, both] / performance[i, both]).max() * EXCHANGE
                    raised[i] = max(raised[i], float(least))
    return raised


def arrays(programme: Programme) -> Arrays:
    """Scale a checked programme into arrays."""
    calendar, futures = programme.calendar, programme.futures
    quarters, count = calendar.quarters, futures.size
    demands, skus, sites, offers = programme.demands, programme.skus, programme.sites, programme.offers
    demand = np.array([np.broadcast_to(d.amount, (quarters, count)) for d in demands], float)
    peak = demand.max((1, 2))
    work_scale = np.where(peak > 0, peak, 1.0) / LARGEST
    performance = _performance(programme) / work_scale[:, None]
    unit_scale = 1 / np.where(performance.max(0) > 0, performance.max(0), 1.0)
    performance = performance * unit_scale
    watts = np.array([k.power for k in skus], float) * unit_scale
    power_scale = max(float(watts.max()), 1e-300) if watts.max() > 0 else 1.0
    names = {"sku": {k.name: i for i, k in enumerate(skus)}, "site": {s.name: i for i, s in enumerate(sites)}}
    site = np.array([names["site"][o.site] for o in offers], np.int64)
    sku = np.array([names["sku"][o.sku] for o in offers], np.int64)
    price = np.array([by_quarter(o.price, quarters) for o in offers]).reshape(-1, quarters)
    price = price * QUARTER * unit_scale[sku][:, None]
    paid = price[price > 0]
    money = float(np.median(paid)) if paid.size else 1.0
    uncertain = any(np.ndim(o.capacity) == 2 for o in offers)
    capacity = np.empty((len(offers), quarters, count if uncertain else 1))
    for i, o in enumerate(offers):
        given = np.asarray(o.capacity, float)
        capacity[i] = (given if given.ndim == 2 else by_quarter(given, quarters)[:, None]) * (
            o.availability / unit_scale[sku[i]]
        )
    efficiency = np.array([o.efficiency for o in offers])
    work = performance[:, sku] * efficiency
    networks = tuple(dict.fromkeys(s.network or s.name for s in sites))
    providers = tuple(dict.fromkeys(s.provider for s in sites))
    seconds = QUARTER / money
    pays = np.array([o.kind in PAY_AS_YOU_GO for o in offers], bool)
    may = work > 0
    for i, d in enumerate(demands):
        if d.cluster > 0 or not d.interruptible:
            may[i] &= np.array([o.kind != "spot" for o in offers], bool)
    stream, offer = np.nonzero(may & pays)
    order = np.lexsort((stream, offer))
    cheapest = np.full(len(demands), 1.0)
    for i in range(len(demands)):
        for which in (pays & (work[i] > 0), work[i] > 0):
            if which.any():
                cheapest[i] = max(float((price[which].min(1) / work[i, which]).min()) / money, 1e-9)
                break
    value = np.array([
        programme.value[d.name] * work_scale[i] * seconds if d.name in programme.value else cheapest[i]
        for i, d in enumerate(demands)
    ])  # fmt: skip
    available = capacity.max(2) > 0
    ready = np.full(len(sites), quarters)
    for i in range(len(offers)):
        when = np.flatnonzero(available[i])
        if when.size:
            ready[site[i]] = min(ready[site[i]], int(when[0]))
    return Arrays(
        scales=Scales(work_scale, unit_scale, money, power_scale),
        demand=demand / work_scale[:, None, None],
        floor=np.array([d.floor for d in demands]),
        cluster=np.array([d.cluster for d in demands]) / work_scale,
        penalty=penalties(programme) * work_scale * seconds,
        performance=performance,
        power=watts / power_scale,
        site_power=np.array([by_quarter(s.power, quarters) for s in sites]) / power_scale,
        factor=calendar.factors(),
        opening=np.array([s.opening for s in sites]) / money,
        standing=np.array([s.standing for s in sites]) * seconds,
        ready=ready,
        egress=np.array([[s.egress.get(d.name, 0.0) for s in sites] for d in demands])
        * (work_scale * seconds)[:, None],
        site=site,
        sku=sku,
        price=price / money,
        capacity=capacity,
        work=work,
        network=np.array([networks.index(s.network or s.name) for s in sites]),
        provider=np.array([providers.index(s.provider) for s in sites]),
        value=value,
        pair_offer=offer[order],
        pair_stream=stream[order],
        networks=networks,
        providers=providers,
    )


def values(programme: Programme, arrays: Arrays) -> dict[str, float]:
    """Value of work by stream, as shares weigh it [USD/unit of work]."""
    whole = arrays.value / (arrays.scales.work * QUARTER) * arrays.scales.money
    return {d.name: float(v) for d, v in zip(programme.demands, whole, strict=True)}

"""What a contract's money buys as a fleet over time, CPUs against it, and owning against renting.

Imports rooms above.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from armillary.portfolio import (
    QUARTER,
    Swing,
    accelerators_paid_for,
    break_even,
    contract_flows,
    cpu_prices,
    inputs,
    owned,
    price_each,
    quarters,
    ramp,
    tornado,
    usable,
)
from armillary.portfolio.calendar import Floats
from armillary.scenario import Purchasing, Scenario
from armillary.scenario.months import later

YEAR = 4 * QUARTER
HOUR = 3600.0
VCPUS = 10e6
"""Always on, to be held against a contract: the least of the announcement's tens of millions. [-]"""
OWNED = "gb200"


class Bought(NamedTuple):
    """Accelerators that the contract pays for at a price, `[quarter]`. price [USD/s]; source : of it."""

    price: float
    source: str
    accelerators: Floats
    beside_cpus: Floats


class Cpus(NamedTuple):
    """What ten million vCPUs, always on, cost. price : of one [USD/s]; yearly : of all [USD/yr]."""

    name: str
    price: float
    yearly: float
    core: bool
    source: str


class Deal(NamedTuple):
    """A contract as a fleet over time.

    total [USD]; years [yr]; full : quarter in which all stands. labels : of the term's quarters.
    fleet : what a scenario's clusters of that provider have [-]. cpus : ten million of them at list prices,
    the cheapest first.
    """

    contract: str
    provider: str
    total: float
    years: float
    full: str
    labels: tuple[str, ...]
    bought: tuple[Bought, ...]
    fleet: int
    cpus: tuple[Cpus, ...]

    @property
    def yearly(self) -> float:
        """Of an even year [USD/yr]."""
        return self.total / self.years


def deal_of(scenario: Scenario, asked: Purchasing) -> Deal | None:
    """What the first contract of both the file and its portfolio buys; None where there is none."""
    held = [c for c in asked.contracts if c.name in scenario.contracts]
    if not held:
        return None
    deal = scenario.contracts[held[0].name]
    when = quarters(deal.start, max(round(deal.term / QUARTER), 1))
    standing = asked.deployed_by or later(deal.start, 12)
    last = quarters(later(standing, -1) if asked.deployed_by else standing, 1).labels[0]
    full = last if last in when.labels else when.labels[0]
    flows = contract_flows(deal.total, when, ramp(when, full))
    listed = sorted((c for c in cpu_prices().values() if c.terms == "on-demand"), key=lambda c: c.price)
    cpus = tuple(
        Cpus(c.name, c.price, VCPUS * c.price * YEAR, c.core, f"{c.source}, {c.date}") for c in listed
    )
    prices: dict[float, str] = {}
    for one in asked.offers:
        sku = next(k for k in asked.skus if k.name == one.offer.sku)
        if sku.system is not None and np.ndim(one.offer.price) == 0:
            prices.setdefault(float(one.offer.price), f"{one.offer.name}: {one.source}")
    cost = float(owned(inputs()).total / usable(inputs()))
    prices.setdefault(cost, "what owning a GB200 costs, spares included")
    bought = []
    for price, source in sorted(prices.items()):
        alone, beside = (
            accelerators_paid_for(flows.paid, when, price, other=VCPUS * one) for one in (0.0, cpus[0].price)
        )
        bought.append(Bought(price, source, np.asarray(alone), np.asarray(beside)))
    fleet = sum(c.machine.accelerators for c in scenario.clusters.values() if c.provider == deal.provider)
    return Deal(
        deal.name, deal.provider, deal.total, deal.term / YEAR, full, when.labels, tuple(bought), fleet, cpus,
    )  # fmt: skip


class OwnOrRent(NamedTuple):
    """Owning a GB200 against renting it.

    cost : of an accelerator in use [USD/s]; utilisation : that it is of [-]. rents : price, name, and the
    utilisation above which owning is cheaper. swings : what moves the cost, the largest first [USD/h].
    """

    cost: float
    utilisation: float
    rents: tuple[tuple[float, str, float], ...]
    swings: tuple[Swing, ...]


def own_or_rent(asked: Purchasing) -> OwnOrRent | None:
    """None where nothing that is offered is of that accelerator."""
    skus = {k.name for k in asked.skus if k.accelerator is not None and k.accelerator.name == OWNED}
    offers = [o for o in asked.offers if o.offer.sku in skus and o.offer.kind != "own"]
    if not offers:
        return None
    at = inputs()
    total = owned(at).total
    rents = []
    for one in offers:
        price = float(np.ravel(one.offer.price)[0])
        rents.append((price, one.offer.name, float(break_even(price, total, at))))
    swings = tornado(lambda x: price_each(owned(x).total, x) * HOUR, at)
    return OwnOrRent(float(price_each(total, at)), float(at.utilisation), tuple(sorted(rents)), swings)

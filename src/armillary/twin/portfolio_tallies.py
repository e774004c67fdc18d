"""A plan in people's terms: accelerators had, money by provider and contract, what is not done.

Imports rooms above.
"""

from __future__ import annotations

import numpy as np

from armillary.portfolio import QUARTER, Plan, Programme
from armillary.portfolio.calendar import Floats
from armillary.scenario import CPUS


def wanted_of(programme: Programme, reference: str) -> Floats:
    """Accelerators of the reference SKU that all demand but that of CPUs would take, `[quarter, future]`."""
    sku = next(k for k in programme.skus if k.name == reference)
    shape = (programme.calendar.quarters, programme.futures.size)
    total = np.zeros(shape)
    for d in programme.demands:
        if d.name != CPUS and sku.performance.get(d.name, 0.0) > 0:
            total += np.broadcast_to(d.amount, shape) / sku.performance[d.name]
    return total


def label(programme: Programme, site: str, kind: str, contract: str) -> str:
    """Who and under what: ``aws: deal``, ``oci: reserved``."""
    provider = next(s.provider for s in programme.sites if s.name == site)
    return f"{provider}: {contract or kind}"


def accelerator_skus(programme: Programme) -> set[str]:
    """SKUs that do other work than that of CPUs."""
    return {k.name for k in programme.skus if set(k.performance) - {CPUS}}


def capacity_of(programme: Programme, plan: Plan) -> dict[str, Floats]:
    """Expected accelerators that are used as one goes, or had for a term, by label, `[quarter]`."""
    weight, found = programme.futures.probability, dict[str, Floats]()
    chips, quarters = accelerator_skus(programme), programme.calendar.quarters
    for i, o in enumerate(programme.offers):
        if o.sku not in chips:
            continue
        amount = plan.used[i] @ weight
        for p in plan.purchases:
            if p.offer == o.name:
                amount[p.start : p.end] += p.units
        name = label(programme, o.site, o.kind, o.contract)
        found[name] = found.get(name, np.zeros(quarters)) + amount
    for option in programme.options:
        taken = float(plan.exercised[option.name] @ weight)
        name = label(programme, option.site, "option", "option")
        amount = np.zeros(quarters)
        amount[option.start : option.start + option.term] = taken
        if option.sku in chips:
            found[name] = found.get(name, np.zeros(quarters)) + amount
    return {name: amount for name, amount in found.items() if amount.max() > 1e-6}


def spending_of(programme: Programme, plan: Plan) -> dict[str, Floats]:
    """Expected cash by label, undiscounted; what a provider gets beside its prices stands apart [USD].

    Beside are discounts, takes that are not used, prepayments and sites; it may be negative.
    """
    weight, quarters = programme.futures.probability, programme.calendar.quarters
    provider = {s.name: s.provider for s in programme.sites}
    found: dict[str, Floats] = {}
    by_provider: dict[str, Floats] = {}

    def add(site: str, name: str, amount: Floats) -> None:
        found[name] = found.get(name, np.zeros(quarters)) + amount
        who = provider[site]
        by_provider[who] = by_provider.get(who, np.zeros(quarters)) + amount

    for i, o in enumerate(programme.offers):
        price = np.broadcast_to(np.asarray(o.price, float), (quarters,))
        amount = (plan.used[i] @ weight) * price * QUARTER
        for p in plan.purchases:
            if p.offer == o.name:
                paid = np.zeros(quarters)
                own = np.full(p.end - p.start, price[p.start]) if o.locked else price[p.start : p.end]
                paid[p.start : p.end] = own * (1 - o.upfront)
                paid[p.start] += o.upfront * own.sum()
                amount = amount + paid * p.units * QUARTER
        add(o.site, label(programme, o.site, o.kind, o.contract), amount)
    for option in programme.options:
        taken = float(plan.exercised[option.name] @ weight)
        amount = np.zeros(quarters)
        amount[option.start : option.start + option.term] = taken * option.strike * QUARTER
        add(option.site, label(programme, option.site, "option", "option"), amount)
    expected = plan.spend @ weight
    for i, who in enumerate(dict.fromkeys(s.provider for s in programme.sites)):
        rest = expected[i] - by_provider.get(who, np.zeros(quarters))
        if np.abs(rest).max() > 1e-6 * max(float(expected.max()), 1.0):
            found[f"{who}: takes, discounts, sites"] = rest
    return {name: amount for name, amount in found.items() if np.abs(amount).max() > 1.0}


def unmet_share(programme: Programme, plan: Plan) -> dict[str, float]:
    """Expected share of each stream that is not served [-]."""
    weight = programme.futures.probability
    found = {}
    for i, d in enumerate(programme.demands):
        asked = float((plan.demand[i] @ weight).sum())
        found[d.name] = float((plan.unmet[i] @ weight).sum()) / asked if asked else 0.0
    return found

"""Bad input of a programme, all of it at once, each with its place, cause and cure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import numpy as np

from armillary.errors import InputError, did_you_mean
from armillary.portfolio.records import KINDS, PAY_AS_YOU_GO, Contract, Demand, Offer, Option, Programme


def check(programme: Programme, servable: bool = True) -> None:
    """Raise an `InputError` with one line for each problem.

    `servable` : demand that nothing can serve is a problem, too.

    Amounts are plain numbers in SI units and USD: other currencies are refused where text becomes numbers
    (`armillary.units` knows no unit but USD).
    """
    found = [
        *_horizon(programme),
        *_names(programme),
        *(line for d in programme.demands for line in _demand(programme, d)),
        *_places(programme),
        *(line for o in programme.offers for line in _offer(programme, o)),
        *(line for c in programme.contracts for line in _contract(programme, c)),
        *(line for o in programme.options for line in _option(programme, o)),
        *_whole(programme),
    ]
    if not found and servable:
        found = list(_unservable(programme))
    if found:
        raise InputError("\n".join(found))


def _bad(value: Any, least: float = 0.0, infinite: bool = False) -> bool:
    """Whether a number or any of an array is below the least, not a number, or infinite."""
    array = np.asarray(value, float)
    return bool(np.isnan(array).any() or (array < least).any() or (not infinite and np.isinf(array).any()))


def _least(value: Any) -> str:
    return f"{float(np.min(np.asarray(value, float))):g}"


def _share(value: float) -> bool:
    return not 0 <= value <= 1


def _span(programme: Programme) -> str:
    """The quarters of a plan, as people count them."""
    calendar = programme.calendar
    return (
        f"the {calendar.quarters} quarters from {calendar.name(0)} to {calendar.name(calendar.quarters - 1)}"
    )


def _horizon(programme: Programme) -> Iterable[str]:
    calendar, futures = programme.calendar, programme.futures
    if calendar.quarters < 1:
        yield f"calendar: the number of quarters must be at least 1. Got {calendar.quarters} instead."
    if not 1 <= calendar.quarter <= 4:
        yield f"calendar: the first quarter must be 1 to 4. Got {calendar.quarter} instead."
    if not -1 < calendar.discount < math.inf:
        yield f"calendar: the discount rate must be above -100%. Got {calendar.discount:g} instead."
    if futures.node.shape != (calendar.quarters, futures.size):
        shape = (calendar.quarters, futures.size)
        yield f"futures: node must have the shape (quarters, futures) = {shape}. Got {futures.node.shape}."
        return
    if futures.size == 0 or _bad(futures.probability) or abs(futures.probability.sum() - 1) > 1e-9:
        yield (
            "futures: probabilities must be at least 0 and sum to 1. Got a sum of "
            f"{futures.probability.sum():g}."
        )
    for t in range(1, calendar.quarters):
        pairs = np.unique(np.stack([futures.node[t], futures.node[t - 1]]), axis=1)
        if len(np.unique(pairs[0])) < pairs.shape[1]:
            yield (
                f"futures: some that had parted are one again in {calendar.name(t)}; once apart "
                "they stay apart."
            )
            return


def _names(programme: Programme) -> Iterable[str]:
    kinds = ("demands", "skus", "sites", "offers", "contracts", "options")
    for kind in kinds:
        counts = Counter(one.name for one in getattr(programme, kind))
        yield from (f"{kind}: the name {n!r} is given {c} times" for n, c in counts.items() if c > 1)
    for kind in kinds[:4]:
        if not getattr(programme, kind) and not (kind == "offers" and programme.options):
            yield f"{kind}: at least one is needed"


def _demand(programme: Programme, demand: Demand) -> Iterable[str]:
    place = f"demand {demand.name!r}"
    futures, quarters = programme.futures, programme.calendar.quarters
    if _bad(demand.amount):
        yield f"{place}: amounts must be finite and at least 0. The least is {_least(demand.amount)}."
    try:
        amount = np.broadcast_to(demand.amount, (quarters, futures.size))
    except ValueError:
        shape = np.shape(demand.amount)
        yield (
            f"{place}: amounts must have the shape (quarters, futures) = "
            f"{(quarters, futures.size)}. Got {shape}."
        )
        return
    for t, row in enumerate(futures.node if futures.node.shape == amount.shape else ()):
        first = np.unique(row, return_index=True, return_inverse=True)
        if not np.allclose(amount[t], amount[t][first[1]][first[2]], rtol=1e-9):
            yield (
                f"{place}: amounts in {programme.calendar.name(t)} differ between futures that are one until "
                f"then; part them earlier in `node`, or give them one amount"
            )
            break
    if _bad(demand.penalty):
        yield f"{place}: the penalty must be finite and at least 0 USD. Got {demand.penalty:g} instead."
    if _bad(demand.cluster):
        yield f"{place}: the cluster must be finite and at least 0. Got {demand.cluster:g} instead."
    if _share(demand.floor):
        yield f"{place}: the floor must be a share from 0 to 1. Got {demand.floor:g} instead."


def _places(programme: Programme) -> Iterable[str]:
    streams = [d.name for d in programme.demands]
    for sku in programme.skus:
        place = f"sku {sku.name!r}"
        if _bad(sku.power):
            yield f"{place}: power must be finite and at least 0 W. Got {sku.power:g} instead."
        for name, value in sku.performance.items():
            if name not in streams:
                yield f"{place}: performance of an unknown stream {name!r}{did_you_mean(name, streams)}"
            if _bad(value):
                yield (
                    f"{place}: performance on {name!r} must be finite and at least 0. Got {value:g} instead."
                )
    for site in programme.sites:
        place = f"site {site.name!r}"
        if _bad(site.power, infinite=True) or np.shape(site.power) not in (
            (),
            (programme.calendar.quarters,),
        ):
            yield f"{place}: power must be at least 0 W, one number or one a quarter"
        for what, paid in (("opening", site.opening), ("standing", site.standing)):
            if _bad(paid):
                yield f"{place}: the {what} cost must be finite and at least 0 USD. Got {paid:g} instead."
        for name, value in site.egress.items():
            if name not in streams:
                yield f"{place}: egress of an unknown stream {name!r}{did_you_mean(name, streams)}"
            if _bad(value):
                yield f"{place}: egress of {name!r} must be finite and at least 0 USD. Got {value:g} instead."


def _refers(place: str, programme: Programme, site: str, sku: str, contract: str) -> Iterable[str]:
    for kind, name, known in (
        ("site", site, [s.name for s in programme.sites]),
        ("SKU", sku, [k.name for k in programme.skus]),
        ("contract", contract, [c.name for c in programme.contracts]),
    ):
        if name not in known and not (kind == "contract" and not name):
            yield f"{place}: unknown {kind} {name!r}{did_you_mean(name, known)}"


def _offer(programme: Programme, offer: Offer) -> Iterable[str]:
    place, quarters = f"offer {offer.name!r}", programme.calendar.quarters
    yield from _refers(place, programme, offer.site, offer.sku, offer.contract)
    if offer.kind not in KINDS:
        yield (
            f"{place}: unknown kind {offer.kind!r}; one of "
            f"{', '.join(KINDS)}{did_you_mean(offer.kind, KINDS)}"
        )
        return
    if _bad(offer.price):
        yield f"{place}: prices must be finite and at least 0 USD. The least is {_least(offer.price)}."
    if np.shape(offer.price) not in ((), (quarters,)):
        yield f"{place}: prices must be one number or one a quarter. Got the shape {np.shape(offer.price)}."
    shapes: list[tuple[int, ...]] = [(), (quarters,)]
    bought = offer.kind not in PAY_AS_YOU_GO
    if not bought:
        shapes.append((quarters, programme.futures.size))
    if np.shape(offer.capacity) not in shapes:
        who = "of what is bought for a term is the same in all futures: one number or one a quarter"
        yield (
            f"{place}: capacity "
            f"{who if bought else 'must be one number, or by quarter, or by quarter and future'}"
        )
    elif np.ndim(offer.capacity) == 2:
        capacity, node = np.asarray(offer.capacity), programme.futures.node
        for t in range(quarters if node.shape == capacity.shape else 0):
            first = np.unique(node[t], return_index=True, return_inverse=True)
            if not np.array_equal(capacity[t], capacity[t][first[1]][first[2]]):
                yield (
                    f"{place}: capacity differs between futures that are one until "
                    f"{programme.calendar.name(t)}"
                )
                break
    if _bad(offer.capacity, infinite=True):
        yield f"{place}: capacity must be at least 0. The least is {_least(offer.capacity)}."
    for what, share in (("availability", offer.availability), ("upfront", offer.upfront)):
        if _share(share):
            yield f"{place}: {what} must be a share from 0 to 1. Got {share:g} instead."
    if not 0 < offer.efficiency <= 1:
        yield f"{place}: efficiency must be above 0 and at most 1. Got {offer.efficiency:g} instead."
    if bought and (offer.efficiency != 1 or offer.availability != 1):
        yield f"{place}: availability and efficiency are for pay-as-you-go offers; lower the capacity instead"
    if bought and offer.term < 1:
        yield f"{place}: a {offer.kind} offer needs a term of at least 1 quarter. Got {offer.term} instead."
    if not bought and (offer.term or offer.starts is not None or offer.upfront):
        yield f"{place}: {offer.kind} is paid while used; term, starts and upfront are for reservations"
    if offer.starts is not None and any(q < 0 for q in offer.starts):
        name = programme.calendar.name
        yield f"{place}: starts must be quarters from {name(0)} on. Got {name(min(offer.starts))} instead."


def _contract(programme: Programme, contract: Contract) -> Iterable[str]:
    place = f"contract {contract.name!r}"
    known = sorted({s.provider for s in programme.sites})
    if contract.provider not in known:
        yield f"{place}: unknown provider {contract.provider!r}{did_you_mean(contract.provider, known)}"
    if not 0 <= contract.start < programme.calendar.quarters:
        yield (
            f"{place}: the start must be within {_span(programme)}. "
            f"Got {programme.calendar.name(contract.start)}."
        )
    if contract.years < 1:
        yield (
            f"{place}: the term must be at least 1 year; it ends before it starts. Got "
            f"{contract.years} instead."
        )
    if contract.ramp and (
        len(contract.ramp) != contract.years or _bad(contract.ramp) or abs(sum(contract.ramp) - 1) > 1e-9
    ):
        yield (
            f"{place}: the ramp must have one share for each of {contract.years} years, and "
            "they must sum to 1"
        )
    for what, share in (("minimum take", contract.minimum_take), ("prepayment", contract.prepayment)):
        if _share(share):
            yield f"{place}: the {what} must be a share from 0 to 1. Got {share:g} instead."
    if not contract.tiers:
        yield f"{place}: at least one tier is needed"
    for k, tier in enumerate(contract.tiers):
        if _bad(tier.least) or _bad(tier.most) or tier.most < tier.least:
            yield (
                f"{place}: tier {k} must go from 0 or more USD upwards. Got {tier.least:g} to {tier.most:g}."
            )
        if not 0 <= tier.discount < 1:
            yield (
                f"{place}: the discount of tier {k} must be a share from 0 to below 1. Got {tier.discount:g}."
            )
    ordered = sorted(contract.tiers)
    for a, b in pairwise(ordered):
        if b.least < a.most:
            yield (
                f"{place}: tiers from {a.least:g} to {a.most:g} and from {b.least:g} to {b.most:g} USD "
                "overlap; let one end where the next begins"
            )


def _option(programme: Programme, option: Option) -> Iterable[str]:
    place = f"option {option.name!r}"
    yield from _refers(place, programme, option.site, option.sku, option.contract)
    for what, value in (("strike", option.strike), ("units", option.units), ("premium", option.premium)):
        if _bad(value):
            yield f"{place}: {what} must be finite and at least 0. Got {value:g} instead."
    if not 0 <= option.decided <= option.start < programme.calendar.quarters:
        decided, start = (programme.calendar.name(t) for t in (option.decided, option.start))
        yield (
            f"{place}: must be decided at or before its start, both within {_span(programme)}. "
            f"Got decided {decided}, start {start}."
        )
    if option.term < 1:
        yield (
            f"{place}: the term must be at least 1 quarter; it ends before it starts. Got "
            f"{option.term} instead."
        )


def _whole(programme: Programme) -> Iterable[str]:
    if not 0 < programme.share <= 1:
        yield (
            f"share: the most of one provider must be above 0 and at most 1. Got {programme.share:g} instead."
        )
    if programme.risk.weight < 0 or not 0 <= programme.risk.level < 1:
        risk = programme.risk
        yield (
            "risk: the weight must be at least 0 and the level in [0, 1). Got "
            f"{risk.weight:g} and {risk.level:g}."
        )
    if programme.budget is not None and (
        _bad(programme.budget, infinite=True) or np.shape(programme.budget) != (programme.calendar.quarters,)
    ):
        yield "budget: must have one amount of at least 0 USD for each quarter"
    streams = [d.name for d in programme.demands]
    for name, value in programme.value.items():
        if name not in streams:
            yield f"value: unknown stream {name!r}{did_you_mean(name, streams)}"
        if _bad(value):
            yield f"value of {name!r}: must be finite and at least 0 USD. Got {value:g} instead."


def _unservable(programme: Programme) -> Iterable[str]:
    """Demand that no offer could ever serve."""
    able = {k.name: k.performance for k in programme.skus}
    for d in programme.demands:
        if not np.asarray(d.amount).any():
            continue
        bought = [o for o in programme.offers if np.asarray(o.capacity).any() and o.availability > 0]
        used = [o.sku for o in bought if o.kind != "spot" or (d.interruptible and d.cluster <= 0)] + [
            o.sku for o in programme.options if o.units > 0
        ]
        if not any(able[sku].get(d.name, 0) > 0 for sku in used):
            why = "no SKU that is offered has a performance on it"
            if any(able[o.sku].get(d.name, 0) > 0 for o in bought):
                why = "only spot could, and it may not be interrupted"
            yield f"demand {d.name!r}: nothing can serve it: {why}"

"""Offers that another at the same site replaces at no more money and power. Only numpy.

What replaces must be there whenever the other is, in numbers that could serve all demand, and be bound to the
same contract; providers with a most-favoured clause are left alone, as a rebate can turn the order. Leaving
out what is dominated changes no optimum.
"""

from __future__ import annotations

import numpy as np

from armillary.portfolio.arrays import Arrays
from armillary.portfolio.calendar import Floats, Integers
from armillary.portfolio.matrix import Bools
from armillary.portfolio.records import PAY_AS_YOU_GO, Programme

EQUAL = 1e-12
"""Relative difference below which two prices are one. [-]"""


def needs(arrays: Arrays) -> Floats:
    """Units of each offer that could serve all demand of a quarter, in the worst future, `[O, T]`."""
    able = arrays.work > 0
    per = np.where(able, 1 / np.where(able, arrays.work, 1.0), 0.0)
    return np.asarray(np.einsum("wo,wtf->otf", per, arrays.demand).max(2))


def undominated(programme: Programme, arrays: Arrays) -> tuple[Bools, Bools]:
    """Pairs of pay-as-you-go use `[pair]` and take-or-pay offers `[offer]` that are worth a column."""
    pays = np.array([o.kind in PAY_AS_YOU_GO for o in programme.offers])
    ample = (arrays.capacity.min(2) >= needs(arrays)) | (arrays.capacity.max(2) <= 0)
    ample &= (arrays.capacity.max(2) > 0).any(1)[:, None]
    free = np.ones(len(arrays.providers), bool)
    for c in programme.contracts:
        if c.most_favoured:
            free[arrays.providers.index(c.provider)] = False
    bound = np.array([hash(o.contract) for o in programme.offers])
    there = arrays.capacity.max(2) > 0
    pairs, offers = np.ones(len(arrays.pair_offer), bool), ~pays
    by_site = np.argsort(arrays.site[arrays.pair_offer], kind="stable")
    sites = arrays.site[arrays.pair_offer][by_site]
    for s in np.flatnonzero(free[arrays.provider]):
        mine = by_site[np.searchsorted(sites, s) : np.searchsorted(sites, s, side="right")]
        for w in np.unique(arrays.pair_stream[mine]):
            some = mine[arrays.pair_stream[mine] == w]
            offer = arrays.pair_offer[some]
            work = arrays.work[w, offer]
            pairs[some] = _kept(arrays, offer, 1 / work[:, None] * work[None, :], ample, there, bound)
        own = np.flatnonzero((arrays.site == s) & ~pays)
        terms = {(o.term, o.starts, o.upfront, o.locked): None for o in (programme.offers[i] for i in own)}
        for term in terms:
            alike = np.array([
                i for i in own
                if (programme.offers[i].term, programme.offers[i].starts, programme.offers[i].upfront,
                    programme.offers[i].locked) == term
            ])  # fmt: skip
            work = arrays.work[:, alike]
            # Units of the other that do whatever one of this does; infinite where it cannot.
            with np.errstate(divide="ignore", invalid="ignore"):
                each = np.where(work[:, None, :] > 0, work[:, None, :] / work[:, :, None], 0.0)
            offers[alike] = _kept(arrays, alike, each.max(0), ample, there, bound)
    return pairs, offers


def _kept(
    arrays: Arrays, offer: Integers, units: Floats, ample: Bools, there: Bools, bound: Integers
) -> Bools:
    """Which of some offers are kept; `units[i, j]` of offer i replace one of offer j."""
    price, power = arrays.price[offer], arrays.power[arrays.sku[offer]]
    when = there[offer]
    covers = (ample[offer][:, None, :] & when[:, None, :] | ~when[None, :, :]).all(2)
    with np.errstate(invalid="ignore"):
        cost = units[:, :, None] * price[:, None, :]
        cheaper = ((cost <= price[None] * (1 + EQUAL)) | ~when[None]).all(2)
        lighter = units * power[:, None] <= power[None] * (1 + EQUAL)
    better = (
        covers & cheaper & lighter & (bound[offer][:, None] == bound[offer][None, :]) & np.isfinite(units)
    )
    np.fill_diagonal(better, False)
    # Of two that replace each other, the first stays.
    both = better & better.T
    better &= ~(both & (np.arange(len(offer))[:, None] > np.arange(len(offer))[None, :]))
    return np.asarray(~better.any(0))

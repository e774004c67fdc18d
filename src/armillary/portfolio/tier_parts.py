"""Parts of all plans by the large tiers that they sign, and what spending is worth in them. Only numpy.

One part has the large tiers that a relaxation's spending would pay for; each of the others differs in one
tier that is signed or not, so that together they have every plan. What is spent under a tier that is signed
is worth its discount, or more where its take is missed.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from armillary.portfolio.assembly import Assembly
from armillary.portfolio.calendar import Floats
from armillary.portfolio.matrix import Bools
from armillary.portfolio.records import Programme

LARGE = 0.5
"""Of what is paid at least under the largest tier that is wanted, from which others are large. [-]"""


class Bounds(NamedTuple):
    """Of the tiers' columns: lower, upper; and how many of each of some sets of them are signed at least."""

    lower: Floats
    upper: Floats
    signed: Floats


class Parts(NamedTuple):
    """All plans: the part with the large tiers that are wanted, and those with all others.

    near : small tiers are open in it. others : none if no tier is wanted.
    wide : plans that sign what the first part does, and may sign more of like size.
    sets : `[set, tier]` which tiers parts sign at least one of.
    """

    near: Bounds
    others: list[Bounds]
    wide: Bounds
    sets: Bools


def nested(assembly: Assembly, wanted: Bools) -> Parts:
    """Part all plans by large tiers.

    Parameters
    ----------
    assembly : Assembly
    wanted : array
        Which tiers `[contract and tier]` pay for themselves, it seems.
    """
    committed, m = assembly.committed, assembly.matrix
    lower, upper = m.lower[committed.signed].copy(), m.upper[committed.signed].copy()
    free, paid = lower < upper, committed.least_paid
    wanted = wanted & free
    if not wanted.any():
        every = Bounds(lower, upper, np.zeros(0))
        return Parts(every, [], every, np.zeros((0, len(free)), bool))
    held = wanted & (paid >= LARGE * paid[wanted].max())
    larger = free & ~held & (paid * LARGE > paid[held].max())
    like = free & ~held & ~larger & (paid >= LARGE * paid[held].min())
    sets = []
    while larger.any():
        sets.append(larger & (paid >= LARGE * paid[larger].max()))
        larger &= ~sets[-1]
    sets.append(like)
    none = np.zeros(len(sets))
    one = np.eye(len(sets))
    # At least one of the largest; none of them, but one of the next; and so on; of none, not all that are
    # wanted; all of these, and one of like size.
    others = []
    for number, several in enumerate(sets[:-1]):
        others.append(Bounds(lower.copy(), upper.copy(), one[number]))
        upper[several] = 0.0
    for tier in np.flatnonzero(held):
        without = upper.copy()
        without[tier] = 0.0
        others.append(Bounds(lower.copy(), without, none))
        lower[tier] = 1.0
    wide = Bounds(lower.copy(), upper.copy(), none)
    if like.any():
        others.append(wide._replace(signed=one[-1]))
    upper[like] = 0.0
    return Parts(Bounds(lower, upper, none), others, wide, np.array(sets))


def priced(
    programme: Programme, assembly: Assembly, factor: Floats, duals: Floats, part: Bounds, every: bool = False
) -> Floats:
    """Prices of an assembly's rows, with what is spent worth what tiers save on it.

    Parameters
    ----------
    programme : Programme
    assembly : Assembly
        Over means, one state a quarter.
    factor : array
        Of discounting, `[quarter]`.
    duals : array
        Of its rows, in a relaxation.
    part : Bounds
    every : bool
        Whether spending is worth the discount of the best tier that is open; else what it is in the
        relaxation, and at least the discount of what is signed.
    """
    m, committed, prices = assembly.matrix, assembly.committed, duals.copy()
    providers = list(dict.fromkeys(site.provider for site in programme.sites))
    rows = [m.row_blocks[f"list price {providers.index(one.provider)}"] for one in programme.contracts]
    for one in rows if every else ():
        prices[one] = 0.0
    there = np.flatnonzero(part.upper if every else part.lower)
    for c, k in zip(committed.contract[there], committed.tier[there], strict=True):
        contract = programme.contracts[c]
        saved = np.zeros(len(factor))
        saved[contract.start : contract.start + 4 * contract.years] = contract.tiers[k].discount
        prices[rows[c]] = np.minimum(prices[rows[c]], -saved * factor)
    return prices

"""Which tiers seem to be best: those that are guessed, or others that differ by a step in one contract.

What a choice of tiers costs is looked at by cuts, which say too little of choices that they were not made
for: they are made for the one that seems cheapest, until what it costs is known well enough.
"""

from __future__ import annotations

import math
from time import perf_counter

import numpy as np

from armillary.portfolio.assembly import Assembly
from armillary.portfolio.calendar import Floats
from armillary.portfolio.plan_tree import PlanTree
from armillary.portfolio.tier_parts import Bounds

KNOWN = 2e-3
"""How far what a choice costs may be from its bound, as a share of it, where it is known well enough. [-]"""
CHEAPER = 2e-3
"""By how much another choice has to be cheaper. [-]"""


def moved(tree: PlanTree, signed: Floats, until: float) -> Floats:
    """The tiers that seem to be best.

    Parameters
    ----------
    tree : PlanTree
        Its cuts are used, and get more.
    signed : array
        Tiers that are guessed, 1 where one is signed.
    until : float
        Time limit, of the performance counter. [s]
    """
    while (best := _cheapest(tree, signed, until)) is not signed:
        signed = best
    return signed


def _cheapest(tree: PlanTree, signed: Floats, until: float) -> Floats:
    """The cheapest choice near one, or itself where none is much cheaper."""
    none = np.zeros(len(tree.sets))
    guessed = Bounds(signed, signed, none)
    parts = [*(Bounds(one, one, none) for one in near_by(tree.assembly, signed)), guessed]
    leaves = PlanTree(tree.assembly, tree.first, parts, tree.sets, -math.inf, homes=False)
    enough = math.inf
    while perf_counter() < until:
        part = leaves.step(until, enough)  # the one that is guessed first
        if part.bounds is guessed:
            enough = part.bound * (1 - CHEAPER)
        best = leaves.open[0]
        if best.bound >= enough or best.over:
            break
        if best.looked_at and (best.still or best.least - best.bound <= KNOWN * abs(best.bound)):
            return best.bounds.lower if best.least < enough else signed
    return signed


def near_by(assembly: Assembly, signed: Floats) -> list[Floats]:
    """Choices that differ by a step in one contract, within the bounds of the tiers' columns."""
    m, committed, found = assembly.matrix, assembly.committed, list[Floats]()
    lower, upper = m.lower[committed.signed], m.upper[committed.signed]
    for contract in np.unique(committed.contract):
        tiers = np.flatnonzero(committed.contract == contract)
        now = int(signed[tiers] @ np.arange(1, len(tiers) + 1))  # 0 where none is signed
        for step in (now - 1, now + 1):
            if 0 <= step <= len(tiers):
                other = signed.copy()
                other[tiers] = np.arange(1, len(tiers) + 1) == step
                found.append(other)
    return [one for one in found if (one >= lower).all() and (one <= upper).all()]

"""Plans near what cuts choose: sites, homes, rights and tiers held, purchases made right for them.

They are priced in every future.
"""

from __future__ import annotations

from time import perf_counter

import numpy as np

from armillary.portfolio import highs
from armillary.portfolio.assembly import Assembly
from armillary.portfolio.calendar import Floats
from armillary.portfolio.carrying import keys, purchased, purchases_of
from armillary.portfolio.cuts import Cuts
from armillary.portfolio.grouping import labelled
from armillary.portfolio.in_out import InOut
from armillary.portfolio.matrix import Matrix
from armillary.portfolio.plan_tree import PlanTree
from armillary.portfolio.rounding import narrowed, open_sites
from armillary.portfolio.rounds import LEAST, Rounds
from armillary.portfolio.tier_parts import Bounds

HELD_SHARE = 0.3
"""Of the time left, what making a plan may take. [-]"""
PLAN_SLOW = 3e-5
"""Rise of the bound of what is chosen in a plan in a round, as a share, where cuts are over. [-]"""
WHOLE = ("home", "opened", "rights")
"""Blocks of columns that are made whole for a plan whose tiers are decided, places of runs first."""
WORTH = 5e-4
"""By which whole sites have to be cheaper than the best plan for a plan to be made of them. [-]"""
NEAR = 3e-4
"""How near a plan is to the bound of what is chosen in it where it is good enough. [-]"""
TIED = 0.003
"""Part of all cost that opening a site has to be for cuts to tie use to parts of sites. [-]"""
GROUPS = 8
"""Groups of futures in a quarter that share cuts. [-]"""


def plan_near(rounds: Rounds, tree: PlanTree, signed: Floats, held: Floats | None = None) -> None:
    """A plan near the cheapest first stage with some tiers, with whole sites, homes and rights."""
    began = perf_counter()
    until = began + HELD_SHARE * max(rounds.left(), LEAST if rounds.best is None else 0.0)
    means, m, first = tree.assembly, tree.assembly.matrix, tree.first
    places, *charged = (np.arange(m.blocks[name].start, m.blocks[name].stop) for name in WHOLE)
    whole = np.concatenate([places, *charged])
    near = np.zeros(len(m.cost))
    tree.within(Bounds(signed, signed, np.zeros(len(tree.sets))), held)
    if first.whole(places, np.concatenate(charged), until):
        near[first.cuts.first] = first.stage
        if rounds.is_new(means, near):
            first.fine = first.apart
            first.begin(first.stage)
            if first.raised(until, NEAR, slow=PLAN_SLOW) < rounds.value * (1 - WORTH):
                near[first.cuts.first] = first.good if len(first.good) else first.stage
                plan_of(rounds, means, near, purchased(means, near))
    first.fine = False
    first.within(whole, m.lower[whole], m.upper[whole])
    rounds.pricing = max(rounds.pricing, perf_counter() - began)


def cuts_of(rounds: Rounds, assembly: Assembly, prices: Floats) -> Cuts:
    """Cuts that begin at prices of an assembly's rows, shared by futures of a quarter with like demand."""
    size = min(GROUPS * rounds.programme.calendar.quarters, rounds.nodes.size)
    label = labelled(rounds.programme, rounds.arrays, size, rounds.prices)
    return Cuts(rounds.programme, rounds.arrays, assembly, prices, label, rounds.charge > TIED)


def plan_of(
    rounds: Rounds, coarse: Assembly, point: Floats, bought: dict[tuple[int, ...], float] | None = None
) -> None:
    """A plan of what is chosen in a point, priced in all futures; by default, cuts find what it buys."""
    rounds.choose(coarse, point)
    kept = rounds.kept_at(open_sites(rounds.arrays, coarse, point))
    few = rounds.assembled(rounds.sizes[0], kept)
    m = _holding(rounds, few)
    if bought is None:
        means = highs.solve(m, relaxed=True)
        if not len(means.x):
            return
        left = max(rounds.left(), LEAST if rounds.best is None else 0.0)
        first = InOut(cuts_of(rounds, few, means.duals), m)
        first.begin(means.x[first.cuts.first])
        first.raised(perf_counter() + HELD_SHARE * left, NEAR)
        stage = np.zeros(len(m.cost))
        stage[first.cuts.first] = first.good
        bought = purchased(few, stage)
    columns = purchases_of(few)
    units = np.array([bought.get(key, 0.0) for key in keys(few)])
    m.lower[columns] = m.upper[columns] = np.clip(units, 0.0, m.upper[columns])
    found = highs.solve(m, relaxed=True)
    if len(found.x):
        rounds.priced_in_all(few, found.x, kept)


def _holding(rounds: Rounds, assembly: Assembly) -> Matrix:
    """The assembly's matrix with what is chosen held, within its bounds, and without what is closed."""
    m = assembly.matrix
    lower, upper = m.lower.copy(), m.upper.copy()
    for name, value in rounds.held(assembly).items():
        block = m.blocks[name]
        lower[block] = upper[block] = np.clip(value, lower[block], upper[block])
    _, columns = narrowed(rounds.programme, rounds.arrays, assembly, lower, upper)
    inside = np.zeros(len(upper), bool)
    inside[columns] = True
    return m._replace(lower=np.where(inside, lower, 0.0), upper=np.where(inside, upper, 0.0))

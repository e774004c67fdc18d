"""Cuts bound all plans, say what to choose in a plan, and make it of what is chosen."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from time import perf_counter

import numpy as np

from armillary.portfolio import highs
from armillary.portfolio.assembly import Assembly
from armillary.portfolio.barring import large, least_with
from armillary.portfolio.bounds import proven
from armillary.portfolio.calendar import Floats, Integers
from armillary.portfolio.carrying import keys, purchased, purchases_of
from armillary.portfolio.cuts import Cuts
from armillary.portfolio.grouping import labelled
from armillary.portfolio.in_out import InOut
from armillary.portfolio.matrix import Matrix
from armillary.portfolio.rounding import FIRST, narrowed, open_sites, tiers_of
from armillary.portfolio.rounds import LEAST, Rounds
from armillary.portfolio.tier_tree import Discounts, Part, TierTree

SHORT = 10.0
"""Times the time of a relaxation that are too little to look at all plans before one is made. [-]"""
ROOT_SHARE, HELD_SHARE = 0.25, 0.3
"""Of the time left, what cuts over all plans, and making one, may take. [-]"""
KEPT, MADE = 2.5, 20.0
"""Times the time of a relaxation, and times that of cuts, that are kept for a first plan. [-]"""
DEAR = 0.0125
"""How much more than others plans with a large tier are known to cost, where that is enough. [-]"""
ROOT_SLOW = 1e-3
"""Rise of the bound of all plans in a round, as a share, where they are better looked at in parts. [-]"""
AGAIN = 2.5
"""Times the time of a plan that have to be left for another. [-]"""
BETTER = 0.002
"""By which a first stage has to be cheaper than the best plan for a plan to be made of it. [-]"""
WORTH = 5e-4
"""By which whole sites have to be cheaper than the best plan for a plan to be made of them. [-]"""
NEAR = 2e-4
"""How near a plan is to the bound of what is chosen in it where it is good enough. [-]"""
GROUPS = 8
"""Groups of futures in a quarter that share cuts. [-]"""


def planned_and_bounded(
    rounds: Rounds, coarse: Assembly, relaxed: highs.Solved, rough: Callable[[], Floats]
) -> None:
    """Cuts bound all plans, say what to choose in a plan, and make it of what is chosen.

    Parameters
    ----------
    rounds : Rounds
        Of which the next relaxation takes too long.
    coarse : Assembly
        Of the last relaxation.
    relaxed : Solved
        What it gave.
    rough : callable
        A point of it with whole binaries: a plan is made of it where there is little time, or no other.
    """
    from armillary.portfolio.responses import compiled  # numba is imported where it is used

    rounds.until += compiled()  # once: no plan is worse for it
    if rounds.best is None and rounds.left() < SHORT * rounds.slow and len(point := rough()):
        began = perf_counter()
        _plan_of(rounds, coarse, point)
        rounds.pricing = perf_counter() - began
    if rounds.best is None or rounds.left() > rounds.slow:
        with ThreadPoolExecutor(1) as aside:
            _searched(rounds, coarse, relaxed, aside)
    if rounds.best is None and len(point := rough()):
        _plan_of(rounds, coarse, point)


def _searched(rounds: Rounds, coarse: Assembly, relaxed: highs.Solved, aside: ThreadPoolExecutor) -> None:
    """Look at all plans in parts, and make plans of the best; large tiers are looked at by a thread aside.

    Cuts are begun over all plans but those with large tiers, which cost much where they are signed whole.
    """
    means = coarse
    if coarse.states.size > rounds.sizes[0]:
        means, left = rounds.assembled(rounds.sizes[0]), max(rounds.left(), 1.0)
        relaxed = highs.solve(means.matrix, relaxed=True, seconds=left, presolve=False, basis=rounds.basis)
        if relaxed.status == "infeasible":  # nothing is cheaper than what is known
            rounds.raise_bound(rounds.value)
        if relaxed.status != "optimal":
            return
    dear = large(means, min(rounds.value, relaxed.value))
    tree = _begun(rounds, means, relaxed, dear)
    enough = min(rounds.value, tree.bound * (1 + DEAR))
    bars = aside.submit(least_with, means, rounds.basis, dear, enough, rounds.until, 1)
    known = False
    while rounds.left() > 0 and not rounds.finished():
        if rounds.best and not known and (bars.done() or tree.over):
            _bar(rounds, tree, dear, bars.result())
            known = True
        kept = 0.0 if rounds.best else KEPT * rounds.slow + MADE * tree.first.cuts.seconds
        if tree.over or rounds.left() < kept:
            break
        part = tree.step(rounds.value * (1 - rounds.gap), rounds.until - kept)
        if part is None:
            continue
        cheaper = part.own and part.first.least < rounds.value * (1 - BETTER)
        if cheaper and rounds.left() > AGAIN * rounds.pricing:
            _plan_near(rounds, tree, part)
        if known:
            rounds.raise_bound(min(tree.bound, rounds.value * (1 - rounds.gap)))
    if rounds.best is None and (parts := [one for one in tree.open if one.looked_at]):
        _plan_near(rounds, tree, min(parts))
    if rounds.best and not known:
        _bar(rounds, tree, dear, bars.result())
        rounds.raise_bound(min(tree.bound, rounds.value * (1 - rounds.gap)))


def _begun(rounds: Rounds, means: Assembly, relaxed: highs.Solved, dear: Integers) -> TierTree:
    """Cuts over all plans but those that sign some tiers."""
    m, tiers = means.matrix, means.committed.signed
    rounds.raise_bound(least := proven(means, relaxed.duals))
    discounts = Discounts(rounds.programme, means, rounds.arrays.factor, relaxed.duals)
    lower, upper = m.lower[tiers], np.where(np.isin(tiers, dear), 0.0, m.upper[tiers])
    first = InOut(_cuts(rounds, means, discounts.prices(lower, upper)), m)
    first.within(tiers, lower, upper)
    stage = relaxed.x[first.cuts.first]
    first.begin(stage)
    bound = first.raised(perf_counter() + ROOT_SHARE * rounds.left(), slow=ROOT_SLOW)
    root = Part(max(bound, least), 0, lower, upper, first, stage, looked_at=True, own=True)
    return TierTree(means, discounts, partial(_cuts, rounds), root)


def _bar(rounds: Rounds, tree: TierTree, dear: Integers, least: Floats) -> None:
    """Bar large tiers with which plans cost at least as much as the best; those with others are looked at."""
    m, tiers = tree.assembly.matrix, tree.columns
    rounds.barred |= np.isin(tiers, dear[least >= rounds.value])
    relaxed = proven(tree.assembly, tree.discounts.duals)
    for tier, bound in zip(dear[least < rounds.value], least[least < rounds.value], strict=True):
        lower = np.where(tiers == tier, 1.0, m.lower[tiers])
        part = Part(max(bound, relaxed), 0, lower, m.upper[tiers], tree.first, tree.stage, looked_at=True)
        tree.add(part)
    tree.assembly = rounds.assembled(rounds.sizes[0])


def _plan_near(rounds: Rounds, tree: TierTree, part: Part) -> None:
    """A plan near the cheapest first stage of a part, with whole tiers, sites, homes and rights.

    Cuts of its own are at the prices of a relaxation with its tiers: what is spent may be worth more than the
    discount, where a take would be missed.
    """
    began = perf_counter()
    until = began + HELD_SHARE * max(rounds.left(), LEAST if rounds.best is None else 0.0)
    means, m, tiers = tree.assembly, tree.assembly.matrix, tree.columns
    leaf = _signing(rounds, means, part)
    lower, upper = m.lower.copy(), m.upper.copy()
    lower[tiers] = upper[tiers] = leaf.lower
    held = m._replace(lower=lower, upper=upper)
    relaxed = highs.solve(held, relaxed=True, seconds=until - began, presolve=False, basis=rounds.basis)
    if relaxed.status == "optimal":
        first, near = tree.begun(leaf, relaxed.duals).first, np.zeros(len(m.cost))
        whole = np.concatenate([np.arange(m.blocks[name].start, m.blocks[name].stop) for name in FIRST])
        if first.whole(whole, until):
            near[first.cuts.first] = first.stage
            if rounds.is_new(means, near):
                first.begin(first.stage)
                if first.raised(until, NEAR) < rounds.value * (1 - WORTH):
                    near[first.cuts.first] = first.good if len(first.good) else first.stage
                    _plan_of(rounds, means, near, purchased(means, near))
    rounds.pricing = max(rounds.pricing, perf_counter() - began)


def _signing(rounds: Rounds, means: Assembly, part: Part) -> Part:
    """A part with all tiers decided: those that it signs; if none, those that save on what it buys."""
    stage = part.first.good if len(part.first.good) else part.stage
    signed = part.lower
    if not signed.any():
        near = np.zeros(len(means.matrix.cost))
        near[part.first.cuts.first] = stage
        for _, spent in means.committed.spend:  # parts of tiers claim more
            near[spent] = 0.0
        signed = tiers_of(rounds.programme, rounds.arrays, means, near) * (part.upper > 0)
    return part._replace(lower=signed, upper=signed, stage=stage, own=False)


def _cuts(rounds: Rounds, assembly: Assembly, prices: Floats) -> Cuts:
    """Cuts that begin at prices of an assembly's rows, shared by futures of a quarter with like demand."""
    size = min(GROUPS * rounds.programme.calendar.quarters, rounds.nodes.size)
    label = labelled(rounds.programme, rounds.arrays, size, rounds.prices)
    return Cuts(rounds.programme, rounds.arrays, assembly, prices, label)


def _plan_of(
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
        first = InOut(_cuts(rounds, few, means.duals), m)
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

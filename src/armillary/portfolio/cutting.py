"""Cuts make a plan of what is chosen, bound all plans around it, and say what else to choose."""

from __future__ import annotations

from time import perf_counter

import numpy as np

from armillary.portfolio import highs
from armillary.portfolio.assembly import Assembly
from armillary.portfolio.barring import barred, large
from armillary.portfolio.bounds import proven
from armillary.portfolio.calendar import Floats
from armillary.portfolio.carrying import purchased
from armillary.portfolio.cuts import Cuts
from armillary.portfolio.first_stage import FirstStage
from armillary.portfolio.grouping import labelled
from armillary.portfolio.matrix import Matrix
from armillary.portfolio.recourse import WORKERS
from armillary.portfolio.rounding import narrowed, open_sites, rounded
from armillary.portfolio.rounds import LEAST, Rounds
from armillary.portfolio.tier_tree import TierTree

HELD_SHARE = 0.3
"""Of the time left, what making a plan may take. [-]"""
BAR_SHARE = 0.4
"""Of the time left, what looking at large tiers may take. [-]"""
FAR = 0.06
"""Gap of a plan over means from which its tiers are chosen anew before others are barred. [-]"""
LONG, APART, AGAIN = 3.0, 3.0, 1.2
"""Times the time of a plan that have to be left for looking at tiers, for plans to be parted by them, and for
another plan. [-]"""
REMADE = 0.02
"""By which a plan has to be cheaper than the one before for bounds to be made anew. [-]"""
BETTER = 0.003
"""By which a first stage has to be cheaper than the best plan for a plan to be made of it. [-]"""
NEAR = 0.003
"""How near a plan is to the bound of what is chosen in it where it is good enough. [-]"""
GROUPS = 5
"""Groups of futures in a quarter that share cuts. [-]"""


def planned_and_bounded(rounds: Rounds, coarse: Assembly, point: Floats) -> None:
    """Cuts make a plan of what is chosen, bound all plans around it, and say what else to choose."""
    began = perf_counter()
    rounds.is_new(coarse, point)
    bought = _planned(rounds, coarse, point)
    took = rounds.pricing = perf_counter() - began
    if rounds.best is None:
        rounds.refined(coarse, point)
    near = float(coarse.matrix.cost @ point) < rounds.bound * (1 + FAR)
    first = _first_stage(rounds, near and rounds.left() > LONG * took)
    if first is None:
        return
    means, known = first.cuts.assembly, rounds.value

    def around(matrix: Matrix) -> Floats:
        held = _holding(rounds, means._replace(matrix=matrix))
        for m in (held, matrix):  # what is chosen may not go with the tiers of the part
            if len(x := highs.solve(_buying(means, m, bought), relaxed=True).x):
                return x
        return x

    def cuts_at(prices: Floats) -> Cuts:
        return _cuts(rounds, means, prices)

    tree = TierTree(first, rounds.bound, cuts_at, around, rounds.basis)
    while rounds.left() > 0 and not rounds.finished() and not tree.over:
        enough, cheaper = (rounds.value - share * abs(rounds.value) for share in (rounds.gap, BETTER))
        stage = tree.step(enough, cheaper, rounds.until, rounds.left() > APART * took)
        rounds.raise_bound(min(tree.bound, enough))
        if len(stage) and rounds.left() > AGAIN * took:
            chosen = _chosen(rounds, means, stage)
            if rounds.is_new(means, chosen):
                bought = _planned(rounds, means, chosen) or bought
        if rounds.value < known * (1 - REMADE) and rounds.left() > LONG * took:
            first = _first_stage(rounds, True)
            if first is None:
                return
            means, known = first.cuts.assembly, rounds.value
            tree = TierTree(first, rounds.bound, cuts_at, around, rounds.basis)


def _bar(rounds: Rounds) -> None:
    """Bar tiers that no cheaper plan signs, where that takes little of the time left."""
    means, left = rounds.assembled(rounds.sizes[0]), rounds.left()
    tiers = large(means, rounds.value)
    if len(tiers) * rounds.slow < BAR_SHARE * WORKERS * left:
        out = barred(means, rounds.basis, rounds.value, perf_counter() + BAR_SHARE * left)
        rounds.barred |= np.isin(means.committed.signed, out)


def _first_stage(rounds: Rounds, bar: bool) -> FirstStage | None:
    """Over all cheaper plans, large tiers barred or not; None where there is no time for it."""
    if rounds.left() <= 0 or rounds.finished():
        return None
    if bar:
        _bar(rounds)
    means = rounds.assembled(rounds.sizes[0])
    left = max(rounds.left(), 1.0)
    relaxed = highs.solve(means.matrix, relaxed=True, seconds=left, presolve=False, basis=rounds.basis)
    if relaxed.status == "infeasible":  # nothing is cheaper than what is known
        rounds.raise_bound(rounds.value)
    if relaxed.status != "optimal":
        return None
    rounds.raise_bound(proven(means, relaxed.duals))
    return FirstStage(_cuts(rounds, means, relaxed.duals), means.matrix)


def _chosen(rounds: Rounds, means: Assembly, stage: Floats) -> Floats:
    """A point of means with what purchases would choose, if any."""
    m, columns = means.matrix, means.bought.columns
    lower, upper = m.lower.copy(), m.upper.copy()
    lower[columns] = upper[columns] = np.clip(stage[columns], 0.0, upper[columns])
    held, left = m._replace(lower=lower, upper=upper), max(rounds.left(), 1.0)
    relaxed = highs.solve(held, relaxed=True, seconds=left).x
    return rounded(rounds.programme, rounds.arrays, means, relaxed) if len(relaxed) else relaxed


def _cuts(rounds: Rounds, assembly: Assembly, prices: Floats) -> Cuts:
    """Cuts that begin at prices of an assembly's rows, shared by futures of a quarter with like demand."""
    size = min(GROUPS * rounds.programme.calendar.quarters, rounds.nodes.size)
    label = labelled(rounds.programme, rounds.arrays, size, rounds.prices)
    return Cuts(rounds.programme, rounds.arrays, assembly, prices, label)


def _planned(rounds: Rounds, coarse: Assembly, point: Floats) -> dict[tuple[int, int], float]:
    """A plan of what is chosen in a point, by cuts, priced in all futures: units by offer and start."""
    rounds.choose(coarse, point)
    kept = rounds.kept_at(open_sites(rounds.arrays, coarse, point))
    few = rounds.assembled(rounds.sizes[0], kept)
    m = _holding(rounds, few)
    means = highs.solve(m, relaxed=True)
    if not len(means.x):
        return {}
    left = max(rounds.left(), LEAST if rounds.best is None else 0.0)
    first = FirstStage(_cuts(rounds, few, means.duals), m)
    first.begin(means.x)
    stage, _ = first.raised(perf_counter() + HELD_SHARE * left, NEAR)
    columns = np.concatenate([few.bought.columns, few.bought.clusters.column])
    m.lower[columns] = m.upper[columns] = np.clip(stage[columns], 0.0, m.upper[columns])
    found = highs.solve(m, relaxed=True)
    if len(found.x):
        rounds.priced_in_all(few, found.x, kept)
    return purchased(few, stage)


def _buying(assembly: Assembly, m: Matrix, bought: dict[tuple[int, int], float]) -> Matrix:
    """A matrix of an assembly with what is bought held."""
    purchases, columns = assembly.bought.purchases, assembly.bought.columns
    keys = zip(purchases.offer.tolist(), purchases.start.tolist(), strict=True)
    lower, upper = m.lower.copy(), m.upper.copy()
    units = np.array([bought.get(key, 0.0) for key in keys])
    lower[columns] = upper[columns] = np.clip(units, 0.0, upper[columns])
    return m._replace(lower=lower, upper=upper)


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

"""Cuts make a plan of what is chosen, bound all plans around it, and say what else to choose."""

from __future__ import annotations

from time import perf_counter

import numpy as np

from armillary.portfolio import highs
from armillary.portfolio.assembly import Assembly
from armillary.portfolio.barring import barred, large
from armillary.portfolio.bounds import proven
from armillary.portfolio.calendar import Floats, Integers
from armillary.portfolio.carrying import purchased
from armillary.portfolio.cuts import Cuts
from armillary.portfolio.first_stage import FirstStage
from armillary.portfolio.grouping import labelled
from armillary.portfolio.matrix import Matrix
from armillary.portfolio.recourse import WORKERS
from armillary.portfolio.rounding import narrowed, open_sites, rounded
from armillary.portfolio.rounds import LEAST, Rounds

HELD_SHARE, ROUND_SHARE = 0.3, 0.35
"""Of the time left where cuts are made, what may be taken to plan, and to bound before choosing anew. [-]"""
BAR_SHARE = 0.4
"""Of the time left, what looking at large tiers may take. [-]"""
LONG = 3.0
"""Times the time of a plan that have to be left for choosing anew. [-]"""
BETTER = 0.005
"""By which a plan has to be cheaper than the one before for cuts to be made anew. [-]"""
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
    known = rounds.value
    if rounds.left() > LONG * took and not rounds.finished():
        _bar(rounds)
        first = _first_stage(rounds)
        if first is None:
            return
        point = _bounded(rounds, first, bought, perf_counter() + ROUND_SHARE * rounds.left())
        if rounds.is_new(first.cuts.assembly, point):
            bought = _planned(rounds, first.cuts.assembly, point) or bought
    else:
        first = None
    if rounds.left() > 0 and not rounds.finished():
        if first is None or rounds.value < known * (1 - BETTER):
            first = _first_stage(rounds)
        if first is not None:
            _bounded(rounds, first, bought, rounds.until)


def _bar(rounds: Rounds) -> None:
    """Bar tiers that no cheaper plan signs, where that takes little of the time left."""
    means, left = rounds.assembled(rounds.sizes[0]), rounds.left()
    tiers = large(means, rounds.value)
    if len(tiers) * rounds.slow < BAR_SHARE * WORKERS * left:
        out = barred(means, rounds.basis, rounds.value, perf_counter() + BAR_SHARE * left)
        rounds.barred |= np.isin(means.committed.signed, out)


def _first_stage(rounds: Rounds) -> FirstStage | None:
    """Over all plans that cost no more than the best; None where prices for cuts take too long."""
    means = rounds.assembled(rounds.sizes[0])
    left = max(rounds.left(), 1.0)
    relaxed = highs.solve(means.matrix, relaxed=True, seconds=left, presolve=False, basis=rounds.basis)
    if relaxed.status == "infeasible":  # nothing is cheaper than what is known
        rounds.raise_bound(rounds.value)
    if relaxed.status != "optimal":
        return None
    rounds.raise_bound(proven(means, relaxed.duals))
    cuts = Cuts(rounds.programme, rounds.arrays, means, relaxed.duals, _groups(rounds))
    return FirstStage(cuts, means.matrix)


def _bounded(rounds: Rounds, first: FirstStage, bought: dict[tuple[int, int], float], until: float) -> Floats:
    """Raise the bound by cuts around purchases: a point of means with what they would choose, if any."""
    means = first.cuts.assembly
    good = highs.solve(_buying(rounds, means, bought), relaxed=True).x
    if not len(good):
        return good
    x, bound = first.raised(good, until)
    rounds.raise_bound(bound)
    if until >= rounds.until:
        return np.zeros(0)
    m = means.matrix._replace(lower=means.matrix.lower.copy(), upper=means.matrix.upper.copy())
    columns = means.bought.columns
    m.lower[columns] = m.upper[columns] = np.clip(x[columns], 0.0, m.upper[columns])
    relaxed = highs.solve(m, relaxed=True, seconds=max(rounds.left(), 1.0)).x
    return rounded(rounds.programme, rounds.arrays, means, relaxed) if len(relaxed) else relaxed


def _groups(rounds: Rounds) -> Integers:
    """Labels `[quarter, future]` of futures that share cuts."""
    size = min(GROUPS * rounds.programme.calendar.quarters, rounds.nodes.size)
    return labelled(rounds.programme, rounds.arrays, size, rounds.prices)


def _planned(rounds: Rounds, coarse: Assembly, point: Floats) -> dict[tuple[int, int], float]:
    """A plan of what is chosen in a point, by cuts, priced in all futures: units by offer and start."""
    rounds.choose(coarse, point)
    kept = rounds.kept_at(open_sites(rounds.arrays, coarse, point))
    few = rounds.assembled(rounds.sizes[0], kept)
    m = _holding(rounds, few)
    means = highs.solve(m, relaxed=True)
    if not len(means.x):
        return {}
    cuts = Cuts(rounds.programme, rounds.arrays, few, means.duals, _groups(rounds))
    left = max(rounds.left(), LEAST if rounds.best is None else 0.0)
    stage, _ = FirstStage(cuts, m).raised(means.x, perf_counter() + HELD_SHARE * left, NEAR)
    columns = np.concatenate([few.bought.columns, few.bought.clusters.column])
    m.lower[columns] = m.upper[columns] = np.clip(stage[columns], 0.0, m.upper[columns])
    found = highs.solve(m, relaxed=True)
    if len(found.x):
        rounds.priced_in_all(few, found.x, kept)
    return purchased(few, stage)


def _buying(rounds: Rounds, assembly: Assembly, bought: dict[tuple[int, int], float]) -> Matrix:
    """The assembly's matrix with what is chosen and bought held."""
    m = _holding(rounds, assembly)
    purchases, columns = assembly.bought.purchases, assembly.bought.columns
    keys = zip(purchases.offer.tolist(), purchases.start.tolist(), strict=True)
    units = np.array([bought.get(key, 0.0) for key in keys])
    m.lower[columns] = m.upper[columns] = np.clip(units, 0.0, m.upper[columns])
    return m


def _holding(rounds: Rounds, assembly: Assembly) -> Matrix:
    """The assembly's matrix with what is chosen held, and without what is closed."""
    m = assembly.matrix
    lower, upper = m.lower.copy(), m.upper.copy()
    for name, value in rounds.held(assembly).items():
        lower[m.blocks[name]] = upper[m.blocks[name]] = value
    _, columns = narrowed(rounds.programme, rounds.arrays, assembly, lower, upper)
    inside = np.zeros(len(upper), bool)
    inside[columns] = True
    return m._replace(lower=np.where(inside, lower, 0.0), upper=np.where(inside, upper, 0.0))

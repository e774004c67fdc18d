"""Large programmes: a relaxation over few states, its first stage in every future, then finer states.

A round solves the linear relaxation over states that are means of futures (a lower bound, Jensen), rounds
what is binary, and prices the first stage in every future exactly (an upper bound). Futures of a quarter
that put the same prices on demand are merged without loss, so that the next round's states follow the prices.
"""

from __future__ import annotations

from time import perf_counter
from typing import NamedTuple

import numpy as np

from armillary.portfolio import highs
from armillary.portfolio.arrays import Arrays
from armillary.portfolio.assembly import Assembly, assemble
from armillary.portfolio.bounds import proven
from armillary.portfolio.calendar import Floats, Integers
from armillary.portfolio.dominance import undominated
from armillary.portfolio.draft import Kept
from armillary.portfolio.matrix import Bools
from armillary.portfolio.plan import gap as gap_of
from armillary.portfolio.plan import objective
from armillary.portfolio.records import Programme
from armillary.portfolio.recourse import Outcome, by_future, holds, recourse, runs
from armillary.portfolio.states import exact, states

STATES = (1, 3, 6, 10, 16, 24, 40, 64, 100)
"""States of a quarter, by round. [-]"""
SEARCH_SHARE, OPEN_SHARE = 0.5, 0.2
"""Of the time left that a round may search: over all integers, or over those left open. [-]"""
SEARCHED = 12_000
"""Columns up to which a round searches over integers by branching, too; beyond, it rounds. [-]"""
CLEAR = 0.02
"""Distance from 0 or 1 up to which a fraction is taken as whole. [-]"""
OPEN = 0.1
"""Fraction from which a site is opened, to begin with. [-]"""
FIRST = ("home", "opened", "signed", "rights")
"""Blocks of binaries of the first stage."""
LEAST = 60.0
"""A plan is looked for this long, whatever the limit. [s]"""


class Best(NamedTuple):
    """The best plan of the rounds, over the exact assembly; value and bound in scaled money."""

    assembly: Assembly
    x: Floats
    value: float
    bound: float
    finished: bool


def decompose(programme: Programme, arrays: Arrays, gap: float, until: float) -> Best | None:
    """Solve by rounds until the gap or the time; None where no round found a plan."""
    kept = Kept(*undominated(programme, arrays))
    whole = assemble(programme, arrays, exact(programme.futures), kept)
    futured = by_future(programme, whole)
    features = _demand_features(arrays)
    best_x, best, bound = None, np.inf, -np.inf
    chosen: dict[str, Floats] | None = None
    for size in STATES:
        labels = _labels(programme, features, min(size, programme.futures.size))
        coarse = assemble(programme, arrays, states(programme.futures, labels), kept)
        left = max(until - perf_counter(), LEAST if best_x is None else 0.0)
        relaxed = highs.solve(coarse.matrix, relaxed=True, seconds=left)
        if relaxed.status != "optimal":
            break
        if len(relaxed.duals):
            relaxed, least = counted(coarse, relaxed, max(until - perf_counter(), 1.0))
            bound = max(bound, least)
        point = rounded(arrays, coarse, relaxed, chosen)
        left = until - perf_counter()
        if chosen is None and len(point) and len(coarse.matrix.cost) > SEARCHED and left > 0:
            point = searched(coarse, relaxed.x, point, gap / 2, left * OPEN_SHARE)
        if len(coarse.matrix.cost) <= SEARCHED and left > 0:
            found = highs.solve(
                coarse.matrix, seconds=left * SEARCH_SHARE, gap=gap / 2, start=point if len(point) else None
            )
            bound = max(bound, found.bound)
            point = found.x if len(found.x) else point
        if not len(point):
            break
        chosen = {name: point[coarse.matrix.blocks[name]] for name in FIRST if name in coarse.matrix.blocks}
        outcome = recourse(programme, arrays, whole, futured, carried(coarse, point, whole))
        if outcome.feasible and holds(whole, outcome.x):
            value = objective(programme, arrays, whole, outcome.x)
            if value < best:
                best_x, best = outcome.x, value
            features = _price_features(programme, whole, outcome)
        if gap_of(best, bound) <= gap or perf_counter() > until or size >= programme.futures.size:
            break
    if best_x is None:
        return None
    return Best(whole, best_x, best, bound, gap_of(best, bound) <= gap)


def _demand_features(arrays: Arrays) -> Floats:
    """Demand of each stream against its own largest in the quarter, `[stream, quarter, future]`."""
    peak = arrays.demand.max(2, keepdims=True)
    return np.asarray(arrays.demand / np.where(peak > 0, peak, 1.0))


def _price_features(programme: Programme, whole: Assembly, outcome: Outcome) -> Floats:
    """Prices of demand in each future, `[stream, quarter, future]`, against the stream's mean price."""
    rows = whole.matrix.row_blocks["demand"]
    weight = whole.states.probability
    prices = outcome.prices[rows].reshape(whole.demand.shape) / weight
    mean = (prices * weight).sum(1, keepdims=True) / max(programme.calendar.quarters, 1)
    scaled = prices / np.where(mean > 0, mean, 1.0)
    # Where prices are alike, demand tells states apart, a little.
    peak = whole.demand.max(1, keepdims=True)
    near = whole.demand / np.where(peak > 0, peak, 1.0)
    return np.asarray((scaled + 0.1 * near)[:, whole.states.of])


def _labels(programme: Programme, features: Floats, size: int) -> Integers:
    """Futures of each quarter in at most `size` groups of like features; whole futures where risk counts."""
    streams, quarters, count = features.shape
    if programme.risk.weight > 0:
        flat = features.reshape(streams * quarters, count).T
        return np.tile(grouped(flat, size), (quarters, 1))
    labels = np.stack([grouped(features[:, t].T, size) for t in range(quarters)])
    for t in range(quarters):
        nodes = len(np.unique(programme.futures.node[t]))
        if nodes <= size:
            labels[t] = np.unique(programme.futures.node[t], return_inverse=True)[1]
    return labels


def grouped(points: Floats, size: int) -> Integers:
    """Groups of near points: the widest group is parted at its mean, again and again (no randomness)."""
    label = np.zeros(len(points), np.int64)
    for new in range(1, size):
        spread = np.zeros(new)
        for g in range(new):
            mine = points[label == g]
            spread[g] = ((mine - mine.mean(0)) ** 2).sum() if len(mine) > 1 else 0.0
        g = int(spread.argmax())
        if spread[g] <= 1e-12:
            break
        mine = np.flatnonzero(label == g)
        away = points[mine] - points[mine].mean(0)
        axis = int((away**2).sum(0).argmax())
        order = away[:, axis]
        label[
            mine[order > np.median(order)] if (order > np.median(order)).any() else mine[order == order.max()]
        ] = new
    return label


def counted(assembly: Assembly, relaxed: highs.Solved, seconds: float) -> tuple[highs.Solved, float]:
    """Branch once on how many sites are opened: the better relaxation, and the bound that both prove."""
    m = assembly.matrix
    row = m.row_blocks["sites opened"]
    number = float(relaxed.x[m.blocks["opened"]].sum())
    below = proven(assembly, relaxed.duals)
    if abs(number - round(number)) < CLEAR:
        return relaxed, below
    leaves, bounds = [], []
    for up in (True, False):
        row_lower, row_upper = m.row_lower.copy(), m.row_upper.copy()
        if up:
            row_lower[row] = np.ceil(number)
        else:
            row_upper[row] = np.floor(number)
        leaf = m._replace(row_lower=row_lower, row_upper=row_upper)
        found = highs.solve(leaf, relaxed=True, seconds=seconds / 2, basis=relaxed.basis)
        if found.status == "infeasible":
            continue
        if found.status != "optimal" or not len(found.duals):
            return relaxed, below
        leaves.append(found)
        bounds.append(proven(assembly._replace(matrix=leaf), found.duals))
    if not leaves:
        return relaxed, below
    return min(leaves, key=lambda leaf: leaf.value), max(min(bounds), below)


def searched(assembly: Assembly, relaxed: Floats, point: Floats, gap: float, seconds: float) -> Floats:
    """A better point by branching on the binaries that a relaxation leaves open; the others stay."""
    m = assembly.matrix
    lower, upper = m.lower.copy(), m.upper.copy()
    for name in ("home", "opened"):
        block = m.blocks[name]
        fraction = relaxed[block]
        lower[block] = np.where(fraction > 1 - CLEAR, 1.0, 0.0)
        upper[block] = np.where((fraction < CLEAR) & (np.round(point[block]) < 1), 0.0, 1.0)
    found = highs.solve(m, seconds=seconds, gap=gap, start=point, lower=lower, upper=upper)
    return found.x if len(found.x) and found.value < m.cost @ point else point


def rounded(
    arrays: Arrays, assembly: Assembly, relaxed: highs.Solved, chosen: dict[str, Floats] | None = None
) -> Floats:
    """A point with whole binaries near a relaxed one: homes, sites, contracts, rights, then all else."""
    m = assembly.matrix
    x = relaxed.x
    lower, upper = m.lower.copy(), m.upper.copy()

    def fix(columns: Integers, value: Floats) -> None:
        lower[columns] = upper[columns] = value

    home = np.zeros(len(assembly.home))
    for w in np.unique(assembly.home_stream):
        mine = np.flatnonzero(assembly.home_stream == w)
        first = mine[x[assembly.home[mine]].argmax()]
        home[first] = 1.0 if x[assembly.home[mine]].sum() > 0.5 else 0.0
    fix(assembly.home, home)
    sites = assembly.sites_opened
    columns = assembly.opened[sites]
    opened = x[columns] > OPEN
    homes = assembly.home_network[home > 0.5]
    opened |= np.isin(arrays.network[sites], homes) & (x[columns] > CLEAR)
    fix(columns, opened.astype(float))
    committed = assembly.committed
    tier = np.zeros(len(committed.signed))
    for c in np.unique(committed.contract):
        mine = np.flatnonzero(committed.contract == c)
        forced = m.row_lower[m.row_blocks["one tier"]][c] > 0.5
        if forced or x[committed.signed[mine]].sum() > 0.5:
            tier[mine[x[committed.signed[mine]].argmax()]] = 1.0
    fix(committed.signed, tier)
    fix(assembly.bought.rights, (x[assembly.bought.rights] > 0.5).astype(float))
    for name, block in m.blocks.items():
        if name.startswith("whole "):
            fix(np.arange(block.start, block.stop), np.round(x[block]))
    for name, value in (chosen or {}).items():
        lower[m.blocks[name]] = upper[m.blocks[name]] = np.round(value)
    fixed = m._replace(lower=lower, upper=upper)
    found = highs.solve(fixed, relaxed=True)
    if len(found.x):
        found = runs(arrays, assembly, fixed, np.arange(len(x)), found)
    return found.x


def carried(coarse: Assembly, point: Floats, whole: Assembly) -> Floats:
    """A point over few states as one over all: what is shared by all futures is the same in both."""
    out = np.zeros(len(whole.matrix.cost))
    for name, block in whole.matrix.blocks.items():
        other = coarse.matrix.blocks.get(name)
        if other is not None and other.stop - other.start == block.stop - block.start:
            out[block] = point[other]
    # States that all futures share are one state in both.
    for t in range(len(whole.states.first) - 1):
        if whole.states.first[t + 1] - whole.states.first[t] != 1:
            continue
        here, there = int(whole.states.first[t]), int(coarse.states.first[t])
        out[whole.unmet[:, here]] = point[coarse.unmet[:, there]]
        _same(
            out,
            point,
            whole.usage.state == here,
            coarse.usage.state == there,
            whole.usage.column,
            coarse.usage.column,
        )
        _same(
            out, point, whole.bought.pooled.state == here, coarse.bought.pooled.state == there,
            whole.bought.pooled.column, coarse.bought.pooled.column,
        )  # fmt: skip
        for (a, columns), (b, others) in zip(whole.committed.spend, coarse.committed.spend, strict=True):
            _same(out, point, a == here, b == there, columns, others)
        for back, its in zip(whole.committed.rebate, coarse.committed.rebate, strict=True):
            _same(out, point, back[0] == here, its[0] == there, back[2], its[2])
        running = whole.running[:, here] >= 0
        out[whole.running[running, here]] = np.round(point[coarse.running[running, there]])
        if "given" in whole.matrix.blocks:
            block, given = whole.matrix.blocks["given"], point[coarse.matrix.blocks["given"]]
            out[block.start + here : block.stop : whole.states.size] = given[there :: coarse.states.size]
    return out


def _same(out: Floats, point: Floats, here: Bools, there: Bools, columns: Integers, others: Integers) -> None:
    out[columns[here]] = point[others[there]]

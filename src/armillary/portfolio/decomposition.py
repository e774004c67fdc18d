"""Large programmes: relaxations over few states bound what all can cost; plans near them are tried in every future.

A round solves the linear relaxation over states that are means of futures (a lower bound, Jensen), and rounds what
is binary. The plan of that round is made anew over more states, with the binaries held and most columns gone, and
its first stage is priced in every future exactly (an upper bound). Rounds go to more states.
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
from armillary.portfolio.grouping import labelled
from armillary.portfolio.matrix import Bools
from armillary.portfolio.plan import gap as gap_of
from armillary.portfolio.plan import objective
from armillary.portfolio.records import Programme
from armillary.portfolio.recourse import by_future, holds, recourse
from armillary.portfolio.rounding import CLEAR, FIRST, exchanged, rounded
from armillary.portfolio.states import exact, states

STATES = (1, 3, 6, 10, 16, 24, 40, 64, 100)
"""States of a quarter on average, by round. [-]"""
SEARCH_SHARE, EXCHANGE_SHARE, REFINE_SHARE = 0.5, 0.25, 0.25
"""Of the time left, what a round may take: to branch, to exchange sites, and to plan over more states. [-]"""
SEARCHED = 12_000
"""Columns up to which a round searches over integers by branching; beyond, it rounds and exchanges. [-]"""
GROWTH = 1.7
"""Power of the number of columns that the time of a linear programme goes with, about. [-]"""
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
    rounds = _Rounds(programme, arrays, until)
    for size in rounds.sizes:
        coarse = rounds.assembled(size)
        relaxed = rounds.bounded(coarse)
        if relaxed is None:
            break
        point = rounds.planned(coarse, relaxed, gap)
        if not len(point):
            break
        rounds.refined(coarse, point, size)
        if gap_of(rounds.value, rounds.bound) <= gap or perf_counter() > until:
            break
    if not len(rounds.x):
        return None
    return Best(
        rounds.whole, rounds.x, rounds.value, rounds.bound, gap_of(rounds.value, rounds.bound) <= gap
    )


class _Rounds:
    """What rounds find: the best plan, the highest bound, what is held, and prices of demand."""

    def __init__(self, programme: Programme, arrays: Arrays, until: float) -> None:
        self.programme, self.arrays, self.until = programme, arrays, until
        self.kept = Kept(*undominated(programme, arrays))
        self.nodes = exact(programme.futures)
        self.whole = assemble(programme, arrays, self.nodes, self.kept)
        self.futured = by_future(programme, self.whole)
        self.x, self.value, self.bound = np.zeros(0), np.inf, -np.inf
        self.chosen: dict[str, Floats] | None = None
        self.prices: Floats | None = None
        self.pace = self.took = 0.0
        quarters = programme.calendar.quarters
        fewer = (min(quarters * each, self.nodes.size) for each in STATES)
        self.sizes = sorted({*fewer, self.nodes.size})

    def left(self) -> float:
        return self.until - perf_counter()

    def assembled(self, size: int) -> Assembly:
        """Over at most so many states."""
        programme, arrays = self.programme, self.arrays
        if size >= self.nodes.size:
            return assemble(programme, arrays, self.nodes, self.kept, self.value)
        labels = labelled(programme, arrays, size, self.prices)
        return assemble(programme, arrays, states(programme.futures, labels), self.kept, self.value)

    def bounded(self, coarse: Assembly) -> highs.Solved | None:
        """Raise the bound by the relaxation; None where it was not solved in time."""
        left = max(self.left(), LEAST if not len(self.x) else 0.0)
        columns = len(coarse.matrix.cost)
        # A relaxation that will not be solved in time still bounds, if what is solved is all of it.
        quick = self.pace * columns**GROWTH < 0.6 * left
        relaxed = highs.solve(coarse.matrix, relaxed=True, seconds=left, presolve=quick)
        if len(relaxed.duals):
            self.bound = max(self.bound, proven(coarse, relaxed.duals))
        if relaxed.status != "optimal":
            return None
        self.pace = max(self.pace, relaxed.seconds / columns**GROWTH)
        relaxed, least = counted(coarse, relaxed, max(self.left(), 1.0))
        self.bound = max(self.bound, least)
        return relaxed

    def planned(self, coarse: Assembly, relaxed: highs.Solved, gap: float) -> Floats:
        """A plan over the states of a round: searched if small; else rounded or held, and exchanged."""
        programme, arrays, m = self.programme, self.arrays, coarse.matrix
        began = perf_counter()
        point = rounded(programme, arrays, coarse, relaxed.x)
        self.took = (perf_counter() - began) / 2
        if self.chosen is not None:
            other = rounded(programme, arrays, coarse, relaxed.x, self.chosen)
            if len(other) and not (len(point) and m.cost @ point < m.cost @ other):
                point = other
        left = self.left()
        if len(m.cost) <= SEARCHED and left > 0:
            found = highs.solve(
                m, seconds=left * SEARCH_SHARE, gap=gap / 2, start=point if len(point) else None
            )
            self.bound = max(self.bound, found.bound)
            return found.x if len(found.x) else point
        if len(point) and left > 0:
            point = exchanged(programme, arrays, coarse, point, relaxed.x, left * EXCHANGE_SHARE)
        return point

    def refined(self, coarse: Assembly, point: Floats, size: int) -> None:
        """Plan over as many states as there is time for, with what is binary held; price it in all futures."""
        programme, arrays, whole = self.programme, self.arrays, self.whole
        self.chosen = {
            name: point[coarse.matrix.blocks[name]] for name in FIRST if name in coarse.matrix.blocks
        }
        most = REFINE_SHARE * self.left()
        finer = [n for n in self.sizes if n > size and self.took * (n / size) ** GROWTH < most]
        if finer:
            fine = self.assembled(finer[-1])
            other = rounded(programme, arrays, fine, None, self.chosen)
            if len(other):
                coarse, point = fine, other
        outcome = recourse(programme, arrays, whole, self.futured, carried(coarse, point, whole))
        if not outcome.feasible or not holds(whole, outcome.x):
            return
        value = objective(programme, arrays, whole, outcome.x)
        if value < self.value:
            self.x, self.value = outcome.x, value
        rows = whole.matrix.row_blocks["demand"]
        prices = outcome.prices[rows].reshape(whole.demand.shape) / whole.states.probability
        self.prices = prices[:, whole.states.of]


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

"""What use costs in all futures at least, as linear cuts over the first stage (Benders' decomposition).

With the first stage held, a quarter of one future is a small linear programme that has nothing in common with
any other but what contracts count as spent, which is priced instead (Lagrange). Its prices hold for every
other first stage, too: they are a cut. A programme over the first stage and its cuts costs no more than any
plan, whatever the number of futures; futures of a quarter with much the same demand share a cut.

The method is the L-shaped one of R. M. Van Slyke and R. Wets (SIAM Journal on Applied Mathematics 17, 1969).
Cuts are made between a good first stage and that of the bound, as in W. Ben-Ameur and J. Neto, "Acceleration
of cutting-plane and column generation algorithms" (Networks 49, 2007).
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter
from typing import NamedTuple

import numpy as np

from armillary.portfolio import highs
from armillary.portfolio.arrays import Arrays
from armillary.portfolio.assembly import Assembly
from armillary.portfolio.calendar import Floats, Integers
from armillary.portfolio.matrix import Bools, Matrix
from armillary.portfolio.records import Programme
from armillary.portfolio.recourse import WORKERS

MEANS = ("use if opened", "give if opened", "use at home", "cluster or nothing", "idle", "use if signed")
"""Rows that hold in the mean of futures or for whole runs alone, which cuts leave out."""
SHARE_PRICE = 10.0
"""Price of work beyond a provider's share, in the largest penalty. [-]"""
VIOLATED = 1e-7
"""Part of what a group costs by which a cut has to be missed to be added. [-]"""
BETWEEN = 0.5
"""Where cuts are made, on the way from the first stage of a plan to that of the bound. [-]"""
SLOW = 2e-4
"""Rise of the bound in a round, as a share of it, below which cuts are no longer worth their time. [-]"""
STILL = 3
"""Rounds with such a rise, one after the other, that end it. [-]"""
LEAST = -1e6
"""Below which no group of futures costs, in scaled money, as long as it has no cut. [-]"""


def separable(programme: Programme, arrays: Arrays) -> bool:
    """Whether quarters are separate: no risk, budget or most-favoured price, and no uncertain capacity."""
    favoured = any(one.most_favoured for one in programme.contracts)
    certain = arrays.capacity.shape[2] == 1
    return programme.risk.weight == 0 and programme.budget is None and not favoured and certain


class Quarter(NamedTuple):
    """Use of one quarter as a programme of its own, for any future.

    part : its columns and rows.
    first : `[row, first-stage column]` what the first stage adds to its rows.
    nodes : of each group of columns that differ by node of the futures' tree, what a unit adds `[row]` and
    its column for each future.
    low, high : `[future, row]`.
    adds : `[row]` to which use only adds, so that the first stage alone has to leave room.
    model : that HiGHS solves.
    order : of futures, by what they ask for.
    """

    part: Matrix
    first: Matrix
    nodes: list[tuple[Floats, Integers]]
    low: Floats
    high: Floats
    adds: Bools
    model: highs.Growing
    order: Integers


class Cut(NamedTuple):
    """Of all futures of a quarter: what use costs is at least `constant + slope @ first`.

    constant : `[future]`. slope : `[future, first-stage column]`.
    """

    constant: Floats
    slope: Floats


class Cuts:
    """A programme over the first stage, which cuts make better.

    Parameters
    ----------
    programme, arrays
        Of which quarters are `separable`.
    assembly : Assembly
        Over one state a quarter.
    prices : array
        Of its rows, in its relaxation.
    label : array
        `[quarter, future]` groups of futures that share cuts.
    """

    def __init__(
        self, programme: Programme, arrays: Arrays, assembly: Assembly, prices: Floats, label: Integers
    ) -> None:
        self.arrays, self.assembly = arrays, assembly
        m = self.matrix = assembly.matrix
        self.chance = programme.futures.probability
        size, entry = len(m.row_lower), np.repeat(np.arange(len(m.cost)), np.diff(m.start))

        def touched(entries: Bools) -> Bools:
            """Rows with any of some entries."""
            rows = np.zeros(size, bool)
            rows[m.row[entries]] = True
            return rows

        later, running = _later(assembly)
        first = (later < 0) & ~running
        self.first = np.flatnonzero(first)
        self.quarter = quarter = np.full(size, -1)
        used = later[entry] >= 0
        quarter[m.row[used]] = later[entry[used]]
        # What contracts count as spent is priced.
        self.listed = listed = _rows(m.row_blocks, size, "list price")
        self.priced = np.where(listed, np.minimum(prices, 0.0), 0.0)
        left_out = _rows(m.row_blocks, size, MEANS)
        own = (quarter >= 0) & ~listed & ~left_out
        # Rows of a quarter to which use only adds hold for the first stage alone, too.
        adds = own & ~touched(used & (m.value < 0)) & np.isfinite(m.row_upper) & np.isneginf(m.row_lower)
        both = adds & touched(first[entry] & (m.value > 0))
        self.alone = touched(first[entry]) & ((quarter < 0) & ~left_out | both | listed)
        most = _most(arrays, assembly)
        cost, upper = m.cost - m.back(self.priced), np.where(np.isnan(most), m.upper, most)
        use = m._replace(cost=cost, upper=upper, integer=np.zeros(len(cost), bool))
        quarters = range(programme.calendar.quarters)
        self.quarters = [
            self._quarter(use, np.flatnonzero(later == t), own & (quarter == t), adds, t) for t in quarters
        ]
        self.group = [np.unique(row, return_inverse=True)[1] for row in label]
        self.sizes = [int(group.max()) + 1 for group in self.group]
        self.known: list[tuple[int, float, Integers, Floats]] = []
        self._master: tuple[Matrix, highs.Growing] | None = None
        futures = len(self.chance)
        self.add([
            self._cut(one, np.tile(prices[own & (quarter == t)], (futures, 1)))
            for t, one in enumerate(self.quarters)
        ])  # fmt: skip

    def _quarter(self, use: Matrix, columns: Integers, rows: Bools, adds: Bools, t: int) -> Quarter:
        arrays, m, futures = self.arrays, self.matrix, len(self.chance)
        part = _elastic(use.part(columns, rows), _rows(m.row_blocks, len(rows), "share")[rows], arrays)
        number = np.flatnonzero(rows)
        low, high = (np.repeat(side[number][None], futures, 0) for side in (m.row_lower, m.row_upper))
        demand = np.arange(len(rows))[m.row_blocks["demand"]].reshape(len(arrays.floor), -1)[:, t]
        for w, row in enumerate(demand):
            at = np.flatnonzero(number == row)
            low[:, at] = arrays.demand[w, t][:, None]
            if arrays.cluster[w] <= 0:
                high[:, at] = arrays.demand[w, t][:, None]
        first = m.part(self.first, rows)
        entry = np.repeat(np.arange(len(self.first)), np.diff(first.start))
        nodes = []
        for one in self.assembly.bought.exercises:
            for units in (one.units, *(c for q, c in one.clusters if q == t)):
                where = np.searchsorted(self.first, units)
                picked = np.zeros(len(self.first))
                picked[where] = 1.0
                each = first.times(picked)
                if each.any():
                    nodes.append((each, where[one.node]))
                first = first._replace(value=np.where(np.isin(entry, where), 0.0, first.value))
        order = np.argsort(arrays.value @ arrays.demand[:, t], kind="stable")
        return Quarter(part, first, nodes, low, high, adds[rows], highs.Growing(part), order)

    def master(self, matrix: Matrix) -> highs.Growing:
        """Over the first stage, what is spent at list prices, what use costs, and what it costs groups.

        The last one is kept: asked for the same matrix again, it goes on from where it was.
        """
        if self._master is None or self._master[0] is not matrix:
            self._master = matrix, self._built(matrix)
        return self._master[1]

    def _built(self, matrix: Matrix) -> highs.Growing:
        listed, quarter, first = self.listed, self.quarter, len(self.first)
        low = np.where(listed | (quarter < 0), matrix.row_lower, -np.inf)
        part = matrix._replace(row_lower=low).part(self.first, self.alone)
        model = highs.Growing(part, presolve=True)
        spending, quarters = np.flatnonzero(listed), len(self.quarters)
        groups = model.columns(np.zeros(sum(self.sizes)), LEAST, np.inf)
        spent = model.columns(np.zeros(len(spending)), 0.0, np.inf)
        model.entries((np.cumsum(self.alone) - 1)[spending], spent, -1.0)
        cost = model.columns(np.ones(quarters), LEAST * len(self.chance), np.inf)
        ends = np.cumsum([0, *self.sizes])
        for t in range(quarters):
            mine = quarter[spending] == t
            columns = np.concatenate([cost[t : t + 1], spent[mine], groups[ends[t] : ends[t + 1]]])
            values = np.concatenate([[1.0], self.priced[spending[mine]], -np.ones(self.sizes[t])])
            model.row(0.0, np.inf, columns, values)
        for group, constant, inside, slope in self.known:
            model.row(constant, np.inf, np.append(inside, first + group), np.append(-slope, 1.0))
        return model

    def made(self, point: Floats) -> list[Cut | None]:
        """Cuts at a first stage, by quarter; none where a quarter has no use that goes with it."""
        with ThreadPoolExecutor(WORKERS) as both:
            return list(both.map(lambda one: self._made(one, point), self.quarters))

    def _made(self, one: Quarter, point: Floats) -> Cut | None:
        futures = len(self.chance)
        added = np.repeat(one.first.times(point)[None], futures, 0)
        for each, column in one.nodes:
            added += point[column][:, None] * each
        low, high = one.low - added, one.high - added
        high[:, one.adds] = np.maximum(high[:, one.adds], 0.0)  # a tolerance may leave less
        prices = np.zeros(low.shape)
        for f in one.order:
            found = one.model.prices(low[f], high[f])
            if not len(found):
                return None
            prices[f] = found
        return self._cut(one, prices)

    def _cut(self, one: Quarter, prices: Floats) -> Cut:
        """What prices `[future, row]` of a quarter prove, whatever they are."""
        part, futures = one.part, np.arange(len(prices))
        prices = np.where((prices > 0) & np.isneginf(one.low), 0.0, prices)
        prices[(prices < 0) & np.isposinf(one.high)] = 0.0
        reduced = np.array([part.cost - part.back(y) for y in prices])
        with np.errstate(invalid="ignore"):
            fixed = np.where(prices > 0, prices * one.low, np.where(prices < 0, prices * one.high, 0.0))
            saved = np.where(reduced < 0, reduced * part.upper, 0.0)
        slope = -np.array([one.first.back(y) for y in prices])
        for each, column in one.nodes:
            np.add.at(slope, (futures, column), -(prices @ each))
        return Cut(fixed.sum(1) + saved.sum(1), slope)

    def add(
        self, cuts: list[Cut | None], model: highs.Growing | None = None, x: Floats | None = None
    ) -> None:
        """Keep cuts of groups of futures; a master programme gets those that its point `x` misses."""
        group, first = -1, len(self.first)
        for t, cut in enumerate(cuts):
            for g in range(self.sizes[t]):
                group += 1
                if cut is None:
                    continue
                chance = np.where(self.group[t] == g, self.chance, 0.0)
                constant, slope = float(chance @ cut.constant), chance @ cut.slope
                inside = np.flatnonzero(slope)
                if x is not None:
                    missed = constant + float(slope @ x[:first]) - x[first + group]
                    if missed < VIOLATED * abs(x[first + group]):
                        continue
                self.known.append((group, constant, inside, slope[inside]))
                if model is not None:
                    model.row(
                        constant, np.inf, np.append(inside, first + group), np.append(-slope[inside], 1.0)
                    )

    def raised(self, matrix: Matrix, around: Floats, until: float, near: float = 0.0) -> tuple[Floats, float]:
        """Make cuts until the bound hardly rises or the time is over.

        Parameters
        ----------
        matrix : Matrix
            The assembly's, or one that differs in bounds, or in what plans may cost.
        around : array
            A point of the assembly whose first stage is that of a good plan.
        until : float
            Time limit, of the performance counter. [s]
        near : float
            How near the cheapest first stage is to the bound where this ends, as a share of it. [-]

        Returns
        -------
        first stage, bound
            The cheapest one seen, as a point of the assembly; and what all plans cost at least.
        """
        good, model = around[self.first], self.master(matrix)
        cuts = self.made(good)
        self.add(cuts, model)
        least = self.cost(good, cuts)
        bound, still = -math.inf, 0
        while True:
            solved = model.solved(until - perf_counter())
            if solved.status == "infeasible":
                bound = math.inf
            if solved.status != "optimal":
                break
            still = still + 1 if solved.value < bound + SLOW * abs(solved.value) else 0
            bound = max(bound, solved.value)
            if still == STILL or perf_counter() > until or least - bound <= near * abs(bound):
                break
            point = good + BETWEEN * (solved.x[: len(good)] - good)
            cuts = self.made(point)
            self.add(cuts, model, solved.x)
            if (cost := self.cost(point, cuts)) < least:
                good, least = point, cost
        out = np.zeros(len(matrix.cost))
        out[self.first] = good
        return out, bound

    def cost(self, point: Floats, cuts: list[Cut | None]) -> float:
        """What a first stage costs with the use that cuts made there are about."""
        m, total = self.matrix, float(self.matrix.cost[self.first] @ point)
        whole = np.zeros(len(m.cost))
        whole[self.first] = point
        total -= float(self.priced @ np.maximum(m.times(whole), 0.0))
        for cut in cuts:
            total += float(self.chance @ (cut.constant + cut.slope @ point)) if cut else math.inf
        return total


def _rows(blocks: dict[str, slice], count: int, names: str | tuple[str, ...]) -> Bools:
    found = np.zeros(count, bool)
    for name, block in blocks.items():
        found[block] = name.startswith(names)
    return found


def _later(assembly: Assembly) -> tuple[Integers, Bools]:
    """The quarter of columns of use, -1 of others; and columns that say whether runs run."""
    states, blocks = assembly.states, assembly.matrix.blocks
    quarter = np.full(len(assembly.matrix.cost), -1)
    quarter[assembly.usage.column] = states.quarter[assembly.usage.state]
    quarter[assembly.bought.pooled.column] = states.quarter[assembly.bought.pooled.state]
    quarter[assembly.unmet] = states.quarter[None, :]
    if "given" in blocks:
        given = quarter[blocks["given"]]
        quarter[blocks["given"]] = np.tile(states.quarter, len(given) // states.size)
    running = np.zeros(len(quarter), bool)
    running[assembly.running[assembly.running >= 0]] = True
    return quarter, running


def _most(arrays: Arrays, assembly: Assembly) -> Floats:
    """What columns of use can be at most in any future; NaN of others."""
    most = np.full(len(assembly.matrix.cost), np.nan)
    peak, quarter = arrays.demand.max(2), assembly.states.quarter
    usage, pooled = assembly.usage, assembly.bought.pooled
    had = arrays.capacity[usage.offer, quarter[usage.state], 0]
    most[usage.column] = np.minimum(had, peak[usage.stream, quarter[usage.state]] / usage.work)
    work = arrays.performance[pooled.stream, pooled.sku]
    most[pooled.column] = peak[pooled.stream, quarter[pooled.state]] / work
    most[assembly.unmet] = peak[:, quarter]
    return most


def _elastic(part: Matrix, shares: Bools, arrays: Arrays) -> Matrix:
    """With more than a provider's share at a high price, so that every first stage has some use."""
    rows = np.flatnonzero(shares)
    counted = arrays.value > 0
    price = SHARE_PRICE * float((arrays.penalty[counted] / arrays.value[counted]).max(initial=0.0))
    count, none = len(rows), np.zeros(len(rows))
    return part._replace(
        cost=np.append(part.cost, none + price), lower=np.append(part.lower, none),
        upper=np.append(part.upper, none + np.inf), integer=np.zeros(len(part.cost) + count, bool),
        start=np.append(part.start, part.start[-1] + np.arange(1, count + 1)),
        row=np.append(part.row, rows), value=np.append(part.value, none - 1.0),
    )  # fmt: skip

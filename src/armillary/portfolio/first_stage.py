"""The programme over the first stage and cuts, with few of the purchases: the others are priced out.

Of thousands of purchases a plan makes a hundred. The programme has those that may be worth it; its prices,
completed for the rows that only the others are in, say which are missing, and what all plans cost at least.

Cuts are made between a good first stage and that of the bound, as in W. Ben-Ameur and J. Neto, "Acceleration
of cutting-plane and column generation algorithms" (Networks 49, 2007).
"""

from __future__ import annotations

import math
from time import perf_counter
from typing import NamedTuple

import numpy as np

from armillary.portfolio import highs
from armillary.portfolio.bounds import TOLERANCE, signed
from armillary.portfolio.calendar import Floats, Integers, sums
from armillary.portfolio.cuts import Cuts
from armillary.portfolio.matrix import Bools, Matrix

BETWEEN = 0.5
"""Where cuts are made, on the way from the first stage of a plan to that of the bound. [-]"""
SLOW = 3e-4
"""Rise of the bound in a round, as a share of it, below which cuts are no longer worth their time. [-]"""
STILL = 3
"""Rounds with such a rise, one after the other, that end it. [-]"""
VIOLATED = 1e-7
"""Part of what a group costs by which a cut has to be missed to be added. [-]"""
LEAST = -1e6
"""Below which no group of futures costs, in scaled money, as long as it has no cut. [-]"""
WORTH = 0.05
"""Reduced cost, in what a purchase costs, up to which it is there from the start. [-]"""
MISSING = 1e-5
"""Part of the bound that purchases that are left out may be worth. [-]"""
MORE = 300
"""Purchases that are added at once. [-]"""
BASIC = 1
"""Status of a basic row, as HiGHS counts. [-]"""


class Staged(NamedTuple):
    """What was found.

    status : as of a solver. stage : the first stage. value : what it costs with the purchases that there are.
    bound : what all plans cost at least.
    """

    status: str
    stage: Floats
    value: float
    bound: float


class FirstStage:
    """The programme over the first stage, what is spent at list prices, and what use costs groups of futures.

    Parameters
    ----------
    cuts : Cuts
        It gets more as they are made.
    matrix : Matrix
        Its assembly's, or one that differs in bounds.

    Attributes
    ----------
    least : float
        What the cheapest first stage costs with the use that cuts made there are about. [scaled money]
    around : array
        Point of the assembly that it was begun with.
    buys : array
        Which columns are purchases that there are.
    failed : bool
        Whether the solver ended the last time without an optimum, before its time was over.
    """

    def __init__(self, cuts: Cuts, matrix: Matrix) -> None:
        self.cuts = cuts
        m = cuts.matrix
        low = np.where(cuts.listed | (cuts.quarter < 0), matrix.row_lower, -np.inf)
        part = matrix._replace(row_lower=low).part(cuts.first, cuts.alone)
        listed = np.flatnonzero(cuts.listed)
        row = (np.cumsum(cuts.alone) - 1)[listed]
        none = np.zeros(len(listed))
        self.part = part._replace(
            cost=np.append(part.cost, -cuts.priced[listed]),
            lower=np.append(part.lower, none), upper=np.append(part.upper, none + np.inf),
            integer=np.zeros(len(part.cost) + len(none), bool),
            start=np.append(part.start, part.start[-1] + np.arange(1, len(none) + 1)),
            row=np.append(part.row, row), value=np.append(part.value, none - 1.0),
        )  # fmt: skip
        self._entry = np.repeat(np.arange(len(self.part.cost)), np.diff(self.part.start))
        self._bought, self._drawn = (self._of(m.blocks[name]) for name in ("bought", "power of purchases"))
        self._needed = (self.part.row_lower > 0) | (self.part.row_upper < 0)
        worth = m.cost - m.back(cuts.prices) <= WORTH * m.cost
        self.buys = self._bought.copy()
        self.buys[: len(cuts.first)] &= worth[cuts.first]
        self._basis: highs.Basis | None = None
        self._stale, self.failed = True, False
        self.around, self._good, self.least = np.zeros(0), np.zeros(len(cuts.first)), math.inf
        self._cut_basis, self._order = np.zeros(0, np.int8), np.zeros(0, np.int64)
        self._stage, self._use = np.zeros(len(self.part.cost)), np.zeros(cuts.groups)

    def _of(self, block: slice) -> Bools:
        """Which columns are of a block of the assembly's."""
        first = self.cuts.first
        return np.append(
            (first >= block.start) & (first < block.stop), np.zeros(self.cuts.listed.sum(), bool)
        )

    def of_cheapest(self, columns: Integers) -> Floats:
        """What the cheapest first stage has of some columns of the assembly."""
        return self._good[np.searchsorted(self.cuts.first, columns)]

    def begin(self, around: Floats) -> None:
        """Begin with the first stage of a point of the assembly that is near a good plan."""
        self.around, self._good = around, around[self.cuts.first]
        self.least = self.cuts.cost(self._good, self.cuts.made(self._good))

    def raised(self, until: float, near: float = 0.0, enough: float = math.inf) -> tuple[Floats, float]:
        """Make cuts until the bound hardly rises or the time is over, and go on where it was the next time.

        Parameters
        ----------
        until : float
            Time limit, of the performance counter. [s]
        near : float
            How near the cheapest first stage is to the bound where this ends, as a share of it. [-]
        enough : float
            Bound at which this ends. [scaled money]

        Returns
        -------
        first stage, bound
            The cheapest one seen, as a point of the assembly; and what all plans cost at least.
        """
        cuts = self.cuts
        bound, still = -math.inf, 0
        while True:
            found = self.solved(until - perf_counter())
            rises = found.bound >= bound + SLOW * abs(found.bound)
            still = 0 if rises or self._stale else still + 1  # with purchases that are missing it may fall
            bound = max(bound, found.bound)
            if found.status != "optimal" or still == STILL or perf_counter() > until:
                break
            if self.least - bound <= near * abs(bound) or bound >= enough:
                break
            # Where that hardly raised the bound, at the first stage of the bound itself.
            point = self._good + (1.0 if still else BETWEEN) * (found.stage - self._good)
            if (cost := cuts.cost(point, cuts.made(point))) < self.least:
                self._good, self.least = point, cost
        out = np.zeros(len(cuts.matrix.cost))
        out[cuts.first] = self._good
        return out, bound

    def solved(self, seconds: float = math.inf) -> Staged:
        """Minimise; purchases that are missing are there the next time.

        Parameters
        ----------
        seconds : float
            Time limit. [s]
        """
        if self._stale:
            self._build()
        self._add(self._missed())
        found = self._model.solved(seconds)
        if found.status == "unknown":  # after many rows the solver may lose its way: from the start
            self._basis = None
            self._build()
            self._add(self._missed())
            found = self._model.solved(seconds)
        if found.status == "infeasible" and (self._bought & ~self.buys).any():
            self.buys |= self._bought
            self._build()
            return self.solved(seconds)
        self.failed = found.status not in ("optimal", "time limit")
        if found.status != "optimal":
            bound = math.inf if found.status == "infeasible" else -math.inf
            return Staged(found.status, np.zeros(0), bound, bound)
        self._keep(found)
        bound, missing = self._proven(found)
        self.buys[missing] = True
        self._stale = len(missing) > 0
        return Staged("optimal", self._stage[: len(self.cuts.first)], found.value, bound)

    def _build(self) -> None:
        """Load what there is, from where the simplex method was."""
        self._there, self._rows = self._useful()
        columns = np.flatnonzero(self._there)
        self._height = int(self._rows.sum())
        self._place = np.full(len(self.part.cost), -1)
        self._place[columns] = np.arange(len(columns))
        self._model = highs.Growing(self.part.part(columns, self._rows), presolve=self._basis is None)
        self._groups = self._model.columns(np.ones(self.cuts.groups), LEAST, np.inf)
        binding = np.flatnonzero(self._cut_basis != BASIC)
        order, self._order = self._order[binding], np.zeros(0, np.int64)
        self._cut_basis = self._cut_basis[binding]
        self._add(order)
        if self._basis is not None:
            column, row = self._basis
            use = column[len(self.part.cost) :]
            self._model.begin((
                np.append(column[columns], use), np.append(row[self._rows], self._cut_basis)
            ))  # fmt: skip

    def _useful(self) -> tuple[Bools, Bools]:
        """Columns that may be more than 0 with the purchases that there are, and rows that matter."""
        part = self.part
        there = ~part.emptied(self._bought & ~self.buys)
        slack = np.isneginf(part.row_lower) & (part.row_upper >= 0)  # rows that only what adds can break

        def needed() -> Bools:
            rows = ~slack
            rows[part.row[(part.value > 0) & there[self._entry]]] = True
            return rows

        makes = np.zeros(len(there), bool)
        makes[self._entry[(part.value < 0) & needed()[part.row]]] = True
        there &= ~self._drawn | makes
        touched = np.zeros(len(slack), bool)
        touched[part.row[there[self._entry]]] = True
        return there, (needed() & touched) | self._needed

    def _missed(self) -> Integers:
        """Cuts that the last point misses and the model does not have."""
        cuts = self.cuts
        missed = np.ones(len(cuts.group), bool)
        if self._basis is not None:
            use = self._use[cuts.group]
            missed = cuts.at(self._stage[: len(cuts.first)]) - use > VIOLATED * np.abs(use)
        missed[self._order] = False
        return np.flatnonzero(missed)

    def _add(self, which: Integers) -> None:
        """Add cuts to the model."""
        cuts, count = self.cuts, len(which)
        if not count:
            return
        sizes = np.diff(cuts.start)[which]
        entries = np.concatenate([np.arange(cuts.start[c], cuts.start[c + 1]) for c in which])
        column = self._place[cuts.column[entries]]
        inside = column >= 0
        row = np.append(np.repeat(np.arange(count), sizes)[inside], np.arange(count))
        columns = np.append(column[inside], self._groups[cuts.group[which]])
        values = np.append(-cuts.value[entries][inside], np.ones(count))
        order = np.argsort(row, kind="stable")
        start = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=count))])
        self._model.rows(cuts.constant[which], start, columns[order], values[order])
        self._order = np.append(self._order, which)

    def _keep(self, found: highs.Solved) -> None:
        """Remember a point and where the simplex method is."""
        size, count = len(self.part.cost), int(self._there.sum())
        self._stage = np.zeros(size)
        self._stage[self._there] = found.x[:count]
        self._use = found.x[count:]
        here = self._model.basis()
        column, row = np.zeros(size, np.int8), np.full(len(self._rows), BASIC, np.int8)
        column[self._there], row[self._rows] = here[0][:count], here[1][: self._height]
        self._basis = np.append(column, here[0][count:]), row
        self._cut_basis = here[1][self._height :]

    def _proven(self, found: highs.Solved) -> tuple[float, Integers]:
        """What all plans cost at least, and purchases that are missing."""
        part, cuts = self.part, self.cuts
        prices = np.zeros(len(part.row_lower))
        prices[self._rows] = found.duals[: self._height]
        prices = signed(part, prices)
        weight = np.zeros(len(cuts.group))
        weight[self._order] = np.maximum(found.duals[self._height :], 0.0)
        # A group's cuts have weights of at most 1 together: what it costs is counted once.
        total = sums(cuts.group, weight, cuts.groups)
        weight /= np.maximum(total, 1.0)[cuts.group]
        fixed = float(cuts.constant @ weight) + float((LEAST * (1 - np.minimum(total, 1.0))).sum())
        cost = part.cost.copy()
        cost[: len(cuts.first)] += cuts.back(weight)
        prices = self._completed(cost, prices)
        reduced = cost - part.back(prices)
        with np.errstate(invalid="ignore"):
            paid = np.where(prices > 0, prices * part.row_lower, prices * part.row_upper)
            saved = np.where(reduced > 0, reduced * part.lower, reduced * part.upper)
        saved[(~np.isfinite(saved) & (np.abs(reduced) <= TOLERANCE)) | (reduced == 0)] = 0.0
        fixed += float(np.where(prices == 0, 0.0, paid).sum())
        out = np.flatnonzero(self._bought & ~self.buys & (saved < 0))
        out = out[np.argsort(saved[out], kind="stable")]
        worth = -float(saved[out].sum())
        return fixed + float(saved.sum()), out[:MORE] if worth > MISSING * abs(found.value) else out[:0]

    def _completed(self, cost: Floats, prices: Floats) -> Floats:
        """Prices of rows that the model does not have: what the columns that are out would pay.

        Power that purchases draw is worth what the site's is; units that they give are worth their best use.
        """
        part, prices = self.part, prices.copy()
        row, column, value = part.row, self._entry, part.value
        left_out = (part.row_upper <= 0) & np.isneginf(part.row_lower) & ~self._rows
        free = left_out[row] & ~self._there[column]
        reduced = cost - part.back(prices)
        draws = np.flatnonzero(free & (value < 0) & self._drawn[column] & (reduced[column] > 0))
        prices[row[draws]] = reduced[column[draws]] / value[draws]
        uses = free & (value > 0) & ~self._bought[column]
        several = np.bincount(column[uses], minlength=len(cost)) > 1
        made = np.zeros(len(prices), bool)
        made[row[value < 0]] = True
        # A price that nothing pays first; then columns of one row: they say what it is worth in the others.
        for which in (~made[row], ~several[column], several[column]):
            reduced = cost - part.back(prices)
            mine = np.flatnonzero(uses & which & (reduced[column] < 0))
            _, once = np.unique(column[mine], return_index=True)
            mine = mine[once]
            np.minimum.at(prices, row[mine], prices[row[mine]] + reduced[column[mine]] / value[mine])
        return prices

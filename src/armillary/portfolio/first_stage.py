"""The programme over the first stage and cuts, with few of the purchases: the others are priced out.

Of thousands of purchases a plan makes a hundred. The programme has those that may be worth it; its prices,
completed for the rows that only the others are in, say which are missing, and what all plans cost at least.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from armillary.portfolio import highs
from armillary.portfolio.bounds import TOLERANCE, signed
from armillary.portfolio.calendar import Floats, Integers, sums
from armillary.portfolio.cuts import Cuts
from armillary.portfolio.matrix import Bools, Matrix

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
KEPT = 2.0
"""Cuts in the model, by group of futures, from which those that are not binding are left out. [-]"""
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
    part : Matrix
        Its columns, and those of what is spent at list prices, in the rows that hold for it alone.
    ties : tuple
        Columns of what is spent at list prices, by quarter, and what it costs use at least.
    missing : bool
        Whether purchases were missing the last time, which are there the next.
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
        self.entry = np.repeat(np.arange(len(self.part.cost)), np.diff(self.part.start))
        self.bought, self._drawn = (self.of(m.blocks[name]) for name in ("bought", "power of purchases"))
        self._needed = (self.part.row_lower > 0) | (self.part.row_upper < 0)
        worth = m.cost - m.back(cuts.prices) <= WORTH * m.cost
        self.buys = self.bought.copy()
        self.buys[: len(cuts.first)] &= worth[cuts.first]
        self._basis: highs.Basis | None = None
        self.missing, self.failed = True, False
        self._cut_basis, self._order = np.zeros(0, np.int8), np.zeros(0, np.int64)
        self._stage, self._use = np.zeros(len(self.part.cost)), np.zeros(cuts.groups)
        # Use costs no less than what contracts count of it, where that is priced at no more than it costs.
        self._quarter = np.repeat(np.arange(len(cuts.quarters)), cuts.sizes)
        quarter, dear = cuts.quarter[listed], cuts.dear[listed]
        self.tied = np.setdiff1d(np.arange(len(cuts.quarters)), quarter[dear < 0])
        kept = np.isin(quarter, self.tied) & (dear > 0)
        self.ties = len(part.cost) + np.flatnonzero(kept), quarter[kept], dear[kept]
        self._tie_basis = np.full(len(self.tied), BASIC, np.int8)

    def of(self, block: slice) -> Bools:
        """Which columns are of a block of the assembly's."""
        first = self.cuts.first
        return np.append(
            (first >= block.start) & (first < block.stop), np.zeros(self.cuts.listed.sum(), bool)
        )

    def within(self, columns: Integers, lower: Floats, upper: Floats) -> None:
        """Other bounds of some columns of the assembly, in place of what they were."""
        inside = np.searchsorted(self.cuts.first, columns)
        self.part.lower[inside], self.part.upper[inside] = lower, upper
        if not self.missing:
            there = self._place[inside] >= 0
            self._model.bounds(self._place[inside[there]], lower[there], upper[there])

    @property
    def stage(self) -> Floats:
        """The first stage of the last bound."""
        return self._stage[: len(self.cuts.first)]

    def solved(self, seconds: float = math.inf) -> Staged:
        """Minimise; purchases that are missing are there the next time.

        Parameters
        ----------
        seconds : float
            Time limit. [s]
        """
        if self.missing or len(self._order) > KEPT * self.cuts.groups:
            self._build()
        self._add(self._missed())
        found = self._model.solved(seconds)
        if found.status == "unknown":  # after many rows the solver may lose its way: from the start
            self._basis = None
            self._build()
            self._add(self._missed())
            found = self._model.solved(seconds)
        if found.status == "infeasible" and (self.bought & ~self.buys).any():
            self.buys |= self.bought
            self._build()
            return self.solved(seconds)
        self.failed = found.status not in ("optimal", "time limit")
        if found.status != "optimal":
            bound = math.inf if found.status == "infeasible" else -math.inf
            return Staged(found.status, np.zeros(0), bound, bound)
        self._keep(found)
        bound, missing = self._proven(found)
        self.buys[missing] = True
        self.missing = len(missing) > 0
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
        self._tie()
        binding = np.flatnonzero(self._cut_basis != BASIC)
        order, self._order = self._order[binding], np.zeros(0, np.int64)
        self._cut_basis = self._cut_basis[binding]
        self._add(order)
        if self._basis is not None:
            column, row = self._basis
            use = column[len(self.part.cost) :]
            rows = np.concatenate([row[self._rows], self._tie_basis, self._cut_basis])
            self._model.begin((np.append(column[columns], use), rows))

    def _tie(self) -> None:
        """Add rows of what use of a quarter costs at least, by what is spent at list prices."""
        column, quarter, dear = self.ties
        inside = self._place[column] >= 0
        of_groups = np.flatnonzero(np.isin(self._quarter, self.tied))
        row = np.searchsorted(self.tied, np.append(quarter[inside], self._quarter[of_groups]))
        entries = np.append(self._place[column[inside]], self._groups[of_groups])
        values = np.append(-dear[inside], np.ones(len(of_groups)))
        self._put(np.zeros(len(self.tied)), row, entries, values)

    def _useful(self) -> tuple[Bools, Bools]:
        """Columns that may be more than 0 with the purchases that there are, and rows that matter."""
        part = self.part
        there = ~part.emptied(self.bought & ~self.buys)
        slack = np.isneginf(part.row_lower) & (part.row_upper >= 0)  # rows that only what adds can break

        def needed() -> Bools:
            rows = ~slack
            rows[part.row[(part.value > 0) & there[self.entry]]] = True
            return rows

        makes = np.zeros(len(there), bool)
        makes[self.entry[(part.value < 0) & needed()[part.row]]] = True
        there &= ~self._drawn | makes
        touched = np.zeros(len(slack), bool)
        touched[part.row[there[self.entry]]] = True
        return there, (needed() & touched) | self._needed

    def _missed(self) -> Integers:
        """Cuts that the last point misses and the model does not have."""
        cuts = self.cuts
        missed = np.ones(len(cuts.group), bool)
        if self._basis is not None and len(self._order):
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
        self._put(cuts.constant[which], row, columns, values)
        self._order = np.append(self._order, which)

    def _put(self, lower: Floats, row: Integers, columns: Integers, values: Floats) -> None:
        """Add rows to the model."""
        order = np.argsort(row, kind="stable")
        start = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=len(lower)))])
        self._model.rows(lower, start, columns[order], values[order])

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
        ties = self._height + len(self.tied)
        self._tie_basis, self._cut_basis = here[1][self._height : ties], here[1][ties:]

    def _proven(self, found: highs.Solved) -> tuple[float, Integers]:
        """What all plans cost at least, and purchases that are missing."""
        part, cuts = self.part, self.cuts
        prices = np.zeros(len(part.row_lower))
        prices[self._rows] = found.duals[: self._height]
        prices = signed(part, prices)
        weight = np.zeros(len(cuts.group))
        ties = self._height + len(self.tied)
        weight[self._order] = np.maximum(found.duals[ties:], 0.0)
        tied = np.zeros(len(cuts.quarters))
        tied[self.tied] = np.minimum(np.maximum(found.duals[self._height : ties], 0.0), 1.0)
        # A group's cuts have weights of at most 1 together: what it costs is counted once.
        total = sums(cuts.group, weight, cuts.groups)
        over = np.maximum(total / np.maximum(1.0 - tied[self._quarter], TOLERANCE), 1.0)
        weight /= over[cuts.group]
        total = total / over + tied[self._quarter]
        fixed = float(cuts.constant @ weight) + float((LEAST * (1 - np.minimum(total, 1.0))).sum())
        cost = part.cost.copy()
        cost[: len(cuts.first)] += cuts.back(weight)
        column, quarter, dear = self.ties
        cost[column] += tied[quarter] * dear
        prices = self._completed(cost, prices)
        reduced = cost - part.back(prices)
        with np.errstate(invalid="ignore"):
            paid = np.where(prices > 0, prices * part.row_lower, prices * part.row_upper)
            saved = np.where(reduced > 0, reduced * part.lower, reduced * part.upper)
        saved[(~np.isfinite(saved) & (np.abs(reduced) <= TOLERANCE)) | (reduced == 0)] = 0.0
        fixed += float(np.where(prices == 0, 0.0, paid).sum())
        out = np.flatnonzero(self.bought & ~self.buys & (saved < 0))
        out = out[np.argsort(saved[out], kind="stable")]
        worth = -float(saved[out].sum())
        return fixed + float(saved.sum()), out[:MORE] if worth > MISSING * abs(found.value) else out[:0]

    def _completed(self, cost: Floats, prices: Floats) -> Floats:
        """Prices of rows that the model does not have: what the columns that are out would pay.

        Power that purchases draw is worth what the site's is; units that they give are worth their best use.
        """
        part, prices = self.part, prices.copy()
        row, column, value = part.row, self.entry, part.value
        left_out = (part.row_upper <= 0) & np.isneginf(part.row_lower) & ~self._rows
        free = left_out[row] & ~self._there[column]
        reduced = cost - part.back(prices)
        draws = np.flatnonzero(free & (value < 0) & self._drawn[column] & (reduced[column] > 0))
        prices[row[draws]] = reduced[column[draws]] / value[draws]
        uses = free & (value > 0) & ~self.bought[column]
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

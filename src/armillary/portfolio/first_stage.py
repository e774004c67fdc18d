"""The programme over the first stage and cuts, with few of the purchases: the others are priced out.

Of thousands of purchases a plan makes a hundred. The programme has those that may be worth it; its prices,
completed for the rows that only the others are in, say which are missing, and what all plans cost at least.
"""

from __future__ import annotations

import math
from copy import copy
from time import perf_counter
from typing import NamedTuple, Self

import numpy as np

from armillary.portfolio import highs
from armillary.portfolio.bounds import TOLERANCE, signed
from armillary.portfolio.calendar import Floats, Integers, sums
from armillary.portfolio.cuts import Cuts
from armillary.portfolio.highs import Statuses
from armillary.portfolio.matrix import Bools, Matrix
from armillary.portfolio.substitution import ranges, substituted

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
MANY, AT_ONCE = 2.0, 2
"""Cuts that are missed, by group, that are too many to be added at once; those of each that are then. [-]"""
DENSE = 500
"""Cuts that are dense at once. [-]"""
MADE = {"power of purchases": "power bought", "free": "free of purchases"}
"""Columns that are sums of others, and the rows that make them so."""
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


class Place(NamedTuple):
    """Where the simplex method was.

    basis : of all columns, groups' columns and rows. order, cuts : which cuts there were, and their basis.
    stage, use : what it found.
    """

    basis: highs.Basis | None
    order: Integers
    cuts: Statuses
    stage: Floats
    use: Floats


class FirstStage:
    """The programme over the first stage, what is spent at list prices, and what use costs groups of futures.

    Parameters
    ----------
    cuts : Cuts
        It gets more as they are made.
    matrix : Matrix
        Its assembly's, or one that differs in bounds.
    sets : array or None
        `[set, tier]` of which tiers at least some number can be asked for.

    Attributes
    ----------
    part : Matrix
        Its columns, and those of what is spent at list prices, in the rows that hold for it alone.
    worth : array
        Of what is spent, by listed row, in the last bound.
    reduced, proved : array, float
        Reduced costs of its columns there, and the bound.
    missing : bool
        Whether purchases were missing the last time, which are there the next.
    bought : array
        Which columns are purchases: they are left out until they are worth it.
    buys : array
        Which of them there are.
    failed : bool
        Whether the solver ended the last time without an optimum, before its time was over.
    """

    def __init__(self, cuts: Cuts, matrix: Matrix, sets: Bools | None = None) -> None:
        self.cuts = cuts
        self._sets = 0 if sets is None else len(sets)
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
        if sets is not None:
            tiers = np.searchsorted(cuts.first, cuts.assembly.committed.signed)
            self.part = _with_sums(self.part, [tiers[one] for one in sets])
        self._made, by = np.zeros(len(self.part.cost), bool), np.zeros(len(m.row_lower), bool)
        for name, rows in MADE.items():
            self._made |= self.of(m.blocks[name])
            by[m.row_blocks[rows]] = True
        self.part, self._sums = substituted(self.part, self._made, np.flatnonzero(by[cuts.alone]))
        self.entry = np.repeat(np.arange(len(self.part.cost)), np.diff(self.part.start))
        self.bought = self.of(m.blocks["bought"])
        self._needed = (self.part.row_lower > 0) | (self.part.row_upper < 0)
        worth = m.cost - m.back(cuts.prices) <= WORTH * m.cost + TOLERANCE
        self.buys = self.bought.copy()
        self.buys[: len(cuts.first)] &= worth[cuts.first]
        self._basis: highs.Basis | None = None
        self.missing, self.failed = True, False
        self._cut_basis, self._order = np.zeros(0, np.int8), np.zeros(0, np.int64)
        self._stage, self._use = np.zeros(len(self.part.cost)), np.zeros(cuts.groups)
        self._listed = row  # rows of what is spent
        self.worth = -cuts.priced[listed]
        self.reduced, self.proved = np.zeros(len(self.part.cost)), -math.inf

    def copied(self, cuts: Cuts | None = None) -> Self:
        """The same with cuts and a programme of its own, from where this is."""
        other = copy(self)
        other.cuts = cuts or self.cuts.copied()
        part = self.part
        other.part = part._replace(
            lower=part.lower.copy(), upper=part.upper.copy(), row_lower=part.row_lower.copy(),
            row_upper=part.row_upper.copy(),
        )  # fmt: skip
        other.buys, other._stage = self.buys.copy(), self._stage.copy()
        other.missing = True  # it is built when it is solved
        return other

    def repriced(self, most: Floats) -> Self:
        """A copy with what is spent priced at no more than this, by listed row."""
        cuts, size, cost = self.cuts.repriced(most), len(self.cuts.first), self.part.cost.copy()
        cost[size : size + len(most)] = -cuts.priced[cuts.listed]
        other = self.copied(cuts)
        other.part = other.part._replace(cost=cost)
        return other

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

    def ask(self, signed: Floats) -> None:
        """How many tiers of each set are signed at least."""
        rows = np.arange(len(self.part.row_lower) - self._sets, len(self.part.row_lower))
        self.part.row_lower[rows] = signed
        if not self.missing:
            place = np.cumsum(self._rows) - 1
            for row in rows[self._rows[rows]]:
                self._model.row_bounds(int(place[row]), float(self.part.row_lower[row]), np.inf)

    def count(self, fewest: float, most: float) -> None:
        """How many sites are opened, of those that it costs something to open."""
        of_all = self.cuts.matrix.row_blocks["sites opened"].start
        if not self.cuts.alone[of_all]:
            return
        row = int(self.cuts.alone[:of_all].sum())
        self.part.row_lower[row], self.part.row_upper[row] = fewest, most
        if not self.missing and self._rows[row]:
            self._model.row_bounds(int((np.cumsum(self._rows) - 1)[row]), fewest, most)

    @property
    def place(self) -> Place:
        """Where the simplex method is."""
        known = self._order[: len(self._cut_basis)]  # others were added since the last optimum
        return Place(self._basis, known, self._cut_basis, self._stage, self._use)

    def go_to(self, place: Place) -> None:
        """Go on from a place; cuts that there were not are not binding."""
        if place.basis is None or place.basis is self._basis:
            return
        self._basis, self._stage, self._use = place.basis, place.stage, place.use
        if self.missing:
            self._order, self._cut_basis = place.order, place.cuts
            return
        known = np.full(len(self.cuts.group), BASIC, np.int8)
        known[place.order] = place.cuts
        there = np.zeros(len(known), bool)
        there[self._order] = True
        self._add(np.flatnonzero(~there & (known != BASIC)))
        self._cut_basis = known[self._order]
        self._begin()

    def put(self, stage: Floats) -> None:
        """Where to begin."""
        self._stage[: len(stage)] = stage

    @property
    def stage(self) -> Floats:
        """The first stage of the last bound."""
        return self._stage[: len(self.cuts.first)]

    def solved(self, seconds: float = math.inf, enough: float = math.inf) -> Staged:
        """Minimise; purchases that are missing are there the next time.

        Parameters
        ----------
        seconds : float
            Time limit. [s]
        enough : float
            Bound at which this may end, with no first stage. [scaled money]
        """
        if self.missing or len(self._order) > KEPT * self.cuts.groups:
            self._build()
        found = self._minimised(seconds, enough)
        if found.status == "unknown":  # after many rows the solver may lose its way: from the start
            self._basis = None
            self._build()
            found = self._minimised(seconds)
        if found.status == "enough":
            if len(found.duals) and (bound := self._proven(found)[0]) >= enough:
                return Staged("enough", np.zeros(0), bound, bound)
            found = self._model.solved(seconds)
        if found.status == "infeasible" and (self.bought & ~self.buys).any():
            few, self.buys = self.buys, self.buys | self.bought
            self._build()
            staged = self.solved(seconds)
            if staged.status == "infeasible":
                self.buys, self.missing = few, True
            return staged
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
        self._within = self._sums.within(self._place)
        self._model = highs.Growing(self.part.part(columns, self._rows), presolve=self._basis is None)
        self._groups = self._model.columns(np.ones(self.cuts.groups), LEAST, np.inf)
        binding = np.flatnonzero(self._cut_basis != BASIC)
        order, self._order = self._order[binding], np.zeros(0, np.int64)
        self._cut_basis = self._cut_basis[binding]
        self._add(order)
        if self._basis is not None:
            self._begin()

    def _begin(self) -> None:
        """Set the basis of the model."""
        assert self._basis is not None
        column, row = self._basis
        use = column[len(self.part.cost) :]
        rows = np.concatenate([row[self._rows], self._cut_basis])
        self._model.begin((np.append(column[: len(self.part.cost)][self._there], use), rows))

    def _useful(self) -> tuple[Bools, Bools]:
        """Columns that may be more than 0 with the purchases that there are, and rows that matter."""
        part = self.part
        there = ~part.emptied(self.bought & ~self.buys)
        slack = np.isneginf(part.row_lower) & (part.row_upper >= 0)  # rows that only what adds can break

        def needed() -> Bools:
            rows = ~slack
            rows[part.row[(part.value > 0) & there[self.entry]]] = True
            return rows

        there &= ~self._made
        touched = np.zeros(len(slack), bool)
        touched[part.row[there[self.entry]]] = True
        return there, (needed() & touched) | self._needed

    def _missed(self) -> tuple[Integers, bool]:
        """Cuts that the last point misses and the model does not have; and whether there are more of them."""
        cuts = self.cuts
        if not len(self._order):
            return np.arange(len(cuts.group)), False
        until = np.append(0.0, np.cumsum(self._use))
        use = np.append(self._use, until[cuts.end] - until[cuts.begin])[cuts.group]
        by = cuts.at(self._stage) - use
        missed = by > VIOLATED * np.abs(use)
        missed[self._order] = False
        which = np.flatnonzero(missed)
        if len(which) <= MANY * cuts.groups:
            return which, False
        which = which[np.lexsort((-by[which], cuts.group[which]))]
        place = np.arange(len(which)) - np.searchsorted(cuts.group[which], cuts.group[which])
        return np.sort(which[place < AT_ONCE]), True

    def _minimised(self, seconds: float, enough: float = math.inf) -> highs.Solved:
        """Minimise with cuts that are missed; where they are many, with those that are missed most first."""
        until, more = perf_counter() + seconds, True
        while more:
            which, more = self._missed()
            self._add(which)
            found = self._model.solved(until - perf_counter(), enough)
            more &= found.status == "optimal"
            if more:
                self._keep(found)
        return found

    def _add(self, which: Integers) -> None:
        """Add cuts to the model, some at once, as they are dense for a while."""
        for some in np.split(which, range(DENSE, len(which), DENSE)):
            if len(some):
                self._add_dense(some)

    def _add_dense(self, which: Integers) -> None:
        """Add cuts to the model at once."""
        cuts, count = self.cuts, len(which)
        cut, entries = ranges(cuts.start[which], cuts.start[which + 1])
        term, column, value = self._within.of(cuts.column[entries])
        width = int(self._there.sum())
        key, entry = cut[term] * width + column, -cuts.value[entries][term] * value
        dense = np.bincount(key, entry, count * width).astype(float)
        inside = np.flatnonzero(dense)
        # A cut is of one group of futures, or of all groups of some quarters.
        each = np.arange(cuts.groups)
        begin, end = np.append(each, cuts.begin), np.append(each + 1, cuts.end)
        several, groups = ranges(begin[cuts.group[which]], end[cuts.group[which]])
        row = np.append(inside // width, several)
        columns = np.append(inside % width, self._groups[groups])
        values = np.append(dense[inside], np.ones(len(several)))
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
        self._stage = self._sums.point(self._stage)
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
        self.worth = np.maximum(-prices[self._listed], 0.0)
        weight = np.zeros(len(cuts.group))
        weight[self._order] = np.maximum(found.duals[self._height :], 0.0)
        # A group's cuts have weights of at most 1 together: what it costs is counted once.
        total = sums(cuts.group, weight, cuts.groups + len(cuts.begin))
        several, groups = ranges(cuts.begin, cuts.end)
        total = total[: cuts.groups] + sums(groups, total[cuts.groups :][several], cuts.groups)
        over = np.append(np.maximum(total, 1.0), np.ones(len(cuts.begin)))
        np.maximum.at(over, cuts.groups + several, over[groups])  # of quarters, as the group with most
        weight /= over[cuts.group]
        total = sums(cuts.group, weight, len(over))
        total = total[: cuts.groups] + sums(groups, total[cuts.groups :][several], cuts.groups)
        fixed = float(cuts.constant @ weight) + float((LEAST * (1 - np.minimum(total, 1.0))).sum())
        cost = part.cost + self._sums.back(cuts.back(weight))
        prices = self._completed(cost, prices)
        self.reduced = reduced = cost - part.back(prices)
        with np.errstate(invalid="ignore"):
            paid = np.where(prices > 0, prices * part.row_lower, prices * part.row_upper)
            saved = np.where(reduced > 0, reduced * part.lower, reduced * part.upper)
        saved[(~np.isfinite(saved) & (np.abs(reduced) <= TOLERANCE)) | (reduced == 0)] = 0.0
        fixed += float(np.where(prices == 0, 0.0, paid).sum())
        self.proved = fixed + float(saved.sum())
        out = np.flatnonzero(self.bought & ~self.buys & (saved < 0))
        out = out[np.argsort(saved[out], kind="stable")]
        worth = -float(saved[out].sum())
        return self.proved, out[:MORE] if worth > MISSING * abs(found.value) else out[:0]

    def _completed(self, cost: Floats, prices: Floats) -> Floats:
        """Prices of rows that the model does not have: what the columns that are out would pay.

        Units that purchases give are worth their best use.
        """
        part, prices = self.part, prices.copy()
        row, column, value = part.row, self.entry, part.value
        left_out = (part.row_upper <= 0) & np.isneginf(part.row_lower) & ~self._rows
        left_out[row[self._there[column]]] = False  # what is missing there is added
        free = left_out[row] & ~self._there[column]
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


def _with_sums(part: Matrix, sets: list[Integers]) -> Matrix:
    """With a row for the sum of each of some sets of columns, of at least 0."""
    count, height = len(part.cost), len(part.row_lower)
    column = np.concatenate([np.repeat(np.arange(count), np.diff(part.start)), *sets])
    row = np.concatenate([part.row, np.repeat(height + np.arange(len(sets)), [len(one) for one in sets])])
    value = np.append(part.value, np.ones(len(row) - len(part.value)))
    order = np.argsort(column, kind="stable")
    return part._replace(
        start=np.searchsorted(column[order], np.arange(count + 1)), row=row[order], value=value[order],
        row_lower=np.append(part.row_lower, np.zeros(len(sets))),
        row_upper=np.append(part.row_upper, np.full(len(sets), np.inf)),
    )  # fmt: skip

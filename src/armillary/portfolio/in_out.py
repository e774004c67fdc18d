"""Cuts between a good first stage and that of the bound, until both cost about the same.

As in W. Ben-Ameur and J. Neto, "Acceleration of cutting-plane and column generation algorithms" (Networks 49,
2007): cuts at the first stage of the bound alone, which is far from any good plan, raise it slowly.
"""

from __future__ import annotations

import math
from time import perf_counter
from typing import NamedTuple

import numpy as np

from armillary.portfolio import highs
from armillary.portfolio.calendar import Floats, Integers
from armillary.portfolio.cuts import Cuts
from armillary.portfolio.first_stage import FirstStage, Place, Staged
from armillary.portfolio.matrix import Bools, Matrix
from armillary.portfolio.quarter_use import Cut, Whole

BETWEEN = 0.5
"""Where cuts are made, on the way from the first stage of a plan to that of the bound. [-]"""
SLOW = 3e-4
"""Rise of the bound in a round, as a share of it, below which cuts are no longer worth their time. [-]"""
STILL = 3
"""Rounds with such a rise, one after the other, that end it. [-]"""
ROUGH = 0.01
"""How far the cheapest first stage is from the bound, as a share of it, where it is far. [-]"""
OTHER, FINE_OTHER = 0.03, 0.004
"""Part of what is spent by which it has to be worth more, or less, for cuts that say so; where they are fine.
[-]"""
MISSED = 1e-3
"""Part of what a first stage costs that missing takes has to cost in a year for cuts that say so. [-]"""
WHOLE = 1e-6
"""Distance from whole numbers that is none. [-]"""
CLEAR = 0.2
"""Distance from 0 or 1 up to which parts are rounded at once. [-]"""
CONTRACTS = ("signed", "committed", "spend ", "shortfall ")
"""Blocks of columns that are about contracts alone."""


class Point(NamedTuple):
    """A first stage of a bound, by listed row what is spent is worth there, and where its basis is."""

    stage: Floats
    worth: Floats
    place: Place


class InOut(FirstStage):
    """A first stage that remembers the cheapest one seen.

    Attributes
    ----------
    good : array
        That first stage; empty where none was begun with.
    least : float
        What it costs with the use that cuts made there are about. [scaled money]
    apart : bool
        Whether cuts are priced at other than what is spent is worth in a plan.
    rising : bool
        Whether the bound still rises so much that cuts about takes are not worth their time.
    fine : bool
        Whether cuts are made where what is spent is worth a little other than they are priced at, too, and
        for all takes that are missed.
    """

    def __init__(self, cuts: Cuts, matrix: Matrix, sets: Bools | None = None) -> None:
        super().__init__(cuts, matrix, sets)
        self.good, self.least = np.zeros(0), math.inf
        self.apart = self.fine = self.rising = False
        self._contracts = np.arange(len(self.part.cost)) >= len(cuts.first)
        for name, block in cuts.matrix.blocks.items():
            if name.startswith(CONTRACTS):
                self._contracts |= self.of(block)

    def begin(self, stage: Floats) -> None:
        """Begin with a first stage near a good plan; what is about contracts alone is put right."""
        cuts = self.cuts
        self.buys[: len(stage)] |= self.bought[: len(stage)] & (stage > 0)
        self.missing = True
        made = cuts.made(stage)
        wholes = self._wholes(stage, self.worth, made)
        self.good, self.least = self._counted(stage, made, wholes), math.inf
        if len(self.good):
            self.least = cuts.cost(self.good, made, wholes)

    def _more(self, worth: Floats) -> Floats:
        """By how much spending is worth more than cuts are made with; 0 where that is little."""
        cuts = self.cuts
        priced, dear = cuts.priced[cuts.listed], cuts.dear[cuts.listed]
        more = worth + priced
        little = (FINE_OTHER if self.fine else OTHER) * (dear - priced)
        return np.where(np.abs(more) > little, more, 0.0)

    def _wholes(self, stage: Floats, worth: Floats, made: list[Cut], exact: bool = True) -> list[Whole]:
        """Make cuts of whole quarters: where spending is worth more, or less, and where takes are missed."""
        cuts = self.cuts
        found = cuts.dearer(stage, self._more(worth), exact)
        if exact and not self.rising:
            saved = self._more(np.minimum(worth, cuts.takes.saved(stage)))
            missed = 0.0 if self.fine else MISSED * float(cuts.matrix.cost[cuts.first] @ stage)
            found += cuts.taken(stage, saved, made, missed)
        return found

    def _counted(self, stage: Floats, made: list[Cut], wholes: list[Whole]) -> Floats:
        """A first stage with the cheapest of all that is about contracts alone; empty where there is none.

        What use costs is at least what cuts made there say, and what contracts count of it.
        """
        part = self.part
        out = np.append(stage, np.zeros(len(part.cost) - len(stage)))
        out[self._contracts] = 0.0
        rest = part.times(out)
        rows = np.zeros(len(rest), bool)
        rows[part.row[self._contracts[self.entry]]] = True
        own = part.part(np.flatnonzero(self._contracts), rows)
        cuts, count = self.cuts, np.cumsum(self._contracts) - 1
        quarter, dear = cuts.quarter[cuts.listed], cuts.dear[cuts.listed]
        spent = count[len(stage) + np.arange(len(dear))]
        model = highs.Growing(
            own._replace(row_lower=own.row_lower - rest[rows], row_upper=own.row_upper - rest[rows])
        )
        use = model.columns(np.ones(len(made)), -np.inf, np.inf)
        for t, cut in enumerate(made):
            mine = quarter == t
            entries = np.append(use[t], spent[mine])
            model.row(float(cuts.chance @ cut.at(stage)), entries[:1], np.ones(1))
            if (dear[mine] >= 0).all():
                model.row(0.0, entries, np.append(1.0, -dear[mine]))
        for one in wholes:
            free = self._contracts[one.column]
            least = one.constant + float(one.value[~free] @ out[one.column[~free]])
            quarters = use[cuts.quarters_of(one)]
            entries = np.append(quarters, count[one.column[free]])
            model.row(least, entries, np.append(np.ones(len(quarters)), -one.value[free]))
        found = model.solved()
        if not len(found.x):
            return found.x
        out[self._contracts] = found.x[: len(own.cost)]
        return out[: len(stage)]

    def raised(
        self,
        until: float,
        near: float = 0.0,
        enough: float = math.inf,
        slow: float = SLOW,
        far: bool = False,
    ) -> float:
        """Make cuts until the bound hardly rises or the time is over, and go on where it was the next time.

        Parameters
        ----------
        until : float
            Time limit, of the performance counter. [s]
        near : float
            How near the cheapest first stage is to the bound where this ends, as a share of it. [-]
        enough : float
            Bound at which this ends. [scaled money]
        slow : float
            Rise of the bound in a round, as a share of it, below which cuts are not worth their time. [-]
        far : bool
            Whether the cheapest first stage is far from the bound: until it is not, futures that share cuts
            have the prices of their mean.

        Returns
        -------
        float
            What all plans cost at least. [scaled money]
        """
        bound, still, rough, before = -math.inf, 0, far, math.inf
        while True:
            found = self.solved(until - perf_counter())
            rises = found.bound >= bound + slow * abs(found.bound)
            rises |= rough and self.least < before * (1 - slow)  # it comes nearer
            before = self.least
            still = 0 if rises or self.missing else still + 1  # with purchases that are missing it may fall
            bound = max(bound, found.bound)
            if found.status != "optimal" or still == STILL or perf_counter() > until:
                return bound
            if bound >= enough or (not rough and self.least - bound <= near * abs(bound)):
                return bound
            if rough and self.least - bound <= ROUGH * abs(bound):
                rough, self.least = False, math.inf  # what it costs is more than means of groups say
            # Where that hardly raised the bound, at the first stage of the bound itself.
            share = 1.0 if still else BETWEEN
            self.good, self.least = self.cut(self.point, self.good, self.least, share, not rough)

    @property
    def point(self) -> Point:
        """Of the last bound."""
        return Point(self.stage, self.worth, self.place)

    def cut(
        self, point: Point, good: Floats, least: float, share: float = BETWEEN, exact: bool = True
    ) -> tuple[Floats, float]:
        """Make cuts between a good first stage, if there is one, and that of a bound; gives the better one.

        Cuts of whole quarters are made where what is spent is worth more, or less, than cuts are made with.

        Parameters
        ----------
        point : Point
            Of the bound.
        good : array
        least : float
            What it costs. [scaled money]
        share : float
            Of the way to the first stage of the bound. [-]
        exact : bool
            As of `Cuts.made`.
        """
        cuts = self.cuts
        stage = good + share * (point.stage - good) if len(good) else point.stage
        made = cuts.made(stage, exact)
        wholes = self._wholes(stage, point.worth, made, exact)
        cost = cuts.cost(stage, made, wholes)
        return (stage, cost) if cost < least else (good, least)

    def looked_at(self, until: float, enough: float) -> float:
        """What all plans cost at least by cuts that were missed last, with purchases that are missing."""
        bound = -math.inf
        while True:
            found = self.solved(until - perf_counter(), enough)
            bound = max(bound, found.bound)
            if found.status != "optimal" or not self.missing or bound >= enough or perf_counter() > until:
                return bound

    def whole(self, places: Integers, charged: Integers, until: float) -> bool:
        """Make columns whole, and hold them; gives whether there is a first stage with them.

        Places of runs are rounded, those that nearly are whole and the nearest of the others first. Of what
        is charged for as a whole, however little of it is used, both ways are looked at, the largest part
        first.

        Parameters
        ----------
        places, charged : array
            Columns of the assembly.
        until : float
            Time limit, of the performance counter. [s]
        """
        columns = np.append(places, charged)
        inside = np.searchsorted(self.cuts.first, columns)
        place = np.arange(len(columns)) < len(places)
        lower, upper = self.part.lower[inside], self.part.upper[inside]

        def held(which: Bools, value: Floats) -> Staged:
            """What there is with some of them held."""
            lower[which] = upper[which] = value
            self.within(columns, lower, upper)
            return self.solved(until - perf_counter())

        found = held(np.zeros(len(columns), bool), np.zeros(0))
        while found.status == "optimal":
            x = found.stage[inside]
            away = np.abs(x - np.round(x))
            parts = away > WHOLE
            if not parts.any():
                self.within(columns, np.round(x), np.round(x))  # what is whole by itself, too
                return True
            self.cuts.made(found.stage, exact=False)
            if parts[place].any():
                nearest = float(away[parts & place].min())
                which = np.where(place, away <= max(CLEAR, nearest), x > 1 - CLEAR)
                found = held(which, np.round(x[which]))
                continue
            one = parts & (x == x[parts].max())
            without = held(one, np.zeros(int(one.sum())))
            found = held(one, np.ones(int(one.sum())))
            if found.status != "optimal" or without.value < found.value:
                found = held(one, np.zeros(int(one.sum())))
        return False

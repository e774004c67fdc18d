"""Cuts between a good first stage and that of the bound, until both cost about the same.

As in W. Ben-Ameur and J. Neto, "Acceleration of cutting-plane and column generation algorithms" (Networks 49,
2007): cuts at the first stage of the bound alone, which is far from any good plan, raise it slowly.
"""

from __future__ import annotations

import math
from time import perf_counter

import numpy as np

from armillary.portfolio import highs
from armillary.portfolio.calendar import Floats, Integers
from armillary.portfolio.cuts import Cuts
from armillary.portfolio.first_stage import FirstStage
from armillary.portfolio.matrix import Matrix

BETWEEN = 0.5
"""Where cuts are made, on the way from the first stage of a plan to that of the bound. [-]"""
SLOW = 3e-4
"""Rise of the bound in a round, as a share of it, below which cuts are no longer worth their time. [-]"""
STILL = 2
"""Rounds with such a rise, one after the other, that end it. [-]"""
POINTS = 6
"""Points that are kept, for cuts at other prices. [-]"""
WHOLE = 1e-6
"""Distance from whole numbers that is none. [-]"""
CLEAR = 0.2
"""Distance from 0 or 1 up to which parts are rounded at once. [-]"""
CONTRACTS = ("signed", "committed", "spend ", "shortfall ")
"""Blocks of columns that are about contracts alone."""


class InOut(FirstStage):
    """A first stage that remembers the cheapest one seen.

    Attributes
    ----------
    good : array
        That first stage; empty where none was begun with.
    least : float
        What it costs with the use that cuts made there are about. [scaled money]
    points : list
        Where cuts were made last.
    """

    def __init__(self, cuts: Cuts, matrix: Matrix) -> None:
        super().__init__(cuts, matrix)
        self.good, self.least = np.zeros(0), math.inf
        self.points: list[Floats] = []
        self._contracts = np.arange(len(self.part.cost)) >= len(cuts.first)
        for name, block in cuts.matrix.blocks.items():
            if name.startswith(CONTRACTS):
                self._contracts |= self.of(block)

    def begin(self, stage: Floats) -> None:
        """Begin with a first stage near a good plan; what is about contracts alone is put right."""
        cuts = self.cuts
        self.buys[: len(stage)] |= self.bought[: len(stage)] & (stage > 0)
        self.missing, self.points = True, [stage]
        made = cuts.made(stage)
        use = np.array([float(cuts.chance @ one.at(stage)) for one in made])
        self.good, self.least = self._counted(stage, use), math.inf
        if len(self.good):
            self.least = cuts.cost(self.good, made)

    def go_on(self, other: InOut) -> None:
        """Go on from another that differs in prices and bounds alone, with cuts where it made its last."""
        self.buys |= other.buys
        for point in other.points:
            self.cuts.made(point, exact=False)

    def _counted(self, stage: Floats, use: Floats) -> Floats:
        """A first stage with the cheapest of all that is about contracts alone; empty where there is none.

        use : what use costs in each quarter, so that contracts count no more of it.
        """
        part = self.part
        out = np.append(stage, np.zeros(len(part.cost) - len(stage)))
        out[self._contracts] = 0.0
        rest = part.times(out)
        rows = np.zeros(len(rest), bool)
        rows[part.row[self._contracts[self.entry]]] = True
        own = part.part(np.flatnonzero(self._contracts), rows)
        column, quarter, dear = self.ties
        count = np.cumsum(self._contracts) - 1
        model = highs.Growing(
            own._replace(row_lower=own.row_lower - rest[rows], row_upper=own.row_upper - rest[rows])
        )
        for t in self.tied:
            model.row(-np.inf, use[t], count[column[quarter == t]], dear[quarter == t])
        found = model.solved()
        if not len(found.x):
            return found.x
        out[self._contracts] = found.x
        return out[: len(stage)]

    def raised(self, until: float, near: float = 0.0, enough: float = math.inf, slow: float = SLOW) -> float:
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

        Returns
        -------
        float
            What all plans cost at least. [scaled money]
        """
        cuts = self.cuts
        bound, still = -math.inf, 0
        while True:
            found = self.solved(until - perf_counter())
            rises = found.bound >= bound + slow * abs(found.bound)
            still = 0 if rises or self.missing else still + 1  # with purchases that are missing it may fall
            bound = max(bound, found.bound)
            if found.status != "optimal" or still == STILL or perf_counter() > until:
                return bound
            if self.least - bound <= near * abs(bound) or bound >= enough:
                return bound
            # Where that hardly raised the bound, at the first stage of the bound itself.
            good = self.good if len(self.good) else found.stage
            point = good + (1.0 if still else BETWEEN) * (found.stage - good)
            if (cost := cuts.cost(point, cuts.made(point))) < self.least:
                self.good, self.least = point, cost
            self.points = [*self.points[1 - POINTS :], point]

    def looked_at(self, until: float, enough: float) -> float:
        """What all plans cost at least by cuts that were missed last, with purchases that are missing."""
        bound = -math.inf
        while True:
            found = self.solved(until - perf_counter())
            bound = max(bound, found.bound)
            if found.status != "optimal" or not self.missing or bound >= enough or perf_counter() > until:
                return bound

    def whole(self, columns: Integers, until: float) -> bool:
        """Round columns that have to be whole, those that nearly are and the nearest of the others first.

        They stay held; gives whether there is a first stage with them.

        Parameters
        ----------
        columns : array
            Of the assembly.
        until : float
            Time limit, of the performance counter. [s]
        """
        inside = np.searchsorted(self.cuts.first, columns)
        lower, upper = self.part.lower[inside], self.part.upper[inside]
        while True:
            found = self.solved(until - perf_counter())
            if found.status != "optimal":
                return False
            x = found.stage[inside]
            away = np.abs(x - np.round(x))
            parts = away > WHOLE
            if not parts.any():
                return True
            self.cuts.made(found.stage, exact=False)
            held = away <= max(CLEAR, float(away[parts].min()))
            lower[held] = upper[held] = np.round(x[held])
            self.within(columns, lower, upper)

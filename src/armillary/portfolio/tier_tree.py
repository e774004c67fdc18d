"""A search over parts of all plans, by the tiers that they sign, for what all of them cost at least.

A relaxation signs parts of tiers, and has their discount on all that is spent. With a tier signed, or not
signed, it pays for it. The part with the lowest bound is parted by the tier that saves most in it, or cuts
are made at its first stage.
"""

from __future__ import annotations

import heapq
import math
from typing import NamedTuple

import numpy as np

from armillary.portfolio.assembly import Assembly
from armillary.portfolio.calendar import Floats
from armillary.portfolio.in_out import WHOLE, InOut, Point
from armillary.portfolio.matrix import Bools
from armillary.portfolio.tier_parts import Bounds

LITTLE = 1e-6
"""Part of the bound that a tier has to save for plans to be parted by it. [-]"""
MUCH = 0.5
"""Part of what the bound has to rise by that a tier has to save for plans to be parted before cuts. [-]"""
HOME = 2e-4
"""Part of the bound that deciding where a run is is taken to raise it by. [-]"""
SLOW, STILL = 1e-5, 6
"""Rise of the bound by cuts, as a share of it, that is too little, and how often it may be. [-]"""


class Part(NamedTuple):
    """Plans within bounds of the tiers' columns.

    point : the first stage of its bound.
    tier, saved : to part it by, -1 for none, homes counted after tiers; what it saves there.
    good, least : the cheapest first stage at which cuts were made for it, and what these say that it costs.
    looked_at, rounds, still : whether it has a bound of its own, the times that cuts were made for it, and
    those that hardly raised it. over : whether nothing does.
    gain : how much the last cuts raised it.
    signed : tiers of the first stage of its bound that are signed, by more than half.
    homes : homes of runs, 1 or 0 where that is decided, NaN where not; None where none is.
    """

    bound: float
    number: int
    bounds: Bounds
    point: Point
    tier: int = -1
    saved: float = 0.0
    good: Floats = np.zeros(0)
    least: float = math.inf
    looked_at: bool = False
    rounds: int = 0
    still: int = 0
    over: bool = False
    gain: float = 0.0
    signed: Floats = np.zeros(0)
    homes: Floats | None = None


class TierTree:
    """A search for what some plans cost at least.

    Parameters
    ----------
    assembly : Assembly
        Over means.
    first : InOut
        Its cuts, made at prices that suit these plans.
    parts : list
        Bounds of the tiers' columns, of parts with all of these plans.
    sets : array
        `[set, tier]` that bounds say how many are signed of at least.
    least : float
        What they cost at least. [scaled money]
    homes : bool
        Whether they are parted by homes of runs, too, where no tier is left.

    Attributes
    ----------
    open : list
        Parts, that with the lowest bound first.
    columns : array
        Of tiers.
    """

    def __init__(
        self,
        assembly: Assembly,
        first: InOut,
        parts: list[Bounds],
        sets: Bools,
        least: float,
        homes: bool = True,
    ) -> None:
        self.assembly, self.first, self.columns = assembly, first, assembly.committed.signed
        self.sets = sets
        self._places = np.searchsorted(first.cuts.first, self.columns)
        self._homes = np.searchsorted(first.cuts.first, assembly.home)
        # The last ones first: the others cost most.
        self.open = [Part(least, -n, bounds, first.point) for n, bounds in enumerate(parts)]
        heapq.heapify(self.open)
        self._number, self._by_home = 0, homes

    @property
    def bound(self) -> float:
        """None of the plans costs less."""
        return self.open[0].bound if self.open else math.inf

    @property
    def over(self) -> bool:
        """Whether nothing raises the bound."""
        return not self.open or self.open[0].over

    def copied(self) -> TierTree:
        """None of the parts, with cuts and a programme of its own."""
        return TierTree(self.assembly, self.first.copied(), [], self.sets, math.inf, self._by_home)

    def halved(self, enough: float) -> TierTree | None:
        """A copy with every second part below a bound, which this tree gives up; None if it is one part."""
        parts = sorted(one for one in self.open if one.bound < enough)[1::2]
        if not parts:
            return None
        numbers, other = {one.number for one in parts}, self.copied()
        self.open = [one for one in self.open if one.number not in numbers]
        heapq.heapify(self.open)
        other.open, other._number = parts, self._number
        return other

    def step(self, until: float, enough: float = math.inf) -> Part:
        """Look at the part with the lowest bound, part it, or make cuts for it.

        Gives it, or what it was parted into with the lowest bound.

        Parameters
        ----------
        until : float
            Time limit, of the performance counter. [s]
        enough : float
            Bound from which a part is of no interest. [scaled money]
        """
        part = heapq.heappop(self.open)
        parts = [part]
        worth = part.gain if part.rounds else MUCH * (enough - part.bound)  # that cuts would raise it by
        if part.looked_at and part.tier >= 0 and part.saved > worth:
            parts = self._parted(part)
        elif part.looked_at:
            good, least = self.first.cut(part.point, part.good, part.least)
            parts = [part._replace(good=good, least=least, rounds=part.rounds + 1)]
        parts = [self._looked_at(one, until, enough) for one in parts]
        for one in parts:
            heapq.heappush(self.open, one)
        return min(parts)

    def begin(self, part: Bounds, until: float, slow: float) -> None:
        """Make cuts, from a first stage on, for a part or for more, until its bound rises slowly."""
        self.within(part)
        self.first.rising = True
        self.first.begin(self.first.point.stage)
        bound = self.first.raised(until, slow=slow, far=True)
        self.first.rising = False
        self.open = [one._replace(bound=bound) if one.bounds is part else one for one in self.open]

    def within(self, part: Bounds, homes: Floats | None = None) -> None:
        """Look at plans of a part from here on, with some homes decided."""
        self.first.within(self.columns, part.lower, part.upper)
        self.first.ask(part.signed)
        m, home = self.assembly.matrix, self.assembly.home
        homes = np.full(len(home), np.nan) if homes is None else homes
        free = np.isnan(homes)
        self.first.within(home, np.where(free, m.lower[home], homes), np.where(free, m.upper[home], homes))

    def _looked_at(self, part: Part, until: float, enough: float) -> Part:
        self.within(part.bounds, part.homes)
        self.first.go_to(part.point.place)
        bound = self.first.looked_at(until, enough)
        if bound == -math.inf:
            return part._replace(over=self.first.failed)
        if bound >= enough:
            return part._replace(bound=max(part.bound, bound))
        tier, saved = self._next(part.bounds, bound)
        still = part.still + (part.rounds > 0 and bound < part.bound + SLOW * abs(part.bound))
        return part._replace(
            bound=max(part.bound, bound), point=self.first.point, tier=tier, saved=saved, looked_at=True,
            gain=bound - part.bound, still=still, over=still >= STILL and tier < 0,
            signed=np.round(self.first.stage[self._places]) + 0.0,  # no -0
        )  # fmt: skip

    def _next(self, part: Bounds, bound: float) -> tuple[int, float]:
        """The tier that is not decided and saves most in the first stage of the bound, and what it saves.

        Before that, where one of a set has to be signed, the one that is signed most.
        """
        m, stage, cuts = self.assembly.matrix, self.first.stage, self.first.cuts
        signed = stage[self._places]
        for asked, several in zip(part.signed, self.sets, strict=True):
            if asked > 0 and not (part.lower[several] > 0).any():
                most = int(np.where(several & (part.upper > 0), signed, -1.0).argmax())
                if part.lower[most] < part.upper[most] and signed[most] < 1 - WHOLE:
                    return most, math.inf
        saved = np.zeros(len(self.columns) + 1)
        for i, (_, spent) in enumerate(self.assembly.committed.spend):
            saved[i] = -float(m.cost[spent] @ stage[np.searchsorted(cuts.first, spent)])
        saved[:-1] *= (1 - signed) * (part.lower < part.upper)
        best = int(saved.argmax())
        if saved[best] > LITTLE * abs(bound):
            return best, float(saved[best])
        # Runs that are at several places: at the one where they are most, or not there.
        home = stage[self._homes]
        parts = np.where((home > WHOLE) & (home < 1 - WHOLE), home, 0.0)
        if self._by_home and parts.any():
            return len(self.columns) + int(parts.argmax()), HOME * abs(bound)
        return -1, 0.0

    def _parted(self, part: Part) -> list[Part]:
        """Without and with one tier more, or one home."""
        parts, tiers = [], len(self.columns)
        for signed in (0.0, 1.0):
            self._number += 1
            one = Part(part.bound, self._number, part.bounds, part.point, homes=part.homes)
            if part.tier < tiers:
                lower, upper = part.bounds.lower.copy(), part.bounds.upper.copy()
                lower[part.tier] = upper[part.tier] = signed
                parts.append(one._replace(bounds=part.bounds._replace(lower=lower, upper=upper)))
            else:
                homes = np.full(len(self._homes), np.nan) if part.homes is None else part.homes.copy()
                homes[part.tier - tiers] = signed
                parts.append(one._replace(homes=homes))
        return parts

"""Parts of all plans by the tiers that they sign, each with cuts of its own.

A cut is right for one price of what contracts count as spent: the discount of the tiers that are signed.
Where a relaxation signs parts of tiers, no price is right, and the bound stays behind. With a tier signed, or
not signed, prices are; plans are parted by the tiers that the best plan signs, one after the other.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from time import perf_counter
from typing import NamedTuple

import numpy as np

from armillary.portfolio import highs
from armillary.portfolio.bounds import proven
from armillary.portfolio.calendar import Floats, Integers
from armillary.portfolio.cuts import Cuts
from armillary.portfolio.first_stage import FirstStage
from armillary.portfolio.matrix import Matrix

SHARE = 0.3
"""Of the time left, what raising the bound of one part may take. [-]"""
UNDECIDED = 1e-6
"""Part of a tier from which it is signed. [-]"""


class Part(NamedTuple):
    """Plans within bounds of the tiers' columns.

    first : of the part that it was parted from, until it is `begun`. looked_at : whether cuts raised its
    bound. over : whether nothing raises it any more.
    """

    bound: float
    number: int
    lower: Floats
    upper: Floats
    first: FirstStage
    begun: bool
    looked_at: bool = False
    over: bool = False


class TierTree:
    """A search for what all plans cost at least.

    Parameters
    ----------
    first : FirstStage
        Over all plans.
    bound : float
        Of all plans.
    cuts_at : callable
        Cuts of the assembly that begin at prices of its rows.
    around : callable
        A point of the assembly, within a matrix, near the best plan; empty where there is none.
    basis : tuple or None
        Of a relaxation over means.
    """

    def __init__(
        self,
        first: FirstStage,
        bound: float,
        cuts_at: Callable[[Floats], Cuts],
        around: Callable[[Matrix], Floats],
        basis: highs.Basis | None,
    ) -> None:
        self.assembly, self.matrix = first.cuts.assembly, first.cuts.matrix
        self.columns: Integers = self.assembly.committed.signed
        self.cuts_at, self.around, self.basis = cuts_at, around, basis
        m = self.matrix
        self.open = [Part(bound, 0, m.lower[self.columns], m.upper[self.columns], first, True)]
        self.number = 0

    @property
    def bound(self) -> float:
        """No plan costs less, but for those in parts that were left out as they cost enough."""
        return min((one.bound for one in self.open), default=math.inf)

    def step(self, enough: float, cheaper: float, until: float, apart: bool) -> Floats:
        """Raise the bound of the part with the lowest, or part it.

        Its cheapest first stage is given, where it costs less than what is asked for.

        Parameters
        ----------
        enough, cheaper : float
            Bound from which a part is of no interest; cost below which a first stage is. [scaled money]
        until : float
            Time limit, of the performance counter. [s]
        apart : bool
            Whether there is time to part it.
        """
        part = heapq.heappop(self.open)
        if apart and part.looked_at and (parted := self._parted(part)):
            for one in parted:
                heapq.heappush(self.open, one)
            return np.zeros(0)
        if not part.begun:
            part = self._begun(part, enough, until)
            if part.bound >= enough:
                return np.zeros(0)
            if not part.begun:  # there was no time
                heapq.heappush(self.open, part)
                return np.zeros(0)
        if not part.looked_at:
            near = self.around(self._within(part))
            if not len(near):  # nothing that is bought goes with it
                heapq.heappush(self.open, part._replace(over=True))
                return np.zeros(0)
            part.first.begin(near)
        limit = perf_counter() + SHARE * max(until - perf_counter(), 0.0)
        point, bound = part.first.raised(limit, enough=enough)
        over = part.first.failed or (part.looked_at and not len(self._undecided(part)))
        part = part._replace(bound=max(part.bound, bound), looked_at=True, over=over)
        if part.bound >= enough:
            return np.zeros(0)
        heapq.heappush(self.open, part)
        return point if part.first.least < cheaper else np.zeros(0)

    @property
    def over(self) -> bool:
        """Whether no part is left, or none with the lowest bound that could be raised."""
        return not self.open or self.open[0].over

    def _within(self, part: Part) -> Matrix:
        lower, upper = self.matrix.lower.copy(), self.matrix.upper.copy()
        lower[self.columns], upper[self.columns] = part.lower, part.upper
        return self.matrix._replace(lower=lower, upper=upper)

    def _begun(self, part: Part, enough: float, until: float) -> Part:
        """A part with cuts of its own; with the bound of its relaxation over means, if that is enough."""
        m, left = self._within(part), until - perf_counter()
        if left <= 0:
            return part
        relaxed = highs.solve(m, relaxed=True, seconds=left, presolve=False, basis=self.basis)
        if relaxed.status == "infeasible":
            return part._replace(bound=math.inf)
        if relaxed.status != "optimal":
            return part
        bound = max(part.bound, proven(self.assembly._replace(matrix=m), relaxed.duals))
        if bound >= enough:
            return part._replace(bound=bound)
        first = FirstStage(self.cuts_at(relaxed.duals), m)
        first.buys |= part.first.buys
        return part._replace(bound=bound, first=first, begun=True)

    def _undecided(self, part: Part) -> Integers:
        """Tiers that are neither signed nor out, of which the plan or the cheapest first stage signs some."""
        free = part.lower < part.upper
        for signs in (part.first.around[self.columns], part.first.of_cheapest(self.columns)):
            if len(found := np.flatnonzero(free & (signs > UNDECIDED))):
                return found
        return np.zeros(0, np.int64)

    def _parted(self, part: Part) -> list[Part]:
        """Without and with one tier more: that under which most has to be paid."""
        which = self._undecided(part)
        if not len(which):
            return []
        tier = which[self.assembly.committed.least_paid[which].argmax()]
        parts = []
        for lower, upper in ((part.lower[tier], 0.0), (1.0, part.upper[tier])):
            low, high = part.lower.copy(), part.upper.copy()
            low[tier], high[tier] = lower, upper
            self.number += 1
            parts.append(
                part._replace(number=self.number, lower=low, upper=high, begun=False, looked_at=False)
            )
        return parts

"""Parts of all plans by the tiers that they sign.

A relaxation signs parts of tiers, and has their discount on all that is spent. With a tier signed, or not
signed, it pays for it. A part is looked at with the cuts of the part that it comes from; if that is not
enough, cuts of its own are made: a cut is right for one price of what contracts count as spent, the discount
of the tiers that are signed. What is left then is parted again.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from time import perf_counter
from typing import NamedTuple

import numpy as np

from armillary.portfolio.assembly import Assembly
from armillary.portfolio.calendar import Floats
from armillary.portfolio.cuts import Cuts
from armillary.portfolio.in_out import InOut
from armillary.portfolio.records import Programme

SHARE = 0.5
"""Of the time left, what raising the bound of one part may take. [-]"""
LITTLE, MUCH = 1e-7, 1.2e-3
"""Part of the bound that a tier has to save for plans to be parted by it, and before more cuts. [-]"""


class Part(NamedTuple):
    """Plans within bounds of the tiers' columns.

    first : whose cuts its bound is by. stage : to begin cuts of its own with.
    tier, saved : to part it by, -1 for none; what it saves in the first stage of the bound.
    looked_at, own, over : whether its bound is by any cuts, by cuts at its own prices that were raised, and
    whether nothing raises it any more.
    """

    bound: float
    number: int
    lower: Floats
    upper: Floats
    first: InOut
    stage: Floats
    tier: int = -1
    saved: float = 0.0
    looked_at: bool = False
    own: bool = False
    over: bool = False


class Discounts:
    """The price of what contracts count as spent, by the tiers that are open.

    Parameters
    ----------
    programme : Programme
    assembly : Assembly
        Over means, one state a quarter.
    factor : array
        Of discounting, `[quarter]`.
    duals : array
        Of its rows, in a relaxation.
    """

    def __init__(self, programme: Programme, assembly: Assembly, factor: Floats, duals: Floats) -> None:
        m, committed = assembly.matrix, assembly.committed
        providers = list(dict.fromkeys(site.provider for site in programme.sites))
        of = np.zeros((len(committed.signed), len(factor)))
        for i, (c, k) in enumerate(zip(committed.contract, committed.tier, strict=True)):
            one = programme.contracts[c]
            of[i, one.start : one.start + 4 * one.years] = one.tiers[k].discount
        owner = np.array([providers.index(programme.contracts[c].provider) for c in committed.contract], int)
        self._of = of * factor
        self._rows = {int(p): m.row_blocks[f"list price {p}"] for p in np.unique(owner)}
        self._tiers = {p: owner == p for p in self._rows}
        self.duals, self._upper = duals, m.upper[committed.signed]

    def prices(self, lower: Floats, upper: Floats, duals: Floats | None = None) -> Floats:
        """Prices of rows with tiers within bounds, by duals of a relaxation with them if there is one.

        What is spent under a tier that is signed is worth its discount, or more where its take is missed.
        Under tiers that are open it is worth what it is in the relaxation, less as the best of them is.
        """
        prices = (self.duals if duals is None else duals).copy()
        for p, rows in self._rows.items():
            mine = self._tiers[p]
            most = self._of[mine & (self._upper > 0)].max(0, initial=0.0)
            left = self._of[mine & (upper > 0)].max(0, initial=0.0)
            prices[rows] *= np.divide(left, most, out=np.zeros(len(most)), where=most > 0)
            for one in self._of[mine & (lower > 0)]:
                prices[rows] = np.minimum(prices[rows], -one)
        return prices


class TierTree:
    """A search for what all plans cost at least.

    Parameters
    ----------
    assembly : Assembly
        Over means.
    discounts : Discounts
    cuts_at : callable
        Cuts of an assembly that begin at prices of its rows.
    root : Part
        Plans to begin with.

    Attributes
    ----------
    open : list
        Parts, that with the lowest bound first.
    first, stage : of the root.
    columns : array
        Of tiers.
    """

    def __init__(
        self,
        assembly: Assembly,
        discounts: Discounts,
        cuts_at: Callable[[Assembly, Floats], Cuts],
        root: Part,
    ) -> None:
        self.assembly, self.discounts, self.cuts_at = assembly, discounts, cuts_at
        self.columns = assembly.committed.signed
        self.first, self.stage = root.first, root.stage
        tier, saved = self._next(root)
        self.open = [root._replace(tier=tier, saved=saved)]
        self.number = 0

    @property
    def bound(self) -> float:
        """No plan costs less, but for those in parts that were left out as they cost enough."""
        return min((one.bound for one in self.open), default=math.inf)

    @property
    def over(self) -> bool:
        """Whether no part is left, or none with the lowest bound that could be raised."""
        return not self.open or self.open[0].over

    def add(self, part: Part) -> None:
        """Plans to look at, too."""
        self.number += 1
        heapq.heappush(self.open, part._replace(number=self.number))

    def step(self, enough: float, until: float) -> Part | None:
        """Look at the part with the lowest bound, make cuts of its own for it, or part it.

        It is given, with its new bound; None if it was parted.

        Parameters
        ----------
        enough : float
            Bound from which a part is of no interest. [scaled money]
        until : float
            Time limit, of the performance counter. [s]
        """
        part = heapq.heappop(self.open)
        if part.tier >= 0 and (part.own or part.saved > MUCH * abs(part.bound)):
            for one in self._parted(part):
                self.add(one)
            return None
        limit = perf_counter() + SHARE * max(until - perf_counter(), 0.0)
        if part.looked_at:
            part = self.begun(part)
            bound = part.first.raised(limit, enough=enough)
        else:
            part.first.within(self.columns, part.lower, part.upper)
            bound = part.first.looked_at(limit, enough)
        over = part.own and part.first.failed
        tier, saved = self._next(part)
        bound = max(part.bound, bound)
        part = part._replace(bound=bound, looked_at=True, tier=tier, saved=saved, over=over)
        if part.bound < enough:
            heapq.heappush(self.open, part)
        return part

    def _priced(self, part: Part) -> bool:
        """Whether the cuts that there are are right for its tiers."""
        cuts, prices = part.first.cuts, self.discounts.prices(part.lower, part.upper)
        return bool(np.array_equal(prices[cuts.listed], cuts.prices[cuts.listed]))

    def begun(self, part: Part, duals: Floats | None = None) -> Part:
        """With cuts that are right for it, from where it was."""
        first = part.first
        if part.own:
            first.within(self.columns, part.lower, part.upper)
            return part
        if duals is not None or not self._priced(part):
            prices = self.discounts.prices(part.lower, part.upper, duals)
            first = InOut(self.cuts_at(self.assembly, prices), self.assembly.matrix)
            first.go_on(part.first)
        first.within(self.columns, part.lower, part.upper)
        first.begin(part.stage)
        return part._replace(first=first, own=True)

    def _next(self, part: Part) -> tuple[int, float]:
        """The tier that is not decided and saves most in the first stage of the bound, and what it saves."""
        m, stage, cuts = self.assembly.matrix, part.first.stage, part.first.cuts
        saved = np.zeros(len(self.columns))
        for i, (_, spent) in enumerate(self.assembly.committed.spend):
            saved[i] = -float(m.cost[spent] @ stage[np.searchsorted(cuts.first, spent)])
        saved *= 1 - stage[np.searchsorted(cuts.first, self.columns)]
        saved[part.lower >= part.upper] = 0.0
        best = int(saved.argmax())
        return (best if saved[best] > LITTLE * abs(part.bound) else -1), float(saved[best])

    def _parted(self, part: Part) -> list[Part]:
        """Without and with one tier more."""
        parts = []
        for lower, upper in ((part.lower[part.tier], 0.0), (1.0, part.upper[part.tier])):
            low, high = part.lower.copy(), part.upper.copy()
            low[part.tier], high[part.tier] = lower, upper
            stage = part.first.good if len(part.first.good) else part.stage
            parts.append(Part(part.bound, 0, low, high, part.first, stage))
        return parts

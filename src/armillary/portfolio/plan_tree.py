"""A search over parts of all plans, by what they sign and open, for what all of them cost at least.

A relaxation signs parts of tiers, and has their discount on all that is spent. With a tier signed, or not
signed, it pays for it. Where opening a site costs much it opens parts of many: plans are parted by how many
they open, and by which. The part with the lowest bound is parted by what counts most in it, or cuts are made
at its first stage.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from itertools import combinations
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
FIRST = 8.0
"""Times what a tier saves that the rest of a site has to cost for plans to be parted by it first. [-]"""
SITE = 1e-3
"""Part of the bound that opening the rest of a site has to cost for plans to be parted by it. [-]"""
FEW, SETS = 2, 2000
"""Sites that are to be opened, and sets of them, up to which these are looked at one by one. [-]"""
COUNTED = 0.02
"""Distance of how many sites are opened from a whole number from which plans are parted by it. [-]"""
SLOW, STILL = 1e-5, 6
"""Rise of the bound by cuts, as a share of it, that is too little, and how often it may be. [-]"""


class Part(NamedTuple):
    """Plans within bounds of the tiers' columns.

    point : the first stage of its bound.
    by, which : what to part it by, a "tier", a "home" or a "site" and which of them, the "number" of sites or
    "sets" of them; or nothing. saved : by how much that is taken to raise its bound.
    good, least : the cheapest first stage at which cuts were made for it, and what these say that it costs.
    looked_at, rounds, still : whether it has a bound of its own, the times that cuts were made for it, and
    those that hardly raised it. over : whether nothing does.
    gain : how much the last cuts raised it.
    signed : tiers of the first stage of its bound that are signed, by more than half.
    held : homes of runs and opened sites, 1 or 0 where that is decided, NaN where not; None where none is.
    fewest, most : sites that are opened.
    without, charged : what it costs at least by the prices of its bound without any site that is not decided,
    and what each site adds to that.
    """

    bound: float
    number: int
    bounds: Bounds
    point: Point
    by: str = ""
    which: int = -1
    saved: float = 0.0
    good: Floats = np.zeros(0)
    least: float = math.inf
    looked_at: bool = False
    rounds: int = 0
    still: int = 0
    over: bool = False
    gain: float = 0.0
    signed: Floats = np.zeros(0)
    held: Floats | None = None
    fewest: float = 0.0
    most: float = math.inf
    without: float = -math.inf
    charged: Floats = np.zeros(0)


class PlanTree:
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
    settle : callable or None
        Gives what plans with decided sites cost at least, of these sites, bounds of tiers, a time limit and a
        bound that is enough; without it, cuts are made for them as for all others.
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
        # Homes, and what is opened.
        sites = assembly.opened[assembly.sites_opened]
        self._whole, self._runs = np.append(assembly.home, sites), len(assembly.home)
        self._charge = assembly.matrix.cost[sites]
        self._held = np.searchsorted(first.cuts.first, self._whole)
        # The last ones first: the others cost most.
        self.open = [Part(least, -n, bounds, first.point) for n, bounds in enumerate(parts)]
        heapq.heapify(self.open)
        self._number, self._by_home = 0, homes
        self.settle: Callable[[Floats, Bounds, float, float], float] | None = None

    @property
    def bound(self) -> float:
        """None of the plans costs less."""
        return self.open[0].bound if self.open else math.inf

    @property
    def over(self) -> bool:
        """Whether nothing raises the bound."""
        return not self.open or self.open[0].over

    def copied(self) -> PlanTree:
        """None of the parts, with cuts and a programme of its own."""
        return self._with(self.first.copied())

    def _with(self, first: InOut) -> PlanTree:
        """None of the parts, with other cuts."""
        other = PlanTree(self.assembly, first, [], self.sets, math.inf, self._by_home)
        other.settle, other._number = self.settle, self._number
        return other

    def leaf(self, signed: Floats) -> PlanTree:
        """A tree of the plans with some tiers, which this one, of one part, gives up."""
        (part,) = self.open
        lower, upper = part.bounds.lower.copy(), part.bounds.upper.copy()
        contract, self.open = self.assembly.committed.contract, []
        for tier in np.flatnonzero(lower < upper):
            least, most = lower.copy(), upper.copy()
            least[tier] = most[tier] = 1 - signed[tier]
            lower[tier] = upper[tier] = signed[tier]
            if least[contract == contract[tier]].sum() <= 1:  # no plan signs two tiers of a contract
                bounds = part.bounds._replace(lower=least, upper=most)
                self.open.append(self._of(part)._replace(bounds=bounds))
        heapq.heapify(self.open)
        return self.alone(signed, part.bound)

    def alone(self, signed: Floats, bound: float = -math.inf) -> PlanTree:
        """A tree of the plans with some tiers, which this one may have, too."""
        bounds = Bounds(signed, signed, np.zeros(len(self.sets)))
        return self.repriced(Part(bound, 0, bounds, self.first.point, good=self.first.good))

    def overpriced(self, part: Part) -> float:
        """By how much cuts count what is spent as worth more than tiers of a part make it. [scaled money]"""
        cuts = self.first.cuts
        most = cuts.takes.most(part.bounds.lower, part.bounds.upper)
        return float(np.maximum(-cuts.priced[cuts.listed] - most, 0.0) @ cuts.spent)

    def repriced(self, part: Part) -> PlanTree:
        """A tree of a part with what is spent priced at no more than its tiers make it worth."""
        most = self.first.cuts.takes.most(part.bounds.lower, part.bounds.upper)
        other = self._with(self.first.repriced(most))
        other.open = [part._replace(least=math.inf, still=0, over=False)]
        return other

    def give_up(self, part: Part) -> None:
        """A part is in another tree from here on."""
        self.open = [one for one in self.open if one.number != part.number]
        heapq.heapify(self.open)

    def halved(self, enough: float) -> PlanTree | None:
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
        opened = self._decided(part) if self.settle else None
        if self.settle and opened is not None:
            bound = self.settle(opened, part.bounds, until, enough)
            part = part._replace(bound=max(part.bound, bound), over=bound < enough)
            heapq.heappush(self.open, part)
            return part
        if part.looked_at and part.by and part.saved > worth:
            parts = self._parted(part)
        elif part.looked_at:
            self.first.fine = part.still > 0
            good, least = self.first.cut(part.point, part.good, part.least)
            self.first.fine = False
            parts = [part._replace(good=good, least=least, rounds=part.rounds + 1)]
        if part.by != "sets" or len(parts) == 1:  # they wait until their bound is the lowest
            parts = [self._looked_at(one, until, enough) for one in parts]
        for one in parts:
            heapq.heappush(self.open, one)
        return min(parts)

    def begin(
        self, part: Bounds, until: float, slow: float, enough: float = math.inf, close: float = 0.0
    ) -> None:
        """Make cuts, from a first stage on, for a part or for more, until its bound rises slowly.

        Parameters
        ----------
        part : Bounds
        until, slow, enough, close
            As of `InOut.raised`: time limit [s], rise that is slow [-], bound that is enough [scaled money],
            and how near the cheapest first stage is where it ends (`near`) [-].
        """
        self.within(part)
        self.first.rising = True
        self.first.begin(self.first.point.stage)
        bound = self.first.raised(until, close, enough, slow, far=True)
        self.first.rising = False
        self.open = [
            one._replace(bound=bound if one.bounds is part else one.bound, good=self.first.good)
            for one in self.open
        ]

    def within(
        self, part: Bounds, held: Floats | None = None, fewest: float = 0.0, most: float = math.inf
    ) -> None:
        """Look at plans of a part from here on, with homes, sites and their number where that is decided."""
        self.first.within(self.columns, part.lower, part.upper)
        self.first.ask(part.signed)
        m, whole = self.assembly.matrix, self._whole
        held = np.full(len(whole), np.nan) if held is None else held
        free = np.isnan(held)
        self.first.within(whole, np.where(free, m.lower[whole], held), np.where(free, m.upper[whole], held))
        self.first.count(fewest, min(most, float(len(self._charge))))

    def _decided(self, part: Part) -> Floats | None:
        """Which sites are opened, where that is decided for all of them."""
        free, opened = self._free(part), np.zeros(len(self._charge))
        if part.held is not None:
            opened = np.where(free, 0.0, part.held[self._runs :])
        held = float(opened.sum())
        if part.fewest >= held + free.sum():
            return np.where(free, 1.0, opened)
        return opened if part.most <= held or not free.any() else None

    def _looked_at(self, part: Part, until: float, enough: float) -> Part:
        self.within(part.bounds, part.held, part.fewest, part.most)
        self.first.go_to(part.point.place)
        bound = self.first.looked_at(until, enough)
        if bound == -math.inf:
            return part._replace(over=self.first.failed)
        if bound >= enough:
            return part._replace(bound=max(part.bound, bound))
        by, which, saved = self._next(part, bound)
        charged = self.first.reduced[self._held[self._runs :]]
        saved_by = np.minimum(charged, 0.0)[self._free(part)]
        still = part.still + (part.rounds > 0 and bound < part.bound + SLOW * abs(part.bound))
        return part._replace(
            bound=max(part.bound, bound), point=self.first.point, by=by, which=which, saved=saved,
            looked_at=True, gain=bound - part.bound, still=still, over=still >= STILL and not by,
            signed=np.round(self.first.stage[self._places]) + 0.0,  # no -0
            without=self.first.proved - float(saved_by.sum()), charged=charged,
        )  # fmt: skip

    def _free(self, part: Part) -> Bools:
        """Which sites are not decided."""
        if part.held is None:
            return np.ones(len(self._charge), bool)
        return np.isnan(part.held[self._runs :])

    def _next(self, part: Part, bound: float) -> tuple[str, int, float]:
        """What to part plans by in the first stage of the bound, and what it costs.

        Where one of a set has to be signed, the tier that is signed most; then the tier that saves most, or
        sites, if opening the rest of one costs several times that; then homes of runs.
        """
        m, stage, cuts, tiers = self.assembly.matrix, self.first.stage, self.first.cuts, part.bounds
        signed = stage[self._places]
        for asked, several in zip(tiers.signed, self.sets, strict=True):
            if asked > 0 and not (tiers.lower[several] > 0).any():
                most = int(np.where(several & (tiers.upper > 0), signed, -1.0).argmax())
                if tiers.lower[most] < tiers.upper[most] and signed[most] < 1 - WHOLE:
                    return "tier", most, math.inf
        saved = np.zeros(len(self.columns) + 1)
        for i, (_, spent) in enumerate(self.assembly.committed.spend):
            saved[i] = -float(m.cost[spent] @ stage[np.searchsorted(cuts.first, spent)])
        saved[:-1] *= (1 - signed) * (tiers.lower < tiers.upper)
        best = int(saved.argmax())
        opened = stage[self._held[self._runs :]]
        rest = np.append(np.minimum(opened, 1 - opened) * self._charge, 0.0)
        site = int(rest.argmax())
        if rest[site] > max(FIRST * saved[best], SITE * abs(bound)):
            return self._by_sites(part, opened), site, float(rest[site])
        if saved[best] > LITTLE * abs(bound):
            return "tier", best, float(saved[best])
        # Runs that are at several places: at the one where they are most, or not there.
        home = stage[self._held[: self._runs]]
        parts = np.where((home > WHOLE) & (home < 1 - WHOLE), home, 0.0)
        if self._by_home and parts.any():
            return "home", int(parts.argmax()), HOME * abs(bound)
        return "", -1, 0.0

    def _by_sites(self, part: Part, opened: Floats) -> str:
        """How to part plans by sites: by how many there are, as sets of few, or by one of them."""
        number = float(opened.sum())
        fixed = part.fewest == part.most == round(number)
        if abs(number - round(number)) > COUNTED or not fixed:
            return "number"
        return "sets" if self._few(part) else "site"

    def _few(self, part: Part) -> range | None:
        """How many more sites are opened, where few sets of few may be."""
        free = int(self._free(part).sum())
        opened = 0 if part.held is None else int((part.held[self._runs :] == 1).sum())
        if part.most - opened > FEW:
            return None
        sizes = range(max(int(part.fewest) - opened, 0), int(part.most) - opened + 1)
        return sizes if sum(math.comb(free, k) for k in sizes) <= SETS else None

    def _of(self, part: Part) -> Part:
        """A part of a part, that was not looked at."""
        self._number += 1
        return Part(
            part.bound, self._number, part.bounds, part.point, held=part.held, fewest=part.fewest,
            most=part.most, good=part.good,
        )  # fmt: skip

    def _parted(self, part: Part) -> list[Part]:
        """Parts that have all plans of a part between them."""
        if part.by == "sets":
            return self._in_sets(part)
        if part.by == "number":
            return self._by_number(part)
        parts = []
        for signed in (0.0, 1.0):
            one = self._of(part)
            if part.by == "tier":
                lower, upper = part.bounds.lower.copy(), part.bounds.upper.copy()
                lower[part.which] = upper[part.which] = signed
                parts.append(one._replace(bounds=part.bounds._replace(lower=lower, upper=upper)))
            else:
                held = np.full(len(self._whole), np.nan) if part.held is None else part.held.copy()
                held[part.which + (self._runs if part.by == "site" else 0)] = signed
                parts.append(one._replace(held=held))
        return parts

    def _by_number(self, part: Part) -> list[Part]:
        """With fewer and more sites than there are; and with as many, if that is a whole number."""
        number = float(part.point.stage[self._held[self._runs :]].sum())
        below, above = math.floor(number + COUNTED), math.ceil(number - COUNTED)
        ends = [(part.fewest, below), (above, part.most)]
        if below == above:
            ends = [(part.fewest, below - 1), (below, below), (above + 1, part.most)]
        return [self._of(part)._replace(fewest=a, most=b) for a, b in ends if a <= b]

    def _in_sets(self, part: Part) -> list[Part]:
        """A part for each set of sites, with what the prices of its bound say that it costs at least."""
        sizes, free = self._few(part), np.flatnonzero(self._free(part))
        assert sizes is not None
        held = np.full(len(self._whole), np.nan) if part.held is None else part.held
        parts = []
        for chosen in (list(c) for size in sizes for c in combinations(free.tolist(), size)):
            one = held.copy()
            one[self._runs + free] = 0.0
            one[self._runs + np.array(chosen, int)] = 1.0
            bound = max(part.bound, part.without + float(part.charged[chosen].sum()))
            parts.append(self._of(part)._replace(bound=bound, held=one))
        return parts

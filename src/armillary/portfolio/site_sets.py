"""Sets of sites: what plans cost at least that open these and no other, and plans of those that are cheap.

A relaxation opens parts of many sites. With all of them decided, most columns are gone: a relaxation over the
means of futures takes some milliseconds, and already costs too much for most sets. For the others cuts are
made over their sites alone, which take a few hundredths of a second each.
"""

from __future__ import annotations

import math
from threading import Lock
from time import perf_counter

import numpy as np

from armillary.portfolio import highs
from armillary.portfolio.assembly import Assembly
from armillary.portfolio.bounds import TOLERANCE, lagrange, proven
from armillary.portfolio.calendar import Floats
from armillary.portfolio.draft import Kept
from armillary.portfolio.in_out import InOut
from armillary.portfolio.plan_tree import PlanTree
from armillary.portfolio.planning import cuts_of, plan_near
from armillary.portfolio.rounding import changes, narrowed
from armillary.portfolio.rounds import Rounds
from armillary.portfolio.tier_parts import Bounds, priced

SLOW = 3e-4
"""Rise of the bound in a round, as a share of it, where cuts before plans are parted are over. [-]"""
LIKELY = 20
"""Sites that are exchanged: those that a relaxation opens most, then those that cost least. [-]"""
ALIKE = 0.015
"""How much more a set may cost over means than that of the best plan to be looked at, as a share. [-]"""
SEARCH_SHARE = 0.3
"""Of the time left, what a search over all futures may take where cuts do not say enough of a set. [-]"""
TIMES = 3
"""Rounds that hardly raised the bound of a set after a plan was made, where it is left at that. [-]"""


class SiteSets:
    """Sets of sites of a programme.

    Parameters
    ----------
    rounds : Rounds
    means : Assembly
        Over one state a quarter.
    planning : Lock
        Of who makes plans.
    """

    def __init__(self, rounds: Rounds, means: Assembly, planning: Lock) -> None:
        self.rounds, self.means, self.planning = rounds, means, planning
        m, signed = means.matrix, means.committed.signed
        self.every = Bounds(m.lower[signed], m.upper[signed], np.zeros(0))
        self._known: dict[bytes, float] = {}

    def settled(self, opened: Floats, tiers: Bounds, until: float, enough: float) -> float:
        """What plans with a set of sites cost at least; plans are made where that is cheap.

        Parameters
        ----------
        opened : array
            1 for sites that are opened, 0 for others.
        tiers : Bounds
            Of the tiers' columns.
        until : float
            Time limit, of the performance counter. [s]
        enough : float
            Bound from which a set is of no interest. [scaled money]
        """
        known = self._known.get(opened.tobytes(), -math.inf)
        if known >= enough:
            return known
        bound = self.over_means(opened, tiers, until, enough)
        if bound < enough:
            bound = max(bound, self._cut(opened, tiers, until, enough))
        if tiers is self.every:
            self._known[opened.tobytes()] = bound
        return max(bound, known)

    def over_means(self, opened: Floats, tiers: Bounds, until: float, enough: float = math.inf) -> float:
        """What they cost at least over the means of futures; no more than `enough` is looked for."""
        rounds, left = self.rounds, max(until - perf_counter(), 1.0)
        held = self._holding(self.means, opened, tiers).matrix
        part, _ = narrowed(rounds.programme, rounds.arrays, self.means, held.lower, held.upper)
        found = highs.solve(part, relaxed=True, seconds=left, presolve=False, enough=enough)
        if found.status == "infeasible":
            return math.inf
        if found.status == "enough":
            return enough if lagrange(part, found.duals) >= enough * (1 - TOLERANCE) else -math.inf
        return found.value if found.status == "optimal" else -math.inf

    def moved(self, relaxed: Floats, until: float) -> None:
        """Close, exchange or open one site at a time in the best plan, as long as that is cheaper."""
        rounds, m, better = self.rounds, self.means.matrix, True
        order = np.lexsort((m.cost[m.blocks["opened"]], -relaxed[m.blocks["opened"]]))[:LIKELY]
        while better and rounds.best is not None and perf_counter() < until:
            best, sets = rounds.best, list[tuple[float, bytes]]()
            opened = np.round(best.x[best.assembly.matrix.blocks["opened"]]) + 0.0  # no -0
            most = (1 + ALIKE) * self.over_means(opened, self.every, until)
            for change in changes(opened, order):
                other = opened.copy()
                other[list(change)] = list(change.values())
                if other.tobytes() not in self._known and perf_counter() < until:
                    sets.append((self.over_means(other, self.every, until, most), other.tobytes()))
            better = False
            for value, key in sorted(sets):
                if value < most and not better and perf_counter() < until:
                    enough = rounds.value * (1 - rounds.gap)
                    self.settled(np.frombuffer(key), self.every, until, enough)
                    better = rounds.best is not best

    def _holding(self, assembly: Assembly, opened: Floats, tiers: Bounds) -> Assembly:
        """An assembly with sites held."""
        m, signed = assembly.matrix, assembly.committed.signed
        lower, upper = m.lower.copy(), m.upper.copy()
        lower[signed] = np.maximum(lower[signed], tiers.lower)
        upper[signed] = np.minimum(upper[signed], tiers.upper)
        lower[m.blocks["opened"]] = upper[m.blocks["opened"]] = opened
        return assembly._replace(matrix=m._replace(lower=lower, upper=upper))

    def _cut(self, opened: Floats, tiers: Bounds, until: float, enough: float) -> float:
        """What they cost at least by cuts over their sites."""
        rounds, kept = self.rounds, self._kept(opened)
        few = self._holding(rounds.assembled(rounds.sizes[0], kept), opened, tiers)
        relaxed = highs.solve(few.matrix, relaxed=True, seconds=max(until - perf_counter(), 1.0))
        if relaxed.status == "infeasible":
            return math.inf
        if relaxed.status != "optimal":
            return -math.inf
        prices = priced(rounds.programme, few, rounds.arrays.factor, relaxed.duals, tiers)
        none = np.zeros((0, len(tiers.lower)), bool)
        first = InOut(cuts_of(rounds, few, prices), few.matrix, none)
        first.put(relaxed.x[first.cuts.first])
        tree = PlanTree(few, first, [tiers._replace(signed=np.zeros(0))], none, proven(few, relaxed.duals))
        tree.begin(tree.open[0].bounds, until, SLOW, enough)
        while tree.bound < enough and not tree.over and perf_counter() < until:
            part = tree.step(until, enough)
            if not part.by and part.still > 0 and part.bound < enough:
                with self.planning:
                    plan_near(rounds, tree, part.signed, part.held)
                enough = min(enough, rounds.value * (1 - rounds.gap))
                if part.still > TIMES:
                    break
        # What cuts leave out may be what is left: whether each run has its cluster or nothing in a future.
        left = SEARCH_SHARE * (until - perf_counter())
        if tree.bound >= enough or left <= 0:
            return tree.bound
        whole = self._holding(rounds.assembled(rounds.nodes.size, kept), opened, tiers)
        found = highs.solve(whole.matrix, seconds=left, gap=rounds.gap / 2)
        if found.status == "infeasible":
            return math.inf
        if len(found.x):
            with self.planning:
                rounds.choose(whole, found.x)
                rounds.priced_in_all(whole, found.x, kept)
        return max(tree.bound, found.bound)

    def _kept(self, opened: Floats) -> Kept:
        """What is kept at sites that are opened, or that cost nothing to open."""
        there = np.ones(len(self.rounds.arrays.opening), bool)
        there[self.means.sites_opened] = opened > 0.5
        return self.rounds.kept_at(there)

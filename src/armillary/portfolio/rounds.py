"""What rounds know of a large programme: the best plan, the highest bound, what is chosen in plans, prices.

They make plans of what is chosen, and price them in every future.
"""

from __future__ import annotations

from time import perf_counter
from typing import NamedTuple

import numpy as np

from armillary.portfolio import highs
from armillary.portfolio.arrays import Arrays
from armillary.portfolio.assembly import Assembly, assemble
from armillary.portfolio.calendar import Floats
from armillary.portfolio.carrying import carried
from armillary.portfolio.dominance import undominated
from armillary.portfolio.draft import Kept
from armillary.portfolio.grouping import labelled
from armillary.portfolio.matrix import Bools
from armillary.portfolio.plan import gap as gap_of
from armillary.portfolio.plan import objective
from armillary.portfolio.records import Programme
from armillary.portfolio.recourse import by_future, holds, recourse
from armillary.portfolio.rounding import FIRST, open_sites, rounded
from armillary.portfolio.states import States, exact, states

STATES = (1, 3, 6, 10, 16, 24, 40, 64, 100)
"""States of a quarter on average, by round. [-]"""
WHOLE = 100_000
"""Columns of use up to which plans are over all sites, so that the whole can be searched in the end. [-]"""
ROUNDED = 1e-9
"""By which a gap that is just reached may seem to be more. [-]"""
GROWTH = 1.7
"""Power of the number of columns that the time of a linear programme goes with, about. [-]"""
CHARGED = 0.01
"""Part of all cost that opening a site may be for plans to be made without looking at sets of sites. [-]"""
LEAST = 60.0
"""A plan is looked for this long, whatever the limit. [s]"""
REFINE_SHARE = 0.25
"""Of the time left, what planning over more states may take. [-]"""


class Best(NamedTuple):
    """The best plan of the rounds, over an exact assembly; value and bound in scaled money.

    every : whether the assembly has all that a plan may use; else only what is at the plan's own sites.
    """

    assembly: Assembly
    x: Floats
    value: float
    bound: float
    finished: bool
    every: bool


class Rounds:
    """What is known, until a gap or a time.

    kept : what is not dominated.
    nodes : a state for each node of the futures' tree.
    sizes : numbers of states, by round.
    every : whether plans are over all sites.
    chosen, homes : sites, tiers and rights of the last plan; networks of its runs.
    prices : of demand in it, `[stream, quarter, future]`.
    basis : of the first relaxation.
    charge : part of all cost that opening a site is, half of them less and half of them more. [-]
    pricing : seconds that the last plan took.
    priced : choices that were tried.
    """

    def __init__(self, programme: Programme, arrays: Arrays, gap: float, until: float) -> None:
        self.programme, self.arrays, self.gap, self.until = programme, arrays, gap, until
        self.kept = Kept(*undominated(programme, arrays))
        self.nodes = exact(programme.futures)
        self.every = int(self.kept.pairs.sum()) * self.nodes.size <= WHOLE
        self.best: Best | None = None
        self.bound = -np.inf
        self.homes = np.full(len(arrays.floor), -1)
        self.chosen: dict[str, Floats] = {}
        self.prices: Floats | None = None
        self.pace = self.slow = self.pricing = 0.0
        self.counting, self.charge = False, 0.0
        self.basis: highs.Basis | None = None
        self.tried: set[bytes] = set()
        self.priced: set[bytes] = set()
        quarters = programme.calendar.quarters
        fewer = (min(quarters * each, self.nodes.size) for each in STATES)
        self.sizes = sorted({*fewer, self.nodes.size})

    @property
    def charged(self) -> bool:
        """Whether opening a site costs so much that sets of sites are looked at."""
        return self.charge > CHARGED

    @property
    def value(self) -> float:
        """Of the best plan. [scaled money]"""
        return self.best.value if self.best else np.inf

    def left(self) -> float:
        """Until the time limit. [s]"""
        return self.until - perf_counter()

    def finished(self) -> bool:
        """Whether the plan is proven."""
        return gap_of(self.value, self.bound) <= self.gap * (1 + ROUNDED)

    def raise_bound(self, bound: float) -> None:
        """No plan costs less than any bound that was proven."""
        self.bound = min(max(self.bound, bound), self.value)
        if self.best:
            self.best = self.best._replace(bound=self.bound, finished=self.finished())

    def assembled(self, size: int, kept: Kept | None = None) -> Assembly:
        """Over at most so many states, with all that is not dominated or what is given."""
        programme, arrays, kept = self.programme, self.arrays, kept or self.kept
        return assemble(programme, arrays, self.states(size), kept, self.value)

    def states(self, size: int) -> States:
        """At most so many."""
        if size >= self.nodes.size:
            return self.nodes
        return states(self.programme.futures, labelled(self.programme, self.arrays, size, self.prices))

    def held(self, assembly: Assembly) -> dict[str, Floats]:
        """What is chosen, as blocks of an assembly."""
        home = self.homes[assembly.home_stream] == assembly.home_network
        return {**self.chosen, "home": home.astype(float)}

    def is_new(self, assembly: Assembly, point: Floats) -> bool:
        """Whether what is chosen in a point was not priced, or asked for, before."""
        if not len(point):
            return False
        blocks = (assembly.matrix.blocks[name] for name in FIRST)
        chosen = b"".join(np.round(point[block]).tobytes() for block in blocks)
        known = chosen in self.priced
        self.priced.add(chosen)
        return not known

    def kept_at(self, there: Bools) -> Kept:
        """What is kept at some sites."""
        arrays, kept = self.arrays, self.kept
        return Kept(kept.pairs & there[arrays.site[arrays.pair_offer]], kept.offers & there[arrays.site])

    def choose(self, coarse: Assembly, point: Floats) -> None:
        """Remember what is chosen in a point."""
        m = coarse.matrix
        self.chosen = {name: np.round(point[m.blocks[name]]) for name in FIRST if name != "home"}
        used = point[coarse.home] > 0.5
        self.homes[:] = -1
        self.homes[coarse.home_stream[used]] = coarse.home_network[used]

    def refined(self, coarse: Assembly, point: Floats, share: float = REFINE_SHARE) -> None:
        """Plan over as many states as there is time for, binaries held; price it in all futures."""
        began = perf_counter()
        self.choose(coarse, point)
        kept = self.kept
        if not self.every:
            kept = self.kept_at(open_sites(self.arrays, coarse, point))
        found, x = (coarse, point) if self.every else self.finer(coarse.states.size, kept, share)
        if len(x):
            self.priced_in_all(found, x, kept)
        self.pricing = perf_counter() - began

    def priced_in_all(self, found: Assembly, x: Floats, kept: Kept) -> None:
        """Price the first stage of a point in all futures: it may be the best plan."""
        programme, arrays = self.programme, self.arrays
        whole = self.assembled(self.nodes.size, kept)
        outcome = recourse(programme, arrays, whole, by_future(programme, whole), carried(found, x, whole))
        if not outcome.feasible or not holds(whole, outcome.x):
            return
        value = objective(programme, arrays, whole, outcome.x)
        if value < self.value:
            self.best = Best(whole, outcome.x, value, self.bound, False, kept is self.kept)
            self.raise_bound(self.bound)
        rows = whole.matrix.row_blocks["demand"]
        prices = outcome.prices[rows].reshape(whole.demand.shape) / whole.states.probability
        self.prices = prices[:, whole.states.of]

    def finer(self, size: int, kept: Kept, share: float) -> tuple[Assembly, Floats]:
        """The plan with what is chosen over the next number of states, then over as many as time allows."""
        sizes = [n for n in self.sizes if n > size and share > 0] or [size]
        while True:
            began = perf_counter()
            fine = self.assembled(sizes[0], kept)
            x = rounded(self.programme, self.arrays, fine, None, self.held(fine))
            took = perf_counter() - began
            most = share * self.left()
            more = [n for n in sizes[1:] if took * (n / sizes[0]) ** GROWTH < most]
            if not more or not len(x):
                return fine, x
            sizes = more[-1:]

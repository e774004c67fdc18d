"""Cuts bound all plans, say what to choose in a plan, and make it of what is chosen."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from threading import Lock
from time import perf_counter, sleep

import numpy as np

from armillary.portfolio import highs
from armillary.portfolio.assembly import Assembly
from armillary.portfolio.bounds import proven
from armillary.portfolio.calendar import Floats
from armillary.portfolio.carrying import keys, purchased, purchases_of
from armillary.portfolio.cuts import Cuts
from armillary.portfolio.grouping import labelled
from armillary.portfolio.in_out import InOut
from armillary.portfolio.matrix import Bools, Matrix
from armillary.portfolio.rounding import narrowed, open_sites, tiers_of
from armillary.portfolio.rounds import LEAST, Rounds
from armillary.portfolio.tier_moves import moved
from armillary.portfolio.tier_parts import Bounds, nested, priced
from armillary.portfolio.tier_tree import TierTree

SHORT = 6.0
"""Times the time of a relaxation that are too little to look at all plans before one is made. [-]"""
ROOT_SHARE, HELD_SHARE, MOVE_SHARE = 0.25, 0.3, 0.3
"""Of the time left, what cuts before plans are parted, and making one, may take. [-]"""
ROOT_SLOW, WIDE_SLOW, PLAN_SLOW = 3e-4, 3e-3, 3e-5
"""Rise of a bound in a round, as a share, where cuts are over: of plans that seem to be best, of others, and
of what is chosen in a plan. [-]"""
WHOLE = ("home", "opened", "rights")
"""Blocks of columns that are made whole for a plan whose tiers are decided, places of runs first."""
PAUSE = 0.05
"""Between looks at whether there is anything to do. [s]"""
AGAIN = 2.5
"""Times the time of a plan that have to be left for another. [-]"""
BETTER = 0.002
"""By which a first stage has to be cheaper than the best plan for a plan to be made of it. [-]"""
WORTH = 5e-4
"""By which whole sites have to be cheaper than the best plan for a plan to be made of them. [-]"""
NEAR = 3e-4
"""How near a plan is to the bound of what is chosen in it where it is good enough. [-]"""
GROUPS = 8
"""Groups of futures in a quarter that share cuts. [-]"""


def planned_and_bounded(
    rounds: Rounds, coarse: Assembly, relaxed: highs.Solved, rough: Callable[[], Floats]
) -> None:
    """Cuts bound all plans, say what to choose in a plan, and make it of what is chosen.

    Parameters
    ----------
    rounds : Rounds
        Of which the next relaxation takes too long.
    coarse : Assembly
        Of the last relaxation.
    relaxed : Solved
        What it gave.
    rough : callable
        A point of it with whole binaries: a plan is made of it where there is little time, or no other.
    """
    from armillary.portfolio.responses import compiled  # numba is imported where it is used

    rounds.until += compiled()  # once: no plan is worse for it
    if rounds.best is None and rounds.left() < SHORT * rounds.slow and len(point := rough()):
        began = perf_counter()
        _plan_of(rounds, coarse, point)
        rounds.pricing = perf_counter() - began
    if rounds.best is None or rounds.left() > rounds.slow:
        _searched(rounds, coarse, relaxed)
    if rounds.best is None and len(point := rough()):
        _plan_of(rounds, coarse, point)


def _searched(rounds: Rounds, coarse: Assembly, relaxed: highs.Solved) -> None:
    """Look at all plans in two trees of parts, each in a thread, and make plans of their cheapest parts.

    One is of plans with the large tiers that what the relaxation spends would pay for, the other of the rest.
    """
    means = coarse
    if coarse.states.size > rounds.sizes[0]:
        means, left = rounds.assembled(rounds.sizes[0]), max(rounds.left(), 1.0)
        relaxed = highs.solve(means.matrix, relaxed=True, seconds=left, presolve=False, basis=rounds.basis)
        if relaxed.status == "infeasible":  # nothing is cheaper than what is known
            rounds.raise_bound(rounds.value)
        if relaxed.status != "optimal":
            return
    wanted = tiers_of(rounds.programme, rounds.arrays, means, relaxed.x) > 0
    with ThreadPoolExecutor(2) as both:
        trees = _Trees(rounds, means, relaxed, wanted)
        running = [both.submit(trees.of_near), both.submit(trees.of_others)]
        try:
            for one in as_completed(running):
                one.result()
        except BaseException:
            rounds.until = perf_counter()  # what still runs ends, too
            raise


class _Trees:
    """What two threads do, each with trees of its own; one at a time makes plans.

    trees : of each thread. bounds : of what is in them. asking : which thread has nothing of interest left.
    guessed : tiers that seem to be best. least : what the cheapest first stage with them costs, about.
    """

    def __init__(self, rounds: Rounds, means: Assembly, relaxed: highs.Solved, wanted: Bools) -> None:
        self.rounds, self.means, self.relaxed = rounds, means, relaxed
        self.parts = nested(means, wanted)
        least = proven(means, relaxed.duals)
        self.trees: tuple[list[TierTree], list[TierTree]] = [], []
        self.bounds, self.asking = [least, least], [False, False]
        self.least, near = math.inf, self.parts.near
        self.guessed = np.clip(wanted.astype(float), near.lower, near.upper)
        self.sharing, self.planning, self.planned = Lock(), Lock(), set[bytes]()
        rounds.raise_bound(least)

    def of_near(self) -> None:
        """Raise the bound of plans with the tiers that seem to be best, and make plans of them."""
        rounds, means, relaxed, near = self.rounds, self.means, self.relaxed, self.parts.near
        m, tiers = means.matrix, means.committed.signed
        if (near.lower > m.lower[tiers]).any():
            lower, upper = m.lower.copy(), m.upper.copy()
            lower[tiers], upper[tiers] = near.lower, near.upper
            held, left = m._replace(lower=lower, upper=upper), max(rounds.left(), 1.0)
            found = highs.solve(held, relaxed=True, seconds=left, presolve=False, basis=rounds.basis)
            relaxed = found if found.status == "optimal" else relaxed
        prices = priced(rounds.programme, means, rounds.arrays.factor, relaxed.duals, near)
        tree = self.tree(prices, [near], relaxed.x)
        tree.begin(near, perf_counter() + ROOT_SHARE * rounds.left(), ROOT_SLOW)
        self.least = tree.first.least
        mine = tree.copied()
        with self.sharing:  # the other thread goes on with it
            self.bounds[0] = math.inf
            self.get(1, tree)
        with self.planning:
            self.plan(mine, self.guessed)
        self.search(0)

    def of_others(self) -> None:
        """Raise the bound of all other plans."""
        rounds, wide, others = self.rounds, self.parts.wide, self.parts.others
        if others:
            factor, duals = rounds.arrays.factor, self.relaxed.duals
            prices = priced(rounds.programme, self.means, factor, duals, wide, every=True)
            tree = self.tree(prices, others, self.relaxed.x)
            tree.first.apart = True
            tree.begin(wide, perf_counter() + ROOT_SHARE * rounds.left(), WIDE_SLOW)
            with self.sharing:
                self.get(1, tree)
            signed = moved(tree, self.guessed, perf_counter() + MOVE_SHARE * rounds.left())
            if (signed != self.guessed).any():
                with self.planning:
                    if rounds.best is None or self.again():
                        self.plan(tree, signed)
        self.search(1)

    def tree(self, prices: Floats, parts: list[Bounds], x: Floats) -> TierTree:
        """Parts with cuts at some prices, from a point of a relaxation on."""
        cuts = _cuts(self.rounds, self.means, prices)
        first = InOut(cuts, self.means.matrix, self.parts.sets)
        first.put(x[cuts.first])
        return TierTree(self.means, first, parts, self.parts.sets, self.bounds[0])

    def search(self, number: int) -> None:
        """Raise the bound of all plans until it is of no interest; make plans of parts that are cheap."""
        rounds = self.rounds
        while rounds.left() > 0 and not rounds.finished():
            # As long as there is no plan, its bound is what is asked for.
            enough = rounds.value * (1 - rounds.gap) if rounds.best else self.least
            with self.sharing:
                trees = self.of_interest(number, enough)
                self.asking[number] = not trees
                # The other may have asked before there was a plan, when less was of interest.
                over = all(self.asking) and not self.of_interest(1 - number, enough)
            if over:
                break
            if not trees:
                sleep(PAUSE)
                continue
            tree = min(trees, key=lambda one: one.bound)
            part = tree.step(rounds.until, enough)
            with self.sharing:
                self.bounds[number] = min(one.bound for one in self.trees[number])
                if self.asking[1 - number]:
                    self.give(number, tree, enough)
            # Nothing is undecided, and cuts hardly raise its bound.
            leaf = part.tier < 0 and part.still > 0
            if leaf and self.planning.acquire(blocking=False):
                try:
                    if part.bound < rounds.value * (1 - BETTER) and self.again():
                        self.plan(tree, part.signed)
                finally:
                    self.planning.release()
            self.prove()
        self.prove()

    def of_interest(self, number: int, enough: float) -> list[TierTree]:
        """Trees of a thread with a bound that is too low, and can be raised."""
        return [one for one in self.trees[number] if one.bound < enough and not one.over]

    def get(self, number: int, tree: TierTree) -> None:
        """A thread gets a tree."""
        self.trees[number].append(tree)
        self.bounds[number] = min(self.bounds[number], tree.bound)
        self.asking[number] = False

    def give(self, number: int, mine: TierTree, enough: float) -> None:
        """A thread gives away a tree other than one that it goes on with, or else half of that."""
        trees = [one for one in self.of_interest(number, enough) if one is not mine]
        if trees:
            self.trees[number].remove(trees[0])
            self.get(1 - number, trees[0])
        elif (other := mine.halved(enough)) is not None:
            self.get(1 - number, other)

    def again(self) -> bool:
        """Whether there is time for another plan."""
        return self.rounds.left() > AGAIN * self.rounds.pricing

    def plan(self, tree: TierTree, signed: Floats) -> None:
        """Make a plan with some tiers, if none was made; one at a time (`planning`)."""
        if signed.tobytes() not in self.planned:
            self.planned.add(signed.tobytes())
            _plan_near(self.rounds, tree, signed)

    def prove(self) -> None:
        """Say what was proven, unless a plan is being made: it will be said then."""
        if self.planning.acquire(blocking=False):
            try:
                with self.sharing:
                    least = min(self.bounds)
                self.rounds.raise_bound(least)
            finally:
                self.planning.release()


def _plan_near(rounds: Rounds, tree: TierTree, signed: Floats) -> None:
    """A plan near the cheapest first stage with some tiers, with whole sites, homes and rights."""
    began = perf_counter()
    until = began + HELD_SHARE * max(rounds.left(), LEAST if rounds.best is None else 0.0)
    means, m, first = tree.assembly, tree.assembly.matrix, tree.first
    places, *charged = (np.arange(m.blocks[name].start, m.blocks[name].stop) for name in WHOLE)
    whole = np.concatenate([places, *charged])
    near = np.zeros(len(m.cost))
    tree.within(Bounds(signed, signed, np.zeros(len(tree.sets))))
    if first.whole(places, np.concatenate(charged), until):
        near[first.cuts.first] = first.stage
        if rounds.is_new(means, near):
            first.fine = first.apart
            first.begin(first.stage)
            if first.raised(until, NEAR, slow=PLAN_SLOW) < rounds.value * (1 - WORTH):
                near[first.cuts.first] = first.good if len(first.good) else first.stage
                _plan_of(rounds, means, near, purchased(means, near))
    first.fine = False
    first.within(whole, m.lower[whole], m.upper[whole])
    rounds.pricing = max(rounds.pricing, perf_counter() - began)


def _cuts(rounds: Rounds, assembly: Assembly, prices: Floats) -> Cuts:
    """Cuts that begin at prices of an assembly's rows, shared by futures of a quarter with like demand."""
    size = min(GROUPS * rounds.programme.calendar.quarters, rounds.nodes.size)
    label = labelled(rounds.programme, rounds.arrays, size, rounds.prices)
    return Cuts(rounds.programme, rounds.arrays, assembly, prices, label)


def _plan_of(
    rounds: Rounds, coarse: Assembly, point: Floats, bought: dict[tuple[int, ...], float] | None = None
) -> None:
    """A plan of what is chosen in a point, priced in all futures; by default, cuts find what it buys."""
    rounds.choose(coarse, point)
    kept = rounds.kept_at(open_sites(rounds.arrays, coarse, point))
    few = rounds.assembled(rounds.sizes[0], kept)
    m = _holding(rounds, few)
    if bought is None:
        means = highs.solve(m, relaxed=True)
        if not len(means.x):
            return
        left = max(rounds.left(), LEAST if rounds.best is None else 0.0)
        first = InOut(_cuts(rounds, few, means.duals), m)
        first.begin(means.x[first.cuts.first])
        first.raised(perf_counter() + HELD_SHARE * left, NEAR)
        stage = np.zeros(len(m.cost))
        stage[first.cuts.first] = first.good
        bought = purchased(few, stage)
    columns = purchases_of(few)
    units = np.array([bought.get(key, 0.0) for key in keys(few)])
    m.lower[columns] = m.upper[columns] = np.clip(units, 0.0, m.upper[columns])
    found = highs.solve(m, relaxed=True)
    if len(found.x):
        rounds.priced_in_all(few, found.x, kept)


def _holding(rounds: Rounds, assembly: Assembly) -> Matrix:
    """The assembly's matrix with what is chosen held, within its bounds, and without what is closed."""
    m = assembly.matrix
    lower, upper = m.lower.copy(), m.upper.copy()
    for name, value in rounds.held(assembly).items():
        block = m.blocks[name]
        lower[block] = upper[block] = np.clip(value, lower[block], upper[block])
    _, columns = narrowed(rounds.programme, rounds.arrays, assembly, lower, upper)
    inside = np.zeros(len(upper), bool)
    inside[columns] = True
    return m._replace(lower=np.where(inside, lower, 0.0), upper=np.where(inside, upper, 0.0))

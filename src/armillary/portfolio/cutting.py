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
from armillary.portfolio.in_out import InOut
from armillary.portfolio.matrix import Bools
from armillary.portfolio.plan_tree import Part, PlanTree
from armillary.portfolio.planning import cuts_of, plan_near, plan_of
from armillary.portfolio.rounding import tiers_of
from armillary.portfolio.rounds import Rounds
from armillary.portfolio.site_sets import SiteSets
from armillary.portfolio.tier_moves import moved
from armillary.portfolio.tier_parts import Bounds, nested, priced

SHORT = 6.0
"""Times the time of a relaxation that are too little to look at all plans before one is made. [-]"""
ROOT_SHARE, MOVE_SHARE, SITE_SHARE = 0.25, 0.3, 0.4
"""Of the time left, what cuts before plans are parted, moving tiers, and moving sites may take. [-]"""
ROOT_SLOW, WIDE_SLOW = 3e-4, 3e-3
"""Rise of a bound in a round, as a share, where cuts are over: of the plans that seem best, of others. [-]"""
ROOT_NEAR = 5e-3
"""How near the cheapest first stage is to the bound before plans are parted by sites. [-]"""
OVERPRICED, STILL = 8e-4, 8e-5
"""Part of a bound by which what is spent is counted as worth too much, from which cuts are priced anew; where
they hardly raise it. [-]"""
PAUSE = 0.05
"""Between looks at whether there is anything to do. [s]"""
AGAIN = 2.5
"""Times the time of a plan that have to be left for another. [-]"""
LONG = 10.0
"""Times that a bound would have to rise as it did the last time, where it is low for long. [-]"""
WHOLE = 4.0
"""Times that what the next tier saves goes into what is left, where tiers are about whole. [-]"""
BETTER = 0.002
"""By which a first stage has to be cheaper than the best plan for a plan to be made of it. [-]"""


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
    from armillary.portfolio.mixing import compiled  # numba is imported where it is used

    rounds.until += compiled()  # once: no plan is worse for it

    def begun() -> None:
        if rounds.best is None and len(point := rough()):
            began = perf_counter()
            plan_of(rounds, coarse, point)
            rounds.pricing = perf_counter() - began

    if rounds.left() < SHORT * rounds.slow:
        begun()
    if rounds.best is None or rounds.left() > rounds.slow:
        _searched(rounds, coarse, relaxed, begun)
    begun()


def _searched(rounds: Rounds, coarse: Assembly, relaxed: highs.Solved, begun: Callable[[], None]) -> None:
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
        trees = _Trees(rounds, means, relaxed, wanted, begun)
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
    busy : the tree that each works at. done : the bound of those that are given up.
    guessed : tiers that seem to be best. least : what the cheapest first stage with them costs, about.
    begun : makes a first plan. sites : sets of them.
    """

    def __init__(
        self,
        rounds: Rounds,
        means: Assembly,
        relaxed: highs.Solved,
        wanted: Bools,
        begun: Callable[[], None],
    ) -> None:
        self.rounds, self.means, self.relaxed, self.begun = rounds, means, relaxed, begun
        self.parts = nested(means, wanted)
        least = proven(means, relaxed.duals)
        self.trees: tuple[list[PlanTree], list[PlanTree]] = [], []
        self.bounds, self.asking = [least, least], [False, False]
        self.least, near = math.inf, self.parts.near
        self.guessed = np.clip(wanted.astype(float), near.lower, near.upper)
        self.done, self.busy = math.inf, list[PlanTree | None]([None, None])
        self.sharing, self.planning, self.planned = Lock(), Lock(), set[bytes]()
        self.sites = SiteSets(rounds, means, self.planning)
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
        until = perf_counter() + ROOT_SHARE * rounds.left()
        tree.begin(near, until, ROOT_SLOW, close=ROOT_NEAR if rounds.charged else 0.0)
        self.least = tree.first.least
        leaf = None if rounds.charged else tree.leaf(self.guessed)
        with self.sharing:
            self.bounds[0] = math.inf
            if leaf is None:  # the other thread makes plans
                self.get(0, tree)
            else:
                self.get(1, tree)
                self.get(0, leaf)
                self.busy[0] = leaf
        if leaf is not None:
            with self.planning:
                self.plan(leaf, self.guessed)
        self.search(0)

    def of_others(self) -> None:
        """Raise the bound of all other plans."""
        rounds, wide, others = self.rounds, self.parts.wide, self.parts.others
        if not others:  # all plans are in the other thread's tree
            with self.sharing:
                self.bounds[1] = min((one.bound for one in self.trees[1]), default=math.inf)
        if rounds.charged:
            with self.planning:
                self.begun()
            self.sites.moved(self.relaxed.x, perf_counter() + SITE_SHARE * rounds.left())
        if others:
            factor, duals = rounds.arrays.factor, self.relaxed.duals
            prices = priced(rounds.programme, self.means, factor, duals, wide, every=True)
            tree = self.tree(prices, others, self.relaxed.x)
            tree.first.apart = True
            tree.begin(wide, perf_counter() + ROOT_SHARE * rounds.left(), WIDE_SLOW)
            mine = tree.copied()
            with self.sharing:
                self.get(1, tree)
            signed = moved(mine, self.guessed, perf_counter() + MOVE_SHARE * rounds.left())
            if (signed != self.guessed).any() and not rounds.charged:
                with self.planning:
                    if rounds.best is None or self.again():
                        self.plan(mine.alone(signed), signed)
        self.search(1)

    def tree(self, prices: Floats, parts: list[Bounds], x: Floats) -> PlanTree:
        """Parts with cuts at some prices, from a point of a relaxation on."""
        cuts = cuts_of(self.rounds, self.means, prices)
        first = InOut(cuts, self.means.matrix, self.parts.sets)
        first.put(x[cuts.first])
        tree = PlanTree(self.means, first, parts, self.parts.sets, self.bounds[0])
        tree.settle = self.sites.settled
        return tree

    def search(self, number: int) -> None:
        """Raise the bound of all plans until it is of no interest; make plans of parts that are cheap."""
        rounds = self.rounds
        while rounds.left() > 0 and not rounds.finished():
            # As long as there is no plan, its bound is what is asked for.
            enough = rounds.value * (1 - rounds.gap) if rounds.best else self.least
            with self.sharing:
                self.take(number, enough)
                trees = self.of_interest(number, enough)
                self.asking[number] = not trees
                # The other may have asked before there was a plan, when less was of interest.
                over = all(self.asking) and not self.of_interest(1 - number, enough)
                tree = self.busy[number] = min(trees, key=lambda one: one.bound, default=None)
                if tree is None:  # trees of this thread may have been taken
                    self.bounds[number] = min((one.bound for one in self.trees[number]), default=math.inf)
            if over:
                break
            if tree is None:
                sleep(PAUSE)
                continue
            part = tree.step(rounds.until, enough)
            if rounds.best and part.bound < enough and part.looked_at and not rounds.charged:
                self.reprice(number, tree, part)
            with self.sharing:
                self.forget(number)
                self.bounds[number] = min((one.bound for one in self.trees[number]), default=math.inf)
                if self.asking[1 - number] and (other := tree.halved(enough)) is not None:
                    self.get(1 - number, other)
            # Nothing is undecided, and cuts hardly raise its bound; or a better plan is what is missing.
            leaf = not part.by and part.still > 0
            if (leaf or self.promising(part, enough)) and self.planning.acquire(blocking=False):
                try:
                    if part.bound < rounds.value * (1 - BETTER) and self.again():
                        self.plan(tree, part.signed, part)
                finally:
                    self.planning.release()
            self.prove()
        self.prove()

    def reprice(self, number: int, tree: PlanTree, part: Part) -> None:
        """A tree of its own for a part in which what is spent is worth less than cuts count it as."""
        if tree.overpriced(part) > (STILL if part.still else OVERPRICED) * abs(part.bound):
            other = tree.repriced(part)
            with self.sharing:
                tree.give_up(part)
                self.trees[number].append(other)

    def forget(self, number: int) -> None:
        """Trees with a bound that is enough for good are given up, as they are large."""
        if self.rounds.best:
            enough = self.rounds.value * (1 - self.rounds.gap)
            kept = [one for one in self.trees[number] if one.bound < enough]
            done = [one.bound for one in self.trees[number] if one.bound >= enough]
            self.done = min(self.done, *done, math.inf)
            self.trees[number][:] = kept

    def of_interest(self, number: int, enough: float) -> list[PlanTree]:
        """Trees of a thread with a bound that is too low, and can be raised."""
        return [one for one in self.trees[number] if one.bound < enough and not one.over]

    def get(self, number: int, tree: PlanTree) -> None:
        """A thread gets a tree."""
        self.trees[number].append(tree)
        self.bounds[number] = min(self.bounds[number], tree.bound)
        self.asking[number] = False

    def take(self, number: int, enough: float) -> None:
        """A thread without any tree of interest takes one that the other does not work at."""
        other = 1 - number
        if not self.of_interest(number, enough):
            free = [one for one in self.of_interest(other, enough) if one is not self.busy[other]]
            if free:
                self.trees[other].remove(free[0])
                self.get(number, free[0])

    def promising(self, part: Part, enough: float) -> bool:
        """Whether a plan of a part may be better: new tiers, about whole, and a bound low for long."""
        if self.rounds.best is None or self.rounds.charged or not part.looked_at:
            return False
        left, tiers = enough - part.bound, part.signed.tobytes()
        whole = part.by in ("", "home") or (part.by == "tier" and WHOLE * part.saved < left)
        known = any(key.startswith(tiers) for key in self.planned)
        return whole and LONG * part.gain < left and not known

    def again(self) -> bool:
        """Whether there is time for another plan."""
        return self.rounds.left() > AGAIN * self.rounds.pricing

    def plan(self, tree: PlanTree, signed: Floats, part: Part | None = None) -> None:
        """Make a plan with some tiers, and what else a part decides, if none was made.

        One at a time (`planning`).
        """
        held = part.held if part else None
        key = signed.tobytes() + (b"" if held is None else held.tobytes())
        if key not in self.planned:
            self.planned.add(key)
            plan_near(self.rounds, tree, signed, held)

    def prove(self) -> None:
        """Say what was proven, unless a plan is being made: it will be said then."""
        if self.planning.acquire(blocking=False):
            try:
                with self.sharing:
                    least = min(*self.bounds, self.done)
                self.rounds.raise_bound(least)
            finally:
                self.planning.release()

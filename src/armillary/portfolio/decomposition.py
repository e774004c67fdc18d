"""Large programmes: relaxations over few states bound the cost; plans near them are tried in every future.

A round solves the linear relaxation over states that are means of futures (a lower bound, Jensen), and rounds
what is binary. With binaries held most columns are gone, and the plan is made anew over more states. Its
first stage is priced in every future exactly (an upper bound). The next round has more states. Where that
would take too long, cuts are made (`cutting.py`), or the last round's binaries are branched on.
"""

from __future__ import annotations

from functools import partial
from time import perf_counter

import numpy as np

from armillary.portfolio import highs
from armillary.portfolio.arrays import Arrays
from armillary.portfolio.assembly import Assembly, assemble
from armillary.portfolio.bounds import proven
from armillary.portfolio.branching import Node, Tree, again
from armillary.portfolio.calendar import Floats
from armillary.portfolio.cuts import separable
from armillary.portfolio.cutting import planned_and_bounded
from armillary.portfolio.draft import Kept
from armillary.portfolio.few_sites import sets, worth_trying
from armillary.portfolio.plan import gap as gap_of
from armillary.portfolio.records import Programme
from armillary.portfolio.rounding import CLEAR, exchanged, rounded
from armillary.portfolio.rounds import GROWTH, LEAST, Best, Rounds
from armillary.portfolio.site_sets import LIKELY

SEARCH_SHARE, EXCHANGE_SHARE, LAST_SHARE = 0.5, 0.4, 0.7
"""Of the time left, what may be taken to branch, to exchange sites, and to exchange sites where no bound is
left to find. [-]"""
COUNTING = 0.01
"""Rise of a bound by the number of sites from which a relaxation alone, without it, bounds too little. [-]"""
SEARCHED = 12_000
"""Columns up to which a round searches over integers by branching; beyond, it rounds and exchanges. [-]"""
EXCHANGED = 0.03
"""Gap of a round from which sites are exchanged; what means hide is as much in early rounds. [-]"""
SETTLED_SHARE = 0.2
"""Of the time left, what planning over more states may take where few sites were searched. [-]"""
BRANCH_SHARE = 0.8
"""Of the time left, what may be taken to branch at the end. [-]"""
LITTLE = 0.3
"""Part of what is left to prove that branching has to be able to prove to be worth its time. [-]"""
NEXT, NEXT_SHARE, NEXT_MOST = 2.4, 0.1, 6.0
"""Columns of the next round against this one's; of the time left, what its relaxation may take, about, before
cuts are made instead [-]; and what it may take however much is left [s]."""


def decompose(programme: Programme, arrays: Arrays, gap: float, until: float) -> Best | None:
    """Solve by rounds until the gap or the time; None where no round found a plan."""
    rounds = _Search(programme, arrays, gap, until)
    if rounds.settled():
        return rounds.best
    before: tuple[Assembly, Floats, Floats] | None = None
    for size in rounds.sizes:
        coarse = rounds.assembled(size)
        relaxed = rounds.bounded(coarse)
        if relaxed is None:
            if before is not None:
                rounds.bettered(*before)
            break
        slow = rounds.cutting(coarse)
        quick, most = slow and not rounds.charged, LIKELY if slow else None
        rough = partial(rounds.planned, coarse, relaxed, quick, most)
        if slow:
            planned_and_bounded(rounds, coarse, relaxed, rough)
            if not rounds.finished() and rounds.left() > 0 and len(point := rough()):
                rounds.bettered(coarse, point, relaxed.x)
            break
        if not len(point := rough()):
            break
        rounds.refined(coarse, point)
        if rounds.finished() or perf_counter() > until:
            break
        before = coarse, point, relaxed.x
    return rounds.best


class _Search(Rounds):
    """How rounds go on: relaxations, branching, sets of sites, exchanges."""

    def bounded(self, coarse: Assembly) -> highs.Solved | None:
        """Raise the bound by the relaxation; None where it was not solved in time."""
        left = max(self.left(), LEAST if self.best is None else 0.0)
        columns = len(coarse.matrix.cost)
        expected = self.pace * columns**GROWTH
        if self.counting and 2 * expected > left:
            return None
        # A relaxation that will not be solved in time still bounds, if nothing was presolved.
        quick = expected < left / 2
        relaxed = highs.solve(coarse.matrix, relaxed=True, seconds=left, presolve=quick, with_basis=True)
        alone = proven(coarse, relaxed.duals) if len(relaxed.duals) else -np.inf
        self.raise_bound(alone)
        if relaxed.status == "infeasible":  # nothing is cheaper than what is known
            self.raise_bound(self.value)
        if relaxed.status != "optimal":
            return None
        charges = coarse.matrix.cost[coarse.matrix.blocks["opened"]]
        self.charge = float(np.median(charges)) / self.bound if len(charges) and self.bound > 0 else 0.0
        self.pace = max(self.pace, relaxed.seconds / columns**GROWTH)
        self.slow, self.basis = relaxed.seconds, self.basis or relaxed.basis
        if self.cutting(coarse):
            return relaxed
        relaxed, least = counted(coarse, relaxed, max(self.left(), 1.0))
        self.raise_bound(least)
        self.counting = least > alone * (1 + COUNTING)
        return relaxed

    def cutting(self, coarse: Assembly) -> bool:
        """Whether the next relaxation takes too long, and cuts can be made."""
        most, columns = max(self.left(), LEAST if self.best is None else 0.0), len(coarse.matrix.cost)
        slow = self.pace * (NEXT * columns) ** GROWTH > min(NEXT_SHARE * most, NEXT_MOST)
        return slow and separable(self.programme, self.arrays)

    def planned(
        self, coarse: Assembly, relaxed: highs.Solved, quick: bool = False, most: int | None = None
    ) -> Floats:
        """A plan over the states of a round: searched if small; else rounded or held, and exchanged.

        quick : neither searched nor exchanged. most : sites that are exchanged, those that are opened most.
        """
        programme, arrays, m = self.programme, self.arrays, coarse.matrix
        points = [rounded(programme, arrays, coarse, relaxed.x)]
        if self.chosen:
            points.append(rounded(programme, arrays, coarse, relaxed.x, self.held(coarse)))
        point = min(points, key=lambda x: float(m.cost @ x) if len(x) else np.inf)
        left = self.left()
        if quick:
            return point
        if len(m.cost) <= SEARCHED and left > 0:
            start = point if len(point) else None
            found = highs.solve(m, seconds=left * SEARCH_SHARE, gap=self.gap / 2, start=start)
            self.raise_bound(found.bound)
            return found.x if len(found.x) else point
        if len(point) and left > 0 and gap_of(float(m.cost @ point), self.bound) > EXCHANGED:
            self.tried = set()
            seconds = left * EXCHANGE_SHARE
            point = exchanged(programme, arrays, coarse, point, relaxed.x, seconds, self.tried, most)
        return point

    def bettered(self, coarse: Assembly, point: Floats, relaxed: Floats) -> None:
        """Where relaxations take too long: branch, and exchange sites for most of the time that is left."""
        self.branched(coarse, point)
        left = self.left()
        if left > 2 * self.pricing and len(coarse.matrix.cost) > SEARCHED:
            seconds = (left - self.pricing) * LAST_SHARE
            other = exchanged(self.programme, self.arrays, coarse, point, relaxed, seconds, self.tried)
            if other is not point:
                self.refined(coarse, other)

    def branched(self, coarse: Assembly, point: Floats) -> None:
        """Branch over the states of a round; and over more where all that may be cheaper are sets of sites.

        A plan over means says how much branching can prove: no more than it costs.
        """
        proof = float(coarse.matrix.cost @ point) - self.bound
        if proof < LITTLE * (self.value - self.bound) or self.slow > self.left() * BRANCH_SHARE:
            return
        within = assemble(self.programme, self.arrays, coarse.states, self.kept, self.value)
        tree = Tree(self.programme, self.arrays, within, self.gap, self.value, False)
        self.searched(tree, [tree.root()])

    def settled(self) -> bool:
        """Try sets of few sites, where opening sites costs more than all else; whether that was the case."""
        if not worth_trying(self.programme, self.arrays):
            return False
        tree = Tree(self.programme, self.arrays, self.assembled(self.sizes[0]), self.gap, self.value, False)
        self.searched(tree, sets(tree, max(self.left(), 1.0)))
        return self.best is not None

    def branching_time(self) -> float:
        """That may be taken to branch. [s]"""
        return BRANCH_SHARE * max(self.left(), LEAST if self.best is None else 0.0)

    def searched(self, tree: Tree, nodes: list[Node]) -> None:
        """Search over the states of a tree; and over more where all that may be cheaper are sets of sites."""
        for size in [*(n for n in self.sizes if n > tree.assembly.states.size), 0]:
            waiting = nodes
            while waiting:
                before, every = len(waiting), tree.settled(min(nodes))
                found = tree.search(nodes, perf_counter() + self.branching_time(), every)
                self.raise_bound(found.bound)
                self.tried_out(tree)
                nodes = tree.open(found.open)
                waiting = [one for one in nodes if not len(one.x)]
                if not all(map(tree.settled, nodes)) or len(waiting) == before or self.left() < 0:
                    break
            nodes = [again(one) for one in nodes]
            over = self.finished() or self.left() < 0 or not size
            if over or not nodes or not all(map(tree.settled, nodes)):
                return
            kept = self.kept if self.every else self.kept_of(tree, nodes)
            within = assemble(self.programme, self.arrays, self.states(size), kept, self.value)
            tree = Tree(self.programme, self.arrays, within, self.gap, self.value, size == self.nodes.size)

    def tried_out(self, tree: Tree) -> None:
        """Price what a search found in all futures, unless what is chosen in it was."""
        if self.is_new(tree.assembly, tree.x):
            first = tree.assembly.states.size == self.sizes[0]
            self.refined(tree.assembly, tree.x, SETTLED_SHARE if first else 0.0)
            tree.value = min(tree.value, self.value)

    def kept_of(self, tree: Tree, nodes: list[Node]) -> Kept:
        """What is at sites that any of some nodes opens, or that cost nothing to open."""
        there = np.ones(len(self.arrays.opening), bool)
        there[tree.assembly.sites_opened] = np.any([one.upper[tree.opened] > 0 for one in nodes], axis=0)
        return self.kept_at(there)


def counted(assembly: Assembly, relaxed: highs.Solved, seconds: float) -> tuple[highs.Solved, float]:
    """Branch once on how many sites are opened: the better relaxation, and the bound that both prove."""
    m = assembly.matrix
    row = m.row_blocks["sites opened"]
    number = float(relaxed.x[m.blocks["opened"]].sum())
    below = proven(assembly, relaxed.duals)
    if abs(number - round(number)) < CLEAR:
        return relaxed, below
    leaves, bounds = [], []
    for up in (True, False):
        row_lower, row_upper = m.row_lower.copy(), m.row_upper.copy()
        if up:
            row_lower[row] = np.ceil(number)
        else:
            row_upper[row] = np.floor(number)
        leaf = m._replace(row_lower=row_lower, row_upper=row_upper)
        found = highs.solve(leaf, relaxed=True, seconds=seconds / 2, basis=relaxed.basis)
        if found.status == "infeasible":
            continue
        if found.status != "optimal" or not len(found.duals):
            return relaxed, below
        leaves.append(found)
        bounds.append(proven(assembly._replace(matrix=leaf), found.duals))
    if not leaves:
        return relaxed, below
    return min(leaves, key=lambda leaf: leaf.value), max(min(bounds), below)

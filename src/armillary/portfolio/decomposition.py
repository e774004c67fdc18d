"""Large programmes: relaxations over few states bound the cost; plans near them are tried in every future.

A round solves the linear relaxation over states that are means of futures (a lower bound, Jensen), and rounds
what is binary. With binaries held most columns are gone, and the plan is made anew over more states. Its
first stage is priced in every future exactly (an upper bound). The next round has more states. Where that
would take too long, the last round's binaries are branched on.
"""

from __future__ import annotations

from time import perf_counter
from typing import NamedTuple

import numpy as np

from armillary.portfolio import highs
from armillary.portfolio.arrays import Arrays
from armillary.portfolio.assembly import Assembly, assemble
from armillary.portfolio.bounds import proven
from armillary.portfolio.branching import Node, Tree, again
from armillary.portfolio.calendar import Floats, Integers
from armillary.portfolio.carrying import carried, purchased
from armillary.portfolio.cuts import Cuts, separable
from armillary.portfolio.dominance import undominated
from armillary.portfolio.draft import Kept
from armillary.portfolio.few_sites import sets, worth_trying
from armillary.portfolio.grouping import labelled
from armillary.portfolio.matrix import Bools, Matrix
from armillary.portfolio.plan import gap as gap_of
from armillary.portfolio.plan import objective
from armillary.portfolio.records import Programme
from armillary.portfolio.recourse import by_future, holds, recourse
from armillary.portfolio.rounding import CLEAR, FIRST, exchanged, narrowed, open_sites, rounded
from armillary.portfolio.states import States, exact, states

STATES = (1, 3, 6, 10, 16, 24, 40, 64, 100)
"""States of a quarter on average, by round. [-]"""
SEARCH_SHARE, EXCHANGE_SHARE, REFINE_SHARE, LAST_SHARE = 0.5, 0.4, 0.25, 0.7
"""Of the time left, what may be taken to branch, to exchange sites, to plan over more states, and to exchange
sites where no bound is left to find. [-]"""
COUNTING = 0.01
"""Rise of a bound by the number of sites from which a relaxation alone, without it, bounds too little. [-]"""
WHOLE = 100_000
"""Columns of use up to which plans are over all sites, so that the whole can be searched in the end. [-]"""
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
NEXT, NEXT_SHARE = 2.4, 0.1
"""Columns of the next round against this one's, and of the time left, what its relaxation may take, about,
before cuts are made instead. [-]"""
CHARGED = 0.01
"""Part of all cost that opening a site may be for cuts to be made. [-]"""
HELD_SHARE, ROUND_SHARE = 0.3, 0.35
"""Of the time left where cuts are made, what may be taken to plan, and to bound before choosing anew. [-]"""
LONG = 3.0
"""Times the time of a plan that have to be left for choosing anew. [-]"""
BETTER = 0.005
"""By which a plan has to be cheaper than the one before for cuts to be made anew. [-]"""
NEAR = 0.006
"""How near a plan is to the bound of what is chosen in it where it is good enough. [-]"""
GROUPS = 5
"""Groups of futures in a quarter that share cuts. [-]"""
ROUNDED = 1e-9
"""By which a gap that is just reached may seem to be more. [-]"""
GROWTH = 1.7
"""Power of the number of columns that the time of a linear programme goes with, about. [-]"""
LEAST = 60.0
"""A plan is looked for this long, whatever the limit. [s]"""


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


def decompose(programme: Programme, arrays: Arrays, gap: float, until: float) -> Best | None:
    """Solve by rounds until the gap or the time; None where no round found a plan."""
    rounds = _Rounds(programme, arrays, gap, until)
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
        point = rounds.planned(coarse, relaxed, quick=slow)
        if not len(point):
            break
        if slow:
            rounds.cut(coarse, point)
            rounds.bettered(coarse, point, relaxed.x)
            break
        rounds.refined(coarse, point)
        if rounds.finished() or perf_counter() > until:
            break
        before = coarse, point, relaxed.x
    return rounds.best


class _Rounds:
    """What rounds have found: the best plan, the highest bound, what is held, and prices of demand."""

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
        self.counting = False
        self.basis: highs.Basis | None = None
        self.tried: set[bytes] = set()
        self.priced: set[bytes] = set()
        quarters = programme.calendar.quarters
        fewer = (min(quarters * each, self.nodes.size) for each in STATES)
        self.sizes = sorted({*fewer, self.nodes.size})

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
        self.pace = max(self.pace, relaxed.seconds / columns**GROWTH)
        self.slow, self.basis = relaxed.seconds, relaxed.basis
        if self.cutting(coarse):
            return relaxed
        relaxed, least = counted(coarse, relaxed, max(self.left(), 1.0))
        self.raise_bound(least)
        self.counting = least > alone * (1 + COUNTING)
        return relaxed

    def cutting(self, coarse: Assembly) -> bool:
        """Whether the next relaxation takes too long, and sites cost little, as cuts open parts of them."""
        m = coarse.matrix
        charges = m.cost[m.blocks["opened"]]
        if len(charges) and float(np.median(charges)) > CHARGED * self.bound:
            return False
        most = max(self.left(), LEAST if self.best is None else 0.0)
        slow = self.pace * (NEXT * len(m.cost)) ** GROWTH > NEXT_SHARE * most
        return slow and separable(self.programme, self.arrays)

    def planned(self, coarse: Assembly, relaxed: highs.Solved, quick: bool = False) -> Floats:
        """A plan over the states of a round: searched if small; else rounded or held, and exchanged."""
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
            point = exchanged(programme, arrays, coarse, point, relaxed.x, seconds, self.tried)
        return point

    def held(self, assembly: Assembly) -> dict[str, Floats]:
        """What is chosen, as blocks of an assembly."""
        home = self.homes[assembly.home_stream] == assembly.home_network
        return {**self.chosen, "home": home.astype(float)}

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

    def time(self) -> float:
        """That may be taken to branch. [s]"""
        return BRANCH_SHARE * max(self.left(), LEAST if self.best is None else 0.0)

    def searched(self, tree: Tree, nodes: list[Node]) -> None:
        """Search over the states of a tree; and over more where all that may be cheaper are sets of sites."""
        for size in [*(n for n in self.sizes if n > tree.assembly.states.size), 0]:
            waiting = nodes
            while waiting:
                before, every = len(waiting), tree.settled(min(nodes))
                found = tree.search(nodes, perf_counter() + self.time(), every)
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
            kept = self.kept if self.every else self.of(tree, nodes)
            within = assemble(self.programme, self.arrays, self.states(size), kept, self.value)
            tree = Tree(self.programme, self.arrays, within, self.gap, self.value, size == self.nodes.size)

    def tried_out(self, tree: Tree) -> None:
        """Price what a search found in all futures, unless what is chosen in it was."""
        if self.new(tree.assembly, tree.x):
            first = tree.assembly.states.size == self.sizes[0]
            self.refined(tree.assembly, tree.x, SETTLED_SHARE if first else 0.0)
            tree.value = min(tree.value, self.value)

    def of(self, tree: Tree, nodes: list[Node]) -> Kept:
        """What is at sites that any of some nodes opens, or that cost nothing to open."""
        there = np.ones(len(self.arrays.opening), bool)
        there[tree.assembly.sites_opened] = np.any([one.upper[tree.opened] > 0 for one in nodes], axis=0)
        return self.at(there)

    def at(self, there: Bools) -> Kept:
        """What is kept at some sites."""
        arrays, kept = self.arrays, self.kept
        return Kept(kept.pairs & there[arrays.site[arrays.pair_offer]], kept.offers & there[arrays.site])

    def cut(self, coarse: Assembly, point: Floats) -> None:
        """Cuts make a plan of what is chosen, bound all plans around it, and say what else to choose."""
        began = perf_counter()
        self.new(coarse, point)
        bought = self.staged(coarse, point)
        took = self.pricing = perf_counter() - began
        if self.best is None:
            self.refined(coarse, point)
        known = self.value
        if self.left() > LONG * took and not self.finished():
            cuts = self.cuts()
            if cuts is None:
                return
            point = self.bounded_by(cuts, bought, perf_counter() + ROUND_SHARE * self.left())
            if self.new(cuts.assembly, point):
                bought = self.staged(cuts.assembly, point) or bought
        else:
            cuts = None
        if self.left() > 0 and not self.finished():
            if cuts is None or self.value < known * (1 - BETTER):
                cuts = self.cuts()
            if cuts is not None:
                self.bounded_by(cuts, bought, self.until)

    def new(self, assembly: Assembly, point: Floats) -> bool:
        """Whether what is chosen in a point was not priced, or asked for, before."""
        if not len(point):
            return False
        blocks = (assembly.matrix.blocks[name] for name in FIRST)
        chosen = b"".join(np.round(point[block]).tobytes() for block in blocks)
        known = chosen in self.priced
        self.priced.add(chosen)
        return not known

    def cuts(self) -> Cuts | None:
        """Cuts over all plans that cost no more than the best; None where their prices take too long."""
        means = self.assembled(self.sizes[0])
        left = max(self.left(), 1.0)
        relaxed = highs.solve(means.matrix, relaxed=True, seconds=left, presolve=False, basis=self.basis)
        if relaxed.status == "infeasible":  # nothing is cheaper than what is known
            self.raise_bound(self.value)
        if relaxed.status != "optimal":
            return None
        self.raise_bound(proven(means, relaxed.duals))
        return Cuts(self.programme, self.arrays, means, relaxed.duals, self.groups())

    def bounded_by(self, cuts: Cuts, bought: dict[tuple[int, int], float], until: float) -> Floats:
        """Raise the bound by cuts around purchases: a point of means with what they would choose, if any."""
        means = cuts.assembly
        good = highs.solve(self.buying(means, bought), relaxed=True).x
        if not len(good):
            return good
        x, bound = cuts.raised(means.matrix, good, until)
        self.raise_bound(bound)
        if until >= self.until:
            return np.zeros(0)
        m = means.matrix._replace(lower=means.matrix.lower.copy(), upper=means.matrix.upper.copy())
        columns = means.bought.columns
        m.lower[columns] = m.upper[columns] = np.clip(x[columns], 0.0, m.upper[columns])
        relaxed = highs.solve(m, relaxed=True, seconds=max(self.left(), 1.0)).x
        return rounded(self.programme, self.arrays, means, relaxed) if len(relaxed) else relaxed

    def groups(self) -> Integers:
        """Labels `[quarter, future]` of futures that share cuts."""
        size = min(GROUPS * self.programme.calendar.quarters, self.nodes.size)
        return labelled(self.programme, self.arrays, size, self.prices)

    def staged(self, coarse: Assembly, point: Floats) -> dict[tuple[int, int], float]:
        """A plan of what is chosen in a point, by cuts, priced in all futures: units by offer and start."""
        self.choose(coarse, point)
        kept = self.at(open_sites(self.arrays, coarse, point))
        few = self.assembled(self.sizes[0], kept)
        m = self.holding(few)
        means = highs.solve(m, relaxed=True)
        if not len(means.x):
            return {}
        cuts = Cuts(self.programme, self.arrays, few, means.duals, self.groups())
        left = max(self.left(), LEAST if self.best is None else 0.0)
        stage, _ = cuts.raised(m, means.x, perf_counter() + HELD_SHARE * left, NEAR)
        columns = np.concatenate([few.bought.columns, few.bought.clusters.column])
        m.lower[columns] = m.upper[columns] = np.clip(stage[columns], 0.0, m.upper[columns])
        found = highs.solve(m, relaxed=True)
        if len(found.x):
            self.priced_in_all(few, found.x, kept)
        return purchased(few, stage)

    def buying(self, assembly: Assembly, bought: dict[tuple[int, int], float]) -> Matrix:
        """The assembly's matrix with what is chosen and bought held."""
        m = self.holding(assembly)
        purchases, columns = assembly.bought.purchases, assembly.bought.columns
        keys = zip(purchases.offer.tolist(), purchases.start.tolist(), strict=True)
        units = np.array([bought.get(key, 0.0) for key in keys])
        m.lower[columns] = m.upper[columns] = np.clip(units, 0.0, m.upper[columns])
        return m

    def holding(self, assembly: Assembly) -> Matrix:
        """The assembly's matrix with what is chosen held, and without what is closed."""
        m = assembly.matrix
        lower, upper = m.lower.copy(), m.upper.copy()
        for name, value in self.held(assembly).items():
            lower[m.blocks[name]] = upper[m.blocks[name]] = value
        _, columns = narrowed(self.programme, self.arrays, assembly, lower, upper)
        inside = np.zeros(len(upper), bool)
        inside[columns] = True
        return m._replace(lower=np.where(inside, lower, 0.0), upper=np.where(inside, upper, 0.0))

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
            kept = self.at(open_sites(self.arrays, coarse, point))
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

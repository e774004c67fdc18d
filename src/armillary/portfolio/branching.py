"""Branch and bound on what is binary in the first stage: tiers, how many sites, sites, rights, homes.

A solver's own search branches on any binary. What counts most are the tiers of contracts, as a relaxation
signs a small part of a large tier, so that they go first; then how many sites are opened, and which. Where
all sites are held, the programme is over them alone and small. Few sites are searched by trying sets of them,
in the order of what the prices of the relaxation say that they cost at least.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations, pairwise
from queue import SimpleQueue
from time import perf_counter
from typing import NamedTuple

import numpy as np

from armillary.portfolio import highs
from armillary.portfolio.arrays import Arrays
from armillary.portfolio.assembly import Assembly
from armillary.portfolio.bounds import TOLERANCE, lagrange, proven
from armillary.portfolio.calendar import Floats, Integers
from armillary.portfolio.matrix import Matrix
from armillary.portfolio.records import Programme
from armillary.portfolio.recourse import WORKERS
from armillary.portfolio.rounding import narrowed, rounded

FRACTION = 1e-5
"""Distance from a whole number up to which a value is whole. [-]"""
COUNTED = 0.02
"""The same of how many sites are opened, from which on the search branches on it. [-]"""
OPEN = 0.3
"""Fraction from which a site counts as open where plans are told apart. [-]"""
MEANT = 0.03
"""How much more a plan may cost than over means, about. [-]"""
FEW, SETS = 2, 2000
"""Sites still to be opened, and sets of them, up to which sets are tried one by one. [-]"""


class Node(NamedTuple):
    """A part of the plans: those within bounds of the binaries.

    bound : they cost at least this. [scaled money]
    number : for the order among equal bounds.
    lower, upper : of the binaries.
    fewest, most : sites opened.
    x, reduced : binaries and their reduced costs in the relaxation, empty where it was not solved.
    spent : under each tier in it.
    point : all of it, where not all sites are held.
    done : branching tells no more.
    """

    bound: float
    number: int
    lower: Floats
    upper: Floats
    fewest: float
    most: float
    x: Floats
    reduced: Floats
    spent: Floats
    point: Floats
    done: bool = False


def again(node: Node) -> Node:
    """A node as it is before its relaxation is solved, for a search over more states."""
    none = np.zeros(0)
    return node._replace(x=none, reduced=none, spent=none, point=none, done=False)


class Searched(NamedTuple):
    """What a search found.

    x : the cheapest point, empty if none was found. value : its cost.
    bound : no plan that is `gap` cheaper than the best known costs less.
    open : the parts in which cheaper plans may be.
    """

    x: Floats
    value: float
    bound: float
    open: list[Node]


class Tree:
    """The search over one assembly.

    Parameters
    ----------
    programme, arrays, assembly
    gap : float
        Parts of the plans that are no more than this cheaper than the best plan known are left. [-]
    value : float
        Of the best plan known. [scaled money]
    exact : bool
        Whether points of the assembly are plans; else they are plans over means, which prove nothing.
    basis : tuple or None
        To begin the first relaxation with.
    """

    def __init__(
        self,
        programme: Programme,
        arrays: Arrays,
        assembly: Assembly,
        gap: float,
        value: float,
        exact: bool,
        basis: highs.Basis | None = None,
    ) -> None:
        self.programme, self.arrays, self.assembly = programme, arrays, assembly
        self.gap, self.value, self.exact, self.basis = gap, value, exact, basis
        m = assembly.matrix
        width = len(arrays.floor) * len(arrays.networks)
        home = np.full(width, -1)
        home[assembly.home_stream * len(arrays.networks) + assembly.home_network] = assembly.home
        parts = (
            assembly.committed.signed, assembly.bought.rights, assembly.opened[assembly.sites_opened], home
        )  # fmt: skip
        ends = np.cumsum([0, *map(len, parts)])
        self.signed, self.rights, self.opened, self.home = (slice(a, b) for a, b in pairwise(ends.tolist()))
        columns = np.concatenate(parts).astype(np.int64)
        self.present = np.flatnonzero(columns >= 0)
        self.columns: Integers = columns[self.present]
        self.cost = np.zeros(len(columns))
        self.cost[self.present] = m.cost[self.columns]
        self.row = m.row_blocks["sites opened"].start
        self.models: SimpleQueue[highs.Relaxation] = SimpleQueue()
        self.loaded = 0
        self.x, self.cheapest = np.zeros(0), math.inf
        self.tried: set[bytes] = set()
        self.number = 0
        self.until = math.inf

    @property
    def enough(self) -> float:
        """What costs at least this is of no interest. [scaled money]"""
        return self.value - self.gap * abs(self.value) if math.isfinite(self.value) else math.inf

    @property
    def limit(self) -> float:
        """Bound from which parts are left alone: `enough`, or about that as long as no plan is known."""
        return self.enough if math.isfinite(self.value) else self.cheapest * (1 + MEANT)

    def root(self) -> Node:
        """All plans."""
        m = self.assembly.matrix
        lower, upper = np.zeros(len(self.cost)), np.zeros(len(self.cost))
        lower[self.present], upper[self.present] = m.lower[self.columns], m.upper[self.columns]
        none = np.zeros(0)
        sites = float(self.opened.stop - self.opened.start)
        return Node(-math.inf, 0, lower, upper, 0.0, sites, none, none, none, none)

    def search(self, nodes: Sequence[Node], until: float, every: bool = False) -> Searched:
        """Search parts of the plans, that with the lowest bound first, until the gap, the time or the end.

        Parameters
        ----------
        nodes
            The parts.
        until : float
            Time limit, of the performance counter. [s]
        every : bool
            Whether all parts that hold all sites are to have the bound of their relaxation, not only those in
            which the cheapest point may be; they are not parted further.
        """
        self.until = until
        heap, aside = list(nodes), list[Node]()
        heapq.heapify(heap)
        self.number = max([self.number, *(-one.number for one in heap)])
        with ThreadPoolExecutor(WORKERS) as both:
            while heap and heap[0].bound < self.limit and perf_counter() < until:
                if every and self.settled(heap[0]) and (heap[0].done or len(heap[0].x)):
                    aside.append(heapq.heappop(heap))
                    continue
                if heap[0].done or (not every and self._reached(heap[0])):
                    break
                first = [heapq.heappop(heap)]
                if len(first[0].x):
                    trial = both.submit(self._plan, first[0])
                    children = self._children(first[0])
                    # Sets of sites wait until their bound is the lowest; the rest is solved at once.
                    now = [one for one in children if not self.settled(one)]
                    later = [one for one in children if self.settled(one)]
                    first = [*later, *self._relaxed(both, now)]
                    trial.result()
                else:
                    while self.settled(first[0]) and len(first) < WORKERS and heap and self._waits(heap[0]):
                        first.append(heapq.heappop(heap))
                    first = self._relaxed(both, first)
                for one in first:
                    if one.bound < self.enough:
                        heapq.heappush(heap, one)
        left = self.open([*aside, *heap])
        bound = min((one.bound for one in left), default=self.enough)
        return Searched(self.x, self.cheapest, min(bound, self.value), left)

    def open(self, nodes: Sequence[Node]) -> list[Node]:
        """The parts in which plans may be cheap enough."""
        return [one for one in nodes if one.bound < self.enough]

    def _reached(self, node: Node) -> bool:
        """Whether, over means, the cheapest point is as cheap as what is left may be."""
        return not self.exact and node.bound >= self.cheapest * (1 - self.gap / 2)

    def _waits(self, node: Node) -> bool:
        """Whether all sites are held, and the relaxation is to be solved."""
        return self.settled(node) and not len(node.x)

    def settled(self, node: Node) -> bool:
        """Whether all sites are held."""
        return bool((node.lower[self.opened] == node.upper[self.opened]).all())

    def _relaxed(self, both: ThreadPoolExecutor, nodes: list[Node]) -> list[Node]:
        """The nodes with the bounds of their relaxations; as they are where there was no time."""
        unsettled = [one for one in nodes if not self.settled(one) and not len(one.x)]
        if unsettled and not self.loaded:
            first = highs.Relaxation(self.assembly.matrix, self.basis)
            self.models.put(first)
            self.loaded = 1
            solved = self._solved(unsettled[0])
            if self.models.qsize() and len(solved.x):
                self.models.put(highs.Relaxation(self.assembly.matrix, first.basis()))
                self.loaded = 2
            others = [one for one in nodes if one is not unsettled[0]]
            return [solved, *both.map(self._solved, others)]
        return list(both.map(self._solved, nodes))

    def matrix(self, node: Node) -> Matrix:
        """The programme within the bounds of a node."""
        m = self.assembly.matrix
        lower, upper = m.lower.copy(), m.upper.copy()
        lower[self.columns], upper[self.columns] = node.lower[self.present], node.upper[self.present]
        row_lower, row_upper = m.row_lower.copy(), m.row_upper.copy()
        row_lower[self.row], row_upper[self.row] = node.fewest, node.most
        return m._replace(lower=lower, upper=upper, row_lower=row_lower, row_upper=row_upper)

    def _solved(self, node: Node) -> Node:
        if len(node.x) or node.bound >= self.enough:
            return node
        leaf = self.matrix(node)
        if self.settled(node):
            part, columns = narrowed(self.programme, self.arrays, self.assembly, leaf.lower, leaf.upper)
            left, limit = self.until - perf_counter(), self.limit
            unknown = not math.isfinite(limit)  # only what is not presolved stops at a bound
            found = highs.solve(part, relaxed=True, seconds=left, presolve=unknown, enough=limit)
            if found.status == "enough":
                if len(found.duals) and lagrange(part, found.duals) >= limit * (1 - TOLERANCE):
                    return node._replace(bound=limit)
                found = highs.solve(part, relaxed=True, seconds=left)  # it stopped by a tolerance
            if found.status == "optimal":
                x, reduced = np.zeros(len(leaf.cost)), np.zeros(len(leaf.cost))
                x[columns], reduced[columns] = found.x, found.reduced
                if found.value < self.cheapest:
                    chosen = {"opened": node.lower[self.opened]}
                    self._take(rounded(self.programme, self.arrays, self.assembly, x, chosen))
                return self._with(node, found.value, x, reduced)
        else:
            found, bound = self._priced(node, leaf, self.enough)
            if found.status == "enough" and bound < self.enough:  # by a tolerance
                found, bound = self._priced(node, leaf, math.inf)
            if found.status == "optimal":
                return self._with(node, bound, found.x, found.reduced)
            node = node._replace(bound=max(node.bound, bound))
        if found.status == "infeasible":
            return node._replace(bound=math.inf)
        return node._replace(done=found.status not in ("enough", "time limit"))

    def _priced(self, node: Node, leaf: Matrix, enough: float) -> tuple[highs.Solved, float]:
        """The relaxation of a node, and the bound that its prices prove."""
        model = self.models.get()
        found = model.solve(
            self.columns, node.lower[self.present], node.upper[self.present],
            (self.row, node.fewest, node.most), enough, self.until - perf_counter(),
        )  # fmt: skip
        self.models.put(model)
        if not len(found.duals):
            return found, node.bound
        return found, proven(self.assembly._replace(matrix=leaf), found.duals)

    def _with(self, node: Node, bound: float, x: Floats, reduced: Floats) -> Node:
        binaries, costs = np.zeros(len(self.cost)), np.zeros(len(self.cost))
        binaries[self.present], costs[self.present] = x[self.columns], reduced[self.columns]
        chance = self.assembly.states.probability
        spent = np.array(
            [float(x[column] @ chance[state]) for state, column in self.assembly.committed.spend]
        )
        point = np.zeros(0) if self.settled(node) else x
        return node._replace(
            bound=max(node.bound, bound), x=binaries, reduced=costs, spent=spent, point=point
        )

    def _children(self, node: Node) -> list[Node]:
        """The node in two or more parts, or itself with all that can be told about it."""
        x = node.x
        part = np.minimum(x - np.floor(x), np.ceil(x) - x)
        part[part < FRACTION] = 0.0
        signed = node.spent * (1 - x[self.signed]) * (part[self.signed] > 0)
        if signed.any():
            i = int(signed.argmax())
            up, down = self._halves(node, self.signed.start + i)
            contract = self.assembly.committed.contract
            others = np.flatnonzero((contract == contract[i]) & (np.arange(len(contract)) != i))
            up.upper[self.signed.start + others] = 0.0
            return [up, down]
        if self.settled(node):
            return [self._finished(node)]
        number = float(x[self.opened].sum())
        if min(number - math.floor(number), math.ceil(number) - number) > COUNTED:
            low = self._copy(node)._replace(most=float(math.floor(number)))
            up = self._copy(node)._replace(fewest=float(math.ceil(number)))
            return [*(self._sets(node, low) or [low]), up]
        fewest = float(round(number))
        same = self._copy(node)._replace(fewest=fewest, most=fewest)
        if sets := self._sets(node, same):
            more = self._copy(node)._replace(fewest=fewest + 1)
            fewer = self._copy(node)._replace(most=fewest - 1)
            rest = [one for one in (more, fewer) if one.fewest <= one.most]
            return [*sets, *rest]
        weighed = part * self.cost
        if weighed.any() or part.any():
            return list(self._halves(node, int((weighed if weighed.any() else part).argmax())))
        return [self._finished(node)]

    def _copy(self, node: Node) -> Node:
        self.number += 1
        none = np.zeros(0)
        return node._replace(
            number=-self.number, lower=node.lower.copy(), upper=node.upper.copy(), x=none, reduced=none,
            point=none,
        )  # fmt: skip

    def _halves(self, node: Node, i: int) -> tuple[Node, Node]:
        up, down = self._copy(node), self._copy(node)
        up.lower[i] = 1.0
        down.upper[i] = 0.0
        return up, down

    def _sets(self, parent: Node, node: Node) -> list[Node]:
        """A node for every set of sites that may be opened, where that is few sites and few sets.

        Bounds are Lagrange's: what the parent's relaxation costs, and what its prices say of each site.
        """
        free = np.flatnonzero(node.lower[self.opened] < node.upper[self.opened])
        held = float(node.lower[self.opened].sum())
        sizes = range(max(int(node.fewest - held), 0), int(node.most - held) + 1)
        if not sizes or sizes[-1] > FEW or sum(math.comb(len(free), k) for k in sizes) > SETS:
            return []
        at = self.opened.start + free
        found = []
        for chosen in (c for size in sizes for c in combinations(range(len(free)), size)):
            one = self._copy(node)
            whole = np.zeros(len(free))
            whole[list(chosen)] = 1.0
            one.lower[at] = one.upper[at] = whole
            dearer = float(parent.reduced[at] @ (whole - parent.x[at]))
            number = held + len(chosen)
            found.append(one._replace(bound=parent.bound + max(dearer, 0.0), fewest=number, most=number))
        return found

    def _finished(self, node: Node) -> Node:
        """A node with whole binaries in its relaxation, or all sites held: searched by the solver."""
        leaf = self.matrix(node)
        left = self.until - perf_counter()
        if self.settled(node):
            part, columns = narrowed(self.programme, self.arrays, self.assembly, leaf.lower, leaf.upper)
        else:
            part, columns = leaf, np.arange(len(leaf.cost))
        found = highs.solve(part, gap=self.gap / 4, seconds=left)
        if len(found.x):
            x = np.zeros(len(leaf.cost))
            x[columns] = found.x
            self._take(x)
        bound = math.inf if found.status == "infeasible" else max(node.bound, found.bound)
        return node._replace(bound=bound, done=True)

    def _take(self, x: Floats) -> None:
        if not len(x):
            return
        value = float(self.assembly.matrix.cost @ x)
        if value < self.cheapest:
            self.x, self.cheapest = x, value
        if self.exact:
            self.value = min(self.value, value)

    def _plan(self, node: Node) -> None:
        """A point near a relaxation, unless one like it was tried."""
        x = node.x
        if not len(node.point):
            return
        signed = x[self.signed]
        whole = bool((np.minimum(signed, 1 - signed) < FRACTION).all())
        if self.tried and not whole:
            return
        key = np.concatenate([np.round(signed), x[self.home] > 0.5, x[self.opened] > OPEN]).tobytes()
        if key in self.tried:
            return
        self.tried.add(key)
        chosen = {"signed": np.round(signed)} if whole else None
        self._take(rounded(self.programme, self.arrays, self.assembly, node.point, chosen))

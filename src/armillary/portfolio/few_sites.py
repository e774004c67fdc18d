"""Sets of few sites, for markets in which opening sites costs more than what is done in them.

There a relaxation opens small parts of many sites, and says little. But what all sites together could do at
best, if they cost nothing to open, is soon computed; with what the cheapest three cost to open it bounds all
plans of three sites and more. Of two sites and fewer there are not many sets: what the sites of their
providers could do bounds each.
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations

import numpy as np

from armillary.portfolio import highs
from armillary.portfolio.arrays import Arrays
from armillary.portfolio.branching import FEW, SETS, Node, Tree
from armillary.portfolio.matrix import Bools
from armillary.portfolio.records import Programme
from armillary.portfolio.recourse import WORKERS
from armillary.portfolio.rounding import narrowed

RULE = 1.0
"""Part of what demand costs at list prices that opening one site more than `FEW` has to cost. [-]"""


def worth_trying(programme: Programme, arrays: Arrays) -> bool:
    """Whether sets of sites are few, and opening one site more costs more than what demand does."""
    usable = (arrays.ready < programme.calendar.quarters) & ((arrays.opening > 0) | (arrays.standing > 0))
    number = int(usable.sum())
    if number <= FEW or sum(math.comb(number, k) for k in range(FEW + 1)) > SETS:
        return False
    ready = arrays.ready[usable]
    left = np.cumsum(arrays.factor[::-1])[::-1]  # of the factors, from each quarter on
    charge = arrays.opening[usable] * arrays.factor[ready] + arrays.standing[usable] * left[ready]
    listed = float(arrays.value @ (arrays.demand @ programme.futures.probability) @ arrays.factor)
    return float(np.sort(charge)[: FEW + 1].sum()) > RULE * listed


def sets(tree: Tree, seconds: float) -> list[Node]:
    """All plans in parts: one for each set of up to `FEW` sites, and one for all that open more.

    Parameters
    ----------
    tree : Tree
    seconds : float
        Time limit of a linear programme. [s]

    Returns
    -------
    list
        Nodes with bounds, but for those that no plan is in.
    """
    assembly, arrays = tree.assembly, tree.arrays
    charge = assembly.matrix.cost[assembly.opened[assembly.sites_opened]]
    number, more = len(charge), float(np.sort(charge)[: FEW + 1].sum())
    owner = arrays.provider[assembly.sites_opened]
    providers = np.unique(owner).tolist()
    root = tree.root()

    def within(chosen: tuple[int, ...]) -> float:
        """What plans cost at least if the sites of some providers were open, and for nothing."""
        there = np.isin(owner, chosen)
        leaf = tree.matrix(_holding(root, tree.opened, there, -math.inf)._replace(fewest=0.0))
        part, _ = narrowed(tree.programme, arrays, assembly, leaf.lower, leaf.upper)
        found = highs.solve(part, relaxed=True, seconds=seconds, presolve=False)
        if found.status == "infeasible":
            return math.inf
        return found.value - float(charge[there].sum()) if found.status == "optimal" else -math.inf

    groups = [chosen for k in range(FEW + 1) for chosen in combinations(providers, k)]
    with ThreadPoolExecutor(WORKERS) as both:
        least, *others = both.map(within, [tuple(providers), *groups])
    bounds = dict(zip(groups, others, strict=True))
    nodes = [root._replace(bound=least + more, fewest=float(FEW + 1))]
    for chosen in (c for k in range(FEW + 1) for c in combinations(range(number), k)):
        some = np.isin(np.arange(number), chosen)
        of = tuple(np.unique(owner[some]).tolist())
        bound = max(bounds[of], least) + float(charge[some].sum())
        nodes.append(_holding(root, tree.opened, some, bound)._replace(number=-len(nodes)))
    return [one for one in nodes if one.bound < math.inf]


def _holding(root: Node, opened: slice, whole: Bools, bound: float) -> Node:
    """Plans that open these sites and no other."""
    lower, upper = root.lower.copy(), root.upper.copy()
    lower[opened] = upper[opened] = whole
    held = float(whole.sum())
    return root._replace(bound=bound, lower=lower, upper=upper, fewest=held, most=held)

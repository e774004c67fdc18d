"""What a first stage costs in every future: one small linear programme a future, exact.

With purchases, sites, contracts, homes and clusters held, futures have nothing in common but the states in
which they are still one; use in those is held, too, as planned.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import NamedTuple

import numpy as np

from armillary.portfolio import highs
from armillary.portfolio.arrays import Arrays
from armillary.portfolio.assembly import Assembly
from armillary.portfolio.calendar import Floats, Integers
from armillary.portfolio.matrix import Bools, Matrix
from armillary.portfolio.records import Programme

SHARED = -1
WORKERS = 2
"""Futures that are solved at once. [-]"""
MEANS = (
    "use if opened", "scarce if opened", "use at home", "all at home", "give if opened", "exercise if opened",
    "use if signed", "paid if signed", "costs of states", "excess",
)  # fmt: skip
"""Rows over the mean of futures (in one future: what is closed is not used), and rows of risk."""
FEASIBLE = 1e-5
"""Of rows and bounds, in scaled units; HiGHS holds those of its own, unscaled, to 1e-7. [-]"""
ROUNDED = 3e-7
"""Part of what is taken by which more may be taken than there is: less than what `holds` lets pass. [-]"""
SERVED = 1e-6
"""Share of a demand from which a run counts as served. [-]"""


class Futured(NamedTuple):
    """Columns and rows of an exact assembly by the future they belong to, `SHARED` for several."""

    column: Integers
    row: Integers


def by_future(programme: Programme, assembly: Assembly) -> Futured:
    """The future of every column and row; rows of several futures with shared columns alone are shared."""
    matrix, states = assembly.matrix, assembly.states
    count = programme.futures.size
    future_of_state = np.full(states.size, SHARED)
    for f in range(count):
        future_of_state[states.of[:, f]] = f
    sharing = np.bincount(states.of.ravel(), minlength=states.size)
    future_of_state[sharing > 1] = SHARED
    # In a tree that parts more than once, futures hang together: all of them are one problem.
    together = bool(((sharing > 1) & (sharing < count)).any())
    if together or count == 1:
        future_of_state[:] = 0
    column = np.full(len(matrix.cost), SHARED)
    usage, bought, committed = assembly.usage, assembly.bought, assembly.committed
    column[usage.column] = future_of_state[usage.state]
    column[bought.pooled.column] = future_of_state[bought.pooled.state]
    column[assembly.unmet] = future_of_state[None, :]
    held = assembly.running >= 0
    column[assembly.running[held]] = np.broadcast_to(future_of_state, held.shape)[held]
    for state, spent in committed.spend:
        column[spent] = future_of_state[state]
    for _, state, short in committed.shortfall:
        column[short] = future_of_state[state]
    for state, _, back, _ in committed.rebate:
        column[back] = future_of_state[state]
    if "given" in matrix.blocks:
        column[matrix.blocks["given"]] = np.tile(
            future_of_state, len(assembly.matrix.cost[matrix.blocks["given"]]) // states.size
        )
    for one in bought.exercises:
        if together or count == 1:
            column[one.units] = 0
            continue
        alone = np.bincount(one.node) == 1
        future = np.full(len(one.units), SHARED)
        future[one.node[alone[one.node]]] = np.flatnonzero(alone[one.node])
        column[one.units] = future
    for name, block in matrix.blocks.items():
        if name.startswith("whole "):
            column[block] = SHARED
            column[matrix.blocks[f"exercised {name.split()[1]}"]] = SHARED
    row = np.full(len(matrix.row_lower), SHARED)
    entry = np.repeat(column, np.diff(matrix.start))
    own = entry != SHARED
    row[matrix.row[own]] = entry[own]
    return Futured(column, row)


def closed(programme: Programme, arrays: Arrays, assembly: Assembly, x: Floats) -> Bools:
    """Columns that must be 0: at closed sites, away from home, without the contract; not purchases."""
    usage, committed, bought = assembly.usage, assembly.committed, assembly.bought
    clusters, pooled = bought.clusters, bought.pooled
    opened = np.ones(len(arrays.opening), bool)
    opened[assembly.sites_opened] = x[assembly.opened[assembly.sites_opened]] > 0.5
    home = np.ones((len(arrays.floor), len(arrays.networks)), bool)
    home[arrays.placed] = False
    home[assembly.home_stream, assembly.home_network] = x[assembly.home] > 0.5
    held = {
        programme.contracts[c].name
        for c, z in zip(committed.contract, committed.signed, strict=True)
        if x[z] > 0.5
    }
    bound = np.array([o.contract != "" and o.contract not in held for o in programme.offers])
    site = arrays.site[usage.offer]
    out = np.zeros(len(x), bool)
    out[usage.column] = ~opened[site] | ~home[usage.stream, arrays.network[site]] | bound[usage.offer]
    out[clusters.column] = ~home[clusters.stream, arrays.network[clusters.site]]
    out[pooled.column] = (pooled.site >= 0) & ~home[pooled.stream, arrays.network[pooled.site]]
    for one in bought.exercises:
        out[one.units] = not opened[one.site]
    return out


def holds(assembly: Assembly, x: Floats) -> bool:
    """Whether a point is whole and within all bounds and rows but those that only measure risk."""
    m = assembly.matrix
    rows = m.times(x)
    slack = FEASIBLE * (1 + np.abs(rows))
    broken = (rows < m.row_lower - slack) | (rows > m.row_upper + slack)
    for name in ("costs of states", "excess"):
        if name in m.row_blocks:
            broken[m.row_blocks[name]] = False
    out = (x < m.lower - FEASIBLE) | (x > m.upper * (1 + FEASIBLE) + FEASIBLE)
    for name in ("cost of state", "value at risk", "beyond"):
        if name in m.blocks:
            out[m.blocks[name]] = False
    whole = np.abs(x - np.round(x))[m.integer] < FEASIBLE
    return not broken.any() and not out.any() and bool(whole.all())


class Outcome(NamedTuple):
    """x : a point of the exact assembly. feasible : whether it holds all rows. prices : of the rows."""

    x: Floats
    feasible: bool
    prices: Floats


def recourse(
    programme: Programme, arrays: Arrays, assembly: Assembly, futured: Futured, shared: Floats
) -> Outcome:
    """Best use in every future of a first stage.

    Parameters
    ----------
    programme, arrays, assembly
        The assembly over the futures' own nodes.
    futured : Futured
    shared : array
        A point; what is shared by several futures is held as it is there.
    """
    m = assembly.matrix
    skip = np.zeros(len(m.row_lower), bool)
    for name, block in m.row_blocks.items():
        skip[block] = name.startswith(MEANS)
    x = np.where(futured.column == SHARED, shared, 0.0)
    left = m.times(x)
    prices = np.zeros(len(m.row_lower))
    used = np.flatnonzero((futured.column != SHARED) & ~closed(programme, arrays, assembly, shared))
    order = used[np.argsort(futured.column[used], kind="stable")]
    bounds = np.searchsorted(futured.column[order], np.arange(futured.column.max() + 2))
    # What is shared may take a little more than there is, by the tolerance of a solver.
    lower, upper, little = m.row_lower - left, m.row_upper - left, ROUNDED * (1 + np.abs(left))
    lower[(lower > 0) & (lower < little)] = 0.0
    upper[(upper < 0) & (upper > -little)] = 0.0
    held = m._replace(row_lower=lower, row_upper=upper)

    def several(futures: Integers) -> list[tuple[Integers, Bools, highs.Solved]]:
        """Of some futures, one after the other: up to the first without any use."""
        alike, done = highs.Alike(), []
        for future in futures.tolist():
            columns = order[bounds[future] : bounds[future + 1]]
            rows = (futured.row == future) & ~skip
            part = held.part(columns, rows)
            found = alike.solve(part)
            if len(found.x) and part.integer.any():
                found = runs(arrays, assembly, part, columns, found)
            done.append((columns, rows, found))
            if not len(found.x):
                break
        return done

    # Each is near the one before it: in the order of what demand is worth.
    worth = np.tensordot(arrays.value, arrays.demand, 1).sum(0)[: int(futured.column.max()) + 1]
    parts = np.array_split(np.argsort(worth, kind="stable"), WORKERS)
    with ThreadPoolExecutor(WORKERS) as both:
        for columns, rows, found in chain.from_iterable(both.map(several, parts)):
            if not len(found.x):
                return Outcome(x, False, prices)
            x[columns] = found.x
            if len(found.duals):
                prices[rows] = found.duals
    return Outcome(x, True, prices)


def runs(
    arrays: Arrays, assembly: Assembly, part: Matrix, columns: Integers, found: highs.Solved
) -> highs.Solved:
    """Let runs that get less than their cluster stand still, until each has its cluster or nothing."""
    place = np.full(len(assembly.matrix.cost), -1)
    place[columns] = np.arange(len(columns))
    stream, state = np.nonzero(assembly.running >= 0)
    running = place[assembly.running[stream, state]]
    mine = running >= 0
    stream, state, running = stream[mine], state[mine], running[mine]
    unmet = place[assembly.unmet[stream, state]]
    demand = assembly.demand[stream, state]
    least = np.minimum(arrays.cluster[stream], demand) * (1 - SERVED)
    upper = part.upper.copy()
    while len(found.x):
        served = demand - found.x[unmet]
        runs = served >= least
        upper[running[~runs]] = 0.0
        if not (~runs & (served > SERVED * demand)).any():
            # What runs has its cluster, so that it may be said to run: that costs nothing.
            x = found.x.copy()
            x[running] = runs
            return found._replace(x=x)
        found = highs.solve(part, relaxed=True, upper=upper)
    return found

"""A plan near a relaxation's: homes, sites, tiers and rights, and the best of all else with them.

With what is binary held most columns are 0, all those of closed sites, and what is left is a small linear
programme.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations, islice
from time import perf_counter

import numpy as np

from armillary.portfolio import highs
from armillary.portfolio.arrays import Arrays
from armillary.portfolio.assembly import Assembly
from armillary.portfolio.calendar import Floats, Integers, sums
from armillary.portfolio.committing import years
from armillary.portfolio.matrix import Bools, Matrix
from armillary.portfolio.records import Contract, Programme
from armillary.portfolio.recourse import WORKERS, closed, runs

FIRST = ("home", "opened", "signed", "rights")
"""Blocks of binaries of the first stage."""
CLEAR = 0.02
"""Distance from 0 or 1 up to which a fraction is taken as whole. [-]"""
OPEN = 0.1
"""Fraction from which a site is opened, to begin with. [-]"""
FEWER = 0.01
"""By which fewer sites have to be cheaper to be taken: means hide what they lack when demand is high. [-]"""
BETTER = 1e-5
"""By which a change of sites has to be cheaper to be made. [-]"""
FIRST_SITES = 8
"""Sites of which two are opened at once where none is. [-]"""
TRIES = 4
"""Of tiers, each for what is spent under those of the one before. [-]"""


def rounded(
    programme: Programme,
    arrays: Arrays,
    assembly: Assembly,
    relaxed: Floats | None,
    chosen: dict[str, Floats] | None = None,
) -> Floats:
    """A point with whole binaries near a relaxed one; empty where none was found.

    Parameters
    ----------
    programme, arrays, assembly
    relaxed : array or None
        A point; the best with `chosen` held by default.
    chosen : dict or None
        Binaries by block that are held as they are given; with a point, tiers are only begun with.
    """
    m = assembly.matrix
    x = best(programme, arrays, assembly, chosen or {}) if relaxed is None else relaxed
    whole = any(name.startswith("whole ") for name in m.blocks)
    if not len(x) or (relaxed is None and not whole):
        return x
    held = {
        "home": _homes(assembly, x),
        "rights": (x[assembly.bought.rights] > 0.5).astype(float),
        **{name: np.round(x[block]) for name, block in m.blocks.items() if name.startswith("whole ")},
        **(chosen or {}),
    }
    choices = [held["opened"]] if "opened" in held else _sites(arrays, assembly, x, held["home"])
    tiers = held["signed"] if "signed" in held else tiers_of(programme, arrays, assembly, x)
    point, value = np.zeros(0), np.inf
    for opened in choices:
        found = best(programme, arrays, assembly, {**held, "opened": opened, "signed": tiers})
        if len(found) and m.cost @ found < value * (1 - FEWER * (len(point) > 0)):
            point, value = found, float(m.cost @ found)
            held["opened"] = opened
    for _ in range(TRIES if len(point) else 0):
        again = tiers_of(programme, arrays, assembly, point)
        if np.array_equal(again, tiers):
            break
        tiers = again
        found = best(programme, arrays, assembly, {**held, "signed": tiers})
        if not len(found) or m.cost @ found >= value:
            break
        point, value = found, float(m.cost @ found)
    return point


def best(programme: Programme, arrays: Arrays, assembly: Assembly, held: dict[str, Floats]) -> Floats:
    """The best point with binaries held, by block; empty where there is none.

    Homes that are not held may be parts of any network with an opened site.
    """
    m = assembly.matrix
    lower, upper = m.lower.copy(), m.upper.copy()
    for name, value in held.items():
        lower[m.blocks[name]] = upper[m.blocks[name]] = np.round(value)
    part, columns = narrowed(programme, arrays, assembly, lower, upper)
    found = highs.solve(part, relaxed=True)
    if len(found.x):
        found = runs(arrays, assembly, part, columns, found)
    if not len(found.x):
        return found.x
    x = np.zeros(len(m.cost))
    x[columns] = found.x
    return x


def narrowed(
    programme: Programme, arrays: Arrays, assembly: Assembly, lower: Floats, upper: Floats
) -> tuple[Matrix, Integers]:
    """The programme over sites that may be open alone, and which columns it has; all others are 0.

    Parameters
    ----------
    programme, arrays, assembly
    lower, upper : array
        Bounds of columns; a site is closed and a run away from a home where the upper one is 0.
    """
    m, bought = assembly.matrix, assembly.bought
    upper = upper.copy()
    there = open_sites(arrays, assembly, upper)
    near = np.isin(assembly.home_network, arrays.network[there])
    upper[assembly.home] = np.maximum(lower[assembly.home], upper[assembly.home] * near)
    out = closed(programme, arrays, assembly, upper)
    out[bought.columns] |= ~there[arrays.site[bought.purchases.offer]]
    columns = np.flatnonzero(~out & ((lower != 0) | (upper != 0)))
    part = m._replace(lower=lower, upper=upper).part(columns, np.ones(len(m.row_lower), bool))
    kept = ~part.emptied(np.zeros(len(columns), bool))
    rows = (m.row_lower > 0) | (m.row_upper < 0)
    rows[part.row[np.repeat(kept, np.diff(part.start))]] = True
    return part.part(np.flatnonzero(kept), rows), columns[kept]


def exchanged(
    programme: Programme,
    arrays: Arrays,
    assembly: Assembly,
    point: Floats,
    relaxed: Floats,
    seconds: float,
    tried: set[bytes] | None = None,
    most: int | None = None,
) -> Floats:
    """A point with other rights, tiers and sites, as long as one change at a time makes it cheaper.

    Parameters
    ----------
    programme, arrays, assembly
    point : array
        To begin with; it is given back where no change is cheaper.
    relaxed : array
        Sites that it uses most, then those that cost least, are tried first.
    seconds : float
        Time limit. [s]
    tried : set or None
        Choices that are known to be no cheaper; those of this search are added.
    most : int or None
        Sites that are exchanged, those that are tried first; all by default.
    """
    until = perf_counter() + seconds
    tried = set() if tried is None else tried
    m = assembly.matrix
    held = {
        name: np.round(point[block])
        for name, block in m.blocks.items()
        if name in ("signed", "rights", "opened") or name.startswith("whole ")
    }
    order = np.lexsort((m.cost[m.blocks["opened"]], -relaxed[m.blocks["opened"]]))[:most]
    found, value = point, float(m.cost @ point)
    moves = _moves(assembly, held, order, tried)
    with ThreadPoolExecutor(WORKERS) as both:
        while perf_counter() < until and (trials := list(islice(moves, WORKERS))):
            others = list(both.map(lambda trial: best(programme, arrays, assembly, trial), trials))
            costs = [float(m.cost @ other) if len(other) else np.inf for other in others]
            first = int(np.argmin(costs))
            if costs[first] < value * (1 - BETTER):
                held, found, value = trials[first], others[first], costs[first]
                moves = _moves(assembly, held, order, tried)
    if found is point:
        return point
    whole = best(programme, arrays, assembly, {**held, "home": _homes(assembly, found)})
    return whole if len(whole) and m.cost @ whole < m.cost @ point else point


def _moves(
    assembly: Assembly, held: dict[str, Floats], order: Integers, tried: set[bytes]
) -> Iterator[dict[str, Floats]]:
    """What is held with one change that was not tried: of a right, a tier, or of sites."""
    for name, change in _changes(assembly, held, order):
        values = held[name].copy()
        values[list(change)] = list(change.values())
        trial = {**held, name: values}
        key = b"".join(trial[name].tobytes() for name in ("rights", "signed", "opened"))
        if key not in tried:
            tried.add(key)
            yield trial


def _changes(
    assembly: Assembly, held: dict[str, Floats], order: Integers
) -> Iterator[tuple[str, dict[int, float]]]:
    """Blocks of binaries and what may change in them: sites are closed, then exchanged, then opened."""
    for i, right in enumerate(held["rights"]):
        yield "rights", {i: 1 - right}
    committed = assembly.committed
    affordable = assembly.matrix.upper[committed.signed] > 0
    for c in np.unique(committed.contract):
        mine = np.flatnonzero(committed.contract == c).tolist()
        none = dict.fromkeys(mine, 0.0)
        for change in (none, *({**none, i: 1.0} for i in mine if affordable[i])):
            if any(held["signed"][i] != value for i, value in change.items()):
                yield "signed", change
    for change in changes(held["opened"], order):
        yield "opened", change


def changes(opened: Floats, order: Integers) -> Iterator[dict[int, float]]:
    """What may change in opened sites: they are closed, then exchanged, then opened."""
    there = opened > 0.5
    used, others = order[there[order]][::-1].tolist(), order[~there[order]].tolist()
    if used:
        yield dict.fromkeys(used, 0.0)
    else:  # a share of each provider may ask for two
        for pair in combinations(others[:FIRST_SITES], 2):
            yield dict.fromkeys(pair, 1.0)
    for a in used:
        yield {a: 0.0}
    for b in others:
        for a in used:
            yield {a: 0.0, b: 1.0}
    for b in others:
        yield {b: 1.0}


def open_sites(arrays: Arrays, assembly: Assembly, x: Floats) -> Bools:
    """Whether each site is open; those that cost nothing to open are."""
    opened = np.ones(len(arrays.opening), bool)
    opened[assembly.sites_opened] = x[assembly.opened[assembly.sites_opened]] > 0.5
    return opened


def _homes(assembly: Assembly, x: Floats) -> Floats:
    """The network that has most of each run, if it runs at all."""
    home = np.zeros(len(assembly.home))
    for w in np.unique(assembly.home_stream):
        mine = np.flatnonzero(assembly.home_stream == w)
        first = mine[x[assembly.home[mine]].argmax()]
        home[first] = 1.0 if x[assembly.home[mine]].sum() > 0.5 else 0.0
    return home


def _sites(arrays: Arrays, assembly: Assembly, x: Floats, home: Floats) -> list[Floats]:
    """Those opened by more than a small part, homes among them; and the most opened, as many as in all."""
    sites = assembly.sites_opened
    part = x[assembly.opened[sites]]
    homes = assembly.home_network[home > 0.5]
    wide = (part > OPEN) | (np.isin(arrays.network[sites], homes) & (part > CLEAR))
    few = np.zeros(len(part), bool)
    few[np.argsort(-part, kind="stable")[: round(float(part.sum()))]] = True
    return [one.astype(float) for one in ((wide,) if np.array_equal(wide, few) else (wide, few))]


def tiers_of(programme: Programme, arrays: Arrays, assembly: Assembly, x: Floats) -> Floats:
    """For each contract the tier that saves most on what a point spends with its provider, if any does."""
    committed, states, m = assembly.committed, assembly.states, assembly.matrix
    signed = np.zeros(len(committed.signed))
    affordable = m.upper[committed.signed] > 0
    quarters = programme.calendar.quarters
    left: dict[str, Floats] = {}
    for c, contract in enumerate(programme.contracts):
        mine = np.flatnonzero((committed.contract == c) & affordable)
        if contract.provider not in left:
            p = arrays.providers.index(contract.provider)
            left[contract.provider] = np.maximum(-m.times(x)[m.row_blocks[f"list price {p}"]], 0.0)
        # Spending that is under no contract, and under this.
        spent = left[contract.provider].copy()
        for i in np.flatnonzero(committed.contract == c):
            state, column = committed.spend[i]
            np.add.at(spent, state, x[column])
        mean = sums(states.quarter, states.probability * spent, quarters)
        saved = [_saved(arrays, contract, int(committed.tier[i]), mean) for i in mine]
        wanted = x[committed.signed[mine]].sum() > 0.5 or contract.signed
        if saved and (wanted or max(saved) > 0):
            signed[mine[int(np.argmax(saved))]] = 1.0
            left[contract.provider][:] = 0.0
    return signed


def _saved(arrays: Arrays, contract: Contract, tier: int, spent: Floats) -> float:
    """What a tier saves on spending at list prices by quarter, less what is paid for what is not taken."""
    kind = contract.tiers[tier]
    saved = 0.0
    for first, end, share in years(contract, len(spent)):
        saved += float(kind.discount * (arrays.factor[first:end] @ spent[first:end]))
        take = contract.minimum_take * share * kind.least / arrays.scales.money
        short = take - (1 - kind.discount) * float(spent[first:end].sum())
        saved -= float(arrays.factor[end - 1]) * max(short, 0.0)
    return saved

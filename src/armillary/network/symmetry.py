"""Symmetry of flows: alike flows get alike rates, so that one of each class is enough.

A partition of flows and links is equitable if all flows of a class cross the same number of links of each
class, and all links of a class carry the same number of flows of each class, usages included. By induction
over the steps of progressive filling, the links of a class are full at the same level and the flows of a
class have the same rate; over events, they finish together. Colour refinement finds the coarsest such
partition (Paige and Tarjan 1987, doi:10.1137/0216062). No symmetry group is needed. Colours are 64-bit
hashes: two unlike ones of a million agree with a probability near 1e-7, and which class has which hash does
not matter.

A round costs two passes over the routes' entries; rings on a Clos take two or three, as much as one or two
full solutions: it pays where rates are worked out often. `classes` needs one round, which is their check.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from armillary.errors import InputError
from armillary.network.graph import Order
from armillary.network.max_min import checked_capacity, checked_routes
from armillary.network.routes import Routes

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Colours = NDArray[np.uint64]


class Reduced(NamedTuple):
    """Flows and links of one of each class.

    capacity : `[link class]` of one link [byte/s]. routes : of one flow of each class; the usage is what all
    flows of the class put on one link of the link's class [-]. flow, link : `[class]` the member that stands
    for the class. flow_class : `[flow]`; link_class : `[link]`, -1 for links without flows. order : of the
    classes, if one was given.
    """

    capacity: Floats
    routes: Routes
    flow: Integers
    link: Integers
    flow_class: Integers
    link_class: Integers
    order: Order | None


def reduced(
    capacity: ArrayLike,
    routes: Routes,
    alike: tuple[Floats, ...] = (),
    order: Order | None = None,
    classes: ArrayLike | None = None,
    most_rounds: int = 1000,
) -> Reduced:
    """Find the classes of flows and links, or check given ones, and make the small problem of one of each.

    Parameters
    ----------
    capacity, routes
        As in `max_min`.
    alike : tuple of `[flow]`
        What flows of one class must share: weights, caps, sizes and so on; empty ones are passed over.
    order : Order, optional
        Flows of one class are in the same group and wait for flows of the same classes.
    classes : `[flow]`, optional
        Classes known to the caller, whole numbers of any value.
    most_rounds : int
        Rounds of refinement after which it gives up; each splits a class, so that a long chain that is
        different at one end takes as many rounds as links. [-]

    Raises
    ------
    InputError
        If given classes are not equitable, naming a flow; if there were too many rounds.

    Examples
    --------
    Three flows of a ring of three links are one class.

    >>> ring = Routes(np.array([0, 1, 2, 3]), np.array([0, 1, 2], np.int32))
    >>> reduced([5.0, 5.0, 5.0], ring).capacity
    array([5.])
    """
    from armillary.network.refinement import numbered, recolour_flows, recolour_links

    held = checked_capacity(capacity)
    routes = checked_routes(routes, len(held))
    n = routes.flows
    usage = np.empty(0, np.uint64) if routes.usage is None else routes.usage.view(np.uint64)
    seed = _seeds([np.zeros(n), *(a for a in alike if len(a))])
    before = after = np.empty(0, np.int64)
    if order is not None:
        seed = _seeds([seed, order.group, order.delay[:n]])
        before, after = order.before, order.after
    if classes is not None:
        given = np.ascontiguousarray(classes, np.int64)
        if given.shape != (n,):
            raise InputError(f"classes have shape {given.shape}; there are {n} flows")
        seed = _seeds([given])
    link_seed = _seeds([held])
    nodes = n if order is None else order.nodes
    inside = after < n
    before, after = before[inside], after[inside]
    node_colour = _seeds([np.arange(nodes)])
    flow_colour, link_colour = seed.copy(), np.empty(len(held), np.uint64)
    kinds, first = np.empty(n, np.int32), np.empty(n, np.int32)
    count, rounds = int(numbered(flow_colour, kinds, first)), 0
    while True:
        recolour_links(routes.offsets, routes.links, usage, flow_colour, link_seed, link_colour)
        node_colour[:n] = flow_colour
        old, fresh = flow_colour, np.empty(n, np.uint64)
        recolour_flows(
            routes.offsets, routes.links, usage, before, after, link_colour, seed, node_colour, fresh
        )
        were, count = count, int(numbered(fresh, kinds, first))
        rounds += 1
        flow_colour = fresh
        if count == were:
            break
        if classes is not None:
            raise InputError(_uneven(given, fresh, old))
        if rounds >= most_rounds:
            raise InputError(
                f"no classes after {rounds} rounds of refinement, {count} so far; simulate without symmetry"
            )
    recolour_links(routes.offsets, routes.links, usage, flow_colour, link_seed, link_colour)
    if classes is not None:
        _refuse_unlike(kinds, first[:count], alike, order)
    return _quotient(held, routes, kinds, first[:count], link_colour, order)


def _quotient(
    capacity: Floats,
    routes: Routes,
    kinds: NDArray[np.int32],
    first: NDArray[np.int32],
    link_colour: Colours,
    order: Order | None,
) -> Reduced:
    from armillary.network.refinement import numbered

    used = np.unique(routes.links)
    link_kinds, link_first = np.empty(len(used), np.int32), np.empty(len(used), np.int32)
    links = int(numbered(link_colour[used], link_kinds, link_first))
    link_class = np.full(len(capacity), -1, np.int64)
    link_class[used] = link_kinds
    stands = used[link_first[:links]].astype(np.int64)
    # What each class of flows puts on the link that stands for its class.
    chosen = np.zeros(len(capacity), np.bool_)
    chosen[stands] = True
    entry = np.flatnonzero(chosen[routes.links])
    flow_of = np.searchsorted(routes.offsets, entry, "right") - 1
    pair = kinds[flow_of].astype(np.int64) * links + link_class[routes.links[entry]]
    pairs, at = np.unique(pair, return_inverse=True)
    amount = np.ones(len(entry)) if routes.usage is None else routes.usage[entry]
    usage = np.bincount(at, weights=amount, minlength=len(pairs)).astype(float)
    offsets = np.zeros(len(first) + 1, np.int64)
    np.cumsum(np.bincount(pairs // links, minlength=len(first)) if links else 0, out=offsets[1:])
    small = Routes(offsets, (pairs % max(links, 1)).astype(np.int32), usage)
    return Reduced(
        capacity[stands],
        small,
        first.astype(np.int64),
        stands,
        kinds.astype(np.int64),
        link_class,
        None if order is None else _of_classes(order, kinds, first),
    )


def _of_classes(order: Order, kinds: NDArray[np.int32], first: NDArray[np.int32]) -> Order:
    """Order of one flow a class; edges to flows that stand for nothing repeat those of the one that does."""
    n, small = len(order.group), len(first)
    node = np.concatenate([kinds, small + np.arange(order.groups)]).astype(np.int64)
    kept = np.ones(order.nodes, np.bool_)
    kept[:n] = False
    kept[first] = True
    edge = kept[order.after]
    pairs = np.unique(np.stack([node[order.before[edge]], node[order.after[edge]]], axis=1), axis=0)
    delay = np.concatenate([order.delay[first], order.delay[n:]])
    return Order(order.group[first], order.groups, pairs[:, 0].copy(), pairs[:, 1].copy(), delay)


def _seeds(columns: list[NDArray[np.float64] | NDArray[np.int64] | Colours]) -> Colours:
    """One hash a row of what the columns hold."""
    total = np.zeros(len(columns[0]), np.uint64)
    for column in columns:
        total = (total ^ np.ascontiguousarray(column).view(np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
        total ^= total >> np.uint64(29)
        total *= np.uint64(0xBF58476D1CE4E5B9)
        total ^= total >> np.uint64(32)
    return total


def _uneven(given: Integers, fresh: Colours, old: Colours) -> str:
    """Say which flow of a given class differs from the first of it."""
    _, head, back = np.unique(given, return_index=True, return_inverse=True)
    odd = int(np.argmax(fresh != fresh[head[back]]))
    return (
        f"classes are not equitable: flow {odd} and flow {head[back[odd]]} are both of class {given[odd]}, "
        "but their links carry other classes of flows, or have other capacities; split the class"
    )


def _refuse_unlike(
    kinds: NDArray[np.int32], first: NDArray[np.int32], alike: tuple[Floats, ...], order: Order | None
) -> None:
    columns = [a for a in alike if len(a)]
    if order is not None:
        columns += [order.group.astype(float), order.delay[: len(kinds)]]
    for column in columns:
        other = column != column[first[kinds]]
        if other.any():
            flow = int(np.argmax(other))
            raise InputError(
                f"flow {flow} and flow {first[kinds[flow]]} are of one class but differ in weight, cap, "
                f"size, arrival, latency, group or delay: {column[flow]!s} and {column[first[kinds[flow]]]!s}"
            )

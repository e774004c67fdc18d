"""Flows on a fabric until the last is done, at max-min fair rates that change at starts and completions.

Between two events rates are constant, so that completion times are exact up to rounding: no packets, no time
steps. Rates are mended where they change (`sweep`), or found anew (`filling`) where that is less work.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from armillary.errors import ArmillaryError, InputError
from armillary.network.graph import FlowGraph, Order, checked_order
from armillary.network.max_min import (
    NONE,
    checked_capacity,
    checked_caps,
    checked_routes,
    checked_values,
    limits,
    room,
)
from armillary.network.routes import Routes

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

LOCAL_SHARE = 0.2
"""Work of a local solution over that of a full one beyond which it is given up; tuned by
``benchmarks/network.py``, without effect on answers. [-]"""


class Completion(NamedTuple):
    """What a simulation found.

    start : `[flow]` first byte sent [s]. finish : `[flow]` last byte arrived [s].
    group_finish : `[group]` [s]. link_bytes : `[link]` carried in all [byte].
    events : moments at which anything started or finished [-]. solves : times that rates were worked out, of
    which `full` for all flows anew [-].
    exact : whether `tolerance` was 0: times are then right up to rounding.
    error_bound : largest share of its size that a flow had not moved when it was called finished: the times
    are exact for sizes smaller by at most this share [-].
    """

    start: Floats
    finish: Floats
    group_finish: Floats
    link_bytes: Floats
    events: int
    solves: int
    full: int
    exact: bool
    error_bound: float

    @property
    def makespan(self) -> float:
        """When the last flow or group is done [s]."""
        return float(max(self.finish.max(initial=0.0), self.group_finish.max(initial=0.0)))


def simulate(
    capacity: ArrayLike,
    routes: Routes,
    size: ArrayLike,
    *,
    arrival: ArrayLike | None = None,
    weight: ArrayLike | None = None,
    cap: ArrayLike | None = None,
    latency: ArrayLike | None = None,
    order: Order | None = None,
    tolerance: float = 0.0,
    symmetry: bool = False,
    classes: ArrayLike | None = None,
    local_share: float = LOCAL_SHARE,
) -> Completion:
    """Run flows to the last completion.

    Parameters
    ----------
    capacity : `[link]`
        Above 0. [byte/s]
    routes : Routes
    size : number or `[flow]`
        0 or more. [byte]
    arrival : `[flow]`, optional
        Earliest release; 0 by default. [s]
    weight, cap : `[flow]`, optional
        As in `max_min`.
    latency : number or `[flow]`, optional
        From a flow's release, that is its arrival and the end of all it waits for, to its first byte. [s]
    order : Order, optional
        Groups and dependencies.
    tolerance : float
        0 is exact. Else a flow counts as finished, at any event, once at most this share of its size is left,
        which makes events fewer: the times are the exact ones of sizes smaller by at most this share. On one
        shared link that makes each time smaller by at most this share, too. On networks one completion can
        slow another flow; there the change of a time is the share times a condition number, which is 1 where
        no time falls as a size grows. [-]
    symmetry : bool
        Simulate one flow of each class of alike flows; same answer (see `symmetry`).
    classes : `[flow]`, optional
        Classes of alike flows known to the caller; they are checked, not searched.
    local_share : float
        When to work out all rates anew: at 0 at each event, at infinity never but for crowds; no effect on
        the answer. [-]

    Raises
    ------
    InputError
        Naming the flow, link, group or edge whose input is wrong, or a node of a cycle of dependencies.
    ArmillaryError
        If bytes were not conserved, which would be a fault of this simulator.

    Notes
    -----
    Events are at most twice the flows plus the groups: each starts or finishes a node for good.

    Examples
    --------
    Two flows share a link of 10 byte/s; when the small one is done, the large one has it alone.

    >>> routes = Routes(np.array([0, 1, 2]), np.array([0, 0], np.int32))
    >>> simulate([10.0], routes, [50.0, 100.0]).finish
    array([10., 15.])
    """
    held = checked_capacity(capacity)
    routes = checked_routes(routes, len(held))
    n = routes.flows
    sizes = _per_flow(size, n, "size")
    arrivals, latencies = _per_flow(arrival, n, "arrival"), _per_flow(latency, n, "latency")
    weights, caps = checked_values(weight, n, "weight"), checked_caps(cap, routes)
    if not 0 <= tolerance < 1:
        raise InputError(f"tolerance must be from 0 to below 1. Got {tolerance!r} instead.")
    if order is None:
        nothing = np.empty(0, np.int64)
        order = Order(np.full(n, -1, np.int64), 0, nothing, nothing, np.zeros(n))
    order = checked_order(order, n)
    if symmetry or classes is not None:
        from armillary.network.symmetry import reduced

        small = reduced(
            held, routes, (sizes, arrivals, latencies, weights, caps), order=order, classes=classes
        )
        pick = small.flow
        found = _run(
            small.capacity,
            small.routes,
            sizes[pick],
            arrivals[pick],
            latencies[pick],
            weights[pick] if len(weights) else NONE,
            caps[pick] if len(caps) else NONE,
            small.order or order,
            tolerance,
            local_share,
        )
        return found._replace(
            start=found.start[small.flow_class],
            finish=found.finish[small.flow_class],
            link_bytes=np.where(small.link_class >= 0, found.link_bytes[small.link_class], 0.0),
        )
    return _run(held, routes, sizes, arrivals, latencies, weights, caps, order, tolerance, local_share)


def simulate_graph(
    capacity: ArrayLike,
    graph: FlowGraph,
    tolerance: float = 0.0,
    symmetry: bool = False,
    local_share: float = LOCAL_SHARE,
) -> Completion:
    """Run a graph of flows; see `simulate`.

    Examples
    --------
    >>> from armillary.network.graph import phase
    >>> step = phase(Routes(np.array([0, 1]), np.array([0], np.int32)), 50.0, latency=1.0)
    >>> simulate_graph([10.0], step.then(step)).group_finish
    array([ 6., 12.])
    """
    return simulate(
        capacity,
        graph.routes,
        graph.size,
        latency=graph.latency,
        order=graph.order,
        tolerance=tolerance,
        symmetry=symmetry,
        local_share=local_share,
    )


def _run(
    capacity: Floats,
    routes: Routes,
    size: Floats,
    arrival: Floats,
    latency: Floats,
    weight: Floats,
    cap: Floats,
    order: Order,
    tolerance: float,
    local_share: float,
) -> Completion:
    """Simulate what was checked."""
    from armillary.network import events

    n, nodes = routes.flows, order.nodes
    after_begin, after = _rows(order.before, order.after, nodes)
    members = np.flatnonzero(order.group >= 0)
    group_begin, group_flows = _rows(order.group[members], members, order.groups)
    waits = np.bincount(order.after, minlength=nodes) + 1
    waits[members] += 1
    _refuse_cycles(order, waits, after_begin, after, group_begin, group_flows)
    begin = np.zeros(len(capacity) + 1, np.int64)
    np.cumsum(np.bincount(routes.links, minlength=len(capacity)), out=begin[1:])
    start, finish = np.zeros(n), np.zeros(nodes)
    left, counts = np.zeros(n), np.zeros(8, np.int64)
    usage = NONE if routes.usage is None else routes.usage
    fine = events.run(
        routes.offsets,
        routes.links,
        usage,
        weight,
        limits(weight, cap),
        capacity,
        begin,
        size,
        arrival,
        latency,
        order.delay,
        order.group,
        group_begin,
        group_flows,
        after_begin,
        after,
        waits,
        float(tolerance),
        float(local_share),
        start,
        finish,
        left,
        counts,
        np.empty((len(capacity), 8)),
        np.empty((3, len(routes.links)), np.int32),
        np.empty(len(routes.links)),
        np.empty(len(routes.links) if len(usage) or len(weight) else 0),
        np.empty((6, n)),
        np.empty((6, n), np.int32),
        *room(len(capacity), n if len(cap) else 0),
    )
    flow_of = np.repeat(np.arange(n), np.diff(routes.offsets))
    amount = size[flow_of] * usage if len(usage) else size[flow_of]
    carried = np.bincount(routes.links, weights=amount, minlength=len(capacity)).astype(float)
    bound = float(np.abs(left).max(initial=0.0))
    span = finish[:n].max(initial=0.0) - start.min(initial=np.inf) if n else 0.0
    most = capacity * span * (1 + 1e-9) + (bound + 1e-12) * carried
    rounding = 1e-9 * max(finish.max(initial=0.0) / max(span, 1e-300), 1.0)
    if not fine or bound > tolerance + rounding or (carried > most + rounding * carried).any():
        raise ArmillaryError(
            f"bytes were not conserved: {bound:.3g} of a flow's size is missing, "
            f"{(carried / np.maximum(most, 1e-300)).max(initial=0.0):.6g} of what a link can carry; "
            "please report this as a fault with its input"
        )
    return Completion(
        start,
        finish[:n],
        finish[n:],
        carried,
        int(counts[events.EVENTS]),
        int(counts[events.LOCAL] + counts[events.FULL]),
        int(counts[events.FULL]),
        tolerance == 0,
        bound,
    )


def _per_flow(given: ArrayLike | None, flows: int, name: str) -> Floats:
    return checked_values(0.0 if given is None else given, flows, name, least_open=False)


def _rows(keys: Integers, values: Integers, rows: int) -> tuple[Integers, Integers]:
    """Values by key in compressed rows."""
    begin = np.zeros(rows + 1, np.int64)
    np.cumsum(np.bincount(keys, minlength=rows), out=begin[1:])
    return begin, np.ascontiguousarray(values[np.argsort(keys, kind="stable")], np.int64)


def _refuse_cycles(
    order: Order,
    waits: Integers,
    after_begin: Integers,
    after: Integers,
    group_begin: Integers,
    group_flows: Integers,
) -> None:
    if len(order.before) == 0:
        return
    from armillary.network.cycles import blocked

    stuck = blocked(waits.copy(), order.group, after_begin, after, group_begin, group_flows)
    if not stuck.any():
        return
    flows = len(order.group)
    node, seen = int(np.argmax(stuck)), list[int]()
    while node not in seen:
        seen.append(node)
        before = order.before[order.after == node]
        before = before[stuck[before]]
        if len(before):
            node = int(before[0])
        elif node < flows:
            node = flows + int(order.group[node])
        else:
            inside = np.flatnonzero(stuck[:flows] & (order.group == node - flows))
            node = int(inside[0])
    cycle = [order.name(i) for i in reversed(seen[seen.index(node) :])]
    raise InputError(f"dependencies form a cycle: {' -> '.join([*cycle[:8], cycle[0]])}; remove one of them")

"""`FlowGraph`: flows in groups, and which wait for which; a collective is a chain of groups, a barrier each.

A node is a flow, or a group: number of flows + its number. A group opens when all that it waits for is
finished, its flows start then, and it finishes with the last of them (at once if it has none, which makes it
a barrier).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from armillary.errors import InputError
from armillary.network.routes import Routes

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Router = Callable[[Integers, Integers], Routes]
"""What gives the routes of messages from `source` `[flow]` to `target` `[flow]`, both hosts."""


class Order(NamedTuple):
    """What waits for what.

    group : `[flow]` the flow's group, -1 if none [-]. groups : number of groups [-].
    before, after : `[edge]` node that must finish, and node that waits for it [-].
    delay : `[node]` between the end of the wait and the start, e.g. of a kernel's launch [s].
    """

    group: Integers
    groups: int
    before: Integers
    after: Integers
    delay: Floats

    @property
    def nodes(self) -> int:
        """Flows and groups [-]."""
        return len(self.group) + self.groups

    def name(self, node: int) -> str:
        """A node in words."""
        flows = len(self.group)
        return f"flow {node}" if node < flows else f"group {node - flows}"


def order(
    flows: int,
    group: ArrayLike | None = None,
    groups: int = 0,
    edges: Sequence[tuple[int, int]] | NDArray[np.int64] = (),
    delay: ArrayLike | float = 0.0,
) -> Order:
    """Make an `Order` and check it.

    Parameters
    ----------
    flows, groups : int
        Numbers of each. [-]
    group : `[flow]`, optional
        Group of each flow, -1 or left out for none. [-]
    edges : `[edge, 2]`
        (node that must finish, node that waits). [-]
    delay : float or `[node]`
        See `Order`. [s]

    Raises
    ------
    InputError
        If a group or node does not exist, or a delay is negative.

    Examples
    --------
    >>> order(2, edges=[(0, 1)]).after
    array([1])
    """
    pairs = np.asarray(edges, np.int64).reshape(-1, 2)
    held = np.full(flows, -1, np.int64) if group is None else np.ascontiguousarray(group, np.int64)
    waits = np.ascontiguousarray(np.broadcast_to(np.asarray(delay, float), (flows + groups,)))
    return checked_order(Order(held, groups, pairs[:, 0].copy(), pairs[:, 1].copy(), waits), flows)


def checked_order(given: Order, flows: int) -> Order:
    """Check the ranges of an order; cycles are found by `flows.simulate`.

    Raises
    ------
    InputError
        Naming the first flow, edge or node that is wrong.
    """
    nodes = flows + given.groups
    if len(given.group) != flows or len(given.delay) != nodes or len(given.before) != len(given.after):
        raise InputError(
            f"the order has groups of {len(given.group)} flows, {len(given.delay)} delays and edges "
            f"{len(given.before)} to {len(given.after)}; there are {flows} flows and {nodes} nodes"
        )
    wrong = (given.group < -1) | (given.group >= given.groups)
    if wrong.any():
        flow = int(np.argmax(wrong))
        raise InputError(
            f"flow {flow} is in group {given.group[flow]}; groups are 0 to {given.groups - 1}, -1 for none"
        )
    for ends in (given.before, given.after):
        wrong = (ends < 0) | (ends >= nodes)
        if wrong.any():
            edge = int(np.argmax(wrong))
            raise InputError(
                f"edge {edge} has node {ends[edge]}; nodes are 0 to {nodes - 1}, flows first, then groups"
            )
    wrong = ~((given.delay >= 0) & (given.delay < np.inf))
    if wrong.any():
        node = int(np.argmax(wrong))
        raise InputError(
            f"delay of {given.name(node)} must be 0 or more and finite. Got {given.delay[node]!s} instead."
        )
    return given


@dataclass(frozen=True, slots=True)
class FlowGraph:
    """Flows, all in groups, and the groups' order.

    routes : links of each flow. size : `[flow]` [byte]. latency : `[flow]` from a flow's release to its first
    byte [s]. group : `[flow]` from 0 up. groups : number [-]. before, after : `[edge]` groups. delay :
    `[group]` [s]. names : `[group]` what traces call them.
    """

    routes: Routes
    size: Floats
    latency: Floats
    group: Integers
    groups: int
    before: Integers
    after: Integers
    delay: Floats
    names: tuple[str, ...]

    @property
    def flows(self) -> int:
        """Number of flows [-]."""
        return len(self.size)

    @property
    def order(self) -> Order:
        """The order as `flows.simulate` takes it."""
        n = self.flows
        delay = np.concatenate([np.zeros(n), self.delay])
        return Order(self.group, self.groups, self.before + n, self.after + n, delay)

    def then(self, following: FlowGraph) -> FlowGraph:
        """Start `following` when all of this has finished."""
        return chain([self, following])

    def beside(self, other: FlowGraph) -> FlowGraph:
        """Run both at once."""
        return together([self, other])

    def after_delay(self, delay: float) -> FlowGraph:
        """Open the groups that wait for nothing `delay` later [s]."""
        changed = self.delay.copy()
        changed[_free(self.groups, self.after)] += delay
        return replace(self, delay=changed)


def phase(routes: Routes, size: ArrayLike, latency: ArrayLike = 0.0, name: str = "phase") -> FlowGraph:
    """Flows that start together: one group, e.g. a step of a collective.

    Parameters
    ----------
    routes : Routes
    size, latency : number or `[flow]`
        Of each flow. [byte], [s]
    name : str
        For traces.

    Examples
    --------
    >>> phase(Routes(np.array([0, 1]), np.array([0], np.int32)), 1e9).groups
    1
    """
    n = routes.flows
    sizes, latencies = (np.array(np.broadcast_to(np.asarray(v, float), (n,))) for v in (size, latency))
    nothing = np.empty(0, np.int64)
    return FlowGraph(
        routes, sizes, latencies, np.zeros(n, np.int64), 1, nothing, nothing, np.zeros(1), (name,)
    )


def together(graphs: Sequence[FlowGraph]) -> FlowGraph:
    """Run graphs at once, e.g. the collectives of several jobs on one fabric.

    Raises
    ------
    InputError
        If there are none.
    """
    if not graphs:
        raise InputError("a flow graph needs at least one part")
    first = np.cumsum([0, *(g.groups for g in graphs)])
    shifted = list(zip(graphs, first, strict=False))
    return FlowGraph(
        joined([g.routes for g in graphs]),
        np.concatenate([g.size for g in graphs]),
        np.concatenate([g.latency for g in graphs]),
        np.concatenate([g.group + f for g, f in shifted]),
        int(first[-1]),
        np.concatenate([g.before + f for g, f in shifted]),
        np.concatenate([g.after + f for g, f in shifted]),
        np.concatenate([g.delay for g in graphs]),
        tuple(name for g in graphs for name in g.names),
    )


def chain(graphs: Sequence[FlowGraph]) -> FlowGraph:
    """Run graphs one after the other: each waits for all of the one before.

    Between several last and several first groups stands an empty group, so that edges stay few.
    """
    whole = together(graphs)
    before, after = [whole.before], [whole.after]
    groups, first = whole.groups, 0
    for here, following in pairwise(graphs):
        ends = first + _free(here.groups, here.before)
        first += here.groups
        starts = first + _free(following.groups, following.after)
        if len(ends) > 1 and len(starts) > 1:
            before += [ends, np.full(len(starts), groups)]
            after += [np.full(len(ends), groups), starts]
            groups += 1
        else:
            before.append(np.repeat(ends, len(starts)))
            after.append(np.tile(starts, len(ends)))
    barriers = groups - whole.groups
    return replace(
        whole,
        groups=groups,
        before=np.concatenate(before),
        after=np.concatenate(after),
        delay=np.concatenate([whole.delay, np.zeros(barriers)]),
        names=(*whole.names, *("barrier" for _ in range(barriers))),
    )


def ring_steps(
    ranks: ArrayLike, size: float, route: Router, steps: int, latency: float = 0.0, name: str = "ring"
) -> FlowGraph:
    """Steps of a ring collective: in each, every rank sends `size` bytes to the next rank.

    Parameters
    ----------
    ranks : `[rank]`
        Hosts in ring order, at least 2.
    size : float
        Bytes of one step, that is the whole over the ranks. [byte]
    route : callable
        Gives the routes from sources to targets.
    steps : int
        ranks - 1 for all-gather and reduce-scatter, twice that for all-reduce. [-]
    latency : float
        Of a step: path and launch. [s]

    Raises
    ------
    InputError
        If there are fewer than 2 ranks or 1 step.

    References
    ----------
    .. [1] Patarasuk and Yuan, Bandwidth optimal all-reduce algorithms for clusters of workstations,
       2009, section 4, doi:10.1016/j.jpdc.2008.09.002
    """
    hosts = _hosts(ranks)
    if steps < 1:
        raise InputError(f"a ring collective needs at least 1 step. Got {steps} instead.")
    routes = route(hosts, np.roll(hosts, -1))
    return chain([phase(routes, size, latency, f"{name} step {i}") for i in range(steps)])


def all_to_all_steps(
    ranks: ArrayLike, size: float, route: Router, latency: float = 0.0, name: str = "all-to-all"
) -> FlowGraph:
    """Steps of a pairwise all-to-all: in step k rank i sends `size` bytes to rank i + k.

    Parameters
    ----------
    ranks, route, latency
        As in `ring_steps`.
    size : float
        Bytes from each rank to each other. [byte]

    Raises
    ------
    InputError
        If there are fewer than 2 ranks.

    References
    ----------
    .. [1] Thakur, Rabenseifner and Gropp, Optimization of collective communication operations in MPICH,
       2005, section 4.2, doi:10.1177/1094342005051521
    """
    hosts = _hosts(ranks)
    return chain(
        [
            phase(route(hosts, np.roll(hosts, -k)), size, latency, f"{name} shift {k}")
            for k in range(1, len(hosts))
        ]
    )


def joined(parts: Sequence[Routes]) -> Routes:
    """Routes of several sets of flows on the same links, one after the other."""
    starts = np.cumsum([0, *(len(p.links) for p in parts)])
    offsets = [np.zeros(1, np.int64)] + [p.offsets[1:] + s for p, s in zip(parts, starts, strict=False)]
    usage = None
    if any(p.usage is not None for p in parts):
        usage = np.concatenate([np.ones(len(p.links)) if p.usage is None else p.usage for p in parts])
    return Routes(np.concatenate(offsets), np.concatenate([p.links for p in parts]), usage)


def _hosts(ranks: ArrayLike) -> Integers:
    hosts = np.ascontiguousarray(ranks, np.int64)
    if hosts.ndim != 1 or len(hosts) < 2:
        raise InputError(f"a collective needs at least 2 ranks on one axis. Got shape {hosts.shape} instead.")
    return hosts


def _free(groups: int, ends: Integers) -> Integers:
    """Groups that are on no edge's given end."""
    is_free = np.ones(groups, np.bool_)
    is_free[ends] = False
    return np.flatnonzero(is_free)

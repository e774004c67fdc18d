"""Clos fabrics of any number of tiers: plain, rail-optimised or rail-only; sprayed, hashed or static paths.

Levels of switches from the leaves up: each is a group of so many accelerators, and what leaves a group of one
level into the next is thinned by that level's oversubscription. With single paths (`ecmp`, `static`) every
cable is a link: a group has `ways` cables to as many switches of the next level, which in turn have `ways`
each, so that a path is a choice of one way a level, the same on the way down. With `spray` all cables of a
group are one link, which is exact for ideal spraying.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from armillary.errors import InputError, did_you_mean
from armillary.network.clos_paths import ClosPaths
from armillary.network.fabric import ROUTINGS, Fabric, Floats, Integers

RAILS = ("none", "optimised", "only")
"""A leaf serves whole nodes; one rail of many nodes, under common spines; the same without common spines."""
FIXED = ("scale-up up", "scale-up down", "host up", "host down")
"""Tiers that every Clos has."""


class Level(NamedTuple):
    """Switches of one level.

    size : accelerators under one group of them, 0 for all [-].
    oversubscription : of what enters this level from the groups below, against their NICs [-].
    latency : added by going through this level [s].
    bandwidth : of what enters it from each group below, where it is not by `oversubscription`: thin
        long-haul links between clusters, one direction [byte/s].
    """

    name: str
    size: int
    oversubscription: float = 1.0
    latency: float = 0.0
    bandwidth: float | None = None


def clos(
    accelerators: int,
    levels: Sequence[Level],
    nic_bandwidth: float,
    nic_latency: float,
    domain: int = 1,
    scale_up_bandwidth: float = 0.0,
    scale_up_latency: float = 0.0,
    routing: str = "spray",
    rails: str = "none",
    rail_count: int = 8,
    planes: int = 1,
    cable: float = 0.0,
    name: str = "clos",
) -> Fabric:
    """Build a Clos fabric.

    Parameters
    ----------
    accelerators : int
        How many. [-]
    levels : sequence of Level
        From the leaves up; the last holds all.
    nic_bandwidth, nic_latency : float
        Of the NIC of each accelerator, all planes together, one direction. [byte/s], [s]
    domain : int
        Accelerators that share a scale-up switch; 1 for none. [-]
    scale_up_bandwidth, scale_up_latency : float
        Into that switch, each accelerator and direction. [byte/s], [s]
    routing : str
        One of `fabric.ROUTINGS`.
    rails : str
        One of `RAILS`; with rails a leaf serves the accelerators whose number leaves the same rest.
    rail_count : int
        Rails; where they are used. [-]
    planes : int
        Networks side by side, over which each NIC is split. [-]
    cable : float
        Bandwidth of one cable between switches; by default the NIC's of one plane. [byte/s]

    Raises
    ------
    InputError
        If a size, bandwidth, ratio or choice makes no fabric; the message names it.

    Examples
    --------
    >>> f = clos(64, [Level("leaf", 16), Level("spine", 0, 2.0)], 50e9, 5e-6)
    >>> f.endpoints, f.links, f.per_endpoint()["leaf up"] / 1e9
    (64, 264, 25.0)
    """
    _check(
        accelerators, levels, nic_bandwidth, domain, scale_up_bandwidth, routing, rails, rail_count, planes
    )
    own = np.arange(accelerators)
    rail = own % rail_count if rails != "none" else np.zeros(accelerators, np.int64)
    count = rail_count if rails != "none" else 1
    groups = []
    for place, level in enumerate(levels):
        size = level.size or accelerators
        if place == 0 and rails != "none":
            groups.append(own // (size * count) * count + rail)
        elif rails == "only":
            groups.append(own // size * count + rail)
        else:
            groups.append(own // size if level.size else np.zeros(accelerators, np.int64))
    return tree_fabric(
        [np.unique(g, return_inverse=True)[1] for g in groups],
        levels,
        nic_bandwidth,
        nic_latency,
        own // domain,
        scale_up_bandwidth,
        scale_up_latency,
        routing,
        rail if rails == "only" else None,
        count,
        planes,
        cable,
        name,
    )


def tree_fabric(
    groups: Sequence[Integers],
    levels: Sequence[Level],
    nic_bandwidth: float,
    nic_latency: float,
    domain: Integers,
    scale_up_bandwidth: float,
    scale_up_latency: float,
    routing: str = "spray",
    rail: Integers | None = None,
    rail_count: int = 1,
    planes: int = 1,
    cable: float = 0.0,
    name: str = "tree",
    uplinks: Sequence[Floats | None] = (),
) -> Fabric:
    """Build a Clos from groups of any sizes, e.g. read from a scheduler's topology; see `clos`.

    Parameters
    ----------
    groups : sequence of arrays
        Level by level, `[endpoint]` group of the accelerator's switches. [-]
    rail : array, optional
        `[endpoint]` rail of each accelerator where rails meet nowhere. [-]
    uplinks : sequence of arrays, optional
        Level by level, `[group]` bandwidth into the level above where it is known; None where it follows
        from that level. [byte/s]
    """
    n = len(domain)
    cable = cable or nic_bandwidth / planes
    merged = routing == "spray"
    width = 1 if merged else planes
    ways: list[int] = []
    totals = []
    for place, (below, level) in enumerate(zip(groups[:-1], levels[1:], strict=True)):
        held = np.bincount(below)
        total = held * nic_bandwidth / level.oversubscription
        if level.bandwidth is not None:
            total = np.full(len(held), level.bandwidth)
        if place < len(uplinks) and (known := uplinks[place]) is not None:
            total = known
        before = planes * int(np.prod(ways, dtype=np.int64))
        ways.append(max(round(float(total.max()) / (before * cable)), 1))
        totals.append(total)
    starts, tiers, capacity, latency = [0], list(FIXED), [], []

    def add(links: int, each: Floats | float, delay: float) -> None:
        starts.append(starts[-1] + links)
        capacity.append(np.broadcast_to(np.asarray(each, dtype=float), (links,)))
        latency.append(np.full(links, delay))

    add(n, scale_up_bandwidth, scale_up_latency)
    add(n, scale_up_bandwidth, 0.0)
    add(n * width, nic_bandwidth / width, nic_latency)
    add(n * width, nic_bandwidth / width, 0.0)
    for t, total in enumerate(totals):
        cables = 1 if merged else planes * int(np.prod(ways[: t + 1], dtype=np.int64))
        tiers += [f"{levels[t].name} up", f"{levels[t].name} down"]
        for delay in (levels[t + 1].latency, 0.0):
            add(len(total) * cables, np.repeat(total / cables, cables), delay)
    router = ClosPaths(
        name,
        tuple(tiers),
        tuple(level.name for level in levels),
        np.array(starts),
        tuple(np.asarray(g, dtype=np.int64) for g in groups),
        np.asarray(domain, dtype=np.int64),
        tuple(ways),
        planes,
        merged,
        routing == "static",
        scale_up_bandwidth > 0,
        rail,
        rail_count,
    )
    tier = np.repeat(np.arange(len(tiers), dtype=np.int8), np.diff(starts))
    return Fabric(
        name,
        routing,
        tuple(tiers),
        tier,
        np.concatenate(capacity),
        np.concatenate(latency),
        router.domain,
        router,
        router.tree() if merged and rail is None else None,
    )


def _check(
    accelerators: int,
    levels: Sequence[Level],
    nic_bandwidth: float,
    domain: int,
    scale_up_bandwidth: float,
    routing: str,
    rails: str,
    rail_count: int,
    planes: int,
) -> None:
    for what, number in (
        ("accelerators", accelerators),
        ("the scale-up domain", domain),
        ("rails", rail_count),
        ("planes", planes),
    ):
        if number < 1 or number != int(number):
            raise InputError(f"a fabric needs a positive whole number of {what}, got {number}")
    if not (np.isfinite(nic_bandwidth) and nic_bandwidth > 0):
        raise InputError(f"the bandwidth of a NIC must be positive, got {nic_bandwidth:g} byte/s")
    if domain > 1 and not (np.isfinite(scale_up_bandwidth) and scale_up_bandwidth > 0):
        raise InputError(
            f"a scale-up domain of {domain} needs a bandwidth, got {scale_up_bandwidth:g} byte/s"
        )
    for what, value, known in (("routing", routing, ROUTINGS), ("rails", rails, RAILS)):
        if value not in known:
            raise InputError(
                f"unknown {what} {value!r}{did_you_mean(value, known)} (known: {', '.join(known)})"
            )
    if rails != "none" and domain % rail_count and rail_count % domain:
        raise InputError(f"{rail_count} rails do not divide scale-up domains of {domain}")
    if not levels:
        raise InputError("a fabric needs at least one level of switches")
    for level in levels:
        if level.bandwidth is not None and not (np.isfinite(level.bandwidth) and level.bandwidth > 0):
            raise InputError(
                f"level {level.name!r} needs a positive bandwidth, got {level.bandwidth:g} byte/s"
            )
        if level.size < 0 or not level.oversubscription > 0 or level.latency < 0:
            raise InputError(
                f"level {level.name!r} needs a size and latency of 0 or more and a positive "
                f"oversubscription, got {level.size}, {level.latency:g} s and {level.oversubscription:g}"
            )
    if levels[-1].size and levels[-1].size < accelerators:
        raise InputError(
            f"disconnected: the last level {levels[-1].name!r} joins {levels[-1].size} accelerators "
            f"of {accelerators}; give it size 0, which is all, or a level above it"
        )
    for place, (below, above) in enumerate(pairwise(levels)):
        group = below.size * (rail_count if rails != "none" and place == 0 else 1)
        if above.size and (not group or above.size % group):
            raise InputError(
                f"level {above.name!r} of {above.size} accelerators must hold whole groups "
                f"of level {below.name!r}, which are {group or 'all'} accelerators"
            )

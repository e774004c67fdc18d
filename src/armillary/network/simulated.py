"""Collectives simulated on an explicit fabric: every group's flows at once, to the last byte.

What the closed forms of `collectives` say of clean, symmetric fabrics, this says of any: failed links, thin
tiers, colliding paths, groups that are placed badly.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from armillary.errors import InfeasibleError, InputError, did_you_mean
from armillary.network.all_pairs import pair_classes
from armillary.network.fabric import Fabric
from armillary.network.flows import Completion, simulate
from armillary.network.routes import Routes
from armillary.network.traffic import Traffic, ring_flows, send_flows

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

RINGS = {"all_reduce": 2.0, "all_gather": 1.0, "reduce_scatter": 1.0}
"""Collectives on rings, and how often their bytes go round [-]."""
OPERATIONS = (*RINGS, "all_to_all", "send")
"""What `simulate_collective` knows."""
MOST_FLOWS = 8_000_000
"""Flows that one simulation holds: about 100 bytes for each link of each. [-]"""


class Simulated(NamedTuple):
    """A collective on a fabric.

    time : to the last byte, latency included [s]. wire : the share of it that bytes take [s].
    completion : of every flow, or class of flows. traffic : of the flows; None where they are classes.
    classes : flows that each row of the completion stands for, `[flow]` [-].
    carried : `[link]` bytes [byte].
    """

    operation: str
    time: float
    wire: float
    completion: Completion
    traffic: Traffic | None
    classes: Integers
    carried: Floats


def simulate_collective(
    fabric: Fabric,
    operation: str,
    members: ArrayLike,
    size: float,
    tolerance: float = 0.0,
    paths: int = 1,
) -> Simulated:
    """Simulate a collective in one or many groups at once.

    Parameters
    ----------
    fabric : Fabric
    operation : str
        One of `OPERATIONS`.
    members : `[group, rank]` of int
        Accelerator of each rank. [-]
    size : float
        As in the closed forms: bytes that a rank holds, at the end for an all-gather. [byte]
    tolerance : float
        As in `flows.simulate`; 0 is exact. [-]
    paths : int
        Queue pairs of each flow, see `Fabric.routes`. [-]

    Raises
    ------
    InputError
        If the operation is not known, a group has one rank, or one that is not on the fabric or there twice.
    InfeasibleError
        If the flows of an all-to-all are too many to hold, and have no classes.

    Notes
    -----
    Rings go round domain by domain, rail by rail (`traffic.ring_flows`); their steps are equal, so that one
    flow stands for all steps of a link, and hops add :math:`p-1` times the mean latency of a hop. An
    all-to-all sends every pair's bytes at once; one over a whole sprayed fabric is simulated by classes of
    equal flows (`all_pairs`), which is exact.
    """
    if operation not in OPERATIONS:
        raise InputError(
            f"unknown collective {operation!r}{did_you_mean(operation, OPERATIONS)} "
            f"(known: {', '.join(OPERATIONS)})"
        )
    if not np.isfinite(size) or size <= 0:
        raise InputError(f"the size of a collective must be a positive number of bytes, got {size!r}")
    groups = _checked(members, fabric)
    if operation == "all_to_all":
        return _all_to_all(fabric, groups, size, tolerance, paths)
    if operation == "send":
        traffic = send_flows(groups, size)
        hops = 1.0
    else:
        traffic = ring_flows(groups, fabric.domain, RINGS[operation] * size)
        hops = RINGS[operation]
    routes = fabric.routes(traffic.source, traffic.target, paths=paths)
    done = simulate(fabric.shared, routes, traffic.size, tolerance=tolerance)
    wire = float(done.finish.max())
    if operation == "send":
        latency = float(fabric.latency_of(routes).max())
    else:
        latency = hops * _ring_latency(fabric, groups, traffic, routes)
    return Simulated(
        operation, wire + latency, wire, done, traffic, np.ones(routes.flows, np.int64), done.link_bytes
    )


def _checked(members: ArrayLike, fabric: Fabric) -> Integers:
    groups = np.atleast_2d(np.asarray(members, dtype=np.int64))
    if groups.ndim != 2 or groups.shape[1] < 2:
        raise InputError(f"a collective needs at least 2 ranks, got {groups.shape[-1]}")
    outside = groups[(groups < 0) | (groups >= fabric.endpoints)]
    if outside.size:
        raise InputError(
            f"accelerator {outside[0]} is not on {fabric.name}, which has 0 to {fabric.endpoints - 1}"
        )
    order = np.sort(groups, axis=1)
    twice = order[:, 1:][order[:, 1:] == order[:, :-1]]
    if twice.size:
        raise InputError(f"accelerator {twice[0]} is twice in one group")
    return groups


def _ring_latency(fabric: Fabric, groups: Integers, traffic: Traffic, routes: Routes) -> float:
    """Hops of the longest way round, inside a domain and then across domains [s]."""
    latency = fabric.latency_of(routes)
    inside = fabric.domain[traffic.source] == fabric.domain[traffic.target]
    domains = np.array([len(np.unique(fabric.domain[g])) for g in groups[:1]]).max()
    held = np.bincount(np.unique(fabric.domain[groups[0]], return_inverse=True)[1]).max()
    inner = (held - 1) * latency[inside].mean() if inside.any() else 0.0
    outer = (domains - 1) * latency[~inside].mean() if (~inside).any() else 0.0
    return float(inner + outer)


def _all_to_all(fabric: Fabric, groups: Integers, size: float, tolerance: float, paths: int) -> Simulated:
    ranks = groups.shape[1]
    each = size / ranks
    whole = groups.shape[0] == 1 and ranks == fabric.endpoints
    if whole and fabric.tree is not None:
        classes = pair_classes(fabric.tree, fabric.shared)
        sizes = np.full(classes.routes.flows, each)
        done = simulate(classes.capacity, classes.routes, sizes, tolerance=tolerance)
        used = classes.link_class >= 0
        carried = np.where(used, done.link_bytes[classes.link_class], 0.0)
        wire = float(done.finish.max())
        latency = float(fabric.latency_of(fabric.routes(groups[0, :1], groups[0, -1:])).max())
        return Simulated("all_to_all", wire + latency, wire, done, None, classes.flows, carried)
    flows = groups.shape[0] * ranks * (ranks - 1)
    if flows > MOST_FLOWS:
        why = "this fabric's paths are single ones" if fabric.tree is None else "it is not the whole fabric"
        raise InfeasibleError(
            f"an all-to-all of {groups.shape[0]} groups of {ranks} has {flows:,} flows, more than "
            f"{MOST_FLOWS:,} fit, and they have no classes of equal ones as {why}; "
            "simulate a smaller group, or the whole of a sprayed fabric"
        )
    one, other = np.nonzero(~np.eye(ranks, dtype=bool))
    traffic = Traffic(groups[:, one].ravel(), groups[:, other].ravel(), np.full(flows, each))
    routes = fabric.routes(traffic.source, traffic.target, paths=paths)
    done = simulate(fabric.shared, routes, traffic.size, tolerance=tolerance)
    wire = float(done.finish.max())
    latency = float(fabric.latency_of(routes).max())
    return Simulated(
        "all_to_all", wire + latency, wire, done, traffic, np.ones(flows, np.int64), done.link_bytes
    )

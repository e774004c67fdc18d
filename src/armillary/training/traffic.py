"""What a plan puts on the wire: the collectives of every kind, all groups at once, as flows.

Sizes are those of one unit of work of each kind; what counts is how long its flows take against the closed
form of the same collective on rings. Imports `network`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from armillary.errors import InputError
from armillary.machine import Slice
from armillary.model.transformer import Moe
from armillary.network import all_gather, all_to_all
from armillary.network.traffic import Traffic, all_to_all_flows, ring_flows, send_flows
from armillary.training import communication as comm
from armillary.training.calibration import Calibration
from armillary.training.communication import Group, Links
from armillary.training.job import Job
from armillary.training.layout import Layout
from armillary.training.memory import WEIGHT_BYTES
from armillary.training.stages import stage_tables, stages
from armillary.training.weights import expert_shard, stage_weights

Integers = NDArray[np.int64]


class Exchange(NamedTuple):
    """One collective of a kind, in all its groups.

    kind : field of `communication.Congestion`. clear : time on rings that nothing else uses, without
    latency [s]. shares : of a link's bandwidth that software sustains inside and outside a domain [-].
    """

    kind: str
    traffic: Traffic
    clear: float
    shares: tuple[float, float]


def placed(machine: Slice, accelerators: int, ranks: int) -> Integers:
    """Place ranks on the slice's domains one after the other, `domain_used` in each.

    Parameters
    ----------
    machine : Slice
    accelerators : int
        Of the fabric. [-]
    ranks : int
        To place. [-]

    Returns
    -------
    array
        `[rank]` accelerator of the fabric. [-]

    Raises
    ------
    InputError
        If the fabric has too few.
    """
    rank = np.arange(ranks)
    place = rank // machine.domain_used * machine.system.scale_up_size + rank % machine.domain_used
    return checked(place, accelerators, ranks)


def checked(place: ArrayLike, accelerators: int, ranks: int) -> Integers:
    """Check a placement.

    Raises
    ------
    InputError
        If it has not one place a rank, takes one twice or one that is not there.
    """
    places: Integers = np.asarray(place, dtype=np.int64)
    if places.shape != (ranks,):
        raise InputError(f"a placement of {ranks} ranks needs one accelerator each, got {places.size}")
    outside = np.flatnonzero((places < 0) | (places >= accelerators))
    if outside.size:
        rank = int(outside[0])
        raise InputError(
            f"rank {rank} is placed on accelerator {places[rank]}; the fabric has 0 to {accelerators - 1}"
        )
    taken, number = np.unique(places, return_counts=True)
    if taken.size < ranks:
        raise InputError(f"accelerator {taken[number > 1][0]} of the fabric is given to more than one rank")
    return places


def members(group: Group, place: Integers) -> Integers:
    """Accelerators of every group of a kind, `[group, rank]`; groups tile the ranks.

    Examples
    --------
    >>> members(Group(2, 4), np.arange(8)).tolist()
    [[0, 4], [1, 5], [2, 6], [3, 7]]
    """
    size, stride = int(group.size), int(group.stride)
    tiled: Integers = place.reshape(-1, size, stride).swapaxes(1, 2).reshape(-1, size)
    return tiled


def exchanges(
    job: Job,
    machine: Slice,
    layout: Layout,
    calibration: Calibration,
    place: Integers,
    domain: Integers,
) -> tuple[Exchange, ...]:
    """Collectives of a step, one of each that the layout has.

    Parameters
    ----------
    job, machine, layout, calibration
        As in `step.estimate`; a single layout.
    place : `[rank]`
        Accelerator of the fabric under each rank. [-]
    domain : `[accelerator]`
        Scale-up domain of each. [-]
    """
    software = calibration.software
    usual = (calibration.chip.scale_up, software.scale_out_share)
    dispatch = (software.dispatch_inside, software.dispatch[software.dispatcher])
    links, dispatched = (Links.of(machine.rings, *shares) for shares in (usual, dispatch))
    groups = comm.groups(layout)
    found: list[Exchange] = []

    def ring(kind: str, group: Group, size: float) -> None:
        if group.size > 1 and size > 0:
            clear = float(all_gather(size, group.ranks(links), links.bandwidth, [0.0] * len(links.latency)))
            traffic = ring_flows(members(group, place), domain, size)
            found.append(Exchange(kind, traffic, clear, usual))

    def everyone(kind: str, group: Group, over: Links, shares: tuple[float, float], copies: float) -> None:
        still = [0.0] * len(over.latency)
        clear = float(all_to_all(1.0, group.ranks(over), over.bandwidth, still, copies))
        traffic = all_to_all_flows(members(group, place), domain, 1.0, copies)
        found.append(Exchange(kind, traffic, clear, shares))

    ring("tensor", groups.tensor, 1.0)
    if layout.cp > 1 and layout.cp_exchange == 2:
        everyone("context", groups.context, links, usual, 1.0)
    else:
        ring("context", groups.context, 1.0)
    if layout.ep > 1:
        top = max(k.feed_forward.top_k for k in job.model.kinds() if isinstance(k.feed_forward, Moe))
        everyone("expert", groups.expert, dispatched, dispatch, float(top) if software.deduplicates else 1.0)
    if layout.pp > 1:
        still = links._replace(latency=tuple(0.0 for _ in links.latency))
        clear = float(comm.pipeline_transfer(1.0, 1, layout._replace(sp=0), still))
        found.append(Exchange("pipeline", send_flows(members(groups.pipeline, place), 2.0), clear, usual))
    for weights, group, ranks in _weights(job, layout):
        shard = Group(ranks, group.stride)
        if layout.zero == 0:
            ring("data", group, 2 * weights * software.gradient_bytes)
            continue
        copies = Group(group.size / shard.size, group.stride * shard.size)
        ring("data", shard, weights * (software.gradient_bytes + WEIGHT_BYTES))
        ring("data", copies, 2 * weights * software.gradient_bytes / float(shard.size))
    return tuple(found)


def _weights(job: Job, layout: Layout) -> list[tuple[float, Group, int]]:
    """Parameters of the fuller stage on a rank, who hold the same and over how many ZeRO shards them.

    Dense ones, then experts.
    """
    tables = stage_tables(job.model)
    first, last = stage_weights(job.model, tables, stages(tables, layout.pp, layout.vpp), layout)
    groups = comm.groups(layout)
    return [
        (float(np.maximum(first.dense, last.dense)), groups.data, int(layout.shard)),
        (float(np.maximum(first.experts, last.experts)), groups.expert_data, int(expert_shard(layout))),
    ]

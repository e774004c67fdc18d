"""Collectives in closed form: on one ring, and on nested rings.

Every function takes numbers or numpy arrays that broadcast, has no branch on data, and returns seconds.
On nested rings a group is described by `ranks`, a sequence from the innermost ring outwards: how many
ranks of the group meet in one instance of the ring, counted in instances of the ring inside it, so that
their product is the group's size. `bandwidth` [byte/s, per rank, one direction] and `latency` [s] are
sequences of the same length.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

Numeric = Any
"""A float or a numpy array of floats; arguments broadcast against each other."""


def ring_all_reduce(size: Numeric, ranks: Numeric, bandwidth: Numeric, latency: Numeric) -> Numeric:
    r"""Time of a ring all-reduce.

    Parameters
    ----------
    size : numeric
        Bytes held by each rank. [byte]
    ranks : numeric
        Number of participants. [-]
    bandwidth : numeric
        Of the slowest link, one direction, per rank. [byte/s]
    latency : numeric
        Of one hop, including launch. [s]

    Returns
    -------
    numeric
        Completion time; 0 when `ranks` is 1. [s]

    Notes
    -----
    :math:`2(p-1)\,(\alpha + n/(p\beta))` -- reduce-scatter then all-gather [1]_.

    References
    ----------
    .. [1] Patarasuk and Yuan, Bandwidth optimal all-reduce algorithms for clusters of workstations,
       2009, section 4, doi:10.1016/j.jpdc.2008.09.002

    Examples
    --------
    >>> ring_all_reduce(size=1e9, ranks=8, bandwidth=50e9, latency=5e-6)
    0.03507
    """
    return 2 * (ranks - 1) * (latency + size / (ranks * bandwidth))


def ring_all_gather(size: Numeric, ranks: Numeric, bandwidth: Numeric, latency: Numeric) -> Numeric:
    r"""Time of a ring all-gather, :math:`(p-1)(\alpha + n/(p\beta))`.

    Parameters
    ----------
    size : numeric
        Bytes of the whole result, that is what each rank holds at the end. [byte]
    ranks, bandwidth, latency : numeric
        As in `ring_all_reduce`.

    Examples
    --------
    >>> ring_all_gather(size=1e9, ranks=8, bandwidth=50e9, latency=5e-6)
    0.017535
    """
    return (ranks - 1) * (latency + size / (ranks * bandwidth))


def ring_reduce_scatter(size: Numeric, ranks: Numeric, bandwidth: Numeric, latency: Numeric) -> Numeric:
    """Time of a ring reduce-scatter of `size` bytes held by each rank; the all-gather run backwards."""
    return ring_all_gather(size, ranks, bandwidth, latency)


def tree_all_reduce(size: Numeric, ranks: Numeric, bandwidth: Numeric, latency: Numeric) -> Numeric:
    r"""Time of a pipelined double binary tree all-reduce, :math:`2\lceil\log_2 p\rceil\alpha + 2n/\beta`.

    Parameters
    ----------
    size, ranks, bandwidth, latency : numeric
        As in `ring_all_reduce`.

    References
    ----------
    .. [1] Sanders, Speck and Traeff, Two-tree algorithms for full bandwidth broadcast, reduction and
       scan, 2009, doi:10.1016/j.parco.2009.09.001

    Examples
    --------
    >>> float(round(tree_all_reduce(size=1e6, ranks=1024, bandwidth=50e9, latency=5e-6), 6))
    0.00014
    """
    many = np.where(np.asarray(ranks) > 1, 1.0, 0.0)
    return (2 * np.ceil(np.log2(ranks)) * latency + 2 * size / bandwidth) * many


def send(size: Numeric, bandwidth: Numeric, latency: Numeric) -> Numeric:
    r"""Time of one message, :math:`\alpha + n/\beta`.

    Examples
    --------
    >>> round(send(size=1e9, bandwidth=50e9, latency=5e-6), 6)
    0.020005
    """
    return latency + size / bandwidth


def all_gather(
    size: Numeric, ranks: Sequence[Numeric], bandwidth: Sequence[Numeric], latency: Sequence[Numeric]
) -> Numeric:
    r"""Time of an all-gather on nested rings.

    Parameters
    ----------
    size : numeric
        Bytes of the whole result. [byte]
    ranks, bandwidth, latency : sequence of numeric
        From the innermost ring outwards; see the module's docstring.

    Notes
    -----
    A ring laid along the hierarchy moves :math:`n (p_l - 1) / (p_l P_{l-1})` bytes per rank over ring
    :math:`l`, with :math:`P_l = \prod_{j \le l} p_j`, because the :math:`P_{l-1}` ranks inside share the
    crossing. The rings work at the same time (pipelined), so that the slowest one decides; their hops add.

    Examples
    --------
    Eight ranks a node, four nodes: the network moves an eighth of what one rank would.

    >>> float(round(all_gather(1e9, [8, 4], [400e9, 50e9], [1e-6, 10e-6]), 6))
    0.002225
    """
    time: Numeric = 0.0
    hops: Numeric = 0.0
    inside: Numeric = 1.0
    for p, beta, alpha in zip(ranks, bandwidth, latency, strict=True):
        time = np.maximum(time, size * (p - 1) / (p * inside * beta))
        hops = hops + (p - 1) * alpha
        inside = inside * p
    return time + hops


def reduce_scatter(
    size: Numeric, ranks: Sequence[Numeric], bandwidth: Sequence[Numeric], latency: Sequence[Numeric]
) -> Numeric:
    """Time of a reduce-scatter of `size` bytes held by each rank, on nested rings; see `all_gather`."""
    return all_gather(size, ranks, bandwidth, latency)


def all_reduce(
    size: Numeric,
    ranks: Sequence[Numeric],
    bandwidth: Sequence[Numeric],
    latency: Sequence[Numeric],
    reduces: bool = False,
) -> Numeric:
    r"""Time of an all-reduce on nested rings: the faster of ring and tree.

    Parameters
    ----------
    size : numeric
        Bytes held by each rank. [byte]
    ranks, bandwidth, latency : sequence of numeric
        From the innermost ring outwards; see the module's docstring.
    reduces : bool
        True where the innermost ring reduces in network (NVLS): each rank then sends its bytes once and
        receives the sum once, instead of :math:`2(p-1)/p` times. [-]

    Notes
    -----
    Ring: `reduce_scatter` then `all_gather`. Tree: the same bytes inside the innermost ring and
    :math:`2 \log_2` of the outer hops, which wins when latency decides.
    """
    inner, outer = ranks[0], ranks[1:]
    ring = 2 * all_gather(size, ranks, bandwidth, latency)
    hops: Numeric = 2 * np.ceil(np.log2(np.maximum(inner, 1))) * latency[0]
    share: Numeric = np.where(np.asarray(inner) > 1, 1.0, 0.0)
    if reduces:
        wire = size * share / bandwidth[0]
        hops = 2 * latency[0] * share
    else:
        wire = 2 * size * (inner - 1) / (inner * bandwidth[0])
    inside: Numeric = inner
    for p, beta, alpha in zip(outer, bandwidth[1:], latency[1:], strict=True):
        crosses = np.where(np.asarray(p) > 1, 1.0, 0.0)
        wire = np.maximum(wire, 2 * size * crosses / (inside * beta))
        hops = hops + 2 * np.ceil(np.log2(p)) * alpha
        inside = inside * p
    return np.minimum(ring, wire + hops)


def all_to_all(
    size: Numeric,
    ranks: Sequence[Numeric],
    bandwidth: Sequence[Numeric],
    latency: Sequence[Numeric],
    copies: Numeric = 1.0,
) -> Numeric:
    """Time of an all-to-all in which each rank sends `size` bytes, spread evenly over all ranks.

    Parameters
    ----------
    size : numeric
        Bytes that each rank holds for all ranks together, its own share included. [byte]
    ranks, bandwidth, latency : sequence of numeric
        From the innermost ring outwards; see the module's docstring.
    copies : numeric
        Copies of one token among those bytes that a dispatcher merges (top-k of a mixture of experts):
        one crosses to each remote instance of the innermost ring, one goes to each rank inside; 1 where
        every copy is sent (plain NCCL). [-]

    Notes
    -----
    Of the bytes, the share :math:`(P_l - P_{l-1}) / P` crosses ring :math:`l` and no ring outside it. All
    rings carry at once: the slowest decides. With de-duplication (DeepEP, HybridEP) the bytes shrink by
    `distinct_groups` over `copies`, of domains outside and of ranks inside.

    References
    ----------
    .. [1] DeepSeek-AI, DeepSeek-V3 Technical Report, arXiv:2412.19437, section 3.2.2

    Examples
    --------
    >>> float(round(all_to_all(1e9, [8, 4], [400e9, 50e9], [1e-6, 10e-6]), 6))
    0.015023
    """
    total: Numeric = 1.0
    for p in ranks:
        total = total * p
    time: Numeric = 0.0
    hops: Numeric = 0.0
    inside: Numeric = 1.0
    for level, (p, beta, alpha) in enumerate(zip(ranks, bandwidth, latency, strict=True)):
        receivers = total if level == 0 else total / ranks[0]
        crossing = (p - 1) * inside / total * distinct_groups(receivers, copies) / copies
        time = np.maximum(time, size * crossing / beta)
        hops = hops + np.log2(p) * alpha
        inside = inside * p
    return time + hops


def distinct_groups(groups: Numeric, copies: Numeric) -> Numeric:
    r"""Expected number of distinct groups that `copies` independent, uniform picks fall into.

    :math:`g\,(1 - (1 - 1/g)^k)`, the classical occupancy expectation.

    Examples
    --------
    >>> float(round(distinct_groups(8, 8), 3))
    5.251
    """
    return groups * (1.0 - (1.0 - 1.0 / groups) ** copies)

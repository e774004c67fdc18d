"""Single algorithms of collectives in closed form, each with its published source. Imports only numpy.

Arguments are numbers or arrays that broadcast; results are seconds, 0 (or a latency alone) for one rank.
`size` is the larger buffer of a rank, as nccl-tests counts it: what each rank holds before an all-reduce,
reduce-scatter, all-to-all, broadcast or reduce, and after an all-gather. `bandwidth` is of one rank, one
direction [byte/s]; `latency` is of one message, its launch included [s].
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

Numeric = Any
"""A float or a numpy array of floats; arguments broadcast against each other."""


def bus_factor(op: str, ranks: Numeric) -> Numeric:
    """Bus bandwidth over algorithm bandwidth, so that it can be held against a link's speed [-].

    Parameters
    ----------
    op : str
        ``all_reduce``, ``all_gather``, ``reduce_scatter`` or ``all_to_all``; else 1.
    ranks : numeric
        Number of participants. [-]

    References
    ----------
    .. [1] NVIDIA, nccl-tests, doc/PERFORMANCE.md

    Examples
    --------
    >>> bus_factor("all_reduce", 8), bus_factor("all_gather", 8), bus_factor("broadcast", 8)
    (1.75, 0.875, 1.0)
    """
    passes = {"all_reduce": 2.0, "all_gather": 1.0, "reduce_scatter": 1.0, "all_to_all": 1.0}
    if op not in passes:
        return 1.0 + 0.0 * ranks
    return passes[op] * (ranks - 1) / ranks


def steps(ranks: Numeric) -> Numeric:
    r"""Rounds in which a rank can be reached from any other by doubling, :math:`\lceil\log_2 p\rceil` [-].

    Examples
    --------
    >>> [float(steps(p)) for p in (1, 2, 5, 1024)]
    [0.0, 1.0, 3.0, 10.0]
    """
    return np.ceil(np.log2(np.maximum(ranks, 1)) - 1e-9) + 0.0


def ring_broadcast(size: Numeric, ranks: Numeric, bandwidth: Numeric, latency: Numeric) -> Numeric:
    r"""Time of a pipelined ring broadcast, :math:`(p-1)\alpha + n/\beta`; a ring reduce runs it backwards.

    Parameters
    ----------
    size, ranks, bandwidth, latency : numeric
        See the module's docstring. [byte], [-], [byte/s], [s]

    References
    ----------
    .. [1] Chan, Heimlich, Purkayastha and van de Geijn, Collective communication: theory, practice, and
       experience, 2007, doi:10.1002/cpe.1206

    Examples
    --------
    >>> float(ring_broadcast(size=1e9, ranks=8, bandwidth=50e9, latency=5e-6))
    0.020035
    """
    return (ranks - 1) * latency + size / bandwidth * np.minimum(ranks - 1, 1)


def ring_reduce(size: Numeric, ranks: Numeric, bandwidth: Numeric, latency: Numeric) -> Numeric:
    """Time of a pipelined ring reduce: `ring_broadcast` run backwards. [s]"""
    return ring_broadcast(size, ranks, bandwidth, latency)


def recursive_doubling_all_reduce(
    size: Numeric, ranks: Numeric, bandwidth: Numeric, latency: Numeric
) -> Numeric:
    r"""Time of an all-reduce by recursive doubling, :math:`\log_2 p\,(\alpha + n/\beta)`; best when short.

    Parameters
    ----------
    size, ranks, bandwidth, latency : numeric
        See the module's docstring; other than powers of two take the next one's rounds.

    References
    ----------
    .. [1] Thakur, Rabenseifner and Gropp, Optimization of collective communication operations in MPICH,
       2005, section 4.5, doi:10.1177/1094342005051521

    Examples
    --------
    >>> float(round(recursive_doubling_all_reduce(1e3, 1024, 50e9, 5e-6), 9))
    5.02e-05
    """
    return steps(ranks) * (latency + size / bandwidth)


def recursive_halving_doubling_all_reduce(
    size: Numeric, ranks: Numeric, bandwidth: Numeric, latency: Numeric
) -> Numeric:
    r"""Time of Rabenseifner's all-reduce, :math:`2\log_2 p\,\alpha + 2 n (p-1)/(p\beta)`.

    Recursive halving scatters the sum, recursive doubling gathers it: a ring's bytes in a tree's rounds.

    Parameters
    ----------
    size, ranks, bandwidth, latency : numeric
        See the module's docstring.

    References
    ----------
    .. [1] Thakur, Rabenseifner and Gropp, 2005, section 4.5, doi:10.1177/1094342005051521

    Examples
    --------
    >>> float(round(recursive_halving_doubling_all_reduce(1e9, 8, 50e9, 5e-6), 6))
    0.03503
    """
    return 2 * recursive_doubling_all_gather(size, ranks, bandwidth, latency)


def recursive_doubling_all_gather(
    size: Numeric, ranks: Numeric, bandwidth: Numeric, latency: Numeric
) -> Numeric:
    r"""Time of an all-gather by recursive doubling, :math:`\log_2 p\,\alpha + n (p-1)/(p\beta)`.

    Parameters
    ----------
    size, ranks, bandwidth, latency : numeric
        See the module's docstring.

    References
    ----------
    .. [1] Thakur, Rabenseifner and Gropp, 2005, section 4.1, doi:10.1177/1094342005051521

    Examples
    --------
    >>> float(round(recursive_doubling_all_gather(1e9, 8, 50e9, 5e-6), 6))
    0.017515
    """
    return steps(ranks) * latency + size * (ranks - 1) / (ranks * bandwidth)


def recursive_halving_reduce_scatter(
    size: Numeric, ranks: Numeric, bandwidth: Numeric, latency: Numeric
) -> Numeric:
    """Time of a reduce-scatter by recursive halving: the all-gather by doubling run backwards. [s]"""
    return recursive_doubling_all_gather(size, ranks, bandwidth, latency)


def pat_all_gather(
    size: Numeric, ranks: Numeric, bandwidth: Numeric, latency: Numeric, chunk: Numeric = 0.0
) -> Numeric:
    r"""Time of a PAT (parallel aggregated trees) all-gather; its reduce-scatter runs it backwards.

    Parameters
    ----------
    size, ranks, bandwidth, latency : numeric
        See the module's docstring.
    chunk : numeric
        Time to copy one rank's part between buffers, once for each of the `ranks`. [s]

    Notes
    -----
    :math:`\lceil\log_2 p\rceil\alpha + p\,\gamma + n (p-1)/(p\beta)`: a tree's rounds, every byte once [1]_.
    NCCL uses it with one rank a node only.

    References
    ----------
    .. [1] Jeaugey, PAT: a new algorithm for all-gather and reduce-scatter operations at scale, 2025,
       arXiv:2506.20252

    Examples
    --------
    >>> float(round(pat_all_gather(1e9, 64, 50e9, 10e-6), 6))
    0.019748
    """
    return steps(ranks) * latency + ranks * chunk + size * (ranks - 1) / (ranks * bandwidth)


def tree_traffic(nodes: Numeric) -> Numeric:
    r"""Bytes that the busiest node of a double binary tree sends, over the bytes reduced [-].

    Notes
    -----
    Each tree carries half of the bytes up and down every edge. Two nodes: each sends one half up and one
    half down. Three: the trees are chains, the busiest node sends three halves. From four on an inner node
    sends one half up and two down in one tree and is a leaf in the other: two. Hence on two nodes a tree
    needs about half of a ring's :math:`2(p-1)/p`.

    References
    ----------
    .. [1] Sanders, Speck and Traeff, Two-tree algorithms for full bandwidth broadcast, reduction and scan,
       2009, doi:10.1016/j.parco.2009.09.001
    .. [2] NVIDIA, NCCL 2.30.7, src/graph/trees.cc (the shape of the trees)

    Examples
    --------
    >>> [float(tree_traffic(n)) for n in (1, 2, 3, 4, 100)]
    [0.0, 1.0, 1.5, 2.0, 2.0]
    """
    return np.interp(nodes, [1.0, 2.0, 3.0, 4.0], [0.0, 1.0, 1.5, 2.0])


def double_binary_tree_all_reduce(
    size: Numeric, ranks: Numeric, bandwidth: Numeric, latency: Numeric
) -> Numeric:
    r"""Time of a pipelined all-reduce on two complementary binary trees.

    Parameters
    ----------
    size, ranks, bandwidth, latency : numeric
        See the module's docstring.

    Notes
    -----
    :math:`2\lceil\log_2 p\rceil\alpha + t(p)\,n/\beta` with `tree_traffic` :math:`t`, 2 from four ranks up.

    References
    ----------
    .. [1] Sanders, Speck and Traeff, 2009, doi:10.1016/j.parco.2009.09.001

    Examples
    --------
    >>> float(round(double_binary_tree_all_reduce(1e9, 2, 50e9, 5e-6), 6))
    0.02001
    """
    return 2 * steps(ranks) * latency + tree_traffic(ranks) * size / bandwidth


def nvls_all_reduce(size: Numeric, ranks: Numeric, bandwidth: Numeric, latency: Numeric) -> Numeric:
    r"""Time of an all-reduce in the NVLink switches (NVLS: multicast and in-switch reduction).

    Parameters
    ----------
    size, ranks, bandwidth, latency : numeric
        See the module's docstring; `bandwidth` is what a rank sustains to and from the switch.

    Notes
    -----
    A rank reads the sum of its part: every rank sends it, :math:`n/p` for each of :math:`p` parts. It then
    writes it once, to all. Each direction carries :math:`n(1 + 1/p)`: :math:`\alpha + n (1 + 1/p)/\beta`.

    References
    ----------
    .. [1] Klenk et al., An in-network architecture for accelerating shared-memory multiprocessor
       collectives, ISCA 2020, doi:10.1109/ISCA45697.2020.00085

    Examples
    --------
    >>> float(round(nvls_all_reduce(1e9, 8, 300e9, 25e-6), 6))
    0.003775
    """
    return (latency + size * (1 + 1 / ranks) / bandwidth) * np.minimum(ranks - 1, 1)


def nvls_tree_all_reduce(
    size: Numeric, ranks: Sequence[Numeric], bandwidth: Sequence[Numeric], latency: Sequence[Numeric]
) -> Numeric:
    r"""Time of an all-reduce in the switches of domains, with a double binary tree between them (NVLSTree).

    Parameters
    ----------
    size : numeric
        Bytes held by each rank. [byte]
    ranks : sequence of two numerics
        In a domain, and domains. [-]
    bandwidth, latency : sequence of two numerics
        Inside and outside, per rank. [byte/s], [s]

    Notes
    -----
    The domain's ranks share what crosses: :math:`t(d)\,n/(k\beta_2)`, pipelined with the inside.

    Examples
    --------
    >>> float(round(nvls_tree_all_reduce(1e9, [8, 2], [300e9, 50e9], [25e-6, 40e-6]), 6))
    0.003855
    """
    k, d = ranks
    inside = size * (1 + 1 / k) / bandwidth[0] * np.minimum(k - 1, 1)
    wire = np.maximum(inside, tree_traffic(d) * size / (k * bandwidth[1]))
    return wire + latency[0] * np.minimum(k - 1, 1) + 2 * steps(d) * latency[1]


def hierarchical_all_reduce(
    size: Numeric,
    ranks: Sequence[Numeric],
    bandwidth: Sequence[Numeric],
    latency: Sequence[Numeric],
    pipelined: bool = False,
) -> Numeric:
    r"""Time of an all-reduce over two, three or more rings: scatter inwards to outwards, reduce, gather back.

    Parameters
    ----------
    size : numeric
        Bytes held by each rank. [byte]
    ranks, bandwidth, latency : sequence of numeric
        From the innermost ring outwards, as in `collectives`. [-], [byte/s], [s]
    pipelined : bool
        True where chunks keep all rings busy at once, so that the slowest decides; else phases follow each
        other. [-]

    Notes
    -----
    Ring :math:`l` reduces :math:`n / P_{l-1}` bytes, what is left of a rank's part after the rings inside.
    With all bandwidths equal, serial phases move :math:`2 n (P-1)/P`, the bound of any all-reduce.

    References
    ----------
    .. [1] Jia et al., Highly scalable deep learning training system with mixed-precision, 2018,
       arXiv:1807.11205 (hierarchical all-reduce)
    .. [2] Cho et al., BlueConnect: decomposing all-reduce for deep learning on heterogeneous network
       hierarchy, MLSys 2019

    Examples
    --------
    >>> round(hierarchical_all_reduce(1e9, [8, 4], [400e9, 50e9], [0, 0]), 6)
    0.008125
    """
    rings: list[Any] = []
    hops: Numeric = 0.0
    left: Numeric = size
    *inner, last = zip(ranks, bandwidth, latency, strict=True)
    for p, beta, alpha in inner:
        rings.append(2 * left * (p - 1) / (p * beta))
        hops = hops + 2 * (p - 1) * alpha
        left = left / p
    rings.append(2 * left * (last[0] - 1) / (last[0] * last[1]))
    hops = hops + 2 * (last[0] - 1) * last[2]
    total = rings[0]
    for ring in rings[1:]:
        total = np.maximum(total, ring) if pipelined else total + ring
    return total + hops


def dissemination_barrier(ranks: Numeric, latency: Numeric) -> Numeric:
    r"""Time of a dissemination barrier, :math:`\lceil\log_2 p\rceil\alpha`.

    Parameters
    ----------
    ranks, latency : numeric
        See the module's docstring.

    References
    ----------
    .. [1] Hensgen, Finkel and Manber, Two algorithms for barrier synchronization, 1988,
       doi:10.1007/BF01379320

    Examples
    --------
    >>> float(round(dissemination_barrier(1024, 1e-6), 9))
    1e-05
    """
    return steps(ranks) * latency

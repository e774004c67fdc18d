"""All-to-all exchanges in closed form, even and uneven, each with its source. Imports only numpy.

Arguments are numbers or arrays that broadcast; results are seconds. `size` is what a rank holds for all ranks
together, its own part included. `bandwidth` is of one rank, one direction [byte/s]; `latency` is of one
message, its launch included [s].
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

Numeric = Any
"""A float or a numpy array of floats; arguments broadcast against each other."""


def pairwise_all_to_all(size: Numeric, ranks: Numeric, bandwidth: Numeric, latency: Numeric) -> Numeric:
    r"""Time of a pairwise-exchange all-to-all, :math:`(p-1)(\alpha + n/(p\beta))`.

    Parameters
    ----------
    size, ranks, bandwidth, latency : numeric
        See the module's docstring; `size` holds the parts for all ranks, the own one included.

    References
    ----------
    .. [1] Thakur, Rabenseifner and Gropp, 2005, section 4.2, doi:10.1177/1094342005051521

    Examples
    --------
    >>> pairwise_all_to_all(1e9, 8, 50e9, 5e-6)
    0.017535
    """
    return (ranks - 1) * (latency + size / (ranks * bandwidth))


def direct_all_to_all(
    size: Numeric,
    ranks: Sequence[Numeric],
    bandwidth: Sequence[Numeric],
    latency: Sequence[Numeric],
    message: Numeric = 0.0,
) -> Numeric:
    r"""Time of an all-to-all that sends each part straight to its rank, all at once (grouped sends).

    Parameters
    ----------
    size : numeric
        Bytes of a rank for all ranks together. [byte]
    ranks, bandwidth, latency : sequence of two numerics
        Inside a domain, and outside. [-], [byte/s], [s]
    message : numeric
        Time to post one message, for each of the other ranks. [s]

    Notes
    -----
    The share :math:`(k-1)/p` stays inside, :math:`(p-k)/p` leaves; both move at once. The bus bandwidth
    tends to :math:`d/(d-1)` times the NIC's over :math:`d` domains [1]_.

    References
    ----------
    .. [1] Jeaugey, NVIDIA/nccl-tests issue 130

    Examples
    --------
    >>> float(round(direct_all_to_all(1e9, [8, 4], [400e9, 50e9], [1e-6, 10e-6]), 6))
    0.01501
    """
    k, d = ranks
    p = k * d
    inside = size * (k - 1) / (p * bandwidth[0])
    outside = size * (p - k) / (p * bandwidth[1])
    first = np.maximum(latency[0] * np.minimum(k - 1, 1), latency[1] * np.minimum(d - 1, 1))
    return first + (p - 1) * message + np.maximum(inside, outside)


def hierarchical_all_to_all(
    size: Numeric,
    ranks: Sequence[Numeric],
    bandwidth: Sequence[Numeric],
    latency: Sequence[Numeric],
    message: Numeric = 0.0,
) -> Numeric:
    r"""Time of a rail-aligned all-to-all in two phases: inside to the rail's rank, then along the rail.

    Parameters
    ----------
    size, ranks, bandwidth, latency, message
        As in `direct_all_to_all`.

    Notes
    -----
    Parts for rail :math:`r` of any domain first go to the local rank :math:`r`: :math:`n (k-1)/k` inside;
    then each rank sends :math:`n (d-1)/d` along its rail, in :math:`d-1` messages instead of :math:`p-k`
    [1]_. Phases follow each other.

    References
    ----------
    .. [1] NVIDIA, Doubling all2all performance with NVIDIA Collective Communication Library 2.12 (PXN),
       2022

    Examples
    --------
    >>> float(round(hierarchical_all_to_all(1e9, [8, 4], [400e9, 50e9], [1e-6, 10e-6]), 6))
    0.017198
    """
    k, d = ranks
    inside = latency[0] * np.minimum(k - 1, 1) + size * (k - 1) / (k * bandwidth[0])
    outside = latency[1] * np.minimum(d - 1, 1) + size * (d - 1) / (d * bandwidth[1])
    return inside + outside + (k + d - 2) * message


def all_to_all_v(
    sent: Any, ranks_inside: int, bandwidth: Sequence[float], latency: Sequence[float], message: float = 0.0
) -> float:
    """Time of an uneven all-to-all: that of the busiest rank, by what it sends or receives.

    Parameters
    ----------
    sent : `[rank, rank]` array
        Bytes from a rank (row) to a rank (column); the diagonal stays where it is. [byte]
    ranks_inside : int
        Consecutive ranks that make up a domain. [-]
    bandwidth, latency : sequence of two floats
        Inside and outside, per rank. [byte/s], [s]
    message : float
        Time to post one message that is not empty. [s]

    Notes
    -----
    On a network without contention in its core, no flow is faster than the busiest port, inside or outside,
    in or out, allows, and a fair schedule reaches it (the bottleneck bound).

    Examples
    --------
    Four ranks, two a domain; rank 0 sends thrice what the others do.

    >>> sent = np.full((4, 4), 1e6); sent[0] *= 3
    >>> round(all_to_all_v(sent, 2, [400e9, 50e9], [0, 0]) * 1e6)
    120
    """
    table = np.array(sent, dtype=float)
    np.fill_diagonal(table, 0.0)
    domain = np.arange(len(table)) // ranks_inside
    same = domain[:, None] == domain[None, :]
    busiest = [
        max(part.sum(axis=0).max(), part.sum(axis=1).max())
        for part in (np.where(same, table, 0.0), np.where(same, 0.0, table))
    ]
    posts = float((table > 0).sum(axis=1).max())
    first = max((a for a, b in zip(latency, busiest, strict=True) if b > 0), default=0.0)
    return float(first + posts * message + max(b / beta for b, beta in zip(busiest, bandwidth, strict=True)))


def imbalanced_all_to_all(
    size: Numeric,
    ranks: Sequence[Numeric],
    bandwidth: Sequence[Numeric],
    latency: Sequence[Numeric],
    imbalance: Numeric,
    message: Numeric = 0.0,
) -> Numeric:
    """Time of an all-to-all-v known only by its mean `size` and the busiest rank over it.

    Parameters
    ----------
    size, ranks, bandwidth, latency, message
        As in `direct_all_to_all`.
    imbalance : numeric
        Bytes that the busiest rank sends or receives, over the mean; 1 or more. [-]

    Examples
    --------
    >>> even = direct_all_to_all(1e9, [8, 4], [400e9, 50e9], [0, 0])
    >>> float(imbalanced_all_to_all(1e9, [8, 4], [400e9, 50e9], [0, 0], imbalance=1.5) / even)
    1.5
    """
    return direct_all_to_all(size * imbalance, ranks, bandwidth, latency, message)

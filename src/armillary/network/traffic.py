"""Collectives of many groups at once as flows between accelerators: who sends how many bytes to whom.

A group's ranks are given by the accelerator each runs on, its scale-up domains follow from these. What
crosses domains is rail-aligned, as NCCL's rings and two-phase dispatchers send it: the i-th rank of a group
in one domain talks to its i-th rank in another.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from armillary.network.collectives import distinct_groups

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


class Traffic(NamedTuple):
    """Flows that run at the same time. source, target : `[flow]` accelerators [-]; size : `[flow]` [byte]."""

    source: Integers
    target: Integers
    size: Floats

    def beside(self, other: Traffic) -> Traffic:
        """Both at once, these flows first."""
        return Traffic(*(np.concatenate(pair) for pair in zip(self, other, strict=True)))

    def scaled(self, by: float) -> Traffic:
        """Same flows with so many times the bytes."""
        return self._replace(size=self.size * by)

    @classmethod
    def none(cls) -> Traffic:
        """No flow."""
        return cls(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))


class _Places(NamedTuple):
    """Ranks of groups sorted by scale-up domain.

    member : `[group, place]` accelerators, those of a domain side by side [-].
    start, held : `[group, place]` where the domain of this place begins, and how many of its ranks are of the
        group [-].
    next_start : `[group, place]` where the group's next domain begins, after the last its first [-].
    domains, least : `[group]` domains that it touches, and ranks in that with fewest [-].
    """

    member: Integers
    start: Integers
    held: Integers
    next_start: Integers
    domains: Integers
    least: Integers


def _places(members: Integers, domain: Integers) -> _Places:
    order = np.argsort(domain[members], axis=1, kind="stable")
    member = np.take_along_axis(members, order, axis=1)
    ranks = members.shape[1]
    home = domain[member]
    begins = np.ones(member.shape, dtype=bool)
    begins[:, 1:] = home[:, 1:] != home[:, :-1]
    place = np.broadcast_to(np.arange(ranks), member.shape)
    start = np.maximum.accumulate(np.where(begins, place, 0), axis=1)
    # The first beginning behind each place, from the right.
    ahead = np.where(begins, place, ranks)
    behind = np.full(member.shape, ranks)
    behind[:, :-1] = np.minimum.accumulate(ahead[:, :0:-1], axis=1)[:, ::-1]
    held = behind - start
    return _Places(
        member, start, held, np.where(behind == ranks, 0, behind), begins.sum(axis=1), held.min(axis=1)
    )


def ring_flows(members: ArrayLike, domain: Integers, size: float) -> Traffic:
    r"""Flows of an all-gather (or reduce-scatter) of `size` bytes in each of many groups at once.

    Parameters
    ----------
    members : `[group, rank]` of int
        Accelerator of each rank. [-]
    domain : `[accelerator]` of int
        Scale-up domain of each. [-]
    size : float
        Bytes of the whole result of one group. [byte]

    Notes
    -----
    Inside a domain with :math:`m` of the group's ranks, each sends :math:`n(m-1)/m` to the next. Across
    :math:`D` domains :math:`k` rings run side by side, one a rank of the domain with fewest: each link
    carries :math:`n(D-1)/(D k)`. That is what `collectives.all_gather` has on two rings, for any placement.
    An all-reduce is twice that.

    Examples
    --------
    >>> flows = ring_flows([[0, 1, 8, 9]], np.arange(16) // 8, size=1.0)
    >>> [(int(a), int(b), float(c)) for a, b, c in zip(*flows)][:5]
    [(0, 1, 0.5), (1, 0, 0.5), (8, 9, 0.5), (9, 8, 0.5), (0, 8, 0.25)]
    """
    p = _places(np.atleast_2d(np.asarray(members, dtype=np.int64)), domain)
    place = np.broadcast_to(np.arange(p.member.shape[1]), p.member.shape)
    local = place - p.start
    rows = np.broadcast_to(np.arange(len(p.member))[:, None], p.member.shape)
    inner = p.held > 1
    neighbour = p.member[rows, p.start + (local + 1) % p.held]
    inside = Traffic(p.member[inner], neighbour[inner], (size * (p.held - 1) / p.held)[inner])
    outer = (local < p.least[:, None]) & (p.domains > 1)[:, None]
    across = p.member[rows, np.minimum(p.next_start + local, p.member.shape[1] - 1)]
    share = size * (p.domains - 1) / (p.domains * p.least)
    return inside.beside(
        Traffic(p.member[outer], across[outer], np.broadcast_to(share[:, None], p.member.shape)[outer])
    )


def all_to_all_flows(members: ArrayLike, domain: Integers, size: float, copies: float = 1.0) -> Traffic:
    r"""Flows of a two-phase, rail-aligned all-to-all in each of many groups at once.

    Parameters
    ----------
    members, domain
        As in `ring_flows`.
    size : float
        Bytes that each rank holds for all ranks together, its own share included. [byte]
    copies : float
        As in `collectives.all_to_all`: copies of a token that a dispatcher merges. [-]

    Notes
    -----
    Of :math:`p` ranks, :math:`m` in each domain, a rank sends :math:`n m / p` to its peer in each remote
    domain, and :math:`n (m-1)/p` inside its own. The scale-up switch does not block, so that what a rank
    sends inside stands as one flow to its neighbour: the load of each of its links is the same.

    Examples
    --------
    >>> flows = all_to_all_flows([[0, 1, 8, 9]], np.arange(16) // 8, size=1.0)
    >>> [(int(a), int(b), float(c)) for a, b, c in zip(*flows)][3:6]
    [(9, 8, 0.25), (0, 8, 0.5), (1, 9, 0.5)]
    """
    p = _places(np.atleast_2d(np.asarray(members, dtype=np.int64)), domain)
    groups, ranks = p.member.shape
    place = np.broadcast_to(np.arange(ranks), p.member.shape)
    local = place - p.start
    rows = np.broadcast_to(np.arange(groups)[:, None], p.member.shape)
    inner = p.held > 1
    neighbour = p.member[rows, p.start + (local + 1) % p.held]
    merged = size * float(distinct_groups(ranks, copies)) / copies
    flows = Traffic(p.member[inner], neighbour[inner], (merged * (p.held - 1) / ranks)[inner])
    merged = size * distinct_groups(p.domains, copies)[:, None] / copies
    target_start = p.start
    for step in range(1, int(p.domains.max(initial=1))):
        target_start = p.next_start[rows, target_start]
        live = np.broadcast_to((p.domains > step)[:, None], p.member.shape)
        there = p.held[rows, target_start]
        # A domain with fewer ranks of the group receives several senders' bytes at one rank.
        peer = p.member[rows, target_start + local % there]
        flows = flows.beside(Traffic(p.member[live], peer[live], (merged * there / ranks)[live]))
    return flows


def send_flows(members: ArrayLike, size: float) -> Traffic:
    """Flows of pipeline stages that each hand on to the next, all at once.

    A stage's activations and its gradients leave one after the other, so that only one way is on the wire.

    Parameters
    ----------
    members : `[group, stage]` of int
        Accelerator of each stage. [-]
    size : float
        Of one transfer. [byte]
    """
    stages = np.atleast_2d(np.asarray(members, dtype=np.int64))
    ahead = stages[:, :-1].ravel()
    return Traffic(ahead, stages[:, 1:].ravel(), np.full(ahead.size, float(size)))

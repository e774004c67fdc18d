"""Dispatch and combine of a mixture of experts in closed form, on a scale-up domain and the network above it.

A rank sends each of its tokens to `copies` experts, which stand on `ranks` ranks in domains of `domain`.
`Traffic` says what a rank moves by each way of sending; `exchange_time` says how long that takes. Every
function takes numbers or numpy arrays that broadcast and has no branch on data.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from armillary.network.collectives import distinct_groups

Numeric = Any
"""A float or a numpy array of floats; arguments broadcast against each other."""


class Traffic(NamedTuple):
    """What one rank sends (and, balanced, receives) in one dispatch or combine.

    stays : from the rank to itself [byte]. inside : over the scale-up ring [byte].
    outside : over the network [byte].
    """

    stays: Numeric
    inside: Numeric
    outside: Numeric

    @property
    def total(self) -> Numeric:
        """All of it [byte]."""
        return self.stays + self.inside + self.outside

    def skewed(self, imbalance: Numeric) -> Traffic:
        """Traffic of the busiest rank, `imbalance` times the mean [-] (all-to-all-v waits for it)."""
        return Traffic(*(part * imbalance for part in self))


def bf16_token(hidden: Numeric) -> Numeric:
    """Bytes of a token in BF16, as it is combined: 2 an element [byte]."""
    return 2.0 * hidden


def fp8_token(hidden: Numeric) -> Numeric:
    """Bytes of a token in FP8, as it is dispatched: 1 an element and a 4-byte scale per 128 [byte].

    The 1 x 128 tiles of DeepSeek-AI, DeepSeek-V3 Technical Report, 2024, arXiv:2412.19437, section 3.3.2.

    Examples
    --------
    >>> fp8_token(7168)
    7392.0
    """
    return hidden * (1.0 + 4.0 / 128.0)


def direct(tokens: Numeric, size: Numeric, copies: Numeric, ranks: Numeric, domain: Numeric) -> Traffic:
    """Traffic where every copy goes straight to its expert's rank (DeepEP low-latency, pplx).

    Parameters
    ----------
    tokens : numeric
        On the rank. [token]
    size : numeric
        Of one token on the wire, see `fp8_token` and `bf16_token`. [byte]
    copies : numeric
        Experts a token visits (top-k); with buffers padded to the worst case, that each rank sends all its
        tokens to every expert, the number of experts. [-]
    ranks, domain : numeric
        Expert-parallel ranks, and how many of them share a scale-up domain. [-]

    Examples
    --------
    >>> [float(part) for part in direct(tokens=128, size=7392.0, copies=8, ranks=16, domain=8)]
    [473088.0, 3311616.0, 3784704.0]
    """
    copy = tokens * size * copies / ranks
    inside = np.minimum(domain, ranks)
    return Traffic(copy * 1.0, copy * (inside - 1.0), copy * (ranks - inside))


def forwarded(
    tokens: Numeric,
    size: Numeric,
    copies: Numeric,
    ranks: Numeric,
    domain: Numeric,
    groups: Numeric = np.inf,
) -> Traffic:
    """Traffic where a token crosses once to each domain and is forwarded inside it (DeepEP normal).

    Parameters
    ----------
    tokens, size, copies, ranks, domain : numeric
        As in `direct`.
    groups : numeric
        Domains that the router may pick for one token (node-limited routing). [-]

    Notes
    -----
    A token goes to the rank of the same rail in each remote domain with one of its experts, and from there
    over the scale-up ring to each rank with one of them. With uniform picks, domains and ranks that hold at
    least one are `distinct_groups`. A receiving rank's own rail needs no forwarding: one rank of each
    domain's.

    References
    ----------
    .. [1] DeepSeek-AI, DeepSeek-V3 Technical Report, 2024, arXiv:2412.19437, section 3.2.2

    Examples
    --------
    >>> sent = forwarded(tokens=4096, size=7392.0, copies=8, ranks=64, domain=8, groups=4)
    >>> print(round(sent.outside / 4096 / 7392, 3))
    3.15
    """
    inside = np.minimum(domain, ranks)
    domains = ranks / inside
    reached = np.minimum(domains, groups)
    pairs = tokens * size * distinct_groups(reached * inside, copies)
    crossings = tokens * size * distinct_groups(reached, copies)
    return Traffic(pairs / inside, pairs * (inside - 1.0) / inside, crossings * (domains - 1.0) / domains)


def over_network(sent: Traffic) -> Traffic:
    """Return the same copies with the network also between ranks of one domain (first DeepEP low-latency)."""
    return Traffic(sent.stays, 0.0 * sent.inside, sent.inside + sent.outside)


def copy_time(sent: Traffic, passes: Numeric, memory_bandwidth: Numeric) -> Numeric:
    """Time of (un)permutation: what a rank receives is read and written `passes` times [s].

    Parameters
    ----------
    sent : Traffic
    passes : numeric
        Copies through memory. [-]
    memory_bandwidth : numeric
        Of the rank's accelerator. [byte/s]
    """
    return 2.0 * passes * sent.total / memory_bandwidth


def exchange_time(
    sent: Traffic,
    scale_up: Numeric,
    scale_out: Numeric,
    launch: Numeric,
    crossing: Numeric = 0.0,
    peers: Numeric = 0.0,
    peer: Numeric = 0.0,
    messages: Numeric = 0.0,
    message: Numeric = 0.0,
) -> Numeric:
    r"""Time of one dispatch or combine.

    Parameters
    ----------
    sent : Traffic
        Of the busiest rank.
    scale_up, scale_out : numeric
        Sustained bandwidth of a rank on its scale-up ring and on its NIC, one direction. [byte/s]
    launch : numeric
        Of the kernels, with their barriers. [s]
    crossing : numeric
        Of a message through the network with its flag and its fence, once where anything crosses. [s]
    peers, peer : numeric
        Remote ranks that a rank writes to [-] and what each costs: a proxy on the host posts one after the
        other. [s]
    messages, message : numeric
        Messages that wait for each other in the queue of one peer [-], and what each costs. [s]

    Notes
    -----
    :math:`t = t_0 + [n_o > 0]\,(\alpha + p\,\pi + m\,\mu) + \max(n_i/\beta_i, n_o/\beta_o)`, with what goes
    inside and outside the domain; the postal model (Hockney 1994, doi:10.1016/S0167-8191(06)80021-9) with
    both rings at work at once.
    """
    crosses = np.where(np.asarray(sent.outside) > 0, 1.0, 0.0)
    wire = np.maximum(sent.inside / scale_up, sent.outside / scale_out)
    return launch + crosses * (crossing + peers * peer + messages * message) + wire

"""Collectives between the ranks of a replica: small all-reduces, dispatch of experts. Only numpy."""

from __future__ import annotations

from typing import Any

import numpy as np

from armillary.network.dispatch import exchange_time, forwarded
from armillary.serving.kernels import Sustained

Numeric = Any


def all_reduce_time(size: Numeric, ranks: Numeric, domain: Numeric, known: Sustained) -> Numeric:
    r"""Time of an engine's all-reduce of `size` bytes, 0 for one rank [s].

    Engines use kernels of their own inside a scale-up domain: flags and direct loads, so that the latency is
    one constant, and :math:`2(p-1)/p` of the bytes over the ring. Across domains the ranks of one rail
    exchange their shares: :math:`2\log_2 D` messages and :math:`2 n (D-1) / (D p)` bytes a NIC.
    """
    inside = np.minimum(ranks, domain)
    domains = ranks / inside
    many, across = np.where(ranks > 1, 1.0, 0.0), np.where(domains > 1, 1.0, 0.0)
    near = known.reduce_latency * many + 2 * size * (inside - 1) / (inside * known.scale_up)
    far = 2 * np.log2(np.maximum(domains, 1.0)) * known.network_latency * across
    return near + far + 2 * size * (domains - 1) / (domains * inside * known.scale_out)


def expert_exchange_time(
    tokens: Numeric,
    token_bytes: Numeric,
    copies: Numeric,
    ranks: Numeric,
    domain: Numeric,
    known: Sustained,
) -> Numeric:
    """Time to send a rank's tokens to the ranks of their experts, or back, 0 for one rank [s].

    Parameters
    ----------
    tokens : numeric
        On the rank. [token]
    token_bytes : numeric
        Of one on the wire. [byte]
    copies : numeric
        Experts a token visits; one copy goes to each rank, and one over the network to each domain. [-]
    ranks, domain : numeric
        Expert-parallel ranks, and accelerators of a domain. [-]
    known : Sustained
    """
    many = np.where(ranks > 1, 1.0, 0.0)
    sent = forwarded(tokens, token_bytes, copies, ranks, domain)
    return exchange_time(
        sent, known.scale_up, known.scale_out, known.exchange_latency * many, known.network_latency
    )

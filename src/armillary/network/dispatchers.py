"""`Dispatcher`: how a library of dispatch and combine behaves (dispatchers.toml); `exchange` applies it."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any, NamedTuple

import numpy as np

from armillary.errors import InputError, did_you_mean
from armillary.network.dispatch import (
    Traffic,
    bf16_token,
    copy_time,
    direct,
    exchange_time,
    forwarded,
    fp8_token,
    over_network,
)

Numeric = Any

PHASES = ("dispatch", "combine")
MODES = ("normal", "low-latency")
NETWORKS = ("infiniband", "efa")


@dataclass(frozen=True, slots=True)
class Dispatcher:
    """A library on a network; the fields are those of dispatchers.toml.

    algorithm : ``forwarded``, ``direct`` or ``padded``.
    scale_up : False where even ranks of one domain use the network.
    scale_up_share : of the scale-up bandwidth that is sustained, by phase [-].
    scale_out_share : of the NIC's [-].
    launch, crossing : by phase [s].
    peer, message : for each remote rank, each message of a queue [s].
    passes : copies of what is received through memory [-].
    """

    name: str
    title: str
    provenance: str
    algorithm: str
    scale_up: bool
    scale_up_share: Mapping[str, float]
    scale_out_share: float
    launch: Mapping[str, float]
    crossing: Mapping[str, float]
    peer: float
    message: float
    passes: float


class Exchange(NamedTuple):
    """One dispatch or combine. sent : by the busiest rank. time [s]; wire, copies : parts of it [s]."""

    sent: Traffic
    time: Numeric
    wire: Numeric
    copies: Numeric


@lru_cache(maxsize=1)
def dispatcher_table() -> dict[str, dict[str, Any]]:
    """Entries of dispatchers.toml as they are read."""
    text = resources.files("armillary.network").joinpath("dispatchers.toml").read_text("utf-8")
    return tomllib.loads(text)


def dispatcher(name: str, known: Mapping[str, Mapping[str, Any]] | None = None) -> Dispatcher:
    """Dispatcher of a name, e.g. ``deepep-normal``.

    Parameters
    ----------
    name : str
    known : mapping, optional
        In place of `dispatcher_table`, e.g. with trial values of a fit.

    Raises
    ------
    InputError
        If there is none of that name.
    """
    table = dispatcher_table() if known is None else known
    if name not in table:
        near = did_you_mean(name, table)
        raise InputError(f"unknown dispatcher {name!r}{near} (known: {', '.join(table)})")
    values = dict(table[name])
    while "like" in values:
        values = {**table[values.pop("like")], **values}
    return Dispatcher(name=name, **values)


def choose(library: str, mode: str = "normal", network: str = "infiniband") -> str:
    """Name of the entry of a library in a mode on a network; that on InfiniBand where it has no other.

    Parameters
    ----------
    library : str
        ``deepep``, ``uccl``, ``pplx-garden``, ``pplx`` or ``nccl``.
    mode : str
        One of `MODES`; libraries with one kind of kernels do not look at it.
    network : str
        One of `NETWORKS`.

    Raises
    ------
    InputError
        If library, mode or network is unknown.
    """
    table = dispatcher_table()
    for value, known, what in ((mode, MODES, "mode"), (network, NETWORKS, "network")):
        if value not in known:
            raise InputError(f"unknown {what} {value!r} of a dispatcher (known: {', '.join(known)})")
    for stem in (f"{library}-{mode}", library):
        for name in (f"{stem}-{network}", stem):
            if name in table:
                return name
    near = did_you_mean(library, table)
    raise InputError(f"unknown dispatcher {library!r}{near} (known: {', '.join(table)})")


def exchange(
    known: Dispatcher,
    phase: str,
    tokens: Numeric,
    hidden: Numeric,
    copies: Numeric,
    ranks: Numeric,
    domain: Numeric,
    scale_up: Numeric,
    scale_out: Numeric,
    memory_bandwidth: Numeric,
    size: Numeric | None = None,
    experts: Numeric = 256,
    groups: Numeric = np.inf,
    imbalance: Numeric = 1.0,
) -> Exchange:
    """One dispatch or combine with a library.

    Parameters
    ----------
    known : Dispatcher
    phase : str
        One of `PHASES`.
    tokens : numeric
        On each rank. [token]
    hidden, copies : numeric
        Elements of a token; experts it visits (top-k). [-]
    ranks, domain : numeric
        Expert-parallel ranks, and how many of them share a scale-up domain. [-]
    scale_up, scale_out, memory_bandwidth : numeric
        Of one accelerator, one direction; its NIC; its memory. [byte/s]
    size : numeric, optional
        Of a token on the wire; by default FP8 with scales in dispatch and BF16 in combine. [byte]
    experts : numeric
        Of a layer, for buffers of the worst case. [-]
    groups : numeric
        Domains that the router may pick for one token. [-]
    imbalance : numeric
        Tokens of the busiest rank over the mean. [-]

    Raises
    ------
    InputError
        If `phase` is none of `PHASES`.

    Examples
    --------
    Decode of DeepSeek-V3 over 64 H800 with DeepEP; its authors measured 173 microseconds.

    >>> found = exchange(dispatcher("deepep-low-latency"), "dispatch", tokens=128, hidden=7168, copies=8,
    ...                  ranks=64, domain=8, scale_up=200e9, scale_out=50e9, memory_bandwidth=3.35e12)
    >>> 160e-6 < float(found.time) < 190e-6
    True
    """
    if phase not in PHASES:
        raise InputError(f"unknown phase {phase!r} (known: {', '.join(PHASES)})")
    if size is None:
        size = fp8_token(hidden) if phase == "dispatch" else bf16_token(hidden)
    if known.algorithm == "forwarded":
        sent = forwarded(tokens, size, copies, ranks, domain, groups)
    else:
        sent = direct(tokens, size, experts if known.algorithm == "padded" else copies, ranks, domain)
    if not known.scale_up:
        sent = over_network(sent)
    sent = sent.skewed(imbalance)
    near = np.minimum(domain, ranks) if known.scale_up else 1.0
    up, out = scale_up * known.scale_up_share[phase], scale_out * known.scale_out_share
    moved = exchange_time(
        sent,
        up,
        out,
        known.launch[phase],
        known.crossing[phase],
        peers=ranks - near,
        peer=known.peer,
        messages=tokens * copies / ranks,
        message=known.message,
    )
    through = copy_time(sent, known.passes, memory_bandwidth)
    return Exchange(sent, moved + through, exchange_time(sent, up, out, 0.0), through)

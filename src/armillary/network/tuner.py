"""NCCL's choice of algorithm and protocol, and the time it takes: the form of its tuner, refitted to predict.

Time = launch + latency + wire. Latency is hops in the number and price of NCCL's tuner; wire is the slower of
what the links inside a domain and the network cards between domains carry, and the time to fill the pipeline.
The fastest pair of algorithm and protocol is taken, within NCCL's own limits (`eligible`).

References
----------
.. [1] NVIDIA, NCCL 2.30.7, src/graph/tuning.cc (the form, latencies, caps of LL)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from armillary.errors import InputError, did_you_mean
from armillary.network.algorithms import bus_factor, steps, tree_traffic
from armillary.network.collectives import Numeric
from armillary.network.tuning import Tuning

ALGORITHMS: dict[str, tuple[str, ...]] = {
    "all_reduce": ("ring", "tree", "nvls", "nvls_tree"),
    "all_gather": ("ring", "pat"),
    "reduce_scatter": ("ring", "pat"),
    "broadcast": ("ring",),
    "reduce": ("ring",),
    "all_to_all": ("direct",),
    "send_recv": ("direct",),
    "barrier": ("ring", "tree"),
}
"""Operations, and the algorithms that each has."""

PROTOCOLS: dict[str, tuple[str, ...]] = {
    "ring": ("ll", "ll128", "simple"),
    "tree": ("ll", "ll128", "simple"),
    "pat": ("simple",),
    "nvls": ("simple",),
    "nvls_tree": ("simple",),
    "direct": ("ll", "simple"),
}
"""Protocols of each algorithm."""

BARRIER_SIZE = 4.0
"""An all-reduce of one number is what libraries make of a barrier. [byte]"""


class Parts(NamedTuple):
    """Parts of a time [s]: of the host and the kernel, of hops, of bytes with the filling of the pipeline."""

    launch: Numeric
    latency: Numeric
    wire: Numeric


class Choice(NamedTuple):
    """What a collective runs on, and how long. Shapes are those of the arguments broadcast.

    algorithm, protocol : names. time : [s]; infinite where what was asked for cannot run.
    algbw, busbw : as nccl-tests defines them [byte/s].
    parts : sum to `time` [s].
    """

    algorithm: Any
    protocol: Any
    time: Numeric
    algbw: Numeric
    busbw: Numeric
    parts: Parts


def predict(
    op: str,
    size: Numeric,
    ranks: Numeric,
    tuned: Tuning,
    ranks_inside: Numeric | None = None,
    algorithm: str | Sequence[str] | None = None,
    protocol: str | None = None,
) -> Choice:
    """Choose algorithm and protocol of a collective as NCCL does, and predict its time.

    Parameters
    ----------
    op : str
        A key of `ALGORITHMS`.
    size : numeric
        Of the larger buffer of a rank, as in nccl-tests. [byte]
    ranks : numeric
        Participants. [-]
    tuned : Tuning
    ranks_inside : numeric, optional
        Of the group in one scale-up domain; by default as many as fit. [-]
    algorithm : str or sequence of str, optional
        Take this one, or the best of these, whatever NCCL's limits are. ``nvls`` and ``nvls_tree`` stand for
        each other, as one is for one domain and one for several.
    protocol : str, optional
        Take this one: ``ll``, ``ll128`` or ``simple``.

    Raises
    ------
    InputError
        If there is no such operation, algorithm or protocol, or the operation does not have them.
    """
    names = _pairs(op, algorithm, protocol)
    size, ranks = np.asarray(size, float), np.asarray(ranks, float)
    if np.any(ranks < 1) or np.any(size < 0):
        raise InputError("a collective needs at least 1 rank and 0 bytes")
    if op == "barrier":
        size = np.minimum(size, BARRIER_SIZE)
    inside = np.minimum(ranks, tuned.scale_up_size if ranks_inside is None else ranks_inside)
    if np.any(inside < 1):
        raise InputError("ranks_inside must be at least 1")
    domains = np.ceil(ranks / inside - 1e-9)
    inside = ranks / domains
    shape = np.broadcast_shapes(size.shape, ranks.shape, inside.shape)
    whole: list[NDArray[np.float64]] = []
    each: list[Parts] = []
    forced = algorithm is not None
    for name, kind in names:
        parts = parts_of(op, name, kind, size, inside, domains, tuned)
        barred = np.where(eligible(name, inside, domains, tuned, forced), 0.0, np.inf)
        each.append(Parts(*(np.broadcast_to(p, shape) for p in parts)))
        whole.append(np.broadcast_to(sum(parts) + barred, shape))
    best = np.argmin(np.stack(whole), axis=0)
    chosen = Parts(*(_take([getattr(p, f) for p in each], best) for f in Parts._fields))
    time = _take(whole, best)
    algbw = size / time
    return Choice(
        _names([a for a, _ in names], best),
        _names([p for _, p in names], best),
        _plain(time),
        _plain(algbw),
        _plain(algbw * bus_factor(op, ranks)),
        Parts(*(_plain(p) for p in chosen)),
    )


def eligible(algorithm: str, inside: Numeric, domains: Numeric, tuned: Tuning, forced: bool = False) -> Any:
    """Say where NCCL would take an algorithm; one that is forced needs only to exist there.

    NVLS needs switches that reduce and `nvls_from` ranks in the domain (forced: two), NVLSTree several
    domains, PAT one rank a domain.
    """
    if algorithm in ("nvls", "nvls_tree"):
        least = 2 if forced else tuned.nvls_from
        several = np.asarray(domains) > 1
        return (
            (np.asarray(inside) >= least)
            & tuned.reduces
            & (several if algorithm == "nvls_tree" else ~several)
        )
    if algorithm == "pat":
        return (np.asarray(inside) == 1) | forced
    return np.full(np.broadcast_shapes(np.shape(inside), np.shape(domains)), True)


def parts_of(
    op: str, algorithm: str, protocol: str, size: Numeric, inside: Numeric, domains: Numeric, tuned: Tuning
) -> Parts:
    """Parts of the time of one algorithm under one protocol. [s]

    Parameters
    ----------
    op, algorithm, protocol : str
    size : numeric
        As in `predict`. [byte]
    inside, domains : numeric
        Ranks of the group in one scale-up domain, and domains. [-]
    tuned : Tuning
    """
    one, two = tuned.hop_inside[algorithm][protocol], tuned.hop_outside[algorithm][protocol]
    part = size / (inside * domains) if algorithm in ("ring", "pat", "direct") else size
    outer = two + tuned.net_latency + tuned.rendezvous * part / (part + tuned.eager)
    latency = _latency(op, algorithm, inside, domains, one, outer, tuned.message)
    alone = np.where(inside * domains > 1, 1.0, 0.0)
    wire = _wire(op, algorithm, protocol, size, inside, domains, tuned) + _fill(size, inside, domains, tuned)
    launch = tuned.launch + tuned.base[algorithm][protocol]
    between = tuned.floor * np.where(domains > 1, 1.0, 0.0)
    whole = launch + (latency + wire) * alone
    return Parts(launch + 0.0 * whole, latency * alone + np.hypot(between, whole) - whole, wire * alone)


def _latency(
    op: str, algorithm: str, inside: Numeric, domains: Numeric, one: float, two: Numeric, message: float
) -> Numeric:
    ranks = inside * domains
    if algorithm == "ring":
        passes = 2 if op in ("all_reduce", "barrier") else 1
        crossings = passes * (domains - 1)
        return (passes * (ranks - 1) - crossings) * one + crossings * two
    if algorithm == "tree":
        return 2 * ((inside - 1) * one + steps(domains) * two)
    if algorithm == "pat":
        return steps(ranks) * two + 2.8e-6 * ranks
    if algorithm in ("nvls", "nvls_tree"):
        return one + 2 * steps(domains) * two
    crosses = np.where(domains > 1, 1.0, 0.0)
    peers = ranks - 1 if op == "all_to_all" else 1.0
    return crosses * two + (1 - crosses) * one + peers * message


def _wire(
    op: str, algorithm: str, protocol: str, size: Numeric, inside: Numeric, domains: Numeric, tuned: Tuning
) -> Numeric:
    """Time of the busiest link, inside or outside; pipelined, so that the slower decides [s]."""
    ranks = inside * domains
    peers = np.minimum(inside - 1, tuned.mesh) / tuned.mesh if tuned.mesh else 1.0
    link = tuned.scale_up_bandwidth * tuned.ring * np.maximum(peers, 1e-9)
    several, within = np.where(domains > 1, 1.0, 0.0), np.where(inside > 1, 1.0, 0.0)
    if algorithm in ("nvls", "nvls_tree"):
        through = (1 + 1 / inside) / tuned.nvls
        bus = 2 * (inside - 1) / inside / tuned.nvls_bus
        slower = tuned.nvls_tree if algorithm == "nvls_tree" else 1.0
        within_time = size * np.maximum(through, bus) / (tuned.scale_up_bandwidth * slower)
        between = tree_traffic(domains) * size / (inside * tuned.nic_bandwidth * tuned.nic_tree)
        return np.maximum(within_time * within, between)
    fast, out = 1.0, 1.0
    if protocol == "ll128":
        fast, out = tuned.ll128, tuned.ll128_outside
    if protocol == "ll":
        fast = out = 0.5
    if algorithm == "direct":
        apart = (inside - 1) / ranks if op == "all_to_all" else 1 - several
        away = (ranks - inside) / ranks if op == "all_to_all" else several
        return np.maximum(
            size * apart / (link * tuned.p2p * fast),
            size * away / (tuned.nic_bandwidth * tuned.nic_p2p * out),
        )
    if algorithm == "tree":
        moved, crossing, nic = 2.0 * within, tree_traffic(domains), tuned.nic_tree
        link = link * tuned.tree
    else:
        moved = bus_factor(op if op != "barrier" else "all_reduce", ranks)
        crossing, nic = moved * several, tuned.nic
        moved = moved * within
    wire = np.maximum(
        size * moved / (link * fast), size * crossing / (inside * tuned.nic_bandwidth * nic * out)
    )
    if protocol == "ll":
        most = np.interp(domains, [1.0, 2.0, 3.0], tuned.ll_bus)
        bus = bus_factor(op if op != "barrier" else "all_reduce", ranks)
        wire = np.maximum(wire, size * bus / most)
    return wire


def _fill(size: Numeric, inside: Numeric, domains: Numeric, tuned: Tuning) -> Numeric:
    """Time to fill and drain the pipeline, whose chunks grow with the bytes of a rank up to a limit [s]."""
    levels = np.log2(np.maximum(domains, 1.0))
    ranks = inside * domains
    within = tuned.fill * inside * np.where(inside > 1, 1.0, 0.0) * size / (size + tuned.fill_size * ranks)
    return within + tuned.fill_outside * levels * size / (size + tuned.fill_size_outside * ranks)


def _pairs(op: str, algorithm: str | Sequence[str] | None, protocol: str | None) -> list[tuple[str, str]]:
    """Pairs of algorithm and protocol to choose from."""
    if op not in ALGORITHMS:
        raise InputError(
            f"unknown collective {op!r}{did_you_mean(op, ALGORITHMS)} (known: {', '.join(ALGORITHMS)})"
        )
    if protocol is not None and protocol not in ("ll", "ll128", "simple"):
        raise InputError(f"unknown protocol {protocol!r} (known: ll, ll128, simple)")
    wanted = [algorithm] if isinstance(algorithm, str) else list(algorithm or ALGORITHMS[op])
    for name in wanted:
        if name not in PROTOCOLS:
            raise InputError(
                f"unknown algorithm {name!r}{did_you_mean(name, PROTOCOLS)} (known: {', '.join(PROTOCOLS)})"
            )
        if name not in ALGORITHMS[op]:
            raise InputError(f"{op} has no algorithm {name!r}; it has {', '.join(ALGORITHMS[op])}")
    if algorithm is not None and {"nvls", "nvls_tree"} & set(wanted):
        wanted = [*(n for n in wanted if "nvls" not in n), "nvls", "nvls_tree"]
    pairs = [(a, p) for a in wanted for p in PROTOCOLS[a] if protocol in (None, p)]
    if not pairs:
        raise InputError(
            f"algorithm {wanted[0]} has no protocol {protocol}; it has {', '.join(PROTOCOLS[wanted[0]])}"
        )
    return pairs


def _take(values: Sequence[Any], best: NDArray[np.int64]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = np.take_along_axis(np.stack(values), best[None], axis=0)[0]
    return found


def _names(names: Sequence[str], best: NDArray[np.int64]) -> Any:
    chosen = np.array(names, dtype=object)[best]
    return str(chosen) if best.ndim == 0 else chosen


def _plain(value: Any) -> Numeric:
    return float(value) if np.ndim(value) == 0 else value

"""All that a run knows between two events, as arrays; made for a fleet, grown, written to a file and read."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from armillary.errors import ArmillaryError, InputError
from armillary.serving.deployment import Outage, Pool, checked_pool, group_choices
from armillary.serving.prefix_cache import IDLE_BLOCKS, NODE, Cache, empty_cache
from armillary.serving.records import (
    DECODER,
    ENGINE,
    FAILURE,
    IDLE,
    ON,
    OUT,
    OUT_OF_REACH,
    OVERALL,
    QUEUE,
    REPLICA,
    SEQUENCE,
    TICK,
    TIMER,
)
from armillary.serving.requests import Requests
from armillary.serving.routing import ROUTERS
from armillary.serving.running import MORE_ROOM, run
from armillary.serving.tally import BINS, TALLY
from armillary.serving.timers import random_time, set_timer

KINDS = {
    "rep": REPLICA,
    "seq": SEQUENCE,
    "heap": DECODER,
    "queue": QUEUE,
    "eng": ENGINE,
    "timers": TIMER,
    "over": OVERALL,
    "tally": TALLY,
    "cache_node": NODE,
    "cache_idle": IDLE_BLOCKS,
}
"""Records of arrays, as files do not keep how fields are aligned."""

NO_TIMES: NDArray[np.float64] = np.empty(0)
NO_NUMBERS: NDArray[np.int64] = np.empty(0, np.int64)
NO_OUT: NDArray[Any] = np.empty(0, OUT)


class State(NamedTuple):
    """Arrays of `run`, in its order; rows are described in `records`.

    rep, load, dirty, end, near, place : `[replica]`. seq : `[slot]`. heap, fresh : `[replica, sequence]`.
    queue : `[replica, priority]`. eng : `[group]`. table : `[entry]` all step costs [s].
    timers : `[timer]`. blocks : `[slot, block]`. choices : `[model, region, choice]`.
    latency : `[region, group]` [s]. outage : `[outage]` durations [s]. over, tally : one row.
    bins : `[latency, bin]`.
    """

    rep: NDArray[Any]
    seq: NDArray[Any]
    heap: NDArray[Any]
    fresh: NDArray[np.int64]
    queue: NDArray[Any]
    eng: NDArray[Any]
    table: NDArray[np.float64]
    load: NDArray[np.int64]
    dirty: NDArray[np.int64]
    end: NDArray[np.float64]
    near: NDArray[np.int64]
    place: NDArray[np.int64]
    timers: NDArray[Any]
    cache: Cache | None
    blocks: NDArray[np.int64]
    choices: NDArray[np.int64]
    latency: NDArray[np.float64]
    outage: NDArray[np.float64]
    over: NDArray[Any]
    tally: NDArray[Any]
    bins: NDArray[np.int64]


class Options(NamedTuple):
    """How a fleet is run; see `simulate`."""

    routing: str = "round_robin"
    seed: int = 0
    retries: int = 3
    guard: float = 8.0
    block: int = 0
    widest: int = 0
    host_tokens: float = 0.0
    host_transfer: float = 0.0
    models: int = 1
    regions: int = 1
    levels: int = 1
    region_latency: ArrayLike | None = None
    outages: Sequence[Outage] = ()
    ttft_limit: float = np.inf
    tpot_limit: float = np.inf
    e2e_limit: float = np.inf
    concurrency: int = 0
    histograms: bool = False


def initial(pools: Sequence[Pool], options: Options) -> State:
    """State of a fleet before its first request.

    Raises
    ------
    InputError
        Naming what is wrong with a pool or an option.
    """
    pools = [checked_pool(p, f"pool {i}") for i, p in enumerate(pools)]
    _check(pools, options)
    groups: list[tuple[int, Any, int, Any, bool]] = []
    entries = []
    for i, p in enumerate(pools):
        entries.append(len(groups))
        groups.append((i, p.engine, p.replicas, p.scaling, True))
        if p.decode is not None:
            groups.append((i, p.decode, p.decode_replicas, p.decode_scaling, False))
    eng = np.zeros(len(groups), ENGINE)
    tables: list[NDArray[np.float64]] = []
    rooms = [max(count, s.most) if s else count for _, _, count, s, _ in groups]
    replicas, length = sum(rooms), 0
    rep = np.zeros(replicas, REPLICA)
    rep["partial"], rep["mode"] = -1, IDLE
    load = np.full(replicas, OUT_OF_REACH, np.int64)
    over = np.zeros(1, OVERALL)
    timers = np.zeros(64 + 4 * replicas + len(groups) + len(options.outages), TIMER)
    begin = 0
    for g, (i, engine, count, s, entry) in enumerate(groups):
        e, cost, p = eng[g], engine.cost, pools[i]
        for name in ("kv", "chunk_kv", "tokens_per_step", "beside", "joined"):
            e[name] = getattr(cost, name)
        for name in ("kv_tokens", "max_sequences", "max_tokens", "reserve", "chunked"):
            e[name] = getattr(engine, name)
        for name in ("poll", "hold", "hold_tokens"):
            e[name] = getattr(engine, name)
        e["tells_first"] = not entry and p.first_token == "decode"
        e["decode"], e["mixed"] = length, length + len(cost.decode)
        tables += [cost.decode, cost.mixed]
        length += len(cost.decode) + len(cost.mixed)
        e["hands_over"], e["next_group"] = entry and p.decode is not None, g + 1
        e["transfer_latency"], e["transfer"] = p.transfer
        e["begin"], e["end"], e["turn"] = begin, begin + rooms[g], begin * 0
        e["model"], e["region"], e["entry"] = p.model, p.region, entry
        e["front"], e["front_token"], e["front_lag"] = p.front
        e["host_transfer"] = options.host_transfer if p.host_tokens is None else p.host_transfer
        e["queue_limit"] = p.queue_limit if entry and p.queue_limit is not None else 2**62
        e["spill"], e["active"] = p.spill, count
        if s:
            e["scaled"], e["target"], e["interval"], e["start_up"] = 1, s.target, s.interval, s.start_up
            e["least"], e["most"] = s.least, s.most
            set_timer(timers, over, s.interval, TICK, g, 0)
        if p.failures:
            e["mtbf"], e["mttr"] = p.failures
        rep["group"][begin : begin + rooms[g]] = g
        rep["condition"][begin : begin + count] = ON
        load[begin : begin + count] = 0
        begin += rooms[g]
    o = over[0]
    o["random"], o["free"], o["closed"] = options.seed % 2**64, -1, options.concurrency > 0
    o["credit"], o["router"] = options.concurrency, ROUTERS.index(options.routing)
    o["levels"], o["retries"], o["guard"] = options.levels, options.retries, options.guard
    o["block"] = options.block
    o["ttft_limit"], o["tpot_limit"] = options.ttft_limit, options.tpot_limit
    o["e2e_limit"] = options.e2e_limit
    cache, host = None, NO_NUMBERS
    if options.block:
        device = np.floor(eng["kv_tokens"] / options.block).astype(np.int64)[rep["group"]]
        tokens = [options.host_tokens if p.host_tokens is None else p.host_tokens for p in pools]
        room = np.array([tokens[i] // options.block for i, *_ in groups], np.int64)
        host = room[rep["group"]]
        cache = empty_cache(device, host, options.widest)
    for r in np.flatnonzero(eng["mtbf"][rep["group"]] > 0):
        wait = random_time(over, eng["mtbf"][rep["group"][r]])
        set_timer(timers, over, wait, FAILURE, int(r), -1)
    for at, outage in enumerate(options.outages):
        if not (0 <= outage.replica < replicas and outage.time >= 0 and 0 < outage.duration < np.inf):
            raise InputError(f"outage {at} must name a replica below {replicas} and times. Got {outage!r}")
        set_timer(timers, over, outage.time, FAILURE, outage.replica, at)
    choices, latency = group_choices(pools, entries, options.region_latency, options.models, options.regions)
    most = int(eng["max_sequences"].max())
    queue = np.full((replicas, options.levels), -1, np.int64).repeat(2, 1).view(QUEUE)
    durations = np.array([outage.duration for outage in options.outages], float)
    o["digest"] = _digest(eng, np.concatenate(tables), timers, over, choices, latency, durations, host)
    return State(
        rep,
        np.zeros(0, SEQUENCE),
        np.zeros((replicas, most), DECODER),
        np.zeros((replicas, most), np.int64),
        np.ascontiguousarray(queue),
        eng,
        np.concatenate(tables),
        load,
        np.zeros(replicas, np.int64),
        np.full(replicas, np.inf),
        np.arange(replicas),
        np.arange(replicas),
        timers,
        cache,
        np.zeros((0, options.widest), np.int64),
        choices,
        latency,
        durations,
        over,
        np.zeros(1, TALLY),
        np.zeros((3, BINS) if options.histograms else (0, 0), np.int64),
    )


def _check(pools: Sequence[Pool], options: Options) -> None:
    if not pools or sum(p.room for p in pools) < 1:
        raise InputError("a fleet must have at least one pool with a replica")
    if options.routing not in ROUTERS:
        raise InputError(f"routing must be one of {', '.join(ROUTERS)}. Got {options.routing!r} instead.")
    if options.retries < 0:
        raise InputError(f"retries must be 0 or more. Got {options.retries!r} instead.")
    if options.routing == "cache_aware" and not options.block:
        raise InputError(
            "routing 'cache_aware' needs prefix blocks: requests with block_offsets and block_ids, "
            "such as of a trace that has them, and a prefix cache that is not switched off"
        )
    if not (options.host_tokens >= 0 and options.host_transfer >= 0 and options.guard >= 0):
        raise InputError("host_tokens, host_transfer and guard must be 0 or more")


def copied(state: State) -> State:
    """The same state in arrays of its own."""
    cache = None if state.cache is None else Cache(*(part.copy() for part in state.cache))
    parts: dict[str, Any] = {n: part.copy() for n, part in state._asdict().items() if n != "cache"}
    return State(cache=cache, **parts)


def grown(state: State) -> State:
    """The state with room for more sequences in flight and more timers."""
    seq, timers, blocks = state.seq, state.timers, state.blocks
    o = state.over[0]
    if o["free"] < 0:
        old = len(seq)
        new = max(256, 2 * old)
        seq = np.zeros(new, SEQUENCE)
        seq[:old] = state.seq
        seq["id"][old:] = -1
        seq["next"][old:] = np.arange(old + 1, new + 1)
        seq["next"][-1] = -1
        o["free"] = old
        blocks = np.full((new, state.blocks.shape[1]), -1, np.int64)
        blocks[:old] = state.blocks
    need = int(o["timers"]) + 2 * len(seq) + 4 * len(state.rep) + 64
    if len(timers) < need:
        timers = np.zeros(max(need, 2 * len(timers)), TIMER)
        timers[: len(state.timers)] = state.timers
    return state._replace(seq=seq, timers=timers, blocks=blocks)


def advance(
    state: State,
    requests: Requests,
    out: NDArray[Any] = NO_OUT,
    given: NDArray[np.int64] = NO_NUMBERS,
    last: bool = True,
) -> State:
    """Let a batch of requests come in, and with the last batch all end; returns the state after it."""
    arrays: list[Any] = [
        *requests[:3],
        *(NO_NUMBERS if part is None else part for part in (requests.model, requests.region)),
        NO_NUMBERS if requests.priority is None else requests.priority,
        NO_TIMES if requests.timeout is None else requests.timeout,
        given,
        *(NO_NUMBERS if part is None else part for part in (requests.block_offsets, requests.block_ids)),
    ]
    state.over["taken"] = 0
    kernel: Any = run
    while kernel(*state[:-2], out, *state[-2:], *arrays, last) == MORE_ROOM:
        state = grown(state)
    state.over["seen"] += state.over["taken"]
    if last and state.over["in_flight"][0]:
        raise ArmillaryError(
            f"{state.over['in_flight'][0]} requests never ended; this is a fault of Armillary"
        )
    return state


def same_fleet(one: State, other: State) -> bool:
    """Whether two states are of the same fleet and options."""
    return bool(one.over["digest"][0] == other.over["digest"][0])


def _digest(*parts: NDArray[Any]) -> int:
    whole = hashlib.blake2b(digest_size=8)
    for part in parts:
        whole.update(np.ascontiguousarray(part).tobytes())
    return int.from_bytes(whole.digest(), "little")


def _neat(part: NDArray[Any]) -> NDArray[Any]:
    """The same array with zeros between its fields."""
    if part.dtype.names is None:
        return part
    neat = np.zeros(part.shape, part.dtype)
    for name in part.dtype.names:
        neat[name] = part[name]
    return neat


def save(state: State, path: Path) -> None:
    """Write a state to a file, whole or not at all."""
    parts = {name: part for name, part in state._asdict().items() if name != "cache"}
    if state.cache is not None:
        parts |= {f"cache_{name}": part for name, part in state.cache._asdict().items()}
    neat: dict[str, Any] = {name: _neat(part) for name, part in parts.items()}
    temporary = path.with_name(path.name + ".part")
    # Of a finished run little but zeros and a few counts is left.
    write = np.savez_compressed if state.over["finished"][0] else np.savez
    with temporary.open("wb") as file:
        write(file, **neat)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def load(path: Path) -> State:
    """Read a state that `save` wrote.

    Raises
    ------
    InputError
        If the file is not one.
    """
    try:
        with np.load(path) as file:
            parts = {name: file[name] for name in file.files}
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is not a state of a simulation: {error}") from None
    if not {"rep", "seq", "over"} <= set(parts) or parts["over"].dtype != OVERALL:
        raise InputError(f"{path} is the state of another version; start anew")
    for name, kind in KINDS.items():
        if name in parts:
            parts[name] = parts[name].view(kind)
    cache = [parts.pop(f"cache_{name}", None) for name in Cache._fields]
    return State(cache=None if cache[0] is None else Cache(*cache), **parts)

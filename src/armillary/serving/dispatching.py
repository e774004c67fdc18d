"""How a request comes in, is sent to a replica or turned away."""

from __future__ import annotations

from typing import Any

import numpy as np

from armillary.serving.batching import notice
from armillary.serving.compiled import inlined
from armillary.serving.queueing import free_slot
from armillary.serving.records import (
    DELIVERY,
    MOVING,
    NO_REPLICA,
    QUEUE_FULL,
    REJECTED,
    TIMEOUT,
    TOO_LONG,
)
from armillary.serving.routing import choose_group, choose_replica
from armillary.serving.tally import count_outcome
from armillary.serving.timers import set_timer


@inlined
def end_request(
    seq: Any, slot: int, time: float, status: int, reason: int, over: Any, out: Any, tally: Any, bins: Any
) -> None:
    """Record a request that ends without its last token."""
    count_outcome(seq[slot], time, status, reason, over, out, tally, bins)
    free_slot(seq, slot, over)


@inlined
def too_long(e: Any, length: int, output: int) -> bool:
    """Whether a request can never be served by an engine."""
    most = length + output + (e.tokens_per_step if e.tokens_per_step > 1 else 0.0)
    if e.hands_over:
        most = length + 1.0
    if most > e.kv_tokens:
        return True
    return not e.chunked and (length if e.reserve or e.hands_over else length + output - 1) > e.max_tokens


@inlined
def send(
    rep: Any,
    seq: Any,
    queue: Any,
    eng: Any,
    load: Any,
    dirty: Any,
    end: Any,
    near: Any,
    place: Any,
    timers: Any,
    cache: Any,
    blocks: Any,
    choices: Any,
    latency: Any,
    over: Any,
    out: Any,
    tally: Any,
    bins: Any,
    slot: int,
    given: int,
    now: float,
) -> None:
    """Route a request to a replica, or reject it."""
    q = seq[slot]
    group = choose_group(eng, choices[q.model, q.region])
    replica = -1
    if group >= 0:
        replica = choose_replica(rep, eng, load, cache, blocks, seq, over, group, slot, given)
    if replica < 0:
        end_request(seq, slot, now, REJECTED, NO_REPLICA, over, out, tally, bins)
        return
    e = eng[group]
    if too_long(e, q.input, q.output) or (
        e.hands_over and q.output > 1 and too_long(eng[e.next_group], q.input, q.output)
    ):
        end_request(seq, slot, now, REJECTED, TOO_LONG, over, out, tally, bins)
        return
    if rep[replica].waiting >= e.queue_limit:
        end_request(seq, slot, now, REJECTED, QUEUE_FULL, over, out, tally, bins)
        return
    load[replica] += 1
    e.load += 1
    q.replica = replica
    q.away = latency[q.region, group]
    q.front = e.front + e.front_token * q.input
    q.lag = e.front_lag
    if q.away > 0:
        q.place = MOVING
        set_timer(timers, over, now + q.away, DELIVERY, slot, q.id)
    else:
        notice(rep, seq, queue, eng, dirty, end, near, place, over, replica, slot, now)


@inlined
def arrive(
    seq: Any,
    over: Any,
    blocks: Any,
    timers: Any,
    request: int,
    arrival: float,
    input: int,
    output: int,
    model: Any,
    region: Any,
    level: Any,
    patience: Any,
    block_offsets: Any,
    block_ids: Any,
) -> Any:
    """Give a request that comes in a slot."""
    slot = over[0].free
    q = seq[slot]
    over[0].free = q.next
    over[0].in_flight += 1
    over[0].most_in_flight = max(over[0].most_in_flight, over[0].in_flight)
    over[0].ticket += 1
    q.id = over[0].seen + request
    q.arrival = arrival
    q.first = np.nan
    q.deadline = np.inf
    q.away = 0.0
    q.front = 0.0
    q.lag = 0.0
    q.ticket = over[0].ticket
    q.input = input
    q.output = output
    q.length = input
    q.done = 0
    q.given = 0
    q.replica = -1
    q.ready = 0
    q.preempted = 0
    q.retries = 0
    q.expired = 0
    q.stored = 0
    q.cached = 0
    q.model = model[request] if len(model) > 0 else 0
    q.region = region[request] if len(region) > 0 else 0
    q.level = level[request] if len(level) > 0 else 0
    if len(patience) > 0 and patience[request] < np.inf:
        q.deadline = arrival + patience[request]
        set_timer(timers, over, q.deadline, TIMEOUT, slot, q.id)
    if len(block_offsets) > 0:
        count = block_offsets[request + 1] - block_offsets[request]
        for i in range(blocks.shape[1]):
            blocks[slot, i] = block_ids[block_offsets[request] + i] if i < count else -1
    return slot

"""The loop over events of a fleet: ends of what replicas do, timers, arrivals, and then new plans."""

from __future__ import annotations

from typing import Any

import numpy as np

from armillary.serving.batching import (
    cut,
    free_slot,
    notice,
    plan,
    quit_queue,
    release,
    settle,
)
from armillary.serving.compiled import inlined, kernel
from armillary.serving.decoders import move_replica, remove_decoder
from armillary.serving.prefix_cache import drop_all
from armillary.serving.records import (
    DEADLINE,
    DELIVERY,
    DOWN,
    DRAINING,
    FAILED,
    FAILURE,
    FREE,
    IDLE,
    MOVING,
    NO_REPLICA,
    OFF,
    ON,
    OUT_OF_REACH,
    QUEUE_FULL,
    REJECTED,
    REPAIR,
    STARTED,
    STARTING,
    TICK,
    TIMED_OUT,
    TIMEOUT,
    TOO_LONG,
    WAITING,
)
from armillary.serving.routing import choose_group, choose_replica
from armillary.serving.tally import count_outcome
from armillary.serving.timers import drop_first, random_time, set_timer

DONE, MORE_REQUESTS, MORE_ROOM = 0, 1, 2
"""Why `run` came back."""


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
    table: Any,
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
        replica = choose_replica(eng, load, cache, blocks, seq, over, group, slot, given)
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
    if q.away > 0:
        q.place = MOVING
        set_timer(timers, over, now + q.away, DELIVERY, slot, q.id)
    else:
        notice(rep, seq, queue, eng, table, dirty, end, near, place, over, replica, slot, now)


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


@kernel
def lose_replica(
    rep: Any,
    seq: Any,
    heap: Any,
    queue: Any,
    eng: Any,
    load: Any,
    end: Any,
    near: Any,
    place: Any,
    cache: Any,
    blocks: Any,
    fresh: Any,
    over: Any,
    replica: int,
    now: float,
) -> Any:
    """Empty a replica that fails; returns the first of its requests, chained in order of arrival."""
    x = rep[replica]
    if x.mode != IDLE:
        x.busy += now - x.start
    chain = -1
    for level in range(queue.shape[1]):
        while queue[replica, level].head >= 0:
            slot = queue[replica, level].head
            quit_queue(rep, seq, queue, replica, slot)
            chain = chain_up(seq, chain, slot)
    for i in range(x.decoding):
        slot = heap[replica, i].slot
        release(rep, seq, eng, cache, blocks, over, replica, slot)
        chain = chain_up(seq, chain, slot)
    for i in range(x.fresh):
        slot = fresh[replica, i]
        release(rep, seq, eng, cache, blocks, over, replica, slot)
        chain = chain_up(seq, chain, slot)
    if x.partial >= 0:
        release(rep, seq, eng, cache, blocks, over, replica, x.partial)
        chain = chain_up(seq, chain, x.partial)
    x.decoding = 0
    x.fresh = 0
    x.partial = -1
    x.context = 0.0
    x.held = 0.0
    x.mode = IDLE
    x.expired = 0
    if cache is not None:
        drop_all(cache, replica)
    move_replica(end, near, place, replica, np.inf)
    return chain


@kernel
def chain_up(seq: Any, chain: int, slot: int) -> Any:
    """Insert a slot into a chain that is ordered by tickets; returns its first slot."""
    seq[slot].place = MOVING
    ticket = seq[slot].ticket
    if chain < 0 or seq[chain].ticket > ticket:
        seq[slot].next = chain
        return slot
    before = chain
    while seq[before].next >= 0 and seq[seq[before].next].ticket < ticket:
        before = seq[before].next
    seq[slot].next = seq[before].next
    seq[before].next = slot
    return chain


@inlined
def switch(rep: Any, eng: Any, load: Any, replica: int, condition: int, now: float) -> None:
    """Bring a replica into another condition; counts of its group and its time on follow."""
    x = rep[replica]
    e = eng[x.group]
    if x.condition == ON:
        e.active -= 1
        load[replica] += OUT_OF_REACH
    elif x.condition == STARTING:
        e.starting -= 1
    if x.condition in (ON, DRAINING):
        x.on_time += now - x.on_since
    x.condition = condition
    if condition == ON:
        e.active += 1
        load[replica] -= OUT_OF_REACH
    elif condition == STARTING:
        e.starting += 1
    if condition in (ON, DRAINING):
        x.on_since = now


@kernel
def scale(rep: Any, eng: Any, load: Any, timers: Any, over: Any, group: int, now: float) -> None:
    """Start or drain replicas of a group, for its target of requests on each."""
    e = eng[group]
    wanted = min(max(int(np.ceil(e.load / e.target)), e.least), e.most)
    for r in range(e.begin, e.end):
        if e.active + e.starting >= wanted:
            break
        if rep[r].condition == DRAINING:
            switch(rep, eng, load, r, ON, now)
    for r in range(e.begin, e.end):
        if e.active + e.starting >= wanted:
            break
        if rep[r].condition == OFF:
            switch(rep, eng, load, r, STARTING, now)
            set_timer(timers, over, now + e.start_up, STARTED, r, rep[r].era)
    for r in range(e.end - 1, e.begin - 1, -1):
        if e.active + e.starting <= wanted:
            break
        if rep[r].condition == ON:
            switch(rep, eng, load, r, DRAINING, now)
            if load[r] == OUT_OF_REACH:
                switch(rep, eng, load, r, OFF, now)
    set_timer(timers, over, now + e.interval, TICK, group, 0)
    over[0].ticks += 1


@kernel
def sweep_expired(
    rep: Any,
    seq: Any,
    heap: Any,
    eng: Any,
    load: Any,
    cache: Any,
    blocks: Any,
    over: Any,
    out: Any,
    tally: Any,
    bins: Any,
    replica: int,
    now: float,
) -> None:
    """Stop running sequences whose deadline has passed, at a boundary between steps."""
    x = rep[replica]
    x.expired = 0
    i = 0
    while i < x.decoding:
        slot = heap[replica, i].slot
        if seq[slot].expired:
            remove_decoder(heap[replica], x.decoding, i)
            release(rep, seq, eng, cache, blocks, over, replica, slot)
            x.decoding -= 1
            load[replica] -= 1
            eng[x.group].load -= 1
            end_request(seq, slot, now, TIMED_OUT, DEADLINE, over, out, tally, bins)
            i = 0
        else:
            i += 1
    if x.partial >= 0 and seq[x.partial].expired:
        slot = x.partial
        x.partial = -1
        release(rep, seq, eng, cache, blocks, over, replica, slot)
        load[replica] -= 1
        eng[x.group].load -= 1
        end_request(seq, slot, now, TIMED_OUT, DEADLINE, over, out, tally, bins)


@kernel
def run(
    rep: Any,
    seq: Any,
    heap: Any,
    fresh: Any,
    queue: Any,
    eng: Any,
    table: Any,
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
    outage: Any,
    over: Any,
    out: Any,
    tally: Any,
    bins: Any,
    arrivals: Any,
    inputs: Any,
    outputs: Any,
    model: Any,
    region: Any,
    level: Any,
    patience: Any,
    given: Any,
    block_offsets: Any,
    block_ids: Any,
    last_batch: bool,
) -> int:
    """Go from event to event until a batch of requests has come in or, with the last one, all have ended."""
    o = over[0]
    count = len(inputs)
    while True:
        if o.taken == count and o.dirty == 0:
            if not last_batch:
                return MORE_REQUESTS
            if o.in_flight == 0:
                return DONE
        if len(timers) - o.timers < len(seq) + 2 * len(rep) + 8:
            return MORE_ROOM
        now = o.now
        if o.dirty == 0:
            now = min(end[near[0]], timers[0].time if o.timers > 0 else np.inf)
            if not o.closed and o.taken < count:
                now = min(now, arrivals[o.taken])
            elif o.closed and o.credit > 0 and o.taken < count:
                now = o.now
            if now == np.inf:
                return DONE
            o.now = now
        while end[near[0]] <= now:
            replica = near[0]
            end[replica] = now
            x = rep[replica]
            handed = settle(
                rep, seq, heap, fresh, eng, load, cache, blocks, over, out, tally, bins, replica, now
            )
            if x.expired > 0:
                sweep_expired(rep, seq, heap, eng, load, cache, blocks, over, out, tally, bins, replica, now)
            for i in range(handed):
                slot = fresh[replica, i]
                q = seq[slot]
                e = eng[x.group]
                if q.expired:
                    end_request(seq, slot, now, TIMED_OUT, DEADLINE, over, out, tally, bins)
                    continue
                target = choose_replica(eng, load, None, blocks, seq, over, e.next_group, slot, -1)
                if target < 0:
                    end_request(seq, slot, now, REJECTED, NO_REPLICA, over, out, tally, bins)
                    continue
                q.place = MOVING
                q.replica = target
                q.ready = 1
                load[target] += 1
                eng[e.next_group].load += 1
                wait = e.transfer_latency + e.transfer * q.length
                set_timer(timers, over, now + wait, DELIVERY, slot, q.id)
            if x.condition == DRAINING and load[replica] == OUT_OF_REACH:
                switch(rep, eng, load, replica, OFF, now)
            if not x.dirty:
                x.dirty = 1
                dirty[o.dirty] = replica
                o.dirty += 1
            move_replica(end, near, place, replica, np.inf)
        while o.timers > 0 and timers[0].time <= now:
            kind, what, check = timers[0].kind, timers[0].what, timers[0].check
            drop_first(timers, over)
            chain = -1
            if kind == DELIVERY:
                if seq[what].id == check and seq[what].place == MOVING:
                    replica = seq[what].replica
                    if rep[replica].condition == ON or rep[replica].condition == DRAINING:
                        notice(rep, seq, queue, eng, table, dirty, end, near, place, over, replica, what, now)
                    else:
                        load[replica] -= 1
                        eng[rep[replica].group].load -= 1
                        seq[what].next = -1
                        chain = what
            elif kind == TIMEOUT:
                if seq[what].id == check and seq[what].place != FREE:
                    replica = seq[what].replica
                    where = seq[what].place
                    if where in (WAITING, MOVING):
                        if where == WAITING:
                            quit_queue(rep, seq, queue, replica, what)
                            cut(rep, eng, table, end, near, place, replica, now)
                        load[replica] -= 1
                        eng[rep[replica].group].load -= 1
                        end_request(seq, what, now, TIMED_OUT, DEADLINE, over, out, tally, bins)
                        if rep[replica].condition == DRAINING and load[replica] == OUT_OF_REACH:
                            switch(rep, eng, load, replica, OFF, now)
                    else:
                        seq[what].expired = 1
                        rep[replica].expired += 1
                        cut(rep, eng, table, end, near, place, replica, now)
            elif kind == TICK:
                scale(rep, eng, load, timers, over, what, now)
            elif kind == STARTED:
                if rep[what].condition == STARTING and rep[what].era == check:
                    switch(rep, eng, load, what, ON, now)
            elif kind == FAILURE:
                x = rep[what]
                e = eng[x.group]
                struck = x.condition == ON or x.condition == DRAINING
                if struck:
                    chain = lose_replica(
                        rep,
                        seq,
                        heap,
                        queue,
                        eng,
                        load,
                        end,
                        near,
                        place,
                        cache,
                        blocks,
                        fresh,
                        over,
                        what,
                        now,
                    )
                    slot = chain
                    while slot >= 0:
                        load[what] -= 1
                        e.load -= 1
                        slot = seq[slot].next
                    switch(rep, eng, load, what, DOWN, now)
                    x.era += 1
                    spell = outage[check] if check >= 0 else random_time(over, e.mttr)
                    set_timer(timers, over, now + spell, REPAIR, what, check)
                elif check < 0:
                    set_timer(timers, over, now + random_time(over, e.mtbf), FAILURE, what, check)
            elif kind == REPAIR:
                switch(rep, eng, load, what, ON, now)
                if check < 0:
                    wait = random_time(over, eng[rep[what].group].mtbf)
                    set_timer(timers, over, now + wait, FAILURE, what, check)
            while chain >= 0:
                slot = chain
                q = seq[slot]
                chain = q.next
                q.retries += 1
                if q.expired:
                    end_request(seq, slot, now, TIMED_OUT, DEADLINE, over, out, tally, bins)
                elif q.retries > o.retries:
                    end_request(seq, slot, now, TIMED_OUT, FAILED, over, out, tally, bins)
                else:
                    q.first = np.nan
                    q.length = q.input
                    q.done = 0
                    q.given = 0
                    q.ready = 0
                    q.cached = 0
                    send(
                        rep,
                        seq,
                        queue,
                        eng,
                        table,
                        load,
                        dirty,
                        end,
                        near,
                        place,
                        timers,
                        cache,
                        blocks,
                        choices,
                        latency,
                        over,
                        out,
                        tally,
                        bins,
                        slot,
                        -1,
                        now,
                    )
        while o.taken < count and (o.credit > 0 if o.closed else arrivals[o.taken] <= now):
            if o.free < 0 or len(timers) - o.timers < len(rep) + 8:
                return MORE_ROOM
            request = o.taken
            o.taken += 1
            if o.closed:
                o.credit -= 1
            slot = arrive(
                seq,
                over,
                blocks,
                timers,
                request,
                now if o.closed else arrivals[request],
                inputs[request],
                outputs[request],
                model,
                region,
                level,
                patience,
                block_offsets,
                block_ids,
            )
            send(
                rep,
                seq,
                queue,
                eng,
                table,
                load,
                dirty,
                end,
                near,
                place,
                timers,
                cache,
                blocks,
                choices,
                latency,
                over,
                out,
                tally,
                bins,
                slot,
                given[request] if len(given) > 0 else -1,
                now,
            )
        if o.taken == count and not last_batch:
            return MORE_REQUESTS
        for i in range(o.dirty):
            replica = dirty[i]
            rep[replica].dirty = 0
            if rep[replica].mode == IDLE:
                move_replica(
                    end,
                    near,
                    place,
                    replica,
                    plan(rep, seq, heap, fresh, queue, eng, table, cache, blocks, over, replica, now),
                )
        o.dirty = 0
        o.events += 1

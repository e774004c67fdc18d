"""The loop over events of a fleet: ends of what replicas do, timers, arrivals, and then new plans."""

from __future__ import annotations

from typing import Any

import numpy as np

from armillary.serving.batching import cut, notice, plan, settle
from armillary.serving.compiled import kernel
from armillary.serving.decoders import move_replica
from armillary.serving.dispatching import arrive, end_request, send
from armillary.serving.lifecycle import lose_replica, scale, sweep_expired, switch
from armillary.serving.queueing import quit_queue
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
    REJECTED,
    REPAIR,
    STARTED,
    STARTING,
    TICK,
    TIMED_OUT,
    TIMEOUT,
    WAITING,
)
from armillary.serving.routing import choose_replica
from armillary.serving.timers import drop_first, random_time, set_timer

DONE, MORE_REQUESTS, MORE_ROOM = 0, 1, 2
"""Why `run` came back."""


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
                target = choose_replica(rep, eng, load, None, blocks, seq, over, e.next_group, slot, -1)
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
                        notice(rep, seq, queue, eng, dirty, end, near, place, over, replica, what, now)
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
                            cut(rep, end, near, place, replica, now, 1)
                        load[replica] -= 1
                        eng[rep[replica].group].load -= 1
                        end_request(seq, what, now, TIMED_OUT, DEADLINE, over, out, tally, bins)
                        if rep[replica].condition == DRAINING and load[replica] == OUT_OF_REACH:
                            switch(rep, eng, load, replica, OFF, now)
                    else:
                        seq[what].expired = 1
                        rep[replica].expired += 1
                        cut(rep, end, near, place, replica, now, 1)
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

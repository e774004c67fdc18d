"""Replicas that start, are emptied, fail or pass a deadline: what becomes of their requests."""

from __future__ import annotations

from typing import Any

import numpy as np

from armillary.serving.compiled import inlined, kernel
from armillary.serving.decoders import move_replica, remove_decoder
from armillary.serving.dispatching import end_request
from armillary.serving.prefix_cache import drop_all
from armillary.serving.queueing import quit_queue, release
from armillary.serving.records import (
    DEADLINE,
    DRAINING,
    IDLE,
    MOVING,
    OFF,
    ON,
    OUT_OF_REACH,
    STARTED,
    STARTING,
    TICK,
    TIMED_OUT,
)
from armillary.serving.timers import set_timer


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
        before = -1
        while queue[replica, level].head >= 0:
            slot = queue[replica, level].head
            quit_queue(rep, seq, queue, replica, slot)
            chain = chain_up(seq, chain, slot, before)
            before = slot
    for i in range(x.decoding):
        slot = heap[replica, i].slot
        release(rep, seq, eng, cache, blocks, over, replica, slot)
        chain = chain_up(seq, chain, slot, -1)
    for i in range(x.fresh):
        slot = fresh[replica, i]
        release(rep, seq, eng, cache, blocks, over, replica, slot)
        chain = chain_up(seq, chain, slot, -1)
    if x.partial >= 0:
        release(rep, seq, eng, cache, blocks, over, replica, x.partial)
        chain = chain_up(seq, chain, x.partial, -1)
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
def chain_up(seq: Any, chain: int, slot: int, before: int) -> Any:
    """Insert a slot into a chain that is ordered by tickets, looking from `before` on; returns its first."""
    seq[slot].place = MOVING
    ticket = seq[slot].ticket
    if chain < 0 or seq[chain].ticket > ticket:
        seq[slot].next = chain
        return slot
    if before < 0:
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
    """Start or drain replicas of a group, for its target of requests on each.

    To be fewer, those that are still starting are given up first, so that none that serves is drained for one
    that does not yet.
    """
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
        if rep[r].condition == STARTING:
            switch(rep, eng, load, r, OFF, now)
            rep[r].era += 1
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

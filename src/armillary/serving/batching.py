"""Continuous batching of one replica: the queue, what its next steps are, and what they leave behind.

Between arrivals, completions and ends of chunks a batch of B sequences with K tokens of context is
constant, and n decode steps with a tokens each take ``n (decode[B] + kv K) + kv a B n (n - 1) / 2``: they
are one event.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from armillary.serving.compiled import inlined, kernel
from armillary.serving.decoders import move_replica, push_decoder, remove_decoder
from armillary.serving.prefix_cache import DEVICE, count_hits, pin_hits, pin_prompt, trim, trim_to
from armillary.serving.queueing import complete, first_waiting, join, quit_queue, release
from armillary.serving.records import (
    DECODING,
    IDLE,
    LEAP,
    MIXED,
    PREFILLING,
    PROMPTS,
)


@kernel
def preempt_last(
    rep: Any,
    seq: Any,
    heap: Any,
    queue: Any,
    eng: Any,
    cache: Any,
    blocks: Any,
    over: Any,
    replica: int,
) -> None:
    """Stop the sequence that was admitted last and put it back in the queue, to be computed anew."""
    x = rep[replica]
    best, at = -1, -1
    if x.partial >= 0:
        slot = x.partial
        best = seq[slot].admitted
    for i in range(x.decoding):
        other = heap[replica, i].slot
        if seq[other].admitted > best:
            best, at, slot = seq[other].admitted, i, other
    release(rep, seq, eng, cache, blocks, over, replica, slot)
    q = seq[slot]
    if at < 0:
        x.partial = -1
    else:
        remove_decoder(heap[replica], x.decoding, at)
        x.decoding -= 1
        q.given += int(np.floor(eng[x.group].tokens_per_step * (x.steps - q.begun)))
        q.length = q.input + q.given
    q.done = 0
    q.ready = 0
    q.preempted += 1
    x.preempted += 1
    join(rep, seq, queue, replica, slot)


@inlined
def start_decoding(rep: Any, seq: Any, heap: Any, replica: int, slot: int, per_step: float) -> None:
    """Let a sequence with its prompt in the cache and a token given decode from the next step on."""
    x, q = rep[replica], seq[slot]
    q.place = DECODING
    q.begun = x.steps
    q.context = q.length + 1.0
    left = int(np.ceil((q.output - q.given) / per_step))
    push_decoder(heap[replica], x.decoding, x.steps + left, slot)
    x.decoding += 1
    x.context += q.context


@inlined
def leap_time(n: int, step: float, slope: float) -> float:
    """Time of `n` steps, the first of which takes `step` and each further one `slope` more [s]."""
    return n * step + 0.5 * slope * n * (n - 1.0)


@inlined
def steps_to(span: float, step: float, slope: float, most: int) -> int:
    """Least number of steps, 1 to `most`, that take at least `span`."""
    if slope * most > 1e-9 * step:
        b = step - 0.5 * slope
        guess = (np.sqrt(b * b + 2 * slope * span) - b) / slope
    else:
        guess = span / step
    n = most if guess > most else max(1, int(np.ceil(guess)))
    while n > 1 and leap_time(n - 1, step, slope) >= span:
        n -= 1
    while n < most and leap_time(n, step, slope) < span:
        n += 1
    return n


@inlined
def cut(rep: Any, end: Any, near: Any, place: Any, replica: int, time: float, every: int) -> None:
    """End a leap at the first boundary that is not before `time`, of those between `every` so many steps."""
    x = rep[replica]
    if x.mode != LEAP or x.ahead <= 1:
        return
    n = steps_to(time - x.start, x.step, x.slope, x.ahead)
    if every > 1:
        n += -(x.looked + n) % every
    if n < x.ahead:
        x.ahead = n
        move_replica(end, near, place, replica, x.start + leap_time(n, x.step, x.slope))


@kernel
def catch_up(rep: Any, eng: Any, cache: Any, over: Any, replica: int, now: float) -> None:
    """Let idle blocks go that the steps of a leap have taken the room of by now, for who looks at them."""
    x = rep[replica]
    e = eng[x.group]
    if x.mode != LEAP or x.ahead <= 1 or e.reserve:
        return
    growth = e.tokens_per_step * x.decoding
    block = over[0].block
    if cache.idle[replica, DEVICE].count <= np.floor((e.kv_tokens - x.held - x.ahead * growth) / block):
        return
    span = now - x.start
    n = steps_to(span, x.step, x.slope, x.ahead)
    if leap_time(n, x.step, x.slope) > span:
        n -= 1
    trim_to(cache, replica, x.held + n * growth, e.kv_tokens, block)


@inlined
def notice(
    rep: Any,
    seq: Any,
    queue: Any,
    eng: Any,
    dirty: Any,
    end: Any,
    near: Any,
    place: Any,
    over: Any,
    replica: int,
    slot: int,
    time: float,
) -> None:
    """Put a sequence that comes in at `time` in the queue, and end a leap that it can change."""
    x = rep[replica]
    e = eng[x.group]
    seq[slot].joined = time
    if x.mode == IDLE:
        if not x.dirty:
            x.dirty = 1
            dirty[over[0].dirty] = replica
            over[0].dirty += 1
    # Nothing changes what a full batch does, but steps for which prompts are held for company count in it.
    elif x.mode == LEAP and x.ahead > 1 and (x.decoding < e.max_sequences or e.hold > 0):
        ahead = x.waiting > 0
        if x.holding:
            ahead = x.asked + seq[slot].length < e.hold_tokens
        elif ahead:
            # What waits stays blocked, but one from afar or sent anew may go before it, and fit.
            head, q = seq[first_waiting(queue, replica)], seq[slot]
            ahead = head.level < q.level or (head.level == q.level and head.ticket < q.ticket)
        if not ahead:
            cut(rep, end, near, place, replica, time, e.poll)
    join(rep, seq, queue, replica, slot)


@inlined
def plan(
    rep: Any,
    seq: Any,
    heap: Any,
    fresh: Any,
    queue: Any,
    eng: Any,
    table: Any,
    cache: Any,
    blocks: Any,
    over: Any,
    replica: int,
    now: float,
) -> Any:
    """Decide what a replica does from `now`, a boundary between steps; returns when that ends [s]."""
    x = rep[replica]
    e = eng[x.group]
    x.start = now
    x.fresh = 0
    x.chunk = 0
    x.delay = 0.0
    per_step = e.tokens_per_step
    growth = 0.0 if e.reserve else per_step
    stopped = False
    if e.chunked:
        while x.held + x.decoding * growth > e.kv_tokens:
            preempt_last(rep, seq, heap, queue, eng, cache, blocks, over, replica)
            stopped = True
    budget = e.max_tokens - (x.decoding if e.chunked else 0)
    tokens = 0
    pairs = 0.0
    if x.partial >= 0:
        q = seq[x.partial]
        chunk = min(budget, q.length - q.done)
        tokens = chunk
        budget -= chunk
        pairs = chunk * (q.done + 0.5 * chunk)
        x.chunk = chunk
        if q.done + chunk == q.length:
            fresh[replica, 0] = x.partial
            x.fresh = 1
            x.partial = -1
    running = x.decoding + x.fresh + (x.partial >= 0)
    if running == 0 or x.looked >= e.poll:
        x.looked = 0
        x.look = now
    x.holding = 0
    if x.waiting == 0:
        x.patience = 0
    if e.hold > 0 and running > 0 and x.waiting > 0 and x.asked < e.hold_tokens and x.patience < e.hold:
        x.holding = 1
    unseen = False
    while not stopped and not x.holding and x.waiting > 0 and budget > 0 and running < e.max_sequences:
        slot = first_waiting(queue, replica)
        q = seq[slot]
        if q.joined > x.look:
            unseen = True
            break
        need = q.length + 1.0
        if e.reserve and not e.hands_over:
            need = q.input + q.output + (per_step if per_step > 1 else 0.0)
        hits, loose, host = 0, 0, 0
        if cache is not None and q.ready == 0:
            hits, loose, host = count_hits(cache, blocks[slot], q.length, replica, over[0].block)
            need -= hits * over[0].block
        grows = (x.decoding + q.ready) * growth
        if x.held + grows + need + loose * over[0].block > e.kv_tokens:
            break
        if not e.chunked and q.ready == 0 and q.length - hits * over[0].block > budget:
            break
        quit_queue(rep, seq, queue, replica, slot)
        over[0].admitted += 1
        q.admitted = over[0].admitted
        q.held = need
        running += 1
        x.held += need
        if cache is not None:
            if q.ready == 0:
                q.stored = hits
                q.done = hits * over[0].block
                q.cached = q.done
                x.delay += host * over[0].block * e.host_transfer
                pin_hits(cache, blocks[slot], hits, replica, x, over[0].block)
            trim(cache, replica, x, e.kv_tokens, over[0].block)
        if q.ready:
            if e.tells_first:
                q.first = now
            start_decoding(rep, seq, heap, replica, slot, per_step)
            if e.chunked:
                budget -= 1
            continue
        q.place = PREFILLING
        chunk = min(budget, q.length - q.done)
        tokens += chunk
        budget -= chunk
        pairs += chunk * (q.done + 0.5 * chunk)
        if q.done + chunk == q.length:
            fresh[replica, x.fresh] = slot
            x.fresh += 1
        else:
            x.partial = slot
            x.chunk = chunk
    if tokens > 0:
        x.prefilled += tokens
        x.ahead = 1
        if e.chunked:
            x.mode = MIXED
            return now + (
                table[e.mixed + x.decoding + tokens]
                + e.beside * x.decoding
                + (e.joined if x.decoding > 0 else 0.0)
                + e.kv * x.context
                + e.chunk_kv * pairs
                + x.delay
            )
        x.mode = PROMPTS
        return now + table[e.mixed + tokens] + e.chunk_kv * pairs + x.delay
    if not e.chunked:
        while x.held + x.decoding * growth > e.kv_tokens:
            preempt_last(rep, seq, heap, queue, eng, cache, blocks, over, replica)
            stopped = True
    if x.decoding == 0:
        x.mode = IDLE
        return np.inf
    n = heap[replica, 0].finish - x.steps
    if growth > 0:
        n = min(n, max(1, int(np.floor((e.kv_tokens - x.held) / (x.decoding * growth)))))
    if x.holding:
        n = min(n, e.hold - x.patience)
    elif unseen:
        n = min(n, e.poll - x.looked)
    if stopped or x.delay > 0:
        n = 1
    x.mode = LEAP
    x.ahead = n
    x.step = table[e.decode + x.decoding] + e.kv * x.context + x.delay
    x.slope = e.kv * per_step * x.decoding
    return now + leap_time(n, x.step, x.slope)


@inlined
def settle(
    rep: Any,
    seq: Any,
    heap: Any,
    fresh: Any,
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
) -> int:
    """Apply what a replica did up to `now`.

    Returns how many prompts are to be handed to another group; they stand first in its row of `fresh`.
    """
    x = rep[replica]
    e = eng[x.group]
    growth = 0.0 if e.reserve else e.tokens_per_step
    span = now - x.start
    x.busy += span
    if x.mode != PROMPTS:
        n = x.ahead
        if x.mode == LEAP:
            x.patience += n * x.holding
            x.looked += n
            if x.looked > e.poll:  # it looked in between, last before the steps that are left over
                x.looked = (x.looked - 1) % e.poll + 1
                x.look = x.start + leap_time(n - x.looked, x.step, x.slope)
        else:
            x.patience = 0
            x.looked = e.poll
        grown = n * e.tokens_per_step * x.decoding
        x.held_time += (x.held + 0.5 * (n - 1) * growth * x.decoding) * span
        x.steps += n
        x.context += grown
        x.held += n * growth * x.decoding
        x.decoded += float(n) * x.decoding
        if cache is not None:
            trim(cache, replica, x, e.kv_tokens, over[0].block)
        while x.decoding > 0 and heap[replica, 0].finish <= x.steps:
            slot = heap[replica, 0].slot
            remove_decoder(heap[replica], x.decoding, 0)
            release(rep, seq, eng, cache, blocks, over, replica, slot)
            x.decoding -= 1
            load[replica] -= 1
            eng[x.group].load -= 1
            complete(seq, slot, now, over, out, tally, bins)
        if x.decoding == 0:
            x.context = 0.0
    else:
        x.held_time += x.held * span
        x.patience = 0
        x.looked = e.poll
    if x.partial >= 0:
        seq[x.partial].done += x.chunk
    handed = 0
    for i in range(x.fresh):
        slot = fresh[replica, i]
        q = seq[slot]
        q.given += 1
        if np.isnan(q.first):
            q.first = now
        if cache is not None:
            pin_prompt(cache, blocks[slot], q, replica, x, over[0].block)
            trim(cache, replica, x, e.kv_tokens, over[0].block)
        if q.given >= q.output or e.hands_over:
            release(rep, seq, eng, cache, blocks, over, replica, slot)
            load[replica] -= 1
            eng[x.group].load -= 1
            if q.given >= q.output:
                complete(seq, slot, now, over, out, tally, bins)
            else:
                fresh[replica, handed] = slot
                handed += 1
        else:
            start_decoding(rep, seq, heap, replica, slot, e.tokens_per_step)
    x.fresh = 0
    if x.decoding == 0 and x.partial < 0:
        x.held = 0.0 if cache is None else x.pinned * float(over[0].block)
    x.mode = IDLE
    return handed

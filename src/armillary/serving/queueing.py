"""The queue of a replica, and the end of sequences that leave it."""

from __future__ import annotations

from typing import Any

from armillary.serving.compiled import inlined
from armillary.serving.prefix_cache import trim, unpin
from armillary.serving.records import (
    COMPLETED,
    DECODING,
    FREE,
    WAITING,
)
from armillary.serving.tally import count_outcome


@inlined
def join(rep: Any, seq: Any, queue: Any, replica: int, slot: int) -> None:
    """Put a sequence in its replica's queue, by priority and then by order of arrival."""
    ends = queue[replica, seq[slot].level]
    seq[slot].place = WAITING
    seq[slot].replica = replica
    rep[replica].waiting += 1
    rep[replica].asked += seq[slot].length
    ticket = seq[slot].ticket
    if ends.head < 0:
        ends.head = slot
        ends.tail = slot
        seq[slot].next = -1
    elif seq[ends.tail].ticket < ticket:
        seq[ends.tail].next = slot
        ends.tail = slot
        seq[slot].next = -1
    elif seq[ends.head].ticket > ticket:
        seq[slot].next = ends.head
        ends.head = slot
    else:
        before = ends.head
        while seq[seq[before].next].ticket < ticket:
            before = seq[before].next
        seq[slot].next = seq[before].next
        seq[before].next = slot


@inlined
def quit_queue(rep: Any, seq: Any, queue: Any, replica: int, slot: int) -> None:
    """Take a sequence out of its replica's queue."""
    ends = queue[replica, seq[slot].level]
    rep[replica].waiting -= 1
    rep[replica].asked -= seq[slot].length
    if ends.head == slot:
        ends.head = seq[slot].next
        if ends.head < 0:
            ends.tail = -1
        return
    before = ends.head
    while seq[before].next != slot:
        before = seq[before].next
    seq[before].next = seq[slot].next
    if ends.tail == slot:
        ends.tail = before


@inlined
def first_waiting(queue: Any, replica: int) -> Any:
    """Slot of the sequence that goes next, -1 if none."""
    for level in range(queue.shape[1]):
        if queue[replica, level].head >= 0:
            return queue[replica, level].head
    return -1


@inlined
def free_slot(seq: Any, slot: int, over: Any) -> None:
    """Give back the slot of a sequence that is done with."""
    seq[slot].place = FREE
    seq[slot].id = -1
    seq[slot].next = over[0].free
    over[0].free = slot
    over[0].in_flight -= 1
    if over[0].closed:
        over[0].credit += 1


@inlined
def complete(seq: Any, slot: int, time: float, over: Any, out: Any, tally: Any, bins: Any) -> None:
    """Record a request that has got its last token."""
    count_outcome(seq[slot], time, COMPLETED, 0, over, out, tally, bins)
    free_slot(seq, slot, over)


@inlined
def release(
    rep: Any, seq: Any, eng: Any, cache: Any, blocks: Any, over: Any, replica: int, slot: int
) -> None:
    """Give back the KV of a sequence that is running or has just stopped."""
    x, q = rep[replica], seq[slot]
    e = eng[x.group]
    held = q.held
    if q.place == DECODING:
        grown = e.tokens_per_step * (x.steps - q.begun)
        x.context -= q.context + grown
        if not e.reserve:
            held += grown
    x.held -= held
    if cache is not None:
        unpin(cache, blocks[slot], q.stored, replica, x, over[0].block)
        q.stored = 0
        trim(cache, replica, x, e.kv_tokens, over[0].block)

"""Two heaps that kernels keep: decoding sequences by their last step, and replicas by their next event."""

from __future__ import annotations

from typing import Any

from armillary.serving.compiled import inlined


@inlined
def push_decoder(heap: Any, count: int, finish: int, slot: int) -> None:
    """Add a sequence to a heap of `count` entries."""
    at = count
    while at > 0:
        above = (at - 1) >> 1
        if heap[above].finish <= finish:
            break
        heap[at].finish = heap[above].finish
        heap[at].slot = heap[above].slot
        at = above
    heap[at].finish = finish
    heap[at].slot = slot


@inlined
def remove_decoder(heap: Any, count: int, at: int) -> None:
    """Take entry `at` out of a heap of `count` entries."""
    last = count - 1
    finish, slot = heap[last].finish, heap[last].slot
    if at == last:
        return
    while at > 0:
        above = (at - 1) >> 1
        if heap[above].finish <= finish:
            break
        heap[at].finish = heap[above].finish
        heap[at].slot = heap[above].slot
        at = above
    while True:
        below = 2 * at + 1
        if below >= last:
            break
        if below + 1 < last and heap[below + 1].finish < heap[below].finish:
            below += 1
        if heap[below].finish >= finish:
            break
        heap[at].finish = heap[below].finish
        heap[at].slot = heap[below].slot
        at = below
    heap[at].finish = finish
    heap[at].slot = slot


@inlined
def move_replica(end: Any, near: Any, place: Any, replica: int, time: float) -> None:
    """Give a replica another time of its next event, and its place in the heap `near`."""
    before = end[replica]
    end[replica] = time
    at = place[replica]
    if time < before:
        while at > 0:
            above = (at - 1) >> 1
            if end[near[above]] <= time:
                break
            near[at] = near[above]
            place[near[at]] = at
            at = above
    else:
        count = len(near)
        while True:
            below = 2 * at + 1
            if below >= count:
                break
            if below + 1 < count and end[near[below + 1]] < end[near[below]]:
                below += 1
            if end[near[below]] >= time:
                break
            near[at] = near[below]
            place[near[at]] = at
            at = below
    near[at] = replica
    place[replica] = at

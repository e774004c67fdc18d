"""Kernel of the event-driven simulation of flows: clock, starts, completions, dependencies. Needs numba.

A node is a flow, or a group (number of flows + its number). Every event completes or starts at least one node
that was not completed or started before, so that there are at most two a flow and one a group.
"""

from __future__ import annotations

import numba
import numpy as np

from armillary.network.filling import fill, sift_down, sift_up
from armillary.network.sweep import OPEN, PENDING, TOUCHED, WORK, pend, sweep, touch

SAME = 1e-12
"""Relative distance of times that count as one event."""
EVENTS, LOCAL, FULL, ABANDONED, VISITS = 0, 1, 2, 3, 4
"""Places in `counts`: events, local and full solutions, local ones given up, visits of members by sweeps."""


@numba.njit(cache=True)
def heap_down(heap, place, due, root, size):  # type: ignore[no-untyped-def]
    """Restore the heap of flows by `due` below `root`; `place` is where each flow stands."""
    f = heap[root]
    key = due[f]
    while True:
        child = 2 * root + 1
        if child >= size:
            break
        if child + 1 < size and due[heap[child + 1]] < due[heap[child]]:
            child += 1
        if not due[heap[child]] < key:
            break
        heap[root] = heap[child]
        place[heap[root]] = root
        root = child
    heap[root] = f
    place[f] = root


@numba.njit(cache=True)
def heap_up(heap, place, due, at):  # type: ignore[no-untyped-def]
    """Restore the heap of flows by `due` above `at`."""
    f = heap[at]
    key = due[f]
    while at > 0:
        parent = (at - 1) >> 1
        if not key < due[heap[parent]]:
            break
        heap[at] = heap[parent]
        place[heap[at]] = at
        at = parent
    heap[at] = f
    place[f] = at


@numba.njit(cache=True)
def retime(f, now, tolerance, weight, level, size, moved, rate, since, end, due):  # type: ignore[no-untyped-def]
    """Take over a flow's new level; False if its rate stays."""
    new = level[f] * weight[f] if len(weight) > 0 else level[f]
    if new == rate[f]:
        return False
    moved[f] += rate[f] * (now - since[f])
    since[f] = now
    rate[f] = new
    end[f] = now + max(size[f] - moved[f], 0.0) / new
    due[f] = end[f] - tolerance * size[f] / new
    return True


@numba.njit(cache=True)
def schedule(node, time, times, nodes, counts):  # type: ignore[no-untyped-def]
    """Put a node into the heap of starts."""
    at = counts[5]
    times[at], nodes[at] = time, node
    counts[5] += 1
    sift_up(times, nodes, at)


@numba.njit(cache=True)
def release(
    node, time, waits, latest, delay, arrival, latency, group_begin, group_flows, times, nodes, counts
):  # type: ignore[no-untyped-def]
    """One of the things that a node waits for is done at `time`."""
    flows = len(arrival)
    waits[node] -= 1
    latest[node] = max(latest[node], time)
    if waits[node] > 0:
        return
    ready = latest[node] + delay[node]
    if node < flows:
        schedule(node, max(ready, arrival[node]) + latency[node], times, nodes, counts)
        return
    first, last = group_begin[node - flows], group_begin[node - flows + 1]
    if first == last:
        schedule(node, ready, times, nodes, counts)
    for i in range(first, last):
        f = group_flows[i]
        waits[f] -= 1
        latest[f] = max(latest[f], ready)
        if waits[f] == 0:
            schedule(f, max(latest[f] + delay[f], arrival[f]) + latency[f], times, nodes, counts)


@numba.njit(cache=True)
def run(  # type: ignore[no-untyped-def]
    offsets,
    links,
    usage,
    weight,
    limit,
    capacity,
    begin,
    size,
    arrival,
    latency,
    delay,
    group,
    group_begin,
    group_flows,
    after_begin,
    after,
    waits,
    tolerance,
    local_share,
    start,
    finish,
    rate_left,
    counts,
):
    """Simulate until the last completion; False if the bound on events was passed, which would be a fault.

    waits : `[node]` things to wait for, each once, plus 1 for a start of its own. local_share : largest work
    of a local solution over that of a full one; 0 solves in full at each event. rate_left : `[flow]` share
    of the size that was not moved at the end, by tolerance or rounding. counts : see `EVENTS`.
    """
    flows, count, groups = len(size), len(capacity), len(group_begin) - 1
    live = np.zeros(count, np.int64)
    member = np.empty(len(links), np.int32)
    entry = np.empty(len(links), np.int32)
    slot_of = np.empty(len(links), np.int32)
    share = np.full(count, np.inf)
    watch = np.full(count, np.nan)
    waiting = np.zeros(count, np.bool_)
    pending = np.empty(count, np.int32)
    is_touched = np.zeros(flows, np.bool_)
    touched = np.empty(flows, np.int32)
    keys = np.empty(2 * count + 1024)
    items = np.empty(2 * count + 1024, np.int64)
    sizes = np.zeros(4, np.int64)
    level, by = np.zeros(flows), np.full(flows, OPEN, np.int32)
    moved, rate, since = np.zeros(flows), np.zeros(flows), np.zeros(flows)
    end, due = np.full(flows, np.inf), np.full(flows, np.inf)
    heap, place = np.empty(flows, np.int32), np.full(flows, -1, np.int32)
    batch = np.empty(flows, np.int32)
    done = np.empty(flows + groups, np.int32)
    times, nodes = np.empty(flows + groups), np.empty(flows + groups, np.int64)
    latest = np.zeros(flows + groups)
    left = np.diff(group_begin)
    alive, alive_entries, skip, backoff = 0, 0, 0, 0
    for node in range(flows + groups):
        release(
            node, 0.0, waits, latest, delay, arrival, latency, group_begin, group_flows, times, nodes, counts
        )
    while alive > 0 or counts[5] > 0:
        counts[EVENTS] += 1
        if counts[EVENTS] > 2 * flows + groups:
            return False
        now = times[0] if counts[5] > 0 else np.inf
        if alive > 0:
            now = min(now, end[heap[0]])
        taken = 0
        while alive > 0 and due[heap[0]] <= now * (1 + SAME):
            f = heap[0]
            now = min(now, end[f])
            batch[taken] = f
            taken += 1
            alive -= 1
            place[f] = -1
            if alive > 0:
                heap[0] = heap[alive]
                heap_down(heap, place, due, 0, alive)
        completed = 0
        for i in range(taken):
            f = batch[i]
            if due[f] > now * (1 + SAME):
                heap[alive] = f
                alive += 1
                heap_up(heap, place, due, alive - 1)
                continue
            finish[f] = now
            moved[f] += rate[f] * (now - since[f])
            rate_left[f] = (size[f] - moved[f]) / size[f]
            alive_entries -= offsets[f + 1] - offsets[f]
            for e in range(offsets[f], offsets[f + 1]):
                link = links[e]
                live[link] -= 1
                last = begin[link] + live[link]
                slot = slot_of[e]
                member[slot], entry[slot] = member[last], entry[last]
                slot_of[entry[slot]] = slot
                if share[link] < np.inf:
                    pend(link, waiting, pending, sizes)
            done[completed] = f
            completed += 1
        changed = completed
        while completed > 0 or (counts[5] > 0 and times[0] <= now * (1 + SAME)):
            while completed > 0:
                completed -= 1
                node = done[completed]
                for i in range(after_begin[node], after_begin[node + 1]):
                    release(
                        after[i],
                        now,
                        waits,
                        latest,
                        delay,
                        arrival,
                        latency,
                        group_begin,
                        group_flows,
                        times,
                        nodes,
                        counts,
                    )
                if node < flows and group[node] >= 0:
                    left[group[node]] -= 1
                    if left[group[node]] == 0:
                        done[completed] = flows + group[node]
                        completed += 1
            if counts[5] > 0 and times[0] <= now * (1 + SAME):
                node = nodes[0]
                counts[5] -= 1
                times[0], nodes[0] = times[counts[5]], nodes[counts[5]]
                sift_down(times, nodes, 0, counts[5])
                if node >= flows:
                    finish[node] = now
                    done[completed] = node
                    completed += 1
                    continue
                start[node] = now
                if size[node] == 0:
                    finish[node] = now
                    done[completed] = node
                    completed += 1
                    continue
                changed += 1
                level[node] = limit[node] if len(limit) > 0 else np.inf
                by[node] = OPEN
                since[node] = now
                heap[alive] = node
                place[node] = alive
                alive += 1
                alive_entries += offsets[node + 1] - offsets[node]
                touch(node, is_touched, touched, sizes)
                for e in range(offsets[node], offsets[node + 1]):
                    link = links[e]
                    slot = begin[link] + live[link]
                    member[slot], entry[slot], slot_of[e] = node, e, slot
                    live[link] += 1
                    pend(link, waiting, pending, sizes)
        whole = 5 * alive_entries + count
        fine = False
        if skip > 0:
            skip -= 1
        elif changed * 20 <= alive + 20 and local_share > 0:
            sizes[WORK] = 0
            fine = sweep(
                offsets,
                links,
                usage,
                weight,
                limit,
                capacity,
                begin,
                live,
                member,
                entry,
                level,
                by,
                share,
                watch,
                waiting,
                pending,
                is_touched,
                touched,
                keys,
                items,
                sizes,
                local_share * whole,
            )
            counts[VISITS] += sizes[WORK]
            if fine:
                backoff = 0
                counts[LOCAL] += 1
            else:
                backoff = min(2 * backoff + 1, 63)
                skip = backoff
                counts[ABANDONED] += 1
        if fine:
            for i in range(sizes[TOUCHED]):
                f = touched[i]
                is_touched[f] = False
                before = due[f]
                if place[f] >= 0 and retime(
                    f, now, tolerance, weight, level, size, moved, rate, since, end, due
                ):
                    if due[f] < before:
                        heap_up(heap, place, due, place[f])
                    else:
                        heap_down(heap, place, due, place[f], alive)
        else:
            for i in range(sizes[PENDING]):
                waiting[pending[i]] = False
            for i in range(sizes[TOUCHED]):
                is_touched[touched[i]] = False
            fill(
                offsets,
                links,
                usage,
                weight,
                limit,
                capacity,
                begin,
                live,
                member,
                heap[:alive],
                level,
                by,
                share,
            )
            counts[FULL] += 1
            for i in range(alive):
                retime(heap[i], now, tolerance, weight, level, size, moved, rate, since, end, due)
            for root in range(alive // 2 - 1, -1, -1):
                heap_down(heap, place, due, root, alive)
        sizes[PENDING] = 0
        sizes[TOUCHED] = 0
    return True

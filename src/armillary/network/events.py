"""Kernel of the event-driven simulation of flows: clock, starts, completions, dependencies. Needs numba.

A node is a flow, or a group (number of flows + its number). Every event completes or starts at least one node
that was not completed or started before, so that there are at most two a flow and one a group.
"""

from __future__ import annotations

import numba
import numpy as np

from armillary.network.due_times import SAMPLE, behind, heap_down, heap_up
from armillary.network.filling import fill, sift_down, sift_up
from armillary.network.sweep import (
    CAP,
    CAPACITY,
    FIRST,
    LIVE,
    LOAD,
    OPEN,
    OPENED,
    PENDING,
    SHARE,
    TOUCHED,
    WAITING,
    WATCH,
    WORK,
    assign,
    pend,
    sweep,
    touch,
)

SAME = 1e-12
"""Relative distance of times that count as one event."""
VISITS_EACH = 40
"""Visits that a local solution takes for each flow that came or went, as measured on sparse traffic. [-]"""
EVENTS, LOCAL, FULL, ABANDONED, VISITS = 0, 1, 2, 3, 4
"""Places in `counts`: events, local and full solutions, local ones given up, visits of members by sweeps."""


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
def release(  # type: ignore[no-untyped-def]
    node, time, waits, latest, delay, arrival, latency, group_begin, group_flows, times, nodes, counts
):
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
    record,
    entries,
    others,
    part,
    book,
    roster,
    free,
    lists,
):
    """Simulate until the last completion; False if the bound on events was passed, which would be a fault.

    waits : `[node]` things to wait for, each once, plus 1 for a start of its own. local_share : largest work
    of a local solution over that of a full one; 0 solves in full at each event. rate_left : `[flow]` share
    of the size that was not moved at the end, by tolerance or rounding. counts : see `EVENTS`.
    Room to work in: record `[link, 8]`, see `sweep`; entries `[3, entry]`; others, part `[entry]`; book
    `[6, flow]`; roster `[6, flow]`; free, lists : see `fill`.
    """
    flows, count, groups = len(size), len(capacity), len(group_begin) - 1
    live = np.zeros(count, np.int64)
    for link in range(count):
        record[link] = 0.0
        record[link, SHARE], record[link, WATCH] = np.inf, np.nan
        record[link, CAPACITY], record[link, FIRST] = capacity[link], begin[link]
    member, entry, slot_of = entries[0], entries[1], entries[2]
    share = np.full(count, np.inf)
    plain, weighted = len(usage) == 0, len(weight) > 0
    pending = np.empty(count, np.int32)
    is_touched = np.zeros(flows, np.bool_)
    keys = np.empty(2 * count + 1024)
    items = np.empty(2 * count + 1024, np.int64)
    sizes = np.zeros(4, np.int64)
    book[:] = 0.0
    level, moved, rate, since, end, due = book[0], book[1], book[2], book[3], book[4], book[5]
    roster[:] = CAP
    by, alive_flows, seat, near, place = roster[0], roster[1], roster[2], roster[3], roster[4]
    touched = roster[5]
    batch = np.empty(flows, np.int32)
    sample = np.empty(SAMPLE)
    current, ahead, horizon = False, 0, -1.0
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
        if alive > 0 and (ahead == 0 or due[near[0]] > horizon):
            # The next flows to finish stand in a heap; the others wait behind a horizon, in no order.
            for i in range(ahead):
                place[near[i]] = -1
            # With a tolerance an event may lie after the due times of others, so that all stand in the heap.
            horizon = behind(alive_flows, alive, due, sample) if tolerance == 0 else np.inf
            ahead = 0
            for i in range(alive):
                if due[alive_flows[i]] <= horizon:
                    near[ahead] = alive_flows[i]
                    ahead += 1
            for root in range(ahead - 1, -1, -1):
                heap_down(near, place, due, root, ahead)
        now = times[0] if counts[5] > 0 else np.inf
        if alive > 0:
            now = min(now, end[near[0]])
        taken = 0
        while ahead > 0 and due[near[0]] <= now * (1 + SAME):
            f = near[0]
            now = min(now, end[f])
            batch[taken] = f
            taken += 1
            ahead -= 1
            place[f] = -1
            if ahead > 0:
                near[0] = near[ahead]
                heap_down(near, place, due, 0, ahead)
        completed = 0
        for i in range(taken):
            f = batch[i]
            if due[f] > now * (1 + SAME):
                near[ahead] = f
                ahead += 1
                heap_up(near, place, due, ahead - 1)
                continue
            alive -= 1
            alive_flows[seat[f]] = alive_flows[alive]
            seat[alive_flows[alive]] = seat[f]
            finish[f] = now
            moved[f] += rate[f] * (now - since[f])
            rate_left[f] = (size[f] - moved[f]) / size[f]
            alive_entries -= offsets[f + 1] - offsets[f]
            for e in range(offsets[f], offsets[f + 1]):
                link = links[e]
                record[link, LIVE] -= 1
                record[link, LOAD] -= level[f] if len(part) == 0 else level[f] * part[slot_of[e]]
                last = begin[link] + int(record[link, LIVE])
                slot = slot_of[e]
                member[slot], entry[slot] = member[last], entry[last]
                slot_of[entry[slot]] = slot
                others[slot] = others[last]
                if len(part) > 0:
                    part[slot] = part[last]
                if record[link, SHARE] < np.inf:
                    pend(link, record, pending, sizes)
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
                        finish[flows + group[node]] = now
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
                since[node] = now
                alive_flows[alive], seat[node], place[node] = node, alive, -1
                end[node] = np.inf
                due[node] = np.inf
                alive += 1
                alive_entries += offsets[node + 1] - offsets[node]
                touch(node, is_touched, touched, sizes)
                for e in range(offsets[node], offsets[node + 1]):
                    link = links[e]
                    slot = begin[link] + int(record[link, LIVE])
                    member[slot], entry[slot], slot_of[e] = node, e, slot
                    record[link, LIVE] += 1
                    if len(part) > 0:
                        part[slot] = (weight[node] if weighted else 1.0) * (1.0 if plain else usage[e])
                    pend(link, record, pending, sizes)
                most = limit[node] if len(limit) > 0 else np.inf
                assign(node, most, OPEN, offsets, links, limit, slot_of, level, by, others, part, record)
        whole = 5 * alive_entries + count
        fine = False
        if skip > 0:
            skip -= 1
        elif local_share > 0 and changed * VISITS_EACH <= local_share * whole:
            sizes[WORK] = 0
            if not current:
                record[:, LOAD] = 0.0
                for i in range(alive):
                    f = alive_flows[i]
                    if not is_touched[f]:
                        top, level[f] = level[f], 0.0
                        assign(f, top, by[f], offsets, links, limit, slot_of, level, by, others, part, record)
            fine = sweep(
                offsets,
                links,
                limit,
                member,
                slot_of,
                others,
                part,
                level,
                by,
                record,
                pending,
                is_touched,
                touched,
                keys,
                items,
                sizes,
                local_share * whole,
            )
            current = fine
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
                if retime(f, now, tolerance, weight, level, size, moved, rate, since, end, due):
                    if place[f] < 0:
                        if due[f] <= horizon:
                            near[ahead] = f
                            ahead += 1
                            heap_up(near, place, due, ahead - 1)
                    elif due[f] < before:
                        heap_up(near, place, due, place[f])
                    else:
                        heap_down(near, place, due, place[f], ahead)
        else:
            for i in range(sizes[PENDING]):
                record[pending[i], WAITING] = 0
            for i in range(sizes[TOUCHED]):
                is_touched[touched[i]] = False
            for link in range(count):
                live[link] = int(record[link, LIVE])
                record[link, OPENED] = 0
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
                alive_flows[:alive],
                level,
                by,
                share,
                free,
                lists,
            )
            counts[FULL] += 1
            current = False
            for link in range(count):
                record[link, SHARE] = share[link]
            for i in range(alive):
                retime(alive_flows[i], now, tolerance, weight, level, size, moved, rate, since, end, due)
            for i in range(ahead):
                place[near[i]] = -1
            ahead, horizon = 0, -1.0
        sizes[PENDING] = 0
        sizes[TOUCHED] = 0
    return True

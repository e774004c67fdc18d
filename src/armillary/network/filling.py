"""Kernels of progressive filling: links wait in a calendar of their shares. Needs numba; see `max_min`.

The share of a link is what it has left over the weight of its flows whose rate is open. Fixing a flow at the
least share of all never lowers another share, so that a link's place in the calendar is looked at again only
when its turn comes. A calendar has about a bucket for every two links, spaced evenly in the bits of a share;
links of one bucket go through a small heap, so that ties cost nothing and the order is exact.
"""

from __future__ import annotations

import numba
import numpy as np

LEFT, WEIGHT, COUNT, SUMMED = 0, 1, 2, 3
"""Columns of a link's record `[link, 4]`: capacity left [byte/s], weight and number of its open flows [-],
and the weight when it was last summed [-]."""
CANCELLED = 1e-3
"""A weight that subtractions brought below this share of its sum is summed anew, to keep its digits."""


@numba.njit(cache=True)
def first_bad_entry(offsets, links, usage, count):  # type: ignore[no-untyped-def]
    """Entry whose link is out of range (1), repeated in its flow (2) or of bad usage (3); (-1, 0) if none."""
    for flow in range(len(offsets) - 1):
        first, last = offsets[flow], offsets[flow + 1]
        for e in range(first, last):
            link = links[e]
            if link < 0 or link >= count:
                return e, 1
            if last - first <= 32:
                for other in range(first, e):
                    if links[other] == link:
                        return e, 2
        if last - first > 32:
            held = np.sort(links[first:last])
            for i in range(1, len(held)):
                if held[i] == held[i - 1]:
                    return first + i, 2
    for e in range(len(usage)):
        if not (usage[e] > 0 and usage[e] < np.inf):
            return e, 3
    return -1, 0


@numba.njit(cache=True)
def transpose(offsets, links, begin, members):  # type: ignore[no-untyped-def]
    """Write `members` `[entry]`, the flows of each link in order, and where each link's `begin` `[link + 1]`.

    begin : all 0 at first.
    """
    count = len(begin) - 1
    for e in range(len(links)):
        begin[links[e] + 1] += 1
    for link in range(count):
        begin[link + 1] += begin[link]
    at = begin[:-1].copy()
    for flow in range(len(offsets) - 1):
        for e in range(offsets[flow], offsets[flow + 1]):
            link = links[e]
            members[at[link]] = flow
            at[link] += 1


@numba.njit(cache=True)
def sift_down(keys, items, root, size):  # type: ignore[no-untyped-def]
    """Restore a binary heap of (key, item) below `root`."""
    key, item = keys[root], items[root]
    while True:
        child = 2 * root + 1
        if child >= size:
            break
        if child + 1 < size and keys[child + 1] < keys[child]:
            child += 1
        if not keys[child] < key:
            break
        keys[root], items[root] = keys[child], items[child]
        root = child
    keys[root], items[root] = key, item


@numba.njit(cache=True)
def sift_up(keys, items, at):  # type: ignore[no-untyped-def]
    """Restore a binary heap of (key, item) above `at`."""
    key, item = keys[at], items[at]
    while at > 0:
        parent = (at - 1) >> 1
        if not key < keys[parent]:
            break
        keys[at], items[at] = keys[parent], items[parent]
        at = parent
    keys[at], items[at] = key, item


@numba.njit(cache=True)
def open_weight(  # type: ignore[no-untyped-def]
    link, offsets, links, usage, weight, begin, live, members, level
):
    """Sum anew of weight times usage over the flows of a link that have no level yet."""
    total = 0.0
    for slot in range(begin[link], begin[link] + live[link]):
        f = members[slot]
        if level[f] < 0:
            part = weight[f] if len(weight) > 0 else 1.0
            if len(usage) > 0:
                e = offsets[f]
                while links[e] != link:
                    e += 1
                part *= usage[e]
            total += part
    return total


@numba.njit(cache=True)
def fill(  # type: ignore[no-untyped-def]
    offsets,
    links,
    usage,
    weight,
    limit,
    capacity,
    begin,
    live,
    members,
    flows,
    level,
    by,
    share,
    record,
    lists,
):
    """Fill the links with `flows`; writes `level` [flow], `by` [flow] and `share` [link].

    live : `[link]` flows on it, at members[begin[link]:begin[link] + live[link]].
    limit : `[flow]` cap over weight, or empty.
    level : `[flow]` rate over weight; by : link that limits it, -2 for its cap.
    share : `[link]` level at which it is full and limits a flow, else infinite.
    record : `[link, 4]` and lists : `[2, link + flow]`, the flows only with limits, are room to work in.
    """
    count = len(capacity)
    plain, weighted, capped = len(usage) == 0, len(weight) > 0, len(limit) > 0
    mixed = weighted or not plain
    following, waiting = lists[0], lists[1]
    waits = 0
    for link in range(count):
        share[link] = np.inf
        record[link, LEFT] = capacity[link]
        record[link, WEIGHT] = live[link]
        record[link, COUNT] = live[link]
        if live[link] > 0:
            waiting[waits] = link
            waits += 1
            if not plain or weighted:
                record[link, WEIGHT] = 0.0
    open_flows = len(flows)
    for i in range(len(flows)):
        f = flows[i]
        level[f] = -1.0
        if capped and limit[f] < np.inf:
            waiting[waits] = count + f
            waits += 1
        if offsets[f] == offsets[f + 1] and not (capped and limit[f] < np.inf):
            level[f], by[f] = np.inf, -1
            open_flows -= 1
        if not plain or weighted:
            w = weight[f] if weighted else 1.0
            for e in range(offsets[f], offsets[f + 1]):
                record[links[e], WEIGHT] += w if plain else w * usage[e]
    for link in range(count):
        record[link, SUMMED] = record[link, WEIGHT]
    bits = 4
    while (1 << bits) < waits // 2 and bits < 20:
        bits += 1
    buckets = 1 << bits
    head = np.empty(buckets + 1, np.int32)
    keys = np.empty(64)
    items = np.empty(64, np.int64)
    one = np.empty(1)
    one_bits = one.view(np.int64)
    now = 0.0
    while waits > 0 and open_flows > 0:
        # A calendar from the least to the largest share of now; later ones wait for the next calendar.
        least, most = np.inf, 0.0
        for i in range(waits):
            node = waiting[i]
            if node < count:
                if record[node, COUNT] <= 0.5:
                    continue
                key = max(record[node, LEFT] / record[node, WEIGHT], now)
            else:
                key = limit[node - count]
            least, most = min(least, key), max(most, key)
        if least == np.inf:
            break
        one[0] = least
        origin = one_bits[0]
        one[0] = most
        span = one_bits[0] - origin
        shift = 0
        while (span >> shift) >= buckets:
            shift += 1
        head[:] = -1
        for i in range(waits):
            node = waiting[i]
            if node < count:
                if record[node, COUNT] <= 0.5:
                    continue
                key = max(record[node, LEFT] / record[node, WEIGHT], now)
            else:
                key = limit[node - count]
            one[0] = key
            place = min((one_bits[0] - origin) >> shift, buckets)
            following[node] = head[place]
            head[place] = node
        for bucket in range(buckets):
            if open_flows == 0:
                break
            node = head[bucket]
            size = 0
            while node >= 0:
                after = following[node]
                if node < count:
                    if record[node, COUNT] <= 0.5:
                        node = after
                        continue
                    key = max(record[node, LEFT] / record[node, WEIGHT], now)
                else:
                    key = limit[node - count]
                one[0] = key
                place = min((one_bits[0] - origin) >> shift, buckets)
                if place > bucket:
                    following[node] = head[place]
                    head[place] = node
                else:
                    if size == len(keys):
                        more_keys, more_items = np.empty(2 * size), np.empty(2 * size, np.int64)
                        more_keys[:size], more_items[:size] = keys, items
                        keys, items = more_keys, more_items
                    keys[size], items[size] = key, node
                    size += 1
                node = after
            for root in range(size // 2 - 1, -1, -1):
                sift_down(keys, items, root, size)
            while size > 0:
                key, node = keys[0], items[0]
                if node >= count:
                    f = node - count
                    size -= 1
                    keys[0], items[0] = keys[size], items[size]
                    sift_down(keys, items, 0, size)
                    if level[f] >= 0:
                        continue
                    first, last, found = 0, 1, -2
                else:
                    fresh = np.inf
                    if record[node, COUNT] > 0.5:
                        fresh = max(record[node, LEFT] / record[node, WEIGHT], now)
                        if fresh > key:
                            one[0] = fresh
                            place = min((one_bits[0] - origin) >> shift, buckets)
                            if place <= bucket:
                                keys[0] = fresh
                                sift_down(keys, items, 0, size)
                                continue
                            following[node] = head[place]
                            head[place] = node
                    size -= 1
                    keys[0], items[0] = keys[size], items[size]
                    sift_down(keys, items, 0, size)
                    if fresh > key:
                        continue
                    f = -1
                    share[node] = key
                    first, last, found = begin[node], begin[node] + live[node], node
                now = key
                for slot in range(first, last):
                    if node < count:
                        f = members[slot]
                    if level[f] >= 0:
                        continue
                    level[f], by[f] = key, found
                    open_flows -= 1
                    w = weight[f] if weighted else 1.0
                    for e in range(offsets[f], offsets[f + 1]):
                        link = links[e]
                        part = w if plain else w * usage[e]
                        record[link, LEFT] -= part * key
                        record[link, WEIGHT] -= part
                        record[link, COUNT] -= 1
                        # What cancelled most of a sum took its digits with it.
                        if (
                            mixed
                            and record[link, COUNT] > 0.5
                            and record[link, WEIGHT] < CANCELLED * record[link, SUMMED]
                        ):
                            total = open_weight(
                                link, offsets, links, usage, weight, begin, live, members, level
                            )
                            record[link, WEIGHT] = record[link, SUMMED] = total
        waits = 0
        node = head[buckets]
        while node >= 0:
            waiting[waits] = node
            waits += 1
            node = following[node]


@numba.njit(cache=True)
def worst_violation(offsets, links, usage, weight, cap, capacity, rates):  # type: ignore[no-untyped-def]
    """Return (kind, flow, link, size): the largest breach of the max-min condition, by kind.

    1 : a link above its capacity, by size; 2 : a flow above its cap; 3 : a flow that is neither at its cap
    nor has a full link on which no other level is larger, with the least relative step that would mend it.
    """
    count = len(capacity)
    plain, weighted, capped = len(usage) == 0, len(weight) > 0, len(cap) > 0
    load = np.zeros(count)
    top = np.zeros(count)
    for f in range(len(offsets) - 1):
        lev = rates[f] / (weight[f] if weighted else 1.0)
        for e in range(offsets[f], offsets[f + 1]):
            load[links[e]] += rates[f] if plain else usage[e] * rates[f]
            top[links[e]] = max(top[links[e]], lev)
    kind, flow, where, size = 0, -1, -1, 0.0
    for link in range(count):
        over = load[link] / capacity[link] - 1.0
        if over > size:
            kind, where, size = 1, link, over
    for f in range(len(offsets) - 1):
        lacks = np.inf
        near = -1
        if capped and cap[f] < np.inf:
            lacks = 1.0 - rates[f] / cap[f]
            if -lacks > size:
                kind, flow, where, size = 2, f, -1, -lacks
            lacks = max(lacks, 0.0)
        lev = rates[f] / (weight[f] if weighted else 1.0)
        for e in range(offsets[f], offsets[f + 1]):
            link = links[e]
            gap = max(1.0 - load[link] / capacity[link], 1.0 - lev / top[link] if top[link] > 0 else 0.0)
            if gap < lacks:
                lacks, near = gap, link
        if lacks > size:
            kind, flow, where, size = 3, f, near, lacks
    return kind, flow, where, size

"""Kernels that mend max-min rates after flows came or went, at the cost of what changes. Needs numba.

State: `level` `[flow]` (rate over weight), `by` `[flow]` (the full link that limits it; CAP; OPEN while its
level is not known), a record a link (a cache line: its SHARE is the level at which it is full and limits a
flow, else infinite) and, side by side for the live flows of a link, `others` `[slot]`: the level that all
else allows a flow there, which is its level where another link limits it, its limit where this one does, and
minus its limit while it is open.

A sweep goes through the levels upwards. Links whose flows changed are evaluated: their share, were it for the
known levels of their flows. Where the share rises, the flows that the link limited are set open, which makes
their other links worth evaluating; the link with the least share is settled: its open flows, and those above
its share, get that share. Shares below the level of the sweep can no longer change, so that what is settled
is final, and what the sweep never reached keeps the rates it had: the state at the end is the fixed point
that progressive filling has.
"""

from __future__ import annotations

import numba
import numpy as np

from armillary.network.filling import sift_down, sift_up

OPEN, CAP = -1, -2
SLACK = 1e-9
"""Relative room below which a load that was kept up by differences does not prove that a link is not full."""
EQUAL = 1e-13
"""Relative difference up to which levels are the same, well above rounding of a sum, well below any need."""
WORK, PENDING, TOUCHED, HEAP = 0, 1, 2, 3
"""Places in `sizes`: visits of members so far, links to evaluate, flows whose level was touched, heap."""
SHARE, WATCH, CAPACITY, OPENED, FIRST, LIVE, WAITING, LOAD = 0, 1, 2, 3, 4, 5, 6, 7
"""Columns of a link's record `[link, 8]`: share; under which it stands in the heap, NaN where it does not;
capacity; open flows; first slot; live flows; whether it is pending; load by flows that are not open."""


@numba.njit(cache=True)
def evaluate(link, now, record, others, part, sizes):  # type: ignore[no-untyped-def]
    """Share of a link for the known levels of its flows, infinite where it cannot be full.

    Newton's method on the concave, piecewise linear demand at a level: finite, and exact at its end.
    """
    plain = len(part) == 0
    live, capacity, guess = int(record[link, LIVE]), record[link, CAPACITY], record[link, SHARE]
    first = int(record[link, FIRST])
    for _ in range(live + 3):
        sizes[WORK] += live
        fixed, free = 0.0, 0.0
        for slot in range(first, first + live):
            a = 1.0 if plain else part[slot]
            held = np.abs(others[slot])
            if held < guess:
                fixed += a * held
            else:
                free += a
        if free == 0.0:
            if fixed <= capacity * (1 + EQUAL):
                return np.inf
            guess = now
            continue
        new = max((capacity - fixed) / free, now)
        if guess * (1 - 1e-15) <= new <= guess * (1 + 1e-15):
            return new
        guess = new
    return guess


@numba.njit(cache=True)
def assign(f, value, cause, offsets, links, limit, slot_of, level, by, others, part, record):  # type: ignore[no-untyped-def]
    """Set a flow's level and what limits it: a link, CAP, or OPEN with its largest level as value."""
    step = (1 if cause == OPEN else 0) - (1 if by[f] == OPEN else 0)
    more = (0.0 if cause == OPEN else value) - (0.0 if by[f] == OPEN else level[f])
    level[f], by[f] = value, cause
    most = limit[f] if len(limit) > 0 else np.inf
    for e in range(offsets[f], offsets[f + 1]):
        slot, link = slot_of[e], links[e]
        others[slot] = -most if cause == OPEN else most if link == cause else value
        record[link, OPENED] += step
        record[link, LOAD] += more if len(part) == 0 else more * part[slot]


@numba.njit(cache=True)
def push(link, share, record, keys, items, sizes):  # type: ignore[no-untyped-def]
    """Put a link into the heap; False if it is full."""
    size = sizes[HEAP]
    if size == len(keys):
        return False
    record[link, WATCH] = share
    keys[size], items[size] = share, link
    sizes[HEAP] = size + 1
    sift_up(keys, items, size)
    return True


@numba.njit(cache=True)
def pend(link, record, pending, sizes):  # type: ignore[no-untyped-def]
    """Note a link for evaluation, once."""
    if record[link, WAITING] == 0:
        record[link, WAITING] = 1
        pending[sizes[PENDING]] = link
        sizes[PENDING] += 1


@numba.njit(cache=True)
def touch(f, is_touched, touched, sizes):  # type: ignore[no-untyped-def]
    """Note a flow whose level may have changed, once."""
    if not is_touched[f]:
        is_touched[f] = True
        touched[sizes[TOUCHED]] = f
        sizes[TOUCHED] += 1


@numba.njit(cache=True)
def sweep(  # type: ignore[no-untyped-def]
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
    budget,
):
    """Mend levels from the links in `pending`; False if it gave up: then all levels must be found anew.

    part : `[slot]` weight times usage, empty where all are 1. keys, items : heap. budget : visits allowed.
    """
    capped, plain = len(limit) > 0, len(part) == 0
    now, fine = 0.0, True
    while fine:
        judged = -1
        key = 0.0
        if sizes[PENDING] > 0:
            sizes[PENDING] -= 1
            judged = pending[sizes[PENDING]]
            record[judged, WAITING] = 0
            if plain and record[judged, SHARE] == np.inf:
                # Not full before: it stays so unless an open flow rises to its share, at least this much.
                if record[judged, OPENED] > 0:
                    least = max(now, record[judged, CAPACITY] / record[judged, LIVE])
                    if not record[judged, WATCH] <= least:
                        fine = push(judged, least, record, keys, items, sizes)
                continue
            key = evaluate(judged, now, record, others, part, sizes)
        elif sizes[HEAP] > 0:
            least, link = keys[0], items[0]
            sizes[HEAP] -= 1
            keys[0], items[0] = keys[sizes[HEAP]], items[sizes[HEAP]]
            sift_down(keys, items, 0, sizes[HEAP])
            if record[link, WATCH] != least:
                continue
            record[link, WATCH] = np.nan
            roomy = record[link, LOAD] < record[link, CAPACITY] * (1 - SLACK)
            if roomy and record[link, OPENED] == 0 and record[link, SHARE] == np.inf:
                continue
            key = evaluate(link, now, record, others, part, sizes)
            if key > least * (1 + EQUAL):
                judged = link
            else:
                now = key
                share = record[link, SHARE]
                if abs(key - share) <= EQUAL * key:
                    key = share
                limits = False
                first = int(record[link, FIRST])
                for slot in range(first, first + int(record[link, LIVE])):
                    if np.abs(others[slot]) <= key * (1 + EQUAL):
                        continue
                    limits = True
                    f = member[slot]
                    if by[f] == link and key == share:
                        continue
                    was_open = by[f] == OPEN
                    touch(f, is_touched, touched, sizes)
                    assign(f, key, link, offsets, links, limit, slot_of, level, by, others, part, record)
                    if was_open:
                        continue
                    for e in range(offsets[f], offsets[f + 1]):
                        if links[e] != link and record[links[e], SHARE] < np.inf:
                            pend(links[e], record, pending, sizes)
                record[link, SHARE] = key if limits else np.inf
        else:
            break
        if judged >= 0:
            share = record[judged, SHARE]
            if key > share * (1 + EQUAL):
                first = int(record[judged, FIRST])
                for slot in range(first, first + int(record[judged, LIVE])):
                    if np.abs(others[slot]) <= share:
                        continue
                    f = member[slot]
                    if by[f] == judged:
                        touch(f, is_touched, touched, sizes)
                        most = limit[f] if capped else np.inf
                        assign(f, most, OPEN, offsets, links, limit, slot_of, level, by, others, part, record)
                        for e in range(offsets[f], offsets[f + 1]):
                            if links[e] != judged:
                                pend(links[e], record, pending, sizes)
                record[judged, SHARE] = np.inf
                watched = key < np.inf
            else:
                watched = key < np.inf and (record[judged, OPENED] > 0 or key < share * (1 - EQUAL))
            record[judged, WATCH] = np.nan
            if watched:
                fine = push(judged, key, record, keys, items, sizes)
        fine = fine and sizes[WORK] <= budget
    for i in range(sizes[PENDING]):
        record[pending[i], WAITING] = 0
    for i in range(sizes[HEAP]):
        record[items[i], WATCH] = np.nan
    sizes[PENDING] = 0
    sizes[HEAP] = 0
    if fine:
        for i in range(sizes[TOUCHED]):
            f = touched[i]
            if by[f] == OPEN:
                if not (capped and limit[f] < np.inf):
                    return False
                assign(f, limit[f], CAP, offsets, links, limit, slot_of, level, by, others, part, record)
    return fine

"""Kernels that mend max-min rates after flows came or went, at the cost of what changes. Needs numba.

State: `level` `[flow]` (rate over weight), `by` `[flow]` (the full link that limits it; CAP; OPEN while its
level is not known) and `share` `[link]` (the level at which a link is full and limits a flow, else infinite).
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
EQUAL = 1e-13
"""Relative difference up to which levels are the same, well above rounding of a sum, well below any need."""
WORK, PENDING, TOUCHED, HEAP = 0, 1, 2, 3
"""Places in `sizes`: visits of members so far, links to evaluate, flows whose level was touched, heap."""


@numba.njit(cache=True)
def evaluate(link, now, capacity, begin, live, member, entry, usage, weight, limit, level, by, share, sizes):  # type: ignore[no-untyped-def]
    """Return (share of the link, whether open flows use it); infinite where it cannot be full.

    Newton's method on the concave, piecewise linear demand at a level: finite, and exact at its end.
    """
    plain, weighted, capped = len(usage) == 0, len(weight) > 0, len(limit) > 0
    first, last = begin[link], begin[link] + live[link]
    guess, opened = share[link], False
    for _ in range(live[link] + 3):
        sizes[WORK] += live[link]
        fixed, free = 0.0, 0.0
        for slot in range(first, last):
            f = member[slot]
            a = weight[f] if weighted else 1.0
            if not plain:
                a *= usage[entry[slot]]
            held = level[f]
            if by[f] == link:
                held = limit[f] if capped else np.inf
            elif by[f] == OPEN:
                opened = True
            if held < guess:
                fixed += a * held
            else:
                free += a
        if free == 0.0:
            if fixed <= capacity[link] * (1 + EQUAL):
                return np.inf, opened
            guess = now
            continue
        new = max((capacity[link] - fixed) / free, now)
        if guess * (1 - 1e-15) <= new <= guess * (1 + 1e-15):
            return new, opened
        guess = new
    return guess, opened


@numba.njit(cache=True)
def push(link, share, keys, items, sizes):  # type: ignore[no-untyped-def]
    """Put a link into the heap; False if it is full."""
    size = sizes[HEAP]
    if size == len(keys):
        return False
    keys[size], items[size] = share, link
    sizes[HEAP] = size + 1
    sift_up(keys, items, size)
    return True


@numba.njit(cache=True)
def pend(link, waiting, pending, sizes):  # type: ignore[no-untyped-def]
    """Note a link for evaluation, once."""
    if not waiting[link]:
        waiting[link] = True
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
    budget,
):
    """Mend levels from the links in `pending`; False if it gave up: then all levels must be found anew.

    watch : `[link]` share under which a link stands in the heap, NaN where it does not; all NaN before and
    after. waiting : `[link]` whether it is pending. keys, items : heap. budget : visits allowed.
    """
    capped = len(limit) > 0
    now, fine = 0.0, True
    while fine:
        judged = -1
        if sizes[PENDING] > 0:
            sizes[PENDING] -= 1
            judged = pending[sizes[PENDING]]
            waiting[judged] = False
            key, opened = evaluate(
                judged,
                now,
                capacity,
                begin,
                live,
                member,
                entry,
                usage,
                weight,
                limit,
                level,
                by,
                share,
                sizes,
            )
        elif sizes[HEAP] > 0:
            least, link = keys[0], items[0]
            sizes[HEAP] -= 1
            keys[0], items[0] = keys[sizes[HEAP]], items[sizes[HEAP]]
            sift_down(keys, items, 0, sizes[HEAP])
            if watch[link] != least:
                continue
            key, opened = evaluate(
                link, now, capacity, begin, live, member, entry, usage, weight, limit, level, by, share, sizes
            )
            watch[link] = np.nan
            if key > least * (1 + EQUAL):
                judged = link
            else:
                now = key
                if abs(key - share[link]) <= EQUAL * key:
                    key = share[link]
                changed, limits = key != share[link], False
                for slot in range(begin[link], begin[link] + live[link]):
                    f = member[slot]
                    held = level[f]
                    if by[f] == link:
                        if changed:
                            touch(f, is_touched, touched, sizes)
                            level[f] = key
                        limits = True
                        if not changed:
                            continue
                    elif held > key * (1 + EQUAL):
                        touch(f, is_touched, touched, sizes)
                        level[f] = key
                        was_open = by[f] == OPEN
                        by[f] = link
                        limits = True
                        if was_open:
                            continue
                    else:
                        continue
                    for e in range(offsets[f], offsets[f + 1]):
                        other = links[e]
                        if other != link and share[other] < np.inf:
                            pend(other, waiting, pending, sizes)
                share[link] = key if limits else np.inf
        else:
            break
        if judged >= 0:
            link = judged
            if key > share[link] * (1 + EQUAL):
                for slot in range(begin[link], begin[link] + live[link]):
                    f = member[slot]
                    if by[f] == link:
                        touch(f, is_touched, touched, sizes)
                        by[f] = OPEN
                        level[f] = limit[f] if capped else np.inf
                        opened = True
                        for e in range(offsets[f], offsets[f + 1]):
                            if links[e] != link:
                                pend(links[e], waiting, pending, sizes)
                share[link] = np.inf
                watched = key < np.inf
            else:
                watched = key < np.inf and (opened or key < share[link] * (1 - EQUAL))
            watch[link] = key if watched else np.nan
            if watched:
                fine = push(link, key, keys, items, sizes)
        fine = fine and sizes[WORK] <= budget
    for i in range(sizes[PENDING]):
        waiting[pending[i]] = False
    for i in range(sizes[HEAP]):
        watch[items[i]] = np.nan
    sizes[PENDING] = 0
    sizes[HEAP] = 0
    if fine:
        for i in range(sizes[TOUCHED]):
            f = touched[i]
            if by[f] == OPEN:
                if not (capped and limit[f] < np.inf):
                    return False
                level[f], by[f] = limit[f], CAP
    return fine

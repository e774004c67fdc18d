"""Which replica of a group gets a request, and which group of its model."""

from __future__ import annotations

from typing import Any

from armillary.serving.batching import catch_up
from armillary.serving.compiled import inlined
from armillary.serving.prefix_cache import count_hits
from armillary.serving.records import OUT_OF_REACH
from armillary.serving.timers import random

GIVEN, ROUND_ROBIN, RANDOM, LEAST_LOADED, POWER_OF_TWO, CACHE_AWARE = 0, 1, 2, 3, 4, 5
ROUTERS = ("given", "round_robin", "random", "least_loaded", "power_of_two", "cache_aware")


@inlined
def least_loaded(load: Any, begin: int, end: int) -> Any:
    """Replica with the fewest requests, the first of equals; -1 if none is on."""
    best, least = -1, OUT_OF_REACH
    for r in range(begin, end):
        if load[r] < least:
            best, least = r, load[r]
    return best


@inlined
def _draw(load: Any, over: Any, e: Any) -> Any:
    """A replica that is on, all alike likely; one must be on."""
    while True:
        r = e.begin + int(random(over) * (e.end - e.begin))
        if load[r] < OUT_OF_REACH:
            return r


@inlined
def choose_replica(
    rep: Any,
    eng: Any,
    load: Any,
    cache: Any,
    blocks: Any,
    seq: Any,
    over: Any,
    group: int,
    slot: int,
    given: int,
) -> Any:
    """Replica of a group for a request, -1 if none is on."""
    e = eng[group]
    if e.active == 0:
        return -1
    router = over[0].router
    if router == GIVEN and given >= 0:
        if load[e.begin + given] < OUT_OF_REACH:
            return e.begin + given
    elif router == RANDOM:
        return _draw(load, over, e)
    elif router == POWER_OF_TWO:
        one = _draw(load, over, e)
        other = _draw(load, over, e)
        return other if load[other] < load[one] else one
    elif router == LEAST_LOADED:
        return least_loaded(load, e.begin, e.end)
    elif router == CACHE_AWARE:
        best = least_loaded(load, e.begin, e.end)
        if cache is not None:
            most = -1
            limit = load[best] + over[0].guard
            for r in range(e.begin, e.end):
                if load[r] <= limit:
                    catch_up(rep, eng, cache, over, r, over[0].now)
                    hits = count_hits(cache, blocks[slot], seq[slot].length, r, over[0].block)[0]
                    if hits > most or (hits == most and load[r] < load[best]):
                        best, most = r, hits
        return best
    while True:
        r = e.begin + e.turn
        e.turn += 1
        if r + 1 == e.end:
            e.turn = 0
        if load[r] < OUT_OF_REACH:
            return r


@inlined
def choose_group(eng: Any, choices: Any) -> Any:
    """First of the groups in `choices` below its limit of load; else the first that is on; else -1."""
    fallback = -1
    for group in choices:
        if group < 0:
            break
        if eng[group].active > 0:
            if fallback < 0:
                fallback = group
            if eng[group].load < eng[group].spill * eng[group].active:
                return group
    return fallback

"""A heap of timers, by time and then by order of setting, and the generator of random numbers of a run."""

from __future__ import annotations

from typing import Any

import numpy as np

from armillary.serving.compiled import inlined


@inlined
def set_timer(timers: Any, over: Any, time: float, kind: int, what: int, check: int) -> None:
    """Add a timer; there must be room for it."""
    at = over[0].timers
    over[0].timers += 1
    order = over[0].order
    over[0].order += 1
    while at > 0:
        above = (at - 1) >> 1
        if timers[above].time <= time:
            break
        timers[at] = timers[above]
        at = above
    timers[at].time = time
    timers[at].order = order
    timers[at].kind = kind
    timers[at].what = what
    timers[at].check = check


@inlined
def drop_first(timers: Any, over: Any) -> None:
    """Take the first timer out of the heap."""
    over[0].timers -= 1
    count = over[0].timers
    time, order = timers[count].time, timers[count].order
    at = 0
    while True:
        below = 2 * at + 1
        if below >= count:
            break
        right = below + 1
        if right < count and (
            timers[right].time < timers[below].time
            or (timers[right].time == timers[below].time and timers[right].order < timers[below].order)
        ):
            below = right
        if timers[below].time > time or (timers[below].time == time and timers[below].order > order):
            break
        timers[at] = timers[below]
        at = below
    timers[at] = timers[count]


@inlined
def random(over: Any) -> Any:
    """Next number of the run's generator (splitmix64), from 0 to below 1."""
    over[0].random += np.uint64(0x9E3779B97F4A7C15)
    z = over[0].random
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return float(z >> np.uint64(11)) * 2.0**-53


@inlined
def random_time(over: Any, mean: float) -> Any:
    """Exponentially distributed time [s]."""
    return -mean * np.log(1.0 - random(over))

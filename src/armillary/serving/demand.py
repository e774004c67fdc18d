"""`Demand`: messages through days and years, and the requests that they bring, drawn with a seed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from armillary.errors import InputError
from armillary.serving.diurnal import DAY, FLAT, DayShape
from armillary.serving.lengths import Lengths, Tokens

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

YEAR = 365.25 * DAY
"""[s]"""
CHUNK = 1 << 17
"""Requests that are drawn at a time. [-]"""


class Requests(NamedTuple):
    """Requests in order of arrival.

    arrival : `[request]` on the clock of the demand [s].
    input, output, cached : `[request]`, cached is part of the input and below it [token].
    """

    arrival: Floats
    input: Integers
    output: Integers
    cached: Integers


@dataclass(frozen=True, slots=True)
class Demand:
    """What users ask for. Time 0 is the beginning of a day.

    messages_per_day : at time 0; see `messages_of_users` [1/day].
    lengths : of their requests, such as ``named_mix(...).mix`` or ``joint(trace)``.
    shape : of a day.
    burstiness : standard deviation over mean of gaps between arrivals, where the rate is constant: 1 is
    Poisson, 0 is even, above 1 comes in bursts (gamma) [-].
    growth : part that is added in a year, 1 doubles [-].
    """

    messages_per_day: float
    lengths: Lengths
    shape: DayShape = FLAT
    burstiness: float = 1.0
    growth: float = 0.0

    def __post_init__(self) -> None:
        for name, value, least in (
            ("messages_per_day", self.messages_per_day, 0.0),
            ("burstiness", self.burstiness, 0.0),
        ):
            if not (least <= value < float("inf")):
                raise InputError(f"{name} of Demand is {value}; expected a number, 0 or more")
        if not -1 < self.growth < float("inf"):
            raise InputError(
                f"growth of Demand is {self.growth}; expected a part a year above -1, such as 0.8"
            )


def messages_of_users(users: float, messages: float, period: float = DAY) -> float:
    """Messages per day of `users` who send `messages` each in a `period` [s].

    Examples
    --------
    >>> round(messages_of_users(users=700e6, messages=25.7, period=7 * 86400) / 1e9, 2)
    2.57
    """
    if not (users >= 0 and messages >= 0 and period > 0):
        raise InputError(
            f"{users} users with {messages} messages in {period} s; expected none below 0 and a period"
        )
    return users * messages * DAY / period


def rate(demand: Demand, time: ArrayLike) -> Floats:
    """Messages per second at times. [1/s]"""
    at = np.asarray(time, float)
    growth: Floats = (1 + demand.growth) ** (at / YEAR)
    return demand.messages_per_day / DAY * demand.shape.at(at) * growth


def token_rates(demand: Demand, time: float) -> Tokens:
    """Tokens per second at a time. [token/s]"""
    now = float(rate(demand, time))
    mean = demand.lengths.mean
    return Tokens(now * mean.input, now * mean.output, now * mean.cached)


def messages(demand: Demand, start: float = 0.0, duration: float = DAY) -> float:
    """How many messages are expected from `start` on, within `duration` [s]. [-]"""
    return float(_curve(demand, start, duration).messages[-1])


def arrivals(
    demand: Demand, *, seed: int, start: float = 0.0, duration: float = DAY, chunk: int = CHUNK
) -> Iterator[Floats]:
    """Draw arrivals in order, `[request]` at most `chunk` at a time [s].

    The same seed gives the same arrivals, whatever the chunk.

    Notes
    -----
    Gaps of mean 1 are gamma distributed with shape :math:`1/c^2`, c the burstiness; the first is that of a
    process which has gone on for long, so that the expected count is right. Sums of gaps are mapped to times
    by the inverse of the expected count of messages, which is exact: rates are straight between points.
    """
    if chunk < 1:
        raise InputError(f"chunk is {chunk}; expected 1 or more requests")
    curve = _curve(demand, start, duration)
    return _drawn(curve, demand.burstiness, np.random.default_rng([_checked(seed), 0]), chunk)


def requests(demand: Demand, *, seed: int, start: float = 0.0, duration: float = DAY) -> Iterator[Requests]:
    """Draw requests in order of arrival, in pieces; the same seed gives the same ones."""
    rng = np.random.default_rng([_checked(seed), 1])
    for times in arrivals(demand, seed=seed, start=start, duration=duration):
        yield Requests(times, *demand.lengths.sample(rng, len(times)))


class _Curve(NamedTuple):
    """Rates straight between times. time : `[point]` [s]. rate : [1/s]. messages : up to it [-]."""

    time: Floats
    rate: Floats
    messages: Floats


def _curve(demand: Demand, start: float, duration: float) -> _Curve:
    if not (np.isfinite(start) and 0 < duration < float("inf")):
        raise InputError(
            f"start is {start} s and duration {duration} s; expected finite ones and a duration above 0"
        )
    stop = start + duration
    days = np.arange(np.floor(start / DAY) - 1, np.floor(stop / DAY) + 1)
    points = (days[:, None] * DAY + demand.shape.points()).ravel()
    time = np.concatenate(([start], points[(points > start) & (points < stop)], [stop]))
    found = rate(demand, time)
    parts = np.diff(time) * (found[1:] + found[:-1]) / 2
    return _Curve(time, found, np.concatenate(([0.0], np.cumsum(parts))))


def _times(curve: _Curve, count: Floats) -> Floats:
    """When the expected messages reach `count`."""
    at = np.clip(np.searchsorted(curve.messages, count, side="right") - 1, 0, len(curve.time) - 2)
    slope = (np.diff(curve.rate) / np.diff(curve.time))[at]
    here, more = curve.rate[at], count - curve.messages[at]
    below = here + np.sqrt(np.maximum(here**2 + 2 * slope * more, 0.0))
    after = np.divide(2 * more, below, out=np.zeros_like(more), where=below > 0)
    time: Floats = np.minimum(curve.time[at] + after, curve.time[at + 1])
    return time


def _drawn(curve: _Curve, burstiness: float, rng: np.random.Generator, chunk: int) -> Iterator[Floats]:
    total, shape = curve.messages[-1], 1 / burstiness**2 if burstiness else float("inf")
    following = rng.random() * (rng.standard_gamma(shape + 1) / shape if burstiness else 1.0)
    while following < total:
        left = total - following
        size = int(min(chunk, left + 4 * max(burstiness, 1) * np.sqrt(left) + 16))
        gaps = rng.standard_gamma(shape, size) / shape if burstiness else np.ones(size)
        position = np.cumsum(np.concatenate(([following], gaps)))
        yield _times(curve, position[:-1][position[:-1] < total])
        following = position[-1]


def _checked(seed: int) -> int:
    if seed < 0:
        raise InputError(f"seed is {seed}; expected a whole number, 0 or more")
    return seed

"""Demand that grows year by year, compounded: at a time, and on average over a while.

Growth of a year is a part that is added; where a list says it year by year, its last holds on. Before the
first year it is that of the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import floor, log1p

from armillary.scenario.months import months_of

QUARTERS_A_YEAR = 4
"""[-]"""


def years_between(start: str, end: str) -> float:
    """From one ISO month to another, below 0 where `end` is before `start` [yr].

    Examples
    --------
    >>> years_between("2025-09", "2026-03")
    0.5
    """
    return (months_of(end) - months_of(start)) / 12


def grown(growth: Sequence[float], years: float) -> float:
    """Demand over that at the beginning, after so many years. [-]

    Parameters
    ----------
    growth : sequence of float
        Part added in each year, one or more. [-]
    years : float
        [yr]

    Examples
    --------
    >>> round(grown([0.5, 0.2], 3), 6)
    2.16
    >>> round(grown([0.5], -1), 3)
    0.667
    """
    factor, left = 1.0, years
    if years <= 0:
        return float((1 + growth[0]) ** years)
    for part in growth[:-1]:
        step = min(left, 1.0)
        factor *= (1 + part) ** step
        left -= step
        if left <= 0:
            return float(factor)
    return float(factor * (1 + growth[-1]) ** left)


def mean_grown(growth: Sequence[float], start: float, end: float) -> float:
    r"""Mean of `grown` from `start` to `end`. [-]

    Notes
    -----
    Within a year of growth :math:`g` the integral of :math:`f (1+g)^t` is the difference of its ends over
    :math:`\ln(1+g)`.

    Examples
    --------
    >>> round(mean_grown([1.0], 0, 1), 4)  # 1 / ln 2
    1.4427
    """
    edges = [start, *(float(y) for y in range(floor(start) + 1, len(growth) + 1) if start < y < end), end]
    total = 0.0
    for a, b in pairwise(edges):
        part = growth[min(max(floor(a), 0), len(growth) - 1)]
        low, high = grown(growth, a), grown(growth, b)
        flat = abs(part) < 1e-9  # the limit, free of cancellation
        total += low * (b - a) if flat else (high - low) / log1p(part)
    return total / (end - start)

"""Dates as people write them, and quarters: labels outside, seconds inside."""

from __future__ import annotations

import re
from datetime import date
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from armillary.errors import InputError

DAY = 86400.0
"""[s]"""

_DATE = re.compile(r"(\d{4})(?:-(\d{2})(?:-(\d{2}))?)?\Z")
_QUARTER = re.compile(r"(\d{4})Q([1-4])\Z")


class Quarters(NamedTuple):
    """Calendar quarters one after the other.

    labels : such as ``2026Q1``. starts, ends : `[quarter]` after the first begins [s].
    """

    labels: tuple[str, ...]
    starts: NDArray[np.float64]
    ends: NDArray[np.float64]

    @property
    def lengths(self) -> NDArray[np.float64]:
        """`[quarter]`, 90 to 92 days [s]."""
        return self.ends - self.starts


def quarters(first: str, count: int) -> Quarters:
    """List calendar quarters.

    Parameters
    ----------
    first : str
        Such as ``2025Q4``, or a date in it.
    count : int

    Examples
    --------
    >>> found = quarters("2025-11-03", 28)
    >>> found.labels[0], found.labels[-1], round(float(found.ends[-1]) / 86400)
    ('2025Q4', '2032Q3', 2557)
    """
    if count < 1:
        raise InputError(f"count is {count}; expected 1 quarter or more")
    match = _QUARTER.match(first)
    begin = date(int(match[1]), 3 * int(match[2]) - 2, 1) if match else day_of(first)
    index = begin.year * 4 + (begin.month - 1) // 3
    edges = [date(i // 4, 3 * (i % 4) + 1, 1) for i in range(index, index + count + 1)]
    after = np.array([(edge - edges[0]).days * DAY for edge in edges])
    labels = tuple(f"{edge.year}Q{(edge.month + 2) // 3}" for edge in edges[:-1])
    return Quarters(labels, after[:-1], after[1:])


def day_of(text: str) -> date:
    """Read ``2026``, ``2026-03`` or ``2026-03-15``: the first day of what is named.

    Raises
    ------
    InputError
        If it is no date.
    """
    match = _DATE.match(text)
    try:
        if match:
            return date(int(match[1]), int(match[2] or 1), int(match[3] or 1))
    except ValueError:
        pass
    raise InputError(f"cannot read {text!r} as a date; write it as '2026-03-15', '2026-03' or '2026'")


def seconds_after(origin: str, when: str) -> float:
    """Time from one date to another. [s]

    Examples
    --------
    >>> seconds_after("2025-11", "2026-11") / 86400
    365.0
    """
    return (day_of(when) - day_of(origin)).days * DAY

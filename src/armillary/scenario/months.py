"""ISO months such as ``2026-03``: so many later, and between two. Imports units."""

from __future__ import annotations

from armillary.units import parse

MONTH = parse("1 month", "s")
"""[s]"""
QUARTER = 3 * MONTH
"""[s]"""


def months_of(month: str) -> int:
    """Months since year 0.

    Examples
    --------
    >>> months_of("2026-09") - months_of("2026-03")
    6
    """
    return int(month[:4]) * 12 + int(month[5:7]) - 1


def later(month: str, months: int) -> str:
    """Month that is so many months later.

    Examples
    --------
    >>> later("2026-11", 3)
    '2027-02'
    """
    count = months_of(month) + months
    return f"{count // 12:04}-{count % 12 + 1:02}"

"""Numbers on axes: where ticks stand, how values are written, how values become pixels."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from armillary.units import show

_CLOCK = (
    1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 6 * 3600, 12 * 3600,
    *(n * 86400.0 for n in (1, 2, 5, 10, 30, 100)),
)  # fmt: skip
"""Steps that are round to people once times pass two minutes. [s]"""


def number(value: float, unit: str = "", percent: bool = False) -> str:
    """Write a value shortly.

    Examples
    --------
    >>> number(0.012, "s"), number(4608), number(2.5e9), number(0.421, percent=True)
    ('12 ms', '4,608', '2.5G', '42.1%')
    """
    if percent:
        text = f"{value:.1%}".replace(".0%", "%")
    elif unit:
        text = show(value, unit)
    elif abs(value) >= 1e6:
        text = show(value).replace(" ", "")
    elif abs(value) >= 1000 or float(value).is_integer():
        text = f"{value:,.0f}"
    else:
        text = f"{value:.3g}"
    return "0" + text[2:] if text.startswith("-0") and not text.strip("-0.%") else text.replace("-", "−")


def ticks(low: float, high: float, log: bool = False, most: int = 7, unit: str = "") -> list[float]:
    """Round values from `low` to `high`, about `most` of them.

    On a logarithmic axis they are 1-2-5 or decades where at least three of these fit; times (`unit` ``s``)
    beyond two minutes are round minutes, hours or days.

    Examples
    --------
    >>> ticks(0, 10)
    [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]
    >>> ticks(8, 600, log=True)
    [10.0, 20.0, 50.0, 100.0, 200.0, 500.0]
    >>> ticks(20, 600, log=True, unit="s")
    [30, 60, 120, 300, 600]
    """
    if high <= low:
        return [low]
    clock = unit == "s" and 120 < high <= most * _CLOCK[-1]
    if log:
        first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
        sets = [[m * 10.0**e for e in range(first, last + 1) for m in digits] for digits in ((1, 2, 5), (1,))]
        if clock:
            sets = [[*(v for v in sets[0] if v < _CLOCK[0]), *_CLOCK]]
        for candidates in sets:
            found = [v for v in candidates if low * 0.999 <= v <= high * 1.001]
            if 3 <= len(found) <= most + 1:
                return found
        if len(found) >= 3:
            return found[:: math.ceil(len(found) / most)]
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    steps = _CLOCK if clock else tuple(m * power for m in (1, 2, 5, 10))
    step = next(s for s in steps if s >= rough * 0.999)
    start = math.ceil(low / step - 1e-9)
    return [i * step for i in range(start, math.floor(high / step + 1e-9) + 1)]


def rounded_up(high: float, unit: str = "") -> float:
    """Return the first tick at or above `high` of a linear axis from 0."""
    found = ticks(0, high, unit=unit)
    return found[-1] if found[-1] >= high * 0.999 else found[-1] + (found[1] - found[0])


def scale(low: float, high: float, log: bool, start: float, end: float) -> Callable[[float], float]:
    """Return the function from values to pixels; a single value stands in the middle."""
    a, b = (math.log10(low), math.log10(high)) if log else (low, high)
    if a == b:
        return lambda value: (start + end) / 2
    return lambda value: start + ((math.log10(value) if log else value) - a) / (b - a) * (end - start)


def check(values: Iterable[float], log: bool, axis: str) -> None:
    """Refuse what cannot be drawn.

    Raises
    ------
    ValueError
        If a value is not finite, or not positive on a logarithmic axis.
    """
    for value in values:
        if not math.isfinite(value) or (log and value <= 0):
            kind = "positive and finite, as the axis is logarithmic" if log else "finite"
            raise ValueError(f"The values of the {axis} axis must be {kind}. Got {value!r} instead.")

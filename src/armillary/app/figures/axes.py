"""Numbers on axes: where ticks stand, how values are written, how values become pixels."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from armillary.units import show


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


def ticks(low: float, high: float, log: bool = False, most: int = 7) -> list[float]:
    """Round values from `low` to `high`, about `most` of them; on a logarithmic axis 1-2-5 or decades
    where at least three of them fit.

    Examples
    --------
    >>> ticks(0, 10)
    [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]
    >>> ticks(8, 600, log=True)
    [10.0, 20.0, 50.0, 100.0, 200.0, 500.0]
    """
    if high <= low:
        return [low]
    if log:
        first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
        for digits in ((1, 2, 5), (1,)):
            found = [m * 10.0**e for e in range(first, last + 1) for m in digits]
            found = [v for v in found if low * 0.999 <= v <= high * 1.001]
            if 3 <= len(found) <= most + 1:
                return found
        if len(found) >= 3:
            return found[:: math.ceil(len(found) / most)]
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough * 0.999)
    start = math.ceil(low / step - 1e-9)
    return [i * step for i in range(start, math.floor(high / step + 1e-9) + 1)]


def rounded_up(high: float, most: int = 7) -> float:
    """Return the first tick at or above `high` of a linear axis from 0."""
    found = ticks(0, high, most=most)
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

"""`DayShape`: how demand goes up and down through a day (diurnal.toml)."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources

import numpy as np
from numpy.typing import ArrayLike, NDArray

from armillary.errors import InputError, did_you_mean

Floats = NDArray[np.float64]

DAY = 86400.0
"""[s]"""


@dataclass(frozen=True, slots=True)
class DayShape:
    """Rate over the mean rate of its day, straight between points that are evenly spaced through the day.

    name : of the entry. relative : value at the middle of each part of the day, of mean 1 [-].
    source : where it is from. days : that were averaged [-].
    """

    name: str
    relative: tuple[float, ...]
    source: str = ""
    days: int = 0

    def __post_init__(self) -> None:
        found = np.asarray(self.relative, float)
        if not len(found) or not np.isfinite(found).all() or found.min() < 0 or abs(found.mean() - 1) > 1e-6:
            raise InputError(
                f"day shape {self.name!r} must be one or more values, none below 0, of mean 1; "
                f"day_shape(name, values) scales them"
            )

    @property
    def peak_over_mean(self) -> float:
        """[-]."""
        return max(self.relative)

    @property
    def peak_over_trough(self) -> float:
        """Infinite where the trough is 0 [-]."""
        return max(self.relative) / min(self.relative) if min(self.relative) > 0 else float("inf")

    def points(self) -> Floats:
        """When the values of `relative` hold, `[point]` [s]."""
        return (np.arange(len(self.relative), dtype=np.float64) + 0.5) * (DAY / len(self.relative))

    def at(self, time: ArrayLike) -> Floats:
        """Rate over the mean rate at times of any day. [-]"""
        points, relative = self.points(), np.asarray(self.relative)
        points = np.concatenate(([points[-1] - DAY], points, [points[0] + DAY]))
        relative = np.concatenate((relative[-1:], relative, relative[:1]))
        found: Floats = np.asarray(np.interp(np.mod(np.asarray(time, float), DAY), points, relative))
        return found


FLAT = DayShape("flat", (1.0,), "no change through the day")


def day_shape(name: str, values: ArrayLike, source: str = "", days: int = 1) -> DayShape:
    """Make a shape of rates in any unit.

    values : `[point]` at the middle of equal parts of a day, the first begins at its midnight.
    """
    rates = np.asarray(values, float)
    if (
        rates.ndim != 1
        or not len(rates)
        or not np.isfinite(rates).all()
        or rates.min() < 0
        or not rates.sum()
    ):
        raise InputError(f"values of day shape {name!r} must be a list of rates, none below 0 and not all 0")
    return DayShape(name, tuple((rates / rates.mean()).tolist()), source, days)


def later(shape: DayShape, hours: float) -> DayShape:
    """Return the shape `hours` later, rounded to its points: of people further west, or of another clock.

    Examples
    --------
    >>> later(day_shape("two", [1, 3]), 12).relative
    (1.5, 0.5)
    """
    steps = round(hours / 24 * len(shape.relative)) % len(shape.relative)
    moved = shape.relative[-steps:] + shape.relative[:-steps] if steps else shape.relative
    return DayShape(f"{shape.name}{hours:+g}h", moved, shape.source, shape.days)


def day_shapes() -> dict[str, DayShape]:
    """Return all shapes of diurnal.toml and ``flat``, by name."""
    return dict(_shapes())


def named_shape(name: str) -> DayShape:
    """Find a shape by name.

    Examples
    --------
    >>> round(named_shape("servegen-language-large").peak_over_mean, 2)
    1.14
    """
    shapes = _shapes()
    if name not in shapes:
        raise InputError(
            f"unknown day shape {name!r}{did_you_mean(name, shapes)}; known are {', '.join(shapes)}"
        )
    return shapes[name]


@lru_cache(maxsize=1)
def _shapes() -> dict[str, DayShape]:
    text = resources.files("armillary.serving").joinpath("diurnal.toml").read_text(encoding="utf-8")
    rows = tomllib.loads(text)
    source = f"{rows['source']}, {rows['license']}, {rows['date']}"
    shapes = {name: day_shape(name, row["hours"], source, row["days"]) for name, row in rows["shape"].items()}
    return {"flat": FLAT} | shapes

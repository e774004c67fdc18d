"""`RangedFact`: a number with its reach, unit and source, and the tables of them of this room."""

from __future__ import annotations

import tomllib
from functools import lru_cache
from importlib import resources
from typing import Any, NamedTuple

from armillary.errors import InputError, did_you_mean
from armillary.units import DIMENSIONS, show

KINDS = ("published", "measured", "derived", "assumed")
"""``derived`` is arithmetic on published numbers, which the source names."""


class RangedFact(NamedTuple):
    """A row. value, low, high : in SI units. unit : in which the table has them. kind : one of `KINDS`.

    low, high : the reach over which the sources differ, or which is assumed; equal to `value` where the
    source gives none. source : who said so, of `date`.
    """

    value: float
    low: float
    high: float
    unit: str
    kind: str
    source: str
    date: str
    note: str = ""

    def text(self, value: float) -> str:
        """Write a value of this row in its unit, such as ``5 yr``."""
        if self.unit == "USD":
            return show(value, "USD")
        words = f"{value / _factor(self.unit):.4g}"
        return words if self.unit == "1" else f"{words} {self.unit}"


@lru_cache(maxsize=16)
def ranged_facts(table: str) -> dict[str, RangedFact]:
    """Read a table of this room, such as ``tco_facts``, by name of the row."""
    text = resources.files("armillary.portfolio").joinpath(f"{table}.toml").read_text(encoding="utf-8")
    return {name: _fact(row) for name, row in tomllib.loads(text).items()}


def given(rows: dict[str, RangedFact], **values: Any) -> dict[str, Any]:
    """Values of rows by name, with those that are given, in SI units, in their place.

    Raises
    ------
    InputError
        If there is no row of that name.
    """
    for name in values:
        if name not in rows:
            raise InputError(
                f"unknown input {name!r}{did_you_mean(name, rows) or '; known are ' + ', '.join(rows)}"
            )
    return {name: row.value for name, row in rows.items()} | values


def _fact(row: dict[str, Any]) -> RangedFact:
    factor = _factor(row["unit"])
    value = float(row["value"])
    low, high = float(row.get("low", value)), float(row.get("high", value))
    words = {key: str(row[key]) for key in ("unit", "kind", "source", "date")}
    return RangedFact(value * factor, low * factor, high * factor, **words, note=str(row.get("note", "")))


def _factor(unit: str) -> float:
    return 1.0 if unit == "1" else next(units[unit] for units in DIMENSIONS.values() if unit in units)

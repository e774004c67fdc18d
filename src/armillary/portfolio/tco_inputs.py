"""Inputs of a cost of ownership by the room's tables, and which of them move the answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from armillary.errors import InputError
from armillary.portfolio.ranged_facts import RangedFact, given, ranged_facts
from armillary.portfolio.tco import Inputs

TABLES = ("tco_facts", "tco_bernstein")
SHARES = (
    "accelerator_share",
    "processor_share",
    "mechanical_electrical_share",
    "building_share",
    "load",
    "spares",
)
POSITIVE = (
    "accelerators",
    "per_rack",
    "rack_power",
    "pue",
    "utilisation",
    *(name for name in Inputs._fields if name.endswith("_life")),
)
TOGETHER = {
    "equipment_life": (
        "accelerator_life",
        "processor_life",
        "server_life",
        "network_life",
        "storage_life",
    ),
    "facility_life": ("mechanical_electrical_life", "building_life", "connection_life"),
}
"""Inputs that move as one in a tornado: what stands in one hall is bought and replaced together."""


class Swing(NamedTuple):
    """What one input does to an answer while the others stay.

    low, high : the input's reach, in SI units. at_low, at_high : the answer there.
    """

    name: str
    low: float
    high: float
    at_low: float
    at_high: float

    @property
    def size(self) -> float:
        """Between both ends, never negative."""
        return abs(self.at_high - self.at_low)


def inputs(table: str = "tco_facts", **values: Any) -> Inputs:
    """Inputs by a table of this room, with those that are given in their place.

    Parameters
    ----------
    table : str
        ``tco_facts``, or ``tco_bernstein`` for that study's split.
    **values : number or array
        In SI units.

    Raises
    ------
    InputError
        If a name is unknown or a value cannot be.

    Examples
    --------
    >>> inputs(pue=1.1).pue
    1.1
    """
    found = Inputs(**given(tco_facts(table), **values))
    _check(found)
    return found


def tco_facts(table: str = "tco_facts") -> dict[str, RangedFact]:
    """Rows behind `inputs`, by name of the input."""
    if table not in TABLES:
        raise InputError(f"unknown table {table!r}; there are {', '.join(TABLES)}")
    return ranged_facts("tco_facts") | ranged_facts(table)


def tornado(
    answer: Callable[[Inputs], Any],
    base: Inputs,
    reach: Mapping[str, tuple[float, float]] | None = None,
) -> tuple[Swing, ...]:
    """Move one input at a time over its reach; the largest swing comes first.

    Parameters
    ----------
    answer : callable
        Of `Inputs`, whose fields are here arrays; e.g. ``lambda x: price_each(owned(x).total, x)``.
    base : Inputs
        Numbers.
    reach : mapping of name to (low, high), optional
        In SI units; a name is that of an input or of several that move together (`TOGETHER`). By default
        the reach of tco_facts.toml, lives together.

    Examples
    --------
    >>> swings = tornado(lambda x: x.pue * x.load, inputs(), {"pue": (1.0, 1.5), "load": (0.7, 0.9)})
    >>> [(s.name, round(s.size, 3)) for s in swings]
    [('pue', 0.4), ('load', 0.23)]
    """
    reach = default_reach() if reach is None else reach
    members = {name: TOGETHER.get(name, (name,)) for name in reach}
    for name in (each for some in members.values() for each in some):
        given(tco_facts(), **{name: 0.0})
    ends = np.array([reach[name] for name in reach], dtype=float).reshape(len(members), 2)
    columns = {}
    for field in Inputs._fields:
        columns[field] = np.full(ends.shape, float(getattr(base, field)))
        for row, some in enumerate(members.values()):
            if field in some:
                columns[field][row] = ends[row]
    moved = Inputs(**columns)
    _check(moved)
    found = np.broadcast_to(answer(moved), ends.shape)
    swings = [Swing(name, *map(float, ends[i]), *map(float, found[i])) for i, name in enumerate(members)]
    return tuple(sorted(swings, key=lambda s: -s.size))


def default_reach() -> dict[str, tuple[float, float]]:
    """Low and high of every row of tco_facts.toml that has them, lives together."""
    rows = {name: row for name, row in tco_facts().items() if row.low < row.high}
    grouped = {name for some in TOGETHER.values() for name in some}
    found = {name: (row.low, row.high) for name, row in rows.items() if name not in grouped}
    for name, some in TOGETHER.items():
        found[name] = (max(rows[n].low for n in some), min(rows[n].high for n in some))
    return found


def _check(found: Inputs) -> None:
    for name, value in found._asdict().items():
        array = np.asarray(value, dtype=float)
        if not np.isfinite(array).all() or (array < 0).any():
            raise InputError(f"{name} is {value}; expected numbers of 0 or more")
        if name in POSITIVE and (array == 0).any():
            raise InputError(f"{name} is {value}; expected numbers above 0")
        if name in SHARES and (array > 1).any():
            raise InputError(f"{name} is {value}; expected a share from 0 to 1")
    if np.any(np.asarray(found.pue) < 1):
        raise InputError(f"pue is {found.pue}; expected 1 or more: it counts the IT's own power, too")
    if np.any(np.asarray(found.spares) >= 1):
        raise InputError(f"spares is {found.spares}; expected a share below 1: else nothing is left to use")
    for parts, whole in (
        (("accelerator_share", "processor_share"), "rack_price"),
        (("mechanical_electrical_share", "building_share"), "facility_price"),
    ):
        if np.any(sum(np.asarray(getattr(found, part)) for part in parts) > 1 + 1e-12):
            raise InputError(f"{' and '.join(parts)} are more than all of {whole} together")

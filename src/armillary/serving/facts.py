"""`Fact`: a number with its unit and where it is from, and the tables of them of this room."""

from __future__ import annotations

import tomllib
from functools import lru_cache
from importlib import resources
from typing import NamedTuple

KINDS = ("published", "measured", "fitted", "assumed")


class Fact(NamedTuple):
    """A row. value : in `unit`. kind : one of `KINDS`. source : who said so, of `date`."""

    value: float
    unit: str
    kind: str
    source: str
    date: str


@lru_cache(maxsize=4)
def facts(table: str) -> dict[str, Fact]:
    """Read a table of facts of this room, ``demand_facts`` or ``agent_facts``, by name of the row."""
    text = resources.files("armillary.serving").joinpath(f"{table}.toml").read_text(encoding="utf-8")
    return {name: Fact(**{**row, "value": float(row["value"])}) for name, row in tomllib.loads(text).items()}

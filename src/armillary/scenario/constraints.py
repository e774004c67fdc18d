"""Constraints of the search for a layout, as a scenario writes them. Imports training's layouts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from armillary.errors import did_you_mean
from armillary.scenario.yaml_source import Path, Problem
from armillary.training import Options
from armillary.training.layout import CONTEXT_EXCHANGES, ORDERS, RECOMPUTE, SCHEDULES

NAMED = {"recompute": RECOMPUTE, "schedule": SCHEDULES, "order": ORDERS, "cp_exchange": CONTEXT_EXCHANGES}
"""Choices that have names."""
KNOWN = (*(name for name in Options._fields if name != "sharding"), "zero")
"""What can be constrained; `zero` stands for `sharding`, whose reach the search chooses."""


def constraints(place: Path, stated: Mapping[str, Any]) -> tuple[dict[str, list[Any]], list[Problem]]:
    """Values allowed for fields of the search, names turned into their indices; and what is wrong.

    Parameters
    ----------
    place : path of `stated` in the file
    stated : by field, one value or a list of those allowed
    """
    fixed: dict[str, list[Any]] = {}
    problems: list[Problem] = []
    for name, value in stated.items():
        where = (*place, name)
        if name not in KNOWN:
            problems.append(
                Problem(
                    where,
                    f"cannot constrain {name!r}{did_you_mean(name, KNOWN)}",
                    f"known: {', '.join(KNOWN)}",
                )
            )
            continue
        values = value if isinstance(value, list) else [value]
        if not values:
            problems.append(Problem(where, "allows nothing", "give at least one value"))
        wrong = [Problem(where, words) for v in values if (words := _refusal(name, v))]
        problems += wrong
        if wrong or not values:
            continue
        if name == "zero":
            fixed["sharding"] = [(level, reach) for level in values for reach in ("all", "domain")]
        elif name in NAMED:
            fixed[name] = [NAMED[name].index(v) for v in values]
        elif _bounds(name)[2] is float:
            fixed[name] = [float(v) for v in values]
        else:
            fixed[name] = values
    return fixed, problems


def _bounds(name: str) -> tuple[float, float, type, str]:
    """Lowest and highest value of a field, its type, and what it counts."""
    if name == "optimizer_bytes":
        return 2, 16, float, "from 2 to 16 bytes a parameter"
    if name.startswith("offload"):
        return 0, 1, float, "a share from 0 to 1"
    low, high = {"zero": (0, 3), "overlap_ep": (0, 1)}.get(name, (1, 1_000_000))
    return low, high, int, f"a whole number from {low} to {high:,}"


def _refusal(name: str, value: Any) -> str:
    """Why a value is not allowed, empty where it is."""
    if name in NAMED:
        known = NAMED[name]
        return "" if value in known else f"must be one of {', '.join(known)}, got {value!r}"
    low, high, kind, words = _bounds(name)
    right = isinstance(value, int | float if kind is float else int) and not isinstance(value, bool)
    return "" if right and low <= value <= high else f"must be {words}, got {value!r}"

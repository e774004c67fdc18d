"""Read CSV tables of measurements; those that ship with the package stand in `data`."""

from __future__ import annotations

import csv
from collections.abc import Collection, Mapping
from pathlib import Path

from armillary.errors import InputError

SHIPPED = Path(__file__).parent / "data"
RUNS = SHIPPED / "measured_runs.csv"
"""Published training runs, with sources."""
SLICES = SHIPPED / "b200_memory.csv"
"""Peak memory and step time of slices of models on one box, with sources."""

COLUMNS = ("id", "gpu", "num_gpus", "model", "seq_len", "global_batch", "tp", "pp")
"""Columns of a table of runs without which no row can be evaluated."""


def read_table(path: Path = RUNS, columns: Collection[str] = COLUMNS) -> list[dict[str, str]]:
    """Read a CSV table with at least these columns, in any order.

    Raises
    ------
    InputError
        If the file cannot be read, is not UTF-8 or lacks a needed column; the message names it.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            table = csv.DictReader(file)
            rows = [{k: v or "" for k, v in row.items() if k} for row in table]
            found = table.fieldnames or []
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: is not a UTF-8 CSV file: {error}") from None
    missing = [c for c in columns if c not in found]
    if missing:
        raise InputError(f"{path}:1: missing columns {', '.join(missing)}; needed are {', '.join(columns)}")
    return rows


class Cells:
    """The cells of one row as text and numbers; what is taken by default is listed in `assumed`."""

    def __init__(self, row: Mapping[str, str]) -> None:
        self.row = row
        self.assumed: list[str] = []

    def text(self, name: str) -> str:
        """Text of a cell; empty where the column is not there."""
        return (self.row.get(name) or "").strip()

    def number(self, name: str, default: float | None = None, why: str = "") -> float:
        """Number of a cell, or the default where it is empty.

        Raises
        ------
        InputError
            If it is not a number of a sensible size, or is empty without a default.
        """
        raw = self.text(name)
        if raw:
            try:
                value = float(raw)
            except ValueError:
                raise InputError(f"column {name}: {raw!r} is not a number") from None
            if not 0 <= value <= 1e15:
                raise InputError(f"column {name}: {raw} is outside what is sensible, 0 to 1e15")
            return value
        if default is None:
            raise InputError(f"column {name} is empty")
        self.assumed.append(f"{name}={default:g}" + (f" ({why})" if why else ""))
        return default

    def whole(self, name: str, default: float | None = None, why: str = "") -> int:
        """Positive whole number of a cell.

        Raises
        ------
        InputError
            If it is none.
        """
        value = self.number(name, default, why)
        if value < 1 or value != int(value):
            raise InputError(f"column {name}: expected a positive whole number, got {value:g}")
        return int(value)

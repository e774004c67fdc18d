"""A mixed-integer programme as sparse arrays, built from blocks of columns and rows. Only numpy."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from armillary.portfolio.calendar import Floats, Integers, sums

HALF = 32
"""Bits of a number of a row, and of a column. [-]"""

Bools = NDArray[np.bool_]


class Matrix(NamedTuple):
    """Minimise `cost @ x` over `lower <= x <= upper`, `row_lower <= A x <= row_upper`.

    A is held by columns: `start`, `row`, `value`. `blocks` and `row_blocks` say where the columns and rows of
    each name are.
    """

    cost: Floats
    lower: Floats
    upper: Floats
    integer: Bools
    row_lower: Floats
    row_upper: Floats
    start: Integers
    row: Integers
    value: Floats
    blocks: dict[str, slice]
    row_blocks: dict[str, slice]

    def like(self, other: Matrix) -> bool:
        """Whether there are entries in the same places; what they are, bounds and costs may differ."""
        same = np.array_equal(self.start, other.start) and np.array_equal(self.row, other.row)
        return same and len(self.row_lower) == len(other.row_lower)

    def times(self, x: Floats) -> Floats:
        """A x."""
        column = np.repeat(np.arange(len(self.cost)), np.diff(self.start))
        return sums(self.row, self.value * x[column], len(self.row_lower))

    def back(self, y: Floats) -> Floats:
        """A' y."""
        sums = np.concatenate([[0.0], np.cumsum(self.value * y[self.row])])
        return np.asarray(sums[self.start[1:]] - sums[self.start[:-1]])

    def part(self, columns: Integers, rows: Bools) -> Matrix:
        """Some columns in some rows, by themselves; `blocks` and `row_blocks` are of the whole."""
        sizes = self.start[columns + 1] - self.start[columns]
        start = np.concatenate([[0], np.cumsum(sizes)])
        entries = np.arange(start[-1]) - np.repeat(start[:-1], sizes) + np.repeat(self.start[columns], sizes)
        number = np.cumsum(rows) - 1
        kept = rows[self.row[entries]]
        row = number[self.row[entries][kept]]
        return self._replace(
            cost=self.cost[columns], lower=self.lower[columns], upper=self.upper[columns],
            integer=self.integer[columns], row_lower=self.row_lower[rows], row_upper=self.row_upper[rows],
            start=np.concatenate([[0], np.cumsum(kept)])[start], row=row, value=self.value[entries][kept],
        )  # fmt: skip

    def emptied(self, out: Bools) -> Bools:
        """Columns that are 0 where some are: rows of at most 0 have nothing left that makes up for them."""
        column = np.repeat(np.arange(len(self.cost)), np.diff(self.start))
        nothing = self.row_upper <= 0
        used = (self.value > 0) & nothing[self.row] & (self.lower[column] >= 0)
        makes = (self.value < 0) & nothing[self.row]
        out = out.copy()
        while True:
            made_up = np.zeros(len(nothing), bool)
            made_up[self.row[makes & ~out[column]]] = True
            more = column[used & ~made_up[self.row] & ~out[column]]
            if not len(more):
                return out
            out[more] = True


class Builder:
    """Collects blocks of columns and rows, and entries between them."""

    def __init__(self) -> None:
        self._columns: list[tuple[Floats, Floats, Bools]] = []
        self._rows: list[tuple[Floats, Floats]] = []
        self._entries: list[tuple[NDArray[np.int32], NDArray[np.int32], Floats]] = []
        self._charges: list[tuple[Integers, Floats]] = []
        self.blocks: dict[str, slice] = {}
        self.row_blocks: dict[str, slice] = {}
        self.width = self.height = 0

    def columns(
        self, name: str, count: int, lower: Any = 0.0, upper: Any = np.inf, integer: bool = False
    ) -> Integers:
        """Add a block of columns; gives their numbers."""
        low, up = (np.broadcast_to(np.asarray(v, float), (count,)) for v in (lower, upper))
        self._columns.append((low, up, np.full(count, integer)))
        return self._number(self.blocks, name, count, rows=False)

    def rows(self, name: str, count: int, lower: Any = -np.inf, upper: Any = np.inf) -> Integers:
        """Add a block of rows; gives their numbers."""
        parts = [np.broadcast_to(np.asarray(v, float), (count,)) for v in (lower, upper)]
        self._rows.append((parts[0], parts[1]))
        return self._number(self.row_blocks, name, count, rows=True)

    def _number(self, blocks: dict[str, slice], name: str, count: int, rows: bool) -> Integers:
        first = self.height if rows else self.width
        blocks[name] = slice(first, first + count)
        if rows:
            self.height += count
        else:
            self.width += count
        return np.arange(first, first + count)

    def put(self, rows: Any, columns: Any, values: Any) -> None:
        """Add entries; those at one place are summed."""
        row, column, value = np.broadcast_arrays(rows, columns, np.asarray(values, float))
        self._entries.append((row.ravel().astype(np.int32), column.ravel().astype(np.int32), value.ravel()))

    def charge(self, columns: Any, cost: Any) -> None:
        """Add to the cost of columns."""
        column, value = np.broadcast_arrays(columns, np.asarray(cost, float))
        self._charges.append((column.ravel(), value.ravel()))

    def build(self) -> Matrix:
        """All blocks as one matrix; it is built once, as entries are given up."""
        lower, upper = (np.concatenate([c[i] for c in self._columns]) for i in (0, 1))
        integer = np.concatenate([c[2] for c in self._columns])
        charged, amount = (np.concatenate([c[i] for c in self._charges]) for i in (0, 1))
        cost = sums(charged, amount, self.width)
        low, up = (np.concatenate([r[i] for r in self._rows]) for i in range(2))
        # By column, then row, in one number: there are millions of them.
        key = np.concatenate([column for _, column, _ in self._entries]).astype(np.int64)
        key <<= HALF
        key |= np.concatenate([row for row, _, _ in self._entries])
        value = np.concatenate([value for _, _, value in self._entries])
        self._entries.clear()
        order = np.argsort(key, kind="stable")
        key, value = key[order], value[order]
        first = np.flatnonzero(np.concatenate([[True], key[1:] != key[:-1]]))
        key, value = key[first], np.add.reduceat(value, first)
        kept = value != 0
        key, value = key[kept], value[kept]
        start = np.searchsorted(key, np.arange(self.width + 1) << HALF)
        key &= (1 << HALF) - 1
        return Matrix(
            cost, lower, upper, integer, low, up, start, key, value,
            self.blocks, self.row_blocks,
        )  # fmt: skip

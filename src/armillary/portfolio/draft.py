"""What the parts of an assembly share: the builder, the arrays, the states, and where costs go.

Only numpy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from armillary.portfolio.arrays import Arrays
from armillary.portfolio.calendar import Floats, Integers
from armillary.portfolio.dominance import needs
from armillary.portfolio.matrix import Bools, Builder
from armillary.portfolio.records import PAY_AS_YOU_GO, Programme
from armillary.portfolio.states import States

CUT = 1e-6
"""By which what is cut off has to cost more than what is known. [-]"""

T = TypeVar("T", bound=np.generic)


def concatenated(
    triplets: Sequence[tuple[Integers, Integers, NDArray[T]]],
) -> tuple[Integers, Integers, NDArray[T]]:
    """Arrays of all triplets, end to end; at least one triplet."""
    first, second, third = zip(*triplets, strict=True)
    return np.concatenate(first), np.concatenate(second), np.concatenate(third)


class Kept(NamedTuple):
    """Which pay-as-you-go pairs and which take-or-pay offers have columns, `[pair]` and `[offer]`."""

    pairs: Bools
    offers: Bools


class Purchases:
    """Take-or-pay units that can be bought: one column for each offer and quarter of start.

    offer, start, end : `[purchase]`, the end excluded. cash : `[purchase, quarter]` what a unit costs when,
    undiscounted.
    """

    def __init__(self, programme: Programme, arrays: Arrays, kept: Bools) -> None:
        quarters = programme.calendar.quarters
        offers, starts, ends, cash = [], [], [], []
        for i, o in enumerate(programme.offers):
            if o.kind in PAY_AS_YOU_GO or not kept[i] or not (arrays.work[:, i] > 0).any():
                continue
            for q in range(quarters) if o.starts is None else o.starts:
                if q >= quarters or arrays.capacity[i, q, 0] <= 0:
                    continue
                end = min(q + o.term, quarters)
                price = np.zeros(quarters)
                price[q:end] = arrays.price[i, q] if o.locked else arrays.price[i, q:end]
                early = o.upfront * price.sum()
                price *= 1 - o.upfront
                price[q] += early
                offers.append(i)
                starts.append(q)
                ends.append(end)
                cash.append(price)
        self.offer = np.array(offers, np.int64)
        self.start = np.array(starts, np.int64)
        self.end = np.array(ends, np.int64)
        self.cash = np.array(cash).reshape(-1, quarters)
        quarter = np.arange(quarters)
        self.active: Bools = (self.start[:, None] <= quarter) & (quarter < self.end[:, None])


class Draft:
    """An assembly under way; costs are kept with their quarter or state until all are known.

    cutoff : plans that cost more may be left out [scaled money].
    """

    def __init__(
        self, programme: Programme, arrays: Arrays, states: States, kept: Kept, cutoff: float = math.inf
    ) -> None:
        self.programme, self.arrays, self.states, self.kept = programme, arrays, states, kept
        self.cutoff = cutoff * (1 + CUT)
        self.builder = Builder()
        self.demand = states.mean(arrays.demand)
        self.needs = needs(arrays)
        self.now: list[tuple[Integers, Integers, Floats]] = []
        self.later: list[tuple[Integers, Integers, Floats, bool]] = []
        self.tags: dict[str, Integers] = {}
        shape = self.demand.shape
        # Work that spreads is served once; clusters set aside may be more than a state asks for.
        most = np.where(arrays.cluster[:, None] > 0, np.inf, self.demand)
        rows = self.builder.rows("demand", most.size, self.demand.ravel(), most.ravel())
        self.demand_rows: Integers = rows.reshape(shape)

    def pay_now(self, quarter: Any, column: Any, cash: Any) -> None:
        """Cost of a first-stage column in a quarter, the same in all futures."""
        t, c, v = np.broadcast_arrays(quarter, column, np.asarray(cash, float))
        self.now.append((t.ravel(), c.ravel(), v.ravel()))

    def pay_later(self, state: Any, column: Any, cash: Any, penalty: bool = False) -> None:
        """Cost of a column in a state; penalties are no cash."""
        s, c, v = np.broadcast_arrays(state, column, np.asarray(cash, float))
        self.later.append((s.ravel(), c.ravel(), v.ravel(), penalty))

    def tag(self, block: str, which: Integers) -> None:
        """Remember what the rows of a block are about, for words and prices."""
        self.tags[block] = which

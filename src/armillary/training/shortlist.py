"""The best layouts that a search has seen: the fastest, and the Pareto front of step time and memory.

A `Bound` says what a layout has to beat to enter; pruning and the choice of a block's candidates both ask it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from armillary.training.layout import Layout

Numeric = Any


class Found(NamedTuple):
    """A layout that fits, not yet taken out of its block. order : of enumeration, which breaks ties."""

    time: float
    memory: float
    order: tuple[int, ...]
    mesh: Layout
    place: tuple[int, ...]
    shape: tuple[int, ...]

    @property
    def layout(self) -> Layout:
        """The layout by itself."""
        return self.mesh.at(self.place, self.shape)


ROOMY_SLOWDOWN = 1.10
"""How much slower than the fastest a layout may be to be named for its headroom. [-]"""


class Bound(NamedTuple):
    """What a layout has to beat.

    last : time of the slowest that is kept by time [s].
    times, least : time and memory of the Pareto front, ascending in time; `least` begins with infinity.
    """

    last: float
    times: NDArray[np.float64]
    least: NDArray[np.float64]

    @classmethod
    def of(cls, time: NDArray[np.float64], memory: NDArray[np.float64], top: int) -> Bound:
        """Bound that layouts of those times and memories set."""
        order, front = pareto_front(time, memory)
        last = float(time[order[top - 1]]) if time.size >= top else np.inf
        return cls(last, time[front], np.concatenate([[np.inf], memory[front]]))

    def excludes(self, time: Numeric, memory: Numeric) -> NDArray[np.bool_]:
        """Where no layout at least that slow and that large can enter a ranking."""
        dominated = self.least[np.searchsorted(self.times, time, side="left")] <= memory
        return np.asarray((time > self.last) & dominated)


def pareto_front(
    time: NDArray[np.float64], memory: NDArray[np.float64]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Positions by time, ties by memory; and those of the Pareto front among them."""
    order = np.lexsort((memory, time))
    lowest = np.minimum.accumulate(memory[order])
    better = np.concatenate([[True], memory[order][1:] < lowest[:-1]])[: order.size]
    return order, order[better]


class Shortlist:
    """The best of what has been seen so far: the `top` fastest, and the Pareto front."""

    def __init__(self, top: int) -> None:
        self.top = top
        self.fastest: list[Found] = []
        self.front: list[Found] = []
        self.bound = Bound(np.inf, np.empty(0), np.array([np.inf]))

    def add(self, found: Sequence[Found]) -> None:
        """Merge more candidates."""
        everything = {item.order: item for item in (*self.fastest, *self.front, *found)}
        items = sorted(everything.values(), key=lambda item: item.order)
        time, memory = np.array([i.time for i in items]), np.array([i.memory for i in items])
        order, front = pareto_front(time, memory)
        self.fastest, self.front = [items[i] for i in order[: self.top]], [items[i] for i in front]
        self.bound = Bound.of(time, memory, self.top)

    @property
    def roomiest(self) -> list[Found]:
        """Of the front, the smallest in memory among those hardly slower than the fastest."""
        limit = self.fastest[0].time * ROOMY_SLOWDOWN if self.fastest else 0.0
        return [item for item in reversed(self.front) if item.time <= limit][: self.top]

"""Ramps drawn by the hundred thousand: how many blocks are up when, and what held the last one up.

Arrays are `[block, ramp]`: a step's times for all ramps lie side by side.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from armillary.errors import InputError
from armillary.portfolio.deployment import RampSite, Step, in_order
from armillary.portfolio.quarter_dates import Quarters

Floats = NDArray[np.floating[Any]]
LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
CHUNK = 8192
"""Ramps drawn together: bounds the memory, and the stream of random numbers depends on it. [-]"""


class Critical(NamedTuple):
    """A step on the way to the last block of all.

    share : of the ramps that waited for it [-]. time : mean time that it took where they did [s].
    """

    site: str
    step: str
    share: float
    time: float


class Chance(NamedTuple):
    """Share of the ramps, and its standard error from drawing no more of them. [-]"""

    share: float
    error: float


class Ramps(NamedTuple):
    """What was drawn.

    sites : in the order of the axes. quarters : of which the ends count.
    ready : `[ramp, site]` when its last block is up [s]. up : `[ramp, site, quarter]` blocks up by its end.
    critical : most frequent first.
    """

    sites: tuple[RampSite, ...]
    quarters: Quarters
    ready: Floats
    up: NDArray[np.int32]
    critical: tuple[Critical, ...]

    @property
    def usable(self) -> NDArray[np.int64]:
        """`[ramp, quarter]` accelerators of whole blocks with their network up, all sites together."""
        return np.asarray(self._sizes().sum(1))

    @property
    def on_one_network(self) -> NDArray[np.int64]:
        """`[ramp, quarter]` the same, of the site that has most: what one training run can have."""
        return np.asarray(self._sizes().max(1))

    def throughout(self, one_network: bool = False) -> NDArray[np.int64]:
        """`[ramp, quarter]` accelerators usable from a quarter's start on: what work can count with in it."""
        by_end = self.on_one_network if one_network else self.usable
        return np.concatenate([np.zeros_like(by_end[:, :1]), by_end[:, :-1]], axis=1)

    def fan(self, levels: Sequence[float] = LEVELS, one_network: bool = False) -> Floats:
        """`[level, quarter]` quantiles of usable accelerators."""
        found = np.quantile(self.on_one_network if one_network else self.usable, levels, axis=0)
        return np.asarray(found, dtype=float)

    def chance_by(self, when: float, accelerators: float | None = None) -> Chance:
        """Chance that all, or so many accelerators, are usable by a time after the origin [s].

        The number is counted at the end of the quarter in which that time lies.
        """
        if accelerators is None:
            done: NDArray[np.bool_] = self.ready.max(1) <= when
        else:
            quarter = int(np.searchsorted(self.quarters.ends, when))
            if quarter >= len(self.quarters.ends):
                raise InputError(f"when is {when} s; the quarters end at {self.quarters.ends[-1]} s")
            done = self.usable[:, quarter] >= accelerators
        share = float(done.mean())
        return Chance(share, float(np.sqrt(share * (1 - share) / len(done))))

    def futures(self, count: int) -> Floats:
        """`[site, quarter, future]` accelerators throughout each quarter in a few equally likely futures.

        They are ramps of evenly spaced rank in when all is up: what a programme of purchases can carry.
        """
        if not 1 <= count <= len(self.ready):
            raise InputError(f"count is {count}; expected 1 to {len(self.ready):,}, the ramps drawn")
        order = np.argsort(self.ready.max(1), kind="stable")
        ranks = ((np.arange(count) + 0.5) * len(order) / count).astype(np.intp)
        by_end = np.moveaxis(self._sizes()[order[ranks]], 0, -1).astype(float)
        return np.concatenate([np.zeros_like(by_end[:, :1]), by_end[:, :-1]], axis=1)

    def _sizes(self) -> NDArray[np.int64]:
        sizes = np.array([site.block_size for site in self.sites], dtype=np.int64)
        return self.up * sizes[:, None]


def simulate_ramps(
    sites: Sequence[RampSite], quarters: Quarters, ramps: int = 100_000, seed: int = 0
) -> Ramps:
    """Draw ramps.

    Parameters
    ----------
    sites : sequence of RampSite
    quarters : Quarters
        From the origin of the steps' times.
    ramps : int
        How many. [-]
    seed : int

    Raises
    ------
    InputError
        If a site or a step of it cannot be (`deployment.in_order`).

    Examples
    --------
    A certain ramp: a building of 100 s, then two blocks in turn of 10 s each.

    >>> from armillary.portfolio.quarter_dates import quarters
    >>> steps = (
    ...     Step("building", 100.0, 100.0),
    ...     Step("racks", 10.0, 10.0, ("building",), each_block=True, in_turn=True),
    ... )
    >>> found = simulate_ramps([RampSite("a", 2, 72, steps)], quarters("2026Q1", 2), ramps=3)
    >>> found.ready.ravel().tolist(), found.usable.tolist()
    ([120.0, 120.0, 120.0], [[144, 144], [144, 144], [144, 144]])
    """
    if ramps < 1 or not sites:
        raise InputError(f"ramps is {ramps} and there are {len(sites)} sites; expected 1 or more of each")
    names = [site.name for site in sites]
    if len(set(names)) < len(names):
        raise InputError(f"two sites have one name; there are {', '.join(names)}")
    ordered = [in_order(site) for site in sites]
    causes = sorted({cause for steps in ordered for step in steps for cause, _ in step.causes})
    keys = [(site.name, step.name) for site, steps in zip(sites, ordered, strict=True) for step in steps]
    seen, spent = np.zeros(len(keys)), np.zeros(len(keys))
    ready: list[Floats] = []
    up: list[NDArray[np.int32]] = []
    for child in np.random.SeedSequence(seed).spawn(-(-ramps // CHUNK)):
        count = min(CHUNK, ramps - CHUNK * len(ready))
        draw = np.random.Generator(np.random.SFC64(child))
        common = {cause: draw.standard_normal(count, dtype=np.float32) for cause in causes}
        runs = [
            _Run(steps, site.blocks, count, common, draw) for site, steps in zip(sites, ordered, strict=True)
        ]
        last = np.stack([run.usable.max(0) for run in runs], axis=1)
        ready.append(last)
        up.append(np.stack([_up(run.usable, quarters) for run in runs], axis=1))
        slowest, at = last.argmax(1), 0
        for number, run in enumerate(runs):
            run.trace(np.flatnonzero(slowest == number), seen[at:], spent[at:])
            at += len(run.steps)
    critical = [
        Critical(*key, float(n / ramps), float(s / n))
        for key, n, s in zip(keys, seen, spent, strict=True)
        if n
    ]
    critical.sort(key=lambda one: (-one.share, -one.time))
    return Ramps(tuple(sites), quarters, np.concatenate(ready), np.concatenate(up), tuple(critical))


def _up(usable: Floats, quarters: Quarters) -> NDArray[np.int32]:
    """`[ramp, quarter]` blocks up by the end of each quarter."""
    columns = [np.count_nonzero(usable <= np.float32(end), axis=0) for end in quarters.ends]
    return np.stack(columns, axis=1).astype(np.int32)


class _Run:
    """One site in some ramps: when its steps begin and end."""

    def __init__(
        self,
        steps: tuple[Step, ...],
        blocks: int,
        count: int,
        common: dict[str, Floats],
        draw: np.random.Generator,
    ) -> None:
        self.steps = steps
        self.index = {step.name: i for i, step in enumerate(steps)}
        self.begins: list[Floats] = []
        self.ends: list[Floats] = []
        self.heads: list[NDArray[np.int32] | None] = []
        """`[block, ramp]` of steps in turn: the block from which on they went without a pause."""
        for step in steps:
            shape = (blocks if step.each_block else 1, count)
            begin = np.full(shape, step.start, dtype=np.float32)
            for name in step.after:
                end = self.ends[self.index[name]]
                np.maximum(begin, end if step.each_block else end.max(0, keepdims=True), out=begin)
            time = _times(step, shape, common, draw)
            head = None
            if step.in_turn:
                head = np.zeros(shape, dtype=np.int32)
                for b in range(1, blocks):
                    free = begin[b - 1] + time[b - 1]
                    waits = free > begin[b]
                    head[b] = np.where(waits, head[b - 1], b)
                    np.maximum(begin[b], free, out=begin[b])
            self.begins.append(begin)
            self.ends.append(begin + time)
            self.heads.append(head)

    @property
    def usable(self) -> Floats:
        """`[block, ramp]` when each is up [s]."""
        return self.ends[-1]

    def trace(self, ramps: NDArray[np.intp], seen: Floats, spent: Floats) -> None:
        """Go back from the last block through what each step waited for; adds ramps and times by step."""
        blocks = self.usable[:, ramps].argmax(0)
        left = {len(self.steps) - 1: (ramps, blocks)}
        for i in range(len(self.steps) - 1, -1, -1):  # a step waits for earlier ones alone
            if i not in left:
                continue
            step, (rows, at) = self.steps[i], left.pop(i)
            end = self.ends[i][at, rows]
            head = self.heads[i]
            at = at if head is None else head[at, rows]
            begin = self.begins[i][at, rows]
            seen[i] += len(rows)
            spent[i] += float((end - begin).sum(dtype=np.float64))
            found = np.full(len(rows), step.start, dtype=np.float32)
            cause = np.full(len(rows), -1)
            where = np.zeros(len(rows), dtype=np.intp)
            for name in step.after:
                j = self.index[name]
                if not self.steps[j].each_block:
                    block = np.zeros(len(rows), dtype=np.intp)
                elif step.each_block:
                    block = at.astype(np.intp)
                else:
                    block = self.ends[j][:, rows].argmax(0)
                ends = self.ends[j][block, rows]
                later = (ends > found) | ((ends == found) & (cause < 0))
                found, cause, where = (
                    np.where(later, new, old) for new, old in ((ends, found), (j, cause), (block, where))
                )
            for j in np.unique(cause[cause >= 0]):
                mine = cause == j
                more = rows[mine], where[mine]
                known = left.get(int(j))
                left[int(j)] = (
                    (np.concatenate((known[0], more[0])), np.concatenate((known[1], more[1])))
                    if known
                    else more
                )


def _times(
    step: Step, shape: tuple[int, int], common: dict[str, Floats], draw: np.random.Generator
) -> Floats:
    """`[block, ramp]` times of a step [s]."""
    if step.spread:
        z = draw.standard_normal(shape, dtype=np.float32)
        if step.causes:
            z *= np.float32(step.own)
            for cause, share in step.causes:
                z += np.float32(share) * common[cause]
        z *= np.float32(step.spread)
        time = np.exp(z, out=z)
        time *= np.float32(step.median)
    else:
        time = np.full(shape, step.median, dtype=np.float32)
    if step.failure:
        # All of n units pass by round k with chance (1 - q^k)^n: the least k for which that exceeds a draw.
        chance = draw.random(shape)
        still = -np.expm1(np.log(np.maximum(chance, np.finfo(float).tiny)) / step.units)
        time *= np.maximum(1.0, np.ceil(np.log(still) / np.log(step.failure))).astype(np.float32)
    return time

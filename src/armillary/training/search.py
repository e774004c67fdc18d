"""Search of the whole space for the best layouts: by step time, by memory headroom, and the Pareto front."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from armillary.errors import InfeasibleError
from armillary.machine import Slice
from armillary.training.calibration import Calibration
from armillary.training.layout import Layout
from armillary.training.space import COHERENT_BANDWIDTH, OFFLOADS, Space, space
from armillary.training.step import Estimate, Job, estimate

ELEMENTS_PER_BLOCK = 120_000
"""Layouts evaluated at once: enough to amortise numpy's calls, few enough to stay in cache."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A layout with its answer."""

    layout: Layout
    estimate: Estimate


@dataclass(frozen=True, slots=True)
class Search:
    """What a search found and what it saw.

    fastest : by step time. roomiest : by memory headroom among layouts at most `ROOMY_SLOWDOWN` slower.
    front : Pareto-optimal in step time and memory, fastest first.
    evaluated : layouts timed; too_large : of those, out of memory.
    invalid : combinations of degrees that cannot run, by reason.
    nearest : of the layouts out of memory, the one that lacks least; None where something fits.
    """

    space: Space
    fastest: tuple[Candidate, ...]
    roomiest: tuple[Candidate, ...]
    front: tuple[Candidate, ...]
    evaluated: int
    too_large: int
    invalid: Mapping[str, int]
    nearest: Candidate | None

    @property
    def best(self) -> Candidate:
        """The fastest layout.

        Raises
        ------
        InfeasibleError
            If no layout fits; the message says what lacks least, and how much.
        """
        if self.fastest:
            return self.fastest[0]
        raise InfeasibleError(self.why_nothing_fits())

    def why_nothing_fits(self) -> str:
        """Say what binds."""
        if self.nearest is None:
            n, batch = self.space.machine.accelerators, int(self.space.job.global_batch)
            if self.space.num_rows == 0 and not self.space.divides_somehow():
                return (
                    f"no layout is valid: {n:,} accelerators and {batch:,} sequences do not divide\n"
                    "  hint: take accelerators with fewer odd factors, e.g. a power of two times the "
                    f"scale-up domain, or a batch that is a multiple of {_odd_part(n)}"
                )
            if self.space.num_rows:
                return f"no layout is valid: {batch:,} sequences divide by no number of data-parallel ranks"
            reasons = sorted(self.invalid.items(), key=lambda item: -item[1])[:3]
            return "no layout is valid: " + "; ".join(
                f"{why} ({count:,} combinations)" for why, count in reasons
            )
        memory, capacity = self.nearest.estimate.memory, self.nearest.estimate.capacity
        parts = {name: float(np.asarray(value)) for name, value in memory._asdict().items()}
        largest = max(parts, key=lambda name: parts[name])
        return (
            f"no layout fits in {capacity / 1e9:.0f} GB: all {self.too_large:,} valid ones need more\n"
            f"  nearest: {self.nearest.layout.describe()} needs {sum(parts.values()) / 1e9:.0f} GB, "
            f"of which {parts[largest] / 1e9:.0f} GB {largest}"
        )


ROOMY_SLOWDOWN = 1.10
"""How much slower than the fastest a layout may be to be named for its headroom. [-]"""


def _odd_part(number: int) -> int:
    return number // (number & -number)


def search(
    job: Job,
    machine: Slice,
    calibration: Calibration,
    fixed: Mapping[str, Sequence[Any]] | None = None,
    top: int = 5,
    progress: Callable[[int, int], None] | None = None,
) -> Search:
    """Evaluate every valid layout and keep the best.

    Parameters
    ----------
    job, machine, calibration
        As in `step.estimate`.
    fixed : mapping, optional
        Hard constraints: values allowed for a field of `space.Options`.
    top : int
        Candidates to keep per ranking. [-]
    progress : callable, optional
        Called with (rows done, rows in all) after each block.

    Notes
    -----
    Where nothing fits and the host link is coherent, the space is searched again with offload.
    """
    answer = _search(job, machine, calibration, fixed, top, progress)
    asked = any(name in OFFLOADS for name in fixed or {})
    if (
        answer.fastest
        or answer.nearest is None
        or asked
        or machine.accelerator.host_bandwidth < COHERENT_BANDWIDTH
    ):
        return answer
    return _search(job, machine, calibration, {**(fixed or {}), **OFFLOADS}, top, progress)


def _search(
    job: Job,
    machine: Slice,
    calibration: Calibration,
    fixed: Mapping[str, Sequence[Any]] | None,
    top: int,
    progress: Callable[[int, int], None] | None,
) -> Search:
    found = space(job, machine, fixed)
    mesh = int(np.prod(found.mesh_shape)) or 1
    rows_per_block = max(1, ELEMENTS_PER_BLOCK // mesh)
    keep = _Shortlist(top)
    evaluated = too_large = done = 0
    for layout, valid in found.blocks(rows_per_block):
        rows = valid.shape[0]
        done += rows
        if not valid.any():
            continue
        answer = estimate(job, machine, layout, calibration)
        shape = np.broadcast_shapes(np.shape(answer.time.total), np.shape(answer.memory_total), valid.shape)
        time = np.where(valid, np.broadcast_to(answer.time.total, shape), np.inf)
        memory = np.broadcast_to(answer.memory_total, shape)
        fits = valid & (memory <= answer.capacity)
        evaluated += int(np.count_nonzero(valid))
        too_large += int(np.count_nonzero(valid & ~fits))
        keep.add(layout, shape, time, memory, fits, valid)
        if progress is not None:
            progress(done, found.num_rows)

    def candidate(layout: Layout) -> Candidate:
        return Candidate(layout, estimate(job, machine, layout, calibration))

    fastest, roomiest, front = keep.ranked()
    return Search(
        space=found,
        fastest=tuple(candidate(x) for x in fastest),
        roomiest=tuple(candidate(x) for x in roomiest),
        front=tuple(candidate(x) for x in front),
        evaluated=evaluated,
        too_large=too_large,
        invalid=found.invalid,
        nearest=candidate(keep.nearest) if not fastest and keep.nearest is not None else None,
    )


class _Found(NamedTuple):
    """A layout of a mesh, not yet taken out of it."""

    time: float
    memory: float
    mesh: Layout
    position: tuple[int, ...]
    shape: tuple[int, ...]

    @property
    def single(self) -> Layout:
        """The layout by itself."""
        return self.mesh.at(self.position, self.shape)


class _Shortlist:
    """The best of what has been seen so far, block by block."""

    def __init__(self, top: int) -> None:
        self.top = top
        self.seen: list[_Found] = []
        self.nearest: Layout | None = None
        self._nearest_bytes = np.inf

    def add(
        self,
        layout: Layout,
        shape: tuple[int, ...],
        time: NDArray[np.float64],
        memory: NDArray[np.float64],
        fits: NDArray[np.bool_],
        valid: NDArray[np.bool_],
    ) -> None:
        """Take a block's fastest layouts and its Pareto front."""
        flat_time, flat_memory = np.where(fits, time, np.inf).ravel(), memory.ravel()
        chosen = np.flatnonzero(np.isfinite(flat_time))
        if chosen.size == 0:
            lacking = np.where(valid, memory, np.inf).ravel()
            least = int(np.argmin(lacking))
            if not self.seen and lacking[least] < self._nearest_bytes:
                self._nearest_bytes = float(lacking[least])
                self.nearest = layout.at(tuple(int(i) for i in np.unravel_index(least, shape)), shape)
            return
        order = chosen[np.lexsort((flat_memory[chosen], flat_time[chosen]))]
        lowest = np.minimum.accumulate(flat_memory[order])
        front = order[np.concatenate([[True], flat_memory[order][1:] < lowest[:-1]])]
        for flat in dict.fromkeys([*order[: self.top].tolist(), *front.tolist()]):
            index = tuple(int(i) for i in np.unravel_index(flat, shape))
            self.seen.append(_Found(float(flat_time[flat]), float(flat_memory[flat]), layout, index, shape))
        if len(self.seen) > 2000:
            self._prune()

    def _prune(self) -> None:
        fastest, roomiest, front = self._split()
        self.seen = list({id(item): item for item in (*fastest, *roomiest, *front)}.values())

    def _split(self) -> tuple[list[_Found], list[_Found], list[_Found]]:
        by_time = sorted(self.seen, key=lambda item: (item.time, item.memory))
        if not by_time:
            return [], [], []
        limit = by_time[0].time * ROOMY_SLOWDOWN
        roomy = sorted((s for s in by_time if s.time <= limit), key=lambda item: item.memory)
        front: list[_Found] = []
        least = np.inf
        for item in by_time:
            if item.memory < least:
                front.append(item)
                least = item.memory
        return by_time[: self.top], roomy[: self.top], front

    def ranked(self) -> tuple[list[Layout], list[Layout], list[Layout]]:
        """Fastest, roomiest, Pareto front."""
        fastest, roomiest, front = self._split()
        return [x.single for x in fastest], [x.single for x in roomiest], [x.single for x in front]

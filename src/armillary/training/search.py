"""Search of the whole space for the best layouts: by step time, by memory headroom, and the Pareto front.

Each quantity is worked out once for the fields that it depends on (`parts.micro_batch`, `parts.stage_cost`,
`parts.stage_activations`), taken to the rows of a block, and only the last sums see every layout.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from armillary.errors import InfeasibleError
from armillary.machine import Slice
from armillary.training.calibration import Calibration
from armillary.training.job import Job
from armillary.training.layout import Layout
from armillary.training.memory import NO_STATE
from armillary.training.parts import (
    StageCost,
    activation_offload,
    exposed_exchange,
    micro_batch,
    pipeline,
    stage_activations,
    stage_cost,
    stage_transfer,
    straggling,
)
from armillary.training.passes import Durations
from armillary.training.shortlist import Bound, Found, Shortlist, pareto_front
from armillary.training.space import COHERENT_BANDWIDTH, OFFLOADS, POLICIES, Block, Rows, Space, space
from armillary.training.step import Estimate, estimate

Numeric = Any

SHARDING = POLICIES.index("sharding")
"""Axis of a block's arrays `[*policies, row]`."""

COMBINATIONS_PER_BLOCK = 2_400_000
"""Of degrees, choices and policies, an eighth of them valid: enough to amortise numpy's calls. [-]"""
BLOCKS_PER_WAVE = 8
"""Blocks worked on before what they found is put together; a constant, so that what pruning sees does not
depend on the number of threads. [-]"""
WORTH_PRUNING = 20_000_000
"""Combinations from which a search prunes unless told; smaller spaces are soon seen whole. [-]"""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A layout with its answer."""

    layout: Layout
    estimate: Estimate


@dataclass(frozen=True, slots=True)
class Search:
    """What a search found and what it saw.

    fastest : by step time. front : Pareto-optimal in step time and memory, fastest first.
    roomiest : of the front, by memory headroom, those at most `ROOMY_SLOWDOWN` slower than the fastest.
    evaluated : valid layouts timed; too_large : of those, out of memory.
    pruned : valid layouts that a bound on time and memory ruled out, untimed.
    invalid : combinations of degrees that cannot run, by reason.
    nearest : of the layouts out of memory, the one that lacks least; None where something fits.
    unseen : share of the space that an interrupt left unseen, 0 to 1.
    """

    space: Space
    fastest: tuple[Candidate, ...]
    roomiest: tuple[Candidate, ...]
    front: tuple[Candidate, ...]
    evaluated: int
    too_large: int
    pruned: int
    invalid: Mapping[str, int]
    nearest: Candidate | None
    unseen: float = 0.0

    @property
    def valid(self) -> int:
        """Valid layouts seen: timed, or ruled out by a bound [-]."""
        return self.evaluated + self.pruned

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
            if self.space.num_degrees == 0 and not self.space.divides_somehow():
                odd = _odd_part(n)
                cure = (
                    "take accelerators with fewer odd factors, e.g. a power of two times the scale-up "
                    f"domain, or a batch that is a multiple of {odd}"
                    if odd > 1
                    else "take a batch that is a multiple of a larger power of two"
                )
                return (
                    f"no layout is valid: {n:,} accelerators and {batch:,} sequences do not divide\n"
                    f"  hint: {cure}"
                )
            if self.space.num_degrees:
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


def _odd_part(number: int) -> int:
    return number // (number & -number)


def search(
    job: Job,
    machine: Slice,
    calibration: Calibration,
    fixed: Mapping[str, Sequence[Any]] | None = None,
    top: int = 5,
    progress: Callable[[int, int], None] | None = None,
    prune: bool | None = None,
    threads: int | None = None,
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
        Called with (combinations of degrees done, in all) after each wave of blocks.
    prune : bool, optional
        Whether to skip layouts that a lower bound of time and memory rules out, which changes no ranking;
        by default in spaces of more than `WORTH_PRUNING` combinations.
    threads : int, optional
        By default one for each processor; the answer does not depend on it. [-]

    Notes
    -----
    Where nothing fits and the host link is coherent, the space is searched again with offload. An interrupt
    (Ctrl-C) ends the search with the best so far; `Search.unseen` says how much was left.
    """

    def run(constraints: Mapping[str, Sequence[Any]] | None) -> Search:
        found = space(job, machine, constraints)
        pruning = found.size > WORTH_PRUNING if prune is None else prune
        return _Run(found, calibration, top, pruning).through(threads or os.cpu_count() or 1, progress)

    answer = run(fixed)
    asked = any(name in OFFLOADS for name in fixed or {})
    coherent = machine.accelerator.host_bandwidth >= COHERENT_BANDWIDTH
    if answer.fastest or answer.nearest is None or answer.unseen or asked or not coherent:
        return answer
    return run({**(fixed or {}), **OFFLOADS})


class _Outcome(NamedTuple):
    """What a block gave: its candidates, its layout that lacks least memory, and counts."""

    found: list[Found]
    nearest: Found | None
    evaluated: int
    too_large: int
    pruned: int


class _Parts(NamedTuple):
    """What the time and memory of a block's layouts are summed from; arrays `[*policies, row]`.

    floor : of a step without exchange and update [s]. update : of weights, state in host memory included [s].
    mean : a micro-batch on a mean stage [s]. room : share of it that hides an exchange [-].
    times : exchanges in a step [-]. used : by micro-batches on first and last stage [byte].
    held : by weights, their optimizer and the runtime on both [byte]. sharded : as in `Block`.
    """

    floor: Numeric
    update: Numeric
    mean: Durations
    room: Numeric
    cost: StageCost
    times: Numeric
    used: tuple[Numeric, Numeric]
    held: tuple[Numeric, Numeric]
    sharded: NDArray[np.bool_]


class _Run:
    """One pass over a space."""

    def __init__(self, found: Space, calibration: Calibration, top: int, pruning: bool) -> None:
        self.space, self.calibration, self.top, self.pruning = found, calibration, top, pruning
        self.capacity = found.machine.accelerator.memory_capacity
        self.waiting = 1 + straggling(found.machine.accelerators, calibration.software)
        lengths = {name: len(getattr(found.options, name)) for name in POLICIES}
        self.other_policies = int(np.prod([n for name, n in lengths.items() if name != "sharding"]))
        self.shortlist = Shortlist(top)
        # A layer's time depends on few of the degrees: it is worked out once for each way to split it.
        split = np.stack([found.degrees[name] for name in ("tp", "cp", "ep", "etp")])
        (tp, cp, ep, etp), index = np.unique(split, axis=1, return_inverse=True)
        self.split_of = index.reshape(-1)
        mesh = found.open_mesh({"tp": tp, "cp": cp, "ep": ep, "etp": etp, "dp": np.ones_like(tp)})
        self.micro = micro_batch(found.job, found.machine, mesh, calibration).durations

    def through(self, threads: int, progress: Callable[[int, int], None] | None) -> Search:
        """Work through the space, wave by wave."""
        total, done = self.space.num_degrees, 0
        combinations = self.space.size // total if total else 1
        blocks = self.space.blocks(max(1, COMBINATIONS_PER_BLOCK // combinations))
        outcomes: list[_Outcome] = []
        try:
            with ThreadPoolExecutor(threads) as pool:
                while wave := list(islice(blocks, BLOCKS_PER_WAVE)):
                    new = list(pool.map(self.block, wave))
                    self.shortlist.add([item for outcome in new for item in outcome.found])
                    outcomes += [outcome._replace(found=[]) for outcome in new]
                    done = wave[-1].stop
                    if progress is not None:
                        progress(done, total)
        except KeyboardInterrupt:
            if not done:
                raise
        lacking = [outcome.nearest for outcome in outcomes if outcome.nearest is not None]
        nearest = min(lacking, key=lambda item: item.memory) if lacking else None
        short = self.shortlist
        named = {item.order: item.layout for item in (*short.fastest, *short.front)}
        if nearest is not None and not named:
            named[nearest.order] = nearest.layout
        candidates = dict(zip(named, self._candidates(list(named.values())), strict=True))
        return Search(
            space=self.space,
            fastest=tuple(candidates[item.order] for item in short.fastest),
            roomiest=tuple(candidates[item.order] for item in short.roomiest),
            front=tuple(candidates[item.order] for item in short.front),
            evaluated=sum(outcome.evaluated for outcome in outcomes),
            too_large=sum(outcome.too_large for outcome in outcomes),
            pruned=sum(outcome.pruned for outcome in outcomes),
            invalid=self.space.invalid,
            nearest=None if nearest is None else candidates.get(nearest.order),
            unseen=1 - done / total if total else 0.0,
        )

    def _candidates(self, layouts: Sequence[Layout]) -> list[Candidate]:
        """Work layouts out in full, all at once."""
        if not layouts:
            return []
        together = Layout(*(np.array(values) for values in zip(*layouts, strict=True)))
        answer = estimate(self.space.job, self.space.machine, together, self.calibration)
        each = _each(lambda values: np.broadcast_to(values, (len(layouts),)).tolist(), answer)
        return [Candidate(layout, _each_at(i, each)) for i, layout in enumerate(layouts)]

    def block(self, part: slice) -> _Outcome:
        """Time the layouts of a part of the space."""
        block = self.space.block(part)
        rows = np.arange(len(block.rows))
        if not rows.size:
            return _Outcome([], None, 0, 0, 0)
        parts = self._parts(block)
        valid = self._count(parts.sharded)
        if self.pruning and self.shortlist.fastest:
            rows = np.flatnonzero(self._hopeful(parts))
            parts = _each(lambda values: values[..., rows] if np.shape(values)[-1:] > (1,) else values, parts)
            if not rows.size:
                return _Outcome([], None, 0, 0, valid)
        evaluated = self._count(parts.sharded)
        exposed = exposed_exchange(parts.cost, parts.mean, parts.room, self.calibration.software.contention)
        once = np.where(parts.sharded, parts.times * parts.cost.tail + parts.update, np.inf)
        policies = block.valid.shape[:-1]
        shape = (*policies, rows.size)
        time = (parts.floor + parts.times * exposed + once) * self.waiting
        memory = np.broadcast_to(_larger(parts.used, parts.held), shape)
        time = np.where(memory <= self.capacity, np.broadcast_to(time, shape), np.inf)
        fitting = int(np.count_nonzero(time < np.inf))

        def single(flat: int) -> Found:
            *policy, row = (int(i) for i in np.unravel_index(flat, shape))
            place, whole = (*policy, int(rows[row])), (*policies, len(block.rows))
            order = (part.start, place[-1], *policy)
            return Found(float(time.flat[flat]), float(memory.flat[flat]), order, block.layout, place, whole)

        nearest = None
        if not fitting and not self.shortlist.fastest:
            nearest = single(int(np.argmin(np.where(parts.sharded, memory, np.inf))))
        chosen = [single(int(i)) for i in self._promising(time, memory)] if fitting else []
        return _Outcome(chosen, nearest, evaluated, evaluated - fitting, valid - evaluated)

    def _parts(self, block: Block) -> _Parts:
        """Take what a block's layouts are summed from to its rows."""
        job, machine, software = self.space.job, self.space.machine, self.calibration.software
        mesh, layout, rows = block.mesh, block.layout, block.rows
        splits = Rows((*rows.index[:-1], self.split_of[block.degrees][rows.index[-1]]))
        transfer = rows.take(stage_transfer(job, machine, mesh, self.calibration))
        pipe = pipeline(job, layout, _each(splits.take, self.micro), transfer)
        cost = stage_cost(job, machine, mesh, self.calibration)
        held = tuple(rows.take(state.total + software.memory_fixed) for state in (cost.first, cost.last))
        used = tuple(rows.take(stage.total) for stage in stage_activations(job, mesh, software))
        cost = _each(rows.take, cost._replace(first=NO_STATE, last=NO_STATE))
        sharded = np.broadcast_to(block.sharded, (*block.sharded.shape[:-1], len(rows)))
        return _Parts(
            floor=pipe.total,
            update=cost.optimizer + cost.offload + activation_offload(job, machine, layout, pipe),
            mean=pipe.mean,
            room=software.data_overlap * layout.overlap_dp,
            cost=cost,
            times=np.where(cost.every_micro_batch, pipe.micro_batches, 1.0),
            used=(used[0], used[1]),
            held=(held[0], held[1]),
            sharded=sharded,
        )

    def _hopeful(self, parts: _Parts) -> NDArray[np.bool_]:
        """Rows that a bound does not rule out: no exchange, and the least memory of any sharding."""
        quickest = (parts.floor + _least(parts.update)) * self.waiting
        smallest = _larger(parts.used, tuple(_least(state) for state in parts.held))
        time, memory = np.broadcast_arrays(quickest, smallest)
        hopeless = self.shortlist.bound.excludes(time, memory) | (memory > self.capacity)
        return np.asarray(~hopeless.reshape(-1, hopeless.shape[-1]).all(axis=0))

    def _promising(self, time: NDArray[np.float64], memory: NDArray[np.float64]) -> NDArray[np.intp]:
        """Flat positions of layouts that may enter a ranking: few, and never one too few."""
        rows = time.shape[-1]
        t, m = time.reshape(-1, rows), memory.reshape(-1, rows)
        best = np.argmin(t, axis=0), np.arange(rows)
        kept = {item.order: item for item in self.shortlist.fastest + self.shortlist.front}.values()
        bound = Bound.of(
            np.concatenate([t[best], [item.time for item in kept]]),
            np.concatenate([m[best], [item.memory for item in kept]]),
            self.top,
        )
        hopeful = np.flatnonzero(~bound.excludes(t[best], m.min(axis=0)) & (t[best] < np.inf))
        flat = (np.arange(t.shape[0])[:, None] * rows + hopeful).ravel()
        some_t, some_m = t.ravel()[flat], m.ravel()[flat]
        flat = flat[~bound.excludes(some_t, some_m) & (some_t < np.inf)]
        order, front = pareto_front(t.ravel()[flat], m.ravel()[flat])
        return np.asarray(flat[np.unique(np.concatenate([order[: self.top], front]))])

    def _count(self, sharded: NDArray[np.bool_]) -> int:
        """Layouts behind a mask of sharding and rows [-]."""
        return int(np.count_nonzero(sharded)) * self.other_policies


def _larger(used: tuple[Numeric, ...], held: tuple[Numeric, ...]) -> Numeric:
    """Memory of the fuller of first and last stage [byte]."""
    return np.maximum(used[0] + held[0], used[1] + held[1])


def _least(values: Numeric) -> Numeric:
    """Least over the ways of sharding."""
    return np.min(values, axis=SHARDING, keepdims=True)


def _each_at(index: int, tree: Any) -> Any:
    """Entry `index` of every list of nested tuples."""
    return _each(lambda values: values[index], tree)


def _each(f: Callable[[Numeric], Numeric], tree: Any) -> Any:
    """`f` on every array of nested tuples."""
    if not isinstance(tree, tuple):
        return f(tree)
    parts = [_each(f, part) for part in tree]
    return type(tree)(*parts) if hasattr(tree, "_fields") else tuple(parts)

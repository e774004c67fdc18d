"""Runs of any length: requests come in batches, memory is bounded by those in flight, runs can be resumed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from armillary.errors import InputError
from armillary.serving.deployment import Outage, Pool
from armillary.serving.outcome import Counts, Histogram, Replicas, counted
from armillary.serving.requests import Requests, checked_requests
from armillary.serving.simulator import replica_report

__all__ = ["Extent", "StreamOutcome", "simulate_stream"]


class Extent(NamedTuple):
    """What all batches of a stream together name, as it must be known before the first.

    models, regions, priorities : how many; they are numbered from 0.
    block_size : tokens of a prefix block, 0 for prompts without blocks [token].
    widest : blocks of the longest prompt.
    """

    models: int = 1
    regions: int = 1
    priorities: int = 1
    block_size: int = 0
    widest: int = 0


class StreamOutcome(NamedTuple):
    """What a simulation of a stream found.

    ttft, tpot, e2e : Histogram of completed requests. counts : Counts. replicas : Replicas.
    """

    ttft: Histogram
    tpot: Histogram
    e2e: Histogram
    counts: Counts
    replicas: Replicas


def simulate_stream(
    batches: Iterable[Requests],
    pools: Pool | Sequence[Pool],
    *,
    extent: Extent | None = None,
    routing: str = "round_robin",
    seed: int = 0,
    retries: int = 3,
    guard: float = 8.0,
    host_tokens: float = 0.0,
    host_transfer: float = 0.0,
    region_latency: ArrayLike | None = None,
    outages: Sequence[Outage] = (),
    ttft_limit: float = np.inf,
    tpot_limit: float = np.inf,
    e2e_limit: float = np.inf,
    state_file: str | Path | None = None,
    save_every: int = 16,
    progress: Callable[[int, float], None] | None = None,
) -> StreamOutcome:
    """Run batches of requests through a fleet, keeping histograms only.

    Parameters
    ----------
    batches : iterable of Requests
        Each begins no earlier than the one before ends. Made anew for a resumed run, they must be the same:
        those that were done are skipped.
    pools : Pool or sequence of Pool
    extent : Extent, optional
        One model, region and priority and no blocks by default.
    routing, seed, retries, guard, host_tokens, host_transfer, region_latency, outages,
    ttft_limit, tpot_limit, e2e_limit
        As in `simulate`, but for ``"given"`` routing.
    state_file : path, optional
        Where the run is written, whole or not at all, after each `save_every` batches and at the end. If the
        file is there, the run goes on from it, and ends with the same bytes as one that was never stopped.
    save_every : int
        Batches. [-]
    progress : callable, optional
        Called after each batch with requests that have come in and the time of the simulation. [s]

    Returns
    -------
    StreamOutcome

    Raises
    ------
    InputError
        As `simulate`; also if a batch begins before the one before ends or names more than `extent`.
    """
    from armillary.serving import state as states

    if routing == "given":
        raise InputError("routing of a stream must be another than 'given'; use simulate")
    if save_every < 1:
        raise InputError(f"save_every must be 1 or more. Got {save_every!r} instead.")
    extent = extent or Extent()
    path = None if state_file is None else Path(state_file)
    options = states.Options(
        routing=routing,
        seed=seed,
        retries=retries,
        guard=guard,
        block=extent.block_size,
        widest=extent.widest,
        host_tokens=host_tokens,
        host_transfer=host_transfer,
        models=extent.models,
        regions=extent.regions,
        levels=extent.priorities,
        region_latency=region_latency,
        outages=tuple(outages),
        ttft_limit=ttft_limit,
        tpot_limit=tpot_limit,
        e2e_limit=e2e_limit,
        histograms=True,
    )
    state = states.initial([pools] if isinstance(pools, Pool) else list(pools), options)
    if path is not None and path.exists():
        fleet, state = state, states.load(path)
        if not states.same_fleet(fleet, state):
            raise InputError(f"{path} is the state of another fleet or of other options; remove it")
    if not state.over["finished"][0]:
        state = _run(batches, state, extent, path, save_every, progress)
    ttft, tpot, e2e = (Histogram(row) for row in state.bins)
    counts = counted(state.tally, state.over)
    return StreamOutcome(ttft, tpot, e2e, counts, replica_report(state))


def _run(
    batches: Iterable[Requests],
    state: Any,
    extent: Extent,
    path: Path | None,
    save_every: int,
    progress: Callable[[int, float], None] | None,
) -> Any:
    """Take in the batches that are not done, and let all requests end."""
    from armillary.serving import state as states

    done, skip, end = 0, int(state.over["batches"][0]), 0.0
    for batch in batches:
        requests = _checked(batch, extent, done, end)
        arrival = np.asarray(requests.arrival)
        end = float(arrival[-1]) if len(arrival) else end
        done += 1
        if done <= skip:
            continue
        state = states.advance(state, requests, last=False)
        state.over["batches"] = done
        if progress is not None:
            progress(int(state.over["seen"][0]), float(state.over["now"][0]))
        if path is not None and done % save_every == 0:
            states.save(state, path)
    state = states.advance(state, checked_requests(Requests(*np.zeros((3, 0)))), last=True)
    state.over["finished"] = 1
    if path is not None:
        states.save(state, path)
    return state


def _checked(batch: Requests, extent: Extent, number: int, end: float) -> Requests:
    requests = checked_requests(batch)
    arrival: Any = requests.arrival
    if len(arrival) and arrival[0] < end:
        raise InputError(f"batch {number} begins at {arrival[0]} s, before the one before ends, {end} s")
    limits = (("model", extent.models), ("region", extent.regions), ("priority", extent.priorities))
    for name, most in limits:
        part = getattr(requests, name)
        if part is not None and len(part) and not (part.min() >= 0 and part.max() < most):
            raise InputError(f"{name} of batch {number} must be 0 to {most - 1}, as extent says")
    blocked = requests.block_offsets is not None
    if blocked != (extent.block_size > 0) or (blocked and requests.block_size != extent.block_size):
        raise InputError(f"block_size of batch {number} is not that of extent, {extent.block_size}")
    if blocked and np.diff(np.asarray(requests.block_offsets)).max(initial=0) > extent.widest:
        raise InputError(f"a prompt of batch {number} has more blocks than extent says, {extent.widest}")
    return requests

"""A fleet as many alike cells, each a router with its replicas: a sample of them tells what all do.

Cells do not know of each other, so that they are run apart, in as many processes as the caller's map has.
Between cells lies the uncertainty of the sample: intervals are Student's t over the sampled cells.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from math import exp, lgamma, pi, sqrt
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from armillary.errors import InputError
from armillary.serving.deployment import Pool
from armillary.serving.outcome import Counts, Histogram
from armillary.serving.requests import Requests
from armillary.serving.streaming import Extent, StreamOutcome, simulate_stream

__all__ = ["Estimate", "FleetOutcome", "LognormalTraffic", "diurnal", "simulate_cells", "student_t"]

Map = Callable[[Callable[[int], StreamOutcome], Iterable[int]], Iterable[StreamOutcome]]


class LognormalTraffic(NamedTuple):
    """Poisson arrivals at a rate that changes, with lognormal lengths, for each cell its own.

    rate : `[window]` of one cell [1/s]. window : how long each rate lasts [s].
    input, output : mean [token] and standard deviation of the logarithm [-]. most : longest prompt or
    answer [token]. seed : of all cells.
    """

    rate: tuple[float, ...]
    window: float
    input: tuple[float, float]
    output: tuple[float, float]
    most: int = 16_000
    seed: int = 0

    def __call__(self, cell: int) -> Iterator[Requests]:
        """Batches of a cell, one a window."""
        rng = np.random.default_rng([self.seed, cell])
        for i, rate in enumerate(self.rate):
            n = int(rng.poisson(rate * self.window))
            arrival = (i + np.sort(rng.random(n))) * self.window
            yield Requests(arrival, *(self._lengths(rng, n, *x) for x in (self.input, self.output)))

    def _lengths(self, rng: np.random.Generator, n: int, mean: float, sigma: float) -> Any:
        drawn = rng.lognormal(np.log(mean) - 0.5 * sigma**2, sigma, n)
        return np.clip(np.rint(drawn), 1, self.most).astype(np.int64)


class Estimate(NamedTuple):
    """A value with its confidence interval."""

    value: float
    low: float
    high: float


class FleetOutcome(NamedTuple):
    """What a sample of cells found.

    cells : of the fleet. sampled : StreamOutcome of each cell that was run. ttft, tpot, e2e : Histogram over
    them all. counts : of them all; `duration` and `most_in_flight` are the largest of any cell.
    """

    cells: int
    sampled: list[StreamOutcome]
    ttft: Histogram
    tpot: Histogram
    e2e: Histogram
    counts: Counts

    def percentile(self, what: str, percent: float, confidence: float = 0.95) -> Estimate:
        """Percentile of ``"ttft"``, ``"tpot"`` or ``"e2e"`` over the fleet [s].

        The value is that of the mean cell; the interval is of the mean over all cells of the fleet, and
        vanishes when all were run.
        """
        if what not in ("ttft", "tpot", "e2e"):
            raise InputError(f"percentile is of 'ttft', 'tpot' or 'e2e'. Got {what!r} instead.")
        return self._estimate([getattr(c, what).percentile(percent) for c in self.sampled], confidence)

    def goodput(self, confidence: float = 0.95) -> Estimate:
        """Share of requests that completed within the limits of latency [-]."""
        return self._estimate([c.counts.good / max(c.counts.requests, 1) for c in self.sampled], confidence)

    def _estimate(self, each: Sequence[float], confidence: float) -> Estimate:
        if not 0 < confidence < 1:
            raise InputError(f"confidence must be between 0 and 1. Got {confidence!r} instead.")
        n, mean = len(each), float(np.mean(each))
        if n == self.cells:
            return Estimate(mean, mean, mean)
        if n < 2:
            return Estimate(mean, -np.inf, np.inf)
        spread = float(np.std(each, ddof=1)) * sqrt((1 - n / self.cells) / n)
        half = student_t(n - 1, confidence) * spread
        return Estimate(mean, mean - half, mean + half)


def simulate_cells(
    traffic: Callable[[int], Iterable[Requests]],
    pools: Pool | Sequence[Pool],
    *,
    cells: int,
    sample: int | Sequence[int] | None = None,
    map: Map = map,
    extent: Extent | None = None,
    routing: str = "least_loaded",
    seed: int = 0,
    ttft_limit: float = np.inf,
    tpot_limit: float = np.inf,
    state_folder: str | Path | None = None,
    progress: Callable[[int, int], None] | None = None,
    **more: Any,
) -> FleetOutcome:
    """Run cells of a fleet, request by request.

    Parameters
    ----------
    traffic : callable
        From the number of a cell to its batches of requests; for other processes it must be picklable, as
        `LognormalTraffic` is.
    pools : Pool or sequence of Pool
        Of one cell.
    cells : int
        Of the fleet. [-]
    sample : int or sequence of int, optional
        How many cells to run, evenly spread, or which; all by default. [-]
    map : callable
        Such as the `map` of an executor from `concurrent.futures`; results in order.
    extent, routing, seed, ttft_limit, tpot_limit, more
        As in `simulate_stream`. The seed of a cell is `seed` and its number.
    state_folder : path, optional
        Where each cell keeps its state. Cells that are done are read, those begun go on.
    progress : callable, optional
        Called after each cell with how many are done and how many there are to do.

    Returns
    -------
    FleetOutcome

    Raises
    ------
    InputError
        As `simulate_stream`, or if the sample is not of the fleet's cells.
    """
    if cells < 1 or int(cells) != cells:
        raise InputError(f"cells must be a whole number from 1. Got {cells!r} instead.")
    which = chosen(cells, sample)
    if state_folder is not None:
        Path(state_folder).mkdir(parents=True, exist_ok=True)
    options = {
        "extent": extent,
        "routing": routing,
        "ttft_limit": ttft_limit,
        "tpot_limit": tpot_limit,
        **more,
    }
    run = partial(
        _run_cell, traffic, pools, seed, None if state_folder is None else str(state_folder), options
    )
    found: list[StreamOutcome] = []
    for outcome in map(run, which):
        found.append(outcome)
        if progress is not None:
            progress(len(found), len(which))
    counts = [outcome.counts for outcome in found]
    reasons = {name: sum(c.reasons.get(name, 0) for c in counts) for c in counts for name in c.reasons}
    total: dict[str, Any] = {
        name: sum(getattr(c, name) for c in counts) for name in Counts._fields if name != "reasons"
    }
    total |= {name: max(getattr(c, name) for c in counts) for name in ("duration", "most_in_flight")}
    ttft, tpot, e2e = (
        Histogram(np.sum([getattr(outcome, what).counts for outcome in found], axis=0))
        for what in ("ttft", "tpot", "e2e")
    )
    return FleetOutcome(int(cells), found, ttft, tpot, e2e, Counts(**total, reasons=reasons))


def chosen(cells: int, sample: int | Sequence[int] | None) -> list[int]:
    """Numbers of the cells to run.

    Raises
    ------
    InputError
        If there are none, or not so many.

    Examples
    --------
    >>> chosen(10, 4)
    [0, 2, 5, 7]
    """
    if sample is None:
        return list(range(cells))
    if isinstance(sample, int | np.integer):
        if not 1 <= sample <= cells:
            raise InputError(f"sample must be 1 to {cells} cells. Got {sample!r} instead.")
        return [i * cells // int(sample) for i in range(int(sample))]
    which = [int(i) for i in sample]
    if not which or len(set(which)) < len(which) or not 0 <= min(which) <= max(which) < cells:
        raise InputError(f"sample must be different cells, 0 to {cells - 1}. Got {list(sample)!r} instead.")
    return which


def student_t(freedom: int, confidence: float) -> float:
    """Value that Student's t exceeds in size with probability 1 - `confidence` [-].

    Examples
    --------
    >>> round(student_t(9, 0.95), 4)
    2.2622
    """
    scale = exp(lgamma((freedom + 1) / 2) - lgamma(freedom / 2)) / sqrt(freedom * pi)
    x = np.linspace(0.0, pi / 2, 20_001)[:-1]
    # With t = sqrt(n) tan(x) the density becomes scale sqrt(n) cos(x)^(n - 1), which Simpson integrates well.
    density = scale * sqrt(freedom) * np.cos(x) ** (freedom - 1)
    step = x[1]
    simpson = (density[:-2:2] + 4 * density[1:-1:2] + density[2::2]) * step / 3
    inside = 2 * np.concatenate([[0.0], np.cumsum(simpson)])
    return float(sqrt(freedom) * np.tan(np.interp(confidence, inside, x[::2])))


def _run_cell(
    traffic: Callable[[int], Iterable[Requests]],
    pools: Pool | Sequence[Pool],
    seed: int,
    folder: str | None,
    options: dict[str, Any],
    cell: int,
) -> StreamOutcome:
    path = None if folder is None else Path(folder) / f"cell-{cell:06d}"
    return simulate_stream(traffic(cell), pools, seed=seed * 1_000_003 + cell, state_file=path, **options)


def diurnal(mean: float, windows: int, swing: float = 0.4) -> tuple[float, ...]:
    """Rates of equal windows of a day, a sine around `mean` with its peak at three quarters of the day.

    Parameters
    ----------
    mean : float
        [1/s]
    windows : int
        Of the day. [-]
    swing : float
        Peak above the mean, as a share of it. [-]

    Returns
    -------
    tuple of float
        `[window]` [1/s]

    Examples
    --------
    >>> [round(rate, 2) for rate in diurnal(10.0, 4)]
    [10.0, 6.0, 10.0, 14.0]
    """
    at = np.arange(windows) / windows
    return tuple((mean * (1 - swing * np.sin(2 * pi * at))).tolist())

"""What a size is asked for: requests of all users, latencies that they accept, and a sample of both."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from armillary.errors import InputError
from armillary.serving.lengths import Lengths
from armillary.serving.requests import Requests
from armillary.serving.traces import Trace, take

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

HOUR = 3600.0
"""[s]"""
LARGEST = 200_000
"""Requests that are drawn, and the most of one simulation. [-]"""


class Workload(NamedTuple):
    """What is asked.

    mean, peak : requests of all users, on average and in the hours with most of them [1/s].
    lengths : of prompts and answers.
    margin : on top of the peak, for bursts that the shape of a day does not show [-].
    burstiness : standard deviation over mean of the gaps between requests; 1 is Poisson [-].
    cached : whether the cached part of `lengths` is found in prefix caches, rather than read anew.
    trace : with blocks, whose requests are then replayed on the replicas' own prefix caches; instead of
        `cached`, `burstiness` and drawing from `lengths`.
    """

    mean: float
    peak: float
    lengths: Lengths
    margin: float = 0.0
    burstiness: float = 1.0
    cached: bool = False
    trace: Trace | None = None

    @property
    def built_for(self) -> float:
        """Peak with its margin [1/s]."""
        return self.peak * (1 + self.margin)

    def grown(self, growth: float, years: float) -> Workload:
        """The workload after years of a yearly growth: 0.8 adds 80% a year.

        Raises
        ------
        InputError
            If the growth or the years are out of range.
        """
        if not (-1 < growth < math.inf and 0 <= years <= 100):
            raise InputError(
                f"growth must be above -1 a year and the horizon 0 to 100 years. Got {growth:g}, {years:g}."
            )
        factor = (1 + growth) ** years
        return self._replace(mean=self.mean * factor, peak=self.peak * factor)


class Targets(NamedTuple):
    """Latencies that shares of the requests must stay within; infinite for none [s].

    percentile : of each latency that has none of its own [%]. ttft_percentile, tpot_percentile,
    e2e_percentile : of its own [%]. goodput : share of requests that must besides meet all at once [-].
    """

    ttft: float = math.inf
    tpot: float = math.inf
    e2e: float = math.inf
    percentile: float = 95.0
    ttft_percentile: float | None = None
    tpot_percentile: float | None = None
    e2e_percentile: float | None = None
    goodput: float = 0.0

    @property
    def limits(self) -> tuple[float, float, float]:
        """Of TTFT, TPOT and end-to-end time [s]."""
        return self.ttft, self.tpot, self.e2e

    @property
    def percentiles(self) -> tuple[float, float, float]:
        """Of TTFT, TPOT and end-to-end time [%]."""
        own = (self.ttft_percentile, self.tpot_percentile, self.e2e_percentile)
        first, each, whole = (self.percentile if p is None else p for p in own)
        return first, each, whole


class Load(NamedTuple):
    """A sample of the requests of a workload.

    input, cached, output : `[request]`; cached is found in prefix caches and not read [token].
    gaps : `[request]` between arrivals, of mean 1 [-]. trace : see `Workload`.
    """

    input: Integers
    cached: Integers
    output: Integers
    gaps: Floats
    trace: Trace | None = None

    @property
    def read(self) -> Integers:
        """`[request]` tokens of the prompt that are computed [token]."""
        return self.input - self.cached

    @property
    def context(self) -> float:
        """Mean tokens that a decoding sequence attends to [token]."""
        return float(self.input.mean() + self.output.mean() / 2)

    @property
    def longest(self) -> float:
        """Prompt and answer of the longest request [token]."""
        return float((self.input + self.output).max())

    def requests(self, rate: float, count: int, seed: int = 0) -> Requests:
        """About `count` requests that come at a mean `rate` [1/s]."""
        if self.trace is not None:
            return replayed(self.trace, rate, count, seed)
        arrival = np.cumsum(self.gaps[:count]) / rate
        return Requests(arrival, self.read[:count], self.output[:count])


def drawn(workload: Workload, seed: int, count: int = LARGEST) -> Load:
    """Draw requests of a workload; the same seed gives the same ones.

    Lengths and gaps come from streams of their own. Of a trace with blocks, the cached part is what an
    endless cache would hold; it only ranks layouts.
    """
    rng = np.random.default_rng([seed, 1])
    found = workload.lengths.sample(np.random.default_rng([seed, 0]), count)
    prompts, answers = np.maximum(found.input, 1), np.maximum(found.output, 1)
    counted = workload.cached or workload.trace is not None
    cached = np.minimum(found.cached, prompts - 1) if counted else np.zeros_like(prompts)
    if workload.burstiness == 1:
        gaps = rng.standard_exponential(count)
    else:
        shape = workload.burstiness**-2 if workload.burstiness else math.inf
        gaps = rng.standard_gamma(shape, count) / shape if math.isfinite(shape) else np.ones(count)
    return Load(prompts, cached, answers, gaps, workload.trace)


def replayed(trace: Trace, rate: float, count: int, seed: int = 0) -> Requests:
    """Requests of a trace with blocks at another rate: copies of it at once, each of users of its own.

    Parameters
    ----------
    trace : Trace
    rate : float
        Of all copies together. [1/s]
    count : int
        Requests, about; the trace's own number in each copy at most. [-]
    seed : int

    Notes
    -----
    Copies keep the pace of the trace, so that what is asked again is asked as much later as it was. Each is
    a stretch of the trace that begins somewhere else; what it has seen before is not in the cache. What whole
    copies leave of the rate is a faster or slower clock.
    """
    blocks = trace.blocks
    if blocks is None:
        raise InputError("a trace without hash_ids says nothing of prefixes; take Mooncake's or Bailian's")
    span = float(trace.arrival[-1])
    if not span > 0:
        raise InputError(f"the {trace.requests} requests of the trace come all at once; expected a time span")
    own = trace.requests / span
    copies = max(round(rate / own), 1)
    window = min(count / copies / own, span)
    starts = np.random.default_rng([seed, 2]).random(copies) * (span - window)
    rows = [np.flatnonzero((trace.arrival >= s) & (trace.arrival <= s + window)) for s in starts]
    which = np.concatenate(rows)
    copy = np.repeat(np.arange(copies), [len(r) for r in rows])
    time = trace.arrival[which] - starts[copy]
    order = np.argsort(time, kind="stable")
    part = take(trace, which[order])
    assert part.blocks is not None
    _, names = np.unique(part.blocks.ids, return_inverse=True)
    owner = np.repeat(copy[order], np.diff(part.blocks.offsets))
    ids = names.reshape(-1).astype(np.int64) * copies + owner
    arrival = time[order] * (len(which) / rate / max(float(time.max()), 1e-9))
    return Requests(
        arrival,
        part.input,
        part.output,
        block_offsets=part.blocks.offsets,
        block_ids=ids,
        block_size=trace.block_size,
    )


def busiest_hour(trace: Trace) -> float:
    """Rate of a trace's busiest whole hour over its mean; 1 where it has less than two hours [-]."""
    span = float(trace.arrival[-1])
    hours = int(span // HOUR)
    if hours < 2:
        return 1.0
    counts = np.bincount((trace.arrival // HOUR).astype(int), minlength=hours)[:hours]
    return max(float(counts.max()) / HOUR * span / trace.requests, 1.0)


def check_question(workload: Workload, targets: Targets, headroom: float) -> None:
    """Refuse rates, targets and margins that are out of range.

    Raises
    ------
    InputError
        Naming what is wrong and what would be right.
    """
    if not 0 < workload.mean <= workload.peak < math.inf:
        raise InputError(
            f"rates must rise from 0 over the mean to the peak. Got {workload.mean:g}, {workload.peak:g}."
        )
    if not 0 <= workload.margin <= 10:
        raise InputError(f"the margin of the peak must be 0 to 10. Got {workload.margin:g} instead.")
    if not 0 <= workload.burstiness <= 100:
        raise InputError(f"the burstiness must be 0 to 100. Got {workload.burstiness:g} instead.")
    if workload.trace is not None and workload.trace.blocks is None:
        raise InputError(
            f"the {workload.trace.source} trace has no blocks, so that nothing is found in a prefix "
            f"cache; give a share of the input instead"
        )
    names = ("ttft", "tpot", "e2e")
    for name, value, at in zip(names, targets.limits, targets.percentiles, strict=True):
        if not value > 0:
            raise InputError(f"the {name} target must be above 0 s. Got {value:g} instead.")
        if not 0 < at < 100:
            raise InputError(f"the percentile of {name} must be between 0 and 100. Got {at:g} instead.")
    if not 0 <= targets.goodput < 1:
        raise InputError(f"the goodput must be a share from 0 to below 1. Got {targets.goodput:g} instead.")
    if not 0 <= headroom <= 10:
        raise InputError(f"the headroom must be a share from 0 to 10. Got {headroom:g} instead.")

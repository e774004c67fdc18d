"""Counts of outcomes, and histograms of latencies in bins half a percent wide."""

from __future__ import annotations

from typing import Any

import numpy as np

from armillary.serving.compiled import inlined
from armillary.serving.records import COMPLETED

LEAST, WIDTH, BINS = 1e-6, 1.005, 5600
"""Lower end of the first bin [s], ratio of a bin's ends, and how many: up to 1.3 million s."""

TTFT, TPOT, E2E = 0, 1, 2
"""Rows of the histograms."""

TALLY = np.dtype(
    [
        ("completed", "i8"),
        ("rejected", "i8"),
        ("timed_out", "i8"),
        ("reasons", "i8", (6,)),
        ("good", "i8"),
        ("preempted", "i8"),
        ("retried", "i8"),
        ("input", "f8"),
        ("cached", "f8"),
        ("output", "f8"),
        ("ttft", "f8"),
        ("tpot", "f8"),
        ("e2e", "f8"),
        ("tpots", "i8"),
    ],
    align=True,
)
"""Counts and sums over requests; of cached, output, ttft, tpot and e2e over those completed."""


@inlined
def bin_of(value: float) -> int:
    """Bin of a time [s]."""
    if value <= LEAST:
        return 0
    return min(BINS - 1, int(np.log(value / LEAST) / np.log(WIDTH)))


@inlined
def count_outcome(
    q: Any, time: float, status: int, reason: int, over: Any, out: Any, tally: Any, bins: Any
) -> None:
    """Count a request that has ended, in arrays a request or in histograms."""
    t = tally[0]
    over[0].last = max(over[0].last, time)
    finish = time + q.away
    first = q.first + q.away
    if status == COMPLETED:
        more = q.front
        if q.output > 1:
            more += q.lag * (time - q.first) / (q.output - 1)
        finish += more
        first += more
        t.completed += 1
        ttft, e2e = first - q.arrival, finish - q.arrival
        tpot = 0.0
        if q.output > 1:
            tpot = (finish - first) / (q.output - 1)
            t.tpots += 1
            t.tpot += tpot
        o = over[0]
        t.good += ttft <= o.ttft_limit and tpot <= o.tpot_limit and e2e <= o.e2e_limit
        t.cached += q.cached
        t.output += q.output
        t.ttft += ttft
        t.e2e += e2e
        if len(bins) > 0:
            bins[TTFT, bin_of(ttft)] += 1
            bins[E2E, bin_of(e2e)] += 1
            if q.output > 1:
                bins[TPOT, bin_of(tpot)] += 1
    elif status == 2:
        t.rejected += 1
    else:
        t.timed_out += 1
    t.reasons[reason] += 1
    t.preempted += q.preempted
    t.retried += q.retries
    t.input += q.input
    if len(out) > 0:
        row = out[q.id]
        row.arrival = q.arrival
        row.first = first
        row.finish = finish
        row.replica = q.replica
        row.preempted = q.preempted
        row.retries = q.retries
        row.status = status
        row.reason = reason
        row.cached = q.cached

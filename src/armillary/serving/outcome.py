"""What became of requests: times of each, or histograms of many, and counts that add up."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from armillary.errors import InputError
from armillary.serving.records import COMPLETED, REASONS

__all__ = ["Counts", "Histogram", "Outcome", "Replicas"]

Floats = NDArray[np.float64]
Integers = NDArray[np.integer[Any]]

LEAST, WIDTH = 1e-6, 1.005


class Counts(NamedTuple):
    """Requests by how they ended, and tokens.

    completed, rejected, timed_out : requests. reasons : of those rejected or timed out, by reason.
    good : completed within the limits of TTFT, TPOT and end-to-end time.
    preempted : times that a sequence was. retried : times that a request was sent anew after a failure.
    input : tokens asked. cached, output : of completed requests, from prefix caches and generated [token].
    most_in_flight : requests at once; where replicas were run one by one, the sum of each one's most.
    events : moments at which anything happened.
    duration : when the last request ended [s].
    """

    completed: int
    rejected: int
    timed_out: int
    reasons: dict[str, int]
    good: int
    preempted: int
    retried: int
    input: float
    cached: float
    output: float
    most_in_flight: int
    events: int
    duration: float

    @property
    def requests(self) -> int:
        """All that came in."""
        return self.completed + self.rejected + self.timed_out


class Replicas(NamedTuple):
    """What replicas did.

    pool : `[replica]` number. busy : time in steps [s]. on : time that they took requests or were emptied
    [s]. held : mean KV held while busy [token]. decoded : sequence-steps. prefilled : prompt tokens computed,
    again after preemptions [token]. preempted : sequences.
    """

    pool: NDArray[np.int64]
    busy: Floats
    on: Floats
    held: Floats
    decoded: Floats
    prefilled: Floats
    preempted: NDArray[np.int64]

    @property
    def utilisation(self) -> float:
        """Busy over on, all replicas together [-]."""
        on = float(self.on.sum())
        return float(self.busy.sum()) / on if on else 0.0


class Histogram(NamedTuple):
    """Times in bins half a percent wide.

    counts : `[bin]`; bin i holds times from ``1e-6 * 1.005**i`` s, the first also what is below.
    """

    counts: NDArray[np.int64]

    def percentile(self, percent: ArrayLike) -> Any:
        """Times below which `percent` of all lie, right within half a percent; nan if there are none [s].

        Within a bin times are taken to be spread evenly in their logarithms.
        """
        total = np.cumsum(self.counts)
        if not total[-1]:
            return np.full(np.shape(percent), np.nan)[()]
        rank = np.maximum(np.asarray(percent, float) / 100 * total[-1], 0.5)
        at = np.minimum(np.searchsorted(total, rank, "left"), len(total) - 1)
        part = (rank - total[at] + self.counts[at]) / self.counts[at]
        return LEAST * WIDTH ** (at + part)


class Outcome(NamedTuple):
    """What a simulation found.

    arrival, first, finish : `[request]` sent, first and last token received; of a request that did not
    complete `finish` is when it ended [s].
    status : `[request]` 1 completed, 2 rejected, 3 timed out. reason : `[request]` index into `REASONS`.
    replica : `[request]` that had it last, -1 if none. preempted, retries : `[request]` times.
    cached : `[request]` prompt tokens taken from the prefix cache [token]. output : `[request]` [token].
    counts : Counts. replicas : Replicas.
    """

    arrival: Floats
    first: Floats
    finish: Floats
    status: Integers
    reason: Integers
    replica: Integers
    preempted: Integers
    retries: Integers
    cached: Integers
    output: Integers
    counts: Counts
    replicas: Replicas

    @property
    def completed(self) -> NDArray[np.bool_]:
        """`[request]`."""
        completed: NDArray[np.bool_] = self.status == COMPLETED
        return completed

    @property
    def ttft(self) -> Floats:
        """`[request]` time to first token, nan if not completed [s]."""
        return np.where(self.completed, self.first - self.arrival, np.nan)

    @property
    def e2e(self) -> Floats:
        """`[request]` time to last token, nan if not completed [s]."""
        return np.where(self.completed, self.finish - self.arrival, np.nan)

    @property
    def tpot(self) -> Floats:
        """`[request]` time per output token after the first, nan if there is none [s]."""
        more = self.completed & (self.output > 1)
        span = np.where(more, self.finish - self.first, np.nan)
        return span / np.where(more, self.output - 1, 1)

    def percentile(self, what: str, percent: ArrayLike) -> Any:
        """Percentile of ``"ttft"``, ``"tpot"`` or ``"e2e"`` over completed requests; nan if none [s]."""
        if what not in ("ttft", "tpot", "e2e"):
            raise InputError(f"percentile is of 'ttft', 'tpot' or 'e2e'. Got {what!r} instead.")
        times = getattr(self, what)
        times = times[~np.isnan(times)]
        return (
            np.percentile(times, np.asarray(percent, float))
            if len(times)
            else np.full(np.shape(percent), np.nan)[()]
        )

    def goodput(self, ttft: float = np.inf, tpot: float = np.inf) -> float:
        """Share of all requests that completed within limits of both latencies [-]."""
        each = np.nan_to_num(self.tpot, nan=0.0)
        right = self.completed & (self.first - self.arrival <= ttft) & (each <= tpot)
        return float(right.mean()) if len(right) else 0.0


def counted(tally: Any, over: Any) -> Counts:
    """Counts of a run so far."""
    t, o = tally[0], over[0]
    reasons = {name: int(n) for name, n in zip(REASONS[1:], t["reasons"][1:], strict=True) if n}
    same = {name: t[name].item() for name in Counts._fields if name in t.dtype.names and name != "reasons"}
    return Counts(
        **same,
        reasons=reasons,
        most_in_flight=int(o["most_in_flight"]),
        events=int(o["events"]),
        duration=float(o["last"]),
    )

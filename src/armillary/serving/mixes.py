"""Named mixes of lengths (lengths.toml), and the fits they are made of."""

from __future__ import annotations

import tomllib
from functools import lru_cache
from importlib import resources
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from armillary.errors import InputError, did_you_mean
from armillary.serving.lengths import Lognormal, Mix, clipped_mean


class LengthFit(NamedTuple):
    """Lengths of a trace and the lognormal that stands for them.

    mean, p50, p90, p99 : of the trace [token].
    lognormal : with the mean of the trace.
    residual : mean of |ln(fit / trace)| over the percentiles 5, 10, ..., 95 [-].
    """

    mean: float
    p50: float
    p90: float
    p99: float
    lognormal: Lognormal
    residual: float


class NamedMix(NamedTuple):
    """An entry of lengths.toml.

    requests : of the trace that were measured [-]. correlation : of the logarithms of both lengths, which a
    `Mix` leaves out [-]. cached : share of the input that an endless cache would hold, 0 where the trace does
    not tell [-].
    """

    name: str
    title: str
    kind: str
    source: str
    date: str
    requests: int
    correlation: float
    input: LengthFit
    output: LengthFit
    cached: float

    @property
    def mix(self) -> Mix:
        """Of the two lognormals, nothing cached."""
        return Mix(self.input.lognormal, self.output.lognormal)


def named_mixes() -> tuple[str, ...]:
    """Names of all mixes."""
    return tuple(_entries())


def named_mix(name: str) -> NamedMix:
    """Find a mix by name.

    Examples
    --------
    >>> found = named_mix("azure-2023-conversation")
    >>> round(found.mix.mean.input), round(found.mix.mean.output)
    (1155, 211)
    """
    entries = _entries()
    if name not in entries:
        raise InputError(f"unknown mix {name!r}{did_you_mean(name, entries)}; known are {', '.join(entries)}")
    return entries[name]


def fit_lengths(tokens: NDArray[np.int64]) -> LengthFit:
    """Find the lognormal, cut at the longest, with the mean of `tokens` and the nearest percentiles.

    tokens : `[request]` 1 or more [token].
    """
    if len(tokens) < 20:
        raise InputError(f"{len(tokens)} lengths to fit; expected 20 or more")
    places = range(5, 100, 5)
    found = np.log(np.percentile(tokens, places))
    z = np.array([_NORMAL_BY_FIVES[min(p, 100 - p)] * (1 if p > 50 else -1) for p in places])
    mean, most = float(tokens.mean()), float(tokens.max())
    best = (np.inf, 1.0, 0.0)
    for sigma in np.arange(0.0, 3.0, 0.01).tolist():
        median = _median_of(mean, sigma, most)
        fit = np.log(np.minimum(median * np.exp(sigma * z), most))
        best = min(best, (float(np.abs(fit - found).mean()), median, sigma))
    residual, median, sigma = best
    p50, p90, p99 = np.percentile(tokens, [50, 90, 99]).tolist()
    return LengthFit(mean, p50, p90, p99, Lognormal(max(median, 1.0), sigma, most), residual)


_NORMAL_BY_FIVES = {
    5: 1.6448536, 10: 1.2815516, 15: 1.0364334, 20: 0.8416212, 25: 0.6744898, 30: 0.5244005, 35: 0.3853205,
    40: 0.2533471, 45: 0.1256613, 50: 0.0,
}  # fmt: skip
"""Percentiles of the standard normal distribution below 50, without their sign. [-]"""


def _median_of(mean: float, sigma: float, most: float) -> float:
    low, high = 0.0, most
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if clipped_mean(middle, sigma, most) < mean else (low, middle)
    return (low + high) / 2


@lru_cache(maxsize=1)
def _entries() -> dict[str, NamedMix]:
    text = resources.files("armillary.serving").joinpath("lengths.toml").read_text(encoding="utf-8")
    return {name: _entry(name, row) for name, row in tomllib.loads(text).items()}


def _entry(name: str, row: dict[str, Any]) -> NamedMix:
    fits = {side: _fit(row[side]) for side in ("input", "output")}
    return NamedMix(**{"name": name, **row, **fits})


def _fit(row: dict[str, float]) -> LengthFit:
    lognormal = Lognormal(row["median"], row["sigma"], row["most"])
    return LengthFit(row["mean"], row["p50"], row["p90"], row["p99"], lognormal, row["residual"])

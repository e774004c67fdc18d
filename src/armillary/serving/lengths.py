"""How many tokens requests have: input, output, and input whose state is already in a cache.

A distribution has a `mean` [token] and draws whole numbers of tokens, 1 or more. A mix has both lengths of a
request: drawn apart (`Mix`) or together (`Joint`, of a trace).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, erf, exp, floor, log, sqrt
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from armillary.errors import InputError
from armillary.serving.traces import Trace

Integers = NDArray[np.int64]
Generator = np.random.Generator

NORMAL_P90 = 1.2815515655446004
"""The 90th percentile of the standard normal distribution. [-]"""


class Tokens(NamedTuple):
    """Means or rates of tokens.

    input : with what is cached [token or token/s]. output : [token or token/s]. cached : of the input.
    """

    input: float
    output: float
    cached: float


class Drawn(NamedTuple):
    """Drawn requests.

    input, output : `[request]` [token]. cached : `[request]` of the input, below it [token].
    """

    input: Integers
    output: Integers
    cached: Integers


class Distribution(Protocol):
    """Lengths of one kind."""

    @property
    def mean(self) -> float:
        """Of many requests [token]."""

    def sample(self, rng: Generator, n: int) -> Integers:
        """Draw `[n]` lengths [token]."""


class Lengths(Protocol):
    """Lengths of requests."""

    @property
    def mean(self) -> Tokens:
        """Of many requests [token]."""

    def sample(self, rng: Generator, n: int) -> Drawn:
        """Draw `[n]` requests [token]."""


@dataclass(frozen=True, slots=True)
class Fixed:
    """All of one length. tokens : 1 or more [token]."""

    tokens: int

    def __post_init__(self) -> None:
        _at_least("tokens of Fixed", self.tokens, 1)

    @property
    def mean(self) -> float:
        """Of many requests [token]."""
        return float(self.tokens)

    def sample(self, rng: Generator, n: int) -> Integers:
        """Draw `[n]` lengths [token]."""
        return np.full(n, self.tokens, np.int64)


@dataclass(frozen=True, slots=True)
class Uniform:
    """Every whole number from `least` to `most` is as likely. least, most : [token]."""

    least: int
    most: int

    def __post_init__(self) -> None:
        _at_least("least of Uniform", self.least, 1)
        _at_least("most of Uniform", self.most, self.least)

    @property
    def mean(self) -> float:
        """Of many requests [token]."""
        return (self.least + self.most) / 2

    def sample(self, rng: Generator, n: int) -> Integers:
        """Draw `[n]` lengths [token]."""
        return rng.integers(self.least, self.most + 1, n)


@dataclass(frozen=True, slots=True)
class Lognormal:
    """Logarithms are normal; what is longer than `most` has that length.

    median : [token]. sigma : standard deviation of the logarithm [-]. most : such as the context [token].
    """

    median: float
    sigma: float
    most: float = float("inf")

    def __post_init__(self) -> None:
        _at_least("median of Lognormal", self.median, 1)
        _at_least("sigma of Lognormal", self.sigma, 0)
        _at_least("most of Lognormal", self.most, self.median)

    @property
    def mean(self) -> float:
        """Of many requests, before they are rounded to 1 or more [token]."""
        return clipped_mean(self.median, self.sigma, self.most)

    def sample(self, rng: Generator, n: int) -> Integers:
        """Draw `[n]` lengths [token]."""
        drawn = self.median * np.exp(self.sigma * rng.standard_normal(n))
        return np.maximum(np.rint(np.minimum(drawn, self.most)), 1).astype(np.int64)


@dataclass(frozen=True, slots=True)
class Mix:
    """Input and output drawn apart. cached : share of the input, below 1 [-]."""

    input: Distribution
    output: Distribution
    cached: float = 0.0

    def __post_init__(self) -> None:
        _share("cached of Mix", self.cached)

    @property
    def mean(self) -> Tokens:
        """Of many requests [token]."""
        return Tokens(self.input.mean, self.output.mean, self.cached * self.input.mean)

    def sample(self, rng: Generator, n: int) -> Drawn:
        """Draw `[n]` requests [token]."""
        given, made = self.input.sample(rng, n), self.output.sample(rng, n)
        return Drawn(given, made, _cached(rng, self.cached, given))


@dataclass(frozen=True, slots=True)
class Joint:
    """Requests of a trace, each as likely: how input and output go together is kept.

    input, output, cached : `[request]` of the trace [token].
    """

    input: Integers
    output: Integers
    cached: Integers

    def __post_init__(self) -> None:
        shapes = {len(self.input), len(self.output), len(self.cached)}
        if len(shapes) > 1 or not len(self.input):
            raise InputError(
                f"input, output and cached of Joint have lengths {sorted(shapes)}; expected one, above 0"
            )
        if min(self.input.min(), self.output.min()) < 1 or self.cached.min() < 0:
            raise InputError("Joint has an input or output below 1 or a cached below 0; expected tokens")
        if (self.cached >= self.input).any():
            row = int((self.cached >= self.input).argmax())
            raise InputError(
                f"request {row} of Joint has {self.cached[row]} cached of {self.input[row]} tokens; "
                f"expected less than its input"
            )

    @property
    def mean(self) -> Tokens:
        """Of the trace [token]."""
        return Tokens(float(self.input.mean()), float(self.output.mean()), float(self.cached.mean()))

    def sample(self, rng: Generator, n: int) -> Drawn:
        """Draw `[n]` requests [token]."""
        row = rng.integers(0, len(self.input), n)
        return Drawn(self.input[row], self.output[row], self.cached[row])


def spread_around(tokens: int, ratio: float) -> Uniform:
    """Lengths within ``tokens * (1 - ratio)`` and ``tokens * (1 + ratio)``: ``--random-range-ratio`` of vLLM.

    Examples
    --------
    >>> spread_around(1024, 0.25)
    Uniform(least=768, most=1280)
    """
    _share("ratio", ratio)
    least, most = (round(tokens * (1 + side), 9) for side in (-ratio, ratio))
    return Uniform(max(floor(least), 1), ceil(most))


def spread_below(tokens: int, ratio: float) -> Uniform:
    """Lengths from ``tokens * ratio`` to ``tokens``: ``--random-range-ratio`` of SGLang and of InferenceX.

    Examples
    --------
    >>> spread_below(1024, 0.8)
    Uniform(least=819, most=1024)
    """
    if not 0 <= ratio <= 1:
        raise InputError(f"ratio is {ratio}; expected a share from 0 to 1")
    return Uniform(max(floor(round(tokens * ratio, 9)), 1), tokens)


def lognormal_of_mean(mean: float, median: float, most: float = float("inf")) -> Lognormal:
    """Lognormal by mean and median; the mean is that before lengths are cut at `most`. [token]

    Examples
    --------
    >>> round(lognormal_of_mean(1155, 1020).sigma, 3)
    0.499
    """
    _at_least("median", median, 1)
    _at_least("mean", mean, median)
    return Lognormal(median, sqrt(2 * log(mean / median)), most)


def lognormal_of_p90(median: float, p90: float, most: float = float("inf")) -> Lognormal:
    """Lognormal by its 50th and 90th percentile. [token]

    Examples
    --------
    >>> round(lognormal_of_p90(100, 200).sigma, 3)
    0.541
    """
    _at_least("median", median, 1)
    _at_least("p90", p90, median)
    return Lognormal(median, log(p90 / median) / NORMAL_P90, most)


def clipped_mean(median: float, sigma: float, most: float) -> float:
    r"""Mean of the lesser of a lognormal and `most`. [token]

    Notes
    -----
    With :math:`z = \ln(c/m)`: :math:`m e^{\sigma^2/2}\,\Phi((z-\sigma^2)/\sigma) + c\,\Phi(-z/\sigma)`.

    Examples
    --------
    >>> round(clipped_mean(100, 1, float("inf")), 3)
    164.872
    >>> clipped_mean(100, 0, 1000)
    100.0
    """
    if sigma == 0 or most == float("inf"):
        return float(min(median * exp(sigma**2 / 2), most))
    z = log(most / median)
    below = _normal((z - sigma**2) / sigma)
    return median * exp(sigma**2 / 2) * below + most * _normal(-z / sigma)


def joint(trace: Trace, cached: float | None = None) -> Joint:
    """Lengths of a trace. cached : share of inputs; by default what `reuse` finds, 0 without blocks [-]."""
    if cached is None:
        return Joint(trace.input, trace.output, reuse(trace))
    _share("cached", cached)
    return Joint(trace.input, trace.output, np.floor(cached * trace.input).astype(np.int64))


def reuse(trace: Trace) -> Integers:
    """Input tokens that a cache without limit of size or age would hold, `[request]`. [token]

    Blocks at the beginning of an input that an earlier request had; at least one token is left to compute.
    0 for traces that say nothing of blocks.
    """
    if trace.blocks is None or not len(trace.blocks.ids):
        return np.zeros(trace.requests, np.int64)
    offsets, ids = trace.blocks
    _, first, inverse = np.unique(ids, return_index=True, return_inverse=True)
    owner = np.repeat(np.arange(trace.requests), np.diff(offsets))
    seen = owner[first][inverse.reshape(-1)] < owner
    position = np.arange(len(ids)) - offsets[:-1][owner]
    held: Integers = np.diff(offsets)
    np.minimum.at(held, owner[~seen], position[~seen])
    cached: Integers = np.minimum(held * trace.block_size, trace.input - 1)
    return cached


def _cached(rng: Generator, share: float, given: Integers) -> Integers:
    """Whole tokens whose mean is the share."""
    if share == 0:
        return np.zeros(len(given), np.int64)
    whole: Integers = np.floor(share * given + rng.random(len(given))).astype(np.int64)
    return np.minimum(whole, given - 1)


def _normal(z: float) -> float:
    return 0.5 * (1 + erf(z / sqrt(2)))


def _at_least(name: str, value: float, least: float) -> None:
    if not value >= least:
        raise InputError(f"{name} is {value}; expected {least} or more")


def _share(name: str, value: float) -> None:
    if not 0 <= value < 1:
        raise InputError(f"{name} is {value}; expected a share from 0 to below 1")

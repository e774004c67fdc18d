"""Generations of models: their compute, what they need by quarter, and when they are done."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from functools import lru_cache
from importlib import resources
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from armillary.errors import InfeasibleError, InputError, did_you_mean
from armillary.portfolio.quarter_dates import DAY, Quarters
from armillary.portfolio.tco import YEAR

Numeric = Any
"""A float or a numpy array of floats."""

Floats = NDArray[np.float64]


class ScalingLaw(NamedTuple):
    r"""Loss by parameters N and tokens D, :math:`E + A N^{-\alpha} + B D^{-\beta}`."""

    E: float
    A: float
    B: float
    alpha: float
    beta: float


class Optimum(NamedTuple):
    """The model that a compute trains best. parameters, tokens : [-]; loss : [nat/token]."""

    parameters: Numeric
    tokens: Numeric
    loss: Numeric


class Generation(NamedTuple):
    """A model to be trained.

    flop : of its final run [FLOP]. ready : when it is wished for, after the origin [s].
    duration : longest time of the run [s]. minimum : accelerators on one network that it takes at least [-].
    lead : time before `ready` over which its experiments are spread [s].
    """

    name: str
    flop: float
    ready: float
    duration: float
    minimum: float = 0.0
    lead: float = YEAR


class TrainingDemand(NamedTuple):
    """Accelerators that a programme needs, as means of each quarter (accelerator-quarters).

    runs : `[generation, quarter]`. research : `[generation, quarter]` for experiments.
    cluster : `[generation]` on one network, while its run goes on. starts : `[generation]` of the run [s].
    on_one_network : `[quarter]` the largest cluster of a run that goes on in it.
    """

    runs: Floats
    research: Floats
    cluster: Floats
    starts: Floats
    on_one_network: Floats

    @property
    def total(self) -> Floats:
        """`[quarter]` sum of runs and research."""
        return np.asarray(self.runs.sum(0) + self.research.sum(0))


@lru_cache(maxsize=1)
def scaling_laws() -> dict[str, ScalingLaw]:
    """Published laws by name, with sources in scaling_laws.toml."""
    text = resources.files("armillary.portfolio").joinpath("scaling_laws.toml").read_text(encoding="utf-8")
    return {
        name: ScalingLaw(*(float(row[key]) for key in ScalingLaw._fields))
        for name, row in tomllib.loads(text).items()
    }


def scaling_law(name: str = "besiroglu-2024") -> ScalingLaw:
    """Look a published law up."""
    laws = scaling_laws()
    if name not in laws:
        raise InputError(
            f"unknown scaling law {name!r}{did_you_mean(name, laws)}; there are {', '.join(laws)}"
        )
    return laws[name]


def loss(parameters: Numeric, tokens: Numeric, law: ScalingLaw) -> Numeric:
    """Loss of a model. [nat/token]

    Examples
    --------
    >>> round(loss(70e9, 1.4e12, scaling_law("hoffmann-2022")), 3)  # Chinchilla
    1.937
    """
    return law.E + law.A / parameters**law.alpha + law.B / tokens**law.beta


def optimum(flop: Numeric, law: ScalingLaw) -> Optimum:
    r"""Parameters and tokens of least loss for a compute of :math:`C = 6 N D`.

    Parameters
    ----------
    flop : numeric
        [FLOP]
    law : ScalingLaw

    Notes
    -----
    :math:`N = G (C/6)^a`, :math:`D = G^{-1} (C/6)^{1-a}` with :math:`a = \beta/(\alpha+\beta)` and
    :math:`G = (\alpha A / \beta B)^{1/(\alpha+\beta)}` (Hoffmann et al. 2022, equation 4).

    Examples
    --------
    >>> best = optimum(5.76e23, scaling_law("besiroglu-2024"))
    >>> round(best.parameters / 1e9), round(best.tokens / 1e12, 2), round(best.tokens / best.parameters, 1)
    (72, 1.33, 18.4)
    """
    both = law.alpha + law.beta
    scale = (law.alpha * law.A / (law.beta * law.B)) ** (1 / both)
    parameters = scale * (flop / 6) ** (law.beta / both)
    tokens = (flop / 6) / parameters
    return Optimum(parameters, tokens, loss(parameters, tokens, law))


def frontier_flop(after: Numeric, anchor: float, growth: Numeric) -> Numeric:
    """Compute of the largest runs, a time after that of a known one. [FLOP]

    Parameters
    ----------
    after : numeric
        [s]
    anchor : float
        Of the known run. [FLOP]
    growth : numeric
        Times a year. [-]

    Examples
    --------
    >>> f"{frontier_flop(2 * YEAR, 4.64e26, 4.5):.1e}"
    '9.4e+27'
    """
    return anchor * np.asarray(growth, float)[()] ** (after / YEAR)


def training_demand(
    generations: Sequence[Generation], rate: float, quarters: Quarters, research_share: float = 0.0
) -> TrainingDemand:
    """Accelerators that a programme needs in each quarter, for its models to be ready when wished for.

    Parameters
    ----------
    generations : sequence of Generation
    rate : float
        Of one accelerator at work: peak x MFU x goodput. [FLOP/s]
    quarters : Quarters
    research_share : float
        Share of the compute for research and training that is not in final runs. [-]

    Notes
    -----
    A run takes as many accelerators as end it within `duration`, and `minimum` at least; it ends at `ready`.
    Experiments of a generation are research_share / (1 - research_share) times its run, evenly over `lead`;
    what of it lies before the first quarter is left out, what of a run lies there cannot be.

    Raises
    ------
    InputError
        If a number cannot be.
    InfeasibleError
        If a run would have to begin before the first quarter, or end after the last.

    Examples
    --------
    Llama 3.1 405B in a quarter of 91 days:

    >>> from armillary.portfolio.quarter_dates import quarters
    >>> when = quarters("2024Q1", 2)
    >>> run = Generation("llama", 3.8e25, ready=91 * DAY, duration=91 * DAY)
    >>> found = training_demand([run], 989e12 * 0.404, when)
    >>> round(float(found.runs[0, 0])), round(float(found.runs[0, 1]))
    (12096, 0)
    """
    if not rate > 0:
        raise InputError(f"rate is {rate}; expected FLOP/s of one accelerator above 0")
    if not 0 <= research_share < 1:
        raise InputError(f"research_share is {research_share}; expected a share from 0 to below 1")
    _check(generations)
    flop, ready, longest, minimum, lead = (
        np.array([getattr(g, field) for g in generations], dtype=float)
        for field in ("flop", "ready", "duration", "minimum", "lead")
    )
    cluster = np.maximum(minimum, flop / (rate * longest))
    starts = ready - flop / (rate * cluster)
    for g, start in zip(generations, starts, strict=True):
        if start < quarters.starts[0] - 1:
            needed = g.flop / rate / max(g.ready, 1.0)
            raise InfeasibleError(
                f"{g.name!r} would have to begin {-start / DAY:.0f} days before {quarters.labels[0]}; "
                f"a shorter duration takes more accelerators: {needed:,.0f} if it began with the quarter"
            )
        if g.ready > quarters.ends[-1] + 1:
            raise InfeasibleError(f"{g.name!r} is wished for after {quarters.labels[-1]}, the last quarter")
    running = _overlap(starts, ready, quarters)
    of_time = running / quarters.lengths
    experiments = flop * research_share / (1 - research_share) / rate / lead
    spread = _overlap(ready - lead, ready, quarters) / quarters.lengths
    at_once = np.where(running > 0, cluster[:, None], 0.0)
    return TrainingDemand(
        cluster[:, None] * of_time,
        experiments[:, None] * spread,
        cluster,
        starts,
        np.asarray(at_once.max(0, initial=0.0)),
    )


def finish_times(
    generations: Sequence[Generation], rate: float, quarters: Quarters, available: Numeric
) -> Floats:
    """When each generation is done if runs follow one another on what is there.

    Parameters
    ----------
    generations : sequence of Generation
        In the order of their runs; `ready` and `duration` are not used.
    rate : float
        Of one accelerator at work. [FLOP/s]
    quarters : Quarters
    available : array
        `[..., quarter]` accelerators on one network that training may have. [-]

    Returns
    -------
    array
        `[..., generation]` time after the origin, inf where it is not done by the last quarter. [s]

    Notes
    -----
    A run uses all that is there, and waits while that is less than its `minimum`.

    Examples
    --------
    >>> from armillary.portfolio.quarter_dates import quarters
    >>> when = quarters("2026Q1", 4)
    >>> runs = [Generation("a", 1e3 * 45 * DAY, 0, 1), Generation("b", 2e3 * 45 * DAY, 0, 1, minimum=20)]
    >>> (finish_times(runs, 100.0, when, np.array([10.0, 10.0, 20.0, 20.0])) / DAY).tolist()
    [45.0, 226.0]
    """
    _check(generations)
    if not rate > 0:
        raise InputError(f"rate is {rate}; expected FLOP/s of one accelerator above 0")
    there = np.asarray(available, dtype=float)
    if there.ndim == 0 or there.shape[-1] != len(quarters.labels) or not (there >= 0).all():
        raise InputError(
            f"available has shape {there.shape}; expected a number of 0 or more for each quarter"
        )
    done = np.empty((*there.shape[:-1], len(generations)))
    now = np.full(there.shape[:-1], quarters.starts[0])
    for i, g in enumerate(generations):
        left, ended = np.full(now.shape, float(g.flop)), np.full(now.shape, np.inf)
        for q in range(len(quarters.labels)):
            power = np.where(there[..., q] >= max(g.minimum, 1e-300), there[..., q], 0.0) * rate
            begin = np.maximum(now, quarters.starts[q])
            work = power * np.maximum(0.0, quarters.ends[q] - begin)
            last = np.isinf(ended) & (work >= left) & (power > 0)
            with np.errstate(divide="ignore", invalid="ignore"):
                ended = np.where(last, begin + left / power, ended)
            left = np.where(np.isinf(ended), left - work, left)
        done[..., i] = now = ended
    return done


def _overlap(starts: Floats, ends: Floats, quarters: Quarters) -> Floats:
    """`[row, quarter]` time of each row within each quarter. [s]"""
    first = np.maximum(starts[:, None], quarters.starts)
    return np.asarray(np.maximum(0.0, np.minimum(ends[:, None], quarters.ends) - first))


def _check(generations: Sequence[Generation]) -> None:
    for g in generations:
        for name in ("flop", "duration", "lead"):
            if not 0 < getattr(g, name) < np.inf:
                raise InputError(f"generation {g.name!r}: {name} is {getattr(g, name)}; expected above 0")
        for name in ("ready", "minimum"):
            if not 0 <= getattr(g, name) < np.inf:
                raise InputError(f"generation {g.name!r}: {name} is {getattr(g, name)}; expected 0 or more")

"""Scores of predictions against measurements: median and tail error, bias, rank correlation. Only numpy."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np


class Row(NamedTuple):
    """One prediction of one published metric.

    ratio : predicted step time over measured one (rates are inverted), None where not predicted [-].
    rate : predicted tokens per second and accelerator, whatever the metric is [token/s].
    scored : True where the row belongs to the scored set and this is its target metric.
    accelerators : used by the run [-]. job : rows of one source that differ only in scale and layout.
    factors : what the row's error may hang on, by name.
    step : predicted step time [s].
    """

    id: str
    metric: str
    measured: float | None
    predicted: float | None
    ratio: float | None
    rate: float
    assumed: tuple[str, ...]
    reason: str
    scored: bool
    chip: str
    kind: str
    scale: str
    source: str
    group: str
    job: str = ""
    accelerators: float = 0.0
    factors: tuple[tuple[str, str], ...] = ()
    step: float | None = None


class Summary(NamedTuple):
    """Errors over rows; errors are of step time, |ratio - 1| and ratio - 1 [-]."""

    n: int
    median_abs_error: float
    p90_abs_error: float
    median_error: float
    kendall_tau: float | None


def summarise(rows: Iterable[Row]) -> Summary:
    """Sum up the rows that have a prediction; NaN errors where none has."""
    with_ratio = [r for r in rows if r.ratio is not None]
    errors = np.array([r.ratio for r in with_ratio], dtype=float) - 1.0
    if errors.size == 0:
        return Summary(0, float("nan"), float("nan"), float("nan"), None)
    return Summary(
        n=int(errors.size),
        median_abs_error=float(np.median(np.abs(errors))),
        p90_abs_error=float(np.percentile(np.abs(errors), 90)),
        median_error=float(np.median(errors)),
        # Ranked by rate, so that runs with different metrics or batches can be compared.
        kendall_tau=kendall_tau([(r.group, r.rate * (r.ratio or 1.0), r.rate) for r in with_ratio]),
    )


def kendall_tau(samples: Sequence[tuple[str, Any, Any]]) -> float | None:
    """Kendall's tau-a over all pairs inside groups; None where no group has two distinct measurements.

    Parameters
    ----------
    samples : sequence of (group, measured, predicted)

    Notes
    -----
    :math:`(C - D) / (C + D)` over pairs of one group with different measurements; a pair predicted equal
    counts as neither, but stays in the denominator.

    Examples
    --------
    >>> kendall_tau([("a", 1.0, 1.1), ("a", 2.0, 1.9), ("a", 3.0, 1.5), ("b", 1.0, 5.0)])
    0.3333333333333333
    """
    agree = pairs = 0
    by_group: dict[str, list[tuple[float, float]]] = {}
    for group, measured, predicted in samples:
        by_group.setdefault(group, []).append((float(measured), float(predicted)))
    for values in by_group.values():
        for i, (m1, p1) in enumerate(values):
            for m2, p2 in values[i + 1 :]:
                if m1 != m2:
                    pairs += 1
                    agree += int(np.sign(m1 - m2) * np.sign(p1 - p2))
    return agree / pairs if pairs else None


class Scaling(NamedTuple):
    """How well growth of the rate with scale is met, over pairs of rows [-]."""

    pairs: int
    median_abs_error: float


def scaling(rows: Iterable[Row], least: float = 4.0, most: float = 16.0, to: float = 8.0) -> Scaling:
    r"""Error of the scaling slope, rate at 8 N over rate at N, predicted over measured.

    Parameters
    ----------
    rows : iterable of Row
    least, most : float
        Pairs of one job whose accelerators differ by so much are taken. [-]
    to : float
        Their growth is brought to this many times the accelerators, in proportion to the logarithm. [-]

    Notes
    -----
    The rates are measured times `ratio` inverted, so the error of a pair with ratios :math:`r` at :math:`N`
    and :math:`R` at :math:`kN` is :math:`(r / R)^{\ln 8 / \ln k} - 1`.
    """
    jobs: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        if row.ratio and row.job and row.accelerators > 0:
            jobs.setdefault(row.job, []).append((row.accelerators, row.ratio))
    errors = [
        abs((small / large) ** (np.log(to) / np.log(many / few)) - 1)
        for runs in jobs.values()
        for few, small in runs
        for many, large in runs
        if least <= many / few <= most
    ]
    return Scaling(len(errors), float(np.median(errors)) if errors else float("nan"))


FEWEST = 5
"""Rows that a level needs to be named as a factor's worst. [-]"""


class Explained(NamedTuple):
    """Share of the residual's variance that the levels of a factor explain, and the most biased level.

    share : adjusted for the number of levels, 0 or more [-]. bias : median of ratio - 1 of the worst level,
    over its `rows` [-].
    """

    factor: str
    share: float
    levels: int
    worst: str
    bias: float
    rows: int


def explain(rows: Iterable[Row]) -> list[Explained]:
    """Say how much of the variance of log(ratio) each factor explains alone, the largest first.

    Notes
    -----
    Adjusted :math:`R^2 = 1 - (1 - R^2)(n - 1)/(n - k)` over `n` rows and `k` levels: levels of few rows
    explain much by chance. Factors overlap (a source has its chips), so shares do not add up.
    """
    known = [(dict(r.factors), float(np.log(r.ratio))) for r in rows if r.ratio]
    names = dict.fromkeys(name for factors, _ in known for name in factors)
    found = [_explained(name, [(f[name], e) for f, e in known if name in f]) for name in names]
    return sorted(found, key=lambda e: -e.share)


def _explained(name: str, samples: Sequence[tuple[str, float]]) -> Explained:
    levels: dict[str, list[float]] = {}
    for level, error in samples:
        levels.setdefault(level, []).append(error)
    errors = np.array([error for _, error in samples])
    whole = float(np.sum((errors - errors.mean()) ** 2))
    within = float(sum(np.sum((np.array(v) - np.mean(v)) ** 2) for v in levels.values()))
    free = max(len(errors) - len(levels), 1)
    share = max(1 - within / whole * (len(errors) - 1) / free, 0.0) if whole > 0 else 0.0
    biases = {level: float(np.expm1(np.median(v))) for level, v in levels.items()}
    told = [level for level, v in levels.items() if len(v) >= FEWEST] or list(levels)
    worst = max(told, key=lambda level: abs(biases[level]))
    return Explained(name, share, len(levels), worst, biases[worst], len(levels[worst]))

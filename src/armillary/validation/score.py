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

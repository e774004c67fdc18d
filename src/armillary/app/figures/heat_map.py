"""Heat maps of shares: one row a tier, its links side by side, the fuller the stronger."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from armillary.app.figures.axes import check, number
from armillary.app.figures.canvas import Canvas, width_of

WIDTH, RIGHT = 860.0, 836.0
CELLS = 128
"""Most cells of a row; where there are more links a cell is the mean of its neighbours."""
ROW, PITCH = 22.0, 42.0
FAINT = 0.06
"""Opacity of a link that carries nothing, so that it can be told from no link. [-]"""


def heat_map(rows: Sequence[tuple[str, NDArray[np.float64]]], title: str) -> str:
    """Draw the use of links tier by tier.

    Parameters
    ----------
    rows : sequence of (tier, `[link]` use of each link, 0 to 1)
        In the order of the links; long rows are drawn as means of neighbours, and say the highest single use.
    title : str

    Raises
    ------
    ValueError
        If a use is not finite or negative.
    """
    for name, values in rows:
        check(values.tolist(), False, "use")
        if values.size and values.min() < 0:
            raise ValueError(f"The use of links must be 0 or more. Got {values.min()!r} in {name!r} instead.")
    spoken = "; ".join(f"{name}: {_said(values)}" for name, values in rows)
    bottom = 52.0 + PITCH * max(len(rows), 1)
    canvas = Canvas(WIDTH, bottom + 44, title, spoken or "no links")
    canvas.heading()
    left = 36.0 + max((width_of(name) for name, _ in rows), default=0.0)
    for i, (name, values) in enumerate(rows):
        y = 56.0 + PITCH * i
        canvas.text(left - 12, y + 16, name, "small", "end")
        cells = min(len(values), CELLS)
        edges = np.linspace(0, len(values), cells + 1).astype(int)
        step = (RIGHT - left) / max(cells, 1)
        for cell, (first, end) in enumerate(pairwise(edges.tolist())):
            use = float(values[first:end].mean())
            which = f"link {first}" if end == first + 1 else f"links {first} to {end - 1}"
            shown = FAINT + (1 - FAINT) * min(use, 1.0)
            gap = 0.5 if step > 3 else 0.0
            tip = f"{name}, {which}: {number(use, percent=True)}"
            canvas.rect(left + cell * step, y, step - gap, ROW, 0, tip, opacity=shown)
        canvas.text(left, y + ROW + 13, _said(values), "tiny muted")
    y = bottom + 18
    canvas.text(left - 12, y + 11, "use", "tiny muted", "end")
    for tenth in range(11):
        canvas.rect(left + tenth * 18, y, 17.5, 14, 0, opacity=FAINT + (1 - FAINT) * tenth / 10)
    canvas.text(left, y + 25, "0", "tiny muted")
    canvas.text(left + 10 * 18 + 17, y + 25, "100%", "tiny muted", "end")
    return canvas.svg()


def _said(values: NDArray[np.float64]) -> str:
    if not values.size:
        return "no links"
    mean, most = number(float(values.mean()), percent=True), number(float(values.max()), percent=True)
    return f"{values.size:,} links, mean {mean}, highest {most}"

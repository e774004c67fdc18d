"""The armillary picture: a machine as nested rings of bandwidth and latency."""

from __future__ import annotations

import math
from collections.abc import Sequence

from armillary.app.figures.canvas import Canvas

WIDTH = 860.0
STEP, REACH = 34.0, 130.0
"""Least distance of two rings, and the radius that few rings spread to. [pixel]"""


def rings(levels: Sequence[tuple[str, str, str]], title: str) -> str:
    """Draw nested rings, each with a line to what it is.

    Parameters
    ----------
    levels : sequence of (name, size text, bandwidth and latency text)
        From the innermost to the outermost; the first is the chip at the centre.
    title : str
    """
    spoken = "; ".join(f"{name}: {size}, {link}" for name, size, link in levels)
    step = max(STEP, (REACH - 16) / max(len(levels) - 1, 2))
    radius = [16.0 + step * i for i in range(len(levels))]
    outer = radius[-1] if radius else 0.0
    pitch = max(46.0, 2 * outer / max(len(levels), 1))
    height = max(2 * outer, pitch * len(levels)) + 96
    cx, cy = 48 + max(outer, 60.0), 52 + (height - 76) / 2
    canvas = Canvas(WIDTH, height, title, spoken or "no rings")
    canvas.heading()
    for i in reversed(range(len(levels))):
        name, size, link = levels[i]
        if i == 0:
            canvas.rect(cx - 11, cy - 11, 22, 22, 0, f"{name}: {size}, {link}", 4)
        else:
            canvas.circle(cx, cy, radius[i], i, f"{name}: {size}, {link}")
    x = cx + outer + 76
    first = cy - pitch * (len(levels) - 1) / 2
    for i, (name, size, link) in enumerate(levels):
        y = first + pitch * (len(levels) - 1 - i)
        reach = 11.0 if i == 0 else radius[i]
        angle = math.atan2(y - cy, x - 40 - cx)
        start = (cx + reach, cy) if i == 0 else (cx + reach * math.cos(angle), cy + reach * math.sin(angle))
        canvas.path([start, (x - 32, y), (x - 10, y)], i, 1.25)
        canvas.text(x, y - 3, f"{name}: {size}", "strong halo", room=WIDTH - x - 24)
        canvas.text(x, y + 14, link, "small muted", room=WIDTH - x - 24)
    return canvas.svg()

"""The armillary picture: a machine as nested rings of bandwidth and latency."""

from __future__ import annotations

from collections.abc import Sequence

from armillary.app.figures.canvas import PALETTE, Canvas

WIDTH = 860.0


def rings(levels: Sequence[tuple[str, str, str]], title: str) -> str:
    """Draw nested rings, the innermost first.

    Parameters
    ----------
    levels : sequence of (name, size text, bandwidth and latency text)
    title : str
    """
    radius = [34.0 + 30.0 * i for i in range(len(levels))]
    height = max(2 * radius[-1] + 90, 60 + 52.0 * len(levels) + 20)
    cx, cy = 40 + radius[-1], 44 + (height - 44) / 2
    canvas = Canvas(WIDTH, height, title, "; ".join(f"{n}: {s}, {b}" for n, s, b in levels))
    canvas.text(24, 30, title, "title")
    x = cx + radius[-1] + 60
    spacing = (height - 80) / len(levels)
    for i, ((name, size, link), r) in enumerate(zip(levels, radius, strict=True)):
        colour = PALETTE[i % len(PALETTE)]
        canvas.circle(cx, cy, r, colour, f"{name}: {size}, {link}", 1, colour)
        y = 70 + spacing * (len(levels) - 1 - i) + spacing / 2
        canvas.rect(x, y - 16, 5, 34, colour, round_=2)
        canvas.text(x + 14, y - 2, f"{name}: {size}")
        canvas.text(x + 14, y + 15, link, "small muted")
    canvas.circle(cx, cy, 9, PALETTE[-2])
    return canvas.svg()

"""Waterfalls: from one total to another, each difference a bar that floats where the last one ended."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise

from armillary.app.figures.axes import check, number, ticks
from armillary.app.figures.canvas import Canvas, width_of

WIDTH, LEFT, RIGHT = 860.0, 24.0, 836.0
TOP, PITCH, THICK = 52.0, 26.0, 18.0
WHOLE, MORE, LESS = 0, 3, 2
"""Colours of totals, of what adds and of what takes away."""


def waterfall_chart(
    first: tuple[str, float],
    steps: Sequence[tuple[str, float]],
    last: str,
    title: str,
    unit: str = "s",
    tips: Sequence[str] = (),
    whole: float | None = None,
) -> str:
    """Draw the way from one total to another, downwards, one row a difference.

    Parameters
    ----------
    first : (label, value)
        Where it starts.
    steps : sequence of (label, difference)
    last : str
        Label of the end; its value is the sum.
    title : str
    unit : str
        SI unit, written with a prefix.
    tips : sequence of str
        One sentence a step, for its tooltip.
    whole : float, optional
        What shares are of; the end by default.

    Raises
    ------
    ValueError
        If a value is not finite.
    """
    check((first[1], *(value for _, value in steps)), False, "value")
    ends = list(accumulate((value for _, value in steps), initial=first[1]))
    total = ends[-1]
    low, high = min(0.0, *ends), max(0.0, *ends)
    of = whole or total or 1.0
    labels = [first[0], *(name for name, _ in steps), last]
    texts = [
        number(first[1], unit),
        *(f"{'+' if v > 0 else ''}{number(v, unit)} ({v / of:+.1%})".replace("-", "−") for _, v in steps),
        number(total, unit),
    ]
    bold = 1.08  # of the ends
    wide = max(bold * width_of(labels[0]), bold * width_of(last), *map(width_of, labels))
    left = LEFT + 12 + min(wide, 0.4 * WIDTH)
    grow = (RIGHT - max(map(width_of, texts)) - 10 - left) / ((high - low) or 1.0)
    bottom = TOP + PITCH * len(labels) + 2
    canvas = Canvas(
        WIDTH, bottom + 30, title, "; ".join(f"{a}: {b}" for a, b in zip(labels, texts, strict=True))
    )
    canvas.heading()
    zero = left - low * grow
    for value in ticks(low, high, unit=unit):
        canvas.line(zero + value * grow, TOP - 4, zero + value * grow, bottom)
        canvas.text(zero + value * grow, bottom + 17, number(value, unit), "tiny muted", "middle")
    spans = [(0.0, ends[0]), *pairwise(ends), (0.0, total)]
    said = ["", *(tips or [""] * len(steps)), ""]
    for i, (label, text, (a, b), tip) in enumerate(zip(labels, texts, spans, said, strict=True)):
        y, outer = TOP + i * PITCH, i in (0, len(labels) - 1)
        colour = WHOLE if outer else MORE if b >= a else LESS
        start, end = zero + min(a, b) * grow, zero + max(a, b) * grow
        words = f"{label}: {text}" + (f". {tip}" if tip else "")
        canvas.text(
            left - 12,
            y + 14,
            label,
            "small strong" if outer else "small",
            "end",
            room=(left - 36) / (bold if outer else 1),
        )
        canvas.rect(start, y, max(end - start, 1.0), THICK, colour, words, 2)
        if i < len(labels) - 1:
            canvas.line(zero + b * grow, y + THICK, zero + b * grow, y + PITCH, "axis")
        canvas.text(end + 7, y + 14, text, "small strong halo" if outer else "small halo")
    canvas.line(zero, TOP - 4, zero, bottom, "axis")
    return canvas.svg()

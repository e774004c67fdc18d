"""A tornado: how far each input alone moves an answer, the largest swing at the top."""

from __future__ import annotations

from collections.abc import Sequence

from armillary.app.figures.axes import check, number, scale, ticks
from armillary.app.figures.canvas import Canvas, width_of

WIDTH, LEFT, RIGHT = 860.0, 24.0, 836.0
LOW, HIGH = 5, 1
"""Colours of the input's low and high end, which differ in brightness, too."""


def tornado_chart(
    rows: Sequence[tuple[str, float, float, str, str]],
    middle: float,
    title: str,
    unit: str = "",
    label: str = "",
) -> str:
    """Draw one bar an input, from the answer at its low end to the answer at its high end.

    Parameters
    ----------
    rows : sequence of (input, answer at its low end, answer at its high end, low end, high end)
        The ends are words, such as ``3 yr``; they stand beside the bar. Drawn as they come.
    middle : float
        The answer with all inputs as they are; a line.
    title : str
    unit : str
        Of the answer, written with a prefix.
    label : str
        What the answer is.

    Raises
    ------
    ValueError
        If a value is not finite.
    """
    check([middle, *(v for row in rows for v in row[1:3])], False, "value")
    top, pitch = 82.0, 28.0
    bottom = top + pitch * len(rows)
    left = LEFT + 12 + min(max((width_of(row[0]) for row in rows), default=0), 0.34 * WIDTH)
    room = max((width_of(words, "tiny") for row in rows for words in row[3:]), default=0) + 12
    low, high = (f([middle, *(v for row in rows for v in row[1:3])]) for f in (min, max))
    if low == high:
        low, high = low - 1, high + 1
    x = scale(low, high, False, left + room, RIGHT - room)
    spoken = "; ".join(
        f"{name}: {number(a, unit)} at {at_low}, {number(b, unit)} at {at_high}"
        for name, a, b, at_low, at_high in rows
    )
    canvas = Canvas(
        WIDTH, bottom + 52, title, f"{label or 'answer'} {number(middle, unit)}; {spoken or 'no rows'}"
    )
    canvas.heading()
    canvas.rect(LEFT, 44, 12, 12, LOW, corner=2)
    canvas.text(LEFT + 17, 54, "at the low end of the input", "small")
    second = LEFT + 17 + width_of("at the low end of the input") + 12
    canvas.rect(second, 44, 12, 12, HIGH, corner=2)
    canvas.text(second + 17, 54, "at its high end", "small")
    for value in ticks(low, high):
        canvas.line(x(value), top, x(value), bottom)
        canvas.text(x(value), bottom + 18, number(value, unit), "tiny muted", "middle")
    for i, (name, a, b, at_low, at_high) in enumerate(rows):
        y = top + i * pitch
        canvas.text(left - 12, y + 18, name, "small", "end", room=left - 12 - LEFT)
        bars = ((a, at_low, LOW), (b, at_high, HIGH))
        for value, words, colour in sorted(bars, key=lambda bar: -abs(bar[0] - middle)):
            start, end = sorted((x(middle), x(value)))
            canvas.rect(start, y + 4, end - start, 19, colour, f"{name} {words}: {number(value, unit)}", 2)
        ends = sorted(((a, at_low), (b, at_high)), key=lambda one: one[0])
        if a == b:
            canvas.text(x(max(b, middle)) + 6, y + 18, "no difference", "tiny muted halo")
            continue
        canvas.text(min(x(ends[0][0]), x(middle)) - 6, y + 18, ends[0][1], "tiny halo", "end")
        canvas.text(max(x(ends[1][0]), x(middle)) + 6, y + 18, ends[1][1], "tiny halo")
    canvas.line(x(middle), top - 4, x(middle), bottom, "mark")
    words = f"{label} {number(middle, unit)}".strip()
    half = width_of(words) / 2
    canvas.text(min(max(x(middle), LEFT + half), RIGHT - half), top - 9, words, "small strong halo", "middle")
    return canvas.svg()

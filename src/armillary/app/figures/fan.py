"""Fans: how far a quantity may lie in each period, and what is wanted of it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from armillary.app.figures.axes import check, number, rounded_up, scale, ticks
from armillary.app.figures.canvas import Canvas, width_of
from armillary.app.figures.lines import LEFT, PLOT, RIGHT, WIDTH, x_axis, y_axis

FAN, WANTED = 0, 3
"""Colours."""


def fan_chart(
    labels: Sequence[str],
    levels: Sequence[float],
    values: Sequence[Sequence[float]],
    title: str,
    y_label: str = "",
    unit: str = "",
    wanted: Sequence[float] = (),
    wanted_label: str = "wanted",
) -> str:
    """Draw a box a period between each pair of levels, the outer ones fainter, and a line through the middle.

    Parameters
    ----------
    labels : sequence of str
        Of the periods.
    levels : sequence of float
        Quantiles, an odd number of them, rising and even about the middle, such as 0.05, 0.5, 0.95. [-]
    values : sequence of sequence of float
        ``[level][period]``.
    title, y_label : str
    unit : str
        Of the values, written with a prefix.
    wanted : sequence of float
        ``[period]``, a line to compare with; none where it is empty.
    wanted_label : str
        What that line is.

    Raises
    ------
    ValueError
        If a value is not finite, or levels and values do not fit together.
    """
    if len(levels) % 2 == 0 or len(values) != len(levels) or any(len(row) != len(labels) for row in values):
        raise ValueError(
            f"{len(levels)} levels of {len(labels)} periods need as many rows of as many values, and a middle"
        )
    if wanted and len(wanted) != len(labels):
        raise ValueError(f"There are {len(labels)} periods and {len(wanted)} wanted values.")
    check([*(v for row in values for v in row), *wanted], False, "y")
    pairs, middle = len(levels) // 2, values[len(levels) // 2]
    bands = [
        f"{number(levels[i], percent=True)} to {number(levels[-1 - i], percent=True)}" for i in range(pairs)
    ]
    top = 78.0
    bottom = top + PLOT
    write = partial(number, unit=unit)
    spoken = (
        f"{write(middle[0])} at {labels[0]} to {write(middle[-1])} at {labels[-1]} in the middle"
        if labels
        else ""
    )
    canvas = Canvas(WIDTH, bottom + 54, title, f"{y_label}: {spoken}" if spoken else "no periods")
    canvas.heading()
    if not labels:
        canvas.text(WIDTH / 2, top + PLOT / 2, "no periods", "muted", "middle")
        return canvas.svg()
    at = 24.0
    for i, words in enumerate(bands):
        canvas.rect(at, 44, 12, 12, FAN, corner=2, opacity=_opacity(i, pairs))
        canvas.text(at + 17, 54, words, "small")
        at += 17 + width_of(words) + 12
    for words, colour in (("middle", FAN), (wanted_label, WANTED))[: 2 if wanted else 1]:
        canvas.path([(at, 50), (at + 12, 50)], colour)
        canvas.text(at + 17, 54, words, "small")
        at += 17 + width_of(words) + 12
    highest = max(max(row) for row in [*values, list(wanted) or [0.0]])
    high = rounded_up(highest * 1.02 or 1.0, unit)
    y = scale(0.0, high, False, bottom, top)
    y_axis(canvas, y, ticks(0.0, high, unit=unit), y_label, write, LEFT, RIGHT)
    pitch = (RIGHT - LEFT) / len(labels)
    centres = [LEFT + (i + 0.5) * pitch for i in range(len(labels))]
    for i, (x, label) in enumerate(zip(centres, labels, strict=True)):
        for k in range(pairs):
            low, upper = values[k][i], values[-1 - k][i]
            tip = f"{label}: {write(low)} to {write(upper)} ({bands[k]}), middle {write(middle[i])}"
            canvas.rect(
                x - 0.4 * pitch,
                y(upper),
                0.8 * pitch,
                y(low) - y(upper),
                FAN,
                tip,
                opacity=_opacity(k, pairs),
            )
    canvas.path([(x, y(v)) for x, v in zip(centres, middle, strict=True)], FAN)
    if wanted:
        canvas.path([(x, y(v)) for x, v in zip(centres, wanted, strict=True)], WANTED)
    x_axis(
        canvas,
        lambda i: centres[int(i)],
        [float(i) for i in range(len(labels))],
        "",
        bottom,
        write=lambda i: labels[int(i)],
    )
    return canvas.svg()


def _opacity(band: int, bands: int) -> float:
    return 0.2 + 0.4 * band / max(1, bands - 1)

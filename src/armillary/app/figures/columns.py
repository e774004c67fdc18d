"""Stacked columns over time, with a line across them."""

from __future__ import annotations

from collections.abc import Sequence

from armillary.app.figures.axes import check, number, rounded_up, scale, ticks
from armillary.app.figures.canvas import FAINT, Canvas, legend_height, width_of
from armillary.app.figures.lines import LEFT, RIGHT, WIDTH, y_axis

PLOT = 300.0
"""Height of the plot. [pixel]"""


def stacked_columns(
    columns: Sequence[tuple[str, Sequence[tuple[str, float]]]],
    x_label: str,
    y_label: str,
    title: str,
    line: Sequence[float] = (),
    line_name: str = "",
    faint: Sequence[str] = (),
) -> str:
    """Draw one column a period, made of named parts, and a line of steps across them.

    Parameters
    ----------
    columns : sequence of (label, sequence of (part, value))
        The first part stands at the bottom.
    x_label, y_label, title : str
    line : sequence of float, optional
        A value for each column.
    line_name : str
        What the line is.
    faint : sequence of str
        Parts that are drawn pale, such as what is left over.

    Raises
    ------
    ValueError
        If a value is not finite or negative, or the line has another length than the columns.
    """
    values = [value for _, parts in columns for _, value in parts]
    check([*values, *line], False, "value")
    if any(value < 0 for value in [*values, *line]):
        raise ValueError(f"The values of stacked columns must be 0 or more. Got {min(values):g} instead.")
    if line and len(line) != len(columns):
        raise ValueError(f"The line must have a value for each of {len(columns)} columns. Got {len(line)}.")
    names = list(dict.fromkeys(name for _, parts in columns for name, value in parts))
    top = 54.0 + legend_height(names, RIGHT - 24) + (20 if line else 0)
    bottom = top + PLOT
    totals = [sum(value for _, value in parts) for _, parts in columns]
    spoken = "; ".join(
        f"{label}: " + ", ".join(f"{name} {number(value)}" for name, value in parts)
        for label, parts in (columns[:: max(len(columns) - 1, 1)])
    )
    canvas = Canvas(WIDTH, bottom + 54, title, spoken or "no columns")
    canvas.heading()
    if not columns:
        canvas.text(WIDTH / 2, top + PLOT / 2, "nothing to show", "muted", "middle")
        return canvas.svg()
    below = canvas.legend(24, 54, names, RIGHT, faint=faint)
    if line:
        canvas.line(24, below - 4, 36, below - 4, "mark", "5 4")
        canvas.text(41, below, line_name, "small")
    high = rounded_up(max([*totals, *line]) * 1.02) or 1.0
    y = scale(0.0, high, False, bottom, top)
    y_axis(canvas, y, ticks(0.0, high), y_label, number, LEFT, RIGHT)
    pitch = (RIGHT - LEFT) / len(columns)
    gap = min(4.0, pitch / 5)
    free = 0.0
    for i, (label, parts) in enumerate(columns):
        x, floor = LEFT + i * pitch + gap / 2, 0.0
        for name, value in parts:
            if value <= 0:
                continue
            tip = f"{label}, {name}: {number(value)} of {number(totals[i])}"
            canvas.rect(
                x,
                y(floor + value),
                pitch - gap,
                y(floor) - y(floor + value),
                names.index(name),
                tip,
                opacity=FAINT if name in faint else 1,
            )
            floor += value
        middle, half = LEFT + (i + 0.5) * pitch, width_of(label, "tiny") / 2
        canvas.line(middle, bottom, middle, bottom + 5, "axis")
        if middle - half > free and middle + half < WIDTH:
            canvas.text(middle, bottom + 19, label, "tiny muted", "middle")
            free = middle + half + 6
    canvas.line(LEFT, bottom, RIGHT, bottom, "axis")
    for i, value in enumerate(line):
        x = LEFT + i * pitch
        canvas.line(x, y(value), x + pitch, y(value), "mark", "5 4")
        if i:
            canvas.line(x, y(line[i - 1]), x, y(value), "mark", "5 4")
    canvas.text((LEFT + RIGHT) / 2, bottom + 40, x_label, "small", "middle")
    return canvas.svg()

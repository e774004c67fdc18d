"""Scatter plots of two like quantities, one against the other."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from armillary.app.figures.axes import check, number, scale, ticks
from armillary.app.figures.canvas import Canvas, width_of
from armillary.app.figures.lines import LEFT, WIDTH, Series, x_axis, y_axis


def scatter(
    series: Series,
    x_label: str,
    y_label: str,
    title: str,
    identity: bool = True,
    band: float = 0.2,
    unit: str = "",
    notes: Sequence[tuple[float, float, str]] = (),
) -> str:
    """Draw points on two logarithmic axes of the same reach, as a square.

    Parameters
    ----------
    series : sequence of (name, sequence of (x, y))
    x_label, y_label, title : str
    identity : bool
        Draw the line where x and y are equal.
    band : float
        Draw also where y is off by this share either way (up to ``1 + band`` times, down to one
        ``1 + band``-th); 0 for none [-].
    unit : str
        SI unit of both axes, written with a prefix.
    notes : sequence of (x, y, words)
        Words at a point, on the side away from the line of equals.

    Raises
    ------
    ValueError
        If a value is not finite and positive.
    """
    points = [p for _, line in series for p in line]
    top, side = 50.0, 470.0
    bottom, right = top + side, LEFT + side
    canvas = Canvas(WIDTH, bottom + 54, title, f"{y_label} against {x_label}, {len(points):,} points")
    canvas.heading()
    if not points:
        canvas.text(WIDTH / 2, top + side / 2, "no points", "muted", "middle")
        return canvas.svg()
    both = [v for p in points for v in p]
    check(both, True, "x or y")
    low, high = min(both) / 1.1, max(both) * 1.1
    x, y = scale(low, high, True, LEFT, right), scale(low, high, True, bottom, top)
    at, write = ticks(low, high, True, unit=unit), partial(number, unit=unit)
    y_axis(canvas, y, at, y_label, write, LEFT, right)
    for value in at:
        canvas.line(x(value), top, x(value), bottom)
    x_axis(canvas, x, at, x_label, bottom, right, write)
    if identity:
        canvas.line(x(low), y(low), x(high), y(high), "axis")
        if band:
            f = 1 + band
            canvas.line(x(low), y(low * f), x(high / f), y(high), "axis", "3 4")
            canvas.line(x(low * f), y(low), x(high), y(high / f), "axis", "3 4")
    for colour, (name, line) in enumerate(series):
        for a, b in line:
            tip = f"{name}: {write(b)} at {write(a)}, {number(b / a - 1, percent=True)}"
            canvas.marker(x(a), y(b), colour, tip, 3.2, 0.65)
    for a, b, words in notes:
        room = width_of(words, "tiny")
        if b > a:
            canvas.text(max(x(a) - 6, LEFT + room), y(b) - 8, words, "tiny halo", "end")
        else:
            canvas.text(min(x(a) + 6, right + 12 - room), y(b) + 15, words, "tiny halo")
    legend = [f"{name} ({len(line):,})" for name, line in series]
    below = top + 14
    for colour, word in enumerate(legend):
        canvas.marker(right + 34, below - 4, colour)
        canvas.text(right + 46, below, word, "small", room=WIDTH - right - 60)
        below += 22
    if identity:
        canvas.line(right + 26, below + 2, right + 42, below + 2, "axis")
        canvas.text(right + 46, below + 6, "equal", "small muted")
        if band:
            canvas.line(right + 26, below + 24, right + 42, below + 24, "axis", "3 4")
            canvas.text(right + 46, below + 28, f"off by {band:.0%}", "small muted")
    return canvas.svg()

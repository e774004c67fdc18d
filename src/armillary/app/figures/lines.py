"""Line charts, linear or logarithmic, and the axes that scatter plots share with them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from armillary.app.figures.axes import check, number, rounded_up, scale, ticks
from armillary.app.figures.canvas import Canvas, legend_height, width_of

WIDTH, LEFT, RIGHT = 860.0, 84.0, 828.0
PLOT = 270.0
"""Height of a line chart's plot. [pixel]"""

Series = Sequence[tuple[str, Sequence[tuple[float, float]]]]
Place = Callable[[float], float]


def line_chart(
    series: Series,
    x_label: str,
    y_label: str,
    title: str,
    log_x: bool = False,
    log_y: bool = False,
    percent: bool = False,
    y_unit: str = "",
    marks: Sequence[tuple[float, str]] = (),
    notes: Sequence[tuple[float, float, str]] = (),
) -> str:
    """Draw lines with a marker at each point; one short line alone has its values written at the points.

    Parameters
    ----------
    series : sequence of (name, sequence of (x, y))
        Without any point, the figure says so.
    x_label, y_label, title : str
    log_x, log_y : bool
        Logarithmic axes; a linear y axis starts at 0, or below it where values are negative.
    percent : bool
        True where y is a share.
    y_unit : str
        SI unit of y, written with a prefix.
    marks : sequence of (x, words)
        Vertical lines with words, e.g. where the machine stands today.
    notes : sequence of (x, y, words)
        Words at a point.

    Raises
    ------
    ValueError
        If a value is not finite, or not positive on a logarithmic axis.
    """
    points = [p for _, line in series for p in line]
    names = [name for name, _ in series]
    shown = names if len(names) > 1 else []
    top = 54.0 + (legend_height(shown, RIGHT - 24) if shown else 0)
    bottom = top + PLOT
    canvas = Canvas(
        WIDTH, bottom + 54, title, f"{y_label} against {x_label}: {_spoken(series, y_unit, percent)}"
    )
    canvas.heading()
    if not points:
        canvas.text(WIDTH / 2, top + PLOT / 2, "nothing fits", "muted", "middle")
        return canvas.svg()
    xs = [p[0] for p in points] + [m[0] for m in marks] + [n[0] for n in notes]
    ys = [p[1] for p in points] + [n[1] for n in notes]
    check(xs, log_x, "x")
    check(ys, log_y, "y")
    canvas.legend(24, 54, shown, RIGHT, markers=True)
    single = sorted({p[0] for p in points})
    x = scale(min(xs), max(xs), log_x, LEFT + 26, RIGHT - 26)
    low, high = _reach(ys, log_y, y_unit)
    if percent and max(ys) <= 1:
        high = min(high, 1.0)  # of shares there are no more
    y = scale(low, high, log_y, bottom, top)
    write = partial(number, unit=y_unit, percent=percent)
    y_axis(canvas, y, ticks(low, high, log_y, unit=y_unit), y_label, write, LEFT, RIGHT)
    x_axis(canvas, x, single if len(single) <= 12 else ticks(min(xs), max(xs), log_x), x_label, bottom)
    for at, words in marks:
        canvas.line(x(at), top - 4, x(at), bottom, "mark", "5 4")
        late = x(at) > (LEFT + RIGHT) / 2
        canvas.text(x(at) + (-6 if late else 6), top + 8, words, "small halo", "end" if late else "start")
    for colour, (name, line) in enumerate(series):
        ordered = sorted(line)
        canvas.path([(x(a), y(b)) for a, b in ordered], colour)
        for a, b in ordered:
            value = write(b)
            canvas.marker(x(a), y(b), colour, f"{name}: {value} at {number(a)}")
            if len(series) == 1 and len(ordered) <= 12:
                canvas.text(x(a), y(b) - 11, value, "tiny halo", "middle")
    for a, b, words in notes:
        late = x(a) > (LEFT + RIGHT) / 2
        canvas.text(x(a) + (-9 if late else 9), y(b) + 16, words, "small halo", "end" if late else "start")
    return canvas.svg()


def _reach(values: Sequence[float], log: bool, unit: str) -> tuple[float, float]:
    if log:
        return min(values) / 1.08, max(values) * 1.08
    low, high = min(0.0, *values), max(0.0, *values)
    if low == high:
        return 0.0, 1.0
    return (-rounded_up(-low, unit) if low < 0 else 0.0), (rounded_up(high * 1.04, unit) if high > 0 else 0.0)


def y_axis(
    canvas: Canvas,
    y: Place,
    at: Sequence[float],
    label: str,
    write: Callable[[float], str],
    left: float,
    right: float,
) -> None:
    """Draw lines across, and values at their left."""
    for value in at:
        canvas.line(left, y(value), right, y(value))
        canvas.text(left - 9, y(value) + 4, write(value), "tiny muted", "end")
    canvas.text(24, (y(at[0]) + y(at[-1])) / 2, label, "small", "middle", -90)


def x_axis(
    canvas: Canvas,
    x: Place,
    at: Sequence[float],
    label: str,
    bottom: float,
    right: float = RIGHT,
    write: Callable[[float], str] = number,
) -> None:
    """Draw the axis, a stroke at each value and the words that have room."""
    canvas.line(LEFT, bottom, right, bottom, "axis")
    free = 0.0
    for value in at:
        words = write(value)
        half = width_of(words, "tiny") / 2
        canvas.line(x(value), bottom, x(value), bottom + 5, "axis")
        if x(value) - half > free:
            canvas.text(x(value), bottom + 19, words, "tiny muted", "middle")
            free = x(value) + half + 6
    canvas.text((LEFT + right) / 2, bottom + 40, label, "small", "middle")


def _spoken(series: Series, unit: str, percent: bool) -> str:
    def ends(line: Sequence[tuple[float, float]]) -> str:
        if not line:
            return "nothing fits"
        first, last = min(line), max(line)
        return " to ".join(f"{number(b, unit, percent)} at {number(a)}" for a, b in (first, last))

    return "; ".join(f"{name}, {ends(line)}" for name, line in series) or "no lines"

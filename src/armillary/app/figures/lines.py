"""Line charts and scatter plots, linear or logarithmic."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from armillary.app.figures.canvas import PALETTE, Canvas, number, ticks

WIDTH, HEIGHT = 860.0, 400.0
LEFT, RIGHT, TOP, BOTTOM = 84.0, 30.0, 52.0, 86.0

Series = Sequence[tuple[str, Sequence[tuple[float, float]]]]


def _axis(low: float, high: float, log: bool, start: float, end: float) -> Callable[[float], float]:
    if log:
        a, b = math.log10(low), math.log10(high)
        return lambda v: start + (math.log10(v) - a) / ((b - a) or 1.0) * (end - start)
    return lambda v: start + (v - low) / ((high - low) or 1.0) * (end - start)


def _frame(
    canvas: Canvas,
    xs: Sequence[float],
    ys: Sequence[float],
    log_x: bool,
    log_y: bool,
    x_label: str,
    y_label: str,
    percent: bool,
    y_unit: str,
    x_at: Sequence[float] | None,
) -> tuple[Callable[[float], float], Callable[[float], float]]:
    low_x, high_x = min(xs), max(xs)
    low_y, high_y = (min(ys) * 0.9, max(ys) * 1.1) if log_y else (min(0.0, min(ys)), max(ys) * 1.08 or 1.0)
    x = _axis(low_x, high_x, log_x, LEFT + 12, WIDTH - RIGHT - 12)
    y = _axis(low_y, high_y, log_y, HEIGHT - BOTTOM, TOP)
    for value in ticks(low_y, high_y, log_y):
        canvas.line(LEFT, y(value), WIDTH - RIGHT, y(value))
        canvas.text(LEFT - 8, y(value) + 4, number(value, y_unit, percent), "small muted", "end")
    for value in x_at if x_at is not None else ticks(low_x, high_x, log_x):
        canvas.line(x(value), HEIGHT - BOTTOM, x(value), HEIGHT - BOTTOM + 5, "axis")
        canvas.text(x(value), HEIGHT - BOTTOM + 19, number(value), "small muted", "middle")
    canvas.line(LEFT, HEIGHT - BOTTOM, WIDTH - RIGHT, HEIGHT - BOTTOM, "axis")
    canvas.text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - BOTTOM + 40, x_label, "small", "middle")
    canvas.text(22, (TOP + HEIGHT - BOTTOM) / 2, y_label, "small", "middle", -90)
    return x, y


def line_chart(
    series: Series,
    x_label: str,
    y_label: str,
    title: str,
    log_x: bool = False,
    log_y: bool = False,
    percent: bool = False,
    y_unit: str = "",
) -> str:
    """Draw lines with a marker at each point; every x that has a point gets a tick if they are few.

    Parameters
    ----------
    series : sequence of (name, sequence of (x, y))
    """
    points = [p for _, line in series for p in line]
    canvas = Canvas(WIDTH, HEIGHT, title, f"{y_label} against {x_label}: " + "; ".join(n for n, _ in series))
    canvas.text(24, 30, title, "title")
    if not points:
        canvas.text(WIDTH / 2, HEIGHT / 2, "nothing fits", "muted", "middle")
        return canvas.svg()
    xs = sorted({p[0] for p in points})
    x, y = _frame(
        canvas,
        xs,
        [p[1] for p in points],
        log_x,
        log_y,
        x_label,
        y_label,
        percent,
        y_unit,
        xs if len(xs) <= 8 else None,
    )
    for i, (name, line) in enumerate(series):
        colour = PALETTE[i % len(PALETTE)]
        ordered = sorted(line)
        canvas.path([(x(a), y(b)) for a, b in ordered], colour)
        for a, b in ordered:
            canvas.circle(x(a), y(b), 4, colour, f"{name}: {number(a)}, {number(b, y_unit, percent)}")
    canvas.legend(
        LEFT, HEIGHT - 18, [(n, PALETTE[i % len(PALETTE)]) for i, (n, _) in enumerate(series)], WIDTH - 120
    )
    return canvas.svg()


def scatter(series: Series, x_label: str, y_label: str, title: str, identity: bool = True) -> str:
    """Draw points on two logarithmic axes, with the line where both are equal."""
    points = [p for _, line in series for p in line]
    canvas = Canvas(WIDTH, HEIGHT, title, f"{y_label} against {x_label}, {len(points)} points")
    canvas.text(24, 30, title, "title")
    if not points:
        canvas.text(WIDTH / 2, HEIGHT / 2, "no points", "muted", "middle")
        return canvas.svg()
    both = [v for p in points for v in p]
    x, y = _frame(canvas, both, both, True, True, x_label, y_label, False, "", None)
    if identity:
        low, high = min(both), max(both)
        canvas.line(x(low), y(low), x(high), y(high), "mark", "4 4")
    for i, (name, line) in enumerate(series):
        for a, b in line:
            canvas.circle(x(a), y(b), 3, PALETTE[i % len(PALETTE)], f"{name}: {number(a)}, {number(b)}", 0.6)
    canvas.legend(
        LEFT, HEIGHT - 18, [(n, PALETTE[i % len(PALETTE)]) for i, (n, _) in enumerate(series)], WIDTH - 120
    )
    return canvas.svg()

"""Stacked and plain horizontal bars."""

from __future__ import annotations

from collections.abc import Sequence

from armillary.app.figures.canvas import PALETTE, Canvas, number, ticks

WIDTH = 860.0


def stacked_bar(
    rows: Sequence[tuple[str, Sequence[tuple[str, float]]]],
    unit: str,
    title: str,
    limit: float | None = None,
    limit_label: str = "capacity",
) -> str:
    """Draw one horizontal bar a row, made of named parts.

    Parameters
    ----------
    rows : sequence of (label, sequence of (part, value))
    unit : str
        For labels, e.g. ``s`` or ``B``.
    title : str
    limit : float, optional
        A value to mark with a line, such as the memory of an accelerator.
    """
    names = list(dict.fromkeys(name for _, parts in rows for name, value in parts if value > 0))
    colours = {name: PALETTE[i % len(PALETTE)] for i, name in enumerate(names)}
    totals = [sum(v for _, v in parts) for _, parts in rows]
    most = max([*totals, limit or 0.0]) or 1.0
    top, pitch, left, right = 52.0, 50.0, 24.0, 90.0
    legend_lines = 1 + int(sum(26 + 7.0 * len(n) for n in names) // (WIDTH - 60))
    height = top + pitch * len(rows) + 34 + 20 * legend_lines + 16
    canvas = Canvas(
        WIDTH,
        height,
        title,
        "; ".join(f"{label}: {number(t, unit)}" for (label, _), t in zip(rows, totals, strict=True)),
    )
    canvas.text(left, 30, title, "title")
    scale = (WIDTH - left - right) / most
    bottom = top + pitch * len(rows)
    for value in ticks(0, most):
        x = left + value * scale
        canvas.line(x, top, x, bottom)
        canvas.text(x, bottom + 16, number(value, unit), "small muted", "middle")
    for i, (label, parts) in enumerate(rows):
        y = top + i * pitch
        canvas.text(left, y + 13, label, "small")
        x = left
        for name, value in parts:
            if value <= 0:
                continue
            tip = f"{name}: {number(value, unit)} ({value / totals[i]:.1%})"
            canvas.rect(x, y + 18, value * scale, 22, colours[name], tip)
            x += value * scale
        canvas.text(x + 6, y + 34, number(totals[i], unit), "small")
    if limit is not None:
        x = left + limit * scale
        canvas.line(x, top - 4, x, bottom, "mark", "5 4")
        canvas.text(x - 4, top - 8, f"{limit_label} {number(limit, unit)}", "small", "end")
    canvas.legend(left, bottom + 42, [(n, colours[n]) for n in names], WIDTH - 60)
    return canvas.svg()


def bar_chart(rows: Sequence[tuple[str, float]], title: str, unit: str = "", percent: bool = False) -> str:
    """Draw horizontal bars, to the left of zero where negative.

    Parameters
    ----------
    rows : sequence of (label, value)
    percent : bool
        True where values are shares.
    """
    top, pitch = 48.0, 26.0
    left = 40 + 7.0 * max((len(label) for label, _ in rows), default=0)
    low, high = min([0.0, *(v for _, v in rows)]), max([0.0, *(v for _, v in rows)])
    span = (high - low) or 1.0
    scale = (WIDTH - left - 90) / span
    height = top + pitch * len(rows) + 30
    canvas = Canvas(WIDTH, height, title, "; ".join(f"{a}: {number(v, unit, percent)}" for a, v in rows))
    canvas.text(24, 30, title, "title")
    zero = left + (0 - low) * scale
    for i, (label, value) in enumerate(rows):
        y = top + i * pitch
        canvas.text(left - 10, y + 14, label, "small", "end")
        x = min(zero, zero + value * scale)
        canvas.rect(
            x,
            y + 2,
            abs(value) * scale,
            17,
            PALETTE[0] if value >= 0 else PALETTE[3],
            f"{label}: {number(value, unit, percent)}",
            2,
        )
        end = zero + value * scale
        canvas.text(
            end + (6 if value >= 0 else -6),
            y + 15,
            number(value, unit, percent),
            "small",
            "start" if value >= 0 else "end",
        )
    canvas.line(zero, top - 2, zero, top + pitch * len(rows), "axis")
    return canvas.svg()

"""Stacked and diverging horizontal bars, and ranges around a middle."""

from __future__ import annotations

from collections.abc import Sequence

from armillary.app.figures.axes import check, number, scale, ticks
from armillary.app.figures.canvas import Canvas, ink_on, legend_height, width_of

WIDTH, LEFT, RIGHT = 860.0, 24.0, 836.0
NAMED = 0.002
"""Parts under this share of every row are drawn, and named by their tooltip, but not in the legend. [-]"""


def stacked_bar(
    rows: Sequence[tuple[str, Sequence[tuple[str, float]]]],
    unit: str,
    title: str,
    limit: float | None = None,
    limit_label: str = "capacity",
) -> str:
    """Draw one horizontal bar a row, made of named parts; the row's total stands at its end.

    Parameters
    ----------
    rows : sequence of (label, sequence of (part, value))
        Values in the SI unit `unit`; a part of 0 is left out.
    unit : str
        ``s``, ``B``, ``W`` ...; written with a prefix.
    title : str
    limit : float, optional
        A value to mark with a line, such as the memory of an accelerator; rows past it say by how much.
    limit_label : str
        What the limit is.

    Raises
    ------
    ValueError
        If a value is not finite or negative.
    """
    for _, parts in rows:
        check((value for _, value in parts), False, "value")
        if any(value < 0 for _, value in parts):
            raise ValueError(f"The parts of a stacked bar must be 0 or more. Got {dict(parts)!r} instead.")
    totals = [sum(value for _, value in parts) for _, parts in rows]
    names = _order([[name for name, value in parts if value > 0] for _, parts in rows])
    shares = [{name: v / (sum(dict(parts).values()) or 1) for name, v in parts} for _, parts in rows]
    largest = {name: max(row.get(name, 0.0) for row in shares) for name in names}
    names.sort(key=lambda name: largest[name] < NAMED)  # stable: what the legend names comes first
    named = [name for name in names if largest[name] >= NAMED]
    ends = [_end(total, limit, unit) for total in totals]
    most = max([*totals, limit or 0.0]) or 1.0
    right = RIGHT - max(
        (width_of(e) + 10 for e, t in zip(ends, totals, strict=True) if t > 0.7 * most), default=0
    )
    right = min(right, RIGHT - 12)
    top, pitch = 62.0 if limit is not None else 48.0, 52.0
    bottom = top + pitch * len(rows) + 4
    height = bottom + 34 + (legend_height(named, RIGHT - LEFT) + 8 if named else 0)
    spoken = "; ".join(f"{label}: {number(t, unit)}" for (label, _), t in zip(rows, totals, strict=True))
    canvas = Canvas(WIDTH, height, title, spoken or "no rows")
    canvas.heading()
    grow = (right - LEFT) / most
    for value in ticks(0, most, unit=unit):
        x = LEFT + value * grow
        canvas.line(x, top, x, bottom)
        canvas.text(x, bottom + 17, number(value, unit), "tiny muted", "middle" if value else "start")
    for i, ((_, parts), total, end) in enumerate(zip(rows, totals, ends, strict=True)):
        y, x = top + i * pitch, LEFT
        for name, value in parts:
            if value <= 0:
                continue
            width, colour = value * grow, names.index(name)
            tip = f"{name}: {number(value, unit)}, {value / total:.1%} of {number(total, unit)}"
            canvas.rect(x, y + 20, width, 24, colour, tip, kind="gap" if width > 3 else "")
            share = f"{value / total:.0%}"
            if width > width_of(share, "tiny") + 10:
                canvas.text(x + width / 2, y + 36, share, f"tiny {ink_on(colour)}", "middle")
            x += width
        over = limit is not None and total > limit
        canvas.text(x + 7, y + 36, end, "small strong halo" + (" over" if over else ""))
    if limit is not None:
        x = LEFT + limit * grow
        canvas.line(x, top - 6, x, bottom, "mark", "5 4")
        words, late = f"{limit_label} {number(limit, unit)}", x > WIDTH / 2
        canvas.text(x + (4 if late else -4), top - 11, words, "small", "end" if late else "start")
    for i, (label, _) in enumerate(rows):  # last, so that no line crosses the words
        canvas.text(LEFT, top + i * pitch + 14, label, "small halo", room=RIGHT - LEFT)
    canvas.legend(LEFT, bottom + 44, named, RIGHT)
    return canvas.svg()


def _order(rows: Sequence[Sequence[str]]) -> list[str]:
    """One order of all names that keeps each row's as far as they agree."""
    names: list[str] = []
    for row in rows:
        after = 0
        for name in row:
            if name not in names:
                names.insert(after, name)
            after = names.index(name) + 1
    return names


def _end(total: float, limit: float | None, unit: str) -> str:
    over = limit is not None and total > limit
    return number(total, unit) + (f", {number(total - (limit or 0.0), unit)} over" if over else "")


def bar_chart(rows: Sequence[tuple[str, float]], title: str, unit: str = "", percent: bool = False) -> str:
    """Draw one horizontal bar a row, to the left of zero and in another colour where negative.

    Parameters
    ----------
    rows : sequence of (label, value)
    title : str
    unit : str
        For the values, e.g. ``s``.
    percent : bool
        True where values are shares.

    Raises
    ------
    ValueError
        If a value is not finite.
    """
    check((value for _, value in rows), False, "value")
    texts = [number(value, unit, percent) for _, value in rows]
    top, pitch = 50.0, 28.0
    bottom = top + pitch * len(rows)
    left = LEFT + 12 + min(max((width_of(label) for label, _ in rows), default=0), 0.45 * WIDTH)
    low, high = min([0.0, *(v for _, v in rows)]), max([0.0, *(v for _, v in rows)])
    room = max(map(width_of, texts), default=0) + 10
    start, end = left + (room if low < 0 else 0), RIGHT - (room if high > 0 else 0)
    grow = (end - start) / ((high - low) or 1.0)
    spoken = "; ".join(f"{label}: {text}" for (label, _), text in zip(rows, texts, strict=True))
    canvas = Canvas(WIDTH, bottom + 20, title, spoken or "no rows")
    canvas.heading()
    zero = start - low * grow
    for i, ((label, value), text) in enumerate(zip(rows, texts, strict=True)):
        y, tip = top + i * pitch, zero + value * grow
        canvas.text(left - 12, y + 17, label, "small", "end", room=left - 12 - LEFT)
        canvas.rect(
            min(zero, tip), y + 3, abs(value) * grow, 19, 0 if value >= 0 else 3, f"{label}: {text}", 2
        )
        canvas.text(tip + (7 if value >= 0 else -7), y + 17, text, "small", "start" if value >= 0 else "end")
    canvas.line(zero, top - 3, zero, bottom, "axis")
    return canvas.svg()


def range_chart(
    groups: Sequence[tuple[str, Sequence[tuple[str, float, float, float, int]]]],
    title: str,
    low: float,
    high: float,
    note: str = "",
) -> str:
    """Draw one bar from a low to a high value a row, with a stroke at its middle, below headings.

    Parameters
    ----------
    groups : sequence of (heading, sequence of (label, low, middle, high, count))
        Values as shares; the count stands at the end of the row.
    title : str
    low, high : float
        Reach of the axis; what is beyond is cut at its edge with an arrow [-].
    note : str
        What bar and stroke are.

    Raises
    ------
    ValueError
        If a value is not finite.
    """
    check((v for _, rows in groups for row in rows for v in row[1:4]), False, "value")
    top, pitch, gap = 74.0, 22.0, 30.0
    labels = [row[0] for _, rows in groups for row in rows]
    left = LEFT + 12 + min(max(map(width_of, labels), default=0), 0.34 * WIDTH)
    right = RIGHT - 150
    bottom = top + sum(gap + pitch * len(rows) for _, rows in groups)
    spoken = "; ".join(
        f"{label}: {number(mid, percent=True)}, {number(a, percent=True)} to {number(b, percent=True)}"
        for _, rows in groups
        for label, a, mid, b, _ in rows
    )
    canvas = Canvas(WIDTH, bottom + 40, title, spoken or "no rows")
    canvas.heading()
    canvas.text(LEFT, 50, note, "small muted")
    x = scale(low, high, False, left, right)
    for value in ticks(low, high):
        canvas.line(x(value), top, x(value), bottom, "grid" if abs(value) > 1e-9 else "axis")
        canvas.text(x(value), bottom + 18, number(value, percent=True), "tiny muted", "middle")
    y = top
    for colour, (heading, rows) in enumerate(groups):
        canvas.text(LEFT, y + 20, heading, "small strong halo")
        y += gap
        for label, a, mid, b, count in rows:
            start, end, middle = (x(min(max(v, low), high)) for v in (a, b, mid))
            words = f"{number(mid, percent=True)}, {number(a, percent=True)} to {number(b, percent=True)}"
            canvas.text(left - 12, y + 13, label, "small", "end", room=left - 12 - LEFT)
            canvas.rect(start, y + 3, max(end - start, 2.0), 12, colour, f"{label}: {words}", 2)
            canvas.line(middle, y, middle, y + 18, "mark")
            if b > high:
                canvas.text(end + 3, y + 13, "→", "tiny muted")
            if a < low:
                canvas.text(start - 3, y + 13, "←", "tiny muted", "end")
            canvas.text(RIGHT - 76, y + 13, number(mid, percent=True), "tiny", "end")
            canvas.text(RIGHT, y + 13, f"{count:,} rows" if count != 1 else "1 row", "tiny muted", "end")
            y += pitch
    return canvas.svg()

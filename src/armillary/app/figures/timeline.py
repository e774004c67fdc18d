"""Timelines: tracks of slices from a start to an end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from armillary.app.figures.axes import check, number, ticks
from armillary.app.figures.canvas import Canvas, ink_on, legend_height, width_of

WIDTH, RIGHT = 860.0, 836.0
BAR, PITCH = 18.0, 26.0


class Span(NamedTuple):
    """One slice of a track. kind : what the colour says. start, end [s]."""

    name: str
    kind: str
    start: float
    end: float


def timeline(tracks: Sequence[tuple[str, Sequence[Span]]], title: str) -> str:
    """Draw tracks of slices over a common axis of time.

    Parameters
    ----------
    tracks : sequence of (name, slices)
        Slices of one kind have one colour.
    title : str

    Raises
    ------
    ValueError
        If a time is not finite, or a slice ends before it starts.
    """
    spans = [span for _, track in tracks for span in track]
    check((t for s in spans for t in (s.start, s.end)), False, "time")
    for span in spans:
        if span.end < span.start:
            raise ValueError(f"The end of {span.name!r} must not be before its start. Got {span!r} instead.")
    kinds = list(dict.fromkeys(s.kind for s in spans))
    end = max((s.end for s in spans), default=0.0) or 1.0
    top = 48.0 + legend_height(kinds, RIGHT - 24) if kinds else 48.0
    bottom = top + PITCH * max(len(tracks), 1)
    spoken = "; ".join(f"{name}: {len(track)} slices" for name, track in tracks)
    canvas = Canvas(WIDTH, bottom + 40, title, spoken or "no tracks")
    canvas.heading()
    canvas.legend(24, 54, kinds, RIGHT)
    left = 36.0 + max((width_of(name, "tiny") for name, _ in tracks), default=0.0)
    grow = (RIGHT - left) / end
    for value in ticks(0, end, unit="s"):
        x = left + value * grow
        canvas.line(x, top, x, bottom)
        canvas.text(x, bottom + 17, number(value, "s"), "tiny muted", "middle" if value else "start")
    for i, (name, track) in enumerate(tracks):
        y = top + PITCH * i + (PITCH - BAR) / 2
        canvas.text(left - 10, y + 13, name, "tiny", "end")
        for span in track:
            colour, width = kinds.index(span.kind), max((span.end - span.start) * grow, 0.5)
            tip = f"{span.name}: {number(span.start, 's')} to {number(span.end, 's')}"
            canvas.rect(left + span.start * grow, y, width, BAR, colour, tip, kind="gap" if width > 3 else "")
            if width > width_of(span.name, "tiny") + 8:
                x = left + span.start * grow + width / 2
                canvas.text(x, y + 13, span.name, f"tiny {ink_on(colour)}", "middle")
    return canvas.svg()

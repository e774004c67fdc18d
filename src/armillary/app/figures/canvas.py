"""The drawing surface that all figures share: text, lines, scales, ticks, style."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

PALETTE = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#D55E00",
    "#CC79A7",
    "#56B4E9",
    "#B8A800",
    "#888888",
    "#7A5195",
    "#4C9F70",
    "#B85C00",
    "#5B8FF9",
    "#A0522D",
    "#708090",
    "#C71585",
)
"""Okabe-Ito first, then others of distinct lightness."""

STYLE = (
    "text{font:13px system-ui,-apple-system,'Segoe UI',sans-serif;fill:#1b1f24}"
    ".title{font-size:16px;font-weight:600}.small{font-size:11.5px}.muted{fill:#5b6470}"
    ".grid{stroke:#d8dde3;stroke-width:1}.axis{stroke:#8a93a0;stroke-width:1}"
    ".mark{stroke:#1b1f24}.paper{fill:#ffffff}"
    "@media(prefers-color-scheme:dark){text{fill:#e6e9ed}.muted{fill:#a3adb8}.grid{stroke:#343b44}"
    ".axis{stroke:#7d8794}.mark{stroke:#e6e9ed}.paper{fill:#15191e}}"
)


class Canvas:
    """Collects SVG elements; coordinates in pixels from the top left."""

    def __init__(self, width: float, height: float, title: str, description: str) -> None:
        self.width, self.height = width, height
        self._title, self._description = title, description
        self._elements: list[str] = []

    def text(
        self, x: float, y: float, words: str, kind: str = "", anchor: str = "start", turn: float = 0
    ) -> None:
        """Write words; `anchor` is start, middle or end; `turn` in degrees around the point."""
        around = f' transform="rotate({turn:g} {x:.1f} {y:.1f})"' if turn else ""
        cls = f' class="{kind}"' if kind else ""
        self._elements.append(
            f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{cls}{around}>{escape(words)}</text>'
        )

    def line(self, x1: float, y1: float, x2: float, y2: float, kind: str = "grid", dash: str = "") -> None:
        """Draw a straight line of the style `kind`."""
        dashes = f' stroke-dasharray="{dash}"' if dash else ""
        self._elements.append(
            f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"{dashes}/>'
        )

    def rect(
        self, x: float, y: float, width: float, height: float, colour: str, tip: str = "", round_: float = 0
    ) -> None:
        """Draw a filled rectangle with a tooltip."""
        self._elements.append(
            f'<rect x="{x:.2f}" y="{y:.2f}" width="{max(width, 0):.2f}" height="{max(height, 0):.2f}" '
            f'rx="{round_:g}" fill="{colour}">{_tip(tip)}</rect>'
        )

    def circle(
        self,
        x: float,
        y: float,
        radius: float,
        colour: str,
        tip: str = "",
        opacity: float = 1,
        stroke: str = "",
    ) -> None:
        """Draw a disc, or a ring where `stroke` is given."""
        paint = f'fill="none" stroke="{stroke}" stroke-width="2"' if stroke else f'fill="{colour}"'
        self._elements.append(
            f'<circle cx="{x:.2f}" cy="{y:.2f}" r="{radius:.2f}" {paint} opacity="{opacity:g}">'
            f"{_tip(tip)}</circle>"
        )

    def path(self, points: Sequence[tuple[float, float]], colour: str) -> None:
        """Draw a polyline."""
        joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self._elements.append(
            f'<polyline points="{joined}" fill="none" stroke="{colour}" stroke-width="2.5" '
            f'stroke-linejoin="round"/>'
        )

    def legend(self, x: float, y: float, names: Sequence[tuple[str, str]], width: float) -> float:
        """Write (name, colour) pairs in lines no wider than `width`; returns the y below them."""
        at = x
        for name, colour in names:
            need = 26 + 7.0 * len(name)
            if at + need > x + width and at > x:
                at, y = x, y + 20
            self.rect(at, y - 10, 11, 11, colour, round_=2)
            self.text(at + 16, y, name, "small")
            at += need
        return y + 20

    def svg(self) -> str:
        """The whole document."""
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width:.0f} {self.height:.0f}" '
            f'width="{self.width:.0f}" role="img" style="max-width:100%;height:auto">'
            f"<title>{escape(self._title)}</title><desc>{escape(self._description)}</desc><style>{STYLE}</style>"
            f'<rect class="paper" width="100%" height="100%" rx="6"/>{"".join(self._elements)}</svg>'
        )


def _tip(words: str) -> str:
    return f"<title>{escape(words)}</title>" if words else ""


def ticks(low: float, high: float, log: bool = False, most: int = 7) -> list[float]:
    """Round values from `low` to `high`, at most about so many."""
    if log:
        decades = [10.0**e for e in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)]
        inside = [d for d in decades if low * 0.999 <= d <= high * 1.001]
        if len(inside) >= 3:
            return inside
        return [d * m for d in decades for m in (1, 2, 5) if low * 0.999 <= d * m <= high * 1.001]
    if high <= low:
        return [low]
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough)
    first = math.ceil(low / step - 1e-9)
    return [i * step for i in range(first, math.floor(high / step + 1e-9) + 1)]


def number(value: float, unit: str = "", percent: bool = False) -> str:
    """A short label: ``12 ms``, ``4,608``, ``42%``."""
    from armillary.units import show

    if percent:
        return f"{value:.0%}"
    if unit:
        return show(value, unit)
    if value >= 10_000:
        return show(value)
    return f"{value:,.4g}"

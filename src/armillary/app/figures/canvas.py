"""The drawing surface that all figures share: style, text, shapes, legend; written out as SVG text.

Colours are classes `c0`, `c1`, ... that set `color`, and shapes paint with ``currentColor``: one style sheet
then serves light and dark. All rules hang below ``.figure``, so that a figure inside a page leaves it alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

_LIGHT = (
    "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#C9B800", "#8A8F98",
    "#004B75", "#8F6200", "#00674B", "#8E3F00", "#8C4A70", "#2C7FB0", "#5B626C",
)  # fmt: skip
_DARK = (
    "#3D9AD6", "#F0B030", "#1FBF92", "#EE7F45", "#DE98BF", "#8CD0F7", "#EFE35A", "#A3AAB4",
    "#6E8FC9", "#C9A45C", "#6FB59B", "#C98A62", "#B685A0", "#5FB3DD", "#7F8792",
)  # fmt: skip
_DARK_INK = (1, 4, 5, 6, 7)
"""Colours of the light set that carry dark letters; the others carry white ones."""

FAINT = 0.28
"""Opacity of what is left over. [-]"""
COLOURS = len(_LIGHT)
"""Colours before they repeat: the seven of Okabe and Ito without black, a grey, then deeper tones of them."""

_FONT = "system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif"
_SIZES = {"title": 16.0, "": 13.0, "small": 12.0, "tiny": 11.0}


_RULES = {  # class: (light, dark)
    "text": ("fill:#1b1f24", "fill:#e6e9ed"),
    ".muted": ("fill:#5b6470", "fill:#a3adb8"),
    ".over": ("fill:#b34700", "fill:#ff9d66"),
    ".ink": ("fill:#fff", "fill:#0c0f13"),
    ".halo": ("stroke:#fff", "stroke:#15191e"),
    ".gap": ("stroke:#fff", "stroke:#15191e"),
    ".paper": ("fill:#fff", "fill:#15191e"),
    ".grid": ("stroke:#e1e5ea", "stroke:#2b323a"),
    ".axis": ("stroke:#8a93a0", "stroke:#7d8794"),
    ".mark": ("stroke:#1b1f24", "stroke:#e6e9ed"),
    **{f".ink{i}": ("fill:#15191e", "fill:#0c0f13") for i in _DARK_INK},
    **{f".c{i}": (f"color:{a}", f"color:{b}") for i, (a, b) in enumerate(zip(_LIGHT, _DARK, strict=True))},
}


def _sheet() -> str:
    def rules(which: int) -> str:
        return "".join(f".figure {name}{{{both[which]}}}" for name, both in _RULES.items())

    sizes = "".join(f".figure .{k}{{font-size:{v:g}px}}" for k, v in _SIZES.items() if k)
    shapes = (
        f".figure text{{font:13px {_FONT}}}{sizes}.figure .title,.figure .strong{{font-weight:600}}"
        ".figure .halo{paint-order:stroke;stroke-width:4px;stroke-linejoin:round}"
        ".figure .mark{stroke-width:1.5px}"
    )
    return f"{shapes}{rules(0)}@media(prefers-color-scheme:dark){{{rules(1)}}}"


STYLE = _sheet()


def width_of(words: str, kind: str = "small") -> float:
    """Room that words take, on the safe side, whatever the reader's font [pixel]."""
    size = _SIZES[kind]
    return size * sum(0.36 if c in "iljtfI.,:;'|!()[] " else 0.95 if c in "mwMW@%" else 0.63 for c in words)


class Canvas:
    """Collects shapes; coordinates in pixels from the top left.

    Parameters
    ----------
    width, height : float
        [pixel]
    title, description : str
        Read out by screen readers, and the tooltip of the whole.
    """

    def __init__(self, width: float, height: float, title: str, description: str) -> None:
        self.width, self.height = width, height
        self._title, self._description = title, description
        self._elements: list[str] = []

    def heading(self) -> None:
        """Write the title at the top left."""
        self.text(24, 30, self._title, "title", room=self.width - 48)

    def text(
        self,
        x: float,
        y: float,
        words: str,
        kind: str = "",
        anchor: str = "start",
        turn: float = 0,
        room: float = 0,
    ) -> None:
        """Write words with their base line at `y`.

        Parameters
        ----------
        kind : str
            Classes: a size (``title``, ``small``, ``tiny``), then ``muted``, ``strong``, ``halo`` ...
        anchor : str
            ``start``, ``middle`` or ``end``.
        turn : float
            Around the point [degree].
        room : float
            Longer words are cut with an ellipsis and keep their whole in a tooltip; 0 is no limit [pixel].
        """
        size = next((k for k in kind.split() if k in _SIZES), "")
        shown = words
        while room and len(shown) > 1 and width_of(shown, size) > room:
            shown = shown.rstrip("…")[:-1].rstrip() + "…"
        whole = _tip(words) if shown != words else ""
        around = f' transform="rotate({turn:g} {x:.1f} {y:.1f})"' if turn else ""
        place = "" if anchor == "start" else f' text-anchor="{anchor}"'
        self._elements.append(
            f'<text x="{x:.1f}" y="{y:.1f}"{_class(kind)}{place}{around}>{whole}{escape(shown)}</text>'
        )

    def line(self, x1: float, y1: float, x2: float, y2: float, kind: str = "grid", dash: str = "") -> None:
        """Draw a straight line of the style `kind`: ``grid``, ``axis`` or ``mark``."""
        dashes = f' stroke-dasharray="{dash}"' if dash else ""
        self._elements.append(
            f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"{_class(kind)}{dashes}/>'
        )

    def rect(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        colour: int,
        tip: str = "",
        corner: float = 0,
        kind: str = "",
        opacity: float = 1,
    ) -> None:
        """Draw a filled rectangle with a tooltip; `opacity` from 0 to 1."""
        faint = f' fill-opacity="{opacity:.3g}"' if opacity < 1 else ""
        corners = f' rx="{corner:g}"' if corner else ""
        self._elements.append(
            f'<rect x="{x:.2f}" y="{y:.2f}" width="{width:.2f}" height="{height:.2f}"{corners}'
            f'{_class(_colour(colour), kind)} fill="currentColor"{faint}>{_tip(tip)}</rect>'
        )

    def circle(self, x: float, y: float, radius: float, colour: int, tip: str = "") -> None:
        """Draw a ring: a line around a tinted disc."""
        self._elements.append(
            f'<circle cx="{x:.2f}" cy="{y:.2f}" r="{radius:.2f}"{_class(_colour(colour))} '
            f'fill="currentColor" fill-opacity="0.08" stroke="currentColor" stroke-width="2.5">'
            f"{_tip(tip)}</circle>"
        )

    def path(self, points: Sequence[tuple[float, float]], colour: int, width: float = 2.5) -> None:
        """Draw a line through the points."""
        joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self._elements.append(
            f'<polyline points="{joined}"{_class(_colour(colour))} fill="none" stroke="currentColor" '
            f'stroke-width="{width:g}" stroke-linejoin="round"/>'
        )

    def marker(
        self, x: float, y: float, colour: int, tip: str = "", size: float = 4, opacity: float = 1
    ) -> None:
        """Draw a point; its shape goes with its colour, for readers who do not see colours apart."""
        s, shape = size, colour % 4
        if shape == 0:
            drawn = f'circle cx="{x:.2f}" cy="{y:.2f}" r="{s:g}"'
        elif shape == 1:
            drawn = f'rect x="{x - s:.2f}" y="{y - s:.2f}" width="{2 * s:g}" height="{2 * s:g}"'
        else:
            corners = (
                ((0, -1.4 * s), (1.4 * s, 0), (0, 1.4 * s), (-1.4 * s, 0))
                if shape == 2
                else ((0, -1.3 * s), (1.25 * s, s), (-1.25 * s, s))
            )
            drawn = f'polygon points="{" ".join(f"{x + a:.2f},{y + b:.2f}" for a, b in corners)}"'
        faint = f' fill-opacity="{opacity:g}"' if opacity < 1 else ""
        self._elements.append(
            f'<{drawn}{_class(_colour(colour))} fill="currentColor"{faint}>{_tip(tip)}</{drawn.split()[0]}>'
        )

    def legend(
        self,
        x: float,
        y: float,
        names: Sequence[str],
        right: float,
        markers: bool = False,
        faint: Sequence[str] = (),
    ) -> float:
        """Write what each colour is, in lines that end before `right`; returns the y below them."""
        at = x
        for colour, name in enumerate(names):
            need = 17 + width_of(name) + 12
            if at + need > right and at > x:
                at, y = x, y + 20
            if markers:
                self.marker(at + 6, y - 4, colour)
            else:
                self.rect(at, y - 10, 12, 12, colour, corner=2, opacity=FAINT if name in faint else 1)
            self.text(at + 17, y, name, "small")
            at += need
        return y + 20

    def svg(self) -> str:
        """The whole document."""
        w, h = f"{self.width:.0f}", f"{self.height:.0f}"
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" class="figure" viewBox="0 0 {w} {h}" width="{w}" '
            f'height="{h}" role="img" style="max-width:100%;height:auto"><title>{escape(self._title)}</title>'
            f"<desc>{escape(self._description)}</desc><style>{STYLE}</style>"
            f'<rect class="paper" width="100%" height="100%" rx="6"/>{"".join(self._elements)}</svg>'
        )


def legend_height(names: Sequence[str], room: float) -> float:
    """Height of the legend that `Canvas.legend` would write in so much room [pixel]."""
    lines, at = 1, 0.0
    for name in names:
        need = 17 + width_of(name) + 12
        if at + need > room and at > 0:
            lines, at = lines + 1, 0.0
        at += need
    return 20.0 * lines


def ink_on(colour: int) -> str:
    """Class of letters that can be read on a colour."""
    return f"ink ink{colour % COLOURS}"


def _colour(index: int) -> str:
    return f"c{index % COLOURS}"


def _class(*kinds: str) -> str:
    joined = " ".join(k for k in kinds if k)
    return f' class="{joined}"' if joined else ""


def _tip(words: str) -> str:
    return f"<title>{escape(words)}</title>" if words else ""

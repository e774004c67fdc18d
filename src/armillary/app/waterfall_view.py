"""The way from the ideal step to the predicted one: in the terminal, as a figure, as plain data."""

from __future__ import annotations

from typing import Any

from rich.table import Table
from rich.text import Text

from armillary.app.figures import waterfall_chart
from armillary.training import Waterfall
from armillary.training.waterfall import IDEAL
from armillary.units import show

COLUMNS = 22
"""Width of the bars. [character]"""
EIGHTHS = " ▏▎▍▌▋▊▉█"


def floating(start: float, end: float, whole: float, width: int = COLUMNS) -> str:
    """A bar from `start` to `end` of `whole`, to an eighth of a character at its end.

    Examples
    --------
    >>> floating(0, 5, 10, 4), floating(5, 8.75, 10, 4)
    ('██', '  █▌')
    """
    low, high = (round(8 * width * max(x, 0.0) / whole) for x in sorted((start, end)))
    first, last = low // 8, max(high, low + 1)
    return " " * first + "█" * (last // 8 - first) + EIGHTHS[last % 8].strip()


def waterfall_view(w: Waterfall) -> Table:
    """Each loss with its share, seconds, what it is and what would shrink it."""
    table = Table(title="From the ideal step to the predicted one", title_justify="left", box=None)
    for name, how in (
        ("", "left"),
        ("time", "right"),
        ("share", "right"),
        ("from ideal to predicted", "left"),
    ):
        table.add_column(name, justify=how, no_wrap=True)  # type: ignore[arg-type]
    table.add_column("what it is")
    table.add_column("what would shrink it", style="dim")
    at, most = w.ideal, max(w.total, w.ideal)
    table.add_row(
        "ideal", show(w.ideal, "s"), f"{w.ideal / w.total:.1%}", floating(0, w.ideal, most), IDEAL, ""
    )
    for bar in w.bars:
        drawn = Text(floating(at, at + bar.seconds, most), style="red" if bar.seconds > 0 else "green")
        share = f"{bar.seconds / w.total:+.2%}"
        table.add_row(bar.name, show(bar.seconds, "s"), share, drawn, bar.what, bar.cure)
        at += bar.seconds
    table.add_row("total", show(w.total, "s"), "100%", floating(0, w.total, most), "", "", style="bold")
    return table


def waterfall_figure(w: Waterfall, title: str) -> str:
    """The same as a chart."""
    steps = [(bar.name, bar.seconds) for bar in w.bars]
    tips = [f"{bar.what}; what would shrink it: {bar.cure}" for bar in w.bars]
    return waterfall_chart(("ideal", w.ideal), steps, "predicted", title, tips=tips)


def waterfall_json(w: Waterfall) -> dict[str, Any]:
    """The same as plain data in SI units."""
    return {
        "ideal_s": w.ideal,
        "losses": [
            {
                "name": b.name,
                "seconds": b.seconds,
                "share": b.seconds / w.total,
                "what": b.what,
                "cure": b.cure,
            }
            for b in w.bars
        ],
        "total_s": w.total,
    }

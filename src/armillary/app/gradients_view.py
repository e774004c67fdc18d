"""What 1% more of each scarce thing buys: in the terminal, as a figure, as plain data."""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from armillary.app.figures import bar_chart
from armillary.training import Gradients
from armillary.training.gradients import ACCELERATOR_STEP, CAPACITY_STEP, GROUPS

BAR = 30
"""Width of the longest bar. [character]"""
STYLES = {"network": "magenta", "chip": "cyan", "software": "yellow", "scale": "dim"}
DRAWN = 2e-3
"""Elasticities below this are left out of the figure. [-]"""
TITLE = "Percent off the step for 1% more"
NOTES = (
    f"memory was tried at {CAPACITY_STEP - 1:.0%} more and accelerators at {ACCELERATOR_STEP} times, scaled "
    "to 1%; more latency, gaps and launches means quicker ones; 0 says that more buys nothing, not that less "
    "costs nothing"
)


def gradients_view(g: Gradients) -> RenderableType:
    """Elasticities at the layout and with the layout re-chosen, then sums."""
    table = Table(title=f"{TITLE}, at {g.layout.describe()}", title_justify="left", box=None, pad_edge=False)
    table.add_column("of")
    table.add_column("belongs to")
    table.add_column("same layout", justify="right")
    table.add_column("layout re-chosen", justify="right")
    table.add_column("")
    most = max((abs(row.value) for row in g.rows), default=0.0) or 1.0
    for row in g.rows:
        drawn = Text("█" * round(BAR * abs(row.value) / most), style=STYLES[row.group])
        table.add_row(row.name, row.group, _said(row.fixed), _said(row.chosen), drawn)
    return Group(table, "", g.verdict, Text(NOTES, style="dim"))


def _said(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}%"


def gradients_figure(g: Gradients) -> str:
    """Sums of the groups, then each thing by itself."""
    sums = [(f"all of the {group}", g.of(group)) for group in GROUPS if group != "scale"]
    rows = [(row.name, row.value) for row in g.rows if abs(row.value) >= DRAWN]
    return bar_chart([*sums, *((name, round(value, 3)) for name, value in rows)], TITLE)


def gradients_json(g: Gradients) -> dict[str, Any]:
    """The same as plain data."""
    return {
        "layout": g.layout._asdict(),
        "elasticities": [
            {"name": r.name, "group": r.group, "tried": r.step, "same_layout": r.fixed, "rechosen": r.chosen}
            for r in g.rows
        ],
        "sums": {group: g.of(group) for group in GROUPS},
        "verdict": g.verdict,
    }

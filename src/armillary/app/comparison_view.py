"""Two layouts side by side: in the terminal, as a figure, as plain data."""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from armillary.app.figures import waterfall_chart
from armillary.app.plan_tables import candidate_json
from armillary.training.nearest import said
from armillary.twin import Comparison, Side
from armillary.units import show

BAR = 24
"""Width of the longest bar. [character]"""


def comparison_view(c: Comparison) -> RenderableType:
    """Every degree, every result, every part of the step."""
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    for name in ("A", "B", "difference"):
        table.add_column(name, justify="right")
    table.add_row("asked", c.first.asked, c.second.asked, "")
    for name, a, b in c.fields:
        shown = [said(name, v) for v in (a, b)]
        table.add_row(name, *shown, "" if a == b else "differs", style="dim" if a == b else "bold")
    for row in _results(c):
        table.add_row(*row)
    verdict = Text.assemble(("Verdict: ", "bold"), c.verdict)
    return Group(table, "", _parts(c), "", verdict)


def _results(c: Comparison) -> list[tuple[str, str, str, str]]:
    """Name, both values and their difference in words."""
    a, b = c.first, c.second
    e, f = a.chosen.estimate, b.chosen.estimate
    rows = [
        ("accelerators", f"{float(e.accelerators):,.0f}", f"{float(f.accelerators):,.0f}", ""),
        ("step", show(a.step, "s"), show(b.step, "s"), f"{b.step / a.step - 1:+.1%}"),
        ("MFU", f"{float(e.mfu):.1%}", f"{float(f.mfu):.1%}", f"{100 * float(f.mfu - e.mfu):+.1f} points"),
        (
            "memory",
            f"{a.memory / 1e9:.1f} GB",
            f"{b.memory / 1e9:.1f} GB",
            f"{(b.memory - a.memory) / 1e9:+.1f} GB",
        ),
        (
            "time to train",
            show(a.duration, "s"),
            show(b.duration, "s"),
            signed(b.duration - a.duration, "s"),
        ),
    ]
    if a.cost is not None and b.cost is not None:
        rows.append(("cost", show(a.cost, "USD"), show(b.cost, "USD"), signed(b.cost - a.cost, "USD")))
    return rows


def _parts(c: Comparison) -> Table:
    table = Table(title="What explains the difference", title_justify="left", box=None, pad_edge=False)
    table.add_column("part of the step")
    for name in ("A", "B", "difference", "of A's step"):
        table.add_column(name, justify="right")
    table.add_column("")
    most = max(abs(p.change) for p in c.parts) or 1.0
    for p in c.parts:
        if p.first or p.second:
            drawn = Text("█" * round(BAR * abs(p.change) / most), style="red" if p.change > 0 else "green")
            table.add_row(
                p.name,
                show(p.first, "s"),
                show(p.second, "s"),
                signed(p.change, "s"),
                f"{p.change / c.first.step:+.1%}",
                drawn,
            )
    a, b = c.first.step, c.second.step
    table.add_row("total", show(a, "s"), show(b, "s"), signed(b - a, "s"), f"{b / a - 1:+.1%}", style="bold")
    return table


def signed(value: float, unit: str) -> str:
    """A difference with its sign.

    Examples
    --------
    >>> signed(0.2, "s"), signed(-3.0, "s"), signed(0.0, "s")
    ('+200 ms', '-3 s', '0 s')
    """
    return ("+" if value > 0 else "") + show(value, unit)


def comparison_figure(c: Comparison) -> str:
    """The way from the step of A to that of B."""
    steps = [(p.name, p.change) for p in c.parts if p.change]
    ends = [f"{name}: {side.chosen.layout.describe()}" for name, side in (("A", c.first), ("B", c.second))]
    title = f"A step of {c.first.plan.job.model.name} from A to B"
    return waterfall_chart((ends[0], c.first.step), steps, ends[1], title, whole=c.first.step)


def comparison_json(c: Comparison) -> dict[str, Any]:
    """The same as plain data in SI units."""
    return {
        "a": _side(c.first),
        "b": _side(c.second),
        "differs": {name: [a, b] for name, a, b in c.fields if a != b},
        "parts": [{"name": p.name, "a_s": p.first, "b_s": p.second, "change_s": p.change} for p in c.parts],
        "verdict": c.verdict,
    }


def _side(side: Side) -> dict[str, Any]:
    return {
        "asked": side.asked,
        **candidate_json(side.chosen),
        "time_to_train_s": side.duration,
        "cost_usd": side.cost,
    }

"""One plan on many fabrics: as a table, a figure, plain data."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from armillary.app.figures import stacked_bar, timeline
from armillary.app.figures.timeline import Span
from armillary.interop import TraceSlice, perfetto_trace
from armillary.training.timeline import Pass, step_timeline
from armillary.twin import Outcome, Price, worth
from armillary.units import show

LIFE = 5 * 365.25 * 86400.0
"""Over which a network and the time that it saves are compared: five years, an assumption. [s]"""
TRACKS = 16
"""Stages that a timeline shows. [-]"""
HEADINGS = (
    *("closed form", "on the fabric", "exposed", "slowest", "busiest tier"),
    *("network", "more", "worth"),
)
NOTES = (
    "closed form: nested rings, every accelerator sends at once; on the fabric: all groups of all kinds as "
    "flows, max-min fair; exposed: communication that compute does not hide; worth: accelerators' time that "
    "the network saves over five years, at their price, against the first row; network, more and worth in "
    "USD; switches and cables above the scale-up domains only"
)


def whatif_view(
    outcomes: Sequence[Outcome], accelerators: int, price: Price | None, title: str
) -> RenderableType:
    """Table of all questions, each with its first row as the base."""
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    table.add_column("fabric", no_wrap=True)
    headings = (
        "closed form",
        "on the fabric",
        "exposed",
        "slowest",
        "busiest tier",
        "network",
        "more",
        "worth",
    )
    for name in headings:
        table.add_column(name, justify="right", no_wrap=True)
    notes: list[str] = []
    for question, group in _questions(outcomes):
        table.add_row(Text(question, style="bold"))
        base = group[0]
        for o in group:
            value = worth(base, o, accelerators, price, LIFE)
            table.add_row(
                f"  {o.case.label}{_mark(o.case.note, notes)}",
                show(o.clear, "s"),
                show(o.step, "s"),
                show(o.exposed, "s"),
                f"{o.slowdown[0]} x{o.slowdown[1]:.2f}",
                f"{o.busiest[0]} {o.busiest[1]:.0%}",
                _dollars(o.network),
                "" if o is base else _signed(value.cost),
                "" if o is base or value.buys is None else _signed(value.buys),
            )
    told = [Text(f"[{n}] {note}", style="dim") for n, note in enumerate(notes, 1)]
    return Group(table, *told, Text(NOTES, style="dim"))


def _mark(note: str, notes: list[str]) -> str:
    """Number of a footnote, which is added to those there are."""
    if not note:
        return ""
    if note not in notes:
        notes.append(note)
    return f" [{notes.index(note) + 1}]"


def _dollars(amount: float) -> str:
    return f"{amount / 1e6:,.1f}M"


def _signed(amount: float) -> str:
    return "0" if abs(amount) < 5e4 else f"{amount / 1e6:+,.1f}M"


def _questions(outcomes: Sequence[Outcome]) -> list[tuple[str, list[Outcome]]]:
    return [(q, list(g)) for q, g in groupby(outcomes, key=lambda o: o.case.question)]


def whatif_figure(outcomes: Sequence[Outcome], title: str) -> str:
    """A bar a case: what compute takes and what communication adds to it."""
    rows = [
        (
            f"{o.case.question}: {o.case.label}",
            [("compute and the rest", o.step - o.exposed), ("exposed communication", o.exposed)],
        )
        for o in outcomes
    ]
    return stacked_bar(rows, "s", title)


def step_trace(outcome: Outcome, title: str) -> str:
    """Trace for Perfetto of a case's step on its fabric: every pass of every stage."""
    run = step_timeline(*outcome.case.plan, congestion=outcome.on.congestion)
    slices = [
        TraceSlice(
            title,
            f"stage {p.stage}",
            p.kind.replace("_", " ") + (f" {p.micro_batch}" if p.micro_batch >= 0 else ""),
            p.kind,
            p.start,
            p.end,
        )
        for p in run.passes
    ]
    return perfetto_trace(slices, title=title)


def step_figure(outcome: Outcome, title: str) -> str:
    """Timeline of a case's step: one track a stage, up to `TRACKS` of them."""
    run = step_timeline(*outcome.case.plan, congestion=outcome.on.congestion)
    stages = sorted({p.stage for p in run.passes})
    chosen = stages[:: max(-(-len(stages) // TRACKS), 1)]
    rows = [
        (
            f"stage {stage}",
            [
                Span(
                    str(p.micro_batch) if p.micro_batch >= 0 else "", p.kind.replace("_", " "), p.start, p.end
                )
                for p in run.passes
                if p.stage == stage
            ],
        )
        for stage in chosen
    ]
    return timeline(rows, title)


def _numbered(work: Pass) -> str:
    return str(work.micro_batch) if work.micro_batch >= 0 else ""


def whatif_json(outcomes: Sequence[Outcome], accelerators: int, price: Price | None) -> dict[str, Any]:
    """The same as plain data."""
    found = []
    for _, group in _questions(outcomes):
        for o in group:
            value = worth(group[0], o, accelerators, price, LIFE)
            found.append(
                {
                    "question": o.case.question,
                    "label": o.case.label,
                    "step_closed_form": o.clear,
                    "step": o.step,
                    "exposed_closed_form": o.exposed_clear,
                    "exposed": o.exposed,
                    "slowdown": o.on.congestion._asdict(),
                    "slowdown_alone": o.on.alone._asdict(),
                    "busiest": {"tier": o.busiest[0], "use": o.busiest[1]},
                    "network_cost": o.network,
                    "more_cost": value.cost,
                    "worth": value.buys,
                    "layout": o.case.plan.layout.describe(),
                    "note": o.case.note,
                }
            )
    return {"accelerators": accelerators, "cases": found}

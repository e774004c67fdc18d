"""`compare`: two layouts of one job side by side, and which parts of the step explain the difference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from armillary.training import Candidate
from armillary.twin.plan import TrainingPlan
from armillary.units import show

TOLD = 0.25
"""A part is told in the verdict where it is at least so much of the largest difference. [-]"""


@dataclass(frozen=True, slots=True)
class Side:
    """One of two layouts. asked : the words it was asked for with. plan : where it was found."""

    asked: str
    plan: TrainingPlan
    chosen: Candidate

    @property
    def step(self) -> float:
        """Step time [s]."""
        return float(self.chosen.estimate.time.total)

    @property
    def memory(self) -> float:
        """Of the fullest accelerator [byte]."""
        return float(self.chosen.estimate.memory.total)

    @property
    def duration(self) -> float:
        """Time to train without interruptions [s]."""
        return self.plan.steps * self.step

    @property
    def cost(self) -> float | None:
        """Of all granted accelerators over `duration`; None without a price [USD]."""
        price = self.plan.price
        return None if price is None else self.duration * self.plan.granted * price.per_accelerator


class Difference(NamedTuple):
    """A part of the step in both layouts [s]."""

    name: str
    first: float
    second: float

    @property
    def change(self) -> float:
        """From the first to the second [s]."""
        return self.second - self.first


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two layouts of one job.

    parts : of the step, those that explain most of the difference first; they sum to both steps.
    fields : of the layout with both values, those that differ first.
    """

    first: Side
    second: Side
    parts: tuple[Difference, ...]
    fields: tuple[tuple[str, float, float], ...]

    @property
    def verdict(self) -> str:
        """Which is faster, by how much, and why, in a sentence."""
        a, b = self.first, self.second
        if a.chosen.layout == b.chosen.layout and a.step == b.step:
            return f"A and B are the same layout: {a.chosen.layout.describe()}"
        faster = "B" if b.step < a.step else "A"
        share = max(a.step, b.step) / min(a.step, b.step) - 1
        sign = 1.0 if faster == "B" else -1.0  # told as the faster one sees it
        least = TOLD * abs(self.parts[0].change)
        told = [(p.name, sign * p.change) for p in self.parts if abs(p.change) >= least]
        won = ", ".join(f"{show(-d, 's')} of {name}" for name, d in told if d < 0)
        lost = ", ".join(f"{show(d, 's')} of {name}" for name, d in told if d > 0)
        why = f"it saves {won}" if won else "many small parts add up"
        if lost:
            why += f" and pays {lost}"
        much = f"{share:.1%} faster" if share >= 5e-4 else "as fast as the other within 0.05%"
        return f"{faster} is {much}: {why}; {_memory(sign * (b.memory - a.memory))}"


def compare(first: Side, second: Side) -> Comparison:
    """Put two layouts side by side."""
    pairs = zip(first.chosen.estimate.time, second.chosen.estimate.time, strict=True)
    names = first.chosen.estimate.time._fields
    parts = [
        Difference(name.replace("_", " "), float(np.asarray(a)), float(np.asarray(b)))
        for name, (a, b) in zip(names, pairs, strict=True)
    ]
    a, b = first.chosen.layout._asdict(), second.chosen.layout._asdict()
    fields = sorted(((name, a[name], b[name]) for name in a), key=lambda field: field[1] == field[2])
    parts.sort(key=lambda part: -abs(part.change))
    return Comparison(first, second, tuple(parts), tuple(fields))


def _memory(more: float) -> str:
    if abs(more) < 5e7:
        return "both need as much memory"
    return f"it needs {abs(more) / 1e9:.1f} GB {'more' if more > 0 else 'less'} memory"

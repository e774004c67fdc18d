"""What would help a wish, as hints and as plain data."""

from __future__ import annotations

from typing import Any

from armillary.app.plan_tables import candidate_json
from armillary.catalog import Catalog
from armillary.training import Advice, Near
from armillary.units import show

NAMED = 3
"""Accelerators of the catalog to name at most."""


def hints(advice: Advice, known: Catalog, step: float | None = None) -> list[str]:
    """Sentences that say what would help, the nearest change first.

    Parameters
    ----------
    advice : Advice
    known : Catalog
        For accelerators with enough memory.
    step : float, optional
        Of the wish, where it is feasible. [s]
    """
    near = advice.nearest
    said = []
    if step is not None and advice.best is not None:
        said.append(f"under --set the best is {step / advice.best - 1:.0%} slower than without")
    if near is not None:
        word = "change" if step is None else "changing"
        gives = f"gives a step of {show(near.step, 's')}"
        if step is not None:
            gives += f" ({near.step / step - 1:+.0%})"
        what = " and ".join(map(str, near.changes))
        said.append(f"{word} {what}: {near.candidate.layout.describe()} {gives}, {_memory(near)}")
    if advice.policies is not None and not _same(advice.policies, near):
        what = " and ".join(map(str, advice.policies.changes))
        told = f"keep the degrees with {what}: a step of {show(advice.policies.step, 's')}"
        said.append(f"{told}, {_memory(advice.policies)}")
    if advice.missing > 0:
        said.append(
            f"with {advice.missing / 1e9:.0f} GB more memory an accelerator ({advice.needed / 1e9:.0f} GB)"
            f"; {_chips(advice.needed, known)}"
        )
    if advice.accelerators is not None:
        said.append(f"with {advice.accelerators:,} accelerators")
    return said[:1] + [f"or {line}" for line in said[1:]] if step is None else said


def _memory(near: Near) -> str:
    e = near.candidate.estimate
    return f"{float(e.memory.total) / 1e9:.0f} of {e.capacity / 1e9:.0f} GB"


def _same(a: Near, b: Near | None) -> bool:
    return b is not None and a.candidate.layout == b.candidate.layout


def _chips(needed: float, known: Catalog) -> str:
    """Accelerators of the catalog with so much memory, the smallest first."""
    enough = sorted(
        (c.memory_capacity, name) for name, c in known.accelerators.items() if c.memory_capacity >= needed
    )
    if not enough:
        return "no accelerator of the catalog has that"
    listed = ", ".join(f"{name} ({size / 1e9:.0f} GB)" for size, name in enough[:NAMED])
    return f"{listed} {'has' if len(enough) == 1 else 'have'} that"


def advice_json(advice: Advice) -> dict[str, Any]:
    """The same as plain data in SI units."""
    return {
        "why": advice.why or None,
        "best_step_s": advice.best,
        "nearest": _near(advice.nearest),
        "memory_needed_byte": advice.needed or None,
        "memory_missing_byte": advice.missing or None,
        "accelerators": advice.accelerators,
        "policies": _near(advice.policies),
    }


def _near(near: Near | None) -> dict[str, Any] | None:
    if near is None:
        return None
    changes = [{"field": c.field, "wished": list(c.wished), "got": c.got} for c in near.changes]
    return {"changes": changes, **candidate_json(near.candidate)}

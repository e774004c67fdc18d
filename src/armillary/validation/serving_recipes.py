"""Published configurations of the InferenceX benchmark: workers, layouts and drafts by concurrency."""

from __future__ import annotations

import csv
import re
from functools import lru_cache
from typing import NamedTuple

from armillary.validation.tables import SHIPPED

RECIPES = SHIPPED / "inferencex_recipes.csv"
"""What the benchmark's configuration files say of its disaggregated runs; source and date in its README."""


class Recipe(NamedTuple):
    """One configuration. prefill, decode : workers, accelerators of one, expert ranks, attention parallel.

    release : of the engine. drafts : tokens drafted a step [-]. An aggregated run has no `prefill`.
    """

    name: str
    release: str
    prefill: tuple[int, int, int, bool] | None
    decode: tuple[int, int, int, bool]
    drafts: int


Key = tuple[str, str, str, str, str, str, str]


@lru_cache(maxsize=1)
def recipes() -> dict[Key, list[Recipe]]:
    """All of them by (engine, chip, precision, input, output, concurrency, model family)."""
    found: dict[Key, list[Recipe]] = {}
    with RECIPES.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            engine, _, release = row["image"].partition(" ")
            prefill = _side(row, "prefill") if row["prefill_workers"] else None
            recipe = Recipe(
                row["recipe"] or row["key"], release, prefill, _side(row, "decode"), int(row["mtp"])
            )
            per_worker = recipe.decode[0] if re.match(r"c\d+_ctx", recipe.name) else 1
            for said in row["concurrencies"].split():
                # Recipes named after a concurrency, as c128_ctx1_gen9, give that of one decoding worker.
                load = str(int(said) * per_worker)
                key = (
                    engine,
                    row["gpu"],
                    row["precision"],
                    row["isl"],
                    row["osl"],
                    load,
                    family(row["model"]),
                )
                found.setdefault(key, []).append(recipe)
    return found


def family(model: str) -> str:
    """The first word of a model's name, its publisher left out, e.g. ``deepseek``."""
    return re.split(r"[-_ .]", model.split("/")[-1].casefold())[0]


def _side(row: dict[str, str], kind: str) -> tuple[int, int, int, bool]:
    workers, tp, ep = (int(float(row[f"{kind}_{c}"] or 1)) for c in ("workers", "tp", "ep"))
    # Early files give a worker's accelerators as expert ranks, with tp 1.
    return workers, max(tp, ep), ep, row[f"{kind}_dp_attn"].casefold() == "true"


_SAID = re.compile(r"(\d+)x\[tp(\d+) dp(\d+) ep([\d.]+)\]")


def recipe_of(
    engine: str,
    release: str,
    chip: str,
    precision: str,
    isl: str,
    osl: str,
    load: str,
    model: str,
    notes: str,
) -> Recipe | None:
    """Return the configuration that a row of a disaggregated run was made with, None where none is known.

    Several share a concurrency: those stay that the row's engine release, then the sizes of its workers, then
    their numbers agree with, each as far as any does. Where runs with and without drafts remain, the row is
    taken to be without.
    """
    key = (engine, chip, precision.casefold(), isl, osl, load, family(model))
    left = [r for r in recipes().get(key, []) if r.prefill is not None]
    left = [r for r in left if r.release == release] or left
    said = _SAID.findall(notes)
    if len(said) == 2:
        before, after = (int(tp) * int(dp) for _, tp, dp, _ in said)
        left = [r for r in left if r.decode[1] == after]
        left = [r for r in left if r.prefill is not None and r.prefill[1] == before] or left
        if "bsnan" not in notes:
            counts = [int(s[0]) for s in said]
            left = [r for r in left if r.prefill is not None and [r.prefill[0], r.decode[0]] == counts]
    return min(left, key=lambda r: r.drafts, default=None)


def drafts_of(
    engine: str,
    release: str,
    chip: str,
    precision: str,
    isl: str,
    osl: str,
    load: str,
    model: str,
    attention_parallel: bool,
) -> int:
    """Tokens that an aggregated run drafts, as far as its engine release tells it from runs without [-]."""
    key = (engine, chip, precision.casefold(), isl, osl, load, family(model))
    left = [r for r in recipes().get(key, []) if r.prefill is None and r.release == release]
    left = [r for r in left if r.decode[3] == attention_parallel] or left
    return min((r.drafts for r in left), default=0)

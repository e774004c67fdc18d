"""Published configurations of the InferenceX benchmark: workers, layouts and drafts by concurrency."""

from __future__ import annotations

import csv
import math
import re
from functools import lru_cache
from typing import NamedTuple

from armillary.validation.tables import SHIPPED

RECIPES = SHIPPED / "inferencex_recipes.csv"
"""What the benchmark's configuration files say of its disaggregated runs; source and date in its README."""


PER_WORKER = "0.5.1-rc0.pre3"
"""Release of the configurations that give the concurrency of one decoding worker, not of all."""
DUMMY = 2
"""Accelerators up to which the size that a disaggregated row prints stands for nothing. [-]"""


class Side(NamedTuple):
    """Workers of one kind.

    workers, accelerators of one, expert ranks [-]. attention_parallel : else tensor parallel.
    batch : sequences at once on a worker, or on each rank of parallel attention; 0 where not said [-].
    """

    workers: int
    accelerators: int
    experts: int
    attention_parallel: bool
    batch: int = 0

    @property
    def total(self) -> int:
        """Accelerators of all workers [-]."""
        return self.workers * self.accelerators


class Recipe(NamedTuple):
    """One configuration.

    release : of the engine. loads : users it was run with [-]. drafts : tokens drafted a step [-]. Aggregated
    runs have no `prefill`.
    """

    name: str
    release: str
    loads: tuple[int, ...]
    prefill: Side | None
    decode: Side
    drafts: int

    @property
    def total(self) -> int:
        """Accelerators of prompts and decoding [-]."""
        return self.decode.total + (self.prefill.total if self.prefill is not None else 0)


class Asked(NamedTuple):
    """What a row says of its run, as the table prints it; a key of the configurations."""

    engine: str
    chip: str
    precision: str
    input: str
    output: str
    model: str

    def key(self) -> Asked:
        """The same with the model's family for its name."""
        return self._replace(precision=self.precision.casefold(), model=family(self.model))


@lru_cache(maxsize=1)
def recipes() -> dict[Asked, list[Recipe]]:
    """All of them by what rows say."""
    found: dict[Asked, list[Recipe]] = {}
    with RECIPES.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            engine, _, release = row["image"].partition(" ")
            prefill = _side(row, "prefill") if row["prefill_workers"] else None
            decode, name = _side(row, "decode"), row["recipe"] or row["key"]
            # Recipes named after a concurrency, as c128_ctx1_gen9, and early ones mean one decoding worker's.
            alone = re.match(r"c\d+_ctx", name) or release == PER_WORKER
            loads = tuple(
                int(said) * (decode.workers if alone else 1) for said in row["concurrencies"].split()
            )
            asked = Asked(engine, row["gpu"], row["precision"], row["isl"], row["osl"], row["model"]).key()
            found.setdefault(asked, []).append(Recipe(name, release, loads, prefill, decode, int(row["mtp"])))
    return found


def family(model: str) -> str:
    """The first word of a model's name, its publisher left out, e.g. ``deepseek``."""
    return re.split(r"[-_ .]", model.split("/")[-1].casefold())[0]


def _side(row: dict[str, str], kind: str) -> Side:
    workers, tp, ep = (int(float(row[f"{kind}_{c}"] or 1)) for c in ("workers", "tp", "ep"))
    # Early files give a worker's accelerators as expert ranks, with tp 1.
    batch = int(float(row.get(f"{kind}_batch") or 0))
    return Side(workers, max(tp, ep), ep, row[f"{kind}_dp_attn"].casefold() == "true", batch)


_SAID = re.compile(r"(\d+)x\[tp(\d+) dp(\d+) ep([\d.]+)\]")


def recipe_of(asked: Asked, release: str, load: float, notes: str) -> Recipe | None:
    """Return the configuration that a row of a disaggregated run was made with, None where none is known.

    Several share a concurrency: those stay that the row's engine release, then the sizes of its workers, then
    their numbers agree with, each as far as any does. Rows that give the sum of accelerators for either pool
    are told by it, and rows with a dummy for sizes by their concurrency, each with the nearest one. Where
    runs with and without drafts remain, the row is taken to be without.
    """
    known = [r for r in recipes().get(asked.key(), []) if r.prefill is not None]
    known = [r for r in known if r.release == release] or known
    left = [r for r in known if int(load) in r.loads]
    said = _SAID.findall(notes)
    if len(said) == 2:
        before, after = (int(tp) * int(dp) for _, tp, dp, _ in said)
        if before == after > DUMMY and not any(r.decode.accelerators == after for r in known):
            return _nearest([r for r in known if r.total == after], load)
        if after <= DUMMY:
            return _nearest(known, load)
        left = [r for r in left if r.decode.accelerators == after]
        left = [r for r in left if r.prefill is not None and r.prefill.accelerators == before] or left
        if "bsnan" not in notes:
            counts = [int(s[0]) for s in said]
            left = [
                r for r in left if r.prefill is not None and [r.prefill.workers, r.decode.workers] == counts
            ]
    return min(left, key=lambda r: r.drafts, default=None)


def recipe_of_total(asked: Asked, accelerators: int, load: float) -> Recipe | None:
    """Return the disaggregated configuration of so many accelerators in all: early rows print no more."""
    known = [r for r in recipes().get(asked.key(), []) if r.prefill is not None]
    return _nearest([r for r in known if r.total == accelerators], load)


def _nearest(known: list[Recipe], load: float) -> Recipe | None:
    """The configuration whose concurrencies come nearest, without drafts where both do."""

    def apart(recipe: Recipe) -> float:
        return min((abs(math.log(load / one)) for one in recipe.loads), default=math.inf)

    return min(known, key=lambda r: (apart(r), r.drafts), default=None)


def drafts_of(asked: Asked, release: str, load: float, attention_parallel: bool) -> int:
    """Tokens that an aggregated run drafts, as far as its engine release tells it from runs without [-]."""
    known = recipes().get(asked.key(), [])
    left = [r for r in known if r.prefill is None and r.release == release and int(load) in r.loads]
    left = [r for r in left if r.decode.attention_parallel == attention_parallel] or left
    return min((r.drafts for r in left), default=0)

"""How the InferenceX benchmark starts its engines: facts of its launch scripts."""

from __future__ import annotations

import csv
from functools import lru_cache
from typing import NamedTuple

from armillary.validation.serving_recipes import Asked
from armillary.validation.tables import SHIPPED

SETTINGS = SHIPPED / "inferencex_settings.csv"
"""Rows of which the first that fits is taken; an empty cell fits all. Source and date in its README."""


class Settings(NamedTuple):
    """What an engine is started with.

    batch : sequences at once, as many as there are users where 0 [-]. tokens : of a step, the engine's
    default where 0 [token]. tokens_per_input : the same in prompts [-]. poll, hold : as of
    `serving.step_cost.Engine` [-]. hold_share : of a step's tokens that prompts are held for [-].
    stream : tokens that leave at once, each on its own where 0 [-]. cache : format of the KV cache, that of
    the precision where empty. memory : share that the engine takes, its default where 0 [-].
    """

    batch: int = 0
    tokens: int = 0
    tokens_per_input: float = 0.0
    poll: int = 1
    hold: int = 0
    hold_share: float = 0.0
    stream: int = 0
    cache: str = ""
    memory: float = 0.0


@lru_cache(maxsize=1)
def _rows() -> tuple[dict[str, str], ...]:
    with SETTINGS.open(newline="", encoding="utf-8") as file:
        return tuple(csv.DictReader(file))


def settings_of(asked: Asked, release: str, tp: int, load: float) -> Settings | None:
    """Return the settings of an aggregated run, None where no script is known.

    Parameters
    ----------
    asked : Asked
    release : str
        Of the engine; settings of a release fit all that begin so.
    tp : int
        Tensor-parallel ranks. [-]
    load : float
        Users. [-]
    """
    key = asked.key()
    said = {
        "engine": key.engine,
        "model": key.model,
        "precision": key.precision,
        "chip": key.chip,
        "isl": key.input,
        "osl": key.output,
        "tp": str(tp),
    }
    for row in _rows():
        fits = all(row[name] in ("", value) for name, value in said.items())
        inside = float(row["least"] or 0) <= load <= float(row["most"] or "inf")
        if fits and inside and release.startswith(row["release"]):
            return Settings(
                batch=int(row["batch"] or 0),
                tokens=int(row["tokens"] or 0),
                tokens_per_input=float(row["tokens_per_input"] or 0),
                poll=int(row["poll"] or 1),
                hold=int(row["hold"] or 0),
                hold_share=float(row["hold_share"] or 0),
                stream=int(row["stream"] or 0),
                cache=row["cache"],
                memory=float(row["memory"] or 0),
            )
    return None

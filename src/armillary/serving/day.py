"""A day of a fleet in alike cells: what each cell is asked, what it is made of, and runs that can go on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from armillary.errors import InputError
from armillary.serving.candidates import decode_rate, reading_time
from armillary.serving.demand import Demand, requests
from armillary.serving.fleet import BuiltPool, ServedPool, built
from armillary.serving.requests import Requests
from armillary.serving.service import check_lengths

__all__ = ["CellTraffic", "cell_pool", "claim_folder", "steady_limit"]

SAMPLE = 100_000
"""Requests whose lengths tell the means and the longest. [-]"""


@dataclass(frozen=True, slots=True)
class CellTraffic:
    """A day of requests, for each cell of a fleet. demand : of all `cells`. seed : of all that is drawn."""

    demand: Demand
    cells: int
    seed: int = 0

    def __call__(self, cell: int) -> Iterator[Requests]:
        """Requests of a cell, in pieces."""
        own = replace(self.demand, messages_per_day=self.demand.messages_per_day / self.cells)
        for part in requests(own, seed=self.seed * 1_000_003 + cell):
            yield Requests(part.arrival, part.input, np.maximum(part.output, 1))


def cell_pool(served: ServedPool, demand: Demand, seed: int = 0) -> BuiltPool:
    """Replicas of a cell, for the lengths of a demand.

    Raises
    ------
    InputError
        If requests are longer than the model's context, or as `built`.
    """
    drawn = demand.lengths.sample(np.random.default_rng([seed, 3]), SAMPLE)
    answers = np.maximum(drawn.output, 1)
    asked = Requests(np.zeros(SAMPLE), drawn.input, answers)
    check_lengths(asked, served.model.context, served.model.name, f"{SAMPLE:,} drawn ones")
    longest = float((drawn.input + answers).max())
    return built(served, float(drawn.input.mean()), float(answers.mean()), longest)


def steady_limit(cell: BuiltPool, demand: Demand) -> float:
    """Requests a second that a cell serves in a steady state at most, in closed form [1/s]."""
    prompt, answer = demand.lengths.mean.input, demand.lengths.mean.output
    served = cell.served
    if served.prefill is None:
        return served.replicas * decode_rate(cell.writer, answer, reading_time(cell.writer, prompt))
    reading = served.prefill_replicas / reading_time(cell.reader, prompt)
    return min(reading, served.replicas * decode_rate(cell.writer, answer))


def claim_folder(folder: Path, demand: Demand, cells: int, seed: int) -> None:
    """Make a folder for the states of a day's cells, or see that it is of the same day.

    The states themselves know their fleet and options; what is asked of them is kept beside.

    Raises
    ------
    InputError
        If the folder is of another day, or cannot be written.
    """
    drawn = demand.lengths.sample(np.random.default_rng(0), SAMPLE)  # arrays of a trace do not show in words
    lengths = hashlib.blake2b(b"".join(np.ascontiguousarray(part).tobytes() for part in drawn), digest_size=8)
    asked = {
        "messages_per_day": demand.messages_per_day,
        "shape": [demand.shape.name, *demand.shape.relative],
        "burstiness": demand.burstiness,
        "growth": demand.growth,
        "lengths": lengths.hexdigest(),
        "cells": cells,
        "seed": seed,
    }
    path = folder / "day.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if path.exists():
            known: Any = json.loads(path.read_text("utf-8"))
            if known != asked:
                raise InputError(f"{folder} holds cells of another day; take another folder, or remove it")
            return
        temporary = path.with_name("day.json.part")
        temporary.write_text(json.dumps(asked, indent=2) + "\n", "utf-8")
        temporary.replace(path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: cannot be read or written: {reason}") from None

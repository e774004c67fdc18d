"""One way to lay a model out on a chip, as the simulator takes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from armillary.errors import InputError
from armillary.serving.engine import Replica
from armillary.serving.step_cost import Engine

Numeric = Any

MOST_SEQUENCES, RANK_SEQUENCES = 1024, 256
"""Sequences at once, of a replica with one attention group, and of each of several groups. [-]"""
STEP_TOKENS = 8192
"""Tokens of a step on each attention-parallel rank, the default of vLLM's server. [token]"""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One way to lay a model out on a chip. room : tokens of KV of a replica [token]."""

    replica: Replica
    engine: Engine
    room: float

    @property
    def accelerators(self) -> int:
        """Of one replica [-]."""
        return int(self.replica.layout.accelerators)


def limits(
    engine: str, dp: Numeric, longest: float, step_tokens: int = STEP_TOKENS
) -> tuple[Numeric, Numeric]:
    """Sequences at once, and tokens of a step, of a whole replica; numbers or arrays [-], [token].

    step_tokens : of a step on each attention-parallel rank [token].

    SGLang runs prompts before decodes, in steps of their own; the simulator does not cut those, nor what it
    computes anew after a preemption, so that a step must hold the longest request.
    """
    sequences = np.where(np.asarray(dp) > 1, RANK_SEQUENCES * dp, MOST_SEQUENCES)
    return sequences, max(step_tokens, int(longest) + 1 if engine == "sglang" else 0) * dp


def candidate(one: Replica, prompt: float, longest: float, step_tokens: int = STEP_TOKENS) -> Candidate:
    """A replica as the simulator takes it.

    Parameters
    ----------
    one : Replica
    prompt, longest : float
        Typical prompt, and longest prompt with its answer. [token]
    step_tokens : int
        Of a step on each attention-parallel rank, where prompts are cut. [token]

    Raises
    ------
    InputError
        If weights and workspace leave no memory for a cache.
    """
    held = one.memory()
    room = float(held.tokens)
    if room <= 0:
        needed, usable = float(held.weights + held.workspace), float(held.usable)
        raise InputError(
            f"{one.model.name} does not fit as {one.layout.words()}: weights and workspace take "
            f"{needed / 1e9:.0f} GB of {usable / 1e9:.0f} GB on each {one.chip.name}; use more "
            f"accelerators a replica or a narrower precision"
        )
    sequences, tokens = (int(most) for most in limits(one.engine, one.layout.dp, longest, step_tokens))
    cost = one.cost(sequences, tokens, prompt)
    return Candidate(one, Engine(cost, room, sequences, tokens, chunked=one.engine != "sglang"), room)


def reading_time(c: Candidate, prompt: float) -> float:
    """Time that a replica takes for one prompt, in steps as large as it allows [s]."""
    cost = c.engine.cost
    chunk = min(prompt, float(c.engine.max_tokens))
    return float(prompt / chunk * cost.mixed[int(max(chunk, 1.0))] + cost.chunk_kv * prompt * prompt / 2)

"""Ways to lay a model out on a chip, and what each serves in a steady state, in closed form."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from armillary.errors import InputError
from armillary.model import Transformer
from armillary.serving.engine import Replica
from armillary.serving.layout import EngineLayout
from armillary.serving.step_cost import Engine

DEGREES = (1, 2, 4, 8, 16, 32, 64)
"""Accelerators of a replica that are tried, inside one scale-up domain. [-]"""
MOST_SEQUENCES, RANK_SEQUENCES = 1024, 256
"""Sequences at once, of a replica with one attention group, and of each of several groups. [-]"""
STEP_TOKENS = 8192
"""Tokens of a step on each attention-parallel rank, the default of vLLM's server. [token]"""
BATCHES = 40
"""Batch sizes that the steady state is evaluated at. [-]"""


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


def layouts(model: Transformer, domain: int) -> Iterator[EngineLayout]:
    """Layouts of one replica inside a scale-up domain: tensor parallel, and wide EP."""
    moe = any(getattr(k.feed_forward, "experts", 0) for k in model.kinds())
    for degree in DEGREES:
        if degree > domain:
            return
        yield EngineLayout(tp=degree, ep=degree if moe else 1, domain=domain)
        if moe and degree > 1:
            yield EngineLayout(dp=degree, ep=degree, domain=domain)


def candidate(one: Replica, prompt: float, longest: float) -> Candidate:
    """A replica as the simulator takes it.

    Parameters
    ----------
    one : Replica
    prompt, longest : float
        Typical prompt, and longest prompt with its answer. [token]

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
    dp = int(one.layout.dp)
    sequences = MOST_SEQUENCES if dp == 1 else RANK_SEQUENCES * dp
    # SGLang runs prompts before decodes, in steps of their own; the simulator does
    # not cut those, nor what it computes anew after a preemption.
    alone = one.engine == "sglang"
    tokens = max(STEP_TOKENS, int(longest) + 1 if alone else 0) * dp
    cost = one.cost(sequences, tokens, prompt)
    return Candidate(one, Engine(cost, room, sequences, tokens, chunked=not alone), room)


def reading_time(c: Candidate, prompt: float) -> float:
    """Time that a replica takes for one prompt, in steps as large as it allows [s]."""
    cost = c.engine.cost
    chunk = min(prompt, float(c.engine.max_tokens))
    return float(prompt / chunk * cost.mixed[int(chunk)] + cost.chunk_kv * prompt * prompt / 2)


def decode_times(c: Candidate) -> tuple[Any, Any]:
    """Batches of decoding sequences that the cache holds, `[batch]`, and time per token of each [s]."""
    cost = c.engine.cost
    batch = np.unique(np.geomspace(1, c.engine.max_sequences, BATCHES).round())
    batch = batch[batch * c.replica.context <= c.room]
    step = cost.decode[batch.astype(int)] + cost.kv * batch * c.replica.context
    return batch, step / cost.tokens_per_step


def steady_rate(c: Candidate, tpot: float, prompt: float, answer: float) -> float:
    """Requests per second of the largest batch whose steady state holds a TPOT, prompts included [1/s].

    In the time of one answer of n tokens each of B sequences is replaced once, so that B prompts are read:
    the time per token is that of decoding alone and :math:`B / n` readings.
    """
    batch, each = decode_times(c)
    each = each + batch / answer * reading_time(c, prompt)
    return float(np.max(np.where(each <= tpot, batch / (each * answer), 0.0), initial=0.0))


def decode_rate(c: Candidate, tpot: float, answer: float) -> float:
    """Requests per second that a replica which only decodes serves within a TPOT [1/s]."""
    batch, each = decode_times(c)
    return float(np.max(np.where(each <= tpot, batch / (each * answer), 0.0), initial=0.0))

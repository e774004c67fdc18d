"""What one step of a replica's engine costs: the contract between a model of an engine and the simulator."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from armillary.errors import InputError

Array = NDArray[np.float64]

__all__ = ["Engine", "StepCost", "checked_engine"]


class StepCost(NamedTuple):
    """What one iteration of a replica's engine costs, in the form that can be summed over many steps.

    A step of B decoding sequences with K tokens of context in all takes ``decode[B] + kv * K``. With chunks
    of c_i prompt tokens that come after p_i tokens already in the cache it takes
    ``mixed[B + sum(c_i)] + joined + beside * B + kv * K + chunk_kv * sum(c_i * (p_i + c_i / 2))``.

    decode : `[B+1]` of a step of B decoding sequences and no prompt, without reading their KV; entry 0 is
    unused [s].
    mixed : `[T+1]` of a step with prompt tokens, T tokens in all (decodes count 1 each), without attention
    over context; entry 0 is unused [s].
    kv : per token of context that decoding sequences read, per step [s].
    chunk_kv : per prompt token x token of context that it attends to [s].
    joined : of a step with prompts in which any sequence decodes: kernels of its own [s].
    tokens_per_step : that a decode step gives each sequence; above 1 with speculative decoding [-].
    beside : what a decoding sequence takes in a step with prompts beyond one token of them: its part of the
    host's time, its logits, its attention's kernels [s].
    """

    decode: Array
    mixed: Array
    kv: float
    chunk_kv: float
    tokens_per_step: float = 1.0
    beside: float = 0.0
    joined: float = 0.0


class Engine(NamedTuple):
    """One replica: what its steps cost and what it can hold.

    cost : StepCost.
    kv_tokens : tokens of KV that fit [token].
    max_sequences : running at once, ``max_num_seqs`` [-].
    max_tokens : of a step, ``max_num_batched_tokens``: decodes first, then prompts in order [token].
    role : what it does of a request: both phases, only its prompt, or only its decoding.
    reserve : admit only when prompt and whole output fit, so that nothing is ever preempted. Else admit when
    the prompt fits, and preempt the last admitted, to be recomputed, when KV is full.
    chunked : prompts are split at the token budget and share steps with decodes. Else a prompt is never
    split and runs in a step without decodes, before them.
    poll : decode steps between looks at the queue, while no prompt runs; after a step with prompts it looks
    at once, as SGLang does (``--scheduler-recv-interval``) [-].
    hold, hold_tokens : while others run, prompts wait up to so many steps until so many of their tokens are
    there, as in TensorRT-LLM (``batch_wait_timeout_iters``); 0 not to wait [-], [token].
    """

    cost: StepCost
    kv_tokens: float
    max_sequences: int
    max_tokens: int
    role: Literal["both", "prefill", "decode"] = "both"
    reserve: bool = False
    chunked: bool = True
    poll: int = 1
    hold: int = 0
    hold_tokens: int = 0


def checked_engine(engine: Engine, name: str = "engine") -> Engine:
    """The engine with its tables as arrays.

    Raises
    ------
    InputError
        Naming what is out of range, or a table that is too short for the limits.
    """
    cost = engine.cost
    if engine.role not in ("both", "prefill", "decode"):
        raise InputError(
            f"role of {name} must be 'both', 'prefill' or 'decode'. Got {engine.role!r} instead."
        )
    for what, least in (
        ("max_sequences", 1),
        ("max_tokens", 1),
        ("poll", 1),
        ("hold", 0),
        ("hold_tokens", 0),
    ):
        value = getattr(engine, what)
        if int(value) != value or value < least:
            raise InputError(f"{what} of {name} must be a whole number from {least}. Got {value!r} instead.")
    if engine.hold and (engine.poll > 1 or engine.role == "decode"):
        raise InputError(
            f"hold of {name} must be 0 where poll is above 1, and where it only decodes. Got {engine.hold}."
        )
    if engine.max_tokens < engine.max_sequences:
        raise InputError(
            f"max_tokens of {name}, {engine.max_tokens}, must be at least max_sequences, "
            f"{engine.max_sequences}: each running sequence needs one token of a step"
        )
    if not engine.kv_tokens > 0:
        raise InputError(f"kv_tokens of {name} must be above 0. Got {engine.kv_tokens!r} instead.")
    for what in ("kv", "chunk_kv", "beside", "joined"):
        rate = getattr(cost, what)
        if not 0 <= rate < np.inf:
            raise InputError(f"{what} of the cost of {name} must be 0 or more, finite. Got {rate!r} instead.")
    if not 1 <= cost.tokens_per_step < np.inf:
        raise InputError(
            f"tokens_per_step of {name} must be 1 or more, finite. Got {cost.tokens_per_step!r} instead."
        )
    decode = _table(cost.decode, engine.max_sequences, f"decode of the cost of {name}", "max_sequences")
    mixed = _table(cost.mixed, engine.max_tokens, f"mixed of the cost of {name}", "max_tokens")
    return engine._replace(cost=cost._replace(decode=decode, mixed=mixed))


def _table(given: Array, most: int, what: str, limit: str) -> Array:
    values = np.ascontiguousarray(given, float)
    if values.ndim != 1 or len(values) < most + 1:
        raise InputError(f"{what} must have {most + 1} entries, 0 to {limit}. Got {values.shape} instead.")
    values = values[: most + 1]
    wrong = np.flatnonzero(~((values[1:] > 0) & (values[1:] < np.inf)))
    if len(wrong):
        at = int(wrong[0]) + 1
        raise InputError(f"{what} must be above 0 and finite. Got {values[at]!s} at {at} instead.")
    return values

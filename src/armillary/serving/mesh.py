"""The steady state in closed form of all layouts and batches of a model on a system, as arrays at once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from armillary.model import Transformer
from armillary.serving.calibration import front_end
from armillary.serving.candidates import STEP_TOKENS, limits
from armillary.serving.degrees import divides_heads, most_stages
from armillary.serving.engine import Replica
from armillary.serving.layout import EngineLayout
from armillary.serving.step import Batch
from armillary.serving.workload import Load, Targets

Floats = NDArray[np.float64]

BATCHES = 48
"""Batches that each layout is evaluated at, from one sequence to what its memory holds. [-]"""
DEGREES = tuple(2**i for i in range(8))
"""Of tensor and attention-data parallelism. [-]"""
STAGES = (1, 2, 4, 8)
"""Of a pipeline, each a whole scale-up domain. [-]"""
WIDEST = 128
"""Accelerators of one replica, at most. [-]"""
CACHE_MARGIN = 1.1
"""Cache of each attention group over the longest request, at least. [-]"""
TURNS = 8
"""Of the fixed point of how many prompts share a step. [-]"""


class Mesh(NamedTuple):
    """Layouts of one engine and precision and their steady states.

    replica : whose layout has arrays `[layout, 1]`. context : see `Load` [token].
    needed : `[layout]` memory of weights, workspace and the longest request over what is usable [-].
    batch : `[layout, batch]` decoding sequences [-].
    alone, each : `[layout, batch]` time per token of each: decoding only, and with prompts that come in as
        sequences end [s].
    reading : `[layout]` time that a prompt takes of a replica, in full steps [s].
    first : `[layout]` time to the first token of an idle replica, at the percentile of its target [s].
    step_tokens : of a step on each attention-parallel rank [token].
    """

    replica: Replica
    needed: Floats
    batch: Floats
    alone: Floats
    each: Floats
    reading: Floats
    first: Floats
    step_tokens: int

    @property
    def fits(self) -> NDArray[np.bool_]:
        """`[layout]` whether memory holds the longest request."""
        return self.needed <= 1

    @property
    def accelerators(self) -> Floats:
        """`[layout]` of a replica [-]."""
        found: Floats = np.asarray(self.replica.layout.accelerators, float).reshape(-1)
        return found

    def layout(self, row: int) -> EngineLayout:
        """One layout."""
        degrees = self.replica.layout
        tp, pp, dp, ep = (int(np.ravel(part)[row]) for part in degrees[:4])
        return EngineLayout(tp, pp, dp, ep, degrees.domain)

    def alone_replica(self, row: int) -> Replica:
        """The replica of one layout."""
        return replace(self.replica, layout=self.layout(row))


def layouts(model: Transformer, domain: int, widest: int = WIDEST) -> EngineLayout:
    """Layouts of one replica, arrays `[layout, 1]`.

    Tensor parallelism stays inside a scale-up domain and divides the heads; attention-data parallelism, of
    models with experts, and pipeline stages cross it, the latter only with stages of whole domains. Experts
    are spread whole over all ranks of a stage, or, in one attention group, cut as dense matrices are.
    """
    experts = [getattr(k.feed_forward, "experts", 0) for k in model.kinds()]
    routed = max(experts, default=0)
    depth = most_stages(model)
    whole = max(d for d in DEGREES if d <= domain)
    rows = set()
    for tp in DEGREES:
        if tp > domain or not divides_heads(model, tp):
            continue
        for dp in DEGREES if routed else (1,):
            for pp in STAGES:
                stage = tp * dp
                if stage * pp > widest or pp > depth or (pp > 1 and stage != whole):
                    continue
                spreads = {stage} if dp > 1 else {1, stage}
                rows |= {
                    (tp, pp, dp, ep)
                    for ep in (spreads if routed else {1})
                    if ep == 1 or not any(e % ep for e in experts if e)
                }
    degrees = np.array(sorted(rows, key=lambda r: (r[0] * r[1] * r[2], r)), float).T[:, :, None]
    tp, pp, dp, ep = degrees
    return EngineLayout(tp, pp, dp, ep, domain)


def evaluated(one: Replica, load: Load, targets: Targets, step_tokens: int = STEP_TOKENS) -> Mesh:
    r"""Evaluate all layouts of a replica (arrays `[layout, 1]`) under a load.

    step_tokens : of a step on each attention-parallel rank [token].

    Notes
    -----
    In the time of one step of B sequences that get a tokens each, :math:`a B / n` answers of n tokens end
    and as many prompts are read. With chunked prefill they share steps: a part of the steps takes them on
    top of the decodes, the others decode alone. Arrivals are Poisson, so that a step has prompts if any came
    in the one before: a chain of two states, after a step with prompts with
    :math:`p_b = 1 - e^{-\lambda t_b}`, after one of decodes with :math:`p_d`. Of all steps
    :math:`p_d / (1 - p_b + p_d)` have prompts, and each of these as many as come on average over that part.
    Without chunks, prompts have steps of their own.
    """
    layout, context, longest = one.layout, load.context, load.longest
    held = one.memory()
    cache = CACHE_MARGIN * longest * held.token + held.sequence
    needed = np.ravel((held.weights + held.workspace + cache) / held.usable)
    sequences, tokens = limits(one.engine, layout.dp, longest, step_tokens)
    speculation = one.speculation()
    given = 1.0 if speculation is None else float(speculation.tokens_per_step)
    room = np.minimum(sequences, np.maximum(np.floor(held.tokens / context), 1.0))
    batch = np.round(room ** (np.arange(BATCHES) / (BATCHES - 1)))
    decode = one.step(Batch(batch, batch * context, 0.0, 0.0, np.inf, 0.0)).total
    read, before = float(load.read.mean()), float(load.cached.mean())
    # Tokens that a prompt token attends to, on average over all of them.
    seen = float((load.read * (load.cached + load.read / 2.0)).sum() / load.read.sum())
    answer = float(load.output.mean())
    whole = one.step(
        Batch(0.0, 0.0, tokens, tokens * seen, np.minimum(read, tokens), np.maximum(tokens / read, 1.0))
    ).total
    reading = whole * read / tokens
    ended = batch * given / answer
    if one.engine == "sglang":
        step = decode + ended * reading
    else:
        room = np.maximum(tokens - batch, 1.0)
        chunk = np.minimum(np.maximum(ended, 1.0) * read, room)
        for _ in range(TURNS):
            part = ended * read / chunk
            prompts = np.maximum(chunk / read, 1.0)
            both = one.step(
                Batch(batch, batch * context, chunk, chunk * seen, np.minimum(read, chunk), prompts)
            ).total
            # Prompts that fill more than every step leave their sequences waiting.
            step = np.where(part < 1, (1 - part) * decode + part * both, part * both)
            # Those that come while a step reads prompts share the next one.
            after_both, after_decode = (-np.expm1(-ended / step * t) for t in (both, decode))
            shared = ended * (1 - after_both + after_decode) / after_decode
            wanted = np.minimum(np.maximum(np.maximum(shared, ended), 1.0) * read, room)
            chunk = (chunk + wanted) / 2
    front = front_end(one.engine)
    prompt = float(np.percentile(load.read, targets.percentiles[0]))
    chunk = np.minimum(prompt, tokens)
    once = one.step(Batch(0.0, 0.0, chunk, chunk * (before + chunk / 2), chunk, 1.0)).total
    first = once * prompt / chunk + front.time(prompt, decode[..., :1])
    shape: Any = np.broadcast_shapes(np.shape(batch), np.shape(step))
    alone, each = (np.broadcast_to(t / given, shape) for t in (decode, step))
    rows = np.shape(np.asarray(layout.tp))[0]
    reading, first = (np.broadcast_to(np.ravel(t), (rows,)) for t in (reading, first))
    return Mesh(one, needed, np.broadcast_to(batch, shape), alone, each, reading, first, step_tokens)


def steady_rates(mesh: Mesh, load: Load, targets: Targets) -> tuple[Floats, Floats]:
    """Highest rates of a replica whose means hold the targets, `[layout]` [1/s].

    Returns
    -------
    both, decoding
        With prompts and decoding in one replica, and of decoding alone; 0 where memory or targets do not let.
    """
    answer = float(load.output.mean())
    rates = []
    for each in (mesh.each, mesh.alone):
        right = (each <= targets.tpot) & (each * answer <= targets.e2e) & mesh.fits[:, None]
        rates.append(np.where(right, mesh.batch / (each * answer), 0.0).max(axis=1))
    late = mesh.first > targets.ttft
    return np.where(late, 0.0, rates[0]), rates[1]


def not_beaten(*gains: Floats) -> NDArray[np.bool_]:
    """Which points no other beats: none is at least as good in all gains, and better in one.

    gains : `[point]` each, more is better. Of equal points the first stays.

    Examples
    --------
    >>> not_beaten(np.array([1.0, 2.0, 1.0]), np.array([2.0, 1.0, 1.0])).tolist()
    [True, True, False]
    """
    points = np.stack(gains, axis=1)
    order = np.lexsort([*(-g for g in reversed(gains))])
    kept: list[int] = []
    for i in order:
        if not kept or not (points[kept] >= points[i]).all(axis=1).any():
            kept.append(int(i))
    found = np.zeros(len(points), bool)
    found[kept] = True
    return found

"""Memory of one accelerator under a layout, by kind of content. Only numpy and this room's schedules.

First and last stage are both worked out; the fuller one is reported.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from armillary.model.activations import Saved
from armillary.training.layout import Layout
from armillary.training.schedules import micro_batches_held, weight_copies

Numeric = Any

WEIGHT_BYTES = 2.0
TRANSIENT_SHARE = 0.35
"""Of a layer's saved tensors that gradients of its widest block take at a time. Assumption: the input
and output gradient of an activation function, a third of a dense layer's tensors. [-]"""
LOGIT_BYTES = 6.0
"""Of a logit while the loss is computed by a fused cross-entropy: BF16, and FP32 in place. [byte]"""


class Memory(NamedTuple):
    """Bytes on the fullest accelerator by kind; each a number or an array.

    weights : stored, quantised copies included. gathered : layers that ZeRO-3 has unsharded at a time.
    activations : kept for backward, over all micro-batches in flight. working : what one layer being
    computed or remade needs. logits : of the vocabulary projection and its loss.
    runtime : context, communication buffers, workspaces. fragmentation : allowance of the allocator.
    """

    weights: Numeric
    gathered: Numeric
    gradients: Numeric
    optimizer: Numeric
    activations: Numeric
    working: Numeric
    logits: Numeric
    runtime: Numeric
    fragmentation: Numeric

    @property
    def total(self) -> Numeric:
        """Sum of the parts, those of few axes first, so that a mesh is filled late [byte]."""
        return sum(sorted(self, key=np.size))


class Weights(NamedTuple):
    """Parameters of one stage on one accelerator before ZeRO [-]. layer : of the largest single layer."""

    dense: Numeric
    experts: Numeric
    layer: Numeric


def saved_bytes(saved: Saved, tokens: Numeric, layout: Layout, gemm_bytes: float) -> Numeric:
    """Bytes that one layer keeps of one micro-batch under each recompute policy of the layout.

    Parameters
    ----------
    saved : Saved
    tokens : numeric
        Of the micro-batch on this context-parallel rank. [token]
    gemm_bytes : float
        Width at which GEMM inputs are kept. [byte]
    """
    split, tp = layout.sequence_split, layout.tp
    routed = tokens / tp * layout.etp
    whole = 2.0 * saved.residual * tokens / split
    kept = (
        2.0 * saved.sequence_other / split * tokens
        + (gemm_bytes * saved.tensor_gemm + 2.0 * saved.tensor_other) / tp * tokens
        + gemm_bytes * saved.expert_gemm * routed
        + 2.0 * saved.expert_other / layout.etp * routed
    )
    cheap = gemm_bytes * (
        saved.sequence_gemm / split * tokens
        + saved.tensor_gemm_cheap / tp * tokens
        + saved.expert_gemm_cheap / layout.etp * routed
    )
    policy = np.asarray(layout.recompute)
    return whole + np.where(policy < 2, kept, 0.0) + np.where(policy < 1, cheap, 0.0)


class State(NamedTuple):
    """What a stage holds whatever its micro-batches [byte]; see `Memory`."""

    weights: Numeric
    gathered: Numeric
    gradients: Numeric
    optimizer: Numeric

    @property
    def total(self) -> Numeric:
        """Sum of the parts [byte]."""
        return sum(self)


NO_STATE = State(0.0, 0.0, 0.0, 0.0)


class Activations(NamedTuple):
    """What micro-batches take on a stage [byte]; see `Memory`."""

    activations: Numeric
    working: Numeric
    logits: Numeric
    fragmentation: Numeric

    @property
    def total(self) -> Numeric:
        """Sum of the parts [byte]."""
        return sum(self)


def state_memory(
    weights: Weights,
    layout: Layout,
    expert_shard: Numeric,
    weight_copy: float,
    gradient_bytes: float,
) -> State:
    """Weights, gradients and optimizer state of one stage.

    Parameters
    ----------
    weights : Weights
    layout : Layout
    expert_shard : numeric
        Ranks over which ZeRO shards experts. [-]
    weight_copy, gradient_bytes : float
        Bytes of quantised copies and of a gradient, per parameter. [byte]
    """
    zero = np.asarray(layout.zero)
    copies = weight_copies(layout.schedule, layout.pp)
    dense, experts = weights.dense * copies, weights.experts * copies

    def sharded(level: int, width: Numeric) -> Numeric:
        split = zero >= level
        return width * (dense / np.where(split, layout.shard, 1) + experts / np.where(split, expert_shard, 1))

    stored = np.where(zero >= 3, 0.0, (WEIGHT_BYTES + weight_copy) * (dense + experts))
    # Under a pipeline, weights stay gathered over the micro-batches; else two layers are at a time.
    unsharded = np.where(np.asarray(layout.pp) > 1, dense + experts, 2 * weights.layer)
    return State(
        weights=stored,
        gathered=np.where(zero >= 3, (WEIGHT_BYTES + weight_copy) * unsharded, 0.0),
        gradients=sharded(2, gradient_bytes),
        optimizer=sharded(1, layout.optimizer_bytes) * (1.0 - layout.offload_optimizer),
    )


def activation_memory(
    saved: Sequence[Saved],
    layers: Sequence[Numeric],
    head_vocab: Numeric,
    tokens: Numeric,
    held: Numeric,
    layout: Layout,
    gemm_bytes: float,
    allowance: float,
) -> Activations:
    """Activations of one stage.

    Parameters
    ----------
    saved, layers : sequences over kinds of layers
        Elements kept per token, and how many such layers the stage has. [-]
    head_vocab : numeric
        Vocabulary rows on this rank where the stage has the output projection, else 0. [-]
    tokens : numeric
        Of a micro-batch on this rank. [token]
    held : numeric
        Micro-batches whose activations are kept at once. [-]
    layout : Layout
    gemm_bytes : float
        Width at which GEMM inputs are kept. [byte]
    allowance : float
        Fragmentation over what comes and goes. [-]
    """
    per_batch: Numeric = 0.0
    working: Numeric = 0.0
    everything = layout._replace(recompute=0)
    for elements, count in zip(saved, layers, strict=True):
        per_batch = per_batch + count * saved_bytes(elements, tokens, layout, gemm_bytes)
        working = np.maximum(working, saved_bytes(elements, tokens, everything, gemm_bytes))
    activations = per_batch * held * (1.0 - layout.offload_activations)
    # Outside full recomputation the largest transient is the gradient of one block's wide activation.
    working = np.where(np.asarray(layout.recompute) == 2, working, TRANSIENT_SHARE * working)
    logits = tokens * head_vocab * LOGIT_BYTES
    return Activations(activations, working, logits, allowance * (activations + working + logits))


def stage_memory(state: State, activations: Activations, runtime: float) -> Memory:
    """Memory of one stage: what it holds, what micro-batches take, and the runtime's share."""
    return Memory(
        weights=state.weights,
        gathered=state.gathered,
        gradients=state.gradients,
        optimizer=state.optimizer,
        activations=activations.activations,
        working=activations.working,
        logits=activations.logits,
        runtime=runtime,
        fragmentation=activations.fragmentation,
    )


def held_on_last_stage(layout: Layout, micro_batches: Numeric) -> Numeric:
    """Micro-batches that the last stage keeps: one, or with interleaving what its early chunks wait with."""
    interleaved = (layout.pp * (layout.vpp - 1) + 1) / layout.vpp
    held = np.where(np.asarray(layout.schedule) == 2, layout.pp + 1, interleaved)
    return np.minimum(np.where(np.asarray(layout.pp) > 1, held, 1), micro_batches)


def held_on_first_stage(layout: Layout, micro_batches: Numeric) -> Numeric:
    """Micro-batches that the first stage keeps, see `schedules.micro_batches_held`."""
    return micro_batches_held(layout.schedule, layout.pp, layout.vpp, micro_batches)


def fuller(a: Memory, b: Memory) -> Memory:
    """Layout by layout the memory whose total is larger, part by part."""
    first = np.asarray(a.total) >= b.total
    return Memory(*(np.where(first, x, y) for x, y in zip(a, b, strict=True)))

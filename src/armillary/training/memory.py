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
TRANSIENT_SHARE = 0.5
"""Of a layer's saved tensors that gradients of its widest block take at a time. Assumption: the gradients
of gate, up and the residual, two thirds of a feed-forward's tensors, less the one that they replace. [-]"""
FUSED_LOGIT_BYTES = 2.0
"""Of a logit where a fused loss writes the gradient over the BF16 logits (Transformer Engine). [byte]"""
LOGIT_BYTES = 6.0
"""Of a logit where PyTorch computes the loss: BF16, and FP32 in place. [byte]"""


class Memory(NamedTuple):
    """Bytes on the fullest accelerator by kind; each a number or an array.

    weights : stored, quantised copies included. gathered : layers that ZeRO-3 has unsharded at a time.
    activations : kept for backward, over all micro-batches in flight. working : what one layer being
    computed or remade needs, and a BF16 gradient of one weight of each shape. logits : what the
    vocabulary projection and its loss need beyond the layer, whose turn is another.
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
    over_heads = (np.asarray(layout.cp) > 1) & (np.asarray(layout.cp_exchange) == 2)
    whole = 2.0 * saved.residual * tokens / split
    kept = (
        2.0 * saved.sequence_other / split * tokens
        + (gemm_bytes * saved.tensor_gemm + 2.0 * saved.tensor_other) / tp * tokens
        + gemm_bytes * saved.expert_gemm * routed
        + 2.0 * saved.expert_other / layout.etp * routed
        + np.where(over_heads, 2.0 * saved.exchanged / tp * tokens, 0.0)
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
    fused_loss: bool,
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
    fused_loss : bool
        Whether the loss writes its gradient over the logits. [-]
    """
    per_batch: Numeric = 0.0
    working: Numeric = 0.0
    stand_ins: Numeric = 0.0
    everything = layout._replace(recompute=0)
    for elements, count in zip(saved, layers, strict=True):
        per_batch = per_batch + count * saved_bytes(elements, tokens, layout, gemm_bytes)
        working = np.maximum(working, saved_bytes(elements, tokens, everything, gemm_bytes))
        stand_ins = np.maximum(stand_ins, np.where(np.asarray(count) > 0, _stand_in(elements, layout), 0.0))
    activations = per_batch * held * (1.0 - layout.offload_activations)
    # Outside full recomputation the largest transient is the gradient of one block's wide activation.
    working = np.where(np.asarray(layout.recompute) == 2, working, TRANSIENT_SHARE * working)
    head = head_bytes(head_vocab, saved[0].residual, tokens, layout, fused_loss)
    logits = np.maximum(head - working, 0.0)
    working = working + stand_ins
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


def _stand_in(saved: Saved, layout: Layout) -> Numeric:
    """One BF16 gradient of each shape of weight, which autograd is handed while sums go to FP32 [byte].

    Transformer Engine's dummy weight gradients, as the reproduction guide of SimuMax 1.2 names them.
    """
    return WEIGHT_BYTES * (saved.tensor_weights / layout.tp + saved.expert_weights / layout.etp)


def head_bytes(vocab: Numeric, hidden: Numeric, tokens: Numeric, layout: Layout, fused_loss: bool) -> Numeric:
    """Peak of the output projection and its loss, forward or backward; 0 where `vocab` is.

    Parameters
    ----------
    vocab : numeric
        Rows on this rank. [-]
    hidden : numeric
        Width of the residual stream. [-]
    tokens : numeric
        Of a micro-batch on this rank. [token]
    layout : Layout
    fused_loss : bool
        Whether the loss writes its gradient over the logits. [-]

    Notes
    -----
    Backward holds the gradient of the logits, a BF16 gradient of the weight, input and output of the final
    norm, the gradient of the latter, and under sequence parallelism the gathered input. PyTorch's own loss
    holds more than that where tokens are many.
    """
    split = np.asarray(layout.sequence_split)
    backward = vocab * (FUSED_LOGIT_BYTES * tokens + WEIGHT_BYTES * hidden)
    backward = backward + WEIGHT_BYTES * hidden * tokens * (1.0 + 2.0 / split + np.where(split > 1, 1.0, 0.0))
    own = 0.0 if fused_loss else LOGIT_BYTES * tokens * vocab
    return np.where(np.asarray(vocab) > 0, np.maximum(backward, own), 0.0)


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

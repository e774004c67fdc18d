"""One micro-batch through layers, forward and backward: recomputation, overlap, host-bound time.

Imports `model` for the kinds of layers, and this room's compute.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np

from armillary.model import Transformer
from armillary.model.operators import Gemm, Shard
from armillary.model.transformer import Attention, LatentAttention, Layer, Mlp, Moe
from armillary.training.calibration import Software
from armillary.training.compute import LayerTimes
from armillary.training.layout import Layout

Numeric = Any

FIRST_BLOCK = 0.05
"""Of a ring exchange that attention cannot cover: the launch of its first block. Assumption. [-]"""


class LayerCost(NamedTuple):
    """One micro-batch through one layer, communication before any overlap [s]."""

    compute: LayerTimes
    tensor: Numeric
    tensor_backward: Numeric
    context: Numeric
    expert: Numeric
    routing: Numeric


class Durations(NamedTuple):
    """One micro-batch through layers: the forward pass and the two halves of the backward pass [s]."""

    forward: Numeric
    input_gradient: Numeric
    weight_gradient: Numeric

    @property
    def backward(self) -> Numeric:
        """Both halves [s]."""
        return self.input_gradient + self.weight_gradient

    @property
    def total(self) -> Numeric:
        """Both passes [s]."""
        return self.forward + self.backward

    def scaled(self, factor: Numeric) -> Durations:
        """Each times `factor`."""
        return Durations(*(x * factor for x in self))

    def plus(self, other: Durations) -> Durations:
        """Part by part sum."""
        return Durations(*(a + b for a, b in zip(self, other, strict=True)))


class Passes(NamedTuple):
    """One micro-batch through layers, both passes, overlap taken off [s]."""

    gemm: Numeric
    attention: Numeric
    memory_bound: Numeric
    recompute: Numeric
    launch: Numeric
    tensor: Numeric
    context: Numeric
    expert: Numeric
    forward: Numeric
    input_gradient: Numeric
    weight_gradient: Numeric
    tensor_busy: Numeric
    context_busy: Numeric
    expert_busy: Numeric

    @property
    def durations(self) -> Durations:
        """Forward and backward [s]."""
        return Durations(self.forward, self.input_gradient, self.weight_gradient)

    def scaled(self, factor: Numeric) -> Passes:
        """Everything times `factor`."""
        return Passes(*(x * factor for x in self))

    def plus(self, other: Passes) -> Passes:
        """Part by part sum."""
        return Passes(*(a + b for a, b in zip(self, other, strict=True)))


def bare(compute: LayerTimes) -> LayerCost:
    """A cost of compute alone, without communication."""
    return LayerCost(compute, 0.0, 0.0, 0.0, 0.0, 0.0)


P = TypeVar("P", Passes, Durations)


def weighted(kinds: Sequence[P], counts: Sequence[Numeric]) -> P:
    """Sum over kinds of layers, each as often as it stands."""
    total = kinds[0].scaled(counts[0])
    for kind, count in zip(kinds[1:], counts[1:], strict=True):
        total = total.plus(kind.scaled(count))
    return total


def both_passes(cost: LayerCost, layout: Layout, software: Software) -> Passes:
    """Both passes of a layer: recomputation added, hidden communication taken off, host-bound time added."""
    c = cost.compute
    full = np.asarray(layout.recompute) == 2
    selective = np.asarray(layout.recompute) == 1
    # Saving every second product (torchtitan), or stopping before the last operator (PyTorch 2.1).
    remade = c.forward.total - software.early_stop * c.closing
    chosen = c.selective.total + software.selective_gemm * c.forward.gemm
    again = np.where(full, remade, np.where(selective, chosen, 0.0))
    rerun = np.where(full, 1.0, 0.0)
    work = c.forward.plus(c.input_gradient).plus(c.weight_gradient)

    tensor_busy = (1 + rerun) * cost.tensor + cost.tensor_backward
    tensor = tensor_busy * (1 - software.tensor_overlap * layout.overlap_tp)
    context_busy = (3 + rerun) * cost.context  # backward moves keys and values, and their gradients
    covered = software.context_overlap * (c.forward.attention + c.input_gradient.attention)
    ring = np.asarray(layout.cp_exchange) == 0
    context = np.where(ring, np.maximum(context_busy - covered, FIRST_BLOCK * context_busy), context_busy)
    expert_busy = (2 + rerun) * cost.expert
    room = software.expert_overlap * work.total * layout.overlap_ep
    expert = np.maximum(expert_busy - room, 0.0)

    launches = np.where(software.graphs, 0.0, software.host_launch * c.kernels * (2 + rerun))
    device = work.total + again + tensor + context + expert
    launch = np.maximum(launches - device, 0.0) + (2 + rerun) * cost.routing
    return Passes(
        gemm=work.gemm,
        attention=work.attention,
        memory_bound=work.memory_bound,
        recompute=again,
        launch=launch,
        tensor=tensor,
        context=context,
        expert=expert,
        forward=c.forward.total + (tensor + context + expert + launch) / 3,
        input_gradient=c.input_gradient.total + again + 2 * (tensor + context + expert + launch) / 3,
        weight_gradient=c.weight_gradient.total,
        tensor_busy=tensor_busy,
        context_busy=context_busy,
        expert_busy=expert_busy,
    )


def tensor_blocks(layer: Layer) -> float:
    """Blocks of a layer that tensor parallelism splits by column and row."""
    dense = isinstance(layer.feed_forward, Mlp) or (
        isinstance(layer.feed_forward, Moe) and layer.feed_forward.shared_ffn > 0
    )
    return float(layer.mixer is not None) + float(dense)


def exchanged(layer: Layer) -> tuple[float, float]:
    """Elements per token of queries, and of keys and values, that context parallelism exchanges."""
    match layer.mixer:
        case Attention() as a:
            return a.heads * a.head_dim, 2.0 * a.kv_heads * a.head_dim
        case LatentAttention() as a:
            return a.heads * (a.nope_dim + a.rope_dim), a.heads * (a.nope_dim + a.rope_dim + a.v_dim)
        case _:
            return 0.0, 0.0


def mtp_parts(model: Transformer) -> tuple[Layer, Gemm] | None:
    """Layer and projection of a multi-token-prediction module, None without such modules."""
    layer = model.mtp_layer()
    if layer is None:
        return None
    return layer, Gemm("mtp projection", 2 * model.hidden, model.hidden, Shard.COLUMN)

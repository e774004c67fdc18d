"""Parameters of a pipeline stage on one accelerator, and how ZeRO shards them. Imports `model`."""

from __future__ import annotations

from typing import Any

import numpy as np

from armillary.model import Transformer, layer_parameters, mtp_parameters, parameters
from armillary.training.layout import Layout
from armillary.training.memory import Weights
from armillary.training.stages import Stages, StageTables

Numeric = Any


def stage_weights(
    model: Transformer, tables: StageTables, spread: Stages, layout: Layout
) -> tuple[Weights, Weights]:
    """Parameters on one accelerator of the first and of the last stage, before ZeRO."""
    per_layer = [layer_parameters(kind, model.hidden, norm_bias=model.norm_bias) for kind in tables.kinds]
    count = parameters(model)
    split = layout.ep * layout.etp
    single = np.asarray(layout.pp) == 1

    def of(layers: list[Numeric], outer: Numeric) -> Weights:
        dense = sum(p.dense * n for p, n in zip(per_layer, layers, strict=True))
        experts = sum(p.experts * n for p, n in zip(per_layer, layers, strict=True))
        largest = max((p.dense + p.experts for p in per_layer), default=0)
        return Weights((dense + outer) / layout.tp, experts / split, np.asarray(largest) / layout.tp)

    head = count.head or count.embedding
    modules = sum(mtp_parameters(model)) * model.mtp_layers if model.mtp_layers else 0
    in_layers = sum(p.total * n for p, n in zip(per_layer, tables.counts, strict=True))
    rest = count.total - in_layers - count.embedding - count.head  # final norm, positions
    both = count.embedding + count.head + rest + modules
    first = of(spread.middle, np.where(single, both, count.embedding))
    last = of(spread.last, np.where(single, both, head + rest + modules))
    return first, last


def expert_shard(layout: Layout) -> Numeric:
    """Ranks over which ZeRO shards experts: no more than hold the same ones."""
    return np.minimum(layout.shard, np.maximum(layout.expert_data_parallel, 1))


def optimizer_weights(first: Weights, last: Weights, layout: Layout) -> Numeric:
    """Parameters that the fuller of first and last stage updates after sharding [-]."""
    zero = np.asarray(layout.zero) >= 1
    split = np.where(zero, layout.shard, 1)
    experts = np.where(zero, expert_shard(layout), 1)
    return np.maximum(
        first.dense / split + first.experts / experts, last.dense / split + last.experts / experts
    )

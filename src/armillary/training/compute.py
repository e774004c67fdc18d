"""Time of a layer's operators on one accelerator under a layout. Imports `model` and this room's formulas.

Arrays stay on the open-mesh axes they depend on: tokens on (micro_batch, cp), weights on (tp, ep, etp).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from armillary.model.operators import AttentionCore, Gemm, Operator, Pass, Scan, Shard
from armillary.training.kernels import Kernels, attention_time, causal_keys, gemm_time, pass_time
from armillary.training.precision import Recipe

Numeric = Any

BACKWARD_ATTENTION_PRODUCTS = 2.5
"""Fused attention backward makes five products where forward makes two (Dao 2023, arXiv:2307.08691)."""


class Tokens(NamedTuple):
    """What one accelerator works on in one micro-batch, and how it is split.

    local : tokens of the micro-batch on this context-parallel rank, ``micro_batch * sequence / cp`` [token].
    sequence : length that attention looks back over [token].
    tp, sequence_split, ep, etp : divisors, see `Layout` [-].
    imbalance : most loaded expert rank over the mean [-].
    causal_skew : keys of the context-parallel rank that sees most, over the mean [-].
    """

    local: Numeric
    sequence: Numeric
    tp: Numeric
    sequence_split: Numeric
    ep: Numeric
    etp: Numeric
    imbalance: Numeric = 1.0
    causal_skew: Numeric = 1.0

    @property
    def routed(self) -> Numeric:
        """Tokens entering this rank's experts, per copy, once dispatched (all ranks send as many) [token]."""
        return self.local / self.tp * self.etp * self.imbalance


class PassTimes(NamedTuple):
    """Seconds by kind of kernel."""

    gemm: Numeric
    attention: Numeric
    memory_bound: Numeric

    @property
    def total(self) -> Numeric:
        """Sum of the kinds [s]."""
        return self.gemm + self.attention + self.memory_bound

    def scaled(self, factor: Numeric) -> PassTimes:
        """Each kind times `factor`."""
        return PassTimes(*(t * factor for t in self))

    def plus(self, other: PassTimes) -> PassTimes:
        """Kind by kind sum."""
        return PassTimes(*(a + b for a, b in zip(self, other, strict=True)))


NOTHING = PassTimes(0.0, 0.0, 0.0)


class LayerTimes(NamedTuple):
    """Seconds of one micro-batch through a group of operators.

    forward : the forward pass. input_gradient, weight_gradient : the two halves of the backward pass.
    selective : forward kernels that selective recomputation runs again. kernels : launched forward [-].
    closing : of `forward`, the last operator, whose result no backward pass needs.
    """

    forward: PassTimes
    input_gradient: PassTimes
    weight_gradient: PassTimes
    selective: PassTimes
    kernels: Numeric
    closing: Numeric = 0.0

    def scaled(self, factor: Numeric) -> LayerTimes:
        """Everything times `factor`."""
        return LayerTimes(
            self.forward.scaled(factor),
            self.input_gradient.scaled(factor),
            self.weight_gradient.scaled(factor),
            self.selective.scaled(factor),
            self.kernels * factor,
            self.closing * factor,
        )

    def plus(self, other: LayerTimes) -> LayerTimes:
        """Part by part sum."""
        return LayerTimes(
            self.forward.plus(other.forward),
            self.input_gradient.plus(other.input_gradient),
            self.weight_gradient.plus(other.weight_gradient),
            self.selective.plus(other.selective),
            self.kernels + other.kernels,
            self.closing + other.closing,
        )


NO_LAYER = LayerTimes(NOTHING, NOTHING, NOTHING, NOTHING, 0.0)


def operators_time(
    operators: Iterable[Operator],
    tokens: Tokens,
    kernels: Kernels,
    low_precision_flops: Numeric,
    recipe: Recipe,
    gradient_bytes: float,
    grouped_share: float = 1.0,
    fused_casts: bool = True,
) -> LayerTimes:
    """Time of `operators` forward and backward.

    Parameters
    ----------
    operators : iterable of Operator
        E.g. `model.operators.layer_operators(layer, hidden)`.
    tokens : Tokens
    kernels : Kernels
        With `gemm_flops` of BF16, for what the recipe does not quantise.
    low_precision_flops : numeric
        Sustained by GEMMs that the recipe quantises. [FLOP/s]
    recipe : Recipe
    gradient_bytes : float
        Width of the weight gradient that is accumulated into. [byte]
    grouped_share : float
        Of the BF16 GEMM rate that grouped GEMMs sustain. [-]
    fused_casts : bool
        Whether norms and activations write quantised results themselves. [-]
    """
    times = NO_LAYER
    for operator in operators:
        match operator:
            case Gemm():
                one = _gemm(
                    operator._replace(fused_cast=operator.fused_cast and fused_casts),
                    tokens,
                    kernels,
                    low_precision_flops,
                    recipe,
                    gradient_bytes,
                    grouped_share,
                )
            case AttentionCore():
                one = _attention(operator, tokens, kernels)
            case Scan():
                one = _scan(operator, tokens, kernels)
            case Pass():
                one = _pass(operator, tokens, kernels)
        times = times.plus(one)._replace(closing=one.forward.total)
    return times


def _gemm(
    g: Gemm,
    tokens: Tokens,
    kernels: Kernels,
    low: Numeric,
    recipe: Recipe,
    gradient_bytes: float,
    grouped_share: float,
) -> LayerTimes:
    rows, columns, depth, groups = tokens.local, g.outputs, g.inputs, 1.0
    match g.shard:
        case Shard.COLUMN:
            columns = g.outputs / tokens.tp
        case Shard.ROW:
            depth = g.inputs / tokens.tp
        case Shard.REPLICATED:
            rows = tokens.local / tokens.sequence_split
        case Shard.EXPERT_COLUMN | Shard.EXPERT_ROW:
            groups = g.experts / tokens.ep
            rows = tokens.routed * g.copies / groups
            if g.shard is Shard.EXPERT_COLUMN:
                columns = g.outputs / tokens.etp
            else:
                depth = g.inputs / tokens.etp
    quantised = g.low_precision and recipe.gemm != "bf16"
    flops, width = (low, recipe.gemm_bytes) if quantised else (kernels.gemm_flops, 2.0)
    if g.experts > 1 and not quantised:
        flops = flops * grouped_share
    accumulate = 2 * gradient_bytes  # read and written
    forward = gemm_time(rows, columns, depth, groups, width, 2.0, flops, kernels)
    inputs = gemm_time(rows, depth, columns, groups, width, 2.0, flops, kernels)
    weights = gemm_time(columns, depth, rows, groups, width, accumulate, flops, kernels)
    cast_in = cast_gradient = 0.0
    if quantised:
        if not g.fused_cast:
            cast_in = recipe.cast_bytes * rows * depth * groups / kernels.memory_bandwidth
        cast_gradient = recipe.cast_bytes * rows * columns * groups / kernels.memory_bandwidth
    return LayerTimes(
        PassTimes(forward, 0.0, cast_in),
        PassTimes(inputs, 0.0, cast_gradient),
        PassTimes(weights, 0.0, 0.0),
        NOTHING,
        2.0 if quantised else 1.0,
    )


def _attention(a: AttentionCore, tokens: Tokens, kernels: Kernels) -> LayerTimes:
    heads = a.heads / tokens.tp
    keys = causal_keys(tokens.sequence, a.window) * tokens.causal_skew
    forward = attention_time(
        tokens.local, heads, a.qk_dim, a.v_dim, keys, kernels.attention_flops, 1.0, kernels
    )
    backward = attention_time(
        tokens.local,
        heads,
        a.qk_dim,
        a.v_dim,
        keys,
        kernels.attention_backward_flops,
        BACKWARD_ATTENTION_PRODUCTS,
        kernels,
    )
    return LayerTimes(PassTimes(0.0, forward, 0.0), PassTimes(0.0, backward, 0.0), NOTHING, NOTHING, 1.0)


def _scan(s: Scan, tokens: Tokens, kernels: Kernels) -> LayerTimes:
    local = tokens.local / tokens.tp
    # Chunked scans run as many small products, at a share of what attention reaches.
    share = kernels.scan_share
    forward = local * s.flops / (share * kernels.attention_flops) + local * s.bytes / kernels.memory_bandwidth
    backward = 2 * local * s.flops / (share * kernels.attention_backward_flops) + (
        2 * local * s.bytes / kernels.memory_bandwidth
    )
    gap = 4 * kernels.gap
    return LayerTimes(
        PassTimes(0.0, forward + gap, 0.0), PassTimes(0.0, backward + gap, 0.0), NOTHING, NOTHING, 4.0
    )


def _pass(p: Pass, tokens: Tokens, kernels: Kernels) -> LayerTimes:
    match p.shard:
        case Shard.TENSOR:
            local = tokens.local / tokens.tp
        case Shard.EXPERT:
            local = tokens.routed / tokens.etp
        case _:
            local = tokens.local / tokens.sequence_split
    forward = pass_time(local * p.forward, kernels)
    backward = pass_time(local * p.backward, kernels)
    again = forward if p.name.endswith(("norm", "activation")) else 0.0
    return LayerTimes(
        PassTimes(0.0, 0.0, forward),
        PassTimes(0.0, 0.0, backward),
        NOTHING,
        PassTimes(0.0, 0.0, again),
        1.0,
    )


def unfused_attention_bytes(heads: Numeric, tokens: Numeric, sequence: Numeric) -> Numeric:
    """Bytes moved by softmax and dropout on the whole score matrix, where attention is not fused.

    Five passes of two bytes over ``heads * tokens * sequence`` scores forward (Korthikanti et al. 2022,
    arXiv:2205.05198, section 4.1); the backward pass moves as many.
    """
    return 2.0 * 5.0 * heads * tokens * np.asarray(sequence)

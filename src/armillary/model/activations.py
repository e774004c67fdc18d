"""Activations that a layer keeps for its backward pass, by recompute policy. Imports `operators`.

The tensors are those that Megatron-Core with Transformer Engine saves: the input of every norm, the
input of every GEMM, q/k/v and the log-sum-exp of the fused attention, the input of the activation
function. Korthikanti et al. 2022 (arXiv:2205.05198) count the same tensors for GPT with unfused attention.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from armillary.model.transformer import (
    Attention,
    GatedDeltaNet,
    LatentAttention,
    Layer,
    Mamba2,
    Mlp,
    Moe,
)


class Saved(NamedTuple):
    """Elements that a layer keeps per token, by what splits them and by what they cost to remake.

    Each field counts elements [-]; the storage width comes from the precision recipe:
    ``gemm`` elements are stored as GEMM inputs (one byte under FP8), ``other`` in BF16.
    """

    residual: float
    """Input of the layer: all that full recomputation keeps. Split as the sequence is."""
    sequence_gemm: float
    """GEMM inputs whole in features (norm outputs), split by sequence parallelism; selective remakes them."""
    sequence_other: float
    """Inputs of norms and like, split by sequence parallelism."""
    tensor_gemm: float
    """GEMM inputs split over tensor-parallel ranks that are kept by every policy but full."""
    tensor_gemm_cheap: float
    """Outputs of activation functions; selective remakes them from `tensor_other`."""
    tensor_other: float
    """q, k, v, log-sum-exp, inputs of activation functions."""
    expert_gemm: float
    """Dispatched tokens, inputs of the experts' first GEMM."""
    expert_gemm_cheap: float
    """Outputs of the experts' activation functions."""
    expert_other: float
    """Inputs of the experts' activation functions."""
    exchanged: float
    """Output of the attention before an all-to-all of heads, which is kept besides the one after it."""
    tensor_weights: float
    """Elements of one weight matrix of each shape, split over tensor-parallel ranks; not per token."""
    expert_weights: float
    """The same of one expert."""

    @property
    def total(self) -> float:
        """All elements per token that a layer keeps on one accelerator [-]."""
        return sum(self[: self._fields.index("exchanged")])


@lru_cache(maxsize=512)
def saved_activations(layer: Layer, hidden: int) -> Saved:
    """Elements per token that one layer keeps without recomputation.

    Parameters
    ----------
    layer : Layer
    hidden : int
        Width of the residual stream. [-]
    """
    sequence_gemm = sequence_other = tensor_gemm = tensor_cheap = tensor_other = 0.0
    expert_gemm = expert_cheap = expert_other = 0.0
    exchanged = tensor_weights = expert_weights = 0.0
    sublayers = 0
    match layer.mixer:
        case Attention() as a:
            q, kv = a.heads * a.head_dim, a.kv_heads * a.head_dim
            tensor_other += q + 2 * kv + 2 * a.heads  # log-sum-exp is FP32: two BF16 elements
            tensor_gemm += q
            exchanged = q
            tensor_weights += hidden * (2 * q + 2 * kv)
            if a.qk_norm:
                tensor_other += q + kv
            if a.output_gate:
                tensor_other += 2 * q
            sublayers += 1
        case LatentAttention() as a:
            qk = a.nope_dim + a.rope_dim
            sequence_other += a.q_rank + a.kv_rank + a.rope_dim
            sequence_gemm += a.q_rank + a.kv_rank
            tensor_other += a.heads * (2 * qk + a.v_dim) + 2 * a.heads
            tensor_gemm += a.heads * a.v_dim
            exchanged = a.heads * a.v_dim
            tensor_weights += (
                hidden * (a.q_rank + a.kv_rank + a.rope_dim + a.heads * a.v_dim)
                + (a.q_rank or hidden) * a.heads * qk
                + a.kv_rank * a.heads * (a.nope_dim + a.v_dim)
            )
            sublayers += 1
        case Mamba2() as m:
            inner, mixed = m.heads * m.head_dim, m.heads * m.head_dim + 2 * m.groups * m.state
            tensor_other += 2 * mixed + 2 * inner + m.heads * m.head_dim * m.state * 2 / 128
            tensor_gemm += inner
            tensor_weights += hidden * (mixed + 2 * inner)
            sublayers += 1
        case GatedDeltaNet() as g:
            keys, values = g.key_heads * g.key_dim, g.value_heads * g.value_dim
            tensor_other += 2 * (2 * keys + values) + 2 * values + values * g.key_dim * 2 / 64
            tensor_gemm += values
            tensor_weights += hidden * (2 * keys + 3 * values)
            sublayers += 1
        case None:
            pass
    match layer.feed_forward:
        case Mlp() as f:
            tensor_other += 2 * f.ffn if f.gated else f.ffn
            tensor_cheap += f.ffn
            tensor_weights += hidden * f.ffn * (3 if f.gated else 2)
            sublayers += 1
        case Moe() as f:
            width = f.latent or hidden
            expert_gemm += f.top_k * width
            expert_other += f.top_k * (2 * f.ffn if f.gated else f.ffn)
            expert_cheap += f.top_k * f.ffn
            sequence_other += 2 * f.experts + (f.latent * 2)  # router logits and probabilities, FP32 and BF16
            tensor_other += 2 * f.shared_ffn if f.gated else f.shared_ffn
            tensor_cheap += f.shared_ffn
            matrices = 3 if f.gated else 2
            tensor_weights += hidden * f.shared_ffn * matrices
            expert_weights += width * f.ffn * matrices
            sublayers += 1
        case None:
            pass
    return Saved(
        residual=hidden,
        sequence_gemm=sequence_gemm + sublayers * hidden,
        sequence_other=sequence_other + max(sublayers - 1, 0) * hidden,
        tensor_gemm=tensor_gemm,
        tensor_gemm_cheap=tensor_cheap,
        tensor_other=tensor_other,
        expert_gemm=expert_gemm,
        expert_gemm_cheap=expert_cheap,
        expert_other=expert_other,
        exchanged=exchanged,
        tensor_weights=tensor_weights,
        expert_weights=expert_weights,
    )

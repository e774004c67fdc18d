"""The operators of one layer: what runs, of which shape, and how parallelism splits it.

An operator is described per token and per accelerator-group-independent: a `Gemm` by the two sides of
its weight, an `AttentionCore` by its heads, a `Pass` (memory-bound kernel) by the bytes it moves. `shard`
says which parallel degrees divide it; `training.compute` does the dividing.
"""

from __future__ import annotations

from enum import Enum
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
    Transformer,
)

ACTIVATION_BYTES = 2.0
"""Activations between operators are BF16 in every recipe that we model. [byte]"""


class Shard(Enum):
    """Which parallel degrees divide an operator."""

    COLUMN = "column"  # weight split by outputs over tensor-parallel ranks
    ROW = "row"  # weight split by inputs over tensor-parallel ranks
    TENSOR = "tensor"  # activation split over tensor-parallel ranks by heads or features
    SEQUENCE = (
        "sequence"  # activation whole in features; split over tensor-parallel ranks by sequence parallelism
    )
    REPLICATED = "replicated"  # every tensor-parallel rank computes it for its (sequence-parallel) tokens
    EXPERT_COLUMN = (
        "expert column"  # one matrix an expert, split by outputs over expert-tensor-parallel ranks
    )
    EXPERT_ROW = "expert row"
    EXPERT = "expert"  # activation of routed tokens, split over expert-tensor-parallel ranks


class Gemm(NamedTuple):
    """A linear layer: `[tokens, inputs] x [inputs, outputs]`.

    low_precision : True where FP8 and FP4 recipes quantise it.
    copies : how many times a token passes it (`top_k` for routed experts) [-].
    fused_cast : True where the kernel before it (norm, activation) writes the quantised input itself.
    experts : number of such matrices that tokens are spread over (1 unless expert) [-].
    """

    name: str
    inputs: int
    outputs: int
    shard: Shard
    low_precision: bool = True
    copies: int = 1
    experts: int = 1
    fused_cast: bool = True


class AttentionCore(NamedTuple):
    """Scores and weighted values. window : keys seen at most, 0 for all [token]."""

    heads: int
    kv_heads: int
    qk_dim: int
    v_dim: int
    window: int
    name: str = "attention"


class Scan(NamedTuple):
    """A chunked linear recurrence (state-space or delta rule).

    flops : forward, per token [FLOP]; bytes : moved forward, per token [byte].
    """

    name: str
    flops: float
    bytes: float


class Pass(NamedTuple):
    """A memory-bound kernel. forward, backward : bytes read and written per token [byte]."""

    name: str
    forward: float
    backward: float
    shard: Shard


Operator = Gemm | AttentionCore | Scan | Pass

_B = ACTIVATION_BYTES


def _norm(hidden: int) -> Pass:
    """Norm with the residual addition behind it: forward reads x and r, writes both; backward twice that."""
    return Pass("norm", 4 * _B * hidden, 5 * _B * hidden, Shard.SEQUENCE)


@lru_cache(maxsize=512)
def layer_operators(layer: Layer, hidden: int) -> tuple[Operator, ...]:
    """Operators of a layer's forward pass, in order.

    Parameters
    ----------
    layer : Layer
    hidden : int
        Width of the residual stream. [-]

    Notes
    -----
    Bytes of fused kernels follow what Transformer Engine and Megatron-Core launch: one norm kernel a
    sublayer, one rotary kernel, one activation kernel, one permutation and one un-permutation a MoE layer.
    """
    operators: list[Operator] = []
    match layer.mixer:
        case Attention() as a:
            operators += [_norm(hidden), *_attention(a, hidden)]
        case LatentAttention() as a:
            operators += [_norm(hidden), *_latent_attention(a, hidden)]
        case Mamba2() as m:
            operators += [_norm(hidden), *_mamba(m, hidden)]
        case GatedDeltaNet() as g:
            operators += [_norm(hidden), *_delta_net(g, hidden)]
        case None:
            pass
    match layer.feed_forward:
        case Mlp() as f:
            operators += [_norm(hidden), *_mlp(f.ffn, f.gated, hidden)]
        case Moe() as f:
            operators += [_norm(hidden), *_moe(f, hidden)]
        case None:
            pass
    return tuple(operators)


def _attention(a: Attention, hidden: int) -> list[Operator]:
    q, kv = a.heads * a.head_dim, a.kv_heads * a.head_dim
    gate = q if a.output_gate else 0
    rotary = 2 * _B * (q + kv) * (2 if a.qk_norm else 1)
    parts: list[Operator] = [
        Gemm("qkv", hidden, q + 2 * kv + gate, Shard.COLUMN),
        Pass("rotary", rotary, rotary, Shard.TENSOR),
        AttentionCore(a.heads, a.kv_heads, a.head_dim, a.head_dim, a.window or 0),
    ]
    if gate:
        parts.append(Pass("output gate", 3 * _B * q, 5 * _B * q, Shard.TENSOR))
    return [*parts, Gemm("attention out", q, hidden, Shard.ROW, fused_cast=False)]


def _latent_attention(a: LatentAttention, hidden: int) -> list[Operator]:
    qk = a.nope_dim + a.rope_dim
    parts: list[Operator] = []
    if a.q_rank:
        parts += [
            Gemm("q down", hidden, a.q_rank, Shard.REPLICATED),
            Pass("q norm", 2 * _B * a.q_rank, 3 * _B * a.q_rank, Shard.SEQUENCE),
            Gemm("q up", a.q_rank, a.heads * qk, Shard.COLUMN),
        ]
    else:
        parts.append(Gemm("q", hidden, a.heads * qk, Shard.COLUMN))
    assemble = 2 * _B * a.heads * (2 * qk + a.v_dim)
    parts += [
        Gemm("kv down", hidden, a.kv_rank + a.rope_dim, Shard.REPLICATED),
        Pass("kv norm", 2 * _B * a.kv_rank, 3 * _B * a.kv_rank, Shard.SEQUENCE),
        Gemm("kv up", a.kv_rank, a.heads * (a.nope_dim + a.v_dim), Shard.COLUMN),
        Pass("rotary and concat", assemble, assemble, Shard.TENSOR),
    ]
    window = 0
    if a.indexer is not None:
        window = a.indexer.top_k
    if a.indexer is not None and not a.indexer.shared:
        i = a.indexer
        parts += [
            Gemm("indexer q", a.q_rank or hidden, i.heads * i.head_dim, Shard.REPLICATED),
            Gemm("indexer k", hidden, i.head_dim + i.heads, Shard.REPLICATED),
            AttentionCore(i.heads, 1, i.head_dim, 0, 0),
        ]
    parts += [
        AttentionCore(a.heads, a.heads, qk, a.v_dim, window),
        Gemm("attention out", a.heads * a.v_dim, hidden, Shard.ROW, fused_cast=False),
    ]
    return parts


def _mamba(m: Mamba2, hidden: int) -> list[Operator]:
    inner, mixed = m.heads * m.head_dim, m.heads * m.head_dim + 2 * m.groups * m.state
    chunk = 128
    # State-space duality (Dao and Gu 2024, section 6): scores and outputs inside a chunk, states across.
    flops = 2.0 * chunk * (m.groups * m.state + inner) + 4.0 * inner * m.state
    moved = _B * (2 * mixed + 2 * inner) + 4.0 * inner * m.state / chunk * 2
    return [
        Gemm("ssm in", hidden, inner + mixed + m.heads, Shard.COLUMN),
        Pass("convolution", 2 * _B * mixed, 4 * _B * mixed, Shard.TENSOR),
        Scan("ssm scan", flops, moved),
        Pass("gated norm", 3 * _B * inner, 5 * _B * inner, Shard.TENSOR),
        Gemm("ssm out", inner, hidden, Shard.ROW),
    ]


def _delta_net(g: GatedDeltaNet, hidden: int) -> list[Operator]:
    keys, values = g.key_heads * g.key_dim, g.value_heads * g.value_dim
    chunk = 64
    # Chunked gated delta rule (Yang et al. 2024, section 3): the WY form costs about one more chunk product.
    flops = 2.0 * chunk * g.value_heads * (2 * g.key_dim + 2 * g.value_dim) + 6.0 * values * g.key_dim
    moved = _B * (2 * (2 * keys + values) + 2 * values) + 4.0 * values * g.key_dim / chunk * 2
    return [
        Gemm("linear in", hidden, 2 * keys + 2 * values + 2 * g.value_heads, Shard.COLUMN),
        Pass("convolution", 2 * _B * (2 * keys + values), 4 * _B * (2 * keys + values), Shard.TENSOR),
        Scan("delta rule", flops, moved),
        Pass("gated norm", 3 * _B * values, 5 * _B * values, Shard.TENSOR),
        Gemm("linear out", values, hidden, Shard.ROW),
    ]


def _mlp(ffn: int, gated: bool, hidden: int, name: str = "mlp") -> list[Operator]:
    wide = 2 * ffn if gated else ffn
    return [
        Gemm(f"{name} up", hidden, wide, Shard.COLUMN),
        Pass(f"{name} activation", _B * (wide + ffn), _B * (2 * wide + ffn), Shard.TENSOR),
        Gemm(f"{name} down", ffn, hidden, Shard.ROW),
    ]


def _moe(f: Moe, hidden: int) -> list[Operator]:
    width = f.latent or hidden
    wide = 2 * f.ffn if f.gated else f.ffn
    permuted = 2 * _B * width * f.top_k
    parts: list[Operator] = [
        Gemm("router", hidden, f.experts, Shard.REPLICATED, low_precision=False),
        Pass("routing", 6 * 4.0 * f.experts, 4 * 4.0 * f.experts, Shard.SEQUENCE),
    ]
    if f.latent:
        parts.append(Gemm("latent down", hidden, f.latent, Shard.REPLICATED))
    parts += [
        Pass("permute", permuted, permuted, Shard.EXPERT),
        Gemm(
            "expert up",
            width,
            wide,
            Shard.EXPERT_COLUMN,
            copies=f.top_k,
            experts=f.experts,
            fused_cast=False,
        ),
        Pass(
            "expert activation",
            _B * (wide + f.ffn) * f.top_k,
            _B * (2 * wide + f.ffn) * f.top_k,
            Shard.EXPERT,
        ),
        Gemm("expert down", f.ffn, width, Shard.EXPERT_ROW, copies=f.top_k, experts=f.experts),
    ]
    if f.bias:
        # Grouped GEMMs have no epilogue for biases: they are added, and their gradients summed, apart.
        results = _B * (wide + width) * f.top_k
        parts.append(Pass("expert bias", 2 * results, results, Shard.EXPERT))
    parts.append(Pass("unpermute", permuted, permuted, Shard.EXPERT))
    if f.latent:
        parts.append(Gemm("latent up", f.latent, hidden, Shard.REPLICATED))
    if f.shared_ffn:
        parts += _mlp(f.shared_ffn, f.gated, hidden, "shared expert")
    return parts


def head_operators(model: Transformer) -> tuple[Operator, ...]:
    """Operators behind the last layer: final norm, vocabulary projection, cross-entropy."""
    vocabulary = model.vocab
    return (
        _norm(model.hidden),
        Gemm("head", model.hidden, vocabulary, Shard.COLUMN, low_precision=False),
        # Logits to FP32, maximum, exponentials and their sum; backward writes the gradient once.
        Pass("loss", (_B + 4 + 4 + 4) * vocabulary, (4 + _B) * vocabulary, Shard.TENSOR),
    )


def embedding_operators(model: Transformer) -> tuple[Operator, ...]:
    """Operators before the first layer: the gather, and the scatter of its gradient."""
    return (Pass("embedding", 2 * _B * model.hidden, 4 * _B * model.hidden, Shard.SEQUENCE),)

"""Exact parameter counts of a transformer, by named part.

Sources of the layouts: Vaswani et al. 2017 (attention, feed-forward); Shazeer 2019 and 2020 (MQA, gated
units); DeepSeek-AI 2024, arXiv 2412.19437, section 2 (latent attention, multi-token prediction); Dao and
Gu 2024, arXiv 2405.21060 (Mamba-2); Yang et al. 2024, arXiv 2412.06464 (gated delta rule). Imports only
the types of this room.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from armillary.model.transformer import (
    Attention,
    FeedForward,
    LatentAttention,
    Layer,
    Mamba2,
    Mixer,
    Mlp,
    Moe,
    Transformer,
)

__all__ = ["LayerParameters", "Parameters", "layer_parameters", "mtp_parameters", "parameters"]


class LayerParameters(NamedTuple):
    """Parameters of one layer by part [-].

    mixer : attention or its like, with its biases, inner norms, gates and indexer.
    mlp : dense feed-forward block.
    router : router with its bias, and the projections into and out of the experts' latent width.
    shared_experts : with their gate.
    norms : of the residual stream.
    experts_active, experts_idle : routed experts that one token visits, and the others.
    """

    mixer: int
    mlp: int
    router: int
    shared_experts: int
    norms: int
    experts_active: int
    experts_idle: int

    @property
    def experts(self) -> int:
        """All routed experts: what expert parallelism shards [-]."""
        return self.experts_active + self.experts_idle

    @property
    def dense(self) -> int:
        """Everything outside the routed experts: what tensor and data parallelism shard [-]."""
        return self.total - self.experts

    @property
    def total(self) -> int:
        """Sum of the parts [-]."""
        return sum(self)


class Parameters(NamedTuple):
    """Parameters of a whole model by part [-].

    embedding, positions : input tables. head : output projection, 0 when tied to the embedding.
    norms : of all residual layers, behind the last layer, and behind the embedding where there is one.
    mtp : all multi-token-prediction modules: layer, projection and norms; they share embedding and head.
    The others are those of `LayerParameters`, summed over layers.
    """

    embedding: int
    positions: int
    head: int
    mixer: int
    mlp: int
    router: int
    shared_experts: int
    norms: int
    experts_active: int
    experts_idle: int
    mtp: int

    @property
    def experts(self) -> int:
        """All routed experts [-]."""
        return self.experts_active + self.experts_idle

    @property
    def total(self) -> int:
        """Sum of the parts without multi-token prediction, as model cards count [-]."""
        return sum(self) - self.mtp

    @property
    def active(self) -> int:
        """Parameters of the model that serve one token: `total` without the idle experts [-].

        Embedding and head are counted. Some cards leave the input embedding out (gpt-oss, Qwen3-Next);
        that is ``active - embedding``.
        """
        return self.total - self.experts_idle


@lru_cache(maxsize=4096)
def parameters(model: Transformer) -> Parameters:
    """Count the parameters of `model`, exactly.

    Examples
    --------
    >>> from armillary.model.architecture import Architecture, transformer
    >>> llama = Architecture(layers=32, hidden=4096, vocab=32000, heads=32, ffn=11008)
    >>> parameters(transformer(llama)).total
    6738415616
    """
    layers = [
        (layer_parameters(layer, model.hidden, norm_bias=model.norm_bias), n)
        for layer, n in model.kinds().items()
    ]
    sums = LayerParameters(*(sum(part * n for part, n in parts) for parts in _columns(layers)))
    outer_norms = (1 + model.embedding_norm) * _norm(model.hidden, model.norm_bias)
    return Parameters(
        embedding=model.vocab * model.hidden,
        positions=model.learned_positions * model.hidden,
        head=0 if model.tied_embeddings else model.vocab * model.hidden,
        mixer=sums.mixer,
        mlp=sums.mlp,
        router=sums.router,
        shared_experts=sums.shared_experts,
        norms=sums.norms + outer_norms,
        experts_active=sums.experts_active,
        experts_idle=sums.experts_idle,
        mtp=mtp_parameters(model).total * model.mtp_layers,
    )


def _columns(layers: list[tuple[LayerParameters, int]]) -> list[list[tuple[int, int]]]:
    return [[(parts[i], n) for parts, n in layers] for i in range(len(LayerParameters._fields))]


def layer_parameters(layer: Layer, hidden: int, *, norm_bias: bool = False) -> LayerParameters:
    """Count the parameters of one layer of width `hidden`, by part."""
    mixer = _mixer(layer.mixer, hidden) if layer.mixer is not None else 0
    norms = layer.norms * _norm(hidden, norm_bias)
    block = layer.feed_forward
    if isinstance(block, Moe):
        return LayerParameters(
            mixer=mixer,
            mlp=0,
            router=hidden * block.experts + block.router_bias * block.experts + 2 * hidden * block.latent,
            shared_experts=_matrices(block) * hidden * block.shared_ffn + block.shared_gate * hidden,
            norms=norms,
            experts_active=block.top_k * _expert(block, hidden),
            experts_idle=(block.experts - block.top_k) * _expert(block, hidden),
        )
    mlp = _mlp(block, hidden) if block is not None else 0
    return LayerParameters(
        mixer, mlp, router=0, shared_experts=0, norms=norms, experts_active=0, experts_idle=0
    )


def mtp_parameters(model: Transformer) -> LayerParameters:
    """Count one multi-token-prediction module of `model`; all zero when it has none.

    The module's 2 hidden x hidden projection is in `mixer`, its norms of the hidden state, of the
    embedding and of its output in `norms`.
    """
    layer = model.mtp_layer()
    if layer is None:
        return LayerParameters(0, 0, 0, 0, 0, 0, 0)
    parts = layer_parameters(layer, model.hidden, norm_bias=model.norm_bias)
    return parts._replace(
        mixer=parts.mixer + 2 * model.hidden**2,
        norms=parts.norms + 3 * _norm(model.hidden, model.norm_bias),
    )


def _norm(width: int, bias: bool) -> int:
    return width * (2 if bias else 1)


def _matrices(block: FeedForward) -> int:
    return 3 if block.gated else 2


def _mlp(block: Mlp, hidden: int) -> int:
    biases = (_matrices(block) - 1) * block.ffn + hidden if block.bias else 0
    return _matrices(block) * hidden * block.ffn + biases


def _expert(block: Moe, hidden: int) -> int:
    return _mlp(Mlp(block.ffn, block.gated, block.bias), block.latent or hidden)


def _mixer(mixer: Mixer, hidden: int) -> int:
    if isinstance(mixer, Attention):
        return _attention(mixer, hidden)
    if isinstance(mixer, LatentAttention):
        return _latent_attention(mixer, hidden)
    if isinstance(mixer, Mamba2):
        inner, mixed = mixer.heads * mixer.head_dim, 2 * mixer.groups * mixer.state
        projections = hidden * (2 * inner + mixed + mixer.heads) + inner * hidden
        convolution = (inner + mixed) * (mixer.conv + 1)
        return projections + convolution + 3 * mixer.heads + inner
    keys, values = mixer.key_heads * mixer.key_dim, mixer.value_heads * mixer.value_dim
    projections = hidden * (2 * keys + 2 * values + 2 * mixer.value_heads) + values * hidden
    convolution = (2 * keys + values) * mixer.conv
    return projections + convolution + 2 * mixer.value_heads + mixer.value_dim


def _attention(mixer: Attention, hidden: int) -> int:
    queries, keys = mixer.heads * mixer.head_dim, mixer.kv_heads * mixer.head_dim
    matrices = hidden * (queries * (2 if mixer.output_gate else 1) + 2 * keys) + queries * hidden
    biases = mixer.qkv_bias * (queries + 2 * keys) + mixer.out_bias * hidden
    norms = mixer.qk_norm * (queries + keys if mixer.qk_norm_wide else 2 * mixer.head_dim)
    return matrices + biases + norms + mixer.sinks * mixer.heads


def _latent_attention(mixer: LatentAttention, hidden: int) -> int:
    queries = mixer.heads * (mixer.nope_dim + mixer.rope_dim)
    query = mixer.q_rank * (hidden + 1 + queries) if mixer.q_rank else hidden * queries
    key_value = hidden * (mixer.kv_rank + mixer.rope_dim) + mixer.kv_rank
    key_value += mixer.kv_rank * mixer.heads * (mixer.nope_dim + mixer.v_dim)
    indexer = mixer.indexer
    if indexer is None or indexer.shared:
        index = 0
    else:
        index = (mixer.q_rank or hidden) * indexer.heads * indexer.head_dim
        index += hidden * (indexer.head_dim + indexer.heads) + 2 * indexer.head_dim
    return query + key_value + index + mixer.heads * mixer.v_dim * hidden

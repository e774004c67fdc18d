"""`Transformer`: an architecture as a value; layers as runs of equal `Layer`s.

Imports only numpy, dataclasses and rooms above.
"""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Attention:
    """Softmax attention: MHA, GQA (kv_heads < heads) or MQA (kv_heads = 1).

    window : keys that a query sees at most, itself included; None sees all (causal) [token].
    qk_norm : norms on queries and keys, one vector of `head_dim` each that all heads share, or with
        `qk_norm_wide` one as wide as all heads together (OLMo 2, MiniMax-M2).
    sinks : one learned logit a head that takes attention away from the keys (gpt-oss).
    output_gate : a sigmoid gate on the output, computed from the input (Qwen3-Next).
    """

    heads: int
    kv_heads: int
    head_dim: int
    window: int | None = None
    qkv_bias: bool = False
    out_bias: bool = False
    qk_norm: bool = False
    sinks: bool = False
    output_gate: bool = False
    qk_norm_wide: bool = False


@dataclass(frozen=True, slots=True)
class Indexer:
    """DeepSeek sparse attention's lightning indexer: keys are scored, `top_k` are attended to.

    shared : this layer attends to the keys that an earlier layer's indexer chose; it has none itself.
    """

    heads: int
    head_dim: int
    top_k: int
    shared: bool = False


@dataclass(frozen=True, slots=True)
class LatentAttention:
    """Multi-head latent attention (MLA). q_rank 0 projects queries directly."""

    heads: int
    q_rank: int
    kv_rank: int
    nope_dim: int
    rope_dim: int
    v_dim: int
    indexer: Indexer | None = None


@dataclass(frozen=True, slots=True)
class Mamba2:
    """State-space mixer of Mamba-2."""

    heads: int
    head_dim: int
    groups: int
    state: int
    conv: int


@dataclass(frozen=True, slots=True)
class GatedDeltaNet:
    """Gated delta-rule linear attention (Qwen3-Next, Qwen3.5)."""

    key_heads: int
    value_heads: int
    key_dim: int
    value_dim: int
    conv: int


@dataclass(frozen=True, slots=True)
class Mlp:
    """Dense feed-forward block; `gated` has three matrices (SwiGLU), else two."""

    ffn: int
    gated: bool = True
    bias: bool = False


@dataclass(frozen=True, slots=True)
class Moe:
    """Mixture of experts.

    ffn : width of one expert; shared_ffn : total width of the shared experts, 0 without.
    latent : width that tokens are projected to before routed experts, 0 without (LatentMoE).
    bias : experts carry biases (gpt-oss); shared_gate : sigmoid gate on the shared expert (Qwen).
    router_bias : bias or correction term, one a expert.
    """

    experts: int
    top_k: int
    ffn: int
    gated: bool = True
    shared_ffn: int = 0
    latent: int = 0
    bias: bool = False
    shared_gate: bool = False
    router_bias: bool = False


Mixer = Attention | LatentAttention | Mamba2 | GatedDeltaNet
FeedForward = Mlp | Moe


@dataclass(frozen=True, slots=True)
class Layer:
    """One residual layer: a token mixer, a feed-forward block, or both.

    norms : norm vectors of width `hidden`.
    """

    mixer: Mixer | None
    feed_forward: FeedForward | None
    norms: int = 2


@dataclass(frozen=True, slots=True)
class Transformer:
    """A decoder-only language model.

    pattern : `(layer, count)` runs from the input to the output; `sum(count)` layers.
    learned_positions : rows of a learned position table, 0 with rotary or no positions.
    mtp_layers : multi-token-prediction modules behind the last layer (each one layer and two
        hidden x hidden projections halves: a (2 x hidden, hidden) projection and norms).
    norm_bias : LayerNorm with bias (two vectors a norm) instead of RMSNorm.
    embedding_norm : a norm behind the input embedding (BLOOM).
    """

    name: str
    hidden: int
    vocab: int
    pattern: tuple[tuple[Layer, int], ...]
    tied_embeddings: bool = False
    learned_positions: int = 0
    mtp_layers: int = 0
    norm_bias: bool = False
    context: int = 0
    embedding_norm: bool = False

    @property
    def num_layers(self) -> int:
        """Layers, multi-token-prediction modules not counted [-]."""
        return sum(count for _, count in self.pattern)

    def kinds(self) -> dict[Layer, int]:
        """Distinct layers with their counts, in order of first appearance."""
        counts: dict[Layer, int] = {}
        for layer, count in self.pattern:
            counts[layer] = counts.get(layer, 0) + count
        return counts

    def layers(self) -> tuple[Layer, ...]:
        """Every layer from the input to the output, one element each."""
        return tuple(layer for layer, count in self.pattern for _ in range(count))

    def mtp_layer(self) -> Layer | None:
        """Return the layer inside each multi-token-prediction module, None without such modules.

        It has the last softmax attention (the last mixer where there is none) and the last feed-forward
        block of the model, whether these stand in one layer or, in a hybrid, in two. An indexer is its own.
        """
        if not self.mtp_layers:
            return None
        mixers = [layer.mixer for layer, _ in self.pattern if layer.mixer is not None]
        softmax = [m for m in mixers if isinstance(m, Attention | LatentAttention)]
        blocks = [layer.feed_forward for layer, _ in self.pattern if layer.feed_forward is not None]
        mixer = (softmax or mixers)[-1]
        if isinstance(mixer, LatentAttention) and mixer.indexer is not None:
            mixer = replace(mixer, indexer=replace(mixer.indexer, shared=False))
        return Layer(mixer, blocks[-1], 2)

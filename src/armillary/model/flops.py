"""Forward and training FLOPs of a transformer per token, by named part.

A multiplication and an addition are two FLOPs. Counted are matrix multiplications, attention scores and
values, and the recurrences of Mamba-2 and the gated delta rule; norms, activations, rotary positions and
softmax are not (together below 1% of a large model; they cost bandwidth, see the operators). Everything is
the average over the tokens of one sequence, so that a sequence costs `sequence` times as much.

Sources: Narayanan et al. 2021, arXiv 2104.04473, appendix (2 FLOPs a multiply-add, backward is twice
forward); DeepSeek-AI 2024, arXiv 2412.19437 (latent attention in its training form); Dao and Gu 2024,
arXiv 2405.21060, and Yang et al. 2024, arXiv 2412.06464, for the recurrences, counted as Megatron-Bridge
counts them: 7 a state element and token for Mamba-2, 8 a state element for the gated delta rule.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np

from armillary.model.transformer import (
    Attention,
    FeedForward,
    GatedDeltaNet,
    LatentAttention,
    Layer,
    Mamba2,
    Mixer,
    Moe,
    Transformer,
)

__all__ = ["ForwardFlops", "attended_keys", "forward_flops", "layer_flops", "training_flops"]

#: A float, or an array of any shape that all numeric results then have.
Numeric = Any
Mask = Literal["causal", "full"]


class ForwardFlops(NamedTuple):
    """FLOPs per token of one forward pass, by part; each a number or an array like `sequence` [FLOP].

    projections : into and out of all mixers. attention : scores and values of softmax attention.
    indexer : of sparse attention, projections and scores. recurrence : convolution and state of Mamba-2
    and linear attention. mlp, router (with latent projections), experts (the chosen top_k),
    shared_experts : feed-forward blocks. head : logits. mtp : all prediction modules with their logits.
    """

    projections: Numeric
    attention: Numeric
    indexer: Numeric
    recurrence: Numeric
    mlp: Numeric
    router: Numeric
    experts: Numeric
    shared_experts: Numeric
    head: Numeric
    mtp: Numeric

    @property
    def total(self) -> Numeric:
        """Sum of the parts [FLOP]."""
        return sum(self)


def attended_keys(sequence: Numeric, window: int | None = None, attention: Mask = "causal") -> Numeric:
    """Keys that a query attends to, on average over a sequence.

    Parameters
    ----------
    sequence : numeric
        Length of the sequence. [token]
    window : int, optional
        Keys that a query sees at most, itself included; all when not given. [token]
    attention : str
        ``"causal"`` counts the pairs that the mask leaves, ``"full"`` those of the unmasked square.

    Notes
    -----
    Causal: query i of s sees min(i, w) keys, on average :math:`w - w (w - 1) / (2 s)`.

    Examples
    --------
    >>> attended_keys(8192)
    4096.5
    >>> float(attended_keys(8192, window=128))
    127.0078125
    """
    reach = sequence if window is None else np.minimum(window, sequence)
    if attention == "full":
        return reach
    return reach - reach * (reach - 1) / (2 * sequence)


def forward_flops(model: Transformer, sequence: Numeric, attention: Mask = "causal") -> ForwardFlops:
    """FLOPs per token of one forward pass through `model`, by part.

    Parameters
    ----------
    model : Transformer
        Multi-token-prediction modules are counted, in part `mtp`; they run in training only.
    sequence : numeric
        Length of the sequences. [token]
    attention : str
        ``"causal"`` or ``"full"``, see `attended_keys`.

    Examples
    --------
    >>> from armillary.model.architecture import Architecture, transformer
    >>> llama = transformer(Architecture(layers=32, hidden=4096, vocab=32000, heads=32, ffn=11008))
    >>> f"{forward_flops(llama, 4096).total:.4g}"
    '1.429e+10'
    """
    zero = 0.0 * sequence
    sums: list[Numeric] = [zero] * len(ForwardFlops._fields)
    for layer, count in model.kinds().items():
        parts = layer_flops(layer, model.hidden, sequence, attention)
        sums = [total + count * part for total, part in zip(sums, parts, strict=True)]
    head = 2.0 * model.hidden * model.vocab
    module = model.mtp_layer()
    mtp = zero
    if module is not None:
        inner = layer_flops(module, model.hidden, sequence, attention).total
        mtp = model.mtp_layers * (inner + 4.0 * model.hidden**2 + head)
    return ForwardFlops(*sums)._replace(head=head + zero, mtp=mtp + zero)


def layer_flops(layer: Layer, hidden: int, sequence: Numeric, attention: Mask = "causal") -> ForwardFlops:
    """FLOPs per token of one forward pass through one layer of width `hidden`, by part."""
    block = layer.feed_forward
    zero = 0.0 * sequence
    parts = dict.fromkeys(ForwardFlops._fields, zero)
    if layer.mixer is not None:
        parts |= _mixer(layer.mixer, hidden, sequence, attention)
    if isinstance(block, Moe):
        matrices = _matrices(block)
        parts["router"] = 2.0 * hidden * (block.experts + 2 * block.latent)
        parts["experts"] = 2.0 * matrices * (block.latent or hidden) * block.ffn * block.top_k
        parts["shared_experts"] = 2.0 * hidden * (matrices * block.shared_ffn + block.shared_gate)
    elif block is not None:
        parts["mlp"] = 2.0 * _matrices(block) * hidden * block.ffn
    return ForwardFlops(**{name: part + zero for name, part in parts.items()})


def training_flops(model: Transformer, sequence: Numeric, attention: Mask = "causal") -> Numeric:
    """FLOPs per token of one training step: forward, and twice that backward; recomputation not counted."""
    return 3.0 * forward_flops(model, sequence, attention).total


def _matrices(block: FeedForward) -> int:
    return 3 if block.gated else 2


def _mixer(mixer: Mixer, hidden: int, sequence: Numeric, attention: Mask) -> dict[str, Numeric]:
    if isinstance(mixer, Attention):
        queries, keys = mixer.heads * mixer.head_dim, mixer.kv_heads * mixer.head_dim
        width = queries * (3 if mixer.output_gate else 2) + 2 * keys
        seen = attended_keys(sequence, mixer.window, attention)
        return {"projections": 2.0 * hidden * width, "attention": 4.0 * queries * seen}
    if isinstance(mixer, LatentAttention):
        return _latent_attention(mixer, hidden, sequence, attention)
    if isinstance(mixer, Mamba2):
        inner, mixed = mixer.heads * mixer.head_dim, 2 * mixer.groups * mixer.state
        return {
            "projections": 2.0 * hidden * (3 * inner + mixed + mixer.heads),
            "recurrence": 2.0 * mixer.conv * (inner + mixed) + 7.0 * inner * mixer.state,
        }
    return _gated_delta_net(mixer, hidden)


def _latent_attention(
    mixer: LatentAttention, hidden: int, sequence: Numeric, attention: Mask
) -> dict[str, Numeric]:
    head = mixer.nope_dim + mixer.rope_dim
    query = mixer.q_rank * (hidden + mixer.heads * head) if mixer.q_rank else hidden * mixer.heads * head
    key_value = hidden * (mixer.kv_rank + mixer.rope_dim)
    key_value += mixer.kv_rank * mixer.heads * (mixer.nope_dim + mixer.v_dim)
    indexer = mixer.indexer
    seen = attended_keys(sequence, indexer.top_k if indexer else None, attention)
    parts = {
        "projections": 2.0 * (query + key_value + mixer.heads * mixer.v_dim * hidden),
        "attention": 2.0 * mixer.heads * (head + mixer.v_dim) * seen,
    }
    if indexer is not None and not indexer.shared:
        width = indexer.heads * indexer.head_dim
        projections = (mixer.q_rank or hidden) * width + hidden * (indexer.head_dim + indexer.heads)
        parts["indexer"] = 2.0 * projections + 2.0 * width * attended_keys(sequence, None, attention)
    return parts


def _gated_delta_net(mixer: GatedDeltaNet, hidden: int) -> dict[str, Numeric]:
    keys, values = mixer.key_heads * mixer.key_dim, mixer.value_heads * mixer.value_dim
    state = mixer.value_heads * mixer.key_dim * mixer.value_dim
    return {
        "projections": 2.0 * hidden * (2 * keys + 3 * values + 2 * mixer.value_heads),
        "recurrence": 2.0 * mixer.conv * (2 * keys + values) + 8.0 * state,
    }

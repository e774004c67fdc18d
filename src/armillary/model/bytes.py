"""Bytes of weights and of the cache that decoding keeps, by precision.

Sources: Shazeer 2019, arXiv 1911.02150 (what is cached); DeepSeek-AI 2024, arXiv 2405.04434, section 2.1
(the latent that MLA caches); OCP Microscaling Formats 1.0, 2023 (MX block scales); NVIDIA, NVFP4, 2025
(block scales of 16 elements).
"""

from __future__ import annotations

from armillary.errors import InputError, did_you_mean
from armillary.model.parameters import parameters
from armillary.model.transformer import Attention, GatedDeltaNet, LatentAttention, Mamba2, Transformer

__all__ = [
    "BYTES_PER_ELEMENT",
    "bytes_per_element",
    "kv_cache_bytes_per_token",
    "recurrent_state_bytes",
    "weight_bytes",
]

#: Bytes of one stored element, block scales included [byte].
BYTES_PER_ELEMENT = {
    "fp32": 4.0,
    "bf16": 2.0,
    "fp16": 2.0,
    "fp8": 1.0,
    "int8": 1.0,
    "mxfp8": 1.0 + 1 / 32,
    "int4": 0.5,
    "mxfp4": 0.5 + 1 / 32,
    "nvfp4": 0.5 + 1 / 16,
}


def bytes_per_element(precision: str) -> float:
    """Bytes of one stored element of a precision, its share of block scales included [byte].

    Raises
    ------
    InputError
        If the precision is not a key of `BYTES_PER_ELEMENT`.
    """
    try:
        return BYTES_PER_ELEMENT[precision.casefold()]
    except KeyError:
        near = did_you_mean(precision, BYTES_PER_ELEMENT)
        known = ", ".join(BYTES_PER_ELEMENT)
        raise InputError(f"unknown precision {precision!r}{near or f'; known are {known}'}") from None


def weight_bytes(model: Transformer, precision: str = "bf16", expert_precision: str | None = None) -> float:
    """Bytes of all weights without multi-token prediction [byte].

    Parameters
    ----------
    model : Transformer
        The model.
    precision : str
        Of everything, or of everything but the routed experts.
    expert_precision : str, optional
        Of the routed experts, e.g. ``"mxfp4"`` for gpt-oss; `precision` when not given.
    """
    parts = parameters(model)
    outside = (parts.total - parts.experts) * bytes_per_element(precision)
    return outside + parts.experts * bytes_per_element(expert_precision or precision)


def kv_cache_bytes_per_token(
    model: Transformer, precision: str = "bf16", context: float | None = None
) -> float:
    """Bytes that decoding caches per token of context, all layers together [byte].

    Parameters
    ----------
    model : Transformer
        GQA caches keys and values of its key heads; MLA the latent and the rotary key, shared by all heads;
        an indexer one key a layer; Mamba-2 and linear attention nothing (see `recurrent_state_bytes`).
    precision : str
        Of the cache.
    context : float, optional
        Tokens in the context: layers with a sliding window then cache no more than their window. Without
        it every layer counts in full. [token]

    Examples
    --------
    >>> from armillary.model.architecture import Architecture, transformer
    >>> small = Architecture(layers=32, hidden=4096, vocab=128256, heads=32, kv_heads=8, ffn=14336)
    >>> kv_cache_bytes_per_token(transformer(small))
    131072.0
    """
    elements = 0.0
    for layer, count in model.kinds().items():
        mixer = layer.mixer
        if isinstance(mixer, Attention):
            windowed = mixer.window is not None and context is not None
            share = min(1.0, mixer.window / context) if windowed and mixer.window and context else 1.0
            elements += count * 2 * mixer.kv_heads * mixer.head_dim * share
        elif isinstance(mixer, LatentAttention):
            indexer = mixer.indexer
            keys = indexer.head_dim if indexer is not None and not indexer.shared else 0
            elements += count * (mixer.kv_rank + mixer.rope_dim + keys)
    return elements * bytes_per_element(precision)


def recurrent_state_bytes(
    model: Transformer, precision: str = "fp32", convolution_precision: str = "bf16"
) -> float:
    """Bytes of recurrent and convolution state that each sequence keeps, whatever its length [byte]."""
    state = convolution = 0
    for layer, count in model.kinds().items():
        mixer = layer.mixer
        if isinstance(mixer, Mamba2):
            inner = mixer.heads * mixer.head_dim
            state += count * inner * mixer.state
            convolution += count * (inner + 2 * mixer.groups * mixer.state) * (mixer.conv - 1)
        elif isinstance(mixer, GatedDeltaNet):
            state += count * mixer.value_heads * mixer.key_dim * mixer.value_dim
            width = 2 * mixer.key_heads * mixer.key_dim + mixer.value_heads * mixer.value_dim
            convolution += count * width * (mixer.conv - 1)
    return state * bytes_per_element(precision) + convolution * bytes_per_element(convolution_precision)

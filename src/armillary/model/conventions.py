"""How published tables count model FLOPs: TFLOP/s and MFU of two sources compare only by the same rule.

Each convention is a function of a model and a sequence length to the FLOPs per token of one training step.
Formulas: Narayanan et al. 2021, arXiv 2104.04473, section 5.1; Korthikanti et al. 2022, arXiv 2205.05198,
appendix A; Chowdhery et al. 2022, arXiv 2204.02311, appendix B (6N + 12Lhs); NVIDIA/Megatron-LM
core_v0.8.0, megatron/training/training.py; NVIDIA-NeMo/Megatron-Bridge,
src/megatron/bridge/training/utils/flop_utils.py (read 2026-08).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from armillary.errors import InputError, did_you_mean
from armillary.model.flops import Numeric, attended_keys, forward_flops, training_flops
from armillary.model.parameters import parameters
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

__all__ = ["CONVENTIONS", "Convention", "convention_named", "model_flops_convention"]


class Convention(NamedTuple):
    """A rule of counting: what it says, who uses it, and the function that applies it."""

    rule: str
    users: str
    flops: Callable[[Transformer, Numeric], Numeric]


def model_flops_convention(model: Transformer, sequence: Numeric, convention: str) -> Numeric:
    """FLOPs per token of one training step of `model`, as a convention counts them.

    Parameters
    ----------
    model : Transformer
        What was trained.
    sequence : numeric
        Length of the sequences. [token]
    convention : str
        A key of `CONVENTIONS`, or a text of the ``flops_convention`` column of measured tables.

    Returns
    -------
    numeric
        Times tokens/s, the "model FLOP/s" that the source prints. [FLOP]

    Raises
    ------
    InputError
        If the convention is unknown.

    Examples
    --------
    >>> from armillary.model.architecture import Architecture, transformer
    >>> gpt = Architecture(layers=96, hidden=12288, vocab=51200, heads=96, ffn=49152, gated=False)
    >>> f"{model_flops_convention(transformer(gpt), 2048, 'korthikanti-2022'):.4g}"
    '1.076e+12'
    """
    return CONVENTIONS[convention_named(convention)].flops(model, sequence)


def convention_named(text: str) -> str:
    """Return the key of `CONVENTIONS` that a key, or a text as tables print it, stands for.

    Raises
    ------
    InputError
        If no convention is meant by the text.
    """
    folded = text.strip().casefold()
    if folded in CONVENTIONS:
        return folded
    for beginning, key in _TEXTS.items():
        if folded.startswith(beginning):
            return key
    raise InputError(f"unknown FLOPs convention {text!r}{did_you_mean(text, CONVENTIONS)}")


def _all_parameters(model: Transformer, sequence: Numeric) -> Numeric:
    widths = sum(
        count * layer.mixer.heads * layer.mixer.head_dim
        for layer, count in model.kinds().items()
        if isinstance(layer.mixer, Attention)
    )
    return 6.0 * parameters(model).active + 12.0 * widths * sequence


def _narayanan(model: Transformer, sequence: Numeric) -> Numeric:
    layers, hidden, vocab = model.num_layers, model.hidden, model.vocab
    relative = 1 + sequence / (6 * hidden) + vocab / (16 * layers * hidden)
    return 96.0 * layers * hidden**2 * relative


def _korthikanti(model: Transformer, sequence: Numeric) -> Numeric:
    layers, hidden, vocab = model.num_layers, model.hidden, model.vocab
    relative = 1 + sequence / (6 * hidden) + vocab / (12 * layers * hidden)
    return 72.0 * layers * hidden**2 * relative


def _lora(model: Transformer, sequence: Numeric) -> Numeric:
    forward = forward_flops(model, sequence, "causal")
    return 2.0 * (forward.total - forward.attention) + 3.0 * forward.attention


def _megatron_bridge(model: Transformer, sequence: Numeric) -> Numeric:
    return _bridge(model, sequence, windows=True)


def _megatron_bridge_before_2606(model: Transformer, sequence: Numeric) -> Numeric:
    return _bridge(model, sequence, windows=False)


def _bridge(model: Transformer, sequence: Numeric, *, windows: bool) -> Numeric:
    """Causal half; no router and no gates; Mamba-2 inner width taken as twice the hidden width."""
    hybrid = any(layer.mixer is None or layer.feed_forward is None for layer, _ in model.pattern)
    layers = sum(
        count * _bridge_layer(layer, model.hidden, sequence, windows)
        for layer, count in model.kinds().items()
    )
    module = model.mtp_layer()
    if module is not None:
        projection = 0.0 if hybrid else 4.0 * model.hidden**2
        layers = layers + model.mtp_layers * (
            projection + _bridge_layer(module, model.hidden, sequence, windows)
        )
    logits = 2.0 * model.hidden * model.vocab * (1 + model.mtp_layers)
    return 3.0 * (layers + logits)


def _bridge_layer(layer: Layer, hidden: int, sequence: Numeric, windows: bool) -> Numeric:
    mixer = 0.0 if layer.mixer is None else _bridge_mixer(layer.mixer, hidden, sequence, windows)
    return mixer + _bridge_block(layer.feed_forward, hidden, windows)


def _bridge_block(block: FeedForward | None, hidden: int, windows: bool) -> float:
    if block is None:
        return 0.0
    matrices = 3 if block.gated else 2
    if not isinstance(block, Moe):
        return 2.0 * matrices * hidden * block.ffn
    if block.bias and not windows:  # gpt-oss: its gated experts were counted as two matrices until 26.06
        matrices = 2
    routed = 2.0 * matrices * (block.latent or hidden) * block.ffn * block.top_k
    return routed + 2.0 * matrices * hidden * block.shared_ffn + 4.0 * hidden * block.latent


def _bridge_mixer(mixer: Mixer, hidden: int, sequence: Numeric, windows: bool) -> Numeric:
    if isinstance(mixer, Attention):
        queries, keys = mixer.heads * mixer.head_dim, mixer.kv_heads * mixer.head_dim
        matrices = hidden * (queries * (3 if mixer.output_gate else 2) + 2 * keys)
        windowed = windows and mixer.window is not None
        seen = attended_keys(sequence, mixer.window) if windowed else sequence / 2
        return 2.0 * (matrices + 2 * queries * seen)
    if isinstance(mixer, LatentAttention):
        head = mixer.nope_dim + mixer.rope_dim
        query = mixer.q_rank * (hidden + mixer.heads * head + 1) or hidden * mixer.heads * head
        key_value = mixer.kv_rank * (hidden + mixer.heads * (mixer.nope_dim + mixer.v_dim) + 1)
        matrices = query + key_value + hidden * (mixer.rope_dim + mixer.heads * mixer.v_dim)
        return 2.0 * (matrices + mixer.heads * (head + mixer.v_dim) * sequence / 2)
    if isinstance(mixer, Mamba2):
        inner = 2 * hidden
        matrices = hidden * (3 * inner + 2 * mixer.groups * mixer.state + mixer.heads)
        return 2.0 * matrices + 7.0 * inner * mixer.state
    return _bridge_linear(mixer, hidden)


def _bridge_linear(mixer: GatedDeltaNet, hidden: int) -> float:
    keys, values = mixer.key_heads * mixer.key_dim, mixer.value_heads * mixer.value_dim
    matrices = hidden * (2 * keys + 3 * values + 2 * mixer.value_heads)
    return 2.0 * (matrices + mixer.conv * (2 * keys + values) + 4 * mixer.value_heads * mixer.value_dim**2)


#: Every convention by its key.
CONVENTIONS: dict[str, Convention] = {
    "causal": Convention(
        "3 x forward, attention over the keys that the causal mask leaves",
        "our own counts; the MLPerf rows",
        lambda model, sequence: training_flops(model, sequence, "causal"),
    ),
    "full": Convention(
        "3 x forward, attention over the unmasked square: 6N + 12Lhs with N without the input embedding",
        "NeMo 24, torchtitan since 2024-12, DGX Cloud recipes for Llama, InternEvo",
        lambda model, sequence: training_flops(model, sequence, "full"),
    ),
    "all-parameters": Convention(
        "6N + 12Lhs with N all active parameters, tables included",
        "llm-foundry, MegaScale, torchtitan before 2024-12",
        _all_parameters,
    ),
    "narayanan-2021": Convention(
        "96Lh^2(1 + s/6h + V/16Lh): four passes, recomputation included, full attention",
        "Narayanan et al. 2021 (SC21)",
        _narayanan,
    ),
    "korthikanti-2022": Convention(
        "72Lh^2(1 + s/6h + V/12Lh): three passes, full attention, multi-head attention and ffn 4h assumed",
        "Korthikanti et al. 2022; DGX Cloud recipes for Nemotron-4",
        _korthikanti,
    ),
    "megatron-core-0.8": Convention(
        "3 x forward, full attention",
        "Megatron-LM README, core_v0.8.0",
        lambda model, sequence: training_flops(model, sequence, "full"),
    ),
    "megatron-bridge": Convention(
        "3 x forward, attention over half the square or the window; no router; Mamba-2 width 2h",
        "Megatron-Bridge performance pages since 26.06",
        _megatron_bridge,
    ),
    "megatron-bridge-before-26.06": Convention(
        "as megatron-bridge, windows ignored and experts with biases counted as two matrices",
        "Megatron-Bridge performance pages before 26.06 (differs for gpt-oss only)",
        _megatron_bridge_before_2606,
    ),
    "lora": Convention(
        "2 x forward of the frozen matrices (no weight gradients), 3 x of causal attention",
        "LoRA rows",
        _lora,
    ),
}

#: How the texts of measured tables begin, case folded; the first that fits wins.
_TEXTS = {
    "megatron-bridge": "megatron-bridge",
    "nemo 24": "full",
    "causal half attn lora": "lora",
    "causal half attn": "causal",
    "6n+12lhs (full attn, source formula)": "all-parameters",
    "6n+12lhs (full attn), 96x12288": "all-parameters",
    "6n+12lhs": "full",
    "sc21": "narayanan-2021",
    "2205.05198": "korthikanti-2022",
    "core_v0.8.0": "megatron-core-0.8",
}

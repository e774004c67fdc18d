"""Read a Hugging Face `config.json` as an architecture.

Field names follow the configuration classes of huggingface/transformers; what a model type means beyond its
fields (biases, norms, which layers slide) is in `_TRAITS` and the readers below.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from armillary.catalog.records import ModelRecord
from armillary.errors import InputError
from armillary.model.architecture import architecture, transformer
from armillary.model.transformer import Transformer

__all__ = ["from_hugging_face", "hugging_face_record"]

Config = Mapping[str, Any]

#: Our field to the names that configurations use for it; the first that is there wins.
_NAMES: dict[str, tuple[str, ...]] = {
    "layers": ("num_hidden_layers", "n_layers", "n_layer", "num_layers"),
    "hidden": ("hidden_size", "d_model", "n_embd"),
    "vocab": ("vocab_size", "padded_vocab_size"),
    "context": ("max_position_embeddings", "max_seq_len", "n_positions", "seq_length", "max_sequence_length"),
    "heads": ("num_attention_heads", "n_heads", "n_head"),
    "kv_heads": ("num_key_value_heads", "num_kv_heads"),
    "head_dim": ("head_dim", "attention_head_dim"),
    "ffn": ("intermediate_size_mlp", "intermediate_size", "n_inner", "ffn_hidden_size"),
    "experts": ("n_routed_experts", "num_local_experts", "num_experts"),
    "top_k": ("num_experts_per_tok", "num_experts_per_token", "experts_per_token", "num_selected_experts"),
    "moe_ffn": ("moe_intermediate_size", "expert_ffn_hidden_size"),
    "shared_ffn": ("moe_shared_expert_intermediate_size", "shared_expert_intermediate_size"),
    "moe_latent": ("moe_latent_size",),
    "first_dense_layers": ("first_k_dense_replace",),
    "q_rank": ("q_lora_rank",),
    "kv_rank": ("kv_lora_rank",),
    "nope_dim": ("qk_nope_head_dim",),
    "rope_dim": ("qk_rope_head_dim",),
    "v_dim": ("v_head_dim",),
    "indexer_heads": ("index_n_heads",),
    "indexer_head_dim": ("index_head_dim",),
    "indexer_top_k": ("index_topk",),
    "mtp_layers": ("num_nextn_predict_layers", "mtp_num_hidden_layers", "num_mtp_modules"),
    "mamba_heads": ("mamba_num_heads", "mamba_n_heads"),
    "mamba_head_dim": ("mamba_head_dim", "mamba_d_head"),
    "mamba_groups": ("n_groups", "mamba_n_groups"),
    "mamba_state": ("ssm_state_size", "mamba_d_state"),
    "mamba_conv": ("conv_kernel", "mamba_d_conv"),
    "linear_key_heads": ("linear_num_key_heads",),
    "linear_value_heads": ("linear_num_value_heads",),
    "linear_key_dim": ("linear_key_head_dim",),
    "linear_value_dim": ("linear_value_head_dim",),
    "linear_conv": ("linear_conv_kernel_dim",),
    "window": ("sliding_window",),
}
_FLAGS: dict[str, tuple[str, ...]] = {
    "tied": ("tie_word_embeddings",),
    "qkv_bias": ("attention_bias", "qkv_bias", "add_qkv_bias"),
    "mlp_bias": ("mlp_bias",),
    "qk_norm": ("use_qk_norm", "qk_layernorm"),
    "output_gate": ("attn_output_gate",),
}

_GPT = {"gated": False, "norm_bias": True, "qkv_bias": True, "out_bias": True, "mlp_bias": True}
_DELTA = {"output_gate": True, "qk_norm": True, "shared_gate": True}
#: Gemma 3's files leave out what its configuration class has by default.
_GEMMA3 = {"heads": 8, "kv_heads": 4, "head_dim": 256, "vocab": 262208}
#: What a model type means beyond its fields. A trait yields to a field that the file states.
_TRAITS: dict[str, dict[str, bool | int]] = {
    "llama": {},
    "mistral": {},
    "mixtral": {},
    "internlm2": {},
    "internlm": {"qkv_bias": True, "out_bias": True},
    "qwen2": {"qkv_bias": True},
    "qwen2_moe": {"qkv_bias": True, "shared_gate": True},
    "qwen3": {"qk_norm": True},
    "qwen3_moe": {"qk_norm": True},
    "qwen3_next": {**_DELTA, "mtp_layers": 0},
    "qwen3_5_text": {**_DELTA},
    "qwen3_5_moe_text": {**_DELTA},
    "gemma": {"tied": True},
    "gemma2": {"tied": True, "norms_per_layer": 4},
    "gemma3_text": {"tied": True, "norms_per_layer": 4, "qk_norm": True, **_GEMMA3},
    "phi3": {},
    "olmo2": {"qk_norm": True, "qk_norm_wide": True},
    "olmo3": {"qk_norm": True, "qk_norm_wide": True},
    "dbrx": {},
    "deepseek_v2": {},
    "deepseek_v3": {"router_bias": True},
    "deepseek_v32": {"router_bias": True},
    "kimi_k2": {"router_bias": True},
    "glm4_moe": {"qkv_bias": True, "router_bias": True},
    "glm4_moe_lite": {"router_bias": True},
    "glm_moe_dsa": {"router_bias": True},
    "gpt_oss": {"sinks": True, "moe_bias": True, "router_bias": True, "out_bias": True, "qkv_bias": True},
    "minimax_m2": {"qk_norm": True, "qk_norm_wide": True, "router_bias": True},
    "llama4_text": {},
    "nemotron": {"gated": False, "norm_bias": True},
    "nemotron_h": {"gated": False},
    "grok-1": {"tied": True, "norms_per_layer": 4},
    "grok_1": {"tied": True, "norms_per_layer": 4},
    "gpt2": {**_GPT, "tied": True},
    "gpt_neox": {**_GPT, "tied": False},
    "bloom": {**_GPT, "tied": True, "embedding_norm": True},
    "mpt": {**_GPT, "tied": True},
    "falcon": {"gated": False, "norm_bias": True, "tied": True},
}
#: Types whose mixers are not modelled, with what they have.
_UNKNOWN_MIXERS = {
    "minimax_m1": "lightning attention",
    "minimax_text_01": "lightning attention",
    "kimi_linear": "Kimi delta attention",
    "mamba": "Mamba-1",
    "rwkv": "RWKV",
    "t5": "an encoder",
    "bert": "an encoder",
}


def from_hugging_face(config: str | Path | Config) -> Transformer:
    """Build the `Transformer` of a Hugging Face ``config.json``.

    Parameters
    ----------
    config : path or mapping
        The file, a folder that holds one, or its content. Of a multimodal model the text part is read.

    Raises
    ------
    InputError
        If the file cannot be read, lacks a field (the message names it and what is needed), or is of a
        type whose mixers are not modelled.

    Examples
    --------
    >>> from_hugging_face({"model_type": "llama", "num_hidden_layers": 2, "hidden_size": 64,
    ...     "num_attention_heads": 4, "intermediate_size": 256, "vocab_size": 1000}).num_layers
    2
    """
    return transformer(hugging_face_record(config))


def hugging_face_record(config: str | Path | Config, name: str | None = None) -> ModelRecord:
    """Read a ``config.json`` as a `ModelRecord`, e.g. to `customise` it.

    Parameters
    ----------
    config : path or mapping
        As of `from_hugging_face`.
    name : str, optional
        Of the model; its ``_name_or_path``, the folder's name or its type when not given. A type that is
        not known, read by its llama-like fields, is said in the record's `note`.

    Raises
    ------
    InputError
        As `from_hugging_face`.
    """
    place, whole = _load(config)
    part = _text_part(whole)
    kind = str(part.get("model_type") or whole.get("model_type") or "")
    if kind in _UNKNOWN_MIXERS:
        raise InputError(f"{place}: model_type {kind!r} has {_UNKNOWN_MIXERS[kind]}, which is not modelled")
    if "compress_ratios" in part:
        raise InputError(f"{place}: compress_ratios: attention to compressed keys is not modelled")
    title = name or str(whole.get("_name_or_path") or "") or (kind or "model")
    values = _read(place, kind, part, whole)
    architecture(f"{title} ({place})", values)
    known = kind in _TRAITS
    note = "" if known else f"model_type {kind or 'missing'} is not known: read by its llama-like fields"
    return ModelRecord(
        name=title,
        title=title,
        architecture=values,
        parameters_published=0.0,
        active_published=0.0,
        facts={},
        note=note,
    )


def _load(config: str | Path | Config) -> tuple[str, Config]:
    if isinstance(config, Mapping):
        return "config", config
    path = Path(config)
    path = path / "config.json" if path.is_dir() else path
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: is not valid JSON: {error}") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: must hold a JSON object, as config.json files do")
    if not content.get("_name_or_path"):
        content["_name_or_path"] = path.parent.name if path.name == "config.json" else path.stem
    return str(path), content


def _text_part(config: Config) -> Config:
    for key in ("text_config", "llm_config", "language_config"):
        part = config.get(key)
        if isinstance(part, Mapping):
            inherited = {k: config[k] for k in ("tie_word_embeddings",) if k in config}
            return {**inherited, **part}
    return config


def _every(place: str, key: str, flat: Config, default: int, layers: int) -> int:
    """Of so many layers the last is different; one more than there are says none is."""
    return min(_whole_number(place, key, flat.get(key, default)), layers + 1)


def _read(place: str, kind: str, part: Config, whole: Config) -> dict[str, object]:
    flat = {**part, **_nested(part)}
    values: dict[str, object] = dict(_TRAITS.get(kind, {}))
    for field, names in _NAMES.items():
        for key in names:
            if flat.get(key) is not None:
                values[field] = _whole_number(place, key, flat[key])
                break
    for field, names in _FLAGS.items():
        for key in names:
            if flat.get(key) is not None:
                values[field] = _flag(place, key, flat[key])
                break
    if kind == "gpt_oss":
        values["qkv_bias"] = values["out_bias"] = bool(values.get("qkv_bias", True))
    missing = [f for f in ("layers", "hidden", "vocab", "heads") if f not in values]
    if missing:
        wanted = "; ".join(f"{f}: one of {', '.join(_NAMES[f])}" for f in missing)
        raise InputError(f"{place}: lacks {', '.join(missing)} ({wanted})")
    _families(place, kind, flat, values)
    _experts(place, flat, values)
    _patterns(place, kind, flat, values)
    return {key: value for key, value in values.items() if value is not None}


def _nested(part: Config) -> dict[str, Any]:
    """Fields of MPT's and DBRX's inner tables, under the names that others use."""
    attention, feed_forward = part.get("attn_config"), part.get("ffn_config")
    found: dict[str, Any] = {}
    if isinstance(attention, Mapping) and attention.get("kv_n_heads"):
        found["num_key_value_heads"] = attention["kv_n_heads"]
    if isinstance(feed_forward, Mapping) and feed_forward.get("moe_num_experts"):
        found["num_experts"] = feed_forward["moe_num_experts"]
        found["num_experts_per_tok"] = feed_forward.get("moe_top_k")
        found["moe_intermediate_size"] = feed_forward.get("ffn_hidden_size")
    return found


def _families(place: str, kind: str, flat: Config, values: dict[str, object]) -> None:
    hidden = int(str(values["hidden"]))
    if kind == "mpt":
        attention = flat.get("attn_config")
        alibi = isinstance(attention, Mapping) and bool(attention.get("alibi"))
        values["learned_positions"] = (
            0 if alibi or flat.get("learned_pos_emb") is False else values.get("context", 0)
        )
        if flat.get("no_bias"):
            values |= {"qkv_bias": False, "out_bias": False, "mlp_bias": False, "norm_bias": False}
        ratio = flat.get("expansion_ratio", 4)
        values["ffn"] = _whole_number(place, "expansion_ratio", ratio) * hidden
    if kind == "gpt2":
        values["learned_positions"] = values.get("context", 0)
    if kind == "falcon":
        old = not flat.get("new_decoder_architecture")
        if old:
            values["kv_heads"] = 1 if flat.get("multi_query", True) else values["heads"]
        values["norms_per_layer"] = 1 if old and flat.get("parallel_attn", True) else 2
        bias = bool(flat.get("bias"))
        values |= {"qkv_bias": bias, "out_bias": bias, "mlp_bias": bias}
    if kind in ("gpt2", "bloom", "falcon", "gpt_neox"):
        values.setdefault("ffn", 4 * hidden)
    if kind in ("internlm", "llama", "llama4_text") and values.get("qkv_bias"):
        values["out_bias"] = True
    if values.get("kv_rank"):
        values.pop("head_dim", None)
        values.pop("kv_heads", None)
        values["q_rank"] = values.get("q_rank", 0)


def _experts(place: str, flat: Config, values: dict[str, object]) -> None:
    if not values.get("experts"):
        for field in ("experts", "top_k", "moe_ffn", "shared_ffn", "first_dense_layers", "moe_latent"):
            values.pop(field, None)
        return
    if "top_k" not in values:
        raise InputError(f"{place}: has experts but lacks top_k (one of {', '.join(_NAMES['top_k'])})")
    shared = flat.get("n_shared_experts") or flat.get("num_shared_experts") or 0
    if "moe_ffn" not in values:
        expert = flat.get("intermediate_size") or values.get("ffn")
        if expert is None:
            raise InputError(f"{place}: has experts but lacks moe_intermediate_size")
        values["moe_ffn"] = _whole_number(place, "intermediate_size", expert)
    if shared and not values.get("shared_ffn"):
        width = int(str(values["moe_ffn"]))
        values["shared_ffn"] = _whole_number(place, "n_shared_experts", shared) * width
    if flat.get("model_type") == "llama4_text":
        values["shared_ffn"] = values["moe_ffn"]
        values["moe_every"] = _whole_number(
            place, "interleave_moe_layer_step", flat.get("interleave_moe_layer_step", 1)
        )
    step = flat.get("decoder_sparse_step") or flat.get("moe_layer_freq") or 1
    if step != 1:
        values["moe_every"] = _whole_number(place, "decoder_sparse_step or moe_layer_freq", step)
    if flat.get("mlp_only_layers"):
        only = flat["mlp_only_layers"]
        if not isinstance(only, list) or only != list(range(len(only))):
            raise InputError(
                f"{place}: mlp_only_layers: only the first layers may be dense. Got {only!r} instead."
            )
        values["first_dense_layers"] = len(only)


_LETTERS = {
    "full_attention": "F",
    "sliding_attention": "S",
    "chunked_attention": "S",
    "linear_attention": "L",
}
_BLOCKS = {"mamba": "M", "attention": "*", "mlp": "-", "moe": "E"}


def _patterns(place: str, kind: str, flat: Config, values: dict[str, object]) -> None:
    layers = int(str(values["layers"]))
    if kind == "nemotron_h":
        pattern = flat.get("hybrid_override_pattern")
        listed = flat.get("layers_block_type")
        if isinstance(listed, list) and all(block in _BLOCKS for block in listed):
            pattern = "".join(_BLOCKS[block] for block in listed)
        if not isinstance(pattern, str) or len(pattern) != layers:
            raise InputError(
                f"{place}: hybrid_override_pattern must have one letter for each of {layers} layers"
            )
        values["blocks"] = pattern
        values["router_bias"] = "E" in pattern
        values["indexer_pattern"] = "I"
        values.pop("first_dense_layers", None)
        if "E" not in pattern:
            for field in ("experts", "top_k", "moe_ffn", "shared_ffn", "moe_latent"):
                values.pop(field, None)
        values.pop("window", None)
        return
    for field in ("mamba_heads", "mamba_head_dim", "mamba_groups", "mamba_state", "mamba_conv"):
        values.pop(field, None)
    types = flat.get("layer_types")
    if isinstance(types, list):
        strange = sorted({str(t) for t in types} - set(_LETTERS))
        if strange or len(types) != layers:
            raise InputError(
                f"{place}: layer_types: {', '.join(strange) or len(types)} for {layers} layers not modelled"
            )
        values["mixers"] = _period("".join(_LETTERS[t] for t in types))
    elif flat.get("full_attention_interval"):
        values["mixers"] = "L" * (_every(place, "full_attention_interval", flat, 4, layers) - 1) + "F"
    elif kind == "llama4_text":
        values["mixers"] = "SSSF"
    elif kind == "gemma2":
        values["mixers"] = "SF"
    elif kind == "gemma3_text":
        values["mixers"] = "S" * (_every(place, "sliding_window_pattern", flat, 6, layers) - 1) + "F"
    elif kind == "gpt_oss":
        values["mixers"] = "SF"
    elif values.get("window") and flat.get("use_sliding_window", True):
        values["mixers"] = "S"
    if kind == "llama4_text":
        values["window"] = _whole_number(
            place, "attention_chunk_size", flat.get("attention_chunk_size", 8192)
        )
    if "S" not in str(values.get("mixers", "F")):
        values.pop("window", None)
    share = flat.get("index_share_pattern") or flat.get("indexer_types")
    if isinstance(share, str | list):
        values["indexer_pattern"] = "".join("I" if str(s).casefold().startswith("f") else "s" for s in share)


def _period(letters: str) -> str:
    for length in range(1, len(letters) + 1):
        if (letters[:length] * len(letters))[: len(letters)] == letters:
            return letters[:length]
    return letters


def _whole_number(place: str, key: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0 or value % 1 != 0:
        raise InputError(f"{place}: {key} must be a whole number. Got {value!r} instead.")
    return int(value)


def _flag(place: str, key: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise InputError(f"{place}: {key} must be true or false. Got {value!r} instead.")
    return value

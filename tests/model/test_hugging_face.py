"""Hugging Face configurations: the same transformer as the catalog's entry, and the errors."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import armillary
from armillary.catalog.models import read_models
from armillary.errors import InputError
from armillary.model import customise, from_hugging_face, hugging_face_record, parameters, transformer

RECORDS = read_models(sorted((Path(armillary.__file__).parent / "catalog" / "data").glob("models*.toml")))


def llama(layers: int, hidden: int, ffn: int, heads: int, kv: int, vocab: int, **more: Any) -> dict[str, Any]:
    return {
        "num_hidden_layers": layers,
        "hidden_size": hidden,
        "intermediate_size": ffn,
        "num_attention_heads": heads,
        "num_key_value_heads": kv,
        "vocab_size": vocab,
        **more,
    }


DEEPSEEK = {
    **llama(61, 7168, 18432, 128, 128, 129280, model_type="deepseek_v3", max_position_embeddings=163840),
    **{
        "n_routed_experts": 256,
        "num_experts_per_tok": 8,
        "n_shared_experts": 1,
        "moe_intermediate_size": 2048,
    },
    **{"first_k_dense_replace": 3, "moe_layer_freq": 1, "q_lora_rank": 1536, "kv_lora_rank": 512},
    **{"qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128, "num_nextn_predict_layers": 1},
    **{"attention_bias": False, "tie_word_embeddings": False, "n_group": 8, "topk_group": 4},
}
QWEN3_NEXT = {
    **llama(48, 2048, 5120, 16, 2, 151936, model_type="qwen3_next", head_dim=256, full_attention_interval=4),
    **{"linear_num_key_heads": 16, "linear_num_value_heads": 32, "linear_key_head_dim": 128},
    **{"linear_value_head_dim": 128, "linear_conv_kernel_dim": 4, "num_experts": 512},
    **{"num_experts_per_tok": 10, "moe_intermediate_size": 512, "shared_expert_intermediate_size": 512},
    **{"decoder_sparse_step": 1, "mlp_only_layers": [], "use_sliding_window": False, "sliding_window": None},
}
NANO = {
    **llama(52, 2688, 1856, 32, 2, 131072, model_type="nemotron_h", head_dim=128, attention_bias=False),
    **{"hybrid_override_pattern": str(RECORDS["nemotron-3-nano"].architecture["blocks"]), "mlp_bias": False},
    **{"mamba_num_heads": 64, "mamba_head_dim": 64, "n_groups": 8, "ssm_state_size": 128, "conv_kernel": 4},
    **{
        "n_routed_experts": 128,
        "num_experts_per_tok": 6,
        "moe_intermediate_size": 1856,
        "n_shared_experts": 1,
    },
    **{"moe_shared_expert_intermediate_size": 3712, "tie_word_embeddings": False},
}
GPT_OSS = llama(
    **{"layers": 24, "hidden": 2880, "ffn": 2880, "heads": 64, "kv": 8, "vocab": 201088, "head_dim": 64},
    **{"model_type": "gpt_oss", "num_local_experts": 32, "num_experts_per_tok": 4, "experts_per_token": 4},
    **{"sliding_window": 128, "attention_bias": True},
    layer_types=["sliding_attention", "full_attention"] * 12,
)
MAVERICK = {
    "model_type": "llama4",
    "tie_word_embeddings": False,
    "vision_config": {"hidden_size": 1408},
    "text_config": llama(
        **{"layers": 48, "hidden": 5120, "ffn": 8192, "heads": 40, "kv": 8, "vocab": 202048},
        **{"model_type": "llama4_text", "intermediate_size_mlp": 16384, "head_dim": 128},
        **{"num_local_experts": 128, "num_experts_per_tok": 1, "interleave_moe_layer_step": 2},
        **{"attention_chunk_size": 8192, "attention_bias": False},
    ),
}
CONFIGS: dict[str, dict[str, Any]] = {
    "llama-3.1-8b": llama(32, 4096, 14336, 32, 8, 128256, model_type="llama", attention_bias=False),
    "llama-3.2-3b": llama(
        28, 3072, 8192, 24, 8, 128256, model_type="llama", head_dim=128, tie_word_embeddings=True
    ),
    "mistral-7b": llama(32, 4096, 14336, 32, 8, 32000, model_type="mistral", sliding_window=4096),
    "mixtral-8x7b": llama(
        32, 4096, 14336, 32, 8, 32000, model_type="mixtral", num_local_experts=8, num_experts_per_tok=2
    ),
    "qwen2.5-7b": llama(
        28, 3584, 18944, 28, 4, 152064, model_type="qwen2", sliding_window=131072, use_sliding_window=False
    ),
    "qwen3-8b": llama(36, 4096, 12288, 32, 8, 151936, model_type="qwen3", head_dim=128, attention_bias=False),
    "qwen3-30b-a3b": llama(
        **{"layers": 48, "hidden": 2048, "ffn": 6144, "heads": 32, "kv": 4, "vocab": 151936, "head_dim": 128},
        **{"model_type": "qwen3_moe", "num_experts": 128, "num_experts_per_tok": 8},
        **{"moe_intermediate_size": 768, "decoder_sparse_step": 1, "mlp_only_layers": []},
    ),
    "qwen3-next-80b-a3b": QWEN3_NEXT,
    "gemma-2-9b": llama(
        42, 3584, 14336, 16, 8, 256000, model_type="gemma2", head_dim=256, sliding_window=4096
    ),
    "gemma-3-27b": {
        "model_type": "gemma3",
        "text_config": llama(
            **{"layers": 62, "hidden": 5376, "ffn": 21504, "heads": 32, "kv": 16, "vocab": 262144},
            **{"model_type": "gemma3_text", "head_dim": 128, "sliding_window": 1024},
            sliding_window_pattern=6,
        ),
    },
    "phi-4": llama(40, 5120, 17920, 40, 10, 100352, model_type="phi3", sliding_window=None),
    "olmo-2-7b": llama(32, 4096, 11008, 32, 32, 100352, model_type="olmo2", attention_bias=False),
    "deepseek-v3": DEEPSEEK,
    "deepseek-v3.2": {
        **DEEPSEEK,
        **{"model_type": "deepseek_v32", "index_n_heads": 64, "index_head_dim": 128, "index_topk": 2048},
    },
    "deepseek-v2-lite": {
        **DEEPSEEK,
        **llama(27, 2048, 10944, 16, 16, 102400, model_type="deepseek_v2", q_lora_rank=None),
        **{
            "n_routed_experts": 64,
            "num_experts_per_tok": 6,
            "n_shared_experts": 2,
            "moe_intermediate_size": 1408,
        },
        **{"first_k_dense_replace": 1, "num_nextn_predict_layers": None},
    },
    "gpt-oss-20b": GPT_OSS,
    "llama-4-maverick": MAVERICK,
    "minimax-m2": llama(
        **{"layers": 62, "hidden": 3072, "ffn": 1536, "heads": 48, "kv": 8, "vocab": 200064, "head_dim": 128},
        **{"model_type": "minimax_m2", "num_local_experts": 256, "num_experts_per_tok": 8},
        **{"num_mtp_modules": 3, "use_qk_norm": True, "shared_intermediate_size": 0},
    ),
    "nemotron-4-15b": llama(32, 6144, 24576, 48, 8, 256000, model_type="nemotron", mlp_bias=False),
    "nemotron-3-nano": NANO,
    "gpt-2": {"model_type": "gpt2", "n_layer": 12, "n_embd": 768, "n_head": 12, "vocab_size": 50257}
    | {"n_positions": 1024, "n_inner": None},
    "gpt-neox-20b": {"model_type": "gpt_neox", "num_hidden_layers": 44, "hidden_size": 6144}
    | {"num_attention_heads": 64, "intermediate_size": 24576, "vocab_size": 50432},
    "falcon-40b": {"model_type": "falcon", "num_hidden_layers": 60, "hidden_size": 8192, "vocab_size": 65024}
    | {"num_attention_heads": 128, "num_kv_heads": 8, "new_decoder_architecture": True, "bias": False},
    "bloom-176b": {
        "model_type": "bloom",
        "n_layer": 70,
        "hidden_size": 14336,
        "n_head": 112,
        "vocab_size": 250880,
    },
    "mpt-7b-released": {
        "model_type": "mpt",
        "n_layers": 32,
        "d_model": 4096,
        "n_heads": 32,
        "vocab_size": 50368,
    }
    | {"expansion_ratio": 4, "max_seq_len": 2048, "attn_config": {"alibi": True}, "learned_pos_emb": True},
    "dbrx-132b": {"model_type": "dbrx", "n_layers": 40, "d_model": 6144, "n_heads": 48, "vocab_size": 100352}
    | {"attn_config": {"kv_n_heads": 8}}
    | {"ffn_config": {"ffn_hidden_size": 10752, "moe_num_experts": 16, "moe_top_k": 4}},
    "grok-1": llama(
        64, 6144, 32768, 48, 8, 131072, model_type="grok-1", num_experts=8, num_experts_per_token=2
    ),
}
#: What a config cannot say: the released MPT has norms without bias.
CONFIGS["mpt-7b-released"]["no_bias"] = True


@pytest.mark.parametrize("name", CONFIGS)
def test_a_config_gives_the_catalogs_transformer(name: str) -> None:
    read = from_hugging_face(CONFIGS[name])
    record = RECORDS[name]
    changes: dict[str, object] = {}
    if name == "mpt-7b-released":
        changes = {"norm_bias": False}
    if name in ("qwen3-next-80b-a3b",):
        changes = {"mtp_layers": 0}
    kept = customise(record, **changes)
    assert read.pattern == kept.pattern
    assert parameters(read) == parameters(kept)


def test_a_file_and_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "my-model"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(CONFIGS["qwen3-8b"]))
    assert from_hugging_face(folder) == from_hugging_face(str(folder / "config.json"))
    assert from_hugging_face(folder).name == "my-model"
    grown = customise(hugging_face_record(folder), name="grown", layers=40)
    assert (grown.name, grown.num_layers) == ("grown", 40)


def test_an_unknown_type_is_read_by_its_fields_and_said() -> None:
    record = hugging_face_record(llama(2, 64, 256, 4, 4, 100, model_type="brand_new"))
    assert "model_type brand_new is not known" in record.note
    assert transformer(record).num_layers == 2
    assert hugging_face_record(CONFIGS["qwen3-8b"]).note == ""


def without(config: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in config.items() if key not in keys}


LLAMA = CONFIGS["llama-3.1-8b"]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (without(LLAMA, "hidden_size"), "lacks hidden (hidden: one of hidden_size, d_model, n_embd)"),
        (without(LLAMA, "intermediate_size"), "dense feed-forward layers needs ffn"),
        ({}, "lacks layers, hidden, vocab, heads"),
        ({**LLAMA, "hidden_size": "4096"}, "hidden_size must be a whole number. Got '4096' instead."),
        ({**LLAMA, "hidden_size": float("nan")}, "hidden_size must be a whole number"),
        ({**LLAMA, "num_attention_heads": 30}, "heads must be a multiple of kv_heads"),
        ({**LLAMA, "tie_word_embeddings": "no"}, "tie_word_embeddings must be true or false"),
        ({**LLAMA, "num_experts": 8}, "has experts but lacks top_k"),
        ({**LLAMA, "model_type": "minimax_m1"}, "has lightning attention, which is not modelled"),
        ({**LLAMA, "compress_ratios": [0, 4]}, "compress_ratios: attention to compressed keys"),
        ({**LLAMA, "layer_types": ["full_attention"]}, "layer_types: 1 for 32 layers"),
        ({**LLAMA, "layer_types": ["conv"] * 32}, "layer_types: conv for 32 layers"),
        ({**NANO, "hybrid_override_pattern": "M*"}, "one letter for each of 52 layers"),
        ({**QWEN3_NEXT, "mlp_only_layers": [5]}, "mlp_only_layers: only the first layers may be dense"),
    ],
)
def test_what_is_wrong_is_named(config: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        from_hugging_face(config)
    assert message in str(caught.value)


@pytest.mark.parametrize("text", ["{", "[]", "\ufeff{}", ""])
def test_a_broken_file_is_an_error_that_names_it(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"config\.json"):
        from_hugging_face(path)
    with pytest.raises(InputError, match="cannot be read"):
        from_hugging_face(tmp_path / "none" / "config.json")


JUNK = (
    st.none()
    | st.booleans()
    | st.integers(-5, 10**9)
    | st.floats()
    | st.text(max_size=5)
    | st.lists(st.integers())
)
KEYS = sorted({key for config in CONFIGS.values() for key in config})


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(CONFIGS)), st.sampled_from(KEYS), JUNK)
def test_a_damaged_config_is_read_or_refused(name: str, key: str, value: object) -> None:
    config = {**CONFIGS[name], key: value}
    with suppress(InputError):
        assert parameters(from_hugging_face(config)).total > 0

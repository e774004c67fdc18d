"""FLOPs: identities, and FLOPs per token that published pairs of tokens/s and TFLOP/s imply."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import armillary
from armillary.catalog.models import read_models
from armillary.errors import InputError
from armillary.model import (
    CONVENTIONS,
    Architecture,
    attended_keys,
    convention_named,
    customise,
    forward_flops,
    kv_cache_bytes_per_token,
    layer_flops,
    model_flops_convention,
    parameters,
    recurrent_state_bytes,
    training_flops,
    transformer,
    weight_bytes,
)

RECORDS = read_models(sorted((Path(armillary.__file__).parent / "catalog" / "data").glob("models*.toml")))

#: Megatron-Bridge performance pages, releases 25.09 to 26.08; NeMo performance summary 24.07; LLM Foundry
#: training benchmarks: model, sequence, convention, tokens/s/GPU, TFLOP/s/GPU as printed on one line.
PRINTED = [
    ("llama-3-8b", 8192, "megatron-bridge", 29925, 1540),
    ("llama-3-70b", 8192, "megatron-bridge", 1619, 727),
    ("llama-3.1-405b", 8192, "megatron-bridge", 1048, 2646),
    ("deepseek-v3", 4096, "megatron-bridge", 3541, 920),
    ("deepseek-v3-without-mtp", 4096, "megatron-bridge", 3848, 961),
    ("kimi-k2", 4096, "megatron-bridge", 5372, 1099),
    ("qwen3-30b-a3b", 4096, "megatron-bridge", 40706, 936),
    ("qwen3-235b-a22b", 4096, "megatron-bridge", 4452, 659),
    ("gpt-oss-120b", 4096, "megatron-bridge", 28947, 943),
    ("gpt-oss-120b", 8192, "megatron-bridge-before-26.06", 18347, 565),
    ("nemotron-3-nano", 8192, "megatron-bridge", 39749, 885),
    ("nemotron-3-super", 8192, "megatron-bridge", 9652, 817),
    ("gpt-3-5b", 2048, "full", 23406, 765),
    ("llama-2-7b", 4096, "full", 16934, 780),
    ("nemotron-3-8b-2023", 4096, "full", 12507, 643),
    ("nemotron-3-22b-2023", 4096, "full", 4312, 562),
    ("mpt-7b", 2048, "all-parameters", 9670, 417),
    ("mpt-30b", 2048, "all-parameters", 2115, 398),
]


def implied(tokens: float, tflops: float) -> float:
    return tflops * 1e12 / tokens


@pytest.mark.parametrize(("name", "sequence", "convention", "tokens", "tflops"), PRINTED)
def test_printed_rates_imply_our_flops_per_token(
    name: str, sequence: int, convention: str, tokens: float, tflops: float
) -> None:
    counted = model_flops_convention(transformer(RECORDS[name]), sequence, convention)
    rounding = 0.5 / tflops + 0.5 / tokens
    assert counted == pytest.approx(implied(tokens, tflops), rel=0.003 + rounding)


def test_attended_keys_counts_the_mask() -> None:
    for sequence, window in [(1, None), (7, None), (7, 3), (7, 7), (7, 20), (100, 1)]:
        mask = np.tril(np.ones((sequence, sequence)))
        if window is not None:
            mask = np.triu(mask, 1 - window)
        assert attended_keys(sequence, window) == pytest.approx(mask.sum() / sequence)
    assert attended_keys(7, None, "full") == 7


@pytest.mark.parametrize("name", ["llama-3.1-8b", "deepseek-v3.2", "gpt-oss-20b", "qwen3.5-397b-a17b"])
def test_an_array_of_sequences_is_each_of_them(name: str) -> None:
    model = transformer(RECORDS[name])
    sequences = np.array([128.0, 4096.0, 131072.0])
    for part, values in forward_flops(model, sequences)._asdict().items():
        assert values.shape == (3,)
        for sequence, value in zip(sequences, values, strict=True):
            assert getattr(forward_flops(model, float(sequence)), part) == pytest.approx(value)


def test_matrices_cost_two_flops_a_parameter() -> None:
    """For every model: forward without attention and recurrence is 2 x (active matrices), tables aside."""
    for record in RECORDS.values():
        model = customise(record, mtp_layers=0)
        forward, parts = forward_flops(model, 1024), parameters(model)
        matrices = parts.active - parts.embedding - parts.positions - parts.norms
        matrices += parts.embedding if model.tied_embeddings else 0
        counted = forward.total - forward.attention - forward.recurrence - forward.indexer
        indexed = model.name.startswith(("deepseek-v3.2", "glm-5"))
        assert counted / (2 * matrices) == pytest.approx(1, rel=0.03 if indexed else 0.004)


def test_layers_sum_to_the_model() -> None:
    model = transformer(RECORDS["llama-4-maverick"])
    whole = forward_flops(model, 8192)
    layers = sum(n * layer_flops(layer, model.hidden, 8192).total for layer, n in model.pattern)
    assert whole.total == pytest.approx(layers + whole.head)
    assert training_flops(model, 8192) == pytest.approx(3 * whole.total)


@given(st.integers(1, 10**6), st.integers(1, 10**6))
def test_a_longer_sequence_never_costs_less_a_token(first: int, second: int) -> None:
    model = transformer(RECORDS["gpt-oss-20b"])
    short, long = sorted((first, second))
    assert forward_flops(model, short).total <= forward_flops(model, long).total * (1 + 1e-12)
    assert forward_flops(model, long, "causal").total <= forward_flops(model, long, "full").total * (
        1 + 1e-12
    )


def test_a_prediction_module_adds_its_layer_projection_and_head() -> None:
    record = RECORDS["deepseek-v3"]
    with_module, without = transformer(record), customise(record, mtp_layers=0)
    module = with_module.mtp_layer()
    assert module is not None
    extra = layer_flops(module, 7168, 4096).total + 4 * 7168**2 + 2 * 7168 * 129280
    assert forward_flops(with_module, 4096).total - forward_flops(without, 4096).total == pytest.approx(extra)


GPT = Architecture(
    layers=96, hidden=12288, vocab=51200, heads=96, ffn=49152, gated=False, tied=True, learned_positions=2048
)


def test_gpt_formulas_agree_where_they_must() -> None:
    """The papers' closed forms are ours for a GPT; recomputation adds a forward pass without the head."""
    gpt, sequence = transformer(GPT), 2048
    exact = model_flops_convention(gpt, sequence, "full")
    assert model_flops_convention(gpt, sequence, "korthikanti-2022") == pytest.approx(exact)
    assert model_flops_convention(gpt, sequence, "megatron-core-0.8") == pytest.approx(exact)
    again = forward_flops(gpt, sequence, "full")
    narayanan = model_flops_convention(gpt, sequence, "narayanan-2021")
    assert narayanan == pytest.approx(exact + again.total - again.head)
    attention = 3 * forward_flops(gpt, sequence, "full").attention
    assert model_flops_convention(gpt, sequence, "causal") == pytest.approx(exact - attention / 2, rel=1e-4)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("Megatron-Bridge formula (causal half attn)", "megatron-bridge"),
        ("NeMo 24.x: full attn (6N+12Lhs)", "full"),
        ("6N+12Lhs (full attn)", "full"),
        ("6N+12Lhs (full attn, source formula)", "all-parameters"),
        ("6N+12Lhs (full attn), 96x12288 assumed for 175B", "all-parameters"),
        ("causal half attn", "causal"),
        ("causal half attn LoRA 4N", "lora"),
        ("SC21 formula incl. recompute (full attn)", "narayanan-2021"),
        ("2205.05198 model FLOPs (full attn)", "korthikanti-2022"),
        ("core_v0.8.0 formula (full attn)", "megatron-core-0.8"),
        (" Megatron-Bridge-before-26.06 ", "megatron-bridge-before-26.06"),
    ],
)
def test_texts_of_tables_name_conventions(text: str, key: str) -> None:
    assert convention_named(text) == key
    assert key in CONVENTIONS


@pytest.mark.parametrize("text", ["", "half", "megatron"])
def test_unknown_conventions_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="unknown FLOPs convention"):
        convention_named(text)


def test_lora_trains_no_frozen_weights() -> None:
    model = transformer(RECORDS["llama-2-70b"])
    forward = forward_flops(model, 4096)
    assert model_flops_convention(model, 4096, "lora") == pytest.approx(
        training_flops(model, 4096) - (forward.total - forward.attention)
    )


def test_cache_and_weights() -> None:
    assert kv_cache_bytes_per_token(transformer(RECORDS["llama-3.1-70b"])) == 2 * 80 * 2 * 8 * 128
    assert kv_cache_bytes_per_token(transformer(RECORDS["deepseek-v3"]), "fp8") == 61 * 576
    assert kv_cache_bytes_per_token(transformer(RECORDS["deepseek-v3.2"]), "fp8") == 61 * (576 + 128)
    oss = transformer(RECORDS["gpt-oss-120b"])
    assert kv_cache_bytes_per_token(oss) == 2 * 36 * 2 * 8 * 64
    assert kv_cache_bytes_per_token(oss, context=128 * 64) == 2 * 18 * 2 * 8 * 64 * (1 + 1 / 64)
    assert kv_cache_bytes_per_token(oss, context=1) == kv_cache_bytes_per_token(oss)
    assert weight_bytes(transformer(RECORDS["llama-2-7b"])) == 2 * 6_738_415_616
    assert 60e9 < weight_bytes(oss, "bf16", "mxfp4") < 66e9
    with pytest.raises(InputError, match="unknown precision 'fp7'; did you mean"):
        weight_bytes(oss, "fp7")


def test_recurrent_state_is_of_linear_and_state_space_layers() -> None:
    assert recurrent_state_bytes(transformer(RECORDS["llama-3.1-8b"])) == 0
    nano = recurrent_state_bytes(transformer(RECORDS["nemotron-3-nano"]), "fp32", "bf16")
    assert nano == 23 * (4 * 4096 * 128 + 2 * 3 * (4096 + 2 * 8 * 128))
    qwen = recurrent_state_bytes(transformer(RECORDS["qwen3.5-397b-a17b"]), "fp32", "bf16")
    assert qwen == 45 * (4 * 64 * 128 * 128 + 2 * 3 * (2 * 16 * 128 + 64 * 128))

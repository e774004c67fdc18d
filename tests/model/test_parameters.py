"""Parameter counts against what publishers state, and the identities that hold for any architecture."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import armillary
from armillary.catalog.models import read_models
from armillary.catalog.records import ModelRecord
from armillary.model import (
    Architecture,
    Transformer,
    customise,
    layer_parameters,
    mtp_parameters,
    parameters,
    transformer,
)

DATA = Path(armillary.__file__).parent / "catalog" / "data"
RECORDS = read_models(sorted(DATA.glob("models*.toml")))
PUBLISHED = [r for r in RECORDS.values() if r.parameters_published]

#: Publishers' figures that their own architecture does not give, with how far off the exact count is. The
#: reason stands in the note of each published figure: multimodal parts counted as well, or a rounder number.
APART = {
    "deepseek-v3.2": 0.0014,
    "glm-4.5": 0.0063,
    "glm-4.5-air": 0.0081,
    "glm-4.6": 0.0063,
    "glm-4.7": 0.0063,
    "grok-1": 0.0054,
    "kimi-k2": 0.0131,
    "kimi-k2.5": 0.0265,
    "llama-4-maverick": 0.0018,
    "llama-4-scout": 0.0114,
    "minimax-m2": 0.0058,
    "minimax-m2.5": 0.0058,
    "nemotron-3-super": 0.0056,
    "nemotron-3-super-120b-a12b": 0.0056,
    "nemotron-3-ultra": 0.0013,
    "qwen3.5-397b-a17b": 0.0017,
}


def half_unit(published: float) -> float:
    """Half a unit of the last digit of a published figure, read in billions: 235e9 is 235, 31.6e9 is 31.6.

    Trailing zeros above a billion count as digits ("400B" claims to be nearer than 399B and 401B).
    """
    unit = 1e9
    while unit > 1 and published % unit:
        unit /= 10
    return unit / 2


@pytest.mark.parametrize("record", PUBLISHED, ids=lambda r: r.name)
def test_published_totals(record: ModelRecord) -> None:
    total = parameters(transformer(record)).total
    error = abs(total - record.parameters_published)
    if record.name in APART:
        assert 0.001 < error / record.parameters_published <= APART[record.name]
        assert len(record.facts["parameters"].note) > len("from memory, to verify")
    else:
        assert error <= max(0.001 * record.parameters_published, half_unit(record.parameters_published))


def test_most_published_totals_are_exact() -> None:
    exact = [r for r in PUBLISHED if r.parameters_published % 1e6]
    assert len(exact) > 60
    for record in exact:
        assert parameters(transformer(record)).total == pytest.approx(record.parameters_published, rel=7e-6)


@pytest.mark.parametrize(
    ("name", "active"),
    [
        ("mixtral-8x7b", 12.9e9),
        ("deepseek-v2", 21.4e9),
        ("qwen3-235b-a22b", 22.2e9),
        ("gpt-oss-120b", 5.71e9),
    ],
)
def test_active_counts_embedding_and_head(name: str, active: float) -> None:
    assert parameters(transformer(RECORDS[name])).active == pytest.approx(active, rel=5e-3)


def test_gpt_oss_active_without_embedding_is_the_cards() -> None:
    parts = parameters(transformer(RECORDS["gpt-oss-120b"]))
    assert parts.active - parts.embedding == pytest.approx(5.13e9, rel=1e-3)


def test_prediction_module_of_deepseek_v3() -> None:
    """The report: 11.6B in the module beside the shared embedding and head (14B with them)."""
    model = transformer(RECORDS["deepseek-v3"])
    assert parameters(model).mtp == mtp_parameters(model).total == 11_610_068_224
    assert parameters(model).total == parameters(customise(RECORDS["deepseek-v3"], mtp_layers=0)).total


def architectures() -> Iterator[Transformer]:
    return (transformer(record) for record in RECORDS.values())


def test_layers_sum_to_the_model() -> None:
    for model in architectures():
        parts = parameters(model)
        layers = [
            (layer_parameters(layer, model.hidden, norm_bias=model.norm_bias), n)
            for layer, n in model.pattern
        ]
        outside = sum(part.dense * n for part, n in layers)
        routed = sum(part.experts * n for part, n in layers)
        final = (1 + model.embedding_norm) * model.hidden * (2 if model.norm_bias else 1)
        assert routed == parts.experts
        assert outside + routed + parts.embedding + parts.positions + parts.head + final == parts.total


def test_shared_indexers_have_no_parameters() -> None:
    every = customise(RECORDS["glm-5.2"], indexer_pattern="I")
    few = transformer(RECORDS["glm-5.2"])
    assert sum(n for layer, n in few.pattern if "shared=True" in repr(layer)) == 57
    one = (parameters(every).total - parameters(few).total) / 57
    assert one == 2048 * 32 * 128 + 6144 * (128 + 32) + 2 * 128
    assert parameters(every).mtp == parameters(few).mtp


@given(
    layers=st.integers(1, 6),
    heads=st.integers(1, 8),
    head_dim=st.integers(1, 64),
    ffn=st.integers(1, 512),
    experts=st.integers(1, 16),
    dense=st.integers(0, 6),
)
def test_idle_experts_are_what_active_leaves_out(
    layers: int, heads: int, head_dim: int, ffn: int, experts: int, dense: int
) -> None:
    made = Architecture(
        layers=layers,
        hidden=64,
        vocab=100,
        heads=heads,
        head_dim=head_dim,
        ffn=ffn,
        experts=experts,
        top_k=1,
        moe_ffn=ffn,
        first_dense_layers=min(dense, layers),
    )
    parts = parameters(transformer(made))
    moe_layers = layers - min(dense, layers)
    assert parts.total - parts.active == moe_layers * (experts - 1) * 3 * 64 * ffn
    assert parts.experts == moe_layers * experts * 3 * 64 * ffn

"""The referee: rows are read as their sources mean them, scored in their own units, kept when they fail."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from armillary.errors import InputError
from armillary.validation import (
    explain,
    kendall_tau,
    read,
    read_table,
    scaling,
    summarise,
    validate_training,
)
from armillary.validation.training import METRICS

RUNS = Path(__file__).parent / "runs.csv"
"""Runs by Megatron-Bridge, llm-foundry and Korthikanti et al. 2022, and rows that cannot be evaluated."""


@pytest.fixture(scope="module")
def table():
    return {row["id"]: row for row in read_table(RUNS)}


@pytest.fixture(scope="module")
def results(table, shipped):
    return validate_training(table.values(), shipped)


@pytest.mark.parametrize(
    ("run", "tolerance"),
    [
        ("nemo-70b-h100", 0.15),
        ("nemo-8b-gb200", 0.15),
        ("mpt-70b-h100-512", 0.2),
        ("seqsel-175b-full", 0.25),
    ],
)
def test_published_runs(results, run, tolerance):
    row = next(r for r in results if r.id == run and r.scored)
    assert row.ratio == pytest.approx(1, abs=tolerance)


def test_each_metric_is_predicted_in_its_own_unit(results):
    mine = {r.metric: r for r in results if r.id == "mpt-70b-h100-512"}
    assert set(mine) == {"tokens_per_s_per_gpu", "model_tflops_per_gpu", "mfu_as_reported"}
    assert sum(r.scored for r in mine.values()) == 1
    # 41.25 percent of 989 TFLOP/s are 408: the three metrics say one thing.
    assert mine["mfu_as_reported"].predicted == pytest.approx(
        100 * mine["model_tflops_per_gpu"].predicted / 989, rel=0.01
    )
    assert mine["tokens_per_s_per_gpu"].ratio == pytest.approx(mine["model_tflops_per_gpu"].ratio, rel=0.02)


@pytest.mark.parametrize(
    ("run", "reason"),
    [
        ("wrong-layout", "does not multiply out: tp 3"),
        ("unknown-chip", "unknown accelerator 'X900'"),
        ("own-model", "column heads is empty"),
        ("adapter", "only pretrain"),
    ],
)
def test_rows_that_cannot_be_evaluated_stay_in_with_a_reason(results, run, reason):
    row = next(r for r in results if r.id == run)
    assert row.predicted is None
    assert reason in row.reason


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"precision": "FP99"}, "column precision: unknown 'FP99'"),
        ({"precision": "max"}, "column precision: unknown 'max'"),
        ({"fsdp_zero": "ZeRO-9"}, "column fsdp_zero: unknown 'ZeRO-9'"),
        ({"tokens_per_s_per_gpu": "-5"}, "column tokens_per_s_per_gpu: '-5' is no positive number"),
        ({"tokens_per_s_per_gpu": "nan"}, "column tokens_per_s_per_gpu: 'nan' is no positive number"),
        ({"tokens_per_s_per_gpu": "inf"}, "column tokens_per_s_per_gpu: 'inf' is no positive number"),
        ({"tokens_per_s_per_gpu": "1e999"}, "column tokens_per_s_per_gpu: '1e999' is no positive number"),
        ({"tokens_per_s_per_gpu": ""}, "column tokens_per_s_per_gpu is empty, but target_metric names it"),
        ({"target_metric": "speed"}, "column target_metric: unknown 'speed'"),
    ],
)
def test_a_wrong_cell_is_not_scored_as_another(table, shipped, change, reason):
    row = {**table["mpt-70b-h100-512"], "target_metric": "tokens_per_s_per_gpu", **change}
    (scored,) = (r for r in validate_training([row], shipped) if r.scored)
    assert scored.ratio is None
    assert scored.predicted is None
    assert reason in scored.reason


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"recompute": "some of it"}, "recompute=selective (the row says 'some of it')"),
        ({"fsdp_zero": "sharded"}, "sharding=ZeRO-3 (fsdp_zero says 'sharded')"),
    ],
)
def test_words_that_are_not_known_are_read_as_the_usual_and_said(table, shipped, change, words):
    (scored,) = (r for r in validate_training([{**table["mpt-70b-h100-512"], **change}], shipped) if r.scored)
    assert scored.ratio is not None
    assert words in scored.assumed


def test_a_row_without_any_measurement_stays_in(table, shipped):
    row = {**table["nemo-70b-h100"], "target_metric": "", **dict.fromkeys(METRICS, "")}
    (found,) = validate_training([row], shipped)
    assert not found.scored
    assert "are empty" in found.reason


def test_a_model_of_the_rows_own_columns(table, shipped):
    shape = {
        "layers": 32,
        "hidden": 4096,
        "ffn": 11008,
        "heads": 32,
        "kv_heads": 32,
        "head_dim": 128,
        "vocab": 32000,
    }
    row = {**table["own-model"], **{k: str(v) for k, v in shape.items()}}
    (result,) = validate_training([row], shipped)
    assert result.predicted > 0
    assert any("gated" in a for a in result.assumed)


def test_a_mixture_of_the_rows_own_columns(table, shipped):
    shape = {
        "layers": 24, "hidden": 2048, "heads": 16, "kv_heads": 4, "head_dim": 128, "vocab": 50000,
        "experts": 32, "topk": 4, "moe_ffn": 1024, "shared_ffn": 1024, "dense_layers": 1,
        "dense_ffn": 8192, "ep": 8,
    }  # fmt: skip
    row = {**table["own-model"], "tp": "1", "dp": "8", **{k: str(v) for k, v in shape.items()}}
    setup = read(row, shipped)
    assert setup.layout.ep == 8
    assert sum(getattr(layer.feed_forward, "experts", 0) == 32 for layer in setup.job.model.layers()) == 23


def test_unstated_columns_are_listed(results):
    row = next(r for r in results if r.id == "nemo-70b-h100")
    assert any(a.startswith("recompute=") for a in row.assumed)
    assert any("network 400 Gbit/s" in a for a in row.assumed)


def test_summary_counts_and_ranks():
    assert kendall_tau([("a", 1, 1), ("a", 2, 2), ("b", 1, 2), ("b", 2, 1)]) == 0
    assert kendall_tau([("a", 1, 1)]) is None
    assert summarise([]).n == 0


def test_scaling_compares_growth_of_the_rate(results):
    (row, *_) = (r for r in results if r.scored and r.ratio)

    def run(accelerators, ratio, job="a"):
        return row._replace(accelerators=accelerators, ratio=ratio, job=job)

    assert scaling([run(8, 1.0), run(64, 1.25)]) == (1, pytest.approx(0.2))
    # Half of the way in the logarithm counts double; too near, too far and other jobs do not count.
    assert scaling([run(8, 1.0), run(32, 0.8)]).median_abs_error == pytest.approx(1.25**1.5 - 1)
    assert scaling([run(8, 1.0), run(16, 2.0), run(256, 2.0), run(64, 2.0, "b")]).pairs == 1
    assert scaling([]).pairs == 0


def test_explained_variance_names_the_factor_and_its_worst_level(results):
    (row, *_) = (r for r in results if r.scored and r.ratio)
    rows = [
        row._replace(
            ratio=1.5 if i % 2 else 1.0 + 0.01 * i, factors=(("chip", "ab"[i % 2]), ("x", str(i % 3)))
        )
        for i in range(12)
    ]
    first, second = explain(rows)
    assert (first.factor, first.worst, first.levels, first.rows) == ("chip", "b", 2, 6)
    assert first.bias == pytest.approx(0.5)
    assert first.share > 0.9
    assert second.share == 0
    assert explain([]) == []


def test_rows_say_what_their_error_may_hang_on(results):
    row = next(r for r in results if r.id == "nemo-70b-h100" and r.scored)
    known = dict(row.factors)
    assert {"chip", "source", "precision", "framework", "recompute", "CUDA graphs"} <= set(known)
    assert row.step > 0
    assert row.accelerators == 64


def test_files_that_are_no_table(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_table(tmp_path / "none.csv")
    (tmp_path / "short.csv").write_text("id,gpu\n1,H100\n")
    with pytest.raises(InputError, match="missing columns num_gpus, model"):
        read_table(tmp_path / "short.csv")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00id")
    with pytest.raises(InputError, match="not a UTF-8"):
        read_table(tmp_path / "binary.csv")


def test_columns_in_any_order_and_extra_ones(tmp_path, shipped):
    rows = read_table(RUNS)[:1]
    path = tmp_path / "shuffled.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["extra", *reversed(rows[0])])
        writer.writeheader()
        writer.writerow({**rows[0], "extra": "x"})
    (a, *_), (b, *_) = validate_training(rows, shipped), validate_training(read_table(path), shipped)
    assert a == b


CELLS = [
    "",
    "0",
    "-1",
    "1e30",
    "nan",
    "inf",
    "x",
    "3.5",
    "full",
    "FSDP2 3",
    "ZeRO-3",
    "NVFP4",
    "H200",
    "Grok1 314b",
    "72",
]


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_whatever_stands_in_a_row_it_is_evaluated_or_says_why(shipped, table, data):
    row = dict(table["nemo-70b-h100"])
    for column in data.draw(st.lists(st.sampled_from(sorted(row)), max_size=4)):
        row[column] = data.draw(st.sampled_from(CELLS) | st.text(max_size=6))
    row["id"] = "fuzz"
    for result in validate_training([row], shipped):
        if result.predicted is None:
            assert result.reason
        else:
            assert 0 < result.predicted < float("inf")

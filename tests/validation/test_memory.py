"""Peak memory against measured slices; rows of whole runs; files that are no table of either."""

from __future__ import annotations

from pathlib import Path

import pytest

from armillary.errors import InputError
from armillary.validation import PEAK, RUN_METRIC, RUNS, read_memory_table, summarise, validate_memory
from armillary.validation.memory import read_slice

SLICES = Path(__file__).parent / "slices.csv"
"""Rows of MooreThreads/SimuMax@4dcaae5, docs/b200, and four that cannot be evaluated or compared."""


@pytest.fixture(scope="module")
def results(shipped):
    return validate_memory(read_memory_table(SLICES), shipped)


def test_peaks_of_dense_slices_are_within_one_percent(results):
    peaks = [r for r in results if r.metric == PEAK and r.ratio and r.kind == "dense"]
    assert len(peaks) == 3
    assert all(r.ratio == pytest.approx(1, abs=0.01) for r in peaks)


def test_peaks_of_mixtures_are_within_three_percent(results):
    (peak,) = (r for r in results if r.metric == PEAK and r.ratio and r.kind == "MoE")
    assert peak.ratio == pytest.approx(1, abs=0.03)


def test_a_slice_keeps_one_dense_layer_and_no_further_prediction(shipped):
    row = {**read_memory_table(SLICES)[0], "model": "deepseek-v3", "layers": "4", "case": "v3_ep8"}
    job, _, layout, assumed = read_slice(row, shipped)
    assert [getattr(layer.feed_forward, "experts", 0) > 0 for layer in job.model.layers()] == [0, 1, 1, 1]
    assert (job.model.mtp_layers, layout.ep, layout.dp) == (0, 8, 8)
    assert any("1 dense layer" in a for a in assumed)


def test_reserved_is_more_than_allocated_and_only_the_peak_is_scored(results):
    mine = {r.metric: r for r in results if r.id.startswith("llama3_70b_l12_tp4")}
    assert mine["measured_peak_reserved_gib"].predicted > mine[PEAK].predicted
    assert [m for m, r in mine.items() if r.scored] == [PEAK]
    assert mine["measured_ms"].predicted > 0


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        ("wrong_tp3", "does not multiply out: tp 3"),
        ("no_layers_tp2", "column layers is empty"),
        ("unknown_model_tp2", "unknown model 'llama9'"),
        ("nothing_measured_tp2", f"column {PEAK} is empty or no number"),
    ],
)
def test_rows_that_cannot_be_compared_stay_in_with_a_reason(results, case, reason):
    rows = [r for r in results if r.id == case]
    assert all(r.ratio is None and reason in r.reason for r in rows)
    assert rows


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"case": "foo"}, "column case: 'foo' names no degree"),
        ({"case": "foo_tp2_dp8"}, "does not multiply out: dp 8 in case, 4 by the others"),
        ({PEAK: "-5"}, f"column {PEAK} is empty or no number"),
        ({PEAK: ""}, f"column {PEAK} is empty or no number"),
    ],
)
def test_slices_with_a_wrong_cell_count_as_not_evaluated(shipped, change, reason):
    row = {**read_memory_table(SLICES)[0], **change}
    (peak,) = (r for r in validate_memory([row], shipped) if r.scored)
    assert peak.ratio is None
    assert reason in peak.reason


def test_whole_runs_are_compared_with_what_is_reserved(shipped):
    rows = read_memory_table(RUNS)
    assert all(row[RUN_METRIC] for row in rows)
    found = validate_memory(rows, shipped)
    assert summarise(r for r in found if r.scored).n >= 10
    assert {r.metric for r in found} == {RUN_METRIC}


def test_files_that_are_no_table(tmp_path, shipped):
    with pytest.raises(InputError, match="cannot be read"):
        read_memory_table(tmp_path / "none.csv")
    (tmp_path / "short.csv").write_text("case,model\nx,y\n")
    with pytest.raises(InputError, match=r"short\.csv:1: missing columns layers, microbatches"):
        read_memory_table(tmp_path / "short.csv")
    lines = SLICES.read_text().splitlines()
    (tmp_path / "cut.csv").write_text(f"{lines[0]}\n{lines[1][:40]}\n")
    (row,) = validate_memory(read_memory_table(tmp_path / "cut.csv"), shipped)
    assert "column" in row.reason or "accelerator" in row.reason
    (tmp_path / "runs.csv").write_text(f"id,gpu,{RUN_METRIC}\nx,y,1\n")
    with pytest.raises(InputError, match="missing columns num_gpus"):
        read_memory_table(tmp_path / "runs.csv")

"""Scores of dispatch and combine: the recorded figure, rows of every kind, how they are read."""

from __future__ import annotations

import csv
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from armillary.app.cli import main
from armillary.errors import InputError
from armillary.validation import (
    ALLTOALL,
    DOUBTFUL,
    alltoall_figures,
    moved,
    read_alltoall_table,
    validate_alltoall,
)
from armillary.validation.alltoall import read_setting

COLUMNS = (
    *("source", "gpu", "system", "library", "phase", "ep", "mode", "tokens_per_rank", "hidden", "topk"),
    *("latency_us", "bandwidth_GBps", "bottleneck", "notes"),
)


@pytest.fixture(scope="module")
def results(shipped):
    return validate_alltoall(read_alltoall_table(), shipped)


def row(**cells) -> dict[str, str]:
    known = dict.fromkeys(COLUMNS, "") | {
        "source": "github somebody/something:README.md",
        "gpu": "H800",
        "library": "DeepEP V1",
        "phase": "dispatch FP8",
        "ep": "16",
        "mode": "normal",
        "bandwidth_GBps": "40",
        "bottleneck": "RDMA",
        "id": "x",
    }
    return known | {name: str(value) for name, value in cells.items()}


def test_the_score_is_the_recorded_one(results):
    assert moved("alltoall", alltoall_figures(r for r in results if r.scored)) == []


def test_the_bar(results):
    found = alltoall_figures(r for r in results if r.scored)
    assert found["n"] == 118
    assert found["median"] < 0.2


def test_every_row_is_scored_once_and_known_by_a_name_of_its_own(results):
    assert sum(r.scored for r in results) == len(read_alltoall_table())
    assert len({(r.id, r.metric) for r in results}) == len(results)
    assert set(DOUBTFUL) <= {r.id for r in results}


def test_where_both_are_published_they_agree_with_one_convention(results):
    """The bandwidths that DeepEP prints beside its times count the bytes that ours do."""
    times = {r.id: r for r in results if r.metric == "latency_us"}
    both = [r for r in results if r.metric == "bandwidth_GBps" and r.id in times]
    assert len(both) == 12
    for r in both:
        assert r.measured * times[r.id].measured == pytest.approx(
            r.predicted * times[r.id].predicted, rel=0.03
        )


@pytest.mark.parametrize(
    ("cells", "name", "inside", "nic"),
    [
        (
            {"gpu": "SM100", "library": "DeepEP V2", "ep": 8, "bottleneck": "NVLink"},
            "deepep-normal",
            900e9,
            50e9,
        ),
        (
            {"gpu": "H200", "library": "UCCL-EP", "system": "p5en.48xlarge (EFA)"},
            "uccl-normal-efa",
            450e9,
            50e9,
        ),
        (
            {"gpu": "B200", "library": "UCCL-EP", "system": "p6-b200 EFA", "mode": "low-latency", "ep": 32},
            *("uccl-low-latency-efa", 900e9, 50e9),
        ),
        ({"library": "UCCL-EP", "system": "8x H800 + CX7 400G IB"}, "uccl-normal", 200e9, 50e9),
        (
            {"gpu": "H100", "library": "torch all_to_all (NCCL)", "system": "16 x 200G EFA"},
            "nccl",
            450e9,
            50e9,
        ),
        ({"library": "pplx-garden EFA", "mode": "prefill", "gpu": "H200"}, "pplx-garden-efa", 450e9, 50e9),
        (
            {"library": "HybridEP", "gpu": "GB200", "ep": 32, "bottleneck": "NVLink"},
            "deepep-normal",
            900e9,
            50e9,
        ),
    ],
)
def test_rows_of_other_hardware_and_libraries(shipped, cells, name, inside, nic):
    found = read_setting(row(**cells), shipped)
    assert found.dispatcher == name
    assert found.scale_up == pytest.approx(inside)
    assert found.scale_out == pytest.approx(nic)
    (scored,) = validate_alltoall([row(**cells)], shipped)
    assert 5 < scored.predicted < 1000
    assert scored.ratio == pytest.approx(40 / scored.predicted)


def test_what_a_row_leaves_out_is_assumed_by_name(shipped):
    (scored,) = validate_alltoall([row(mode="", tokens_per_rank="", gpu="H100/H200")], shipped)
    words = " ".join(scored.assumed)
    for part in (
        "mode=normal",
        "tokens_per_rank=4096",
        "hidden=7168",
        "topk=8",
        "gpu=h100",
        "network=infiniband",
    ):
        assert part in words


def test_a_wide_domain_is_kept_from_the_network(shipped):
    near = validate_alltoall([row(gpu="GB200", ep=64, bottleneck="NVLink")], shipped)[0]
    far = validate_alltoall([row(gpu="H100", ep=64, bottleneck="NVLink")], shipped)[0]
    assert near.step < far.step / 2
    said = validate_alltoall([row(gpu="GB200", ep=64, bottleneck="RDMA")], shipped)[0]
    assert "scale-up domain of 8 (the row's network is RDMA)" in said.assumed


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ({"gpu": "abacus"}, "abacus"),
        ({"ep": "many"}, "column ep: 'many' is not a number"),
        ({"ep": "0"}, "column ep"),
        ({"tokens_per_rank": "-3"}, "column tokens_per_rank"),
        ({"phase": "x"}, "column phase: unknown 'x'"),
    ],
)
def test_rows_that_cannot_be_read_stay_in_with_the_reason(shipped, cells, words):
    (scored,) = validate_alltoall([row(**cells)], shipped)
    assert scored.predicted is None
    assert words in scored.reason


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ({"mode": "fast"}, "(from the tokens)"),
        ({"bottleneck": "PCIe"}, "the catalog's scale-up domain (bottleneck says 'PCIe')"),
    ],
)
def test_words_that_are_not_known_are_read_as_the_usual_and_said(shipped, cells, words):
    (scored,) = validate_alltoall([row(**cells)], shipped)
    assert scored.ratio is not None
    assert any(words in one for one in scored.assumed)


@pytest.mark.parametrize("cell", ["-5", "nan", "inf", "fast"])
def test_a_time_that_is_no_number_is_not_replaced_by_the_bandwidth(shipped, cell):
    found = validate_alltoall([row(latency_us=cell, bandwidth_GBps="100")], shipped)
    (scored,) = (r for r in found if r.scored)
    assert scored.metric == "latency_us"
    assert scored.ratio is None
    assert scored.reason == f"column latency_us: {cell!r} is no positive number"


marks = st.sampled_from(
    ["", "0", "1", "-1", "8", "12", "1e15", "nan", "x", "4096", "SM90", "EFA", "decode", "RDMA"]
)


@given(st.dictionaries(st.sampled_from(COLUMNS), marks | st.text(max_size=4), max_size=6))
def test_no_row_ends_in_a_traceback(shipped, cells):
    for scored in validate_alltoall([row(**cells)], shipped):
        assert scored.predicted is None or 0 < scored.predicted < float("inf")
        assert (scored.ratio is None) == bool(scored.reason)


def test_files_without_the_columns_are_refused(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("source,gpu\nx,H100\n")
    with pytest.raises(InputError, match="missing columns library, phase, ep, mode"):
        read_alltoall_table(path)


def test_command(tmp_path, capsys):
    path = tmp_path / "kept_back.csv"
    with ALLTOALL.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))[:12]
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    with pytest.raises(SystemExit) as done:
        main(["validate", "alltoall", "--data", str(path), "--json", "--markdown", str(tmp_path / "page.md")])
    assert done.value.code == 0
    found = json.loads(capsys.readouterr().out)
    assert found["summary"]["n"] == 11
    assert {r["metric"] for r in found["rows"]} == {"latency_us", "bandwidth_GBps"}
    assert "DeepEP V1" in found["rows"][0]["id"]
    page = (tmp_path / "page.md").read_text()
    assert "deepep-low-latency" in page
    assert "| all scored rows | 11 |" in page


def test_command_refuses_to_record_other_measurements(tmp_path, capsys):
    with pytest.raises(SystemExit) as done:
        main(["validate", "alltoall", "--data", str(ALLTOALL), "--record"])
    assert done.value.code == 2
    assert "--record is of the shipped measurements" in capsys.readouterr().err

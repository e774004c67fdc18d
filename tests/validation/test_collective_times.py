"""Times of collectives against published logs; rows of all kinds; what the fit left out."""

from __future__ import annotations

import json

import pytest

from armillary.app.cli import main
from armillary.errors import InputError
from armillary.validation import read_collectives, summarise, validate_collectives
from armillary.validation.collectives import (
    algorithms_of,
    held_out,
    large,
    latency_score,
    places,
    question,
    why_unscored,
)

ROW = {
    "id": "x-1",
    "source": "a log",
    "gpu": "H100",
    "system": "p5.48xlarge",
    "n_gpus": "16",
    "n_nodes": "2",
    "gpus_per_node": "8",
    "scale_up_GBps": "450",
    "scale_out_Gbps_per_gpu": "400",
    "collective": "all_reduce",
    "algo_protocol": "",
    "size_bytes": "1073741824",
    "time_us": "4607.6",
    "notes": "",
}


@pytest.fixture(scope="module")
def results(shipped):
    return validate_collectives(read_collectives(), shipped)


def test_the_bars_are_met_on_the_shipped_logs(results):
    sums = summarise(large(results))
    assert sums.n > 150
    assert sums.median_abs_error <= 0.10
    assert sums.p90_abs_error <= 0.30
    small = latency_score(results)
    assert small.n > 50
    assert small.within == 1.0


def test_every_shipped_row_has_a_prediction_and_each_unscored_one_a_reason(results):
    assert all(r.ratio for r in results)
    unscored = [r for r in results if not r.scored]
    assert {r.group for r in unscored} == {"nccl527-p4d"}
    assert all(any("not scored" in why for why in r.assumed) for r in unscored)


def test_rows_left_out_of_the_fit_are_met_in_the_median():
    for key in ("system", "source"):
        found = held_out()[key]
        assert found["all"]["median"] <= 0.10
        assert len(found) > 5
        assert sum(v["rows"] for k, v in found.items() if k != "all") == found["all"]["rows"]


@pytest.mark.parametrize(
    "collective", ["all_gather", "ReduceScatter", "alltoall", "broadcast", "sendrecv_perf"]
)
@pytest.mark.parametrize(
    "change",
    [
        {},
        {"gpu": "B300", "system": "somebody's cloud", "n_gpus": "1024", "n_nodes": "128"},
        {"gpu": "GB300", "system": "", "n_gpus": "144", "n_nodes": "36", "gpus_per_node": "4"},
        {"gpu": "MI355X", "system": "OCI", "scale_up_GBps": "", "scale_out_Gbps_per_gpu": ""},
        {"gpu": "some npu", "n_nodes": "", "gpus_per_node": "", "algo_protocol": "magic"},
    ],
)
def test_a_row_of_any_system_has_a_sensible_prediction(collective, change, shipped):
    row = {**ROW, "collective": collective, **change}
    (found,) = validate_collectives([row], shipped)
    assert found.reason == ""
    assert 2e9 < 2**30 / (found.predicted / 1e6) < 2e12


def test_a_rack_is_one_domain_unless_the_row_speaks_of_partitions(shipped):
    rack = {
        **ROW,
        "gpu": "GB200",
        "system": "GB200 NVL72",
        "n_gpus": "72",
        "n_nodes": "18",
        "gpus_per_node": "4",
    }
    assert question(rack, shipped).inside == 72
    assert question({**rack, "n_gpus": "144", "n_nodes": "36"}, shipped).tuned.scale_up_size == 72
    parts = {**rack, "system": "3 NVL partitions (NVL4) on 3 racks", "n_gpus": "12", "n_nodes": "3"}
    assert question(parts, shipped).inside == 4
    host = {**rack, "system": "some GB200 cloud", "n_gpus": "8", "n_nodes": "2"}
    assert question(host, shipped).inside == 8
    assert any("domain of 72" in words for words in question(host, shipped).assumed)


@pytest.mark.parametrize(
    ("text", "size", "several", "expected"),
    [
        ("", 1e6, True, (None, None)),
        ("NVLS", 1e6, False, (("nvls",), None)),
        ("NVLS (as stated)", 1e6, True, (("nvls_tree",), None)),
        ("NVLSTree forced", 1e6, True, (("nvls_tree",), None)),
        ("Ring (NCCL_NVLS_ENABLE=0)", 1e6, False, (("ring",), None)),
        ("Ring (default; NVLS disabled)", 1e6, True, (("ring",), None)),
        ("no SHARP", 1e6, False, (("ring", "tree"), None)),
        ("NVLS (SHARP)", 1e6, False, (("nvls",), None)),
        ("RING/LL <=1MiB, NVLS/SIMPLE >=2MiB", 2**20, False, (("ring",), "ll")),
        ("RING/LL <=1MiB, NVLS/SIMPLE >=2MiB", 2**21, False, (("nvls",), "simple")),
        ("Tree/LL128", 1e6, True, (("tree",), "ll128")),
        ("CollNetDirect", 1e6, True, (None, None)),
    ],
)
def test_words_on_algorithms(text, size, several, expected):
    assert algorithms_of(text, size, "all_reduce", 16, 8 if several else 16) == expected


def test_an_algorithm_that_the_collective_lacks_is_left_to_nccl(shipped):
    asked = question({**ROW, "collective": "all_gather", "algo_protocol": "Tree"}, shipped)
    assert asked.allowed is None


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"id": "stas-unk-1"}, "unknown"),
        ({"gpu": "", "system": ""}, "unknown"),
        ({"notes": "reported as slow"}, "slow"),
        ({"system": "p4d (untuned setup)"}, "untuned"),
        ({}, ""),
    ],
)
def test_rows_that_are_no_fair_test(change, says):
    why = why_unscored({**ROW, **change})
    assert says in why
    assert bool(why) == bool(says)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"n_gpus": ""}, "n_gpus is empty"),
        ({"n_gpus": "1"}, "at least 2"),
        ({"size_bytes": "big"}, "not a number"),
        ({"size_bytes": "1e400"}, "outside what is sensible"),
        ({"collective": "scan"}, "unknown 'scan'"),
        ({"time_us": "0"}, "must be positive"),
        ({"time_us": ""}, "time_us is empty"),
        ({"time_us": "nan"}, "time_us: nan is outside"),
    ],
)
def test_rows_that_cannot_be_evaluated_stay_in_with_a_reason(change, says, shipped):
    (found,) = validate_collectives([{**ROW, **change}], shipped)
    assert says in found.reason
    assert found.ratio is None
    assert found.scored


def test_what_a_row_hangs_on(shipped):
    asked = question({**ROW, "system": "p5en.48xlarge"}, shipped)
    assert places(asked) == {"common", "generations.hopper", "networks.efa-p5en", "networks.efa-p5"}


def test_files_that_are_no_table(tmp_path):
    (tmp_path / "short.csv").write_text("id,gpu\nx,y\n")
    with pytest.raises(InputError, match="missing columns n_gpus"):
        read_collectives(tmp_path / "short.csv")


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as done:
        main(["validate", "collectives", *arguments])
    assert not done.value.code
    return capsys.readouterr().out


def test_the_command_prints_sums_and_what_was_held_out(capsys, tmp_path):
    out = run(capsys, "--no-rows", "--markdown", str(tmp_path / "page.md"))
    assert "all rows from 1 MB up" in out
    assert "Small messages, below 64 kB: 100% of" in out
    assert "Held out by system" in out
    assert "Held out by source" in out
    page = (tmp_path / "page.md").read_text()
    assert "## Shown, not scored" in page
    assert (tmp_path / "images" / "page-scatter.svg").read_text().startswith("<svg")


def test_the_command_gives_json_of_the_shape_of_the_others(capsys, tmp_path):
    table = tmp_path / "mine.csv"
    table.write_text(",".join(ROW) + "\n" + ",".join(ROW.values()) + "\n")
    answer = json.loads(run(capsys, "--data", str(table), "--json"))
    (row,) = answer["rows"]
    assert set(row) >= {"id", "metric", "measured", "predicted", "assumed"}
    assert row["metric"] == "time_us"
    assert row["predicted"] == pytest.approx(row["measured"], rel=0.3)
    assert answer["summary"]["n"] == 1
    assert "held_out" not in answer

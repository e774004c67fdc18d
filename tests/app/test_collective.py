"""``armillary network collective``: the table of nccl-tests, JSON, figures, bad questions."""

from __future__ import annotations

import json

import pytest

from armillary.app.cli import main

ASK = ["network", "collective", "--system", "p5", "--gpus", "16"]


def call(*arguments, capsys):
    with pytest.raises(SystemExit) as done:
        main(list(arguments))
    said = capsys.readouterr()
    return int(done.value.code or 0), said.out, said.err


def test_the_sweep_reads_as_nccl_tests_does(capsys):
    code, out, err = call(*ASK, "--min", "8", "--max", "16GiB", capsys=capsys)
    lines = out.splitlines()
    assert (code, err) == (0, "")
    assert lines[0].strip() == "all_reduce on 16 GPUs of p5.48xlarge"
    assert lines[1].split() == ["size", "count", "type", "algorithm", "protocol", "time", "algbw", "busbw"]
    assert lines[2].split() == ["[B]", "[elements]", "[us]", "[GB/s]", "[GB/s]"]
    assert lines[3].split()[:5] == ["8", "2", "float", "tree", "ll"]
    assert lines[-2].split()[:5] == ["17179869184", "4294967296", "float", "nvls_tree", "simple"]
    assert lines[-1].startswith("Avg bus bandwidth: ")
    assert len(lines) == 3 + 32 + 1


def test_json_has_every_part_and_busbw_follows(capsys):
    _, out, _ = call(*ASK, "--op", "all-gather", "--json", "--compare", "p5en,p6e-gb300", capsys=capsys)
    answer = json.loads(out)
    assert answer["op"] == "all_gather"
    assert [s["network"] for s in answer["systems"]] == ["efa-p5", "efa-p5en", "efa-p6e-gb300"]
    for system in answer["systems"]:
        for row in system["rows"]:
            assert sum(row["parts_s"].values()) == pytest.approx(row["time_s"])
            assert row["busbw_byte_s"] == pytest.approx(row["size_byte"] / row["time_s"] * 15 / 16)
    assert answer["systems"][2]["assumed"] != []


def test_systems_side_by_side_as_a_table_and_a_figure(tmp_path, capsys):
    figure = tmp_path / "bw.svg"
    more = ["--compare", "p5en", "--svg", str(figure), "--min", "1M", "--factor", "16"]
    code, out, err = call(*ASK, *more, capsys=capsys)
    assert code == 0
    assert "Time [us] and busbw [GB/s]" in out
    assert "Avg bus bandwidth of p5en.48xlarge" in out
    assert "wrote" in err
    assert "p5en.48xlarge" in figure.read_text()
    call(*ASK, "--draw", "time", "--svg", str(figure), capsys=capsys)
    assert "time against size" in figure.read_text()


def busbw(*more, capsys):
    _, out, _ = call(*ASK, "--json", "--min", "1GiB", "--max", "1GiB", *more, capsys=capsys)
    return json.loads(out)["systems"][0]["rows"][0]


def test_what_is_given_is_taken(capsys):
    row = busbw("--algorithm", "ring", "--protocol", "simple", capsys=capsys)
    assert (row["algorithm"], row["protocol"]) == ("ring", "simple")
    free, narrow = busbw(capsys=capsys), busbw("--oversubscription", "16", capsys=capsys)
    assert narrow["time_s"] > 2 * free["time_s"]
    assert busbw("--inside", "1", capsys=capsys)["time_s"] > free["time_s"]
    assert busbw("--set", "nic_tree=0.2", capsys=capsys)["time_s"] > free["time_s"]
    assert busbw("--op", "AllReduce", capsys=capsys) == free


def test_a_group_larger_than_any_machine_is_a_question_too(capsys):
    code, out, _ = call("network", "collective", "--system", "p6e-gb300", "--gpus", "524288", capsys=capsys)
    assert code == 0
    assert "524,288 GPUs" in out


def test_what_has_no_measurement_is_told(capsys):
    _, _, err = call("network", "collective", "--system", "p6e-gb200", "--gpus", "144", capsys=capsys)
    assert "assumed for u-p6e-gb200x72" in err


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--gpus", "1"], "1 is not in the range"),
        (["--op", "all_reduse"], "did you mean 'all_reduce'"),
        (["--system", "p5x"], "unknown system 'p5x'; did you mean"),
        (["--algorithm", "rign"], "did you mean 'ring'"),
        (["--op", "all_gather", "--algorithm", "tree"], "all_gather has no algorithm 'tree'"),
        (["--algorithm", "nvls", "--protocol", "ll"], "has no protocol ll"),
        (["--system", "mi300x-platform", "--algorithm", "nvls"], "cannot run on 16 GPUs"),
        (["--set", "nic"], "write it as NAME=VALUE"),
        (["--set", "nick=1"], "did you mean 'nic'"),
        (["--set", "net_latency=15"], "has no unit"),
        (["--min", "8 Gb"], "--min '8 Gb'"),
        (["--min", "0"], "from 1 byte"),
        (["--min", "1G", "--max", "1M"], "is below"),
        (["--factor", "1.01"], "at most 200"),
        (["--inside", "16"], "has 8"),
        (["--compare", "p5,nope"], "unknown system 'nope'"),
    ],
)
def test_questions_without_sense_are_refused_with_a_cure(more, says, capsys):
    code, out, err = call(*ASK, *more, capsys=capsys)
    assert code == 2
    assert says in err
    assert out == ""

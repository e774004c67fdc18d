"""`armillary network` as a person meets it: answers, figures, traces, and words for what cannot be."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import pytest

from armillary.app.cli import main

SMALL = ["--system", "p5en", "--gpus", "64"]
TRAIN = ["--model", "llama3.1-8b", "--system", "p5en", "--gpus", "64", "--global-batch", "128"]


@pytest.fixture
def ask(capsys):
    def run(*words, code=0):
        with pytest.raises(SystemExit) as end:
            main(["network", *words])
        told = capsys.readouterr()
        assert end.value.code == code, told.err
        return told

    return run


def test_a_fabric_is_printed_tier_by_tier(ask):
    out = ask("fabric", *SMALL, "--oversubscription", "2", "--fail", "rail 0@50%").out
    assert "p5en.48xlarge optimised-rail spray: 256 accelerators" in out
    assert "2:1" in out
    assert "93.8%" in out
    found = json.loads(ask("fabric", *SMALL, "--json").out)
    assert {t["name"] for t in found["tiers"]} >= {"host up", "leaf down"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["--gpus", "63"],
            "--gpus 63 is rounded up to a fabric of 256, whole groups of 256: a leaf of 32 on each of 8 "
            "rails, in whole domains of 8\n",
        ),
        (
            ["--gpus", "257", "--rails", "none"],
            "--gpus 257 is rounded up to a fabric of 288, whole groups of 32: a leaf of 32, in whole domains "
            "of 8\n",
        ),
        (["--gpus", "512"], ""),
        (["--gpus", "63", "--preset", "hpn7"], "whole groups of hpn7\n"),
    ],
)
def test_a_fabric_of_more_than_was_asked_for_is_told(ask, words, said):
    told = ask("fabric", "--system", "p5en", *words).err
    assert told.endswith(said)
    assert bool(told) == bool(said)


def test_a_simulation_on_more_than_take_part_is_told(ask):
    told = ask("simulate", "--system", "p5en", "--gpus", "63", "--size", "1 MiB")
    assert "in 63 accelerators" in told.out
    assert "--gpus 63 is rounded up to a fabric of 256" in told.err


def test_a_fabric_of_a_preset_and_of_a_file(ask, tmp_path):
    assert "4,096 accelerators" in ask("fabric", "--system", "p5en", "--preset", "tpu-v4").out
    file = tmp_path / "topology.conf"
    file.write_text(
        "SwitchName=s1 Nodes=n[1-2]\nSwitchName=s2 Nodes=n[3-4]\nSwitchName=top Switches=s[1-2]\n"
    )
    assert "32 accelerators in 4 domains" in ask("fabric", "--system", "p5en", "--topology", str(file)).out


def test_a_simulated_collective_has_figures_and_a_trace(ask, tmp_path):
    paths = {k: tmp_path / k for k in ("load.svg", "flows.svg", "trace.json")}
    told = ask(
        *("simulate", *SMALL, "--op", "all_to_all", "--groups", "2", "--fail", "host 3@50%", "--json"),
        *("--svg", str(paths["load.svg"]), "--timeline", str(paths["flows.svg"])),
        *("--trace", str(paths["trace.json"])),
    )
    found = json.loads(told.out)
    assert found["exact"]
    assert found["flows"] == 2 * 32 * 31
    clean = json.loads(ask("simulate", *SMALL, "--op", "all_to_all", "--groups", "2", "--json").out)
    assert clean["time"] < found["time"]
    for name in ("load.svg", "flows.svg"):
        ElementTree.fromstring(paths[name].read_text("utf-8"))
    events = json.loads(paths["trace.json"].read_text("utf-8"))["traceEvents"]
    assert sum(e["ph"] == "X" for e in events) == found["flows"]


def test_bandwidths_are_those_of_nccl_tests(ask):
    found = json.loads(ask("simulate", *SMALL, "--size", "8 GiB", "--json").out)
    assert found["algorithm_bandwidth"] == pytest.approx(found["size"] / found["time"])
    assert found["bus_bandwidth"] == pytest.approx(found["algorithm_bandwidth"] * 2 * 63 / 64)
    assert "bus bandwidth" in ask("simulate", *SMALL).out


def test_whatif_compares_fabrics_and_draws_them(ask, tmp_path):
    paths = {k: tmp_path / k for k in ("bars.svg", "step.svg", "trace.json")}
    told = ask(
        *("whatif", *TRAIN, "--vary", "oversubscription", "--vary", "long-haul", "--json"),
        *("--svg", str(paths["bars.svg"]), "--timeline", str(paths["step.svg"])),
        *("--trace", str(paths["trace.json"]), "--price", "3 USD/h"),
    )
    cases = json.loads(told.out)["cases"]
    assert [c["label"] for c in cases][:4] == ["1:1", "2:1", "4:1", "8:1"]
    steps = [c["step"] for c in cases[:4]]
    assert steps == sorted(steps)
    costs = [c["network_cost"] for c in cases[:4]]
    assert costs == sorted(costs, reverse=True)
    assert cases[1]["worth"] <= 0
    assert cases[0]["more_cost"] == 0
    every = {c["label"]: c["step"] for c in cases[4:]}
    assert every["two, every 500"] < every["two, every 100"] < every["two, every step"]
    for name in ("bars.svg", "step.svg"):
        ElementTree.fromstring(paths[name].read_text("utf-8"))
    assert json.loads(paths["trace.json"].read_text("utf-8"))["traceEvents"]


def test_whatif_says_all_its_questions(ask):
    out = ask("whatif", *TRAIN).out
    for question in ("oversubscription", "domain", "rails", "routing", "failure", "placement", "neighbours",
                     "generations", "long haul"):  # fmt: skip
        assert question in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["simulate", *SMALL, "--op", "allreduce"], "did you mean 'all_reduce'"),
        (["simulate", *SMALL, "--groups", "3"], "64 are not 3 groups"),
        (["simulate", *SMALL, "--groups", "64"], "at least 2 ranks"),
        (["simulate", *SMALL, "--size", "0 B"], "positive number of bytes"),
        (["simulate", *SMALL, "--size", "1 Gb"], "Gb"),
        (["simulate", *SMALL, "--fail", "leef 3"], "did you mean 'leaf'"),
        (["simulate", *SMALL, "--fail", "host 3"], "disconnected: no path"),
        (["simulate", *SMALL, "--fail", "a@b@"], "write a part as"),
        (["simulate", *SMALL, "--routing", "spry"], "did you mean 'spray'"),
        (["simulate", *SMALL, "--rails", "yes"], "unknown rails"),
        (["simulate", "--system", "p55", "--gpus", "8"], "p55"),
        (["fabric", "--system", "p5en"], "give --gpus"),
        (["fabric", *SMALL, "--topology", "x"], "--topology says itself"),
        (["fabric", "--system", "p5en", "--topology", "nowhere.conf"], "nowhere.conf"),
        (["fabric", *SMALL, "--preset", "hpn"], "did you mean 'hpn7'"),
        (["whatif", *TRAIN, "--vary", "color"], "unknown question 'color'"),
        (["whatif", *TRAIN, "--long-haul", "5 apples"], "apples"),
    ],
)
def test_what_cannot_be_is_said_with_its_cure(ask, words, said):
    told = ask(*words, code=2)
    assert said in told.err
    assert "Traceback" not in told.err


def test_an_all_to_all_that_has_no_classes_is_refused_with_the_reason(ask):
    told = ask(
        "simulate", "--system", "p5en", "--gpus", "8192", "--op", "all_to_all", "--routing", "ecmp", code=1
    )
    assert "67,100,672 flows" in told.err
    assert "paths are single ones" in told.err

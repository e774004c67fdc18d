"""`armillary run` and `check` of what is served: pages, JSON and exit codes."""

from __future__ import annotations

import json

import pytest

from armillary.app.cli import main

TEXT = """\
name: served
clusters:
  lab: {provider: aws, price: 3.6 USD/h, partitions: [{system: p5en, count: 40, ready: 2026-01}]}
workloads:
  chat:
    kind: serving
    model: llama-3.1-8b
    demand: {messages: 300 /s, growth: 100%}
    targets: {tpot: {p95: 20 ms}}
"""


def call(capsys, *words):
    with pytest.raises(SystemExit) as done:
        main(list(words))
    printed = capsys.readouterr()
    return done.value.code or 0, printed.out, printed.err


@pytest.fixture
def scenario(tmp_path):
    path = tmp_path / "served.yaml"
    path.write_text(TEXT)
    return path


def test_a_run_writes_what_is_served_to_page_and_json(scenario, tmp_path, capsys):
    code, out, err = call(capsys, "run", str(scenario), "--out", str(tmp_path / "out"), "--jobs", "1")
    assert code == 0, err
    for words in ("What is asked for", "The fleet by quarter", "Latency, cost and energy"):
        assert words in out
    found = json.loads((tmp_path / "out" / "report.json").read_text("utf-8"))["serving"]
    assert [q["from"] for q in found["quarters"]] == ["2026-01", "2026-04", "2026-07", "2026-10"]
    assert found["quarters"][0]["serving"][0]["latency"]["p95"]["tpot"] <= 0.02
    page = (tmp_path / "out" / "report.html").read_text("utf-8")
    assert page.count("<svg") >= 3
    assert "http://" not in page.replace("http://www.w3.org", "")


def test_what_cannot_be_served_exits_1_with_the_reason(scenario, capsys):
    scenario.write_text(TEXT.replace("20 ms", "1 us"))
    code, out, err = call(capsys, "run", str(scenario), "--jobs", "1")
    assert code == 1
    assert "chat: p5en.48xlarge: time per output token of one request [s] is" in err
    assert "times too much" in err
    assert "not feasible: chat" in out


def test_bad_input_exits_2_with_its_place(scenario, capsys):
    scenario.write_text(TEXT.replace("growth: 100%", "growth: 100%, mix: azure"))
    code, _, err = call(capsys, "run", str(scenario))
    assert code == 2
    assert "served.yaml:8:51: error: workloads.chat.demand.mix: unknown mix 'azure'" in err


def test_check_prints_what_is_understood(scenario, capsys):
    code, out, _ = call(capsys, "check", str(scenario))
    assert code == 0
    assert "# workload chat: 2.592e+07 messages a day in 2026-01" in out
    assert "# planned: 4 quarters from 2026-01" in out
    code, out, _ = call(capsys, "check", "--schema")
    assert {"TrainingSpec", "ServingSpec", "DemandSpec"} <= set(json.loads(out)["$defs"])


def test_only_what_is_asked_for_is_answered(scenario, capsys):
    scenario.write_text(TEXT + "questions: [fleet]\n")
    code, out, _ = call(capsys, "run", str(scenario), "--json")
    assert code == 0
    assert json.loads(out)["serving"] is None

"""`serve day`: a sample tells what all cells do, and a whole day goes on after it was stopped."""

import json
import os
from contextlib import nullcontext

import pytest

from armillary.app import console
from armillary.app.cli import main
from armillary.app.serve_day_command import processes
from armillary.errors import ArmillaryError

MIX = "mooncake-conversation"
DAY = "serve day --model llama-3.1-8b --system p5en --messages 4e5 --cells 5 --replicas 2 --jobs 1 --json"


def run(capsys, *words):
    with pytest.raises(SystemExit) as done:
        main(list(words))
    printed = capsys.readouterr()
    return done.value.code, printed.out, printed.err


def test_a_sample_has_intervals_that_hold_the_whole(capsys, tmp_path):
    code, out, err = run(capsys, *DAY.split(), "--sample", "3")
    assert code in (0, None), err
    part = json.loads(out)
    limit = f"{part['latency']['ttft']['p90']['value']:.9f} s"
    assert (part["sampled"], part["cells"], part["replicas"], part["accelerators"]) == (3, 5, 10, 10)
    more = ("--whole", "--state", str(tmp_path / "day"), "--ttft", limit, "--svg", str(tmp_path / "x.svg"))
    whole = json.loads(run(capsys, *DAY.split(), *more)[1])
    assert whole["sampled"] == 5
    assert abs(whole["requests"] - 4e5) < 5 * 4e5**0.5
    assert whole["completed"] == whole["requests"]
    for what in ("ttft", "tpot", "e2e"):
        right = whole["latency"][what]["p50"]
        assert right["low"] == right["value"] == right["high"]
        found = part["latency"][what]["p50"]
        assert found["low"] < right["value"] < found["high"]
    assert whole["front_end"] > 0
    assert whole["latency"]["ttft"]["p50"]["value"] > whole["front_end"]
    assert abs(whole["goodput"]["value"] - 0.9) < 0.01
    assert "through the day" in (tmp_path / "x.svg").read_text("utf-8")


def test_there_is_no_goodput_without_targets_or_requests(capsys):
    words = [*DAY.replace("4e5", "1e4").split(), "--sample", "2"]
    assert "goodput" not in json.loads(run(capsys, *words)[1])
    assert 0 <= json.loads(run(capsys, *words, "--ttft", "1 s")[1])["goodput"]["value"] <= 1
    words.remove("--json")
    assert "goodput" not in run(capsys, *words)[1]
    assert "goodput: " in run(capsys, *words, "--ttft", "1 s")[1]
    words[words.index("1e4")] = "1"
    code, out, err = run(capsys, *words, "--cells", "1000", "--ttft", "1 s")
    assert code in (0, None), err
    assert "no request came to the cells that were run" in out
    assert "goodput" not in out
    found = json.loads(run(capsys, *words, "--cells", "1000", "--ttft", "1 s", "--json")[1])
    assert found["requests"] == 0
    assert "goodput" not in found


def test_a_stopped_day_goes_on_to_the_same_bytes(capsys, tmp_path, monkeypatch):
    stopped, straight = tmp_path / "stopped", tmp_path / "straight"
    words = [*DAY.split(), "--whole", "--state"]
    right = run(capsys, *words, str(straight))[1]
    seen = []

    def stop(done, total):
        seen.append(done)
        if done == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(console, "progress", lambda what: nullcontext(stop))
        code, out, err = run(capsys, *words, str(stopped))
    assert (code, out) == (130, "")
    assert seen == [1, 2]
    assert len(list(stopped.glob("cell-*"))) == 2
    assert run(capsys, *words, str(stopped))[1] == right
    names = sorted(path.name for path in straight.iterdir())
    assert names == sorted(path.name for path in stopped.iterdir())
    assert all((straight / name).read_bytes() == (stopped / name).read_bytes() for name in names)
    code, _, err = run(capsys, *words, str(stopped), "--mix", "azure-2023-code")
    assert code == 2
    assert "holds cells of another day" in err
    code, _, err = run(capsys, *words, str(stopped), "--tp", "2")
    assert code == 2
    assert "is the state of another fleet" in err


def test_days_in_words_apart_and_over_processes(capsys):
    words = DAY.replace(" --json", "").replace("--jobs 1", "--jobs 2")
    code, out, err = run(capsys, *words.split(), "--sample", "2", "--prefill", "tp=1,replicas=1")
    assert code in (0, None), err
    assert "5 cells of 1 x one accelerator for prompts, 2 x one accelerator for decoding: 15 replicas" in out
    assert "±" in out


def test_a_process_that_dies_is_an_error_with_words():
    with pytest.raises(ArmillaryError, match="a process of the day died"), processes(2) as mapped:
        list(mapped(os._exit, [1, 1]))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--whole", "--whole needs --state FOLDER"),
        ("--fail replica=0,at=1s,for=1s", "of replicas at random"),
        ("--shape none", "unknown day shape 'none'"),
        ("--state day.txt/x", "cannot be"),
    ],
)
def test_bad_days_are_refused(capsys, tmp_path, monkeypatch, words, says):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "day.txt").write_text("", encoding="utf-8")
    code, out, err = run(capsys, *DAY.split(), *words.split())
    assert (code, out) == (2, "")
    assert says in err


def test_overload_is_said(capsys):
    words = "serve day --model llama-3.1-8b --system p5en --messages 2e7 --cells 20 --jobs 1 --queue-limit 3"
    code, out, err = run(capsys, *words.split(), "--replicas", "1", "--sample", "2", "--mix", MIX, "--json")
    assert code in (0, None)
    assert "overloaded: the peak brings a cell" in err
    assert json.loads(out)["reasons"]["queue full"] > 0


def test_lengths_beyond_the_context_are_refused(capsys):
    words = DAY.replace("llama-3.1-8b", "mixtral-8x7b").split()
    code, _, err = run(capsys, *words, "--tp", "4", "--mix", "mooncake-conversation")
    assert code == 2
    assert "more than the context of mixtral-8x7b, 32768" in err

import json

import pytest

from armillary.app.cli import main

SIZE = ["serve", "size", "--model", "llama-3.1-8b", "--system", "p5en", "--messages", "1e7", "--tpot"]


def run(capsys, *words):
    with pytest.raises(SystemExit) as done:
        main(list(words))
    printed = capsys.readouterr()
    return done.value.code, printed.out, printed.err


def test_sizes_agents_and_the_front_are_answered(capsys, tmp_path):
    figure = tmp_path / "front.svg"
    more = ("--agent-tasks", "50e6", "--svg", str(figure))
    code, out, err = run(capsys, *SIZE, "20 ms", "--json", *more)
    assert code in (0, None), err
    answer = json.loads(out)
    assert answer["agents"]["vcpus"] > 1e5
    assert any(one["pareto"] for one in answer["deployments"])
    assert all(one["tpot"] <= 0.02 for one in answer["deployments"])
    assert figure.read_text("utf-8").startswith("<svg")
    code, out, _ = run(capsys, *SIZE, "20 ms", *more)
    assert "million vCPUs" in out


def test_what_nothing_holds_exits_1_with_the_constraint(capsys):
    code, _, err = run(capsys, *SIZE, "1 us")
    assert code == 1
    assert "infeasible; time per output token" in err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("serve size --model llama-3.1-8b --system p5en", "nothing says how much is asked"),
        ("serve simulate --model llama-3.1-405b --system p5en --rate 1", "does not fit as one accelerator"),
        (
            "serve simulate --model mixtral-8x7b --system p5en --tp 4 --ep 3 --rate 1",
            "--ep 3 does not divide",
        ),
        ("serve simulate --model llama-3.1-8b --system p5en --rate 1 --engine vlm", "unknown serving engine"),
        (
            "serve simulate --model llama-3.1-8b --system p5en --rate 1 --precision fp9",
            "unknown serving precision",
        ),
    ],
)
def test_bad_questions_are_refused_with_words(capsys, words, says):
    code, _, err = run(capsys, *words.split())
    assert code == 2
    assert says in err


def test_what_stands_in_for_a_chip_is_said(capsys):
    words = [*["serve", "simulate", "--model", "llama-3.1-8b", "--system", "mi300x-platform"], "--rate", "1"]
    code, out, err = run(capsys, *words)
    assert code in (0, None)
    assert "assumed: serving kernels of mi300x sustain the shares of hopper's" in err
    assert "the front end adds about" in out


def test_a_trace_is_replayed_and_a_bad_one_refused(capsys, tmp_path):
    trace = tmp_path / "trace.csv"
    lines = [f"2023-11-16 18:15:{i:02d}.0000000,{200 + i},{20 + i}" for i in range(40)]
    trace.write_text("\n".join(["TIMESTAMP,ContextTokens,GeneratedTokens", *lines]) + "\n", encoding="utf-8")
    words = ["serve", "simulate", "--model", "llama-3.1-8b", "--system", "p5en", "--trace", str(trace)]
    code, out, err = run(capsys, *words, "--json")
    assert code in (0, None), err
    assert json.loads(out)["completed"] == 40
    trace.write_text("TIMESTAMP,ContextTokens\n", encoding="utf-8")
    code, _, err = run(capsys, *words)
    assert code == 2
    assert "GeneratedTokens" in err

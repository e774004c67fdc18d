import json
from dataclasses import replace

import pytest

from armillary.app import console
from armillary.app.cli import main
from armillary.app.serve_size_view import _print_found
from armillary.serving.layout import EngineLayout
from armillary.serving.sized import Sized

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
    assert {point["system"] for point in answer["front"]} == {"p5en.48xlarge"}
    speeds = [point["interactivity"] for point in answer["front"]]
    assert speeds == sorted(speeds, reverse=True)
    assert all(check["trial"]["holds"] for one in answer["deployments"] for check in one["checks"])
    assert answer["horizon"] is None
    assert answer["workload"]["built_for"] == pytest.approx(1.1 * answer["workload"]["peak"])
    code, out, _ = run(capsys, *SIZE, "20 ms", *more, "--front")
    assert "million vCPUs" in out
    assert "tokens/s and accelerator" in out
    assert "of them down" in out
    assert "Wh a message" in out


def test_users_growth_and_lengths_are_read(capsys):
    words = ["serve", "size", "--model", "llama-3.1-8b", "--system", "p5en", "--users", "2e6"]
    words += ["--per-user", "5", "--growth", "100%", "--from", "2026-01-01", "--until", "2028-01-01"]
    words += ["--input", "1000/3000", "--output", "200", "--cached", "50%", "--ttft", "p99 2 s"]
    words += ["--tpot", "30 ms", "--goodput", "90%"]
    code, out, err = run(capsys, *words, "--json")
    assert code in (0, None), err
    answer = json.loads(out)
    mean = answer["workload"]["mean"]
    assert mean == pytest.approx(1e7 / 86400)
    assert answer["horizon"]["workload"]["mean"] == pytest.approx(4 * mean, rel=2e-3)
    now, later = (min(d["accelerators"] for d in a["deployments"]) for a in (answer, answer["horizon"]))
    assert 2 < later / now < 6
    assert answer["targets"]["ttft_percentile"] == 99.0
    assert answer["targets"]["percentile"] == 90.0
    assert all(d["cached"] == pytest.approx(0.5, abs=0.01) for d in answer["deployments"])
    code, out, _ = run(capsys, *words)
    assert "after 2 years of +100% a year" in out
    assert "50% of the input was found in prefix caches" in out


def test_what_nothing_holds_exits_1_with_the_constraint(capsys):
    code, _, err = run(capsys, *SIZE, "1 us")
    assert code == 1
    assert "infeasible; time per output token of one request [s] is at least" in err
    code, _, err = run(capsys, *SIZE, "20 ms", "--accelerators", "1")
    assert code == 1
    assert "infeasible; number of accelerators is at least" in err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("serve size --model llama-3.1-8b --system p5en", "nothing says how much is asked"),
        ("serve size --model llama-3.1-8b --system p5en --users 1e6", "--users and --per-user go together"),
        ("serve size --model llama-3.1-8b --system p5en --rate 1 --messages 5", "give one of them"),
        ("serve size --model llama-3.1-8b --system p5en --rate 1 --input 900/800", "P50/P90 that rise"),
        ("serve size --model llama-3.1-8b --system p5en --rate 1 --input 1e6", "half of the context"),
        ("serve size --model llama-3.1-8b --system p5en --rate 1 --output many", "write tokens as a mean"),
        ("serve size --model llama-3.1-8b --system p5en --rate 1 --cached 140%", "must be from 0 to 99%"),
        ("serve size --model llama-3.1-8b --system p5en --rate 1 --cached trace", "give it with --trace"),
        ("serve size --model llama-3.1-8b --system p5en --rate 1 --growth 80%", "growth goes over --horizon"),
        ("serve size --model llama-3.1-8b --system p5en --rate 1 --horizon 2yr", "a horizon without growth"),
        (
            "serve size --model llama-3.1-8b --system p5en --rate 1 --growth 80 --horizon 2yr",
            "would be 8,000% a year; write '80%' or 0.8",
        ),
        (
            "serve size --model llama-3.1-8b --system p5en --rate 1 --growth 5% --from 2028-01 "
            "--until 2027-01",
            "is before --from",
        ),
        (
            "serve size --model llama-3.1-8b --system p5en --rate 1 --growth 5% --from then --until 2027-01",
            "write a date",
        ),
        ("serve size --model llama-3.1-8b --system p5en --rate 1 --ttft p99", "write a time as '2 s'"),
        ("serve size --model llama-3.1-8b --system p5en --rate 1 --goodput 100%", "must be below 100%"),
        (
            "serve size --model llama-3.1-8b --system p5en --rate 1 --goodput 90%",
            "give --ttft, --tpot or --e2e",
        ),
        ("serve size --model llama-3.1-8b --system p5en --rate 1 --shape flatt", "unknown day shape"),
        (
            "serve size --model llama-3.1-8b --system p5en --rate 1 --engine vllm,trt",
            "unknown serving engine",
        ),
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
    code, _, err = run(capsys, *words, "--rate", "5", "--requests", "7", "--mix", "azure-2023-code")
    assert code == 2
    assert "a --trace has its own arrivals and lengths; leave out --rate and --requests and --mix" in err
    for command in ("size", "day --messages 1e4"):
        given = ["serve", *command.split(), *words[2:], "--mix", "azure-2023-code"]
        code, _, err = run(capsys, *given)
        assert code == 2
        assert "leave out --mix" in err
    trace.write_text("TIMESTAMP,ContextTokens\n", encoding="utf-8")
    code, _, err = run(capsys, *words)
    assert code == 2
    assert "GeneratedTokens" in err


def test_a_trace_is_sized_with_and_without_its_blocks(capsys, tmp_path):
    """Two users who each ask again and again, with a block more each time."""
    trace = tmp_path / "trace.jsonl"
    lines = []
    for i in range(600):
        turns = 1 + i // 2 % 12
        ids = [(i % 2) * 100_000 + i // 24 * 100 + k for k in range(turns)]
        asked = f'"input_length": {512 * turns}, "output_length": {20 + i % 7}'
        lines.append(f'{{"timestamp": {i * 400}, {asked}, "hash_ids": {ids}}}')
    trace.write_text("\n".join(lines) + "\n", encoding="utf-8")
    words = ["serve", "size", "--model", "llama-3.1-8b", "--system", "p5en", "--trace", str(trace)]
    words += ["--ttft", "2 s", "--tpot", "30 ms", "--json"]
    code, out, err = run(capsys, *words)
    assert code in (0, None), err
    plain = json.loads(out)
    assert plain["workload"]["mean"] == plain["workload"]["peak"] == pytest.approx(600 / 239.6)
    assert plain["workload"]["prefixes"] == "none"
    assert all(d["cached"] == 0 for d in plain["deployments"])
    code, out, err = run(capsys, *words, "--cached", "trace", "--rate", "20")
    assert code in (0, None), err
    replayed = json.loads(out)
    assert replayed["workload"]["prefixes"] == "trace"
    assert replayed["workload"]["mean"] == 20
    assert all(0.2 < d["cached"] < 1 for d in replayed["deployments"])
    code, _, err = run(capsys, *words, "--input", "100")
    assert code == 2
    assert "a --trace has its own lengths" in err
    azure = tmp_path / "azure.csv"
    rows = [f"2023-11-16 18:15:{i:02d}.0000000,{200 + i},{20 + i}" for i in range(40)]
    azure.write_text("\n".join(["TIMESTAMP,ContextTokens,GeneratedTokens", *rows]) + "\n", encoding="utf-8")
    code, _, err = run(capsys, *words[:7], str(azure), "--cached", "trace")
    assert code == 2
    assert "has no blocks" in err


def test_in_a_narrow_window_sizes_and_costs_are_apart(capsys, monkeypatch):
    apart = Sized(
        *("u-p6e-gb200x72", EngineLayout(tp=16, ep=16), EngineLayout(tp=1), 77, 343, 1575, 1.0),
        *(0.327, 0.0094, 1.0, 1.2, 2.89e6, 0.0176e-6, 0.14e-6, 0.2, 1.0, 100.0),
        engine="vllm",
        spares=7,
        prefill_spares=32,
        systems=22,
    )
    wide = ("343 : 77", "32 : 7", "1,575", "0.0176", "0.14", "2.89")
    for columns in (140, 80):
        monkeypatch.setattr(console, "PIPED_COLUMNS", columns)
        _print_found([apart, replace(apart, engine="sglang")])
        out = capsys.readouterr().out
        assert "…" not in out
        assert all(out.count(cell) == 2 for cell in wide), columns
        assert max(len(line.rstrip()) for line in out.splitlines()) <= columns
        assert out.count("system ") == (1 if columns == 140 else 2)

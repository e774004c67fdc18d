"""What `serve simulate` reaches, and how it refuses what it cannot do."""

import csv
import json

import pytest

from armillary.app.cli import main

ONE = "serve simulate --model llama-3.1-8b --system p5en"


def run(capsys, *words):
    with pytest.raises(SystemExit) as done:
        main(list(words))
    printed = capsys.readouterr()
    return done.value.code, printed.out, printed.err


def answer(capsys, words, *more):
    code, out, err = run(capsys, *words.split(), *more, "--json")
    assert code in (0, None), err
    return json.loads(out)


def test_the_front_end_is_in_what_users_see(capsys):
    found = answer(capsys, f"{ONE} --rate 5 --requests 400")
    assert found["front_end"] > 0.02
    more = found["latency"]["ttft"]["p50"] - found["engine"]["ttft"]["p50"]
    assert more == pytest.approx(found["front_end"], rel=0.1)


def test_prompts_apart_over_the_domain_and_over_the_nic(capsys):
    words = f"{ONE} --rate 20 --requests 600 --tp 2 --prefill"
    inside = answer(capsys, words, "tp=1,replicas=2")["pools"][0]
    outside = answer(capsys, words, "tp=1,replicas=2", "--transfer", "nic")["pools"][0]
    wide = answer(capsys, words, "tp=1,replicas=7")["pools"][0]
    assert (inside["prefill"], inside["prefill_replicas"], inside["accelerators"]) == (
        "one accelerator",
        2,
        4,
    )
    assert inside["kv_transfer"]["per_token"] < 0.3 * outside["kv_transfer"]["per_token"]
    assert wide["kv_transfer"] == outside["kv_transfer"]  # nine accelerators are more than a domain of eight
    code, _, err = run(capsys, *words.split(), "tp=1,replicas=7", "--transfer", "scale-up")
    assert code == 2
    assert "take 9 accelerators and a domain of p5en.48xlarge has 8" in err


def mooncake(path, n=60):
    lines = []
    for i in range(n):
        ids = [*range(12), 1000 + 10 * i, 1001 + 10 * i]
        lines.append(json.dumps(
            {"timestamp": 700 * i, "input_length": 512 * 14, "output_length": 20, "hash_ids": ids}
        ))  # fmt: skip
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(path)


def test_blocks_are_kept_unless_they_are_not(capsys, tmp_path):
    words = [*ONE.split(), "--trace", mooncake(tmp_path / "chats.jsonl"), "--json"]
    kept = json.loads(run(capsys, *words, "--routing", "cache_aware")[1])
    lost = json.loads(run(capsys, *words, "--no-prefix-cache")[1])
    assert kept["cached_tokens"] == 59 * 12 * 512
    assert lost["cached_tokens"] == 0
    assert kept["engine"]["ttft"]["p50"] < 0.5 * lost["engine"]["ttft"]["p50"]
    hosted = json.loads(run(capsys, *words, "--host-memory", "1 TB")[1])
    assert hosted["pools"][0]["host_tokens"] == pytest.approx(1e12 / (32 * 8 * 128 * 2), rel=0.01)  # FP8


def test_priorities_queue_limits_and_timeouts(capsys):
    words = f"{ONE} --rate 400 --requests 6000 --priorities 0.2,0.8 --queue-limit 60 --timeout"
    found = answer(capsys, words, "4 s")
    first, second = (found["groups"][f"users, priority {i}"] for i in (0, 1))
    assert first["ttft"]["p90"] < second["ttft"]["p90"]
    assert abs(first["requests"] - 1200) < 150
    assert found["completed"] + found["rejected"] + found["timed_out"] == 6000
    assert found["reasons"]["queue full"] == found["rejected"] > 0


def test_failures_outages_and_scaling(capsys):
    words = f"{ONE} --replicas 3 --rate 60 --requests 4000"
    down = answer(capsys, words, "--fail", "replica=0,at=10 s,for=30 s")
    assert down["retried"] > 0
    assert down["pools"][0]["mean_replicas"] < 2.9
    random = answer(capsys, words, "--fail", "mtbf=30 s,mttr=5 s", "--retries", "1")
    assert random["retried"] > 5
    scaled = answer(capsys, words, "--scale", "target=40,every=5 s,start=10 s,least=1,most=6")
    assert scaled["pools"][0]["mean_replicas"] != 3
    apart = answer(capsys, words, "--prefill", "tp=1,replicas=2", "--fail", "prefill=1,at=1 s,for=5 s")
    assert apart["retried"] > 0


def test_users_who_wait_and_goodput(capsys):
    found = answer(capsys, f"{ONE} --users 16 --requests 400 --tpot", "1 s", "--ttft", "60 s")
    assert found["completed"] == 400
    assert found["goodput"] == 1
    tight = answer(capsys, f"{ONE} --users 16 --requests 400 --e2e", "1 us")
    assert tight["goodput"] == 0


def test_a_row_a_request_and_a_figure(capsys, tmp_path):
    rows, figure = tmp_path / "rows" / "requests.csv", tmp_path / "latency.svg"
    more = ("--requests-out", str(rows), "--svg", str(figure))
    found = answer(capsys, f"{ONE} --rate 50 --requests 500 --queue-limit 500", *more)
    with rows.open(encoding="utf-8") as file:
        read = list(csv.DictReader(file))
    assert len(read) == 500
    assert sum(row["status"] == "completed" for row in read) == found["completed"]
    ttft = sorted(float(row["ttft_s"]) for row in read if row["ttft_s"])
    assert ttft[0] <= found["latency"]["ttft"]["p50"] <= ttft[-1]
    assert all(float(r["engine_ttft_s"]) < float(r["ttft_s"]) for r in read if r["ttft_s"])
    assert [p.name for p in rows.parent.iterdir()] == ["requests.csv"]  # no temporary file is left
    assert "time to first token" in figure.read_text("utf-8")
    assert "120%" not in figure.read_text("utf-8")  # shares end at all
    assert len(run(capsys, *f"{ONE} --rate 50 --requests 500".split())[1].splitlines()) > 6


def test_the_built_in_deployment_answers(capsys):
    found = answer(capsys, "serve simulate --deployment two-regions")
    assert found["rejected"] + found["timed_out"] < 0.01 * found["requests"]
    assert found["retried"] > 0
    assert {p["name"] for p in found["pools"]} == {"chat-virginia", "chat-frankfurt", "agents"}
    assert found["groups"]["chat-eu"]["completed"] > 1000
    code, out, _ = run(capsys, "serve", "simulate", "--deployment", "two-regions")
    assert code in (0, None)
    assert "chat-frankfurt in frankfurt" in out


AZURE = "TIMESTAMP,ContextTokens,GeneratedTokens"
ROW = "2023-11-16 18:15:{:02d}.0000000,{},{}"


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (["TIMESTAMP,ContextTokens", "2023-11-16 18:15:00.0,1"], "GeneratedTokens"),
        ([AZURE, ROW.format(1, 100, -5)], ":2: GeneratedTokens is '-5'; expected a whole number of tokens"),
        ([AZURE, ROW.format(9, 100, 5), ROW.format(3, 100, 5)], ":3: arrives 6 s before the request above"),
        ([AZURE, ROW.format(1, 200_000, 5)], "more than the context of 131072"),
        ([AZURE], "no requests"),
        (["a,b,c", "1,2,3"], "known format"),
    ],
)
def test_bad_traces_are_refused_with_words(capsys, tmp_path, lines, says):
    path = tmp_path / "trace.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    code, out, err = run(capsys, *ONE.split(), "--trace", str(path))
    assert (code, out) == (2, "")
    assert says in err
    assert "Traceback" not in err
    file = tmp_path / "bad.yaml"
    file.write_text(
        "name: bad\npools:\n  one: {model: llama-3.1-8b, system: p5en}\n"
        "traffic:\n  users:\n    model: llama-3.1-8b\n    trace: trace.csv\n",
        encoding="utf-8",
    )
    code, out, err = run(capsys, "serve", "simulate", "--deployment", str(file))
    assert (code, out) == (2, "")
    assert f"{file}:7:12: error: traffic.users.trace: " in err
    assert says in err or "context of llama-3.1-8b, 131072" in err


def test_equal_arrivals_are_legal_and_said(capsys, tmp_path):
    path = tmp_path / "trace.csv"
    path.write_text("\n".join([AZURE, *[ROW.format(1, 100, 5)] * 3]) + "\n", encoding="utf-8")
    code, out, err = run(capsys, *ONE.split(), "--trace", str(path), "--json")
    assert code in (0, None)
    assert json.loads(out)["completed"] == 3
    assert "2 of 3 requests arrive together with the one before them" in err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--prefill tp=3,ep", "'ep' is no name=value"),
        ("--prefill tpp=3", "unknown 'tpp'; did you mean 'tp'"),
        ("--prefill replicas=0", "replicas must be 1 or more"),
        ("--prefill tp=0", "degrees must be 1 to 512"),
        ("--tp 3", "--tp 3 does not divide the 32 heads of llama-3.1-8b; take 1, 2, 4, 8, 16 or 32"),
        ("--tp 512", "--tp 512 does not divide the 32 heads"),
        ("--pp 64", "--pp 64 stages are more than the 32 layers of llama-3.1-8b; take 1 to 32"),
        ("--prefill tp=3,replicas=2", "--prefill 'tp=3,replicas=2': tp 3 does not divide the 32 heads"),
        ("--fail mtbf=1s", "write random failures once"),
        ("--fail replica=1", "write an outage as"),
        ("--fail replica=9,at=1s,for=1s", "it has replicas 0 to 0"),
        ("--fail prefill=0,at=1s,for=1s", "no replicas only read prompts"),
        ("--fail replica=0,at=1,for=1s", "at: '1' has no unit"),
        ("--scale target=1", "every and start and least and most missing"),
        ("--scale target=1,every=1s,start=1s,least=3,most=2", "1 <= least <= most"),
        ("--scale target=20,every=1e-9s,start=1s,least=1,most=2", "every must be 0.1 s or more"),
        ("--priorities 0.5,0.6", "shares of requests that add up to 1"),
        ("--ttft 0s", "--ttft '0s': must be above 0"),
        ("--users 4", "leave --rate and --trace out"),
        ("--host-memory 5", "has no unit"),
        ("--host-memory 1e30TB", "--host-memory '1e30TB': must be 0 to 1,000 PB"),
        ("--rate nan", "'--rate': nan is not a finite number; write one in"),
        ("--scale target=inf,every=1s,start=1s,least=1,most=2", "target: must be a finite number"),
        ("--ttft 1e308yr", "is not a finite number of s"),
        ("--routing cache_aware", "of a trace that has them"),
        ("--requests-out requests.csv/x.csv", "cannot be written"),
    ],
)
def test_bad_options_are_refused_with_words(capsys, tmp_path, monkeypatch, words, says):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "requests.csv").write_text("", encoding="utf-8")
    code, out, err = run(capsys, *ONE.split(), "--rate", "5", "--requests", "20", *words.split())
    assert (code, out) == (2, ""), err
    assert says in err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--rate 5", "give --model and --system, or --deployment FILE"),
        ("--deployment two-region", "did you mean 'two-regions'"),
        ("--deployment two-regions --tp 4 --seed 3", "--tp, --seed cannot stand beside --deployment"),
        ("--model llama-3.1-8b --system p5en", "give --rate, --users, or a --trace"),
        ("--model llama-3.1-8b --system p5en --users 4 --timeout 1s", "without priorities, timeouts"),
        ("--model llama-3.1-405b --system p5en --rate 1 --prefill tp=8", "does not fit as one accelerator"),
    ],
)
def test_questions_without_an_answer(capsys, words, says):
    code, _, err = run(capsys, "serve", "simulate", *words.split())
    assert code == 2
    assert says in err


def test_host_memory_without_blocks_is_said_to_do_nothing(capsys):
    code, _, err = run(capsys, *ONE.split(), "--rate", "5", "--requests", "20", "--host-memory", "1 TB")
    assert code in (0, None)
    assert "host memory changes nothing" in err

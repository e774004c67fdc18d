"""Served workloads of a file: several ways to say one demand, and every kind of bad input with its place."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from armillary.errors import InputError, ScenarioError
from armillary.scenario import as_understood, parse, read
from armillary.scenario.months import later, months_of
from armillary.serving.agents import agent_work
from armillary.serving.decomposition import decomposition
from armillary.serving.sizing import Targets, Workload
from armillary.serving.workload import drawn

GOOD = """\
name: served
clusters:
  lab:
    provider: aws
    price: 3 USD/h
    partitions:
      - {system: p6e-gb200, count: 4, ready: 2026-03}
      - {system: p6e-gb300, count: 2, ready: 2026-09}
workloads:
  chat:
    kind: serving
    model: llama-3.1-8b
    demand: {messages: 86.4e6 per day, mix: azure-2023-conversation, growth: [50%, 20%], from: 2026-01}
    targets: {ttft: {p95: 1 s}, tpot: {p95: 20 ms}}
    systems: [p6e-gb300, p6e-gb200]
contracts:
  deal: {provider: aws, total: 1e9 USD, term: 2 yr, start: 2026-01}
"""
DEMAND = "messages: 86.4e6 per day"


def chat(text: str, shipped):
    return parse(text, "s.yaml", shipped, Path()).serving["chat"]


def problems(text: str, shipped, folder: Path = Path()) -> str:
    with pytest.raises(ScenarioError) as error:
        parse(text, "s.yaml", shipped, folder)
    return str(error.value)


def test_a_served_workload_is_understood(shipped):
    found = parse(GOOD, "s.yaml", shipped, Path())
    work = found.serving["chat"]
    assert not found.workloads
    assert work.demand.messages == pytest.approx(1000)
    assert work.demand.growth == (0.5, 0.2)
    assert work.targets == Targets(1.0, 0.02, ttft_percentile=95, tpot_percentile=95)
    assert [p.system for p in work.places] == ["u-p6e-gb300x72", "u-p6e-gb200x72"]
    assert work.ordered
    assert (found.horizon.start, found.horizon.quarters) == ("2026-03", 8)
    assert work.agents is None


def test_what_is_printed_can_be_read_again(shipped):
    first = parse(GOOD, "s.yaml", shipped, Path())
    printed = as_understood(first)
    assert "8.64e+07 messages a day in 2026-01" in printed
    assert "headroom: 0.1  # default" in printed
    assert "shape: servegen-language-large  # default" in printed
    again = parse(printed, "again.yaml", shipped, Path())
    assert again.serving == first.serving
    assert again.as_written == first.as_written


@pytest.mark.parametrize(
    ("said", "rate"),
    [
        ("users: 27e6, each: 3.2 per day", 1000),
        ("messages: 1000 /s", 1000),
        ("messages: 1000 /s, share: 25%", 250),
        ("tasks: 50 /s", 50 * agent_work().model_calls),
        ("stream: api", decomposition().api.messages_per_second),
    ],
)
def test_demand_is_said_in_several_ways(said, rate, shipped):
    assert chat(GOOD.replace(DEMAND, said), shipped).demand.messages == pytest.approx(rate)


def test_a_stream_brings_lengths_and_assumptions(shipped):
    found = chat(GOOD.replace(DEMAND, "stream: reasoning"), shipped).demand
    stream = decomposition().reasoning
    assert found.lengths.mean.input == pytest.approx(stream.input)
    assert found.lengths.mean.output == pytest.approx(stream.output)
    assert found.assumed == stream.assumed
    assert "reasoning_output_factor" in found.assumed


def test_a_mix_is_stretched_to_the_means_that_are_stated(shipped):
    more = f"{DEMAND}, input: 3000 token, output: 500 token, cached: 40%"
    mean = chat(GOOD.replace(DEMAND, more), shipped).demand.lengths.mean
    assert mean == pytest.approx((3000, 500, 1200))


def test_calls_of_a_task_make_its_messages(shipped):
    text = GOOD.replace(
        f"{DEMAND}, mix: azure-2023-conversation", "stream: agents, mix: mooncake-conversation"
    )
    text = text.replace(
        "    targets", "    agents: {model_calls: 40, tool_cpu: 8 s, sandbox_memory: 8 GiB}\n    targets"
    )
    found = chat(text, shipped)
    assert found.agents == agent_work(model_calls=40, tool_cpu=8.0, sandbox_memory=8 * 2**30)
    assert found.demand.messages == pytest.approx(2 * decomposition().agents.messages_per_second)


def test_a_trace_gives_lengths_and_rate(tmp_path, shipped):
    lines = [f"2023-11-16 18:15:{i:02d}.0000000,{200 + i},{20 + i}" for i in range(41)]
    (tmp_path / "t.csv").write_text("\n".join(["TIMESTAMP,ContextTokens,GeneratedTokens", *lines]) + "\n")
    text = GOOD.replace(f"{DEMAND}, mix: azure-2023-conversation", "trace: t.csv")
    found = parse(text, "s.yaml", shipped, tmp_path).serving["chat"].demand
    assert found.messages == pytest.approx(41 / 40)
    assert found.lengths.mean.input == pytest.approx(220)
    assert "rate of the trace" in found.source
    both = text.replace("trace: t.csv", "trace: t.csv, mix: azure-2023-code")
    assert "is told by the trace, too" in problems(both, shipped, tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (DEMAND, "messages: -5 per day", "s.yaml:13:24: error: workloads.chat.demand.messages: '-5 per day'"),
        (DEMAND, "messages: 0 per day", "asks for nothing"),
        (DEMAND, "messages: 5 MB", "is in byte, expected 1/s"),
        (DEMAND, "messages: 5", "5 has no unit"),
        (DEMAND, "users: 5", "users: and each: go together"),
        (DEMAND, "users: -5, each: 1 per day", "greater than 0"),
        (DEMAND, "stream: chat, messages: 1 /s", "says how much a second time, after stream:"),
        (DEMAND, "stream: chats", "must be 'chat', 'reasoning', 'api' or 'agents', got 'chats'"),
        (f"{DEMAND}, mix", "mix", "says not how much is asked"),
        (DEMAND, "mesages: 1 /s", "unknown field; did you mean 'messages'?"),
        (DEMAND, f"{DEMAND}, input: -1 token", "workloads.chat.demand.input: '-1 token' is outside"),
        (DEMAND, f"{DEMAND}, cached: 100%", "'100%' is outside what is sensible"),
        (DEMAND, f"{DEMAND}, share: 0%", "'0%' is outside what is sensible"),
        (DEMAND, f"{DEMAND}, trace: no.csv", "s.yaml:13:47: error: workloads.chat.demand.trace: "),
        (DEMAND, f"{DEMAND}, trace: /dev/zero", "/dev/zero is not a file"),
        (DEMAND, f'{DEMAND}, trace: "a\\0b"', "is not a file"),
        (DEMAND, f"{DEMAND}, shape: servegen-language-larg", "did you mean 'servegen-language-large'"),
        (DEMAND, f"{DEMAND}, output: 90000 token", "longer than the context of llama-3.1-8b"),
        ("mix: azure-2023-conversation", "mix: azure-2023-conversations", "unknown mix"),
        ("growth: [50%, 20%]", "growth: []", "must be one growth a year, or a list of 1 to 50"),
        ("growth: [50%, 20%]", "growth: -100%", "'-100%' is outside what is sensible"),
        ("from: 2026-01", "from: 2029-01", "2029-01 is after the plan of 8 quarters from 2026-03 ends"),
        ("from: 2026-01", "from: soon", "must be a month such as 2026-09"),
        ("ttft: {p95: 1 s}", "ttft: {p95: 1}", "1 has no unit"),
        ("ttft: {p95: 1 s}", "ttft: {p95: -1 s}", "'-1 s' is outside what is sensible"),
        ("ttft: {p95: 1 s}", "ttft: {95: 1 s}", "'95' is no percentile; write it as 'p95: 1 s'"),
        ("ttft: {p95: 1 s}", "ttft: {p0: 1 s}", "'p0' is no percentile"),
        ("ttft: {p95: 1 s}", "ttft: {p95: 1 s, p99: 2 s}", "must be one latency with its percentile"),
        ("ttft: {p95: 1 s}, tpot: {p95: 20 ms}", "", "has no latency to hold"),
        ("ttft:", "tftt:", "did you mean 'ttft'"),
        ("model: llama-3.1-8b", "model: llama-3.1-8", "unknown model 'llama-3.1-8'; did you mean"),
        ("[p6e-gb300, p6e-gb200]", "[p6e-gb30]", "workloads.chat.systems[0]: unknown system"),
        ("[p6e-gb300, p6e-gb200]", "[p5]", "no p5.48xlarge in lab"),
        ("[p6e-gb300, p6e-gb200]", "[p6e-gb300, p6e-gb300]", "is given twice"),
        ("    systems", "    clusters: [lob]\n    systems", "no cluster 'lob'; did you mean 'lab'?"),
        ("    systems", "    precision: fp9\n    systems", "unknown serving precision 'fp9'"),
        ("    systems", "    engine: vlm\n    systems", "unknown serving engine 'vlm'"),
        ("    systems", "    drafts: -1\n    systems", "workloads.chat.drafts: input should be"),
        ("    systems", "    headroom: -10%\n    systems", "'-10%' is outside what is sensible"),
        ("    systems", "    agents: {tool_calls: 0}\n    systems", "workloads.chat.agents.tool_calls"),
        ("    systems", "    priority: high\n    systems", "workloads.chat.priority: input should be"),
        ("term: 2 yr", "term: 200 yr", "800 quarters are more than sensible"),
    ],
)
def test_bad_input_names_place_cause_and_cure(old, new, says, shipped):
    assert old in GOOD
    text = problems(GOOD.replace(old, new, 1), shipped)
    assert says in text
    assert all(line.startswith(("s.yaml:", "  hint: ")) for line in text.splitlines())


def test_without_any_date_there_is_nothing_to_begin_with(shipped):
    text = re.sub(r", ready: 2026-..|, from: 2026-01|contracts:\n.*\n", "", GOOD)
    assert "has no month to begin with" in problems(text, shipped)
    dated = text.replace(DEMAND, f"{DEMAND}, from: 2027-05")
    assert parse(dated, "s.yaml", shipped, Path()).horizon.start == "2027-05"


def test_all_problems_of_two_workloads_come_at_once(shipped):
    second = GOOD[GOOD.index("  chat:") : GOOD.index("contracts:")].replace("chat:", "other:")
    text = GOOD.replace("contracts:", second + "contracts:").replace("p95: 1 s", "p95: 1 MB")
    assert problems(text.replace("50%", "50 token"), shipped).count("error:") == 4


def test_chatgpt_is_served_in_the_deal(shipped):
    deal = read("openai-aws", shipped)
    assert [w.demand.stream for w in deal.serving.values()] == ["chat", "reasoning", "api", "agents"]
    parts = decomposition()
    for work in deal.serving.values():
        stream = getattr(parts, work.demand.stream)
        assert work.demand.messages == pytest.approx(stream.messages_per_second)
        means = (stream.input, stream.output, stream.cached * stream.input)
        assert work.demand.lengths.mean == pytest.approx(means)
    assert (deal.horizon.start, deal.horizon.quarters) == ("2026-03", 28)
    about = " ".join(f.about for f in deal.facts)
    for topic in ("chat", "targets", "growth", "served models", "shapes of a day"):
        assert topic in about


@given(st.integers(2000, 2099), st.integers(1, 12), st.integers(0, 600))
def test_months_are_counted(year, month, more):
    start = f"{year}-{month:02}"
    assert months_of(later(start, more)) - months_of(start) == more


FIELDS = [
    "stream",
    "messages",
    "users",
    "each",
    "tasks",
    "trace",
    "mix",
    "input",
    "output",
    "cached",
    "shape",
]
TEXTS = ["chat", "1 /s", "5 token", "50%", "p95: 1 s", "2026-05", "azure-2023-code", "flat", "", "."]
values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**20), 10**20),
    st.floats(),
    st.sampled_from(TEXTS),
    st.text(max_size=8),
)
parts = st.dictionaries(
    st.sampled_from([*FIELDS, "growth", "from", "share", "x"]),
    values | st.lists(values, max_size=3),
    max_size=4,
)
limits = st.dictionaries(st.sampled_from(["ttft", "tpot", "e2e", "p95"]), values | parts, max_size=3)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    parts,
    limits,
    st.dictionaries(st.sampled_from(["agents", "systems", "engine", "headroom"]), values | parts),
)
def test_whatever_is_served_is_understood_or_refused_with_words(shipped, demand, targets, more):
    import yaml

    data = yaml.safe_load(GOOD)
    data["workloads"]["chat"] |= {"demand": demand, "targets": targets, **more}
    try:
        parse(yaml.safe_dump(data), "fuzz.yaml", shipped, Path())
    except InputError as error:
        if not str(error).strip():
            raise AssertionError("an error without words") from error


def test_lengths_are_drawn_as_the_sizing_draws_them(shipped):
    """So that what the file's check lets pass, the sizing does not refuse."""
    work = chat(GOOD, shipped)
    assert drawn(Workload(1.0, 1.0, work.demand.lengths), 0).longest <= work.model.context


def test_each_latency_may_have_a_percentile_of_its_own(shipped):
    targets = chat(GOOD.replace("ttft: {p95: 1 s}", "ttft: {p99: 2 s}"), shipped).targets
    assert targets.limits[:2] == (2.0, 0.02)
    assert targets.percentiles[:2] == (99.0, 95.0)

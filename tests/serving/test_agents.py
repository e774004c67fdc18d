from __future__ import annotations

import pytest

from armillary.errors import InputError
from armillary.serving.agents import AgentWork, Margins, agent_fleet, agent_work, hosts, margins, tasks_for
from armillary.serving.decomposition import busy_accelerators, decomposition
from armillary.serving.facts import KINDS, facts
from armillary.serving.lengths import Tokens
from armillary.serving.mixes import named_mix

BARE = Margins(1, 1, 1)
TASK = AgentWork(
    model_calls=3, tool_calls=2, model_time=10, tool_time=5, tool_cpu=4, idle_time=60, sandbox_vcpus=2,
    sandbox_memory=1e9,
)  # fmt: skip


@pytest.mark.parametrize("table", ["demand_facts", "agent_facts"])
def test_facts_say_where_they_are_from(table):
    for name, row in facts(table).items():
        assert row.kind in KINDS, name
        assert row.source, name
        assert row.date, name
        assert row.unit, name


def test_the_worked_example():
    chat = decomposition(reasoning_share=0).chat
    assert chat.messages_per_second == pytest.approx(29.8e3, rel=2e-3)
    assert chat.tokens.input == pytest.approx(34.4e6, rel=2e-3)
    assert chat.tokens.output == pytest.approx(6.28e6, rel=2e-3)
    busy = busy_accelerators(chat.tokens, prefill=26e3, decode=13e3)
    assert busy == pytest.approx((1310, 470), rel=0.03)


def test_lengths_of_facts_are_those_of_the_traces():
    for name, mix in (("chat", "azure-2023-conversation"), ("agent", "mooncake-conversation")):
        entry = named_mix(mix)
        assert facts("demand_facts")[f"{name}_input"].value == entry.input.mean
        assert facts("demand_facts")[f"{name}_output"].value == entry.output.mean


def test_parts_sum_to_the_total():
    parts = decomposition()
    for i, total in enumerate(parts.tokens):
        assert total == pytest.approx(sum(stream.tokens[i] for stream in parts))
    assert parts.api.tokens.input + parts.api.tokens.output == pytest.approx(1e8)
    assert parts.chat.messages_per_day + parts.reasoning.messages_per_day == pytest.approx(18e9 / 7)
    assert parts.reasoning.output == pytest.approx(10 * parts.chat.output)


def test_assumptions_are_named():
    parts = decomposition()
    assert parts.api.assumed == ("api_input", "api_input_per_output", "api_cached")
    assert "messages_per_week" not in parts.chat.assumed
    assert "messages_per_week" in decomposition(messages_per_week=2e10).chat.assumed


def test_littles_law():
    fleet = agent_fleet(7, TASK, BARE)
    assert fleet.sandboxes == 7 * (3 * 10 + 2 * 5 + 60)
    assert fleet.model_calls_in_flight == 7 * 30
    assert fleet.tool_calls_in_flight == 7 * 10
    assert fleet.working_vcpus == 7 * 8
    assert fleet.promised_vcpus == fleet.sandboxes * 2 == fleet.vcpus
    assert fleet.memory == fleet.sandboxes * 1e9


def test_margins_scale():
    bare, wide = agent_fleet(7, TASK, BARE), agent_fleet(7, TASK, Margins(1.5, 0.5, 4))
    assert wide.working_vcpus == pytest.approx(3 * bare.working_vcpus)
    assert wide.promised_vcpus == pytest.approx(1.5 / 4 * bare.promised_vcpus)
    assert wide.memory == pytest.approx(1.5 * bare.memory)


def test_tasks_for_vcpus_is_the_inverse():
    assert agent_fleet(tasks_for(30e6, TASK), TASK).vcpus == pytest.approx(30e6)


def test_hosts_hold_both():
    fleet = agent_fleet(1, TASK, BARE)
    assert hosts(fleet, vcpus=10, memory=1e12) == (20, 1)
    assert hosts(fleet, vcpus=1e6, memory=3e9)._asdict() == {"for_vcpus": 1, "for_memory": 34}
    assert hosts(fleet, vcpus=1e6, memory=3e9).binding == "memory"


def test_tools_can_take_what_was_published():
    most = facts("agent_facts")["tool_share_of_latency_most"].value
    assert agent_work(tool_time=8 * most / (1 - most)).tool_share == pytest.approx(most)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: agent_fleet(-1), "tasks is -1; expected a rate of 0 or more tasks a second"),
        (lambda: agent_work(tool_cpu=-4), "tool_cpu is -4; expected a number, 0 or more"),
        (lambda: agent_work(cpu=4), "unknown field 'cpu'; known are model_calls, tool_calls, model_time, "),
        (
            lambda: agent_work(model_calls=0, tool_calls=0),
            "a task without time in calls; expected model_time",
        ),
        (lambda: margins(utilisation=0), "utilisation is 0; expected a share above 0, at most 1"),
        (lambda: margins(peak_over_mean=0.5), "peak_over_mean is 0.5; expected 1 or more"),
        (lambda: tasks_for(1, TASK._replace(tool_cpu=0, sandbox_vcpus=0)), "a task takes no vCPUs; expected"),
        (lambda: hosts(agent_fleet(1), 0, 1), "a host has 0 vCPUs and 1 bytes; expected above 0"),
        (lambda: decomposition(messages=3), "unknown fact 'messages'; did you mean 'messages_per_week'"),
        (lambda: decomposition(api_cached=1.2), "api_cached is 1.2; expected a share from 0 to 1"),
        (lambda: decomposition(chat_input=-1), "chat_input is -1; expected a number of token, 0 or more"),
        (lambda: decomposition(api_input_per_output=0), "api_input_per_output and api_input must be above 0"),
        (
            lambda: busy_accelerators(Tokens(1, 1, 0), 0, 1),
            "prefill is 0 and decode 1 token/s; expected rates above 0",
        ),
    ],
)
def test_errors(make, message):
    with pytest.raises(InputError) as error:
        make()
    assert str(error.value).startswith(message)

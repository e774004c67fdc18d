"""The part of the schema that says what is served: demand, targets, engine, agents. Imports pydantic."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StrictBool

from armillary.scenario.fields import (
    Bytes,
    Fraction,
    Growth,
    Latency,
    Length,
    Margin,
    Month,
    Name,
    Number,
    Part,
    Priority,
    Rate,
    Seconds,
    Share,
)

Calls = Annotated[Number, Field(gt=0, le=1e6)]


class DemandSpec(Part):
    """What users ask for: how much, how long, when."""

    stream: Literal["chat", "reasoning", "api", "agents"] | None = Field(
        None, description="A part of one assistant's demand, by the facts of docs/demand.md"
    )
    messages: Rate | None = Field(None, description="Or requests, e.g. 2.5e9 per day")
    users: Number | None = Field(None, gt=0, le=1e11, description="Or users, who send `each`")
    each: Rate | None = Field(None, description="Messages of one user, e.g. 3.2 per day")
    tasks: Rate | None = Field(None, description="Or tasks of agents, of several calls of the model each")
    trace: Name | None = Field(None, description="Path of a trace with lengths; alone it gives the rate too")
    mix: Name | None = Field(
        None, description="Lengths of a published trace; default azure-2023-conversation"
    )
    input: Length | None = Field(None, description="Mean prompt: the mix is stretched to it")
    output: Length | None = Field(None, description="Mean answer: the mix is stretched to it")
    cached: Fraction | None = Field(None, description="Of prompts, in a prefix cache")
    reuse: StrictBool = Field(False, description="Whether sizes count on what is cached")
    share: Share = Field(1.0, description="Of it that this fleet serves")
    shape: Name = Field("servegen-language-large", description="Of a day, see docs/demand.md")
    growth: Growth = Field(
        (0.0,), description="Added in a year; a list says it year by year, the last holds on"
    )
    start: Month | None = Field(
        None, alias="from", description="Month that it holds in, none before; default the first"
    )


class TargetsSpec(Part):
    """Latencies to hold, e.g. p95: 1 s; text alone is at p95."""

    ttft: Latency | None = Field(None, description="Time to the first token")
    tpot: Latency | None = Field(None, description="Time per output token after it")
    e2e: Latency | None = Field(None, description="Time to the whole answer")


class AgentsSpec(Part):
    """What a task of an agent takes besides the model; default the facts of docs/demand.md."""

    model_calls: Calls | None = Field(None, description="Calls of the model in a task")
    tool_calls: Calls | None = Field(None, description="Calls of tools in a task")
    model_time: Seconds | None = Field(None, description="Of one call of the model, on the clock")
    tool_time: Seconds | None = Field(None, description="Of one call of a tool, on the clock")
    tool_cpu: Seconds | None = Field(None, description="vCPU-seconds of one call of a tool")
    idle_time: Seconds | None = Field(None, description="That a sandbox lives besides")
    sandbox_vcpus: Calls | None = Field(None, description="Promised to a sandbox")
    sandbox_memory: Bytes | None = Field(None, description="Held by a sandbox")


class ServingSpec(Part):
    """A model that is served."""

    kind: Literal["serving"] = Field(description="A model that is served")
    model: Name = Field(description="A name under models, or of the catalog")
    demand: DemandSpec = Field(description="What users ask for")
    targets: TargetsSpec = Field(description="Latencies to hold")
    clusters: tuple[Name, ...] = Field((), max_length=100, description="Where it may run; default anywhere")
    systems: tuple[Name, ...] = Field(
        (),
        max_length=100,
        description="That it may use, the first filled first; default all, the cheapest first",
    )
    precision: Name = Field("fp8", description="Of weights and cache, see docs/serving.md")
    engine: Name = Field("vllm", description="vllm, trtllm or sglang")
    drafts: Annotated[int, Field(ge=0, le=8, strict=True)] = Field(
        0, description="Tokens drafted a step by the model's own modules"
    )
    headroom: Margin = Field(0.1, description="Replicas above what the peak takes: failures, the unforeseen")
    priority: Priority = Field(1, description="Higher is placed first; training has 0")
    agents: AgentsSpec | None = Field(None, description="Work of agents outside of the model, for their CPUs")

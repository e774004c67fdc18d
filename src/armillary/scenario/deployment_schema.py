"""The schema of a deployment file of `serve simulate`: pools, traffic, failures. Imports `schema`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from armillary.scenario.fields import Duration, Name, Number, Part, Seconds, _reader, _text, _written

PerSecond = Annotated[float, _reader("1/s", 1e-9, 1e12), _written("1/s"), _text("40 per s")]
Bytes = Annotated[float, _reader("byte", 1.0, 1e18), _written("byte"), _text("1 TB")]
Degree = Annotated[int, Field(ge=1, le=512, strict=True)]
Replicas = Annotated[int, Field(ge=1, le=100_000, strict=True)]


class LayoutSpec(Part):
    """Parallel degrees of a replica."""

    tp: Degree = Field(1, description="Tensor parallel")
    pp: Degree = Field(1, description="Pipeline stages")
    dp: Degree = Field(1, description="Attention data parallel")
    ep: Degree | None = Field(None, description="Expert parallel; default all ranks of a stage")


class ScaleSpec(Part):
    """Replicas by load."""

    target: Number = Field(gt=0, le=1e9, description="Requests a replica that it aims at")
    every: Seconds = Field(description="Between looks")
    start_up: Seconds = Field(description="From the decision to a replica that takes requests")
    least: Replicas = Field(1, description="Replicas at least")
    most: Replicas = Field(description="Replicas at most")


class FailuresSpec(Part):
    """Random failures of each replica."""

    mtbf: Seconds = Field(description="Mean time between failures of one replica")
    mttr: Seconds = Field(description="Mean time to repair")


class PrefillSpec(Part):
    """Replicas that only read prompts."""

    layout: LayoutSpec = Field(LayoutSpec(), description="Of one of them")
    replicas: Replicas = Field(1, description="How many")
    scale: ScaleSpec | None = Field(None, description="Their number by load")


class PoolSpec(Part):
    """Alike replicas of one model in one region."""

    model: Name = Field(description="Of the catalog")
    system: Name = Field(description="Of the catalog")
    region: Name = Field("", description="Where it stands")
    layout: LayoutSpec = Field(
        LayoutSpec(), description="Of a replica; that decodes, where prompts are apart"
    )
    replicas: Replicas = Field(1, description="How many")
    prefill: PrefillSpec | None = Field(None, description="Prompts on replicas of their own")
    transfer: Literal["auto", "nic", "scale-up"] = Field("auto", description="Way of a prompt's KV")
    precision: Name | None = Field(None, description="Default FP8 where the chip has it; gpt-oss as it ships")
    engine: Name = Field("vllm", description="vllm, trtllm or sglang")
    drafts: Annotated[int, Field(ge=0, le=8, strict=True)] = Field(0, description="Tokens drafted a step")
    queue_limit: Annotated[int, Field(ge=1, le=10**9, strict=True)] | None = Field(
        None, description="Requests that wait at a replica; further ones are rejected"
    )
    spill: Number | None = Field(
        None, gt=0, description="Requests a replica from which other pools are asked"
    )
    scale: ScaleSpec | None = Field(None, description="Replicas by load")
    failures: FailuresSpec | None = Field(None, description="At random")
    host_memory: Bytes | None = Field(None, description="Of each replica, for evicted prefix blocks")


class TrafficSpec(Part):
    """Requests of one kind of user: a trace, arrivals at a rate, or a share of a day's messages."""

    model: Name = Field(description="Of a pool")
    region: Name = Field("", description="Where its users are")
    trace: Name | None = Field(None, description="File of a published format, relative to this one")
    rate: PerSecond | None = Field(None, description="Of requests, through the whole run")
    messages: PerSecond | None = Field(None, description="Of a whole day, e.g. 2e6 per day")
    shape: Name = Field("flat", description="Of the day, see docs/demand.md; with messages")
    start: Annotated[float, _reader("s", 0.0, 86_400.0), _written("s"), _text("20 h")] = Field(
        0.0, description="Time of day at which the run begins; with messages"
    )
    mix: Name = Field("azure-2023-conversation", description="Lengths, without a trace")
    burstiness: Number = Field(1.0, ge=0, le=100, description="Spread of gaps over their mean; 1 is Poisson")
    priority: Annotated[int, Field(ge=0, le=100, strict=True)] = Field(0, description="Lower goes first")
    timeout: Seconds | None = Field(None, description="After which its users give up")


class LatencySpec(Part):
    """Between two regions."""

    between: tuple[Name, Name] = Field(description="Two regions")
    time: Seconds = Field(description="One way")


class OutageSpec(Part):
    """A failure that is known."""

    pool: Name = Field(description="A name under pools")
    replica: Annotated[int, Field(ge=0, le=10**7, strict=True)] = Field(description="Counted from 0")
    prompts: bool = Field(False, description="One of those that only read prompts")
    at: Annotated[float, _reader("s", 0.0, 1e11), _written("s"), _text("60 s")] = Field(description="When")
    duration: Seconds = Field(alias="for", description="How long")


class TargetsSpec(Part):
    """What counts as good."""

    ttft: Seconds | None = Field(None, description="Time to the first token, front end included")
    tpot: Seconds | None = Field(None, description="Time per further token")
    e2e: Seconds | None = Field(None, description="Time to the last token")


class DeploymentSpec(Part):
    """A deployment file."""

    name: Name = Field(description="Name of the deployment")
    about: str = Field("", max_length=10_000, description="What it describes")
    duration: Duration = Field(600.0, description="Of drawn traffic; 10 min by default")
    pools: dict[Name, PoolSpec] = Field(min_length=1, max_length=100, description="What serves, by name")
    traffic: dict[Name, TrafficSpec] = Field(min_length=1, max_length=100, description="What asks, by name")
    latency: tuple[LatencySpec, ...] = Field((), max_length=5000, description="Between regions, one way")
    outages: tuple[OutageSpec, ...] = Field((), max_length=10_000, description="Known failures")
    targets: TargetsSpec = Field(TargetsSpec(), description="What counts as good")
    routing: Literal["round_robin", "random", "least_loaded", "power_of_two", "cache_aware"] = Field(
        "least_loaded", description="Choice of a replica in a pool"
    )
    guard: Number = Field(8.0, ge=0, description="Requests above the least loaded that cache_aware takes")
    retries: Annotated[int, Field(ge=0, le=1000, strict=True)] = Field(3, description="After failures")
    prefix_cache: bool = Field(True, description="Keep blocks of prompts, where traces have them")
    seed: Annotated[int, Field(ge=0, le=2**31, strict=True)] = Field(0, description="Of all that is drawn")


__all__ = ["DeploymentSpec", "LayoutSpec", "PoolSpec", "ScaleSpec", "TrafficSpec"]

"""A service whole: pools of several models in several regions, what is asked of them, and what users see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from armillary.errors import InputError, did_you_mean
from armillary.serving.deployment import Outage, Pool
from armillary.serving.fleet import BuiltPool, ServedPool, built
from armillary.serving.lengths import Lengths
from armillary.serving.outcome import Outcome
from armillary.serving.requests import Requests
from armillary.serving.simulator import simulate, simulate_closed
from armillary.serving.traces import Trace

__all__ = [
    "KnownOutage",
    "Service",
    "ServiceOutcome",
    "Stream",
    "merged",
    "poisson",
    "pool_for",
    "replayed",
    "serve",
    "serve_closed",
]

Floats = NDArray[np.float64]
MOST_LISTED = 8


class Stream(NamedTuple):
    """Requests of one kind of user.

    model, region : names. requests : arrival, lengths and blocks. priority : of all, or `[request]`; lower
    goes first [-]. timeout : after which its users give up [s].
    """

    name: str
    model: str
    requests: Requests
    region: str = ""
    priority: ArrayLike = 0
    timeout: float = np.inf


class KnownOutage(NamedTuple):
    """Replica `replica` of a pool is down from `time` for `duration` [s].

    prompts : whether it is one of those that only read prompts.
    """

    pool: str
    replica: int
    time: float
    duration: float
    prompts: bool = False


@dataclass(frozen=True, slots=True)
class Service:
    """Pools, streams of requests and how they are joined.

    latency : one way between two regions, by their names in either order [s]; within one it is 0.
    routing, retries, guard, seed : as in `simulate`. prefix_cache : whether blocks of prompts are kept.
    ttft, tpot, e2e : what counts as good, front end included [s].
    """

    pools: tuple[ServedPool, ...]
    streams: tuple[Stream, ...]
    latency: Mapping[tuple[str, str], float]
    outages: tuple[KnownOutage, ...] = ()
    routing: str = "least_loaded"
    retries: int = 3
    guard: float = 8.0
    seed: int = 0
    prefix_cache: bool = True
    ttft: float = np.inf
    tpot: float = np.inf
    e2e: float = np.inf


class ServiceOutcome(NamedTuple):
    """What users saw, and who served them.

    requests : all, in order of arrival. stream : `[request]` index of its stream. pools : as built.
    outcome : times include front ends. front : `[request]` part of TTFT and end-to-end time that front ends
    took, 0 of requests that did not complete [s].
    """

    requests: Requests
    stream: NDArray[np.int64]
    pools: tuple[BuiltPool, ...]
    outcome: Outcome
    front: Floats

    @property
    def pool(self) -> NDArray[np.int64]:
        """`[request]` index of the pool that had it last, -1 if none."""
        replica = self.outcome.replica
        return np.where(replica >= 0, self.outcome.replicas.pool[np.maximum(replica, 0)], -1)


def poisson(rate: float, count: int, lengths: Lengths, seed: int) -> Requests:
    """`count` requests that arrive at random at a rate [1/s]."""
    draw = np.random.default_rng(seed)
    drawn = lengths.sample(draw, count)
    arrival = np.cumsum(draw.exponential(1 / rate, count))
    return Requests(arrival, drawn.input, np.maximum(drawn.output, 1))


def replayed(trace: Trace) -> Requests:
    """The requests of a trace, with their blocks where it has them."""
    asked = Requests(trace.arrival, trace.input, trace.output)
    if trace.blocks is None:
        return asked
    blocks = trace.blocks
    return asked._replace(block_offsets=blocks.offsets, block_ids=blocks.ids, block_size=trace.block_size)


def merged(
    streams: Sequence[Stream], models: Sequence[str], regions: Sequence[str]
) -> tuple[Requests, NDArray[np.int64]]:
    """All streams in order of arrival, of equals the first stream's first, and `[request]` stream of each.

    Blocks of different streams are different.

    Raises
    ------
    InputError
        If blocks of two streams have different sizes.
    """
    counts = [len(np.asarray(s.requests.arrival)) for s in streams]
    which = np.repeat(np.arange(len(streams)), counts)

    def each(values: Sequence[Any], kind: Any) -> Any:
        return np.repeat(np.asarray(values, kind), counts)

    arrival, prompts, answers = (
        np.concatenate([np.asarray(s.requests[i]) for s in streams]) for i in range(3)
    )
    whole = Requests(
        arrival,
        prompts,
        answers,
        model=each([models.index(s.model) for s in streams], np.int64),
        region=each([regions.index(s.region) for s in streams], np.int64),
        priority=np.concatenate(
            [
                np.broadcast_to(np.asarray(s.priority, np.int64), n)
                for s, n in zip(streams, counts, strict=True)
            ]
        ),
        timeout=each([s.timeout for s in streams], float),
    )
    blocked = [s for s in streams if s.requests.block_offsets is not None]
    if blocked:
        sizes = sorted({s.requests.block_size for s in blocked})
        if len(sizes) > 1:
            raise InputError(
                f"blocks of {' and '.join(map(str, sizes))} tokens cannot share a prefix cache; replay "
                f"traces of one block size, or none with a prefix cache"
            )
        offsets, ids, above = [np.zeros(1, np.int64)], [], 0
        for s, count in zip(streams, counts, strict=True):
            given, named = s.requests.block_offsets, s.requests.block_ids
            if given is None or named is None:
                offsets.append(np.full(count, offsets[-1][-1]))
                continue
            own = np.unique(np.asarray(named), return_inverse=True)
            offsets.append(offsets[-1][-1] + np.asarray(given)[1:])
            ids.append(own[1].reshape(-1) + above)
            above += len(own[0])
        whole = whole._replace(
            block_offsets=np.concatenate(offsets), block_ids=np.concatenate(ids), block_size=sizes[0]
        )
    order = np.argsort(arrival, kind="stable")
    return whole.take(order), which[order]


def serve(service: Service) -> ServiceOutcome:
    """Simulate a service.

    Raises
    ------
    InputError
        If a stream asks for what no pool serves or for more than a model's context, an outage is of no
        replica, or as `simulate` and `built`.
    """
    if not service.pools or not service.streams:
        raise InputError("a service needs a pool and a stream of requests")
    models = list(dict.fromkeys(pool.model.name for pool in service.pools))
    regions = list(dict.fromkeys([*(p.region for p in service.pools), *(s.region for s in service.streams)]))
    _check(service, models)
    pools = tuple(_numbered(pool_for(one, service.streams), models, regions) for one in service.pools)
    requests, stream = merged(service.streams, models, regions)
    if not service.prefix_cache:
        requests = requests._replace(block_offsets=None, block_ids=None)
    delay = np.array([[_delay(service.latency, a, b) for b in regions] for a in regions])
    outcome = simulate(
        requests,
        [one.pool for one in pools],
        routing=service.routing,
        seed=service.seed,
        retries=service.retries,
        guard=service.guard,
        region_latency=delay if len(regions) > 1 else None,
        outages=_outages(service),
        ttft_limit=service.ttft,
        tpot_limit=service.tpot,
        e2e_limit=service.e2e,
    )
    return _with_front(ServiceOutcome(requests, stream, pools, outcome, np.zeros(0)))


def serve_closed(service: Service, users: int) -> ServiceOutcome:
    """Simulate one pool for users each of whom sends the next request when the last is complete.

    Arrivals of the service's one stream are not looked at; its order is.

    Raises
    ------
    InputError
        If the service has what only arrivals in time know, or as `serve`.
    """
    one, stream = service.pools[0], service.streams[0]
    plain = ServedPool(
        one.name, one.model, one.system, one.chip, one.precision, one.layout, one.replicas, one.prefill,
        one.prefill_replicas, one.transfer, one.engine, one.drafts, one.region,
    )  # fmt: skip
    patient = np.all(np.asarray(stream.priority) == 0) and stream.timeout == np.inf
    if len(service.pools) > 1 or len(service.streams) > 1 or plain != one or not patient or service.outages:
        raise InputError(
            "users who wait for answers are simulated on one pool alone, without priorities, timeouts, queue "
            "limits, scaling, failures or host memory; give a rate or a trace instead"
        )
    _check(service, [one.model.name])
    found = pool_for(one, service.streams)
    pool = found.pool
    requests = stream.requests
    outcome = simulate_closed(
        pool.engine,
        requests.input,
        requests.output,
        users,
        replicas=pool.replicas,
        decode=pool.decode,
        decode_replicas=pool.decode_replicas,
        transfer=pool.transfer,
        front=pool.front,
        routing=service.routing,
        seed=service.seed,
        ttft_limit=service.ttft,
        tpot_limit=service.tpot,
        e2e_limit=service.e2e,
    )
    count = len(np.asarray(requests.input))
    return _with_front(ServiceOutcome(requests, np.zeros(count, np.int64), (found,), outcome, np.zeros(0)))


def _with_front(found: ServiceOutcome) -> ServiceOutcome:
    fronts = np.array([one.pool.front for one in found.pools])[np.maximum(found.pool, 0)]
    prompts = np.asarray(found.requests.input)
    front = np.where(
        found.outcome.completed,
        fronts[:, 0] + fronts[:, 1] * prompts + fronts[:, 2] * np.nan_to_num(found.outcome.tpot),
        0.0,
    )
    return found._replace(front=front)


def _check(service: Service, models: Sequence[str]) -> None:
    """Refuse streams that no pool serves, and requests beyond the context."""
    by_name = {pool.model.name: pool.model for pool in service.pools}
    for s in service.streams:
        if s.model not in by_name:
            raise InputError(
                f"{s.name} asks for {s.model!r}, which no pool serves{did_you_mean(s.model, models)}; "
                f"served are {', '.join(models[:MOST_LISTED])}"
            )
        check_lengths(s.requests, by_name[s.model].context, s.model, s.name)


def check_lengths(requests: Requests, context: int | None, model: str, name: str) -> None:
    """Refuse requests whose prompt and answer are longer than a model's context [token].

    Raises
    ------
    InputError
        Naming the first such request, how many there are and the longest.
    """
    whole = np.asarray(requests.input) + np.asarray(requests.output)
    if context and len(whole) and whole.max() > context:
        over = whole > context
        raise InputError(
            f"request {int(over.argmax())} of {name} has {whole[over.argmax()]} tokens, more than the "
            f"context of {model}, {context}; so have {int(over.sum())} of {len(whole)} requests, the longest "
            f"{int(whole.max())}; leave them out or take a model with a longer context"
        )


def pool_for(one: ServedPool, streams: Sequence[Stream]) -> BuiltPool:
    """Build a pool for those of the requests that ask for its model.

    Raises
    ------
    InputError
        If there are none, or as `built`.
    """
    asked = [s.requests for s in streams if s.model == one.model.name]
    if not asked:
        raise InputError(f"nobody asks for {one.model.name!r}, the model of pool {one.name}")
    prompts, answers = (np.concatenate([np.asarray(r[i]) for r in asked]) for i in (1, 2))
    if not len(prompts):
        raise InputError(f"no requests for {one.model.name!r}, the model of pool {one.name}")
    return built(one, float(prompts.mean()), float(answers.mean()), float((prompts + answers).max()))


def _numbered(found: BuiltPool, models: Sequence[str], regions: Sequence[str]) -> BuiltPool:
    served = found.served
    pool: Pool = found.pool._replace(
        model=models.index(served.model.name), region=regions.index(served.region)
    )
    return found._replace(pool=pool)


def _delay(latency: Mapping[tuple[str, str], float], one: str, other: str) -> float:
    if one == other:
        return 0.0
    known = latency.get((one, other), latency.get((other, one)))
    if known is None:
        raise InputError(f"no latency between regions {one!r} and {other!r}")
    return known


def _outages(service: Service) -> list[Outage]:
    """Outages by the numbers that the simulator gives replicas."""
    begin, first = 0, {}
    for pool in service.pools:
        reading, others = pool.most_replicas
        first[pool.name] = (begin, reading, others)
        begin += reading + others
    found = []
    for one in service.outages:
        if one.pool not in first:
            raise InputError(
                f"outage of pool {one.pool!r}, which is not there{did_you_mean(one.pool, first)}"
            )
        start, reading, others = first[one.pool]
        room = reading if one.prompts else others
        if not 0 <= one.replica < room:
            raise InputError(
                f"outage of replica {one.replica} of pool {one.pool}; it has replicas 0 to {room - 1}"
            )
        found.append(Outage(one.time, start + (0 if one.prompts else reading) + one.replica, one.duration))
    return found

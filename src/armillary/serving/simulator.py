"""Request-level simulation of a fleet: every request, every step, as few events as exactness allows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from armillary.errors import InputError
from armillary.serving.deployment import Outage, Pool
from armillary.serving.outcome import Outcome, Replicas, counted
from armillary.serving.records import DRAINING, ON, OUT
from armillary.serving.requests import Requests, checked_requests
from armillary.serving.step_cost import Engine

__all__ = ["simulate", "simulate_closed"]

Map = Callable[[Callable[[Any], Any], Iterable[Any]], Iterable[Any]]


def simulate(
    requests: Requests,
    pools: Pool | Sequence[Pool],
    *,
    routing: str = "round_robin",
    assignment: ArrayLike | None = None,
    seed: int = 0,
    retries: int = 3,
    guard: float = 8.0,
    host_tokens: float = 0.0,
    host_transfer: float = 0.0,
    region_latency: ArrayLike | None = None,
    outages: Sequence[Outage] = (),
    ttft_limit: float = np.inf,
    tpot_limit: float = np.inf,
    e2e_limit: float = np.inf,
) -> Outcome:
    """Run requests through a fleet until all have ended.

    Parameters
    ----------
    requests : Requests
    pools : Pool or sequence of Pool
    routing : str
        Choice of a replica in a pool: ``"round_robin"``, ``"random"``, ``"least_loaded"`` (fewest requests),
        ``"power_of_two"`` (the less loaded of two random ones), ``"cache_aware"`` (longest cached prefix
        among replicas with at most `guard` requests more than the least loaded) or ``"given"``.
    assignment : `[request]`, optional
        Replica of its pool for each request, with ``"given"``.
    seed : int
        Of random routing and failures.
    retries : int
        Times that a request is sent anew when its replica fails.
    guard : float
        See `routing`. [request]
    host_tokens : float
        Room for prefix blocks in each replica's host memory, of pools that do not say. [token]
    host_transfer : float
        Time to load a block from there, added to the step that does. [s/token]
    region_latency : `[region, region]`, optional
        One-way, from the users' region to the pool's. [s]
    outages : sequence of Outage
        Failures besides random ones.
    ttft_limit, tpot_limit, e2e_limit : float
        What counts as good. [s]

    Returns
    -------
    Outcome

    Raises
    ------
    InputError
        Naming the request, pool or option that is wrong.

    Examples
    --------
    One request of 100 tokens that gets 3 more after the first, 1 ms a decode step and 10 ms for the prompt.

    >>> from armillary.serving.step_cost import Engine, StepCost
    >>> cost = StepCost(np.full(9, 1e-3), np.full(513, 1e-2), kv=0.0, chunk_kv=0.0)
    >>> found = simulate(Requests([0.5], [100], [4]), Pool(Engine(cost, 1e4, 8, 512)))
    >>> found.ttft.round(6), found.e2e.round(6)
    (array([0.01]), array([0.013]))
    """
    from armillary.serving.state import NO_NUMBERS, Options, advance, initial

    requests = checked_requests(requests)
    pools = [pools] if isinstance(pools, Pool) else list(pools)
    options = Options(
        routing=routing,
        seed=seed,
        retries=retries,
        guard=guard,
        host_tokens=host_tokens,
        host_transfer=host_transfer,
        region_latency=region_latency,
        outages=tuple(outages),
        ttft_limit=ttft_limit,
        tpot_limit=tpot_limit,
        e2e_limit=e2e_limit,
    )._replace(**extent(requests))
    if requests.priority is not None:
        level = np.unique(requests.priority, return_inverse=True)[1].astype(np.int64)
        requests = requests._replace(priority=level)
    given = NO_NUMBERS
    if (assignment is None) == (routing == "given"):
        raise InputError("routing 'given' needs an assignment, and an assignment needs routing 'given'")
    n = len(np.asarray(requests.arrival))
    if assignment is not None:
        given = np.ascontiguousarray(assignment, np.int64)
        least = min((p.replicas for p in pools), default=0)
        if given.shape != (n,) or (n and not (given.min() >= 0 and given.max() < least)):
            raise InputError(f"assignment must be {n} numbers of replicas, 0 to {least - 1}")
    out = np.zeros(n, OUT)
    if _apart(pools, options, requests):
        whose = given if assignment is not None else np.arange(n) % pools[0].replicas
        return _run_apart(pools[0], options, requests, whose)
    state = advance(initial(pools, options), requests, out, given)
    return _outcome(state, out, requests)


def simulate_closed(
    engine: Engine,
    input: ArrayLike,
    output: ArrayLike,
    concurrency: int,
    *,
    replicas: int = 1,
    decode: Engine | None = None,
    decode_replicas: int = 1,
    transfer: tuple[float, float] = (0.0, 0.0),
    first_token: Literal["prefill", "decode"] = "prefill",
    front: tuple[float, float, float] = (0.0, 0.0, 0.0),
    routing: str = "least_loaded",
    seed: int = 0,
    ttft_limit: float = np.inf,
    tpot_limit: float = np.inf,
    e2e_limit: float = np.inf,
) -> Outcome:
    """Run requests of users each of whom sends the next when the last is complete; the first all at time 0.

    Parameters
    ----------
    engine : Engine
        Of the replicas that take requests.
    input, output : `[request]`
        In the order in which they are sent. [token]
    concurrency : int
        Users. [-]
    replicas, decode, decode_replicas, transfer, front
        As in `Pool`; users send the next request when the engine is done, whatever `front` adds.
    routing, seed, ttft_limit, tpot_limit, e2e_limit
        As in `simulate`.

    Returns
    -------
    Outcome

    Raises
    ------
    InputError
        As `simulate`.

    Examples
    --------
    >>> from armillary.serving.step_cost import Engine, StepCost
    >>> cost = StepCost(np.full(9, 1e-3), np.full(513, 1e-2), kv=0.0, chunk_kv=0.0)
    >>> simulate_closed(Engine(cost, 1e4, 8, 512), [100, 100], [1, 1], concurrency=1).finish
    array([0.01, 0.02])
    """
    from armillary.serving.state import Options, advance, initial

    inputs = np.asarray(input)
    requests = checked_requests(Requests(np.zeros(len(inputs)), inputs, output))
    if concurrency < 1 or int(concurrency) != concurrency:
        raise InputError(f"concurrency must be a whole number from 1. Got {concurrency!r} instead.")
    pool = Pool(engine, replicas, decode, decode_replicas, transfer, front=front, first_token=first_token)
    out = np.zeros(len(inputs), OUT)
    options = Options(
        routing=routing,
        seed=seed,
        concurrency=int(concurrency),
        ttft_limit=ttft_limit,
        tpot_limit=tpot_limit,
        e2e_limit=e2e_limit,
    )
    return _outcome(advance(initial([pool], options), requests, out), out, requests)


def _apart(pools: Sequence[Pool], options: Any, requests: Requests) -> bool:
    """Whether no replica's state bears on another, so that each can run alone, which is faster."""
    p = pools[0]
    plain = options.routing in ("round_robin", "given") and not options.outages and p.replicas > 1
    one = len(pools) == 1 and options.models == 1 and options.region_latency is None and p.model == 0
    return plain and one and p.decode is None and p.scaling is None and p.failures is None


def _run_apart(pool: Pool, options: Any, requests: Requests, whose: NDArray[np.int64]) -> Outcome:
    """Each replica on its own, and their outcomes as one."""
    from armillary.serving.state import State, advance, copied, initial

    alone = options._replace(routing="round_robin")
    out = np.empty(len(whose), OUT)
    words = out.view(np.uint64).reshape(-1, OUT.itemsize // 8)
    start = initial([pool._replace(replicas=1)], alone)
    parts: list[State] = []
    order = np.argsort(whose, kind="stable")
    ends = np.searchsorted(whose[order], np.arange(pool.replicas + 1))
    for r in range(pool.replicas):
        own = order[ends[r] : ends[r + 1]]
        part = np.zeros(len(own), OUT)
        parts.append(advance(copied(start), requests.take(own), part))
        words[own] = part.view(np.uint64).reshape(-1, OUT.itemsize // 8)
    out["replica"] = np.where(out["replica"] >= 0, whose, -1)
    tally, over = parts[0].tally.copy(), parts[0].over.copy()
    for name in tally.dtype.names or ():
        tally[name] = sum(part.tally[name] for part in parts)
    for name in ("events", "most_in_flight"):
        over[name] = sum(int(part.over[name][0]) for part in parts)
    over["last"] = max(float(part.over["last"][0]) for part in parts)
    whole = start._replace(rep=np.concatenate([part.rep for part in parts]), tally=tally, over=over)
    return _outcome(whole, out, requests)


def extent(requests: Requests) -> dict[str, Any]:
    """How many models, regions and priorities requests name, and the shape of their blocks."""
    found: dict[str, Any] = {}
    for name, part in (("models", requests.model), ("regions", requests.region)):
        found[name] = 1 if part is None or not len(np.asarray(part)) else 1 + int(np.max(part))
    if requests.priority is not None:
        found["levels"] = max(1, len(np.unique(requests.priority)))
    if requests.block_offsets is not None:
        found["block"] = requests.block_size
        found["widest"] = int(np.diff(np.asarray(requests.block_offsets)).max(initial=0))
    return found


def replica_report(state: Any) -> Replicas:
    """What replicas did up to now."""
    rep, eng = state.rep, state.eng
    pool = np.cumsum(eng["entry"])[rep["group"]] - 1
    still = (rep["condition"] == ON) | (rep["condition"] == DRAINING)
    on = rep["on_time"] + np.where(still, state.over["last"] - rep["on_since"], 0.0)
    held = rep["held_time"] / np.where(rep["busy"] > 0, rep["busy"], 1.0)
    numbers = {name: rep[name].copy() for name in ("busy", "decoded", "prefilled", "preempted")}
    return Replicas(pool=pool.astype(np.int64), on=np.maximum(on, 0.0), held=held, **numbers)


def _outcome(state: Any, out: NDArray[Any], requests: Requests) -> Outcome:
    columns = {name: out[name] for name in out.dtype.names or ()}
    return Outcome(
        **columns,
        output=np.asarray(requests.output),
        counts=counted(state.tally, state.over),
        replicas=replica_report(state),
    )

"""What serves requests: pools of replicas with their engines, how they scale, fail and hand over KV."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from armillary.errors import InputError
from armillary.serving.step_cost import Engine, checked_engine

__all__ = ["Failures", "Outage", "Pool", "Scaling"]


LEAST_INTERVAL = 0.1
"""Between looks of scaling that people ask for; more of them take longer than what they look at. [s]"""


class Scaling(NamedTuple):
    """Automatic scaling of a group of replicas.

    target : requests per replica that it aims at [-]. interval : between looks [s].
    start_up : from the decision to a replica that takes requests [s]. least, most : replicas, 1 or more [-].
    """

    target: float
    interval: float
    start_up: float
    least: int
    most: int


class Failures(NamedTuple):
    """Random failures of each replica, exponential in time.

    mtbf : mean time between failures of a replica that is on [s]. mttr : mean time to repair [s].
    """

    mtbf: float
    mttr: float


class Outage(NamedTuple):
    """A failure that is known: `replica` of the fleet is down from `time` for `duration` [s].

    Replicas are numbered pool by pool; of a pool those that take requests come before those that decode.
    """

    time: float
    replica: int
    duration: float


class Pool(NamedTuple):
    """Alike replicas that serve one model in one region.

    engine, replicas : of those that take requests, and how many at the start.
    decode, decode_replicas : if given, `engine` only computes prompts and these decode.
    transfer : latency of the move of a prompt's KV [s] and its time per token [s/token].
    first_token : who tells users of it: the replica of the prompt, at once, or the one that decodes, when it
    has room for the request.
    model, region : numbers that requests name.
    queue_limit : requests that may wait at a replica; further ones are rejected.
    spill : requests per replica from which other regions' pools are asked.
    scaling, decode_scaling, failures : none by default.
    front : time of a request outside of the engines, such as in front ends [s], for each token of its prompt
    [s/token], and in times per output token of its own [-]; added to TTFT and end-to-end time, it holds
    nothing up.
    host_tokens : room for prefix blocks in each replica's host memory; that of the run where None [token].
    host_transfer : time to load a block from there, where `host_tokens` is given [s/token].
    """

    engine: Engine
    replicas: int = 1
    decode: Engine | None = None
    decode_replicas: int = 1
    transfer: tuple[float, float] = (0.0, 0.0)
    model: int = 0
    region: int = 0
    queue_limit: int | None = None
    spill: float = np.inf
    scaling: Scaling | None = None
    decode_scaling: Scaling | None = None
    failures: Failures | None = None
    front: tuple[float, float, float] = (0.0, 0.0, 0.0)
    host_tokens: float | None = None
    host_transfer: float = 0.0
    first_token: Literal["prefill", "decode"] = "prefill"

    @property
    def room(self) -> int:
        """Replicas that there can ever be."""
        most = max(self.replicas, self.scaling.most) if self.scaling else self.replicas
        if self.decode is None:
            return most
        return most + (
            max(self.decode_replicas, self.decode_scaling.most)
            if self.decode_scaling
            else self.decode_replicas
        )


def checked_pool(pool: Pool, name: str) -> Pool:
    """The pool with checked engines.

    Raises
    ------
    InputError
        Naming what is wrong.
    """
    engine = checked_engine(pool.engine, f"engine of {name}")
    decode = None if pool.decode is None else checked_engine(pool.decode, f"decode of {name}")
    roles = ("both",) if decode is None else ("prefill",)
    if engine.role not in roles:
        raise InputError(f"role of engine of {name} must be {roles[0]!r}. Got {engine.role!r} instead.")
    if decode is not None and decode.role != "decode":
        raise InputError(f"role of decode of {name} must be 'decode'. Got {decode.role!r} instead.")
    for what in ("replicas", "decode_replicas"):
        count = getattr(pool, what)
        if count < 0 or int(count) != count:
            raise InputError(f"{what} of {name} must be a whole number from 0. Got {count!r} instead.")
    if len(pool.transfer) != 2 or not all(0 <= t < np.inf for t in pool.transfer):
        raise InputError(f"transfer of {name} must be two times from 0. Got {pool.transfer!r} instead.")
    if pool.first_token not in ("prefill", "decode"):
        raise InputError(
            f"first_token of {name} must be 'prefill' or 'decode'. Got {pool.first_token!r} instead."
        )
    if len(pool.front) != 3 or not all(0 <= t < np.inf for t in pool.front):
        raise InputError(f"front of {name} must be three numbers from 0. Got {pool.front!r} instead.")
    if not (0 <= (pool.host_tokens or 0.0) < np.inf and 0 <= pool.host_transfer < np.inf):
        raise InputError(f"host_tokens and host_transfer of {name} must be 0 or more, finite")
    if pool.queue_limit is not None and pool.queue_limit < 1:
        raise InputError(f"queue_limit of {name} must be 1 or more. Got {pool.queue_limit!r} instead.")
    if not pool.spill > 0:
        raise InputError(f"spill of {name} must be above 0. Got {pool.spill!r} instead.")
    if pool.model < 0 or pool.region < 0:
        raise InputError(f"model and region of {name} must be 0 or more")
    for what in ("scaling", "decode_scaling"):
        s = getattr(pool, what)
        if s is not None and not (
            s.target > 0 and s.interval > 0 and s.start_up >= 0 and 1 <= s.least <= s.most
        ):
            raise InputError(
                f"{what} of {name} must have target and interval above 0, start_up from 0 and "
                f"1 <= least <= most. Got {s!r} instead."
            )
    if pool.failures is not None and not (pool.failures.mtbf > 0 and pool.failures.mttr > 0):
        raise InputError(f"failures of {name} must have times above 0. Got {pool.failures!r} instead.")
    return pool._replace(engine=engine, decode=decode)


def group_choices(
    pools: Sequence[Pool], entries: Sequence[int], latency: ArrayLike | None, models: int, regions: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Groups that may serve a request, nearest first.

    Returns
    -------
    `[model, region, choice]`
        Group, -1 after the last.
    `[region, group]`
        One-way latency from a region to a group. [s]
    """
    far = max(regions, 1 + max((p.region for p in pools), default=0))
    delay = np.zeros((far, far)) if latency is None else np.ascontiguousarray(latency, float)
    if delay.ndim != 2 or min(delay.shape) < far or not ((delay >= 0) & (delay < np.inf)).all():
        raise InputError(f"region_latency must be [{far}, {far}] times from 0. Got shape {delay.shape}.")
    choices = np.full((models, far, len(pools) + 1), -1, np.int64)
    group_latency = np.zeros((far, max(entries, default=0) + 2))
    for region in range(far):
        order = sorted(
            range(len(pools)), key=lambda i: (pools[i].region != region, delay[region, pools[i].region], i)
        )
        fill = [0] * models
        for i in order:
            p = pools[i]
            group_latency[region, entries[i]] = delay[region, p.region]
            if p.model < models:
                choices[p.model, region, fill[p.model]] = entries[i]
                fill[p.model] += 1
    return choices, group_latency

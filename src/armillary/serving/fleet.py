"""Pools as people describe them, by model, system and layout, and what the simulator needs of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from armillary.catalog.records import Accelerator, System
from armillary.errors import InputError, did_you_mean
from armillary.model import Transformer
from armillary.model.bytes import kv_cache_bytes_per_token, recurrent_state_bytes
from armillary.serving.calibration import front_end
from armillary.serving.candidates import Candidate, candidate
from armillary.serving.degrees import degree_fault
from armillary.serving.deployment import Failures, Pool, Scaling
from armillary.serving.engine import Replica
from armillary.serving.layout import EngineLayout
from armillary.serving.precision import Precision

__all__ = ["PATHS", "BuiltPool", "ServedPool", "built", "default_precision", "kv_transfer"]

PATHS = ("auto", "nic", "scale-up")
"""Ways of a prompt's KV to the replica that decodes; ``auto`` is the scale-up network where all replicas of a
pool stand in one domain."""


@dataclass(frozen=True, slots=True)
class ServedPool:
    """Alike replicas of one model on one system in one region.

    layout, replicas : of those that decode, and read prompts unless `prefill` does, and how many [-].
    prefill, prefill_replicas : layout and number of those that only read prompts.
    transfer : one of `PATHS`. engine : see `serving.engines`. drafts : tokens drafted a step [-].
    region : its name. queue_limit, spill, failures : as in `Pool`.
    scaling, prefill_scaling : of `replicas` and of `prefill_replicas`.
    host_memory : of each replica that reads prompts, for prefix blocks that leave its device [byte].
    """

    name: str
    model: Transformer
    system: System
    chip: Accelerator
    precision: Precision
    layout: EngineLayout
    replicas: int = 1
    prefill: EngineLayout | None = None
    prefill_replicas: int = 0
    transfer: str = "auto"
    engine: str = "vllm"
    drafts: int = 0
    region: str = ""
    queue_limit: int | None = None
    spill: float = np.inf
    scaling: Scaling | None = None
    prefill_scaling: Scaling | None = None
    failures: Failures | None = None
    host_memory: float = 0.0

    @property
    def most_replicas(self) -> tuple[int, int]:
        """Replicas that read prompts alone, and others, that there can ever be [-]."""
        counts = (self.prefill_replicas if self.prefill is not None else 0, self.replicas)
        scalings = (self.prefill_scaling, self.scaling)
        first, second = (max(n, s.most) if s else n for n, s in zip(counts, scalings, strict=True))
        return first, second

    @property
    def accelerators(self) -> int:
        """Of the replicas at the start [-]."""
        first = 0 if self.prefill is None else int(self.prefill.accelerators) * self.prefill_replicas
        return first + int(self.layout.accelerators) * self.replicas


def default_precision(model: Transformer, chip: Accelerator) -> str:
    """FP8 where the chip multiplies it, else BF16; gpt-oss as it ships."""
    if model.name.startswith("gpt-oss"):
        return "mxfp4"
    return "fp8" if "fp8" in chip.peak else "bf16"


class BuiltPool(NamedTuple):
    """A pool as the simulator takes it; `reader` has the prompts, `writer` the answers, often the same."""

    served: ServedPool
    pool: Pool
    reader: Candidate
    writer: Candidate


def built(served: ServedPool, prompt: float, answer: float, longest: float) -> BuiltPool:
    """Engines of a pool for requests of such lengths; `model` and `region` of the `Pool` are left at 0.

    Parameters
    ----------
    served : ServedPool
    prompt, answer : float
        Means of its requests. [token]
    longest : float
        Longest prompt with its answer. [token]

    Raises
    ------
    InputError
        If a layout does not fit the model, the weights do not fit, or the path of KV is not there.
    """
    writer = candidate(_replica(served, served.layout, prompt, answer), prompt, longest)
    front = front_end(served.engine)
    fixed = front.latency
    if served.prefill is None:
        memory = _host_tier(served, writer)
        pool = Pool(
            writer.engine,
            served.replicas,
            queue_limit=served.queue_limit,
            spill=served.spill,
            scaling=served.scaling,
            failures=served.failures,
            front=(fixed, front.token, front.lag),
            host_tokens=memory[0],
            host_transfer=memory[1],
        )
        return BuiltPool(served, pool, writer, writer)
    reader = candidate(_replica(served, served.prefill, prompt, answer), prompt, longest)
    memory = _host_tier(served, reader)
    pool = Pool(
        reader.engine._replace(role="prefill"),
        served.prefill_replicas,
        writer.engine._replace(role="decode"),
        served.replicas,
        kv_transfer(served, reader.replica, writer.replica),
        queue_limit=served.queue_limit,
        spill=served.spill,
        scaling=served.prefill_scaling,
        decode_scaling=served.scaling,
        failures=served.failures,
        front=(fixed + front.handover, front.token, front.lag),
        host_tokens=memory[0],
        host_transfer=memory[1],
    )
    return BuiltPool(served, pool, reader, writer)


def kv_transfer(served: ServedPool, reader: Replica, writer: Replica) -> tuple[float, float]:
    """Latency of the move of a prompt's KV [s], and its time per token [s/token].

    Each rank of one attention group sends its part, and no more ranks than receive. State of recurrent layers
    moves once a prompt.

    Raises
    ------
    InputError
        If the path is unknown, or the scale-up network does not join all replicas of the pool.
    """
    if served.transfer not in PATHS:
        near = did_you_mean(served.transfer, PATHS)
        known_paths = ", ".join(PATHS)
        raise InputError(f"unknown path of KV {served.transfer!r}{near or f'; known are {known_paths}'}")
    first, second = served.most_replicas
    together = first * int(reader.layout.accelerators) + second * int(writer.layout.accelerators)
    inside = together <= served.system.scale_up_size
    if served.transfer == "scale-up" and not inside:
        raise InputError(
            f"the scale-up network cannot move the KV of {served.name}: its replicas take {together} "
            f"accelerators and a domain of {served.system.name} has {served.system.scale_up_size}; "
            f"take fewer replicas a pool, or the NICs"
        )
    known = reader.known()
    across = served.transfer == "nic" or not inside
    bandwidth, latency = known.scale_up, known.exchange_latency
    if across:
        bandwidth, latency = known.scale_out, known.network_latency
    ranks = min(reader.layout.tp * reader.layout.pp, writer.layout.tp * writer.layout.pp)
    rate = float(bandwidth) * float(ranks)
    whole = kv_cache_bytes_per_token(served.model, served.precision.cache, reader.context)
    return float(latency) + float(recurrent_state_bytes(served.model)) / rate, float(whole) / rate


def _host_tier(served: ServedPool, reader: Candidate) -> tuple[float, float]:
    """Tokens that host memory holds [token], and time to load one [s/token]: each rank loads its part."""
    replica = reader.replica
    whole = float(kv_cache_bytes_per_token(served.model, served.precision.cache, replica.context))
    if not whole or not served.host_memory:
        return 0.0, 0.0
    return served.host_memory / whole, float(replica.memory().token) / served.chip.host_bandwidth


def _replica(served: ServedPool, layout: EngineLayout, prompt: float, answer: float) -> Replica:
    if int(layout.stage) % int(layout.ep):
        raise InputError(
            f"ep {layout.ep} does not divide the {layout.stage} ranks of tp x dp of {served.name}"
        )
    if fault := degree_fault(served.model, layout):
        raise InputError(f"{fault[0]} of {served.name}: {fault[1]}")
    if served.host_memory and not served.chip.host_bandwidth:
        raise InputError(f"the catalog has no host bandwidth of {served.chip.name}; leave host memory out")
    return Replica(
        served.model,
        served.chip,
        layout,
        served.precision,
        served.engine,
        served.system.nic_bandwidth,
        served.drafts,
        prompt + answer / 2,
    )

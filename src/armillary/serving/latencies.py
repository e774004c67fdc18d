"""Latencies of a sized deployment at any percentiles; `sizing` says them at that of its targets."""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd
from typing import NamedTuple

import numpy as np

from armillary.catalog.records import Accelerator, System
from armillary.model import Transformer
from armillary.model.bytes import kv_cache_bytes_per_token
from armillary.serving.calibration import front_end
from armillary.serving.candidates import candidate
from armillary.serving.deployment import Pool
from armillary.serving.engine import Replica
from armillary.serving.lengths import Lengths
from armillary.serving.precision import Precision
from armillary.serving.requests import Requests
from armillary.serving.simulator import simulate
from armillary.serving.sizing import SAMPLE, Sized


class Latencies(NamedTuple):
    """At one percentile, with the front end. ttft, tpot, e2e [s]."""

    percentile: float
    ttft: float
    tpot: float
    e2e: float


def latencies(
    one: Sized,
    lengths: Lengths,
    model: Transformer,
    system: System,
    chip: Accelerator,
    precision: Precision,
    engine: str = "vllm",
    drafts: int = 0,
    percentiles: Sequence[float] = (50.0, 95.0),
    seed: int = 0,
) -> tuple[Latencies, ...]:
    """Simulate a replica, or a group of prompts and decoding apart, at the rate that it was sized for.

    Parameters
    ----------
    one : Sized
        Of `size` with the arguments that follow.
    percentiles : sequence of float
        From 0 to 100. [-]

    Notes
    -----
    Of 20,000 requests with Poisson arrivals the second half counts, as in the sizing.
    """
    draw = np.random.default_rng(seed)
    drawn = lengths.sample(draw, SAMPLE)
    prompts, answers = np.maximum(drawn.input, 1), np.maximum(drawn.output, 1)
    gaps = draw.exponential(size=SAMPLE)
    context = float(drawn.input.mean() + answers.mean() / 2)
    longest = float((drawn.input + answers).max())
    sides = [
        candidate(
            Replica(model, chip, layout, precision, engine, system.nic_bandwidth, drafts, context),
            float(prompts.mean()),
            longest,
        )
        for layout in (one.layout, one.prefill)
        if layout is not None
    ]
    front = front_end(engine)
    more = front.latency + np.array([front.service(float(p)) for p in prompts])
    after = sides[0]
    if one.prefill is None:
        pool = Pool(after.engine)
    else:
        groups = gcd(one.replicas, one.prefill_replicas)
        width = kv_cache_bytes_per_token(model, precision.cache)
        wire = width / (after.replica.known().scale_out * float(one.prefill.tp))
        pool = Pool(
            sides[1].engine._replace(role="prefill"),
            one.prefill_replicas // groups,
            after.engine._replace(role="decode"),
            one.replicas // groups,
            (0.0, wire),
        )
        more = more + front.handover
    requests = Requests(np.cumsum(gaps) / one.rate, prompts, answers)
    outcome = simulate(requests, pool, routing="least_loaded")
    late = slice(SAMPLE // 2, None)
    tpot = outcome.tpot[late][~np.isnan(outcome.tpot[late])]
    return tuple(
        Latencies(
            at,
            float(np.percentile((outcome.ttft + more)[late], at)),
            float(np.percentile(tpot, at)) if len(tpot) else 0.0,
            float(np.percentile((outcome.e2e + more)[late], at)),
        )
        for at in percentiles
    )

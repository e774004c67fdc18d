"""Prompts and decoding in replicas of their own: what each pool serves, and how the KV gets across."""

from __future__ import annotations

import math

import numpy as np

from armillary.catalog.records import System
from armillary.model.bytes import kv_cache_bytes_per_token
from armillary.serving.calibration import front_end
from armillary.serving.candidates import Candidate
from armillary.serving.deployment import Pool
from armillary.serving.mesh import Mesh, not_beaten
from armillary.serving.sized import Handover
from armillary.serving.step_cost import Engine, StepCost
from armillary.serving.trials import Trial, highest_rate, trial, turns
from armillary.serving.workload import Load, Targets

READERS, WRITERS = 3, 3
"""Layouts for prompts, and for decoding, that are simulated. [-]"""
INSTANT = 1e-9
"""Step of what reads prompts at once, so that decoding is seen alone. [s]"""


def reading_rows(mesh: Mesh, targets: Targets) -> list[int]:
    """Layouts to read prompts with: none other has more prompts an accelerator and an earlier first token."""
    rate = np.where(mesh.fits & (mesh.first <= targets.ttft), 1 / (mesh.reading * mesh.accelerators), 0.0)
    rows = np.flatnonzero(not_beaten(rate, -mesh.first) & (rate > 0))
    return [int(r) for r in sorted(rows, key=lambda r: -rate[r])[:READERS]]


def writing_rows(mesh: Mesh, decoding: np.ndarray) -> list[int]:
    """Layouts to decode with: none other has more requests an accelerator at the target and a quicker token.

    decoding : `[layout]` rate in closed form [1/s].
    """
    rate = decoding / mesh.accelerators
    rows = np.flatnonzero(not_beaten(rate, -mesh.alone[:, 0]) & (rate > 0))
    return [int(r) for r in sorted(rows, key=lambda r: -rate[r])[:WRITERS]]


def reading_rate(c: Candidate, load: Load, targets: Targets, guess: float, first: float, group: int) -> float:
    """Prompts that each of a group which only reads takes within the target of the first token [1/s]."""
    ones = np.ones_like(load.output)
    alone = load._replace(output=ones)
    if load.trace is not None:
        alone = alone._replace(trace=load.trace._replace(output=np.ones_like(load.trace.output)))
    front = front_end(c.replica.engine)
    only = targets._replace(tpot=math.inf, e2e=math.inf)

    def run(rate: float) -> Trial:
        return trial(Pool(c.engine, group), alone, rate, turns(rate, first), only, front)

    found = highest_rate(run, guess * group)
    return 0.0 if found is None else found[0] / group


def writing_rate(c: Candidate, load: Load, targets: Targets, guess: float, stay: float) -> float:
    """Requests that a replica which only decodes serves within the target of later tokens [1/s].

    Prompts come read; what was found in a prefix cache is held like all else.
    """
    whole = load._replace(cached=np.zeros_like(load.cached), trace=None)
    tokens = int(whole.longest) + 1
    cost = StepCost(np.full(2, INSTANT), np.full(tokens + 1, INSTANT), 0.0, 0.0)
    instant = Engine(cost, 1e15, 1, tokens, role="prefill", chunked=False)
    pool = Pool(instant, 1, c.engine._replace(role="decode"), 1)
    front = front_end(c.replica.engine)
    only = targets._replace(ttft=math.inf)

    def run(rate: float) -> Trial:
        return trial(pool, whole, rate, turns(rate, stay), only, front)

    found = highest_rate(run, guess)
    return 0.0 if found is None else found[0]


def handover(before: Candidate, after: Candidate, ratio: float, system: System, load: Load) -> Handover:
    """How KV gets from one pool to the other.

    Parameters
    ----------
    before, after : Candidate
    ratio : float
        Replicas that read prompts for each that decodes. [-]
    system : System
    load : Load

    Notes
    -----
    Pools share scale-up domains where one replica of the rarer kind fits into one together with those that
    it works with. Each rank of one attention group and pipeline sends what it has, as many as receive.
    """
    reader, writer = before.replica, after.replica
    together = before.accelerators * max(ratio, 1.0) + after.accelerators * max(1 / ratio, 1.0)
    inside = together <= system.scale_up_size
    known = writer.known()
    prompt = float(load.input.mean())
    width = kv_cache_bytes_per_token(writer.model, writer.precision.cache, prompt)
    ranks = min(float(r.layout.tp * r.layout.pp) for r in (reader, writer))
    bandwidth = known.scale_up if inside else known.scale_out
    latency = known.reduce_latency if inside else known.network_latency
    each = float(width / (ranks * bandwidth))
    return Handover("scale-up" if inside else "network", float(latency), each, float(latency) + each * prompt)

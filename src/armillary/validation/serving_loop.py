"""Simulate a published deployment under its closed loop of users, as its benchmark ran it."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from armillary.model import kv_cache_bytes_per_token
from armillary.serving.calibration import UNNAMED, front_end
from armillary.serving.engine import Replica
from armillary.serving.memory import USABLE
from armillary.serving.simulator import simulate_closed
from armillary.serving.step_cost import Engine
from armillary.validation.serving_rows import Pool, ServingRun

WAVES, WAVES_APART = 10, 5
"""Requests that each user of a closed loop sends: of single nodes, as InferenceX's client does
(``--num-prompts``), and of disaggregated runs (sa-bench of ishandhanani/srt-slurm@09211b64). [-]"""
MOST_REQUESTS = 12_000
MOST_SEQUENCES = 2048
"""Requests simulated for a row, and sequences of a saturated engine, at most. [-]"""
STEP_TOKENS = {"vllm": 8192, "sglang": 16384, "trtllm": 8192}
"""Token budget of a step where the benchmark's scripts do not tie it to the load. [token]"""
LEAST_TOKENS = 8192
"""Of a step of TensorRT-LLM's scripts from release 1.2 on. [token]"""
BALANCE_STEPS = 60
"""Steps that TensorRT-LLM lets prompts wait for one on each attention-parallel rank (``timeout_iters`` of
``attention_dp_config`` in InferenceX's scripts). [-]"""
FEWEST_USERS = 1.2
"""Longest requests that a cache holds at least, so that a run whose weights hardly fit is still told. [-]"""


class Measured(NamedTuple):
    """What a simulated run would report.

    tpot, ttft : means over requests, those at the start among them [s].
    rate : output of the whole deployment [token/s].
    """

    tpot: float
    ttft: float
    rate: float


def predict(run: ServingRun, seed: int = 0) -> Measured:
    """Simulate a run's closed loop.

    Raises
    ------
    ArmillaryError
        If the engine is not calibrated.
    """
    decode = _replica(run, run.decode)
    decode.known()  # an engine that is not calibrated ends here
    replicas, held = run.decode.workers, _cache(run, decode)
    users = run.concurrency
    if not math.isfinite(users):
        fits = held / (run.input + run.output) * replicas
        users = float(min(max(round(1.2 * fits), 8), MOST_SEQUENCES * replicas))
    waves = WAVES if run.prefill is None else WAVES_APART
    count = int(min(max(waves * users, 40), max(MOST_REQUESTS, 3 * users)))
    draw = np.random.default_rng(seed)
    prompts, answers = (
        draw.integers(max(int(least), 1), int(most) + 1, count)
        for least, most in (
            (run.shortest * run.longest_input, run.longest_input),
            (run.shortest * run.longest_output, run.longest_output),
        )
    )
    sequences = int(min(math.ceil(users / replicas) + 1, MOST_SEQUENCES))
    if run.prefill is None:
        engine = _engine(run, run.decode, decode, held, sequences, "both")
        outcome = simulate_closed(engine, prompts, answers, int(users), replicas=replicas, seed=seed)
    else:
        first = _replica(run, run.prefill)
        before = _engine(run, run.prefill, first, _cache(run, first), 256, "prefill")
        after = _engine(run, run.decode, decode, held, sequences, "decode")
        # The ranks of a worker send their shares at once, each through its own NIC.
        width = kv_cache_bytes_per_token(run.model, run.precision.cache)
        wire = width / (decode.known().scale_out * float(run.prefill.layout.tp))
        outcome = simulate_closed(
            before,
            prompts,
            answers,
            int(users),
            replicas=run.prefill.workers,
            decode=after,
            decode_replicas=replicas,
            transfer=(0.0, wire),
            first_token="decode",
            routing="round_robin",  # Dynamo's router does not look at load unless it is told to
            seed=seed,
        )
    done = outcome.completed
    finish = np.sort(outcome.finish[done])
    low, high = int(0.2 * len(finish)), int(0.8 * len(finish)) - 1
    inside = (outcome.finish > finish[low]) & (outcome.finish <= finish[high]) & done
    rate = float(outcome.output[inside].sum()) / max(float(finish[high] - finish[low]), 1e-9)
    tpot = float(np.nanmean(outcome.tpot))
    return Measured(tpot, float(np.nanmean(outcome.ttft)) + front_time(run, tpot), rate)


def front_time(run: ServingRun, tpot: float) -> float:
    """Time of a request before and behind the engine, given its time per output token [s]."""
    front = front_end(run.engine, run.release or UNNAMED, run.settings.stream)
    return float(front.time(run.input, tpot, run.prefill is not None))


def _replica(run: ServingRun, pool: Pool) -> Replica:
    return Replica(
        run.model,
        run.chip,
        pool.layout,
        run.precision,
        run.engine,
        run.nic_bandwidth,
        run.drafts,
        run.input + run.output / 2,
        run.release or UNNAMED,
    )


def _cache(run: ServingRun, replica: Replica) -> float:
    """Tokens of cache of a worker [token].

    TensorRT-LLM takes its share of what weights and workspace leave (``free_gpu_memory_fraction``), the
    others theirs of the whole memory.
    """
    share = run.settings.memory or USABLE
    if run.engine == "trtllm":
        tokens = share * float(replica.memory(1.0).tokens)
    else:
        tokens = float(replica.memory(share).tokens)
    return max(tokens, FEWEST_USERS * (run.longest_input + run.longest_output))


def step_tokens(run: ServingRun) -> int:
    """Token budget of a step on one attention-parallel rank, set by scripts or by default [token]."""
    told = run.settings
    tokens = told.tokens or int(told.tokens_per_input * run.longest_input)
    if tokens or run.engine != "trtllm" or run.prefill is not None or not math.isfinite(run.concurrency):
        return tokens or STEP_TOKENS[run.engine]
    # TensorRT-LLM's scripts have room for one token of each sequence and one prompt.
    tokens = int(run.concurrency / float(run.decode.layout.dp) * (1 + run.drafts) + run.longest_input + 64)
    return max(tokens, LEAST_TOKENS) if run.release.startswith(("1.2", "1.3")) else tokens


def _engine(run: ServingRun, pool: Pool, replica: Replica, held: float, sequences: int, role: Any) -> Engine:
    """How each engine batches: vLLM and TensorRT-LLM mix prompts with decodes, SGLang runs prompts first."""
    dp, told = int(pool.layout.dp), run.settings
    tokens = step_tokens(run)
    hold, company = told.hold, int(told.hold_share * tokens)
    if run.engine == "trtllm" and role == "both" and dp > 1 and run.scripted:
        hold, company = BALANCE_STEPS, int(dp * run.input)
    batch = min(sequences, told.batch or sequences)
    if role == "decode" and pool.batch:
        batch = min(sequences, pool.batch)
    tokens = max(tokens, batch // dp + 1) * dp
    alone = run.engine == "sglang" and role == "both"
    cost = replica.cost(batch, max(tokens, int(run.longest_input) + 1), run.input)
    return Engine(
        cost,
        held,
        batch,
        max(tokens, batch),
        role,
        reserve=run.engine == "trtllm",
        chunked=not alone,
        poll=told.poll,
        hold=hold if role != "decode" else 0,
        hold_tokens=company,
    )

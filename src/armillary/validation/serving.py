"""Score the serving models on a table of measured deployments: closed loops, simulated request by request."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from armillary.catalog import Catalog
from armillary.errors import ArmillaryError
from armillary.model import kv_cache_bytes_per_token
from armillary.serving.calibration import front_end
from armillary.serving.engine import Replica
from armillary.serving.simulator import simulate_closed
from armillary.serving.step_cost import Engine
from armillary.validation.score import Row, summarise
from armillary.validation.serving_rows import SATURATED, Pool, ServingRun, model_named, read_run
from armillary.validation.tables import SHIPPED, read_table

METRICS = ("tpot_ms", "ttft_ms", "tokens_per_s_per_gpu")
COLUMNS = ("id", "gpu", "model", "isl", "osl", "concurrency_or_rate", "engine", "mode")
"""Columns of a table of deployments without which no row can be evaluated."""
SERVING = SHIPPED / "measured_serving.csv"
"""Published deployments, with sources."""

WAVES = 10
"""Requests that each user of a closed loop sends, as InferenceX's client does (``--num-prompts``). [-]"""
MOST_REQUESTS = 12_000
MOST_SEQUENCES = 2048
"""Requests simulated for a row, and sequences of a saturated engine, at most. [-]"""
STEP_TOKENS = {"vllm": 8192, "sglang": 16384, "trtllm": 8192}
"""Token budget of a step where the benchmark's scripts do not tie it to the load. [token]"""


class Measured(NamedTuple):
    """What a simulated run would report: mean times [s], output rate of the whole deployment [token/s]."""

    tpot: float
    ttft: float
    rate: float


def read_serving_table(path: Path = SERVING) -> list[dict[str, str]]:
    """Read a table of measured deployments.

    Raises
    ------
    InputError
        If the file cannot be read or lacks a needed column; the message names it.
    """
    return read_table(path, COLUMNS)


def is_scored_serving(row: Mapping[str, str], catalog: Catalog) -> bool:
    """True where a row has a model of the catalog, lengths, and a concurrency or saturation."""
    load = (row.get("concurrency_or_rate") or "").strip()
    if not (re.fullmatch(r"\d+(\.\d+)?", load) or SATURATED.search(load)):
        return False
    if not all((row.get(c) or "").strip() for c in ("isl", "osl")):
        return False
    try:
        model_named(row.get("model") or "", catalog)
    except ArmillaryError:
        return False
    return True


def validate_serving(
    rows: Iterable[Mapping[str, str]],
    catalog: Catalog,
    progress: Callable[[], None] | None = None,
    seed: int = 0,
) -> list[Row]:
    """Predict every metric that every row publishes.

    Parameters
    ----------
    rows : iterable of mappings
        From `read_serving_table`.
    catalog : Catalog
    progress : callable, optional
        Called after each row.
    seed : int
        Of the drawn lengths.

    Returns
    -------
    list of Row
        A row that cannot be evaluated stays in, with `predicted` None and the reason.
    """
    scored: list[Row] = []
    found: dict[Any, Measured] = {}
    for row in rows:
        scored += _row(row, catalog, found, seed)
        if progress is not None:
            progress()
    return scored


def predict(run: ServingRun, seed: int = 0) -> Measured:
    """Simulate a run's closed loop.

    Raises
    ------
    ArmillaryError
        If the engine is not calibrated.
    """
    replicas = run.decode.workers
    decode = _replica(run, run.decode)
    decode.known()  # an engine that is not calibrated ends here
    held = max(float(decode.memory().tokens), 1.2 * (run.longest_input + run.longest_output))
    saturated = not math.isfinite(run.concurrency)
    users = run.concurrency
    if saturated:
        fits = held / (run.input + run.output) * replicas
        users = float(min(max(round(1.2 * fits), 8), MOST_SEQUENCES * replicas))
    count = int(min(max(WAVES * users, 40), max(MOST_REQUESTS, 3 * users)))
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
        room = max(float(first.memory().tokens), 1.2 * (run.longest_input + run.longest_output))
        before = _engine(run, run.prefill, first, room, 256, "prefill")
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
            seed=seed,
        )
    done = outcome.completed
    finish = np.sort(outcome.finish[done])
    low, high = int(0.2 * len(finish)), int(0.8 * len(finish)) - 1
    inside = (outcome.finish > finish[low]) & (outcome.finish <= finish[high]) & done
    rate = float(outcome.output[inside].sum()) / max(float(finish[high] - finish[low]), 1e-9)
    ttft = float(np.nanmean(outcome.ttft)) + front_time(run, users)
    return Measured(float(np.nanmean(outcome.tpot)), ttft, rate)


def front_time(run: ServingRun, users: float) -> float:
    """Mean time of a request before and behind the engine [s].

    All users begin at once: their first requests, one in `WAVES`, wait for each other at the front end, the
    rest find it free.
    """
    front = front_end(run.engine)
    handover = front.handover if run.prefill is not None else 0.0
    return front.latency + front.service(run.input) * (1 + (users - 1) / 2 / WAVES) + handover


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
    )


def _engine(run: ServingRun, pool: Pool, replica: Replica, held: float, sequences: int, role: Any) -> Engine:
    """How each engine batches: vLLM and TensorRT-LLM mix prompts with decodes, SGLang runs prompts first."""
    dp = int(pool.layout.dp)
    tokens = STEP_TOKENS[run.engine]
    if run.engine == "trtllm" and role == "both" and math.isfinite(run.concurrency):
        tokens = int(run.concurrency / dp * (1 + run.drafts) + run.longest_input + 64)
    tokens = max(tokens, sequences // dp + 1) * dp
    alone = run.engine == "sglang" and role == "both"
    cost = replica.cost(sequences, max(tokens, int(run.longest_input) + 1), run.input)
    return Engine(cost, held, sequences, tokens, role, reserve=run.engine == "trtllm", chunked=not alone)


def _row(row: Mapping[str, str], catalog: Catalog, found: dict[Any, Measured], seed: int) -> list[Row]:
    published = {m: value for m in METRICS if (value := _number(row, m)) is not None}
    if "output" not in (row.get("metric") or "output"):
        published.pop("tokens_per_s_per_gpu", None)
    group = "|".join((row.get(c) or "") for c in ("model", "gpu", "isl", "osl", "engine"))
    about: dict[str, Any] = {
        "chip": row.get("gpu", ""),
        "scale": row.get("n_gpus", ""),
        "source": (row.get("source") or "").split(" ")[0],
        "group": group,
        "accelerators": _number(row, "n_gpus") or 0.0,
    }
    scored = is_scored_serving(row, catalog)
    try:
        run = read_run(row, catalog)
        key = (
            run.chip.name,
            run.model.name,
            run.precision_name,
            run.input,
            run.output,
            run.concurrency,
            run.decode,
            run.prefill,
            run.engine,
            run.drafts,
        )
        if key not in found:
            found[key] = predict(run, seed)
        answer = found[key]
    except ArmillaryError as error:
        return [
            Row(row["id"], m, published.get(m), None, None, 0.0, (), str(error), scored, kind="", **about)
            for m in (list(published) or METRICS[2:])
        ]
    rate = _rate(row, run, answer)
    predicted = {"tpot_ms": 1e3 * answer.tpot, "ttft_ms": 1e3 * answer.ttft, "tokens_per_s_per_gpu": rate}
    moe = any(getattr(k.feed_forward, "experts", 0) for k in run.model.kinds())
    factors = (
        ("metric", ""),
        ("chip", run.chip.name),
        ("engine", run.engine),
        ("release", f"{run.engine} {run.release}".strip()),
        ("model", run.model.name),
        ("mode", "disaggregated" if run.prefill is not None else "aggregated"),
        ("precision", run.precision_name),
        ("drafts", str(run.drafts)),
        ("layout", run.decode.layout.words()),
    )
    rows = []
    for metric, measured in published.items():
        value = predicted[metric]
        rows.append(
            Row(
                row["id"],
                metric,
                measured,
                value,
                value / measured,
                1.0 / value,  # what ranks rows: times `ratio` it is the inverse of the measurement
                tuple(run.assumed),
                "",
                scored,
                kind="MoE" if moe else "dense",
                factors=(("metric", metric), *factors[1:]),
                step=answer.tpot,
                **about,
            )
        )
    return rows


def _rate(row: Mapping[str, str], run: ServingRun, answer: Measured) -> float:
    """Tokens per second and accelerator as the row counts them."""
    if "derived" in (row.get("metric") or "") and math.isfinite(run.concurrency):
        osl = float(row["osl"])
        total = run.concurrency * osl / (answer.ttft + answer.tpot * (osl - 1))
    else:
        total = answer.rate
    return total / run.accelerators


def _number(row: Mapping[str, str], name: str) -> float | None:
    try:
        value = float((row.get(name) or "").strip())
    except ValueError:
        return None
    return value if 0 < value < 1e12 else None


def serving_figures(scored: Iterable[Row]) -> dict[str, float]:
    """Figures of the serving model, by metric."""
    rows = [r for r in scored if r.ratio is not None]
    found: dict[str, float] = {"n": float(len(rows))}
    for metric, name in zip(METRICS, ("tpot", "ttft", "rate"), strict=True):
        s = summarise([r for r in rows if r.metric == metric])
        found |= {f"{name}_median": s.median_abs_error, f"{name}_p90": s.p90_abs_error}
        found |= {f"{name}_bias": s.median_error}
        if s.kendall_tau is not None:
            found[f"{name}_tau"] = s.kendall_tau
    return found

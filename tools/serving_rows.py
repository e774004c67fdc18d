"""Measured deployments as arrays, and their steady state in closed form: what `fit_serving.py` fits to."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from typing import Any, NamedTuple

import numpy as np

from armillary.serving.calibration import HOST_FIELDS, KERNEL_FIELDS, UNNAMED
from armillary.serving.kernels import Sustained
from armillary.serving.layout import EngineLayout
from armillary.serving.precision import PEAK_KEY, Widths, widths
from armillary.serving.step import Batch, Speculation, step_time
from armillary.validation.serving_loop import WAVES, step_tokens
from armillary.validation.serving_rows import ServingRun

HOPPER = ("h100", "h200", "h800", "h20", "gh200")
ENGINES = ("trtllm", "vllm", "sglang")
FORMATS = {"bf16": "bf16", "fp8": "fp8", "nvfp4": "fp4", "mxfp4": "mxfp4", "int4": "int4"}
DENSE, EXPERTS = ("bf16", "fp8", "fp4"), ("bf16", "fp8", "fp4", "mxfp4", "int4")
SCALE_OUT = 0.8
"""Share of the NIC: not told by these rows, assumed. [-]"""
QUIET = 64
"""Users of a replica up to which first tokens hardly queue, so that a closed form tells their time. [-]"""
BUSIEST = 0.9
"""Utilisation by prompts, at most, in the queue of the closed form. [-]"""
TURNS = 5
"""Of the fixed point of the steady state. [-]"""

Row = tuple[dict[str, str], ServingRun]


def level(run: ServingRun) -> str:
    """Engine and release without its suffix, as ``vllm 0.19.0``."""
    found = re.match(r"\d+\.\d+\.\d+", run.release)
    return f"{run.engine} {found[0] if found else UNNAMED}"


class Steady(NamedTuple):
    """What a closed loop settles at. tpot, ttft : `[row]` [s]."""

    tpot: Any
    ttft: Any


class Rows:
    """Rows as arrays, grouped by model: every field is `[row]`."""

    def __init__(self, rows: list[Row], levels: tuple[str, ...] = ()) -> None:
        self.runs = [u for _, u in rows]
        self.tpot = np.array([float(r["tpot_ms"]) / 1e3 for r, _ in rows])
        self.ttft = np.array([float(r.get("ttft_ms") or "nan") / 1e3 for r, _ in rows])
        groups: dict[str, list[int]] = defaultdict(list)
        for i, u in enumerate(self.runs):
            groups[u.model.name].append(i)
        self.groups = {name: np.array(found) for name, found in groups.items()}
        self.layout = EngineLayout(
            *(np.array([float(getattr(u.decode.layout, k)) for u in self.runs]) for k in EngineLayout._fields)
        )
        self.width = Widths(*np.array([widths(u.precision) for u in self.runs]).T)
        room = self.of(lambda u: u.decode.batch or u.settings.batch or math.inf)
        self.users = np.minimum(self.of(lambda u: u.concurrency / u.decode.workers), room)
        self.input, self.output = self.of(lambda u: u.input), self.of(lambda u: u.output)
        self.apart = np.array([u.prefill is not None for u in self.runs])
        self.drafts = self.of(lambda u: u.drafts)
        self.poll, self.hold = self.of(lambda u: u.settings.poll), self.of(lambda u: u.settings.hold)
        self.stream = self.of(lambda u: u.settings.stream)
        self.budget = self.of(step_tokens)
        self.hopper = np.array([u.chip.name in HOPPER for u in self.runs])
        self.engine = np.array([u.engine for u in self.runs])
        self.level = np.array([level(u) for u in self.runs])
        self.levels = levels or tuple(sorted(set(self.level)))
        self.dense = np.array([FORMATS[u.precision.dense] for u in self.runs])
        self.experts = np.array([FORMATS[u.precision.experts] for u in self.runs])
        self.moe = np.array(
            [any(getattr(k.feed_forward, "experts", 0) for k in u.model.kinds()) for u in self.runs]
        )
        self.bf16 = self.of(lambda u: u.chip.peak["bf16"])
        self.peak_dense = self.of(lambda u: _peak(u, u.precision.dense))
        self.peak_experts = self.of(lambda u: _peak(u, u.precision.experts))
        self.bandwidth = self.of(lambda u: u.chip.memory_bandwidth)
        self.scale_up = self.of(lambda u: u.chip.scale_up_bandwidth)
        self.nic = self.of(lambda u: u.nic_bandwidth)
        # Requests of one length stay in step with each other, which mean values do not see.
        mixed = self.of(lambda u: u.shortest) < 1
        self.quiet = ~self.apart & mixed & (self.users <= QUIET) & np.isfinite(self.ttft)

    def of(self, what: Any) -> Any:
        """One number of each run, `[row]`."""
        return np.array([float(what(u)) for u in self.runs])

    def software(self, v: dict[str, float], name: str) -> Any:
        """A parameter of each row's engine, `[row]`."""
        return sum(np.where(self.engine == e, v[f"{name}.{e}"], 0.0) for e in ENGINES)

    def release(self, v: dict[str, float], name: str) -> Any:
        """How many times that of its engine each row's release has of a parameter, `[row]` [-]."""
        found = np.ones(len(self.runs))
        for one in self.levels:
            found = np.where(self.level == one, v[f"{name}.{one}"], found)
        return found

    def sustained(self, v: dict[str, float]) -> Sustained:
        """What the parameters make of every row's chip, engine and release."""

        def silicon(name: str) -> Any:
            return np.where(self.hopper, v[f"{name}.hopper"], v[f"{name}.blackwell"])

        def form(name: str, forms: Any, known: tuple[str, ...]) -> Any:
            return sum(np.where(forms == f, silicon(f"{name}.{f}"), 0.0) for f in known)

        found = Sustained(
            form("gemm", self.dense, DENSE) * self.peak_dense,
            form("experts", self.experts, EXPERTS) * self.software(v, "share") * self.peak_experts,
            silicon("gemm.bf16") * self.bf16,
            silicon("attention") * self.bf16,
            silicon("latent") * self.bf16,
            form("stream", self.dense, DENSE) * self.bandwidth,
            form("expert_stream", self.experts, EXPERTS) * self.bandwidth,
            silicon("stream.bf16") * self.bandwidth,
            silicon("cache") * self.bandwidth,
            silicon("gap") * self.software(v, "gaps") * self.release(v, "gaps"),
            self.software(v, "launch"),
            silicon("reduce"),
            v["exchange"],
            v["crossing"],
            v["scale_up"] * self.scale_up,
            SCALE_OUT * self.nic,
            self.software(v, "host_step"),
            self.software(v, "host_sequence"),
            v["skew"],
        )
        kernels, host = self.release(v, "kernels"), self.release(v, "host")
        return found._replace(
            **{name: getattr(found, name) * kernels for name in KERNEL_FIELDS},
            **{name: getattr(found, name) * host for name in HOST_FIELDS},
        )

    def steps(self, known: Sustained, batch: Batch, acceptance: float) -> Any:
        """Time of one step of every row, `[row]` [s]."""
        total = np.zeros(len(self.runs))
        for rows in self.groups.values():
            total[rows] = step_time(
                self.runs[rows[0]].model,
                _part(self.layout, rows),
                _part(self.width, rows),
                _part(known, rows),
                _part(batch, rows),
                Speculation(self.drafts[rows], acceptance),
            ).total
        return total

    def steady(self, v: dict[str, float]) -> Steady:
        """Every row's closed loop in its steady state, by mean values.

        Decoding steps of the mean batch, and the share of steps that carry prompts; how many prompts share
        one follows from how many arrive while it runs, or while the engine does not look or holds them back.
        """
        known, acceptance = self.sustained(v), v["acceptance"]
        given = Speculation(self.drafts, acceptance).tokens_per_step
        users, dp, alone_first = self.users, self.layout.dp, self.engine == "sglang"
        batch, sharing = np.maximum(users, 1.0), np.ones(len(users))
        rest = np.maximum(self.output - 1, 1.0)
        longest = np.minimum(self.input, self.budget)
        away = np.where(self.poll > 1, self.poll, self.hold)
        for _ in range(TURNS):
            context = batch * (self.input + self.output / 2)
            decoding = self.steps(known, Batch(batch, context, 0.0, 0.0, np.inf, 0.0), acceptance)
            chunk = np.minimum(sharing * self.input, self.budget * dp)
            pieces = sharing * self.input / chunk
            # SGLang runs prompts in steps of their own, the others with the batch.
            beside, read = (np.where(alone_first, 1e-9, x) for x in (batch, context))
            work = Batch(beside, read, chunk, chunk * self.input / 2, longest, sharing / pieces)
            mixed = self.steps(known, work, acceptance)
            extra = np.where(alone_first, mixed, np.maximum(mixed - decoding, 0.0))
            often = np.where(self.apart, 0.0, pieces / sharing * batch / rest * given)
            each = (decoding + often * extra) / given
            first = pieces * mixed
            rate = batch / (each * rest)
            wait = np.where(self.poll > 1, self.poll / 2, self.hold) * decoding
            gathered = rate * np.maximum(first, away * decoding)
            sharing = 0.5 * sharing + 0.5 * np.clip(gathered, 1.0, np.maximum(users, 1.0))
            cycle = wait + first + each * rest
            batch = np.maximum(
                0.5 * batch + 0.5 * np.where(self.apart, users, users * each * rest / cycle), 1.0
            )
        # All users begin at once: their first prompts, one in so many, wait for each other.
        most = self.budget * dp
        reading = self.steps(
            known, Batch(0.0, 0.0, most, most * self.input / 2, longest, most / self.input), acceptance
        )
        turns = np.maximum(users * self.input / most, 1.0)
        begun = np.maximum(reading * (turns + 1) / 2, first)
        busy = np.minimum(rate * first / np.maximum(sharing, 1.0), BUSIEST)
        lag = self.software(v, "lag") + self.software(v, "streamed") * self.stream
        lag = 0.5 + lag * self.release(v, "lag")
        front = self.software(v, "latency") + self.software(v, "token") * self.input + lag * decoding
        later = wait + first * (1 + busy / (2 * (1 - busy)))
        return Steady(each, front + later + (begun - later) / WAVES)


def _part(record: Any, rows: Any) -> Any:
    return type(record)(*(np.asarray(x)[rows] if np.ndim(x) else x for x in record))


def _peak(run: ServingRun, form: str) -> float:
    return run.chip.peak.get(PEAK_KEY[form], run.chip.peak["bf16"])

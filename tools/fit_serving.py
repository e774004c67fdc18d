"""Fit what chips and engines sustain when they serve, on published closed loops of one table.

    python tools/fit_serving.py TABLE.csv... [--write] [--held-out]

Time per output token of each row is taken from a mean-field steady state of the engine model: decode steps of
the mean batch, and the share of steps that carry prompts. Parameters are fitted in logarithms with a robust
loss and weak priors at usual values, shares bounded below 1. `--held-out` fits anew without each model, and
without each engine release, and prints the errors of what was left out. `--write` rewrites
src/armillary/serving/calibration.toml.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import least_squares

from armillary import catalog
from armillary.errors import ArmillaryError
from armillary.serving.calibration import serving_table
from armillary.serving.kernels import Sustained
from armillary.serving.layout import EngineLayout
from armillary.serving.precision import PEAK_KEY, Widths, widths
from armillary.serving.step import Batch, Speculation, step_time
from armillary.validation.serving import WAVES, front_time, predict
from armillary.validation.serving_rows import ServingRun, read_run
from armillary.validation.tables import read_table

TARGET = Path(__file__).parents[1] / "src/armillary/serving/calibration.toml"
GENERATIONS = ("hopper", "blackwell")
HOPPER = ("h100", "h200", "h800", "h20", "gh200")
ENGINES = ("trtllm", "vllm", "sglang")
FORMATS = {"bf16": "bf16", "fp8": "fp8", "nvfp4": "fp4", "mxfp4": "mxfp4", "int4": "int4"}
DENSE, EXPERTS = ("bf16", "fp8", "fp4"), ("bf16", "fp8", "fp4", "mxfp4", "int4")
SCALE_OUT, LAUNCH = 0.8, 3e-6
"""Not told apart by these rows: share of the NIC, and host time of a launch, both assumed."""


class Parameter(NamedTuple):
    """start : prior value; weight : of the prior, over that of a row; share : bounded below 1."""

    name: str
    start: float
    weight: float
    share: bool


def parameters() -> list[Parameter]:
    """All that is fitted."""
    found = []
    for g in GENERATIONS:
        for f in DENSE:
            found += [
                Parameter(f"gemm.{f}.{g}", 0.6, 1.0, True),
                Parameter(f"stream.{f}.{g}", 0.75, 2.0, True),
            ]
        for f in EXPERTS:
            found += [
                Parameter(f"experts.{f}.{g}", 0.4, 0.7, True),
                Parameter(f"expert_stream.{f}.{g}", 0.65, 1.5, True),
            ]
        found += [
            Parameter(f"attention.{g}", 0.5, 1.0, True),
            Parameter(f"latent.{g}", 0.3, 1.0, True),
            Parameter(f"cache.{g}", 0.6, 1.0, True),
            Parameter(f"gap.{g}", 2e-6, 0.5, False),
            Parameter(f"reduce.{g}", 8e-6, 0.5, False),
        ]
    found += [
        Parameter("scale_up", 0.5, 2.0, True),
        Parameter("skew", 0.1, 1.0, False),
        Parameter("exchange", 15e-6, 0.5, False),
        Parameter("crossing", 15e-6, 0.5, False),
        Parameter("acceptance", 0.75, 4.0, True),
    ]
    for e in ENGINES:
        found += [
            Parameter(f"gaps.{e}", 1.0, 0.5, False),
            Parameter(f"share.{e}", 1.0, 2.0, False),
            Parameter(f"host_step.{e}", 3e-4, 0.5, False),
            Parameter(f"host_sequence.{e}", 2e-6, 0.5, False),
            Parameter(f"host_prompt.{e}", 1e-3, 0.5, False),
        ]
    return found


class Runs:
    """Rows as arrays, grouped by model."""

    def __init__(self, runs: list[tuple[dict[str, str], ServingRun]]) -> None:
        self.runs = [u for _, u in runs]
        self.measured = np.array([float(r["tpot_ms"]) / 1e3 for r, _ in runs])
        groups: dict[str, list[int]] = defaultdict(list)
        for i, u in enumerate(self.runs):
            groups[u.model.name].append(i)
        self.groups = {name: np.array(rows) for name, rows in groups.items()}
        self.layout = EngineLayout(
            *(np.array([float(getattr(u.decode.layout, k)) for u in self.runs]) for k in EngineLayout._fields)
        )
        self.width = Widths(*np.array([widths(u.precision) for u in self.runs]).T)
        self.users = np.array([u.concurrency / u.decode.workers for u in self.runs])
        self.input = np.array([u.input for u in self.runs])
        self.output = np.array([u.output for u in self.runs])
        self.apart = np.array([u.prefill is not None for u in self.runs])
        self.drafts = np.array([float(u.drafts) for u in self.runs])
        self.hopper = np.array([u.chip.name in HOPPER for u in self.runs])
        self.engine = np.array([u.engine for u in self.runs])
        self.dense = np.array([FORMATS[u.precision.dense] for u in self.runs])
        self.experts = np.array([FORMATS[u.precision.experts] for u in self.runs])
        self.bf16 = np.array([u.chip.peak["bf16"] for u in self.runs])
        self.peak_dense = np.array([_peak(u, u.precision.dense) for u in self.runs])
        self.peak_experts = np.array([_peak(u, u.precision.experts) for u in self.runs])
        self.bandwidth = np.array([u.chip.memory_bandwidth for u in self.runs])
        self.scale_up = np.array([u.chip.scale_up_bandwidth for u in self.runs])
        self.nic = np.array([u.nic_bandwidth for u in self.runs])

    def sustained(self, v: dict[str, float]) -> Sustained:
        """What the parameters make of every row's chip and engine."""

        def silicon(name: str) -> Any:
            return np.where(self.hopper, v[f"{name}.hopper"], v[f"{name}.blackwell"])

        def form(name: str, forms: Any, known: tuple[str, ...]) -> Any:
            return sum(np.where(forms == f, silicon(f"{name}.{f}"), 0.0) for f in known)

        def software(name: str) -> Any:
            return sum(np.where(self.engine == e, v[f"{name}.{e}"], 0.0) for e in ENGINES)

        return Sustained(
            form("gemm", self.dense, DENSE) * self.peak_dense,
            form("experts", self.experts, EXPERTS) * software("share") * self.peak_experts,
            silicon("gemm.bf16") * self.bf16,
            silicon("attention") * self.bf16,
            silicon("latent") * self.bf16,
            form("stream", self.dense, DENSE) * self.bandwidth,
            form("expert_stream", self.experts, EXPERTS) * self.bandwidth,
            silicon("stream.bf16") * self.bandwidth,
            silicon("cache") * self.bandwidth,
            silicon("gap") * software("gaps"),
            LAUNCH,
            silicon("reduce"),
            v["exchange"],
            v["crossing"],
            v["scale_up"] * self.scale_up,
            SCALE_OUT * self.nic,
            software("host_step"),
            software("host_sequence"),
            software("host_prompt"),
            v["skew"],
        )

    def steps(self, known: Sustained, batch: Batch, acceptance: float) -> Any:
        """Time of one step of every row [s]."""
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

    def tpot(self, v: dict[str, float], tokens: float = 8192.0) -> Any:
        """Time per output token of every row in its steady state [s]."""
        known, acceptance = self.sustained(v), v["acceptance"]
        given = Speculation(self.drafts, acceptance).tokens_per_step
        users, dp = self.users, self.layout.dp
        batch, sharing = np.maximum(users, 1.0), np.ones(len(self.runs))
        each = 0.0
        for _ in range(6):
            context = batch * (self.input + self.output / 2)
            alone = self.steps(known, Batch(batch, context, 0.0, 0.0, np.inf, 0.0), acceptance)
            # `sharing` prompts arrive while a step with prompts runs, and share the next one.
            chunk = np.minimum(sharing * self.input, tokens * dp)
            pieces = sharing * self.input / chunk
            longest = np.minimum(self.input, tokens)
            mixed = self.steps(
                known,
                Batch(batch, context, chunk, chunk * self.input / 2, longest, sharing / pieces),
                acceptance,
            )
            rest = np.maximum(self.output - 1, 1.0)
            often = np.where(self.apart, 0.0, pieces / sharing * batch / rest * given)
            each = (alone + np.maximum(often * (mixed - alone), 0.0)) / given
            first = pieces * mixed
            per_user = batch / (each * rest)
            sharing = 0.5 * sharing + 0.5 * np.clip(per_user * first, 1.0, np.maximum(users, 1.0))
            decoding = np.where(self.apart, users, users * each * rest / (first + each * rest))
            batch = np.maximum(0.5 * batch + 0.5 * decoding, 1.0)
        return each


def _part(record: Any, rows: Any) -> Any:
    return type(record)(*(np.asarray(x)[rows] if np.ndim(x) else x for x in record))


def _peak(run: ServingRun, form: str) -> float:
    return run.chip.peak.get(PEAK_KEY[form], run.chip.peak["bf16"])


def fit(runs: Runs, start: np.ndarray | None = None, rounds: int = 7) -> dict[str, float]:
    """Fit all parameters to all rows."""
    known = parameters()
    prior = np.log([p.start for p in known])
    weight = np.array([p.weight for p in known])
    most = np.array([math.log(0.98) if p.share else np.inf for p in known])

    def residuals(x: np.ndarray) -> np.ndarray:
        v = {p.name: math.exp(t) for p, t in zip(known, x, strict=True)}
        return np.concatenate([np.log(runs.tpot(v) / runs.measured), (x - prior) * weight])

    begin = np.minimum(prior if start is None else start, most - 1e-6)
    found = least_squares(
        residuals, begin, bounds=(-np.inf, most), loss="soft_l1", f_scale=0.1, max_nfev=rounds, diff_step=1e-3
    )
    return {p.name: math.exp(t) for p, t in zip(known, found.x, strict=True)}


def report(title: str, errors: np.ndarray) -> None:
    """Print the errors of a set of rows."""
    median, p90, bias = np.median(np.abs(errors)), np.percentile(np.abs(errors), 90), np.median(errors)
    print(f"{title:48s} {len(errors):5d} rows  median {median:6.1%}  p90 {p90:6.1%}  bias {bias:+6.1%}")


def fit_front(rows: list[tuple[dict[str, str], ServingRun]], every: int = 3) -> dict[str, dict[str, float]]:
    """Fit the front ends to what time to first token the simulator leaves unexplained, engine by engine."""
    left: dict[tuple[str, bool], list[tuple[float, float, float, float]]] = defaultdict(list)
    for row, run in rows[::every]:
        try:
            measured = float(row["ttft_ms"]) / 1e3
        except ValueError:
            continue
        alone = predict(run).ttft - front_time(run, run.concurrency)
        left[run.engine, run.prefill is not None].append((run.input, run.concurrency, measured, alone))
    found: dict[str, dict[str, float]] = {}
    for engine in ENGINES:
        prompt, users, measured, alone = np.array(left[engine, False]).T
        waits = 1 + (users - 1) / 2 / WAVES

        def front(x: np.ndarray, waits: Any = waits, prompt: Any = prompt) -> Any:
            latency, request, token = np.exp(x)
            return latency + (request + token * prompt) * waits

        def residuals(x: np.ndarray, f: Any = front, alone: Any = alone, measured: Any = measured) -> Any:
            return np.log((alone + f(x)) / measured)

        x = least_squares(residuals, np.log([0.05, 2e-3, 1e-6]), loss="soft_l1", f_scale=0.2).x
        report(f"time to first token, {engine}", np.expm1(residuals(x)))
        latency, request, token = (float(value) for value in np.exp(x))
        found[engine] = {"latency": latency, "request": request, "token": token, "handover": 0.0}
        if left[engine, True]:
            prompt, users, measured, alone = np.array(left[engine, True]).T
            known = alone + front(x, 1 + (users - 1) / 2 / WAVES, prompt)
            later = least_squares(
                lambda t, k=known, m=measured: np.log((k + np.exp(t)) / m),
                [math.log(0.3)],
                loss="soft_l1",
                f_scale=0.2,
            )
            found[engine]["handover"] = float(np.exp(later.x[0]))
            report("the same, disaggregated", np.expm1(later.fun))
    return found


def untold(runs: Runs) -> dict[str, list[str]]:
    """Formats of a generation that no row has: their shares stay at the prior, and are assumptions."""
    found: dict[str, list[str]] = {}
    for g in GENERATIONS:
        mine = runs.hopper == (g == "hopper")
        moe = np.array(
            [any(getattr(k.feed_forward, "experts", 0) for k in u.model.kinds()) for u in runs.runs]
        )
        dense = [f for f in DENSE if not (mine & (runs.dense == f)).any()]
        experts = [f for f in EXPERTS if not (mine & moe & (runs.experts == f)).any()]
        found[g] = [f"gemm and stream {f}" for f in dense if f != "bf16"]
        found[g] += [f"experts and expert_stream {f}" for f in experts]
    return found


def toml(
    v: dict[str, float], fronts: dict[str, dict[str, float]], missing: dict[str, list[str]], provenance: str
) -> str:
    """Text of the calibration."""
    lines = [
        "# What chips and engines sustain when they serve: shares of datasheet rates, gaps and host times.",
        "# Written by tools/fit_serving.py; docs/serving.md says what they mean and how far they carry.",
        "",
        "# Whose kernels stand in: a chip's generation; others take Hopper's shares: assumed.",
        "[families]",
        *(f'{name} = "hopper"' for name in HOPPER),
        *(f'{name} = "blackwell"' for name in ("b200", "b300", "gb200", "gb300")),
        'nvidia = "blackwell"',
        'other = "hopper"',
    ]
    for g in GENERATIONS:
        also = f"; assumed, as no row has them: {', '.join(missing[g])}" if missing[g] else ""
        lines += ["", f"[generations.{g}]", f'provenance = "{provenance}{also}"']
        for name, forms in (
            ("gemm", DENSE),
            ("stream", DENSE),
            ("experts", EXPERTS),
            ("expert_stream", EXPERTS),
        ):
            each = ", ".join(f"{f} = {v[f'{name}.{f}.{g}']:.4g}" for f in forms)
            lines.append(f"{name} = {{ {each} }}")
        lines += [
            f"{name} = {v[f'{name}.{g}']:.4g}" for name in ("attention", "latent", "cache", "gap", "reduce")
        ]
    for e in ENGINES:
        lines += ["", f"[engines.{e}]", f'provenance = "{provenance}; launch assumed"']
        lines += [
            f"gaps = {v[f'gaps.{e}']:.4g}",
            f"experts = {v[f'share.{e}']:.4g}",
            f"launch = {LAUNCH:.4g}",
        ]
        lines += [f"{k} = {v[f'{k}.{e}']:.4g}" for k in ("host_step", "host_sequence", "host_prompt")]
        each = ", ".join(f"{k} = {value:.4g}" for k, value in fronts[e].items())
        lines.append(f"front = {{ {each} }}")
    lines += ["", "[common]", f'provenance = "{provenance}; scale_out assumed"']
    lines += [f"{k} = {v[k]:.4g}" for k in ("scale_up", "exchange", "crossing", "skew", "acceptance")]
    return "\n".join([*lines, f"scale_out = {SCALE_OUT}", ""])


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("tables", nargs="+", type=Path)
    arguments.add_argument("--write", action="store_true")
    arguments.add_argument("--held-out", action="store_true")
    chosen = arguments.parse_args()
    known, rows = catalog.load(), []
    for path in chosen.tables:
        for row in read_table(path, ("id", "gpu", "model", "tpot_ms")):
            try:
                run = read_run(row, known)
                measured = float(row["tpot_ms"] or 0)
            except (ArmillaryError, ValueError):
                continue
            if measured > 0 and math.isfinite(run.concurrency) and run.engine in ENGINES:
                rows.append((row, run))
    runs = Runs(rows)
    found = fit(runs, rounds=10)
    errors = runs.tpot(found) / runs.measured - 1
    report("all rows, in sample", errors)
    report("aggregated", errors[~runs.apart])
    report("disaggregated", errors[runs.apart])
    if chosen.write:
        words = f"fitted: tools/fit_serving.py on {len(rows)} published closed loops, 2026-11"
        none = dict.fromkeys(("latency", "request", "token", "handover"), 0.0)
        TARGET.write_text(toml(found, dict.fromkeys(ENGINES, none), untold(runs), words), "utf-8")
        serving_table.cache_clear()
        TARGET.write_text(toml(found, fit_front(rows), untold(runs), words), "utf-8")
        print(f"wrote {TARGET}", file=sys.stderr)
    if not chosen.held_out:
        return
    start = np.log([found[p.name] for p in parameters()])
    for what in ("model", "release"):
        labels = np.array([u.model.name if what == "model" else f"{u.engine} {u.release}" for u in runs.runs])
        left: list[np.ndarray] = []
        for label in sorted(set(labels)):
            out = labels == label
            v = fit(Runs([r for r, o in zip(rows, out, strict=True) if not o]), start, rounds=4)
            left.append((runs.tpot(v) / runs.measured - 1)[out])
            report(f"without {what} {label}", left[-1])
        report(f"each {what} left out", np.concatenate(left))


if __name__ == "__main__":
    main()

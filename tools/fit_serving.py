"""Fit what chips and engines sustain when they serve, on published closed loops of one table.

    python tools/fit_serving.py TABLE.csv... [--write] [--held-out]

Time per output token of each row, and time to first token of quiet ones, are taken from a mean-field steady
state of the engine model (`serving_rows.py`). Parameters are fitted in logarithms with a robust loss and
priors at usual values, shares bounded below 1; releases of an engine differ from it in four factors, drawn
towards one. `--held-out` fits anew without each model, and without each engine release, and prints the errors
of what was left out. `--write` rewrites src/armillary/serving/calibration.toml, the handover between workers
fitted to what the simulator leaves of disaggregated runs.
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
from serving_rows import DENSE, ENGINES, EXPERTS, HOPPER, SCALE_OUT, Row, Rows

from armillary import catalog
from armillary.errors import ArmillaryError
from armillary.serving.calibration import front_end, serving_table
from armillary.validation.serving_loop import predict
from armillary.validation.serving_rows import read_run
from armillary.validation.tables import read_table

TARGET = Path(__file__).parents[1] / "src/armillary/serving/calibration.toml"
GENERATIONS = ("hopper", "blackwell")
VINTAGE = ("kernels", "gaps", "host", "lag")
"""What a release of an engine has more or less of than the engine in the mean."""
STEP = 1e-3
"""Of a finite difference, in the logarithm of a parameter."""
SAMPLE = 3
"""One disaggregated row in so many is simulated for the handover. [-]"""


class Parameter(NamedTuple):
    """start : prior value; weight : of the prior, over that of a row; share : bounded below 1."""

    name: str
    start: float
    weight: float
    share: bool


def parameters(levels: tuple[str, ...]) -> list[Parameter]:
    """All that is fitted, for the releases that rows name."""
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
            Parameter(f"launch.{e}", 2e-5, 0.3, False),
            Parameter(f"host_step.{e}", 3e-4, 0.5, False),
            Parameter(f"host_sequence.{e}", 2e-6, 0.5, False),
            Parameter(f"latency.{e}", 0.025, 2.5, False),
            Parameter(f"token.{e}", 1e-6, 6.0, False),
            Parameter(f"lag.{e}", 2.0, 2.0, False),
            Parameter(f"streamed.{e}", 0.2, 0.5, True),
        ]
    for one in levels:
        found += [Parameter(f"{name}.{one}", 1.0, 0.7 if name == "lag" else 1.0, False) for name in VINTAGE]
    return found


def reach(rows: Rows, known: list[Parameter]) -> list[np.ndarray]:
    """Rows that each parameter bears on, `[row]` each."""
    found = []
    for p in known:
        name, _, last = p.name.rpartition(".")
        first, _, form = name.partition(".")
        mine = np.ones(len(rows.runs), bool)
        if " " in p.name:
            mine &= rows.level == p.name.split(".", 1)[1]
        elif last in GENERATIONS:
            mine &= rows.hopper == (last == "hopper")
        elif last in ENGINES:
            mine &= rows.engine == last
        if first in ("gemm", "stream") and form not in ("", "bf16"):
            mine &= rows.dense == form
        if first in ("experts", "expert_stream"):
            mine &= (rows.experts == form) & rows.moe
        if p.name == "acceptance":
            mine &= rows.drafts > 0
        found.append(mine)
    return found


def colours(reached: list[np.ndarray]) -> list[list[int]]:
    """Parameters that share no row, in groups: one finite difference serves a whole group."""
    found: list[list[int]] = []
    for i, mine in enumerate(reached):
        for group in found:
            if not any((reached[j] & mine).any() for j in group):
                group.append(i)
                break
        else:
            found.append([i])
    return found


def fit(rows: Rows, start: np.ndarray | None = None, rounds: int = 7) -> dict[str, float]:
    """Fit all parameters to all rows."""
    known = parameters(rows.levels)
    prior = np.log([p.start for p in known])
    weight = np.array([p.weight for p in known])
    most = np.array([math.log(0.98) if p.share else np.inf for p in known])
    reached = reach(rows, known)
    groups = colours(reached)
    quiet = np.where(rows.quiet, rows.ttft, 1.0)
    held = np.concatenate([np.zeros(2 * len(rows.runs), bool), [" " in p.name for p in known]])

    def errors(x: np.ndarray) -> np.ndarray:
        found = rows.steady({p.name: math.exp(t) for p, t in zip(known, x, strict=True)})
        first = np.where(rows.quiet, np.log(found.ttft / quiet), 0.0)
        return np.concatenate([np.log(found.tpot / rows.tpot), first])

    def residuals(x: np.ndarray) -> np.ndarray:
        return np.concatenate([errors(x), (x - prior) * weight])

    def slopes(x: np.ndarray) -> np.ndarray:
        here = errors(x)
        found = np.zeros((len(here), len(x)))
        for group in groups:
            there = x.copy()
            there[group] -= STEP  # downwards, to stay inside the bounds
            slope = (here - errors(there)) / STEP
            for j in group:
                mine = np.tile(reached[j], 2)
                found[mine, j] = slope[mine]
        return np.vstack([found, np.diag(weight)])

    def loss(z: np.ndarray) -> np.ndarray:
        """Soft absolute values; squares of what a release departs from its engine by."""
        soft = np.array([2 * (np.sqrt(1 + z) - 1), (1 + z) ** -0.5, -0.5 * (1 + z) ** -1.5])
        return np.where(held, np.array([z, np.ones_like(z), np.zeros_like(z)]), soft)

    begin = np.minimum(prior if start is None else start, most - 1e-6)
    found = least_squares(residuals, begin, slopes, (-np.inf, most), loss=loss, f_scale=0.1, max_nfev=rounds)
    return {p.name: math.exp(t) for p, t in zip(known, found.x, strict=True)}


def report(title: str, errors: np.ndarray) -> None:
    """Print the errors of a set of rows."""
    median, p90, bias = np.median(np.abs(errors)), np.percentile(np.abs(errors), 90), np.median(errors)
    print(f"{title:48s} {len(errors):5d} rows  median {median:6.1%}  p90 {p90:6.1%}  bias {bias:+6.1%}")


def handovers(rows: list[Row]) -> dict[str, float]:
    """Time that a handover adds to what the simulator says, in the median, by engine [s]."""
    left: dict[str, list[float]] = defaultdict(list)
    for row, run in [(r, u) for r, u in rows if u.prefill is not None][::SAMPLE]:
        measured = float(row.get("ttft_ms") or 0) / 1e3
        if measured > 0:
            left[run.engine].append(measured - predict(run).ttft + front_end(run.engine).handover)
    return {e: max(float(np.median(left[e])), 0.0) if left[e] else 0.0 for e in ENGINES}


def untold(rows: Rows) -> dict[str, list[str]]:
    """Formats of a generation that no row has: their shares stay at the prior, and are assumptions."""
    found: dict[str, list[str]] = {}
    for g in GENERATIONS:
        mine = rows.hopper == (g == "hopper")
        dense = [f for f in DENSE if not (mine & (rows.dense == f)).any()]
        experts = [f for f in EXPERTS if not (mine & rows.moe & (rows.experts == f)).any()]
        found[g] = [f"gemm and stream {f}" for f in dense if f != "bf16"]
        found[g] += [f"experts and expert_stream {f}" for f in experts]
    return found


def toml(
    v: dict[str, float],
    levels: tuple[str, ...],
    handover: dict[str, float],
    missing: dict[str, list[str]],
    words: str,
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
        lines += ["", f"[generations.{g}]", f'provenance = "{words}{also}"']
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
        lines += ["", f"[engines.{e}]", f'provenance = "{words}; releases over the engine in the mean"']
        lines += [f"gaps = {v[f'gaps.{e}']:.4g}", f"experts = {v[f'share.{e}']:.4g}"]
        lines += [f"{k} = {v[f'{k}.{e}']:.4g}" for k in ("launch", "host_step", "host_sequence")]
        each = ", ".join(f"{k} = {v[f'{k}.{e}']:.4g}" for k in ("latency", "token", "lag", "streamed"))
        lines += [f"front = {{ {each}, handover = {handover[e]:.4g} }}", "", f"[engines.{e}.releases]"]
        for one in levels:
            engine, _, release = one.partition(" ")
            if engine == e:
                each = ", ".join(f"{k} = {v[f'{k}.{one}']:.4g}" for k in VINTAGE)
                lines.append(f'"{release}" = {{ {each} }}')
    lines += ["", "[common]", f'provenance = "{words}; scale_out assumed"']
    lines += [f"{k} = {v[k]:.4g}" for k in ("scale_up", "exchange", "crossing", "skew", "acceptance")]
    return "\n".join([*lines, f"scale_out = {SCALE_OUT}", ""])


def read_rows(tables: list[Path]) -> list[Row]:
    """Closed loops with a time per output token, of engines that are calibrated."""
    known, rows = catalog.load(), []
    for path in tables:
        for row in read_table(path, ("id", "gpu", "model", "tpot_ms")):
            try:
                run, measured = read_run(row, known), float(row["tpot_ms"] or 0)
            except (ArmillaryError, ValueError):
                continue
            if measured > 0 and math.isfinite(run.concurrency) and run.engine in ENGINES:
                rows.append((row, run))
    return rows


def held_out(rows: list[Row], whole: Rows, found: dict[str, float]) -> None:
    """Fit anew without each model, and without each release, and print how far off what was left out is."""
    start = np.log([found[p.name] for p in parameters(whole.levels)])
    for what in ("model", "release"):
        labels: Any = np.array([u.model.name for u in whole.runs]) if what == "model" else whole.level
        left: list[np.ndarray] = []
        for label in sorted(set(labels)):
            out = labels == label
            some = Rows([r for r, o in zip(rows, out, strict=True) if not o], whole.levels)
            v = fit(some, start, rounds=4)
            if what == "release":  # as one that nobody has seen
                v |= {f"{name}.{label}": 1.0 for name in VINTAGE}
            left.append((whole.steady(v).tpot / whole.tpot - 1)[out])
            report(f"without {what} {label}", left[-1])
        report(f"each {what} left out", np.concatenate(left))


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("tables", nargs="+", type=Path)
    arguments.add_argument("--write", action="store_true")
    arguments.add_argument("--held-out", action="store_true")
    chosen = arguments.parse_args()
    rows = read_rows(chosen.tables)
    whole = Rows(rows)
    found = fit(whole, rounds=15)
    steady = whole.steady(found)
    errors = steady.tpot / whole.tpot - 1
    report("time per output token, all rows, in sample", errors)
    report("aggregated", errors[~whole.apart])
    report("disaggregated", errors[whole.apart])
    report("time to first token, quiet rows", (steady.ttft / whole.ttft - 1)[whole.quiet])
    if chosen.write:
        words = f"fitted: tools/fit_serving.py on {len(rows)} published closed loops, 2026-11"
        missing, none = untold(whole), dict.fromkeys(ENGINES, 0.0)
        TARGET.write_text(toml(found, whole.levels, none, missing, words), "utf-8")
        serving_table.cache_clear()
        TARGET.write_text(toml(found, whole.levels, handovers(rows), missing, words), "utf-8")
        print(f"wrote {TARGET}", file=sys.stderr)
    if chosen.held_out:
        held_out(rows, whole, found)


if __name__ == "__main__":
    main()

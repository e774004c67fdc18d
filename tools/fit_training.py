"""Fit the shares that chips and frameworks sustain to measured runs, and write them to calibration.toml.

    python tools/fit_training.py [--data measured_runs.csv] [--folds 4] [--by-source] [--write] [--page FILE]

Every parameter is a physical one of `training.calibration.Chip` or `Software`; none belongs to a row or a
model. Residuals are log(predicted / measured) of step time with a soft-L1 loss; rows of one `split_group`
count as the square root of their number. A weak prior holds parameters that few rows see, and ties the GEMM
shares of the Blackwell chips to each other. The models take arrays for any number of a calibration, so that
one call gives a row's prediction at every trial point of a finite difference. With --folds the error is also
reported on rows held out by `split_group`, and with --by-source on each source left out.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from copy import deepcopy
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from armillary import catalog
from armillary.errors import ArmillaryError
from armillary.training import estimate
from armillary.validation import RUNS, Setup, default_calibration, is_scored, read, read_table
from armillary.validation.memory import read_memory_table, read_slice
from armillary.validation.training import METRICS, _measured, _predict, _target

TABLE = Path(__file__).parent.parent / "src/armillary/training/calibration.toml"


class Parameter(NamedTuple):
    """A number of the calibration file. place : its table and key there; low, high : bounds."""

    place: tuple[str, ...]
    low: float
    high: float
    start: float

    @property
    def name(self) -> str:
        """Its place in words."""
        return ".".join(self.place)


class Sample(NamedTuple):
    """A row ready to evaluate. seconds : measured step time. weight : of its residual."""

    id: str
    source: str
    group: str
    setup: Setup
    seconds: float
    weight: float = 1.0

    @property
    def moe(self) -> bool:
        """True for mixtures of experts."""
        return any(getattr(kind.feed_forward, "experts", 0) for kind in self.setup.job.model.kinds())


SHARE_SIGMA, LATENCY_SIGMA = 0.25, 0.5
"""Width of the prior around the file's number, of its logarithm."""
PRIOR, TIE = 0.15, 10.0
"""Weight of the prior, and of the tie between the GEMM shares of chips of one generation."""
TIED = tuple(f"chips.{chip}.gemm" for chip in ("b200", "b300", "gb200", "gb300"))
NOISE = 0.02
"""Residual that counts as one. [-]"""

BOUNDS = {
    "bf16": (0.3, 0.87),
    "fp8": (0.25, 0.85),
    "fp4": (0.1, 0.8),
    "memory": (0.6, 0.92),
    "unfused": (1.0, 4.0),
    "attention_share": (0.3, 1.0),
    "scale_up": (0.3, 0.85),
    "scale_out_share": (0.4, 0.98),
    "tensor_overlap": (0.05, 0.95),
    "expert_overlap": (0.1, 1.0),
    "gemm_share": (0.7, 1.1),
    "scan_share": (0.01, 1.0),
    "tensors": (1.0, 12.0),
    "contention": (0.02, 1.0),
    "dispatch_inside": (0.1, 0.98),
    "dispatch_latency_inside": (2e-6, 1e-3),
    "routing": (2e-6, 1.5e-3),
    "expert_launch": (1e-7, 2e-4),
    "routing_graphs": (1e-6, 1e-4),
    "host": (0.5, 4.0),
    "early": (0.7, 1.0),
    "gap": (3e-7, 5e-6),
    "gap_graphs": (2e-7, 2e-6),
    "jitter": (0.0002, 0.03),
    "hybridep": (0.1, 0.98),
    "deepep": (0.05, 0.95),
    "uccl": (0.01, 0.95),
    "nvshmem": (0.01, 0.95),
    "nccl": (0.05, 0.95),
}
LATENCIES = (5e-6, 1e-2)
"""Bounds of `dispatch_latency`. [s]"""
UNFITTED_AT_ONE = ("attention_share", "gemm_share", "host", "early", "unfused", "tensors")
"""Numbers that are fitted only where the file has them off one."""
UNSEEN = ("chips.mi300x", "chips.mi355x", "chips.b200.gemm.fp4", "chips.b300.gemm.fp4")
"""What no scored run fixes: left as the file has it."""
HIGHEST = {
    "chips.a100-80.gemm.bf16": 0.869,
    "chips.h100.gemm.bf16": 0.803,
    "chips.h100.gemm.fp8": 0.776,
    "chips.b200.gemm.bf16": 0.776,
    "chips.b200.gemm.fp8": 0.763,
    "chips.b300.gemm.bf16": 0.786,
    "chips.b300.gemm.fp8": 0.745,
    "chips.gb200.gemm.bf16": 0.729,
    "chips.gb200.gemm.fp8": 0.723,
    "chips.gb300.gemm.bf16": 0.786,
    "chips.gb300.gemm.fp8": 0.745,
}
"""Best measured GEMM of any shape, over the peak (ml-engineering's table of maximum achievable FLOP/s, 2025):
no training run sustains more. [-]"""


def parameters(table: Mapping[str, Any]) -> list[Parameter]:
    """Every number of the file that has bounds here."""
    found: list[Parameter] = []

    def walk(node: Mapping[str, Any], place: tuple[str, ...]) -> None:
        for key, value in node.items():
            here = (*place, key)
            name = ".".join(here)
            if isinstance(value, dict):
                walk(value, here)
            elif name.startswith(UNSEEN) or (key in UNFITTED_AT_ONE and value == 1.0):
                continue
            elif place[-1] == "dispatch_latency" and key != "provenance":
                found.append(Parameter(here, *LATENCIES, value))
            elif key in BOUNDS and not isinstance(value, bool):
                low, high = BOUNDS[key]
                high = HIGHEST.get(name, high)
                found.append(Parameter(here, low, high, float(np.clip(value, low * 1.001, high * 0.999))))

    walk({room: table[room] for room in ("chips", "software")}, ())
    return found


def with_values(table: Mapping[str, Any], values: Mapping[tuple[str, ...], Any]) -> dict[str, Any]:
    """The file's table with trial values (numbers or arrays of them) put in."""
    trial = deepcopy(dict(table))
    for place, value in values.items():
        node = trial
        for key in place[:-1]:
            node = node[key]
        node[place[-1]] = value
    return trial


def samples(path: Path) -> list[Sample]:
    """The scored rows that can be evaluated, and slices of models on one box with their step times."""
    known = catalog.load()
    found = []
    for row in (r for r in read_table(path) if is_scored(r)):
        published = {m: v for m in METRICS if (v := _measured(row, m)) is not None}
        metric = _target(row, published)
        try:
            setup = read(row, known)
        except ArmillaryError:
            continue
        answer = estimate(setup.job, setup.machine, setup.layout, default_calibration(setup))
        step, predicted = float(answer.time.total), _predict(metric, row, setup.job.model, answer)
        slower = metric in ("step_time_s", "derived_step_time_s")
        seconds = step * (published[metric] / predicted if slower else predicted / published[metric])
        found.append(Sample(row["id"], row["source"], row.get("split_group") or row["id"], setup, seconds))
    for row in read_memory_table():
        job, machine, layout, assumed = read_slice(row, known)
        setup = Setup(job, machine, layout, "megatron", False, "nccl", None, list(assumed))
        group = re.sub(r"_mbc\d+", "", row["case"])
        found.append(Sample(row["case"], SLICES, group, setup, float(row["measured_ms"]) / 1e3))
    sizes = Counter(s.group for s in found)
    return [s._replace(weight=sizes[s.group] ** -0.25) for s in found]


SLICES = "slices on one box"


def log_ratios(trial: Mapping[str, Any], chosen: Sequence[Sample], points: int = 1) -> NDArray[np.float64]:
    """log(predicted / measured) of step time at every trial point, `[sample, point]`."""
    out = np.empty((len(chosen), points))
    for i, s in enumerate(chosen):
        at = s.setup
        answer = estimate(at.job, at.machine, at.layout, default_calibration(at, trial))
        out[i] = np.log(np.ravel(answer.time.total) / s.seconds)
    return out


def fit(
    chosen: Sequence[Sample], known: Sequence[Parameter], table: Mapping[str, Any], steps: int
) -> dict[tuple[str, ...], float]:
    """Least squares over the logarithms of the parameters; one evaluation gives residuals and Jacobian."""
    low, high = np.log([p.low for p in known]), np.log([p.high for p in known])
    start = np.clip(np.log([p.start for p in known]), low + 1e-6, high - 1e-6)
    weights = np.array([s.weight for s in chosen]) / NOISE
    widths = [LATENCY_SIGMA if "dispatch_latency" in p.place else SHARE_SIGMA for p in known]
    prior, ties, step = np.diag(PRIOR / np.array(widths)), _ties(known), 1e-3
    latest: dict[bytes, tuple[NDArray[np.float64], NDArray[np.float64]]] = {}

    def evaluate(x: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        if x.tobytes() not in latest:
            points = np.exp(np.vstack([x, x + step * np.eye(x.size)]))
            trial = with_values(table, {p.place: points[:, i] for i, p in enumerate(known)})
            ratios = log_ratios(trial, chosen, len(points))
            latest.clear()
            latest[x.tobytes()] = ratios[:, 0], (ratios[:, 1:] - ratios[:, :1]) / step
            print(f"  median |error| {np.median(np.abs(np.expm1(ratios[:, 0]))):.4f}", file=sys.stderr)
        return latest[x.tobytes()]

    solved = least_squares(
        lambda x: np.concatenate([evaluate(x)[0] * weights, prior @ (x - start), ties @ x]),
        start,
        lambda x: np.vstack([evaluate(x)[1] * weights[:, None], prior, ties]),
        bounds=(low, high),
        loss="soft_l1",
        max_nfev=steps,
        xtol=1e-3,
        ftol=1e-3,
    )
    return {p.place: float(v) for p, v in zip(known, np.exp(solved.x), strict=True)}


def _ties(known: Sequence[Parameter]) -> NDArray[np.float64]:
    """Rows that hold the GEMM shares of one generation and precision near their mean."""
    rows = []
    for precision in ("bf16", "fp8", "fp4"):
        members = [i for i, p in enumerate(known) if p.name in [f"{chip}.{precision}" for chip in TIED]]
        for i in members:
            row = np.zeros(len(known))
            row[members] = -1 / len(members)
            row[i] += 1
            rows.append(TIE * row)
    return np.array(rows).reshape(-1, len(known))


def report(errors: NDArray[np.float64], chosen: Sequence[Sample]) -> dict[str, dict[str, float]]:
    """Errors of step time over the scored samples: all, dense, mixtures of experts."""
    scored, moe = np.array([s.source != SLICES for s in chosen]), np.array([s.moe for s in chosen])
    found = {}
    for name, mask in (("all", scored), ("dense", scored & ~moe), ("MoE", scored & moe)):
        if mask.any():
            e = errors[mask]
            found[name] = {
                "n": int(mask.sum()),
                "median": float(np.median(np.abs(e))),
                "p90": float(np.percentile(np.abs(e), 90)),
                "bias": float(np.median(e)),
            }
    return found


def held_out(
    chosen: Sequence[Sample],
    part_of: Mapping[str, Any],
    label: str,
    known: Sequence[Parameter],
    table: Mapping[str, Any],
    steps: int,
) -> NDArray[np.float64]:
    """Errors of every sample under a fit that has not seen its part."""
    errors = np.zeros(len(chosen))
    parts = [part_of[getattr(s, label)] for s in chosen]
    for part in sorted(set(parts)):
        outside = [i for i, p in enumerate(parts) if p == part]
        inside = [s for s, p in zip(chosen, parts, strict=True) if p != part]
        print(f"without {part}: {len(outside)} of {len(chosen)}", file=sys.stderr)
        trial = with_values(table, fit(inside, known, table, steps))
        errors[outside] = np.expm1(log_ratios(trial, [chosen[i] for i in outside])[:, 0])
    return errors


def write(values: Mapping[tuple[str, ...], float]) -> None:
    """Put fitted numbers into calibration.toml, line by line, keeping its comments."""
    lines, table = [], ""
    named = {".".join(place): value for place, value in values.items()}
    for line in TABLE.read_text("utf-8").splitlines():
        header = re.match(r"\[(.+)\]", line)
        if header:
            table = header[1]
        key = re.match(r"([a-z0-9_]+)\s*=", line)
        if key and key[1] == "gemm":
            for precision, name in product(("bf16", "fp8", "fp4"), (f"{table}.gemm",)):
                if f"{name}.{precision}" in named:
                    line = re.sub(
                        rf"{precision} = [\d.]+", f"{precision} = {named[f'{name}.{precision}']:.4g}", line
                    )
        elif key and f"{table}.{key[1]}" in named:
            line = f"{key[1]} = {named[f'{table}.{key[1]}']:.4g}"
        lines.append(line)
    temporary = TABLE.with_suffix(".new")
    temporary.write_text("\n".join(lines) + "\n", "utf-8")
    temporary.replace(TABLE)


def page(
    results: Mapping[str, Mapping[str, Mapping[str, float]]],
    known: Sequence[Parameter],
    values: Mapping[tuple[str, ...], float],
) -> str:
    """The docs page of a fit: errors in sample and held out, and every fitted number."""
    per_chip = Counter(p.place[1] for p in known if p.place[0] == "chips")
    per_framework = Counter(p.place[1] for p in known if p.place[0] == "software")
    lines = [
        "<!-- made by: tools/fit_training.py --folds 4 --by-source --write --page docs/calibration.md -->",
        "# Calibration",
        "",
        "What the fit of `training/calibration.toml` reaches on the scored runs: in sample, on rows held",
        "out by `split_group` (all releases and boxes of one job together), and on each source left out",
        "whole. Errors are of step time. The slices of the memory table are fitted too and not counted here.",
        "",
        "| rows | n | median | p90 | bias |",
        "|---|---:|---:|---:|---:|",
    ]
    for title, groups in results.items():
        for name, r in groups.items():
            if not title.startswith("without") or name == "all":
                label = title if name == "all" else f"{title}, {name}"
                lines.append(
                    f"| {label} | {r['n']} | {r['median']:.1%} | {r['p90']:.1%} | {r['bias']:+.1%} |"
                )
    chips = ", ".join(f"{name} {n}" for name, n in per_chip.items())
    frameworks = ", ".join(f"{name} {n}" for name, n in per_framework.items())
    lines += [
        "",
        "A source left out takes with it all that only it knows: its framework's table, or a chip that no",
        "other source has. That error says what to expect of a machine or framework never measured.",
        "",
        f"{len(values)} numbers are fitted; none belongs to a row or a model. Of chips: {chips}.",
        f"Of frameworks: {frameworks}.",
        "",
        "| parameter | value | of its range |",
        "|---|---:|---|",
    ]
    for p in known:
        value = values[p.place]
        edge = (
            "at its lower bound"
            if value < p.low * 1.01
            else "at its upper bound"
            if value > p.high * 0.99
            else ""
        )
        lines.append(f"| `{p.name}` | {value:.4g} | {edge} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Fit, report, cross-validate, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=RUNS)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--folds", type=int, default=0)
    parser.add_argument("--by-source", action="store_true")
    parser.add_argument("--write", action="store_true", help="put the numbers into calibration.toml")
    parser.add_argument("--page", type=Path, help="write the errors and the numbers as a docs page")
    asked = parser.parse_args()
    chosen = samples(asked.data)
    table = tomllib.loads(TABLE.read_text("utf-8"))
    known = parameters(table)
    print(f"{len(chosen)} rows, {len(known)} parameters", file=sys.stderr)
    best = fit(chosen, known, table, asked.steps)
    errors = np.expm1(log_ratios(with_values(table, best), chosen)[:, 0])
    results = {"in sample": report(errors, chosen)}
    if asked.folds:
        groups = np.random.default_rng(0).permutation(sorted({s.group for s in chosen}))
        fold = {str(group): i % asked.folds for i, group in enumerate(groups)}
        left = held_out(chosen, fold, "group", known, table, asked.steps // 2)
        results["held out by group"] = report(left, chosen)
    if asked.by_source:
        sources = {s.source: s.source for s in chosen}
        left = held_out(chosen, sources, "source", known, table, asked.steps // 4)
        results["held out by source"] = report(left, chosen)
        for source in sorted(sources):
            mine = [i for i, s in enumerate(chosen) if s.source == source]
            results[f"without {source}"] = report(left[mine], [chosen[i] for i in mine])
    print(json.dumps({"results": results, "parameters": {".".join(k): v for k, v in best.items()}}, indent=1))
    if asked.page:
        asked.page.write_text(page(results, known, best), "utf-8")
    if asked.write:
        write(best)


if __name__ == "__main__":
    main()

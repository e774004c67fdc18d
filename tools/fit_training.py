"""Fit the shares that chips and frameworks sustain to measured runs, and write them to calibration.toml.

    python tools/fit_training.py --data measured_runs.csv [--folds 5] [--write]

Every parameter is a physical one of `training.calibration.Chip` or `Software`; none belongs to a row, a
model or a release. Residuals are log(predicted / measured) of step time with a soft-L1 loss, rows of one
`split_group` sharing one vote; a weak prior holds parameters that few rows see. With --folds the error is
also reported on rows held out by `split_group`, and with --by-source on each source left out.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import least_squares

from armillary import catalog
from armillary.errors import ArmillaryError
from armillary.training import Calibration, estimate
from armillary.training.calibration import family_of, lineage
from armillary.validation import default_calibration, is_scored, read, read_table
from armillary.validation.training import METRICS, _measured, _predict, _target

TABLE = Path(__file__).parent.parent / "src/armillary/training/calibration.toml"


class Parameter(NamedTuple):
    """A number of the calibration file. place : its table and key there; low, high : bounds."""

    place: tuple[str, ...]
    low: float
    high: float
    sigma: float
    start: float

    @property
    def name(self) -> str:
        return ".".join(self.place)


class Sample(NamedTuple):
    """A scored row ready to evaluate. weight : one over the square root of its group's size."""

    row: dict[str, str]
    setup: Any
    metric: str
    measured: float
    weight: float


BOUNDS = {
    "bf16": (0.3, 0.87),
    "fp8": (0.25, 0.85),
    "fp4": (0.1, 0.8),
    "memory": (0.6, 0.92),
    "unfused": (1.0, 3.0),
    "attention_share": (0.3, 1.0),
    "scale_up_share": (0.4, 0.95),
    "scale_out_share": (0.4, 0.98),
    "tensor_overlap": (0.05, 0.95),
    "expert_overlap": (0.1, 1.0),
    "gemm_share": (0.7, 1.1),
    "grouped_share": (0.4, 1.0),
    "scan_share": (0.01, 1.0),
    "contention": (0.02, 1.0),
    "dispatch_inside": (0.1, 0.98),
    "dispatch_latency_inside": (2e-6, 1e-3),
    "routing": (2e-6, 1.5e-3),
    "host": (0.5, 4.0),
    "early": (0.7, 1.0),
    "routing_graphs": (1e-6, 1e-4),
    "gap": (3e-7, 5e-6),
    "gap_graphs": (2e-7, 2e-6),
    "host_launch": (1e-6, 2e-5),
    "jitter": (0.0002, 0.02),
    "hybridep": (0.1, 0.98),
    "deepep": (0.05, 0.95),
    "uccl": (0.01, 0.95),
    "nvshmem": (0.01, 0.95),
    "nccl": (0.05, 0.95),
}


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


def parameters(table: dict[str, Any]) -> list[Parameter]:
    """Everything in the file that is marked ``kind = "fitted"``, or that this script has always fitted."""
    found: list[Parameter] = []

    def walk(node: dict[str, Any], place: tuple[str, ...]) -> None:
        for key, value in node.items():
            if key in ("provenance", "like") or (
                key in ("attention_share", "gemm_share", "host", "early") and value == 1.0
            ):
                continue
            if place[-1:] == ("dispatch_latency",):
                found.append(Parameter((*place, key), 1e-5, 1e-2, 0.5, value))
            elif isinstance(value, dict):
                walk(value, (*place, key))
            elif key in BOUNDS and not isinstance(value, bool):
                number = value
                low, high = BOUNDS[key]
                high = HIGHEST.get(".".join((*place, key)), high)
                found.append(
                    Parameter(
                        (*place, key), low, high, 0.25, float(np.clip(number, low * 1.001, high * 0.999))
                    )
                )

    walk({k: table[k] for k in ("chips", "software")}, ())
    return found


def concerns(parameter: Parameter, sample: Sample) -> bool:
    """True where a parameter can change a sample's prediction."""
    room, owner = parameter.place[:2]
    if owner == "common":
        return True
    if room == "chips":
        name = sample.setup.machine.accelerator.name
        return owner == name or owner not in FAMILIES_OF.get(name, (owner,))
    return bool(owner == sample.setup.framework)


FAMILIES_OF: dict[str, tuple[str, ...]] = {}


def calibrate(values: dict[str, float], sample: Sample) -> Calibration:
    """The calibration of a sample with the trial values put in."""
    base = default_calibration(sample.setup)
    chip, software = base.chip, base.software
    framework = sample.setup.framework
    family = family_of(sample.setup.machine.accelerator)
    for place, value in values.items():
        room, owner, *rest = place.split(".")
        if room == "chips" and owner in ("common", family):
            if owner == "common" and f"chips.{family}.{rest[-1]}" in values:
                continue
            if rest[0] == "gemm":
                chip = replace(chip, gemm={**chip.gemm, rest[1]: value})
            else:
                chip = replace(chip, **{rest[0]: value})
        elif room == "software" and owner in ("common", *lineage(framework)):
            if owner != framework and any(
                f"software.{own}.{rest[0]}" in values for own in lineage(framework) if own != owner
            ):
                continue
            if rest[0] in ("dispatch", "dispatch_latency"):
                table = {**getattr(software, rest[0]), rest[1]: value}
                software = replace(software, **{rest[0]: table})
            else:
                software = replace(software, **{rest[0]: value})
    return Calibration(chip, software, base.assumed)


def samples(path: Path) -> list[Sample]:
    """The scored rows that can be evaluated."""
    known = catalog.load()
    out = []
    rows = [r for r in read_table(path) if is_scored(r)]
    sizes = Counter(r.get("split_group") or r["id"] for r in rows)
    for row in rows:
        published = {m: v for m in METRICS if (v := _measured(row, m)) is not None}
        metric = _target(row, published)
        try:
            setup = read(row, known)
        except ArmillaryError:
            continue
        weight = 1 / np.sqrt(sizes[row.get("split_group") or row["id"]])
        out.append(Sample(row, setup, metric, published[metric], float(weight)))
    return out


def log_ratio(values: dict[str, float], sample: Sample) -> float:
    """log(predicted / measured) of step time."""
    s = sample.setup
    answer = estimate(s.job, s.machine, s.layout, calibrate(values, sample))
    predicted = _predict(sample.metric, sample.row, s.job.model, answer)
    sign = 1.0 if sample.metric in ("step_time_s", "derived_step_time_s") else -1.0
    return sign * float(np.log(predicted / sample.measured))


def fit(
    chosen: Sequence[Sample], known: Sequence[Parameter], steps: int, say: Callable[[str], None]
) -> dict[str, float]:
    """Least squares over the logarithms of the parameters, with a sparse finite-difference Jacobian."""
    start = np.log([p.start for p in known])
    low, high = np.log([p.low for p in known]), np.log([p.high for p in known])
    weights = np.array([s.weight for s in chosen])

    def values(x: np.ndarray) -> dict[str, float]:
        return {p.name: float(np.exp(v)) for p, v in zip(known, x, strict=True)}

    def residuals(x: np.ndarray) -> np.ndarray:
        v = values(x)
        data = np.array([log_ratio(v, s) for s in chosen])
        say(
            f"  median |error| {np.median(np.abs(np.expm1(data))):.4f}  mean loss {np.mean(np.abs(data)):.4f}"
        )
        prior = 0.15 * (x - start) / np.array([p.sigma for p in known])
        return np.concatenate([data / 0.05 * weights, prior])

    def jacobian(x: np.ndarray) -> np.ndarray:
        base = values(x)
        here = np.array([log_ratio(base, s) for s in chosen])
        out = np.zeros((len(chosen) + len(known), len(known)))
        for j, p in enumerate(known):
            step = 1e-3
            moved = {**base, p.name: base[p.name] * np.exp(step)}
            for i, s in enumerate(chosen):
                if concerns(p, s):
                    out[i, j] = (log_ratio(moved, s) - here[i]) / step / 0.05 * weights[i]
            out[len(chosen) + j, j] = 0.15 / p.sigma
        return out

    solved = least_squares(
        residuals, start, jacobian, bounds=(low, high), loss="soft_l1", max_nfev=steps, xtol=1e-3, ftol=1e-3
    )
    return values(solved.x)


def report(values: dict[str, float], chosen: Sequence[Sample]) -> dict[str, float]:
    """Errors of step time over samples."""
    errors = np.expm1([log_ratio(values, s) for s in chosen])
    moe = np.array(
        [any(getattr(k.feed_forward, "experts", 0) for k in s.setup.job.model.kinds()) for s in chosen]
    )
    out = {
        "n": len(chosen),
        "median": float(np.median(np.abs(errors))),
        "p90": float(np.percentile(np.abs(errors), 90)),
        "bias": float(np.median(errors)),
    }
    for label, mask in (("dense", ~moe), ("moe", moe)):
        if mask.any():
            out[f"{label}_median"] = float(np.median(np.abs(errors[mask])))
            out[f"{label}_p90"] = float(np.percentile(np.abs(errors[mask]), 90))
    return out


def write(values: dict[str, float], source: str) -> None:
    """Put fitted numbers into calibration.toml, line by line, keeping its comments."""
    lines, table = [], ""
    for line in TABLE.read_text("utf-8").splitlines():
        header = re.match(r"\[(.+)\]", line)
        if header:
            table = header[1]
        key = re.match(r"([a-z0-9_]+)\s*=", line)
        if key and key[1] == "gemm":
            parts = {n.rsplit(".", 1)[1]: v for n, v in values.items() if n.startswith(f"{table}.gemm.")}
            if parts:
                line = "gemm = { " + ", ".join(f"{k} = {v:.4g}" for k, v in parts.items()) + " }"
        elif key and f"{table}.{key[1]}" in values:
            line = f"{key[1]} = {values[f'{table}.{key[1]}']:.4g}"
        lines.append(line)
    temporary = TABLE.with_suffix(".new")
    temporary.write_text("\n".join(lines) + "\n", "utf-8")
    temporary.replace(TABLE)
    print(f"wrote {TABLE.name} from {source}", file=sys.stderr)


def page(results: dict[str, dict[str, float]], values: dict[str, float]) -> str:
    """The docs page of a fit: errors in sample and held out, and every fitted number."""
    lines = [
        "<!-- made by: tools/fit_training.py --data measured_runs.csv --folds 4 --page FILE -->",
        "# Calibration",
        "",
        "What the fit of `training/calibration.toml` reaches on the scored runs: in sample, and on rows held",
        "out by `split_group` (all releases and boxes of one job together). Errors are of step time.",
        "",
        "| rows | n | median | p90 | bias |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, r in results.items():
        lines.append(f"| {name} | {r['n']} | {r['median']:.1%} | {r['p90']:.1%} | {r['bias']:+.1%} |")
    lines += ["", f"{len(values)} numbers are fitted; none belongs to a row, a model or a release.", ""]
    lines += ["| parameter | value |", "|---|---:|"]
    lines += [f"| `{name}` | {value:.4g} |" for name, value in values.items()]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Fit, report, cross-validate, write."""
    import tomllib

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--folds", type=int, default=0)
    parser.add_argument("--by-source", action="store_true")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--page", type=Path, help="write the errors and the numbers as a docs page")
    options = parser.parse_args()
    chosen = samples(options.data)
    known = parameters(tomllib.loads(TABLE.read_text("utf-8")))
    names = {s.setup.machine.accelerator.name for s in chosen}
    for s in chosen:
        chip = s.setup.machine.accelerator
        own = family_of(chip)
        FAMILIES_OF[chip.name] = tuple(
            p.place[1] for p in known if p.place[0] == "chips" and p.place[1] != own
        )
    print(f"{len(chosen)} rows, {len(known)} parameters, chips {', '.join(sorted(names))}", file=sys.stderr)

    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    best = fit(chosen, known, options.steps, say)
    results: dict[str, Any] = {"in sample": report(best, chosen)}
    warm = [p._replace(start=best[p.name]) for p in known]
    if options.folds:
        labels = sorted({s.row.get("split_group") or s.row["id"] for s in chosen})
        fold = {g: i % options.folds for i, g in enumerate(np.random.default_rng(0).permutation(labels))}
        held: list[float] = []
        for k in range(options.folds):
            inside = [s for s in chosen if fold[s.row.get("split_group") or s.row["id"]] != k]
            outside = [s for s in chosen if fold[s.row.get("split_group") or s.row["id"]] == k]
            trial = fit(inside, known, options.steps // 2, say)
            held += [log_ratio(trial, s) for s in outside]
        errors = np.expm1(held)
        results["held out by group"] = {
            "n": len(held),
            "median": float(np.median(np.abs(errors))),
            "p90": float(np.percentile(np.abs(errors), 90)),
            "bias": float(np.median(errors)),
        }
    if options.by_source:
        for source in sorted({s.row["source"] for s in chosen}):
            outside = [s for s in chosen if s.row["source"] == source]
            inside = [s for s in chosen if s.row["source"] != source]
            results[f"without {source}"] = report(fit(inside, warm, 4, say), outside)
    print(json.dumps({"results": results, "parameters": best}, indent=1))
    if options.page:
        options.page.write_text(page(results, best), "utf-8")
    if options.write:
        write(best, options.data.name)


if __name__ == "__main__":
    main()

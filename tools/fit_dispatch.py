"""Fit the constants of src/armillary/network/dispatchers.toml to published dispatches and combines.

    python tools/fit_dispatch.py
    python tools/fit_dispatch.py --write src/armillary/network/dispatchers.toml

Prints each entry's free constants, then every row's residual, then the error of rows that were held out: one
number of ranks of one library on one network at a time, fitted to the others; and all rows of a library and
network, which then take the constants of what their entry is like. Rows that contradict the rest
of the table (`validation.alltoall.DOUBTFUL`) are scored, but not fitted to.
"""

from __future__ import annotations

import argparse
import copy
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import least_squares

from armillary import catalog
from armillary.network.dispatchers import PHASES, dispatcher, dispatcher_table
from armillary.validation.alltoall import (
    BANDWIDTH,
    DOUBTFUL,
    LATENCY,
    Setting,
    counted,
    evaluate,
    read_alltoall_table,
    read_setting,
)

BOTH = "*"
FREE = {
    "deepep-normal": ("scale_up_share.*", "scale_out_share"),
    "deepep-normal-host": ("launch.dispatch",),
    "deepep-low-latency": ("scale_up_share.*", "scale_out_share", "launch.dispatch", "launch.combine"),
    "pplx-garden": (
        *("scale_up_share.dispatch", "scale_up_share.combine", "scale_out_share", "launch.*", "crossing.*"),
    ),
    "pplx-garden-efa": ("scale_out_share", "crossing.*", "peer"),
    "uccl-low-latency-efa": ("launch.*", "crossing.dispatch", "crossing.combine"),
    "pplx": ("launch.*", "crossing.dispatch", "crossing.combine", "message"),
    "nccl": ("scale_up_share.*", "scale_out_share", "launch.*", "crossing.*"),
}
"""Constants of each entry that are fitted, in this order; `.*` is one value for both phases."""
EFA = ("deepep-normal-efa", "deepep-low-latency-efa")
TAKES: dict[tuple[str, str], tuple[str, ...]] = {
    ("pplx-garden-efa", "scale_out_share"): (*EFA, "uccl-normal-efa", "uccl-low-latency-efa"),
    ("pplx-garden-efa", "crossing"): EFA,
    ("pplx-garden-efa", "peer"): EFA,
    ("uccl-low-latency-efa", "crossing"): ("uccl-normal-efa",),
}
"""Entries that take the constant of another because no row of theirs says."""
START_SHARE, START_TIME = 0.8, 2e-5
"""What fits without some rows start from [-], [s]."""
TOLERANCE = 0.1
"""Error from which on a row counts less than with its square (soft L1) [-]."""

Sample = tuple[Mapping[str, str], Setting, float]
Table = dict[str, dict[str, Any]]


def samples() -> list[Sample]:
    """Rows that can be fitted to: the row, its setting, its time [s]."""
    known = catalog.load()
    found = []
    for row in read_alltoall_table():
        setting = read_setting(row, known)
        if row[LATENCY]:
            found.append((row, setting, float(row[LATENCY]) * 1e-6))
        else:
            size = counted(setting, evaluate(setting))
            found.append((row, setting, size / float(row[BANDWIDTH]) / 1e9))
    return found


def put(table: Table, name: str, path: str, value: float) -> None:
    """Set a constant of an entry, and of those that take it."""
    field, _, phase = path.partition(".")
    if not phase:
        table[name][field] = value
    else:
        now = dict(getattr(dispatcher(name, table), field))
        table[name][field] = now | dict.fromkeys(PHASES if phase == BOTH else (phase,), value)
    for other in TAKES.get((name, field), ()):
        table[other][field] = table[name][field]


def get(table: Table, name: str, path: str) -> float:
    """Value of a constant of an entry."""
    field, _, phase = path.partition(".")
    value = getattr(dispatcher(name, table), field)
    return float(value if not phase else value[PHASES[0] if phase == BOTH else phase])


def fit(rows: Iterable[Sample], start: Table) -> Table:
    """Entries with their free constants fitted to the rows that are evaluated with them."""
    table = copy.deepcopy(start)
    every = [s for s in rows if s[0]["id"] not in DOUBTFUL]
    for name, paths in FREE.items():
        mine = [s for s in every if s[1].dispatcher == name]
        if len(mine) < len(paths):
            continue
        begin = np.array([get(table, name, path) for path in paths])
        scale = np.array([1.0 if "share" in path else 1e-5 for path in paths])
        low = np.array([0.2 if "share" in path else 0.0 for path in paths])
        high = np.array([1.0 if "share" in path else 5e-3 for path in paths])

        def residuals(values: np.ndarray, name=name, paths=paths, mine=mine, scale=scale) -> np.ndarray:
            trial = copy.deepcopy(table)
            for path, value in zip(paths, values * scale, strict=True):
                put(trial, name, path, float(value))
            known = dispatcher(name, trial)
            return np.array([np.log(float(evaluate(s, known).time) / time) for _, s, time in mine])

        begin = np.clip(begin, low + 1e-9, high - 1e-9)
        bounds = (low / scale, high / scale)
        solved = least_squares(residuals, begin / scale, bounds=bounds, loss="soft_l1", f_scale=TOLERANCE)
        for path, value in zip(paths, solved.x * scale, strict=True):
            put(table, name, path, float(f"{value:.4g}"))
    return table


def errors(rows: Iterable[Sample], table: Table) -> np.ndarray:
    """Predicted over measured time less 1, of each row."""
    return np.array([float(evaluate(s, dispatcher(s.dispatcher, table)).time) / t - 1 for _, s, t in rows])


def written(text: str, table: Table) -> str:
    """The file's text with the fitted constants in place."""
    out, name = [], ""
    for line in text.splitlines():
        head = re.match(r"\[(.+)\]$", line)
        name = head[1] if head else name
        key = line.partition(" = ")[0]
        if name and key in {path.partition(".")[0] for paths in FREE.values() for path in paths}:
            value = table[name][key]
            if isinstance(value, Mapping):
                line = f"{key} = {{ " + ", ".join(f"{p} = {v:.4g}" for p, v in value.items()) + " }"
            else:
                line = f"{key} = {value:.4g}"
        out.append(line)
    return "\n".join(out) + "\n"


def held_out(rows: list[Sample], table: Table) -> dict[str, list[float]]:
    """Errors of rows that were left out of the fit, by entry: one number of ranks at a time.

    Each fit starts from one share and one time for all, so that nothing of the rows is left in the constants.
    """
    start = copy.deepcopy(table)
    for name, paths in FREE.items():
        for path in paths:
            put(start, name, path, START_SHARE if "share" in path else START_TIME)
    found: dict[str, list[float]] = {}
    for name in dict.fromkeys(s.dispatcher for _, s, _ in rows):
        for ranks in sorted({s.ranks for _, s, _ in rows if s.dispatcher == name}):
            out = [r for r in rows if r[1].dispatcher == name and r[1].ranks == ranks]
            left = [r for r in rows if not (r[1].dispatcher == name and r[1].ranks == ranks)]
            found.setdefault(name, []).extend(errors(out, fit(left, start)).tolist())
    return found


def main() -> None:
    """Fit, print, and write where asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--write", type=Path, help="rewrite the constants of this file")
    path = parser.parse_args().write
    rows, start = samples(), copy.deepcopy(dispatcher_table())
    table = fit(rows, start)
    for name, paths in FREE.items():
        print(name, *(f"{p} {get(table, name, p):.4g}" for p in paths), sep="  ")
    print()
    for (row, setting, time), error in zip(rows, errors(rows, table), strict=True):
        note = "  not fitted" if row["id"] in DOUBTFUL else ""
        print(f"{error:+7.1%}  {time * 1e6:9.1f} us  {setting.dispatcher:26} {row['id']}{note}")
    absolute = np.abs(errors(rows, table))
    print(
        f"\nfitted: median {np.median(absolute):.1%}, p90 {np.percentile(absolute, 90):.1%}, {len(rows)} rows"
    )
    kept = held_out(rows, table)
    for name, found in kept.items():
        low, high = np.percentile(np.abs(found), (50, 90))
        print(f"held out by ranks: {name:26} median {low:.1%}, p90 {high:.1%}, {len(found)} rows")
    for name in kept:
        if parent := table[name].get("like"):
            mine = [r for r in rows if r[1].dispatcher == name]
            taken = np.abs(errors(mine, {**table, name: {"like": parent}}))
            low, high = np.percentile(taken, (50, 90))
            print(
                f"held out whole, as {parent}: {name:26} median {low:.1%}, p90 {high:.1%}, {len(mine)} rows"
            )
    whole = np.abs([e for found in kept.values() for e in found])
    print(f"held out by ranks: median {np.median(whole):.1%}, p90 {np.percentile(whole, 90):.1%}")
    if path:
        path.write_text(written(path.read_text("utf-8"), table), encoding="utf-8")


if __name__ == "__main__":
    main()

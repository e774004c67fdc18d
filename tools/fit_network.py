"""Fit what collectives sustain to measured times, and write the numbers to network/tuning.toml.

    python tools/fit_network.py [--data collectives.csv] [--hold-out] [--write]

Every parameter is a physical one of `network.tuning.Tuning`, of a GPU generation, a network or a harness;
none belongs to a row. Residuals are log(predicted / measured) of time with a Cauchy loss; rows of one log
count as the square root of their number. A weak prior holds each at its start, the published number where
there is one. With --hold-out each system, and each source, is left out in turn and predicted by what the
others fix: what only its rows see then falls back to the entry that it is like, or to the published start.
"""

from __future__ import annotations

import argparse
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from armillary import catalog
from armillary.network.tuner import predict
from armillary.network.tuning import make, table
from armillary.validation.collectives import (
    COLLECTIVES,
    HELD_OUT,
    LARGE,
    SMALL,
    WITHIN,
    Question,
    job_of,
    places,
    question,
    read_collectives,
    why_unscored,
)

TABLE = Path(__file__).parent.parent / "src/armillary/network/tuning.toml"
PRIOR, NOISE = 0.1, 0.05
"""Weight of the prior on the logarithm, and the residual that counts as one."""

Place = tuple[str, ...]
PARAMETERS: dict[Place, tuple[float, float, float]] = {
    ("common", "launch"): (5e-7, 3e-6, 1e-5),
    ("common", "nvls_tree"): (0.8, 0.95, 1.0),
    ("common", "fill"): (1e-6, 1e-5, 1e-4),
    ("common", "fill_size"): (1e5, 1e6, 4e6),
    ("common", "fill_size_outside"): (1e5, 1e6, 2e6),
    ("generations", "ampere", "ring"): (0.4, 0.78, 1.0),
    ("generations", "hopper", "ring"): (0.4, 0.78, 1.0),
    ("generations", "hopper", "nvls"): (0.4, 0.65, 1.0),
    ("generations", "blackwell", "ring"): (0.4, 0.78, 1.0),
    ("generations", "blackwell", "nvls"): (0.4, 0.65, 1.0),
    ("generations", "blackwell", "nvls_bus"): (0.4, 0.99, 1.3),
    ("generations", "amd", "ring"): (0.4, 0.78, 1.0),
    ("networks", "infiniband", "nic"): (0.4, 0.95, 1.0),
    ("networks", "infiniband", "nic_tree"): (0.4, 0.95, 1.0),
    ("networks", "infiniband", "fill_outside"): (1e-6, 1e-4, 2e-3),
    ("networks", "host", "launch"): (1e-6, 1e-5, 1e-3),
    ("networks", "azure", "launch"): (1e-6, 1e-5, 1e-3),
    ("networks", "roce", "nic"): (0.4, 0.95, 1.0),
    ("networks", "efa-p4d", "nic_tree"): (0.4, 0.95, 1.0),
    ("networks", "efa-p4d", "net_latency"): (1e-6, 75e-6, 2e-4),
    ("networks", "efa-p4d", "rendezvous"): (1e-6, 1e-5, 2e-4),
    ("networks", "efa-p4d", "fill_outside"): (1e-6, 1e-4, 2e-3),
    ("networks", "efa-p5", "net_latency"): (1e-6, 20e-6, 2e-4),
    ("networks", "efa-p5", "rendezvous"): (1e-6, 1e-5, 2e-4),
    ("networks", "efa-p5", "fill_outside"): (1e-6, 1e-4, 2e-3),
    ("networks", "efa-p5en", "nic_tree"): (0.4, 0.95, 1.0),
    ("networks", "efa-p6-b200", "net_latency"): (1e-6, 18e-6, 2e-4),
    ("networks", "efa-p6-b300", "fill_outside"): (1e-6, 1e-4, 2e-3),
    ("networks", "gcp-tcpxo", "nic"): (0.4, 0.95, 1.0),
    ("networks", "gcp-tcpxo", "net_latency"): (1e-6, 20e-6, 2e-4),
    ("networks", "gcp-tcpxo", "rendezvous"): (1e-6, 1e-5, 2e-4),
    ("networks", "gcp-tcpx", "nic"): (0.4, 0.95, 1.0),
    ("networks", "gcp-tcpx", "floor"): (1e-5, 1e-4, 2e-3),
    ("harness", "torch", "launch"): (1e-6, 1e-5, 1e-3),
}
"""Places in tuning.toml: lower bound, start, upper bound. Latencies of EFA start from aws-ofi-nccl's, shares
from what is usual; none starts from a fit, so that a fit of some rows knows nothing of the others."""
STAYS = ("generations", "harness")
"""What stands at its start where no row sees it; a network without a row is as the one that it is like."""


class Log(NamedTuple):
    """Rows of one log and question, sizes together. seen : places that its prediction hangs on."""

    system: str
    source: str
    asked: Question
    sizes: NDArray[np.float64]
    seconds: NDArray[np.float64]
    weight: float
    seen: frozenset[str]


def logs(rows: Iterable[Mapping[str, str]], known: Mapping[str, Any]) -> list[Log]:
    """Scored rows, those that differ only in size together."""
    chips = catalog.load()
    groups: dict[Any, list[tuple[Question, Mapping[str, str]]]] = defaultdict(list)
    for row in rows:
        if not why_unscored(row):
            q = question(row, chips, known)
            groups[job_of(row), q.op, q.ranks, q.inside, q.allowed, q.protocol, repr(q.tuned)].append(
                (q, row)
            )
    totals: dict[str, int] = defaultdict(int)
    for key, members in groups.items():
        totals[key[0]] += len(members)
    found = []
    for key, members in groups.items():
        q, row = members[0]
        seen = places(q, known) | ({"harness.torch"} if q.launch else set())
        sizes = np.array([m[0].size for m in members])
        seconds = np.array([float(m[1]["time_us"]) for m in members]) / 1e6
        named = re.sub(r"^(github )?((issue|PR) )?(https://www\.)?", "", row["source"])
        source = re.split(r"[:# ]", named)[0]
        found.append(Log(row["system"], source, q, sizes, seconds, totals[key[0]] ** -0.25, frozenset(seen)))
    return found


def errors(log: Log, known: Mapping[str, Any]) -> NDArray[np.float64]:
    """log(predicted / measured) of each row."""
    q, t = log.asked, log.asked.tuned
    tuned = make(
        t.generation,
        t.network,
        t.scale_up_size,
        t.scale_up_bandwidth,
        t.nic_bandwidth,
        t.reduces,
        known=known,
    )
    launch = known["harness"]["torch"]["launch"] if q.launch else 0.0
    answer = predict(q.op, log.sizes, q.ranks, tuned, q.inside, q.allowed, q.protocol)
    return np.log((np.asarray(answer.time) + launch) / log.seconds)


def get(known: Mapping[str, Any], place: Place) -> float:
    node: Any = known
    for key in place:
        node = node[key]
    return float(node)


def put(known: dict[str, Any], place: Place, value: float | None) -> None:
    node: Any = known
    for key in place[:-1]:
        node = node[key]
    if value is None:
        node.pop(place[-1], None)
    else:
        node[place[-1]] = value


def start(seen: set[str], known: Mapping[str, Any]) -> tuple[dict[str, Any], list[Place]]:
    """Table with every place at its start, or gone where no row sees it, and the places to fit."""
    trial = deepcopy(dict(known))
    fitted = [p for p in PARAMETERS if ".".join(p[:-1]) in seen]
    for place, (_, first, _) in PARAMETERS.items():
        published = place[-1] == "net_latency" and place[1].startswith("efa")
        stands = place in fitted or place[0] in STAYS or published
        put(trial, place, first if stands else None)
    return trial, fitted


def fit(known: Mapping[str, Any], rows: Sequence[Log]) -> dict[str, Any]:
    """Fit all places that rows see; the others fall back."""
    trial, fitted = start(set().union(*(r.seen for r in rows)), known)
    low, prior, high = np.log([PARAMETERS[p] for p in fitted]).T
    touched = [[i for i, r in enumerate(rows) if ".".join(p[:-1]) in r.seen] for p in fitted]

    def of(values: NDArray[np.float64], which: Iterable[int]) -> list[NDArray[np.float64]]:
        for place, value in zip(fitted, np.exp(values), strict=True):
            put(trial, place, float(value))
        return [errors(rows[i], trial) / NOISE * rows[i].weight for i in which]

    def residuals(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.concatenate([*of(values, range(len(rows))), PRIOR * (values - prior)])

    def jacobian(values: NDArray[np.float64]) -> NDArray[np.float64]:
        base = of(values, range(len(rows)))
        ends = np.cumsum([0, *(len(b) for b in base)])
        matrix = np.zeros((ends[-1] + len(fitted), len(fitted)))
        for j, which in enumerate(touched):
            moved = values.copy()
            moved[j] += 1e-3
            for i, new in zip(which, of(moved, which), strict=True):
                matrix[ends[i] : ends[i + 1], j] = (new - base[i]) / 1e-3
            matrix[ends[-1] + j, j] = PRIOR
        return matrix

    found = least_squares(residuals, prior, jacobian, bounds=(low, high), loss="cauchy", max_nfev=60)
    of(found.x, ())
    return trial


def held_out(known: Mapping[str, Any], rows: Sequence[Log], key: str) -> dict[str, NDArray[np.float64]]:
    """Sizes and errors of each group left out, shaped (2, rows)."""
    found = {}
    for name in sorted({getattr(r, key) for r in rows}):
        rest = [r for r in rows if getattr(r, key) != name]
        fitted = fit(known, rest)
        mine = [np.stack([r.sizes, np.exp(errors(r, fitted))]) for r in rows if getattr(r, key) == name]
        found[name] = np.concatenate(mine, axis=1)
        print(f"  without {name}: {words(found[name])}")
    return found


def figures(found: NDArray[np.float64]) -> dict[str, float]:
    """Errors of rows from 1 MB up, and of small messages."""
    size, ratio = found
    error = np.abs(ratio[size >= LARGE] - 1)
    off = np.maximum(ratio, 1 / ratio)[size < SMALL]
    sums: dict[str, float] = {"rows": int(error.size)}
    if error.size:
        sums |= {"median": float(np.median(error)), "p90": float(np.percentile(error, 90))}
        sums |= {"bias": float(np.median(ratio[size >= LARGE] - 1))}
    sums["small"] = int(off.size)
    if off.size:
        sums |= {"within": float(np.mean(off <= WITHIN)), "worst": float(off.max())}
    return sums


def words(found: NDArray[np.float64]) -> str:
    return ", ".join(f"{k} {v:.3g}" for k, v in figures(found).items())


def write(fitted: Mapping[str, Any]) -> None:
    """Put the fitted numbers in the lines of the file where they stand."""
    text = TABLE.read_text("utf-8")
    for place in PARAMETERS:
        header = f"[{'.'.join(place[:-1])}]\n"
        before, after = text.split(header)
        section, mark, rest = after.partition("\n[")
        line, count = re.subn(
            rf"^{place[-1]} = .*$", f"{place[-1]} = {get(fitted, place):.4g}", section, flags=re.MULTILINE
        )
        if count != 1:
            raise SystemExit(f"{'.'.join(place)} does not stand in {TABLE.name}")
        text = before + header + line + mark + rest
    TABLE.write_text(text, "utf-8")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--data", type=Path, default=COLLECTIVES)
    arguments.add_argument("--hold-out", action="store_true", help="also leave out each system, each source")
    arguments.add_argument("--write", action="store_true", help="write tuning.toml, and what was held out")
    asked = arguments.parse_args()
    rows = logs(read_collectives(asked.data), table())
    fitted = fit(table(), rows)
    whole = np.concatenate([np.stack([r.sizes, np.exp(errors(r, fitted))]) for r in rows], axis=1)
    print(f"in sample: {words(whole)}")
    for place in PARAMETERS:
        print(f"  {'.'.join(place)} = {get(fitted, place):.4g}")
    lines = ["# Errors of collectives on rows left out of the fit. Written by tools/fit_network.py."]
    if asked.hold_out:
        for key in ("system", "source"):
            found = held_out(table(), rows, key)
            found = {"all": np.concatenate(list(found.values()), axis=1), **found}
            print(f"by {key}: {words(found['all'])}")
            for name, part in found.items():
                lines += ["", f"[{key}.{name!r}]", *(f"{k} = {v:.4g}" for k, v in figures(part).items())]
    if asked.write:
        write(fitted)
        if asked.hold_out:
            HELD_OUT.write_text("\n".join(lines) + "\n", "utf-8")


if __name__ == "__main__":
    main()

"""Plans of purchases: time, proven gap and memory, at full size in both regimes and against each dimension.

`volume`: sites as large as the demand asks for, fixed charges small against what is bought. `tiny`: a
thousandth of that demand meets the same sites. Every run stops at its time limit; `gap` is proven, whatever
the time. Each market is solved in a process of its own, whose memory is its own, after kernels are compiled.
`--quick` runs the small sizes alone; `--svg FOLDER` draws gap and time against each dimension.
"""

from __future__ import annotations

import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

from portfolio_market import market
from report import print_figures

from armillary.app.figures import line_chart
from armillary.portfolio import solve
from armillary.portfolio.mixing import compiled

GAP = 0.0025
FULL = {"providers": 6, "regions": 10, "skus": 12, "quarters": 28, "futures": 20}
SMALL = {"providers": 3, "regions": 2, "skus": 6, "quarters": 12, "futures": 6}
SWEPT = {
    "providers": (2, 4),
    "regions": (1, 4),
    "skus": (4, 10),
    "quarters": (8, 20),
    "futures": (3, 12),
}
LIMITS = {20: 30.0, 100: 60.0}
"""Time limit by number of futures at full size. [s]"""


Row = tuple[str, str, float, float, float]
"""Regime, dimension, its size against the small market's, seconds, gap."""


def measure(title: str, seconds: float, **sizes: Any) -> tuple[float, float]:
    """Solve one market in a process of its own and print what it took; gives seconds and gap."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as alone:
        return alone.submit(_measure, title, seconds, sizes).result()


def _measure(title: str, seconds: float, sizes: dict[str, Any]) -> tuple[float, float]:
    """As `measure`, here."""
    programme = market(**sizes)
    compiled()
    start, cpu = perf_counter(), process_time()
    plan = solve(programme, gap=GAP, seconds=seconds)
    took = perf_counter() - start
    print_figures(
        title,
        {
            "seconds": took,
            "cpu_seconds": process_time() - cpu,
            "time_limit": seconds,
            "gap": plan.gap,
            "objective_usd": plan.objective,
            "bound_usd": plan.bound,
            "unmet_share_of_cost": plan.costs.unmet / plan.costs.total if plan.costs.total else 0.0,
        },
    )
    return took, plan.gap


def draw(folder: Path, rows: list[Row]) -> None:
    """Gap and time against each dimension, one line for each and regime."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = dict.fromkeys((regime, name) for regime, name, *_ in rows)
    for file, label, place in (("gap", "proven gap", 4), ("seconds", "time", 3)):
        series = [
            (f"{regime}, {name}", [(row[2], row[place]) for row in rows if row[:2] == (regime, name)])
            for regime, name in lines
        ]
        title = "Plans of purchases: one dimension of a small market at a time"
        drawn = line_chart(
            series, "size of the dimension against the small market's", label, title,
            percent=file == "gap", y_unit="" if file == "gap" else "s",
        )  # fmt: skip
        (folder / f"{file}.svg").write_text(drawn, "utf-8")


def main() -> None:
    rows: list[Row] = []
    for regime in ("volume", "tiny"):
        small = measure(f"{regime}, small", 30.0, regime=regime, **SMALL)
        for name, values in SWEPT.items():
            rows.append((regime, name, 1.0, *small))
            for value in values:
                sizes = {**SMALL, name: value}
                found = measure(f"{regime}, small but {value} {name}", 30.0, regime=regime, **sizes)
                rows.append((regime, name, value / SMALL[name], *found))
    if "--svg" in sys.argv[1:-1]:
        draw(Path(sys.argv[sys.argv.index("--svg") + 1]), rows)
    if "--quick" in sys.argv[1:]:
        return
    for futures, seconds in LIMITS.items():
        for regime in ("volume", "tiny"):
            measure(
                f"{regime}, full, {futures} futures", seconds, regime=regime, **{**FULL, "futures": futures}
            )


if __name__ == "__main__":
    main()

"""Plans of purchases: time, proven gap and memory, at full size in both regimes and against each dimension.

`volume`: sites as large as the demand asks for, fixed charges small against what is bought. `tiny`: a
thousandth of that demand meets the same sites. Every run stops at its time limit; `gap` is proven, whatever
the time. `--quick` runs the small sizes alone.
"""

from __future__ import annotations

import sys
from time import perf_counter, process_time
from typing import Any

from portfolio_market import market
from report import print_figures

from armillary.portfolio import solve

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


def measure(title: str, seconds: float, **sizes: Any) -> None:
    """Solve one market and print what it took."""
    programme = market(**sizes)
    start, cpu = perf_counter(), process_time()
    plan = solve(programme, gap=GAP, seconds=seconds)
    print_figures(
        title,
        {
            "seconds": perf_counter() - start,
            "cpu_seconds": process_time() - cpu,
            "time_limit": seconds,
            "gap": plan.gap,
            "objective_usd": plan.objective,
            "bound_usd": plan.bound,
            "unmet_share_of_cost": plan.costs.unmet / plan.costs.total if plan.costs.total else 0.0,
        },
    )


def main() -> None:
    for regime in ("volume", "tiny"):
        measure(f"{regime}, small", 30.0, regime=regime, **SMALL)
        for name, values in SWEPT.items():
            for value in values:
                measure(f"{regime}, small but {value} {name}", 30.0, regime=regime, **{**SMALL, name: value})
    if "--quick" in sys.argv[1:]:
        return
    for futures, seconds in LIMITS.items():
        for regime in ("volume", "tiny"):
            measure(
                f"{regime}, full, {futures} futures", seconds, regime=regime, **{**FULL, "futures": futures}
            )


if __name__ == "__main__":
    main()

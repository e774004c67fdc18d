"""Ramps of deployment: 100,000 of three sites with 16 blocks each, and the dates of three runs on each."""

from __future__ import annotations

from time import perf_counter

import numpy as np
from report import print_figures

from armillary.portfolio import Generation, RampSite, finish_times, quarters, simulate_ramps, usual_steps
from armillary.portfolio.quarter_dates import DAY

RAMPS = 100_000


def main() -> None:
    """Draw, then train."""
    when = quarters("2025Q4", 28)
    sites = [
        RampSite(name, 16, 4608, usual_steps(name, months * 30 * DAY, months * 30 * DAY, racks=64))
        for name, months in (("a", 4), ("b", 7), ("c", 9))
    ]
    simulate_ramps(sites, when, 1000)
    start = perf_counter()
    found = simulate_ramps(sites, when, RAMPS)
    took = perf_counter() - start
    print_figures(
        f"{RAMPS:,} ramps of three sites, 16 blocks each",
        {
            "seconds": took,
            "ramps_per_second": RAMPS / took,
            "times_drawn_per_second": RAMPS * 3 * (2 + 16 * 4) / took,
        },
    )
    runs = [Generation(f"run {i}", 4e26 * 4.5**i, 0.0, 1.0) for i in range(3)]
    there = found.throughout(one_network=True).astype(float)
    start = perf_counter()
    done = finish_times(runs, 2.5e15 * 0.4 * 0.9, when, there)
    took = perf_counter() - start
    print_figures(
        "dates of three runs on each",
        {
            "seconds": took,
            "runs_per_second": done.size / took,
            "median_first_days": float(np.median(done[:, 0])) / DAY,
        },
    )


if __name__ == "__main__":
    main()

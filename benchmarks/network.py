"""Flows on a three-tier Clos: one solution, runs to the last completion, dense traffic, tolerance, symmetry.

Compilation is excluded (a small run first), all else is counted. ``--sizes FILE`` writes the cost against the
number of hosts as CSV, ``--svg FILE`` draws it; ``--quick`` leaves out what takes more than some seconds.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
from clos import Clos, permutation, random_pairs
from numpy.typing import NDArray
from report import print_figures

from armillary.app.figures import line_chart
from armillary.network.flows import Completion, simulate
from armillary.network.max_min import is_max_min, max_min
from armillary.network.routes import Routes
from armillary.network.symmetry import reduced

BANDWIDTH = 5e10
SIZE = 1e8
"""Of links [byte/s], and mean of flows [byte]."""


def timed(
    capacity: NDArray[np.float64], routes: Routes, size: object, **more: object
) -> tuple[float, Completion]:
    start = perf_counter()
    found = simulate(capacity, routes, size, **more)  # type: ignore[arg-type]
    return perf_counter() - start, found


def case(hosts: int, flows: int, radix: int = 32) -> tuple[NDArray[np.float64], Routes, NDArray[np.float64]]:
    """Capacities, routes and exponential sizes of random flows."""
    clos = Clos(hosts, radix)
    routes = clos.routes(*random_pairs(hosts, flows))
    return np.full(clos.links, BANDWIDTH), routes, np.random.default_rng(1).exponential(SIZE, flows)


def one_solution(hosts: int) -> None:
    capacity, routes, _ = case(hosts, 1_000_000)
    took = []
    for _ in range(3):
        start = perf_counter()
        rates = max_min(capacity, routes)
        took.append(perf_counter() - start)
    seconds = median(took)
    print_figures(
        f"one exact solution, 1,000,000 random flows, {hosts:,} hosts",
        {"seconds": seconds, "max_min": is_max_min(capacity, routes, rates, tolerance=1e-12) is None},
    )


def to_the_end(hosts: int, flows: int, sizes: str, radix: int = 32) -> None:
    capacity, routes, size = case(hosts, flows, radix)
    seconds, found = timed(capacity, routes, SIZE if sizes == "equal" else size)
    print_figures(
        f"simulation, {flows:,} random flows of {sizes} sizes, {hosts:,} hosts",
        {"seconds": seconds, "events": found.events, "full_solves": found.full},
    )


def dense(hosts: int, density: int, radix: int) -> None:
    capacity, routes, size = case(hosts, hosts * density, radix)
    full, exact = timed(capacity, routes, size, local_share=0.0)
    mended, found = timed(capacity, routes, size)
    figures = {
        "full_seconds": full,
        "seconds": mended,
        "ratio": full / mended,
        "largest_difference": float(np.abs(found.finish / exact.finish - 1).max()),
    }
    for tolerance in (0.001, 0.01):
        seconds, near = timed(capacity, routes, size, tolerance=tolerance)
        error = np.abs(near.finish / exact.finish - 1)
        key = f"tolerance_{tolerance:g}"
        figures |= {
            f"{key}_seconds": seconds,
            f"{key}_events": near.events,
            f"{key}_bound": near.error_bound,
            f"{key}_error_mean": float(error.mean()),
            f"{key}_error_p99": float(np.percentile(error, 99)),
            f"{key}_error_max": float(error.max()),
        }
    print_figures(f"dense random traffic, {density} flows a host, {hosts:,} hosts", figures)


def ring(hosts: int) -> None:
    clos = Clos(hosts)
    source = np.arange(hosts)
    routes, capacity = clos.routes(source, (source + 1) % hosts), np.full(clos.links, BANDWIDTH)
    seconds, found = timed(capacity, routes, SIZE)
    start = perf_counter()
    small = reduced(capacity, routes)
    refined = perf_counter() - start
    start = perf_counter()
    reduced(capacity, routes, classes=small.flow_class)
    known = perf_counter() - start
    folded, same = timed(capacity, routes, SIZE, symmetry=True)
    print_figures(
        f"ring step on {hosts:,} hosts",
        {
            "seconds": seconds,
            "seconds_with_symmetry": folded,
            "refinement_seconds": refined,
            "check_of_given_classes_seconds": known,
            "flow_classes": len(small.flow),
            "link_classes": len(small.link),
            "largest_difference": float(np.abs(found.finish / same.finish - 1).max()),
        },
    )


def cost_against_size(most: int) -> list[tuple[str, int, float]]:
    """Seconds of simulations with one flow a host."""
    rows = []
    hosts = 1024
    while hosts <= most:
        clos = Clos(hosts)
        capacity = np.full(clos.links, BANDWIDTH)
        ends = np.arange(hosts), (np.arange(hosts) + 1) % hosts
        kinds = {"ring": ends, "permutation": permutation(hosts), "random": random_pairs(hosts, hosts)}
        for name, pairs in kinds.items():
            seconds, _ = timed(capacity, clos.routes(*pairs), SIZE)
            rows.append((name, hosts, seconds))
        hosts *= 2 if hosts == 262_144 else 4
    return rows


def main() -> None:
    quick = "--quick" in sys.argv[1:]
    capacity, routes, size = case(64, 64, 8)
    simulate(capacity, routes, size, symmetry=True)
    max_min(capacity, routes)
    for hosts in (65_536, 524_288):
        one_solution(hosts)
    to_the_end(1024, 4000, "exponential")
    for flows in (65_536,) if quick else (65_536, 262_144):
        to_the_end(65_536, flows, "equal")
        to_the_end(65_536, flows, "exponential")
    dense(128, 20, 8)
    if not quick:
        dense(512, 20, 8)
    ring(524_288)
    rows = cost_against_size(65_536 if quick else 524_288)
    print_figures("one flow a host, seconds", {f"{name} {hosts:,}": s for name, hosts, s in rows})
    for option, write in (("--sizes", write_sizes), ("--svg", draw_sizes)):
        if option in sys.argv[1:-1]:
            write(Path(sys.argv[sys.argv.index(option) + 1]), rows)


def write_sizes(path: Path, rows: list[tuple[str, int, float]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("traffic", "hosts", "seconds"), *rows])


def draw_sizes(path: Path, rows: list[tuple[str, int, float]]) -> None:
    names = dict.fromkeys(name for name, _, _ in rows)
    series = [(name, [(hosts, s) for n, hosts, s in rows if n == name]) for name in names]
    path.write_text(
        line_chart(series, "hosts", "time", "Simulating one flow a host", True, True, y_unit="s"), "utf-8"
    )


if __name__ == "__main__":
    main()

"""Requests through fleets: one replica, 160 replicas with blind and with watchful routing, a day of a fleet.

Lengths are lognormal with the means and medians of the Azure 2023 conversation trace (1,155 and 1,020 in, 211
and 129 out; Patel et al., Splitwise, ISCA 2024, section III). The step cost has the size of an 8-way replica
of a 70B model and is an assumption. Compilation is excluded (a small run first). ``--quick`` leaves out the
day; ``--whole FOLDER`` runs all cells of the day, and goes on where it was stopped.
"""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
from report import print_figures

from armillary.serving.cells import FleetOutcome, LognormalTraffic, diurnal, simulate_cells
from armillary.serving.deployment import Pool
from armillary.serving.requests import Requests
from armillary.serving.simulator import simulate
from armillary.serving.step_cost import Engine, StepCost
from armillary.serving.streaming import simulate_stream

INPUT, OUTPUT = (1155.0, 0.50), (211.0, 0.99)
MESSAGES = 2.5e9
CELLS, REPLICAS = 500, 40
"""Of the day: messages, cells and replicas of a cell."""

COST = StepCost(8e-3 + 2e-5 * np.arange(257), 8e-3 + 3e-5 * np.arange(2049), 2e-8, 1e-10)
ENGINE = Engine(COST, kv_tokens=400_000, max_sequences=256, max_tokens=2048)


def requests(count: int, rate: float) -> Requests:
    """Poisson arrivals of Azure-like conversations."""
    return next(LognormalTraffic((rate,), count / rate, INPUT, OUTPUT)(0))


def speed(name: str, count: int, replicas: int, rate: float, routing: str) -> None:
    """Requests a second, all counted but drawing them."""
    pool = Pool(ENGINE, replicas)
    simulate(requests(2000, rate * replicas), pool, routing=routing)
    load = requests(count, rate * replicas)
    took = []
    for _ in range(3):
        start = perf_counter()
        found = simulate(load, pool, routing=routing)
        took.append(perf_counter() - start)
    print_figures(
        f"{name}, {replicas} replicas, {rate:g} requests/s each",
        {
            "requests_per_second": found.counts.requests / median(took),
            "events_per_request": found.counts.events / found.counts.requests,
            "utilisation": found.replicas.utilisation,
            "ttft_p50": found.percentile("ttft", 50),
            "ttft_p99": found.percentile("ttft", 99),
            "tpot_p50": found.percentile("tpot", 50),
        },
    )


def stream_speed(count: int, replicas: int, rate: float) -> None:
    """The same in batches, with histograms."""
    load = requests(count, rate * replicas)
    parts = [load.take(slice(i, i + 100_000)) for i in range(0, len(np.asarray(load.input)), 100_000)]
    simulate_stream(parts[:1], Pool(ENGINE, replicas), routing="least_loaded")
    start = perf_counter()
    found = simulate_stream(parts, Pool(ENGINE, replicas), routing="least_loaded")
    print_figures(
        f"in batches, least loaded of {replicas} replicas",
        {
            "requests_per_second": found.counts.requests / (perf_counter() - start),
            "most_in_flight": found.counts.most_in_flight,
        },
    )


def day(sample: int | None, first: int = 0, folder: str | None = None) -> FleetOutcome:
    """Cells of a day, in two processes."""
    rate = MESSAGES / 86_400 / CELLS
    traffic = LognormalTraffic(diurnal(rate, 288), 300.0, INPUT, OUTPUT)
    which = None if sample is None else [first + i * CELLS // sample for i in range(sample)]
    start = perf_counter()

    def told(done: int, cells: int) -> None:
        if folder is not None:
            print(f"{done} of {cells} cells, {perf_counter() - start:.0f} s", file=sys.stderr)

    with ProcessPoolExecutor(2) as pool:
        found = simulate_cells(
            traffic,
            Pool(ENGINE, REPLICAS),
            cells=CELLS,
            sample=which,
            map=pool.map,
            state_folder=folder,
            save_every=1000,
            ttft_limit=1.0,
            tpot_limit=0.05,
            progress=told,
        )
    seconds = perf_counter() - start
    figures = {"seconds": seconds, "requests": found.counts.requests}
    for what in ("ttft", "tpot", "e2e"):
        for percent in (50, 99):
            value, low, high = found.percentile(what, percent)
            figures |= {f"{what}_p{percent}": value, f"{what}_p{percent}_half_interval": (high - low) / 2}
    figures["goodput"] = found.goodput().value
    print_figures(f"a day of {MESSAGES:.3g} messages, {len(found.sampled)} of {CELLS} cells", figures)
    return found


def day_command() -> None:
    """`armillary serve day` from the start of its process: DeepSeek-V3 on 20,000 nodes of eight H200."""
    command = [
        *(str(Path(sys.executable).with_name("armillary")), "serve", "day", "--model", "deepseek-v3"),
        *("--system", "p5en", "--tp", "8", "--messages", f"{MESSAGES:g}", "--cells", str(CELLS)),
        *("--replicas", str(REPLICAS), "--shape", "servegen-language-small", "--jobs", "2", "--json"),
    ]
    start = perf_counter()
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    seconds, found = perf_counter() - start, json.loads(done.stdout)
    ttft = found["latency"]["ttft"]["p99"]
    print_figures(
        f"armillary serve day, {found['sampled']} of {CELLS} cells, start of the process included",
        {
            "seconds": seconds,
            "requests": found["requests"],
            "ttft_p99": ttft["value"],
            "ttft_p99_half_interval": (ttft["high"] - ttft["low"]) / 2,
        },
    )


def main() -> None:
    speed("one replica", 1_000_000, 1, 5.0, "round_robin")
    for rate in (2.0, 5.0, 8.0):
        speed("round robin", 1_000_000, 160, rate, "round_robin")
        speed("least loaded", 1_000_000, 160, rate, "least_loaded")
    speed("power of two choices", 1_000_000, 160, 5.0, "power_of_two")
    stream_speed(1_000_000, 160, 5.0)
    if "--quick" in sys.argv[1:]:
        return
    if "--whole" in sys.argv[1:-1]:
        day(None, folder=sys.argv[sys.argv.index("--whole") + 1])
        return
    day(8, 3)
    day(20)
    day_command()


if __name__ == "__main__":
    main()

"""Fabrics of 1,024 to 524,288 accelerators: built, routed, whole collectives and a training step simulated.

Each figure is warm (numba's kernels compiled before). `--svg FILE` draws cost against size.
"""

from __future__ import annotations

import sys
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from report import print_figures

from armillary import catalog
from armillary.app.figures import line_chart
from armillary.model import transformer
from armillary.network import all_gather, all_to_all
from armillary.network.clos import Level, clos
from armillary.network.fabric import Fabric
from armillary.network.simulated import simulate_collective
from armillary.training import Job, Layout, calibration, recipe
from armillary.training.on_fabric import on_fabric
from armillary.twin import Shape, fabric_of, machine_of

SIZES = (1024, 4096, 16384, 65536, 262144, 524288)
DOMAIN, NIC, SCALE_UP = 64, 50e9, 900e9
BYTES = 8e9
FAILURES: dict[str, list[tuple[str, float]]] = {
    "clean": [],
    "failed": [("leaf 7", 0.5), ("pod 3", 0.0), ("core 2", 0.0)],
    "slow rail": [("rail 0", 0.5)],
}


def fabric(accelerators: int, ratio: float = 1.0) -> Fabric:
    """A sprayed, rail-optimised fabric of three tiers."""
    pod = min(8192, accelerators // 2)
    levels = [Level("leaf", min(64, pod // 8)), Level("pod", pod), Level("core", 0, ratio)]
    return clos(accelerators, levels, NIC, 5e-6, DOMAIN, SCALE_UP, 1e-6, rails="optimised", rail_count=8)


def whole(built: Fabric, operation: str) -> tuple[float, float]:
    """Seconds to simulate a collective over everything, and its time."""
    start = perf_counter()
    found = simulate_collective(built, operation, np.arange(built.endpoints), BYTES)
    return perf_counter() - start, found.time


def closed(accelerators: int, operation: str) -> float:
    """The closed form on rings, all clean."""
    ranks, bandwidth = [DOMAIN, accelerators // DOMAIN], [SCALE_UP, NIC]
    if operation == "all_reduce":
        return float(2 * all_gather(BYTES, ranks, bandwidth, [1e-6, 5e-6]))
    return float(all_to_all(BYTES, ranks, bandwidth, [0.0, 0.0])) + 5e-6


def at_scale() -> None:
    """Whole collectives over 524,288 accelerators, clean and degraded, at 1:1 and 2:1."""
    count = SIZES[-1]
    for ratio in (1.0, 2.0):
        start = perf_counter()
        clean = fabric(count, ratio)
        figures: dict[str, Any] = {"build_seconds": perf_counter() - start}
        for name, broken in FAILURES.items():
            for operation in ("all_reduce", "all_to_all"):
                seconds, time = whole(clean.degraded(broken), operation)
                figures[f"{operation}, {name}: seconds"] = seconds
                figures[f"{operation}, {name}: time over closed form"] = time / closed(count, operation)
        print_figures(f"{count:,} accelerators at {ratio:g}:1", figures)


def against_size(svg: Path | None) -> None:
    """Cost of each against size."""
    lines: dict[str, list[tuple[float, float]]] = {}
    for count in SIZES:
        start = perf_counter()
        built = fabric(count)
        found = {"build": perf_counter() - start}
        flows = np.random.default_rng(0).permutation(count)
        start = perf_counter()
        built.routes(np.arange(count)[flows != np.arange(count)], flows[flows != np.arange(count)])
        found["routes of a permutation"] = perf_counter() - start
        for operation in ("all_reduce", "all_to_all"):
            found[operation] = whole(built, operation)[0]
        print_figures(f"{count:,} accelerators", found)
        for name, seconds in found.items():
            lines.setdefault(name, []).append((float(count), seconds))
    if svg is not None:
        drawn = line_chart(
            list(lines.items()),
            "accelerators",
            "time",
            "What a fabric costs to simulate",
            True,
            True,
            y_unit="s",
        )
        svg.write_text(drawn, encoding="utf-8")


def step() -> None:
    """DeepSeek-V3 on 131,072 accelerators: all groups of all kinds at once."""
    known = catalog.load()
    system = known.system("p6e-gb300")
    chip = known.accelerator(system.accelerator)
    layout = Layout(tp=8, pp=2, dp=8192, ep=64, etp=1, zero=1, shard=8192, overlap_ep=1)
    machine = machine_of(system, chip, 131072, 64, 1.0)
    job = Job(transformer(known.model("deepseek-v3")), 4096, 16384, recipe("bf16"))
    built = fabric_of(machine, Shape())
    start = perf_counter()
    found = on_fabric(job, machine, layout, calibration(chip), built)
    print_figures(
        "a step of DeepSeek-V3 on 131,072 accelerators",
        {
            "seconds": perf_counter() - start,
            "flows": sum(len(e.traffic.source) for e in found.exchanges),
            "step over closed form": float(found.loaded.time.total) / float(found.clear.time.total),
        },
    )


def main() -> None:
    arguments = sys.argv[1:]
    svg = Path(arguments[arguments.index("--svg") + 1]) if "--svg" in arguments else None
    whole(fabric(1024), "all_reduce")  # compiles
    at_scale()
    step()
    against_size(svg)


if __name__ == "__main__":
    main()

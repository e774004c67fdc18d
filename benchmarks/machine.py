"""Builds of a 524,288-accelerator machine per second, and the memory of one."""

from __future__ import annotations

import tracemalloc
from time import perf_counter

from report import print_figures

from armillary import catalog
from armillary.machine import build


def main() -> None:
    known = catalog.load()
    system, chip = known.system("p6e-gb300"), known.accelerator("gb300")
    tracemalloc.start()
    build(system, chip, 524_288).slice(524_232)
    _, one = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    repeats, start = 2000, perf_counter()
    for _ in range(repeats):
        build(system, chip, 524_288).slice(524_232)
    seconds = (perf_counter() - start) / repeats
    print_figures(
        "machine", {"seconds_per_build": seconds, "builds_per_second": 1 / seconds, "machine_bytes": one}
    )


if __name__ == "__main__":
    main()

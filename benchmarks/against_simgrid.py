"""Side by side with SimGrid: the same flows, routes and sharing; completion times must be equal.

Needs SimGrid and a C++ compiler: ``apt-get install libsimgrid-dev g++ make``. Not part of ``make bench``.
SimGrid's figure is its run alone, without reading and building the platform; ours is `flows.simulate`, warm,
without routing. Sizes are whole bytes, as SimGrid counts them.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
from report import print_figures

from armillary.network.clos import Level, clos
from armillary.network.fabric import Fabric, Integers
from armillary.network.flows import simulate
from armillary.network.routes import Routes

FOLDER = Path(__file__).parent / "simgrid"
INSTANCES = {
    "1,024 hosts, 1,000 random flows": (1024, 1000),
    "1,024 hosts, 2,000 random flows": (1024, 2000),
    "1,024 hosts, 4,000 random flows": (1024, 4000),
    "8,192 hosts, a permutation": (8192, 0),
}
EQUAL = 1e-9
"""Relative difference of completion times that is allowed. [-]"""


def instance(hosts: int, flows: int) -> tuple[Fabric, Integers, Integers, Routes, np.ndarray]:
    """Flows between random hosts of a three-tier Clos with hashed paths, or a permutation."""
    built = clos(
        hosts, [Level("leaf", 32), Level("pod", hosts // 4), Level("core", 0)], 1e9, 0.0, routing="ecmp"
    )
    rng = np.random.default_rng(0)
    if flows:
        source = rng.integers(0, hosts, flows)
        target = (source + rng.integers(1, hosts, flows)) % hosts
    else:
        source = rng.permutation(hosts)
        target = np.roll(source, 1)
    size = rng.integers(500_000, 1_500_000, len(source)).astype(float)
    return built, source, target, built.routes(source, target), size


def run_simgrid(
    built: Fabric, source: Integers, target: Integers, routes: Routes, size: np.ndarray
) -> tuple[float, np.ndarray]:
    """Seconds that SimGrid runs, and its completion times."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "instance.txt"
        with file.open("w") as out:
            print(built.endpoints, built.links, len(source), file=out)
            print(*built.capacity.tolist(), file=out)
            for i, (a, b, s) in enumerate(zip(source, target, size, strict=True)):
                links = routes.of(i).tolist()
                print(int(a), int(b), int(s), len(links), *links, file=out)
        done = subprocess.run([FOLDER / "flows", file], capture_output=True, text=True, check=True)
    seconds, *finish = (float(line) for line in done.stdout.split())
    return seconds, np.array(finish)


def main() -> None:
    built = subprocess.run(["make", "--silent", "-C", FOLDER, "flows"], check=False)
    if built.returncode:
        sys.exit("SimGrid's side could not be built: apt-get install libsimgrid-dev g++ make")
    for name, (hosts, flows) in INSTANCES.items():
        fabric, source, target, routes, size = instance(hosts, flows)
        theirs, finish = run_simgrid(fabric, source, target, routes, size)
        simulate(fabric.shared, routes, size)
        ours = []
        for _ in range(5):
            start = perf_counter()
            found = simulate(fabric.shared, routes, size)
            ours.append(perf_counter() - start)
        apart = float(np.abs(found.finish / finish - 1).max())
        if apart > EQUAL:
            sys.exit(f"{name}: completion times differ by {apart:.1e}")
        print_figures(
            name,
            {
                "simgrid_seconds": theirs,
                "seconds": median(ours),
                "ratio": theirs / median(ours),
                "largest_difference": apart,
            },
        )


if __name__ == "__main__":
    main()

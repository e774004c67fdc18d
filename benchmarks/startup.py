"""CPU time of ``armillary --help``, which must stay under 0.2 s; best and median of 15 runs."""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
from pathlib import Path

from report import print_figures


def main() -> None:
    command = [str(Path(sys.executable).with_name("armillary")), "--help"]
    times = []
    for _ in range(15):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    median = statistics.median(times)
    print_figures(
        "startup", {"cpu_seconds": median, "cpu_seconds_best": min(times), "starts_per_second": 1 / median}
    )


if __name__ == "__main__":
    main()

"""Rows of the measured-runs table evaluated per second."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter

from report import print_figures

from armillary import catalog
from armillary.validation import read_table, validate_training

RUNS = Path(__file__).parents[1] / "tests" / "validation" / "runs.csv"


def main() -> None:
    known = catalog.load()
    rows = read_table(RUNS)
    validate_training(rows, known)
    repeats, start = 50, perf_counter()
    for _ in range(repeats):
        validate_training(rows, known)
    print_figures("validation", {"rows_per_second": repeats * len(rows) / (perf_counter() - start)})


if __name__ == "__main__":
    main()

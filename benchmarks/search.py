"""Layouts of the full model (memory and step time) evaluated per second, over whole search spaces.

A layout counts when it is valid. `cpu_seconds` is of all threads. The spaces: one as large as Calculon's of
GPT-3 175B on 4,096 A100 (9.67 million layouts), all of it timed; one of over a hundred million, with exact
pruning; and what `armillary train` searches, in a warm process and from its start.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

from report import print_figures

from armillary import catalog
from armillary.machine import build
from armillary.model import transformer
from armillary.training import Job, calibration, recipe, search

PLANNED = {
    "llama-3.1-405b on 4,608 GB300": ("llama-3.1-405b", "p6e-gb300", 4608, 64, 512, 8192),
    "deepseek-v3 on 2,048 GB300": ("deepseek-v3", "p6e-gb300", 2048, 64, 8192, 4096),
    "deepseek-v3 on 131,072 GB300": ("deepseek-v3", "p6e-gb300", 131072, 64, 16384, 4096),
}
GPT3 = ("gpt-3-175b", "dgx-a100", 4096, 8, 4096, 2048)
FLAGS: dict[str, Sequence[Any]] = {
    "micro_batch": [1, 2, 4, 8, 16, 32, 64],
    "sp": [1, 0],
    "overlap_tp": [1, 0],
    "overlap_dp": [1, 0],
    "overlap_pp": [1, 0],
    "offload_activations": [0.0, 0.5, 1.0],
    "offload_optimizer": [0.0, 1.0],
    "optimizer_bytes": [12.0, 8.0, 6.0],
}
"""What Calculon varies beside the degrees, in our terms: communication by all-reduce or split, each overlap
on or off, what is offloaded, the width of the optimizer's state."""
HUGE = {
    **FLAGS,
    "offload_activations": [0.0, 0.2, 0.4, 0.6, 0.8, 1.0],
    "offload_optimizer": [0.0, 0.2, 0.4, 0.6, 0.8, 1.0],
    "optimizer_bytes": [12.0, 10.0, 8.0, 6.0, 4.0],
}


def job_of(model: str, name: str, count: int, used: int, batch: int, sequence: int) -> tuple[Job, Any, Any]:
    """A job, its slice, its calibration."""
    known = catalog.load()
    system = known.system(name)
    chip = known.accelerator(system.accelerator)
    part = build(system, chip, count // used * system.scale_up_size).slice(count, domain_used=used)
    return Job(transformer(known.model(model)), sequence, batch, recipe("bf16")), part, calibration(chip)


def measure(
    title: str,
    case: tuple[str, str, int, int, int, int],
    fixed: Mapping[str, Sequence[Any]] | None = None,
    prune: bool = False,
) -> None:
    """Time one search, warm, and print its figures."""
    job, part, known = job_of(*case)
    search(job, part, known, {**(fixed or {}), "pp": [1, 2], "cp": [1]}, prune=prune)  # warms caches
    start, cpu = perf_counter(), process_time()
    found = search(job, part, known, fixed, prune=prune)
    seconds, cpu = perf_counter() - start, process_time() - cpu
    figures: dict[str, Any] = {
        "seconds": seconds,
        "cpu_seconds": cpu,
        "layouts": found.valid,
        "layouts_timed": found.evaluated,
        "best": found.best.layout.describe(),
    }
    if fixed is not None:  # small searches measure an answer's time, not a rate
        figures["layouts_per_second"] = found.valid / seconds
    print_figures(title, figures)


def cold(model: str, accelerators: int) -> None:
    """Time `armillary train` from the start of its process to its end."""
    command = [
        *(str(Path(sys.executable).with_name("armillary")), "train", "--model", model),
        *("--system", "p6e-gb300"),
        *("--gpus", str(accelerators), "--global-batch", "134217728-tokens", "--json"),
    ]
    start = perf_counter()
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    print_figures(
        f"armillary train, {model} on {accelerators:,} GB300, start of the process included",
        {"seconds": perf_counter() - start},
    )


def main() -> None:
    """Run all."""
    measure("GPT-3 175B on 4,096 A100, the size of Calculon's space", GPT3, FLAGS)
    measure("GPT-3 175B on 4,096 A100, over 100 million layouts, pruned", GPT3, HUGE, prune=True)
    for title, case in PLANNED.items():
        measure(title, case)
    for model in ("llama-3.1-405b", "deepseek-v3"):
        for accelerators in (72, 4608, 16384, 131072):
            cold(model, accelerators)


if __name__ == "__main__":
    sys.exit(main())

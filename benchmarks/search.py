"""Layouts of the full model (memory and step time) evaluated per second, over whole search spaces.

A layout counts when it is valid; `mesh_per_second` also counts those that the mesh computes and masks out.
"""

from __future__ import annotations

import sys
from time import perf_counter

from report import print_figures

from armillary import catalog
from armillary.machine import build
from armillary.model import transformer
from armillary.training import Job, calibration, recipe, search

CASES = {
    "llama-3.1-405b on 4,096 GB300": ("llama-3.1-405b", "p6e-gb300", 4096, 64, 512, 8192),
    "deepseek-v3 on 2,048 GB300": ("deepseek-v3", "p6e-gb300", 2048, 64, 8192, 4096),
    "GPT-3 175B on 4,096 A100": ("gpt-3-175b", "dgx-a100", 4096, 8, 4096, 2048),
}


def main() -> None:
    known = catalog.load()
    for title, (model, name, count, used, batch, sequence) in CASES.items():
        system = known.system(name)
        chip = known.accelerator(system.accelerator)
        part = build(system, chip, count // used * system.scale_up_size).slice(count, domain_used=used)
        job = Job(transformer(known.model(model)), sequence, batch, recipe("bf16"))
        start = perf_counter()
        found = search(job, part, calibration(chip))
        seconds = perf_counter() - start
        print_figures(
            title,
            {
                "seconds": seconds,
                "layouts": found.evaluated,
                "layouts_per_second": found.evaluated / seconds,
                "mesh_per_second": found.space.size / seconds,
            },
        )


if __name__ == "__main__":
    sys.exit(main())

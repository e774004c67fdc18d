"""Sizes of deployments: the closed form over all layouts and batches, and the whole answer with simulations.

Lengths are the azure-2023-conversation mix; targets p95 of 1 s and 30 ms. Compilation is excluded (a small
size first). Times are of one process.
"""

from __future__ import annotations

from time import perf_counter, process_time

from report import print_figures

from armillary import catalog
from armillary.model import transformer
from armillary.serving import Targets, Workload, precision, size
from armillary.serving.mixes import named_mix
from armillary.serving.sizing import meshes
from armillary.serving.workload import drawn

QUESTIONS = (
    ("llama-3.1-8b", "p5en", "fp8", 20.0),
    ("llama-3.1-70b", "p5en", "fp8", 300.0),
    ("gpt-oss-120b", "p6e-gb200", "mxfp4", 28_935.0),
    ("deepseek-v3", "p6e-gb200", "fp8", 5000.0),
    ("kimi-k2.5", "p6e-gb300", "fp8", 2000.0),
)
"""Model, system, precision and mean rate [1/s]; the first is not timed."""


def main() -> None:
    known = catalog.load()
    targets = Targets(ttft=1.0, tpot=0.03)
    for name, system_name, form, rate in QUESTIONS:
        system, model = known.system(system_name), transformer(known.model(name))
        asked = Workload(rate, 1.14 * rate, named_mix("azure-2023-conversation").mix, margin=0.1)
        about = (model, system, known.accelerator(system.accelerator), precision(form))
        load = drawn(asked, 0)
        start = perf_counter()
        grid = meshes(load, targets, *about)
        closed = perf_counter() - start
        start, begun = perf_counter(), process_time()
        found, _ = size(asked, targets, *about)
        wall, cpu = perf_counter() - start, process_time() - begun
        points = sum(mesh.each.size for mesh in grid)
        if name != QUESTIONS[0][0]:
            print_figures(
                f"{name} on {system.name}, {rate:,.0f} requests/s",
                {
                    "layouts_times_batches": points,
                    "closed_form_points_per_second": points / closed,
                    "seconds": wall,
                    "cpu_seconds": cpu,
                    "deployments": len(found),
                    "simulated_requests_of_checks": sum(
                        2 * c.trial.requests for f in found for c in f.checks
                    ),
                },
            )


if __name__ == "__main__":
    main()

"""Draw the pictures of the documentation anew: ``docs/images/*.svg``.

``make figures`` draws those that need nothing but the catalog; ``--data FILE.csv`` adds `accuracy.svg` from
the table of measured runs that ``armillary validate training`` reads.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from armillary import catalog, scenario
from armillary.app.cli import cli
from armillary.app.figures import rings, scatter
from armillary.catalog import Catalog
from armillary.units import show
from armillary.validation import Row, read_table, validate_training

IMAGES = Path(__file__).parents[1] / "docs" / "images"
TRAIN = "train --model deepseek-v3 --system p6e-gb200 --gpus 1152 --global-batch 4096 --seq 4096 --set tp=1,2"


def draw_rings(known: Catalog) -> str:
    """Draw the built-in deal's machine, its newest generation inside."""
    machine = scenario.read("openai-aws", known).clusters["ultracluster"].machine
    part = machine.partitions[-1]
    chip = part.accelerator
    memory = f"{show(chip.memory_bandwidth, 'B/s')} to its {show(chip.memory_capacity, 'B')}"
    levels = [("chip", chip.name.upper(), memory)]
    for ring in machine.rings_of(part):
        name = "UltraServer" if ring.name == "scale-up" else ring.name
        reduces = ", reduces in its switches" if ring.reduces else ""
        link = f"{show(ring.bandwidth, 'B/s')} each, {show(ring.latency, 's')}{reduces}"
        levels.append((name, f"{ring.size:,} accelerators", link))
    return rings(levels, "One machine as nested rings: the cluster of the scenario openai-aws")


def tokens_per_second(row: Row, run: Mapping[str, str]) -> tuple[float, float] | None:
    """Measured and predicted throughput of an accelerator [token/s]; None where the run states neither."""
    if row.measured is None or row.predicted is None:
        return None
    if row.metric == "tokens_per_s_per_gpu":
        return row.measured, row.predicted
    if row.metric in ("step_time_s", "derived_step_time_s"):
        tokens = float(run["global_batch"]) * float(run["seq_len"]) / float(run["num_gpus"])
        return tokens / row.measured, tokens / row.predicted
    return None


def draw_accuracy(known: Catalog, data: Path) -> str:
    """Draw every scored run, by chip."""
    runs = {run["id"]: run for run in read_table(data)}
    points: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for row in validate_training(runs.values(), known):
        point = tokens_per_second(row, runs[row.id]) if row.scored else None
        if point is not None:
            points[row.chip].append(point)
    count = sum(map(len, points.values()))
    return scatter(
        sorted(points.items(), key=lambda chip: -len(chip[1])),
        "measured tokens/s per accelerator",
        "predicted tokens/s per accelerator",
        f"Predicted against measured throughput of {count} published training runs",
    )


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--data", type=Path, help="table of measured runs; adds accuracy.svg")
    given = asked.parse_args()
    known = catalog.load()
    (IMAGES / "rings.svg").write_text(draw_rings(known), encoding="utf-8")
    for name, more in (("step", []), ("waterfall", ["--explain"]), ("domain", ["--sweep", "domain"])):
        command = [*TRAIN.split(), *more, "--svg", str(IMAGES / f"{name}.svg"), "--json"]
        cli.main(command, prog_name="armillary", standalone_mode=False)
    if given.data is not None:
        (IMAGES / "accuracy.svg").write_text(draw_accuracy(known, given.data), encoding="utf-8")


if __name__ == "__main__":
    main()

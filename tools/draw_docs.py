"""Draw the pictures of the documentation anew: ``docs/images/*.svg``.

``make figures`` also writes the pages of measured accuracy.
"""

from __future__ import annotations

from pathlib import Path

from armillary import catalog, scenario
from armillary.app.cli import cli
from armillary.app.figures import fan_chart, rings, tornado_chart
from armillary.catalog import Catalog
from armillary.portfolio import (
    RampSite,
    inputs,
    owned,
    price_each,
    quarters,
    simulate_ramps,
    tco_facts,
    tornado,
    usual_steps,
)
from armillary.portfolio.deployment_simulation import LEVELS
from armillary.units import show

IMAGES = Path(__file__).parents[1] / "docs" / "images"
TRAIN = "train --model deepseek-v3 --system p6e-gb200 --gpus 1152 --global-batch 4096 --seq 4096 --set tp=1,2"

NETWORK = (
    "network simulate --system p6e-gb300 --gpus 4608 --op all_to_all --size 1GiB --oversubscription 2 "
    "--fail leaf\u00a03@50% --svg {images}/heat.svg",
    "network whatif --model deepseek-v3 --system p6e-gb300 --gpus 2304 --vary oversubscription --vary domain "
    "--vary routing --vary failure --vary placement --vary long-haul --svg {images}/whatif.svg",
    "network whatif --model llama3.1-405b --system p5en --gpus 1024 --vary routing --set pp=8 --set vpp=2 "
    "--global-batch 64 --timeline {images}/timeline.svg",
    "network collective --system p6e-gb300 --gpus 1152 --op all_reduce --compare p5en,p6-b300 "
    "--svg {images}/collective.svg",
)
"""Commands that draw; words with a space in them have a space that does not break."""


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


def draw_tornado() -> str:
    """Draw what moves the cost of an accelerator-hour, the twelve largest swings."""
    base, facts = inputs(), tco_facts()
    rows = []
    for swing in tornado(lambda at: price_each(owned(at).total, at) * 3600, base)[:12]:
        fact = facts[swing.name.replace("equipment", "server").replace("facility_life", "building_life")]
        ends = fact.text(swing.low), fact.text(swing.high)
        rows.append((swing.name.replace("_", " "), swing.at_low, swing.at_high, *ends))
    title = "What moves the cost of an hour of a GB200 in use [USD]"
    return tornado_chart(rows, float(price_each(owned(base).total, base)) * 3600, title, label="USD")


def draw_ramp() -> str:
    """Draw the ramp that docs/deployment.md has as its example, to the end of 2027."""
    month = 365.25 / 12 * 86400.0
    plans = (("first", 8, 2, 2), ("second", 16, 5, 4), ("third", 16, 6, 7))
    sites = [
        RampSite(name, blocks, 4608, usual_steps(name, building * month, power * month, racks=64))
        for name, blocks, building, power in plans
    ]
    when = quarters("2025Q4", 9)
    found = simulate_ramps(sites, when, ramps=20_000, seed=1)
    return fan_chart(
        when.labels,
        LEVELS,
        found.fan().tolist(),
        "Accelerators by the end of each quarter: three sites, the plan assumed",
        "accelerators",
        wanted=[sum(site.blocks * site.block_size for site in sites)] * 9,
        wanted_label="all three sites",
    )


def words(command: str) -> list[str]:
    """Arguments of a command of `NETWORK`."""
    return [w.replace("\u00a0", " ") for w in command.format(images=IMAGES).split(" ")]


def main() -> None:
    known = catalog.load()
    (IMAGES / "rings.svg").write_text(draw_rings(known), encoding="utf-8")
    (IMAGES / "ramp.svg").write_text(draw_ramp(), encoding="utf-8")
    (IMAGES / "tornado.svg").write_text(draw_tornado(), encoding="utf-8")
    for name, more in (("step", []), ("waterfall", ["--explain"]), ("domain", ["--sweep", "domain"])):
        command = [*TRAIN.split(), *more, "--svg", str(IMAGES / f"{name}.svg"), "--json"]
        cli.main(command, prog_name="armillary", standalone_mode=False)
    for command in NETWORK:
        cli.main([*words(command), "--json"], prog_name="armillary", standalone_mode=False)
    pages = {
        "training": "accuracy.md",
        "memory": "memory-accuracy.md",
        "collectives": "network-accuracy.md",
        "alltoall": "alltoall-accuracy.md",
    }
    for score, page in pages.items():
        written = ["validate", score, "--no-rows", "--markdown", str(IMAGES.parent / page)]
        cli.main(written, prog_name="armillary", standalone_mode=False)


if __name__ == "__main__":
    main()

"""``armillary network simulate``: a collective on an explicit fabric, flow by flow."""

from __future__ import annotations

from pathlib import Path

import click

from armillary.app.fabric_options import fabric_from, fabric_options, queue_pairs_option
from armillary.app.options import FiniteRange, catalog_option, echo_json, json_option
from armillary.app.writing import OutputFile, write_figure
from armillary.errors import InputError
from armillary.units import parse

EXAMPLE = """
\b
Examples:
  armillary network simulate --system p6e-gb300 --gpus 4608 --op all_reduce --size 8GiB
  armillary network simulate --system p5en --gpus 1024 --op all_to_all --size 1GiB --groups 32 \\
      --routing ecmp --fail 'spine 0' --trace out.json --svg load.svg
"""


@click.command(epilog=EXAMPLE)
@click.option("--system", required=True, help="A system of the catalog, e.g. p6e-gb300.")
@click.option(
    "--gpus",
    "accelerators",
    required=True,
    type=click.IntRange(2, 10_000_000),
    help="Accelerators that take part; the fabric has whole leaves, one on each rail, and whole domains.",
)
@click.option(
    "--op",
    "operation",
    default="all_reduce",
    show_default=True,
    help="all_reduce, all_gather, reduce_scatter, all_to_all or send.",
)
@click.option("--size", default="1 GiB", show_default=True, help="Bytes a rank holds.")
@click.option(
    "--groups", default=1, show_default=True, type=click.IntRange(1), help="Groups at once, side by side."
)
@click.option("--strided", is_flag=True, help="Ranks of a group as far apart as there are groups.")
@fabric_options
@queue_pairs_option
@click.option("--tolerance", default=0.0, show_default=True, type=FiniteRange(0, 0.5), help="0 is exact.")
@click.option("--trace", default=None, type=OutputFile(), help="Write a Perfetto trace here.")
@click.option("--timeline", default=None, type=OutputFile(), help="Write a timeline of flows here (SVG).")
@click.option("--svg", default=None, type=OutputFile(), help="Write the links' load here.")
@json_option
@catalog_option
def command(
    system: str,
    accelerators: int,
    operation: str,
    size: str,
    groups: int,
    strided: bool,
    oversubscription: float,
    leaf: int,
    rails: str,
    routing: str,
    queue_pairs: int,
    planes: int,
    failed: tuple[str, ...],
    tolerance: float,
    trace: Path | None,
    timeline: Path | None,
    svg: Path | None,
    as_json: bool,
    catalogs: tuple[Path, ...],
) -> None:
    """Simulate a collective on a fabric: when the last byte arrives, and what each tier carries."""
    import numpy as np

    from armillary import catalog as catalog_room
    from armillary.app import simulate_view as view
    from armillary.app.console import out, say_if_compiling
    from armillary.network.simulated import simulate_collective

    known = catalog_room.load(*catalogs)
    if accelerators % groups:
        raise InputError(f"--gpus {accelerators} are not {groups} groups of equal size")
    fabric = fabric_from(known, system, accelerators, oversubscription, leaf, rails, routing, planes, failed)
    ranks = np.arange(accelerators)
    members = ranks.reshape(-1, groups).T if strided else ranks.reshape(groups, -1)
    amount = parse(size, "byte")
    say_if_compiling("events")
    found = simulate_collective(fabric, operation, members, amount, tolerance, queue_pairs)
    of = f"{groups:,} groups of " if groups > 1 else ""
    title = f"{operation} of {size} in {of}{members.shape[1]:,} accelerators, {fabric.name}"
    if svg is not None:
        write_figure(svg, view.load_figure(fabric, found, title))
    if timeline is not None:
        write_figure(timeline, view.flow_timeline(fabric, found, title))
    if trace is not None:
        write_figure(trace, view.trace(fabric, found, title))
    if as_json:
        echo_json(view.simulated_json(fabric, found, amount, members.shape[1]))
    else:
        out().print(view.simulated_view(fabric, found, amount, members.shape[1], title))

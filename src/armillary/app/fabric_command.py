"""``armillary network fabric``: the links of a network, what is down, and what it costs."""

from __future__ import annotations

from pathlib import Path

import click

from armillary.app.fabric_options import fabric_from, fabric_options, failures, say_rounded
from armillary.app.options import catalog_option, echo_json, json_option
from armillary.errors import InputError

EXAMPLE = """
\b
Examples:
  armillary network fabric --system p6e-gb300 --gpus 4608 --oversubscription 2
  armillary network fabric --system p5en --gpus 2048 --routing ecmp --fail 'spine 3' --fail 'rail 0@50%'
  armillary network fabric --system p5en --preset hpn7 --gpus 30720
  armillary network fabric --system p5en --topology topology.conf
"""


@click.command(epilog=EXAMPLE)
@click.option("--system", required=True, help="A system of the catalog, e.g. p6e-gb300.")
@click.option(
    "--gpus",
    "accelerators",
    default=None,
    type=click.IntRange(2, 10_000_000),
    help="How many; rounded up to whole leaves, one on each rail, and whole domains, or groups of a preset.",
)
@click.option("--preset", default=None, help="A published network, e.g. hpn7; its own shape and routing.")
@click.option(
    "--topology",
    default=None,
    type=click.Path(path_type=Path),
    help="Take the switches from a file: Slurm, Topograph, EC2, Kubernetes nodes.",
)
@fabric_options
@json_option
@catalog_option
def command(
    system: str,
    accelerators: int | None,
    preset: str | None,
    topology: Path | None,
    oversubscription: float,
    leaf: int,
    rails: str,
    routing: str,
    planes: int,
    failed: tuple[str, ...],
    as_json: bool,
    catalogs: tuple[Path, ...],
) -> None:
    """Build a fabric and print its tiers: links, bandwidth for each accelerator, what is down."""
    from armillary import catalog as catalog_room
    from armillary.app import fabric_view as view
    from armillary.app.console import out

    known = catalog_room.load(*catalogs)
    if topology is None and preset is None and accelerators is None:
        raise InputError("give --gpus, for leaves and spines, --preset, or --topology for a file's switches")
    if topology is not None and (accelerators is not None or preset is not None):
        raise InputError("--topology says itself how many there are; leave out --gpus and --preset")
    bought = known.system(system)
    chip = known.accelerator(bought.accelerator)
    if preset is not None:
        from armillary.machine import SCALE_UP_LATENCY
        from armillary.network.presets import preset_fabric

        whole = preset_fabric(
            preset,
            accelerators or 0,
            bought.nic_bandwidth,
            bought.nic_latency,
            bought.scale_up_size,
            chip.scale_up_bandwidth,
            SCALE_UP_LATENCY,
            oversubscription,
        )
        if accelerators is not None:
            say_rounded(accelerators, whole, f"whole groups of {preset}")
    elif topology is not None:
        from armillary.interop import read_topology
        from armillary.machine import SCALE_UP_LATENCY
        from armillary.network.fabrics import switch_fabric

        whole = switch_fabric(
            read_topology(topology),
            bought.accelerators_per_node,
            bought.nic_bandwidth,
            bought.nic_latency,
            chip.scale_up_bandwidth,
            SCALE_UP_LATENCY,
            oversubscription,
            routing,
        )
    else:
        assert accelerators is not None
        whole = fabric_from(known, system, accelerators, oversubscription, leaf, rails, routing, planes, ())
    broken = whole.degraded(failures(failed))
    if as_json:
        echo_json(view.fabric_json(whole, broken))
    else:
        out().print(view.fabric_view(whole, broken))

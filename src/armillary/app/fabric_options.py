"""Options of the commands that build a fabric, and the fabric that they describe."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from armillary.app.options import FiniteRange
from armillary.errors import InputError

if TYPE_CHECKING:
    from armillary.catalog import Catalog
    from armillary.network.fabric import Fabric

_SHAPE: list[Callable[..., Any]] = [
    click.option(
        "--leaf", default=32, show_default=True, type=click.IntRange(1, 4096), help="Accelerators a leaf."
    ),
    click.option("--rails", default="optimised", show_default=True, help="none, optimised or only."),
    click.option("--routing", default="spray", show_default=True, help="spray, ecmp or static."),
    click.option(
        "--planes", default=1, show_default=True, type=click.IntRange(1, 64), help="Networks side by side."
    ),
]

_THIN_OR_BROKEN: list[Callable[..., Any]] = [
    click.option(
        "--oversubscription",
        default=1.0,
        show_default=True,
        type=FiniteRange(0, 1000, min_open=True),
        help="Of leaf to spine; of every level of a file that does not say.",
    ),
    *_SHAPE,
    click.option("--fail", "failed", multiple=True, help="What is down: 'spine 3'; or slow: 'rail 0@50%'."),
]

queue_pairs_option = click.option(
    "--queue-pairs",
    default=4,
    show_default=True,
    type=click.IntRange(1, 256),
    help="Of each flow; ECMP hashes each.",
)

_FAILURE = re.compile(r"\A\s*(.+?)\s*(?:@\s*(\d+(?:\.\d+)?)\s*%\s*)?\Z")


def shape_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of a network above the scale-up domains."""
    for option in reversed(_SHAPE):
        function = option(function)
    return function


def fabric_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the same, how thin the spine is and what failed."""
    for option in reversed(_THIN_OR_BROKEN):
        function = option(function)
    return function


def failures(texts: Sequence[str]) -> list[tuple[str, float]]:
    """Read ``--fail``: a part that is down, or ``part@50%`` where half of it is left.

    Raises
    ------
    InputError
        If it is empty or the share is not a percentage.

    Examples
    --------
    >>> failures(["leaf 3", "plane 0@50%"])
    [('leaf 3', 0.0), ('plane 0', 0.5)]
    """
    found = []
    for text in texts:
        match = _FAILURE.match(text)
        if match is None or "@" in match[1]:
            raise InputError(
                f"--fail {text!r}: write a part as 'leaf 3', or what is left of it as 'leaf 3@50%'"
            )
        found.append((match[1], float(match[2]) / 100 if match[2] else 0.0))
    return found


def fabric_from(
    known: Catalog,
    system: str,
    accelerators: int,
    oversubscription: float,
    leaf: int,
    rails: str,
    routing: str,
    planes: int,
    failed: Sequence[str],
) -> Fabric:
    """Fabric of a system with leaves and spines, with what failed; says on stderr where it has more."""
    from armillary.twin import Shape, fabric_of, machine_of
    from armillary.twin.fabric_cases import group_of, rails_of

    bought = known.system(system)
    size = bought.scale_up_size
    whole = -(-accelerators // size) * size
    chip = known.accelerator(bought.accelerator)
    machine = machine_of(bought, chip, whole, size, oversubscription)
    shape = Shape(leaf, oversubscription, rails, routing, planes)
    fabric = fabric_of(machine, shape).degraded(failures(failed))
    count = rails_of(bought, shape)
    leaves = f"a leaf of {leaf:,}" + (f" on each of {count:,} rails" if count > 1 else "")
    why = f"whole groups of {group_of(bought, shape):,}: {leaves}, in whole domains of {size:,}"
    say_rounded(accelerators, fabric, why)
    return fabric


def say_rounded(asked: int, fabric: Fabric, why: str) -> None:
    """Say on stderr where a fabric has more accelerators than were asked for."""
    if fabric.endpoints != asked:
        click.echo(f"--gpus {asked:,} is rounded up to a fabric of {fabric.endpoints:,}, {why}", err=True)

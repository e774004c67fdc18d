"""Options of the commands that train a model on a system, and the job and machine they describe."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from armillary.app.options import FiniteRange, batch

if TYPE_CHECKING:
    from armillary.catalog import Catalog
    from armillary.machine import Machine
    from armillary.model import Transformer
    from armillary.training import Job

PRECISIONS = ("bf16", "fp8", "fp8-current", "fp8-block", "fp8-mx", "nvfp4")

_OPTIONS: list[Callable[..., Any]] = [
    click.option("--model", required=True, help="A catalog name, or the path of a Hugging Face config.json."),
    click.option("--system", required=True, help="A system of the catalog, e.g. p6e-gb300."),
    click.option(
        "--gpus",
        "accelerators",
        required=True,
        type=click.IntRange(1, 10_000_000),
        help="Accelerators granted.",
    ),
    click.option(
        "--global-batch", default="4M-tokens", show_default=True, help="Sequences, or tokens as 4M-tokens."
    ),
    click.option(
        "--seq",
        "sequence",
        default=8192,
        show_default=True,
        type=click.IntRange(128, 2**24),
        help="Tokens a sequence.",
    ),
    click.option(
        "--precision",
        default="bf16",
        show_default=True,
        type=click.Choice(PRECISIONS),
        help="Training recipe.",
    ),
    click.option(
        "--price", default=None, help="Price of an accelerator, e.g. '3.1 USD/h'; default from the catalog."
    ),
    click.option(
        "--oversubscription",
        default=1.0,
        show_default=True,
        type=FiniteRange(1, 1000),
        help="Of the network above the scale-up domain.",
    ),
    click.option("--set", "settings", multiple=True, help="Hard constraint NAME=VALUE[,VALUE], e.g. tp=8."),
    click.option(
        "--imbalance",
        default=1.0,
        show_default=True,
        type=FiniteRange(1, 1000),
        help="Tokens of the busiest expert over the mean.",
    ),
    click.option(
        "--capacity",
        default=None,
        type=FiniteRange(1, 1000),
        help="What experts take at most, over the mean; further tokens are dropped.",
    ),
]


def job_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of a training job, in this order."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def job_of(
    model: str,
    global_batch: str,
    sequence: int,
    precision: str,
    imbalance: float,
    capacity: float | None,
    known: Catalog,
) -> Job:
    """Job that the options describe."""
    from armillary.training import Job, recipe

    return Job(
        _model(model, known),
        sequence,
        batch(global_batch, sequence),
        recipe(precision),
        imbalance,
        capacity or inf,
    )


def machine_of(system: str, accelerators: int, oversubscription: float, known: Catalog) -> Machine:
    """Machine whose one ring above the scale-up domains holds a grant."""
    from armillary.machine import Ring, build

    bought = known.system(system)
    whole = _room(accelerators, bought.scale_up_size)
    bandwidth = bought.nic_bandwidth / oversubscription
    ring = Ring("cluster", whole, bandwidth, bought.nic_latency, oversubscription)
    return build(bought, known.accelerator(bought.accelerator), whole, [ring])


def _room(accelerators: int, domain: int) -> int:
    """Accelerators of the domains that hold a grant: full ones, or over half full where that divides it."""
    used = next((d for d in range(domain, domain // 2, -1) if accelerators % d == 0), domain)
    return -(-accelerators // used) * domain


def _model(name: str, known: Catalog) -> Transformer:
    """Model of the catalog or of a file; says on stderr where a file's type is not known."""
    from armillary.model import hugging_face_record, transformer

    if not name.endswith(".json"):
        return transformer(known.model(name))
    record = hugging_face_record(Path(name))
    if record.note:
        click.echo(f"assumed: {name}: {record.note}", err=True)
    return transformer(record)

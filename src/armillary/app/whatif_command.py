"""``armillary network whatif``: one plan on many fabrics."""

from __future__ import annotations

from pathlib import Path

import click

from armillary.app.fabric_options import queue_pairs_option, shape_options
from armillary.app.job_options import job_of, job_options, machine_of
from armillary.app.options import catalog_option, constraints, echo_json, json_option, price_of
from armillary.app.writing import OutputFile, write_figure
from armillary.units import parse

EXAMPLE = """
\b
Examples:
  armillary network whatif --model deepseek-v3 --system p6e-gb300 --gpus 2304
  armillary network whatif --model llama3.1-405b --system p5en --gpus 4096 \\
      --vary oversubscription --vary placement --svg fabrics.svg
  armillary network whatif --model llama3.1-70b --system p5en --gpus 1024 \\
      --vary long-haul --long-haul '1.6 Tbit/s' --long-haul-latency '5 ms'
"""

TOKENS = 1e12
"""To train on; no answer of this command depends on it. [token]"""


@click.command(epilog=EXAMPLE)
@job_options
@click.option(
    "--vary",
    "questions",
    multiple=True,
    help="What to vary: oversubscription, domain, rails, routing, failure, placement, neighbours, "
    "generations, long-haul. May be repeated; all by default.",
)
@shape_options
@queue_pairs_option
@click.option("--long-haul", default="1.6 Tbit/s", show_default=True, help="Between two clusters, one way.")
@click.option("--long-haul-latency", default="10 ms", show_default=True, help="One way.")
@click.option("--older", default=None, help="System of the older half, for generations.")
@click.option(
    "--trace",
    default=None,
    type=OutputFile(),
    help="Write a Perfetto trace of the first case's step here.",
)
@click.option(
    "--timeline",
    default=None,
    type=OutputFile(),
    help="Write a timeline of the first case's step here (SVG).",
)
@click.option("--svg", default=None, type=OutputFile(), help="Write the figure here.")
@json_option
@catalog_option
def command(
    model: str,
    system: str,
    accelerators: int,
    global_batch: str,
    sequence: int,
    precision: str,
    price: str | None,
    oversubscription: float,
    settings: tuple[str, ...],
    imbalance: float,
    capacity: float | None,
    questions: tuple[str, ...],
    leaf: int,
    rails: str,
    routing: str,
    queue_pairs: int,
    planes: int,
    long_haul: str,
    long_haul_latency: str,
    older: str | None,
    trace: Path | None,
    timeline: Path | None,
    svg: Path | None,
    as_json: bool,
    catalogs: tuple[Path, ...],
) -> None:
    """Take the best plan of a model over many fabrics.

    The plan is searched in closed form; its collectives then run as flows on each fabric. Prints step time,
    exposed communication, and what the network costs against what it buys.
    """
    from armillary import catalog as catalog_room
    from armillary.app import whatif_view as view
    from armillary.app.console import out, progress, say_if_compiling
    from armillary.twin import (
        QUESTIONS,
        LongHaul,
        Plan,
        Shape,
        case_cost,
        fabric_cases,
        plan_training,
        try_fabrics,
    )

    known = catalog_room.load(*catalogs)
    job = job_of(model, global_batch, sequence, precision, imbalance, capacity, known)
    machine = machine_of(system, accelerators, oversubscription, known)
    cost = price_of(price, system, known)
    haul = LongHaul(parse(long_haul, "byte/s"), parse(long_haul_latency, "s"))
    shape = Shape(leaf, oversubscription, rails, routing, planes, queue_pairs=queue_pairs)
    with progress("searching layouts") as step:
        fixed = constraints(settings)
        best = plan_training(job, machine, accelerators, TOKENS, cost, fixed, top=1, progress=step)
    plan = Plan(job, best.slice, best.best.layout, best.calibrated)
    cases = fabric_cases(plan, shape, questions or QUESTIONS, haul, known.system(older) if older else None)
    say_if_compiling("filling")
    with progress("running flows") as step:
        outcomes = try_fabrics(cases, case_cost, step)
    title = f"{model} on {accelerators:,} accelerators of {system}: {plan.layout.describe()}"
    if svg is not None:
        write_figure(svg, view.whatif_figure(outcomes, f"One plan on many fabrics: {model} on {system}"))
    first = f"{model}, {outcomes[0].case.question} {outcomes[0].case.label}"
    if timeline is not None:
        write_figure(timeline, view.step_figure(outcomes[0], first))
    if trace is not None:
        write_figure(trace, view.step_trace(outcomes[0], first))
    if as_json:
        echo_json(view.whatif_json(outcomes, accelerators, cost))
    else:
        out().print(view.whatif_view(outcomes, accelerators, cost, title))

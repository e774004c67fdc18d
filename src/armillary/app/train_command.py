"""``armillary train``: the best layouts of a model on a system, without a scenario file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import click

from armillary.app.job_options import job_of, job_options, machine_of
from armillary.app.options import (
    WISHES,
    catalog_option,
    constraints,
    echo_json,
    json_option,
    price_of,
    tokens,
    wish,
)
from armillary.app.writing import OutputFile, write_figure
from armillary.errors import InfeasibleError

if TYPE_CHECKING:
    from armillary.catalog import Catalog
    from armillary.machine import Machine
    from armillary.training import Advice, Job
    from armillary.twin import Price, Side, TrainingPlan

SWEEPS = ("scale", "sequence", "system", "domain", "oversubscription", "bandwidth")

EXAMPLE = """
\b
Examples:
  armillary train --model llama3.1-405b --system p6e-gb300 --gpus 4608 \\
      --global-batch 4M-tokens --seq 8192
  armillary train --model deepseek-v3 --system p6e-gb200 --gpus 2304 --precision fp8-mx \\
      --set tp=1,2 --set recompute=none,selective --explain
  armillary train --model llama3.1-70b --system p5en --gpus 512 --sweep scale --svg scale.svg
  armillary train --model llama3.1-70b --system p5en --gpus 512 --compare fastest tp=8,pp=4
  armillary train --model llama3.1-70b --system p5en --gpus 512 --gradients
"""


@click.command(epilog=EXAMPLE)
@job_options
@click.option(
    "--tokens", "total", default="15T", show_default=True, help="Tokens to train on, for time and cost."
)
@click.option(
    "--top", default=5, show_default=True, type=click.IntRange(1, 100), help="How many layouts to print."
)
@click.option(
    "--explain",
    is_flag=True,
    help="Take the best layout apart: each loss from the ideal step on, each kind of memory.",
)
@click.option("--sweep", default=None, type=click.Choice(SWEEPS), help="Vary a property and draw the curve.")
@click.option(
    "--compare",
    "sides",
    nargs=2,
    default=None,
    metavar="A B",
    help="Two layouts side by side, each as tp=8,pp=16 (what is left free is searched), fastest or roomiest.",
)
@click.option("--gradients", is_flag=True, help="What 1% more of each scarce thing takes off the step.")
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
    total: str,
    price: str | None,
    oversubscription: float,
    settings: tuple[str, ...],
    imbalance: float,
    capacity: float | None,
    top: int,
    explain: bool,
    sweep: str | None,
    sides: tuple[str, str] | None,
    gradients: bool,
    svg: Path | None,
    as_json: bool,
    catalogs: tuple[Path, ...],
) -> None:
    """Find the best layouts to train a model on a system.

    Prints the top plans, where the step goes, what fills the memory, time and cost to train.
    """
    if (sweep is not None) + (sides is not None) + gradients > 1:
        raise click.UsageError("--sweep, --compare and --gradients are separate questions; ask one at a time")
    from armillary import catalog as catalog_room

    known = catalog_room.load(*catalogs)
    job = job_of(model, global_batch, sequence, precision, imbalance, capacity, known)
    machine = machine_of(system, accelerators, oversubscription, known)
    cost = price_of(price, system, known)
    fixed = constraints(settings)
    if sweep is not None:
        from armillary.app.sweep_view import show_sweep

        show_sweep(sweep, job, machine, accelerators, known, fixed, cost, price is not None, svg, as_json)
        return
    asked = Asked(job, machine, accelerators, tokens(total), cost, fixed)
    if sides is not None:
        _compare(asked, sides, svg, as_json)
        return
    plan = asked.plan(fixed, top)
    advice = _advice(asked, plan)
    if not plan.candidates and advice is not None:
        _refuse(advice, known, as_json)
    if gradients:
        _gradients(plan, fixed, svg, as_json)
    else:
        _show(plan, top, explain, as_json, svg, advice)
    if advice is not None:
        from armillary.app.advice_view import hints

        for line in hints(advice, known, plan.step):
            click.echo(f"hint: {line}", err=True)


class Asked(NamedTuple):
    """What a question is about. fixed : of ``--set``."""

    job: Job
    machine: Machine
    accelerators: int
    tokens: float
    price: Price | None
    fixed: dict[str, list[Any]]

    def plan(self, fixed: dict[str, list[Any]], top: int) -> TrainingPlan:
        """Search under constraints, with a progress bar."""
        from armillary.app.console import progress
        from armillary.twin import plan_training

        with progress("searching layouts") as step:
            return plan_training(
                self.job,
                self.machine,
                self.accelerators,
                self.tokens,
                self.price,
                fixed,
                top=top,
                progress=step,
            )


def _advice(asked: Asked, plan: TrainingPlan) -> Advice | None:
    """What would help where nothing is feasible, or where constraints make it slow."""
    from armillary.training import advise

    step = plan.step if plan.candidates else None
    if step is not None and not asked.fixed:
        return None
    machines = [s.space.machine for s in plan.searches]
    return advise(asked.job, machines, plan.calibrated, asked.fixed, step)


def _refuse(advice: Advice, known: Catalog, as_json: bool) -> NoReturn:
    from armillary.app.advice_view import advice_json, hints

    if as_json:
        echo_json({"infeasible": advice.why, "advice": advice_json(advice)})
    raise InfeasibleError("\n".join([advice.why, *(f"  hint: {line}" for line in hints(advice, known))]))


def _gradients(plan: TrainingPlan, fixed: dict[str, list[Any]], svg: Path | None, as_json: bool) -> None:
    from armillary.app import gradients_view as view
    from armillary.app.console import out
    from armillary.twin import plan_gradients

    found = plan_gradients(plan, fixed)
    if svg is not None:
        write_figure(svg, view.gradients_figure(found))
    if as_json:
        echo_json(view.gradients_json(found))
    else:
        out().print(view.gradients_view(found))


def _compare(asked: Asked, sides: tuple[str, str], svg: Path | None, as_json: bool) -> None:
    from armillary.app import comparison_view as view
    from armillary.app.console import out
    from armillary.twin import compare

    wishes = [{**asked.fixed, **wish(words)} for words in sides]
    found = compare(*(_side(asked, words, fixed) for words, fixed in zip(sides, wishes, strict=True)))
    if svg is not None:
        write_figure(svg, view.comparison_figure(found))
    if as_json:
        echo_json(view.comparison_json(found))
    else:
        out().print(view.comparison_view(found))


def _side(asked: Asked, words: str, fixed: dict[str, list[Any]]) -> Side:
    from armillary.twin import Side

    plan = asked.plan(fixed, top=1)
    try:
        chosen = plan.roomiest[0] if words.strip() == WISHES[1] and plan.candidates else plan.best
    except InfeasibleError as error:
        raise InfeasibleError(f"--compare {words!r}: {error}") from None
    return Side(words.strip(), plan, chosen)


def _show(
    plan: TrainingPlan, top: int, explain: bool, as_json: bool, svg: Path | None, advice: Advice | None
) -> None:
    from armillary.app import plan_tables
    from armillary.app.advice_view import advice_json

    if svg is not None:
        write_figure(svg, _step_figure(plan, top, explain))
    if as_json:
        told = advice_json(advice) if advice is not None else None
        echo_json({**plan_tables.plan_json(plan, top), "advice": told})
        return
    from armillary.app.console import out

    out().print(plan_tables.explain_view(plan) if explain else plan_tables.plan_view(plan, top))


def _step_figure(plan: TrainingPlan, top: int, explain: bool) -> str:
    from armillary.app import plan_tables
    from armillary.app.figures import stacked_bar
    from armillary.app.waterfall_view import waterfall_figure

    title = f"Where a step of {plan.job.model.name} goes"
    if explain:
        return waterfall_figure(plan.waterfall, f"{title}, {plan.best.layout.describe()}")
    rows = [
        (c.layout.describe(), list(plan_tables.parts_of(c.estimate).items())) for c in plan.candidates[:top]
    ]
    return stacked_bar(rows, unit="s", title=title)

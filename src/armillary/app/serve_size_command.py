"""``armillary serve size``: the cheapest deployments that hold a demand within its latency targets."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import click

from armillary.app.options import FiniteRange, echo_json, price_of
from armillary.app.serve_demand_options import (
    asked_targets,
    asked_trace,
    asked_workload,
    demand_options,
    years_ahead,
)
from armillary.app.serve_options import EXAMPLE, default_precision, say_assumed, served_options
from armillary.app.writing import OutputFile, write_figure

DAY = 86400.0
EXIT_INFEASIBLE = 1


@click.command(epilog=EXAMPLE)
@served_options
@click.option("--system", "systems", required=True, multiple=True, help="Of the catalog; may be repeated.")
@demand_options
@click.option(
    "--agent-tasks",
    default=None,
    type=FiniteRange(0, 1e15),
    help="A day: also print the CPUs and memory that their tools need.",
)
@click.option("--ttft", default=None, help="Target for the time to first token: '1 s', or 'p99 2 s'.")
@click.option("--tpot", default=None, help="Target for the time per output token, e.g. '30 ms'.")
@click.option("--e2e", default=None, help="Target for the whole answer.")
@click.option("--goodput", default=None, help="Share of requests that meet all targets at once, e.g. '95%'.")
@click.option(
    "--percentile",
    default=None,
    type=FiniteRange(1, 99.99),
    help="Of targets without one; default 95, or what --goodput implies.",
)
@click.option("--headroom", default=0.1, show_default=True, type=FiniteRange(0, 10), help="Spares.")
@click.option("--accelerators", "capacity", default=None, type=click.IntRange(1), help="That there are.")
@click.option("--price", default=None, help="Of an accelerator, e.g. '3.1 USD/h'; default from the catalog.")
@click.option("--front", "show_front", is_flag=True, help="Print throughput against interactivity.")
@click.option("--svg", default=None, type=OutputFile(), help="Draw throughput against speed.")
def size(
    name: str,
    precision: str | None,
    engine: str,
    drafts: int,
    trace: Path | None,
    mix: str,
    seed: int,
    as_json: bool,
    catalogs: tuple[Path, ...],
    systems: tuple[str, ...],
    agent_tasks: float | None,
    ttft: str | None,
    tpot: str | None,
    e2e: str | None,
    goodput: str | None,
    percentile: float | None,
    headroom: float,
    capacity: int | None,
    price: str | None,
    show_front: bool,
    svg: Path | None,
    growth: str | None,
    horizon: str | None,
    since: str | None,
    until: str | None,
    **asked: Any,
) -> None:
    """Find the cheapest deployment that holds latency targets, on each system; every one is simulated.

    --engine and --precision take several, with commas.
    """
    from armillary import catalog as catalog_room
    from armillary.app import serve_size_view as view
    from armillary.app.console import progress, say_if_compiling
    from armillary.model import transformer
    from armillary.serving.agents import agent_fleet
    from armillary.serving.front import front
    from armillary.serving.precision import precision as precision_named
    from armillary.serving.sizing import meshes
    from armillary.serving.sizing import size as find
    from armillary.serving.workload import check_question, drawn

    known = catalog_room.load(*catalogs)
    model = transformer(known.model(name))
    ahead = years_ahead(growth, horizon, since, until)
    targets = asked_targets(ttft, tpot, e2e, percentile, goodput)
    workload = asked_workload(model, asked_trace(trace, model), mix, **asked)
    check_question(workload, targets, headroom)
    asks = [workload] if ahead is None else [workload, workload.grown(*ahead)]
    engines = [word.strip() for word in engine.split(",")]
    say_if_compiling("running", "serving", "the request simulator")
    answers = [view.Answer(ask, [], []) for ask in asks]
    points = []
    with progress("sizing") as step:
        for i, one in enumerate(systems):
            system = known.system(one)
            chip = known.accelerator(system.accelerator)
            names = (precision or default_precision(model, chip)).split(",")
            chosen = [precision_named(word.strip()) for word in names]
            say_assumed(chip)
            offer = price_of(price, system.name, known)
            for answer in answers:
                sized, short = find(
                    answer.workload,
                    targets,
                    model,
                    system,
                    chip,
                    chosen,
                    0.0 if offer is None else offer.per_accelerator,
                    engines,
                    headroom,
                    drafts,
                    seed=seed,
                    capacity=math.inf if capacity is None else capacity,
                )
                answer.found.extend(sized)
                answer.reasons.extend(short)
            if as_json or show_front or svg is not None:
                load = drawn(workload, seed)
                grid = meshes(load, targets, model, system, chip, chosen, engines, drafts)
                points += front(grid, load, targets, system.name)
            step(i + 1, len(systems))
    if svg is not None and points:
        write_figure(svg, view.front_figure(points))
    agents = None if agent_tasks is None else agent_fleet(agent_tasks / DAY)
    if as_json:
        echo_json(view.sizing_json(answers, targets, ahead, points, agents))
    else:
        view.print_sizing(answers, targets, headroom, ahead, agents)
        if show_front:
            view.print_front(points)
    if not all(answer.found for answer in answers):
        raise click.exceptions.Exit(EXIT_INFEASIBLE)

"""``armillary serve size``: the cheapest deployments that hold a demand within its latency targets."""

from __future__ import annotations

from pathlib import Path

import click

from armillary.app.options import echo_json, price_of, write_figure
from armillary.app.serve_options import EXAMPLE, asked_lengths, default_precision, say_assumed, served_options
from armillary.units import parse

DAY = 86400.0
EXIT_INFEASIBLE = 1


@click.command(epilog=EXAMPLE)
@served_options
@click.option("--system", "systems", required=True, multiple=True, help="Of the catalog; may be repeated.")
@click.option("--messages", default=None, type=click.FloatRange(1, 1e15), help="A day, of all users.")
@click.option(
    "--agent-tasks",
    default=None,
    type=click.FloatRange(0, 1e15),
    help="A day: also print the CPUs and memory that their tools need.",
)
@click.option("--shape", default="servegen-language-large", show_default=True, help="Of the day.")
@click.option("--ttft", default=None, help="Target for the time to first token, e.g. '1 s'.")
@click.option("--tpot", default=None, help="Target for the time per output token, e.g. '30 ms'.")
@click.option("--e2e", default=None, help="Target for the whole answer.")
@click.option("--percentile", default=95.0, show_default=True, type=click.FloatRange(1, 99.99))
@click.option("--headroom", default=0.1, show_default=True, type=click.FloatRange(0, 10), help="Spares.")
@click.option("--price", default=None, help="Of an accelerator, e.g. '3.1 USD/h'; default from the catalog.")
@click.option("--svg", default=None, type=click.Path(path_type=Path), help="Draw the Pareto front.")
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
    messages: float | None,
    agent_tasks: float | None,
    shape: str,
    ttft: str | None,
    tpot: str | None,
    e2e: str | None,
    percentile: float,
    headroom: float,
    price: str | None,
    svg: Path | None,
) -> None:
    """Find the cheapest deployment that holds latency targets, on each system; every one is simulated."""
    import math

    from armillary import catalog as catalog_room
    from armillary.app import serve_view
    from armillary.app.console import progress, say_if_compiling
    from armillary.errors import InputError
    from armillary.model import transformer
    from armillary.serving.agents import agent_fleet
    from armillary.serving.diurnal import named_shape
    from armillary.serving.precision import precision as precision_named
    from armillary.serving.sizing import Targets, Workload
    from armillary.serving.sizing import size as find

    known = catalog_room.load(*catalogs)
    model = transformer(known.model(name))
    lengths, trace_rate = asked_lengths(trace, mix, model)
    if messages is not None:
        mean = messages / DAY
        peak = mean * named_shape(shape).peak_over_mean
    elif trace_rate is not None:
        mean = peak = trace_rate
    else:
        raise InputError("nothing says how much is asked; give --messages, or a --trace with its arrivals")
    first, each, whole = (math.inf if text is None else parse(text, "s") for text in (ttft, tpot, e2e))
    targets = Targets(first, each, whole, percentile)
    workload = Workload(mean, peak, lengths)
    say_if_compiling("running", "serving", "the request simulator")
    found, reasons = [], []
    with progress("sizing") as step:
        for i, one in enumerate(systems):
            system = known.system(one)
            chip = known.accelerator(system.accelerator)
            chosen = precision_named(precision or default_precision(model, chip))
            say_assumed(chip)
            offer = price_of(price, system.name, known)
            sized, short = find(
                workload,
                targets,
                model,
                system,
                chip,
                chosen,
                0.0 if offer is None else offer.per_accelerator,
                engine,
                headroom,
                drafts,
                seed=seed,
            )
            found += sized
            reasons += short
            step(i + 1, len(systems))
    if svg is not None and found:
        write_figure(svg, serve_view.pareto_figure(found))
    agents = None if agent_tasks is None else agent_fleet(agent_tasks / DAY)
    if as_json:
        echo_json(serve_view.sizing_json(workload, targets, found, reasons, agents))
    else:
        serve_view.print_sizing(workload, targets, found, reasons, agents)
    if not found:
        raise click.exceptions.Exit(EXIT_INFEASIBLE)

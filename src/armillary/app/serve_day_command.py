"""``armillary serve day``: a day's messages on a fleet of alike cells, by a sample of them or whole."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from armillary.app.options import FiniteRange, echo_json
from armillary.app.serve_options import EXAMPLE, asked_lengths, served_options
from armillary.app.service_options import layout_options, served_pool, target
from armillary.app.writing import OutputFile, write_figure
from armillary.processes import interrupts_held, leave_interrupts

Map = Callable[[Callable[[Any], Any], Iterable[Any]], Iterable[Any]]


@click.command(epilog=EXAMPLE)
@served_options
@click.option("--system", required=True, help="A system of the catalog.")
@click.option("--messages", required=True, type=FiniteRange(1, 1e15), help="A day, of all users.")
@click.option("--shape", default="servegen-language-large", show_default=True, help="Of the day.")
@click.option("--burstiness", default=1.0, show_default=True, type=FiniteRange(0, 100))
@click.option(
    "--cells", default=500, show_default=True, type=click.IntRange(1, 100_000), help="Of the fleet, alike."
)
@click.option(
    "--replicas", default=40, show_default=True, type=click.IntRange(1, 100_000), help="Of each cell."
)
@layout_options
@click.option(
    "--routing",
    default="least_loaded",
    show_default=True,
    type=click.Choice(("round_robin", "random", "least_loaded", "power_of_two")),
)
@click.option(
    "--sample", default=8, show_default=True, type=click.IntRange(2, 100_000), help="Cells that are run."
)
@click.option("--whole", is_flag=True, help="Run every cell, request by request; needs --state.")
@click.option(
    "--state",
    default=None,
    type=click.Path(path_type=Path),
    help="Folder that cells keep their states in; a stopped run goes on from it.",
)
@click.option("--jobs", default=None, type=click.IntRange(1, 1024), help="Processes; default one a CPU.")
@click.option("--svg", default=None, type=OutputFile(), help="Draw the users' latencies.")
def day(
    as_json: bool,
    catalogs: tuple[Path, ...],
    trace: Path | None,
    messages: float,
    shape: str,
    burstiness: float,
    cells: int,
    sample: int,
    whole: bool,
    state: Path | None,
    jobs: int | None,
    svg: Path | None,
    **options: Any,
) -> None:
    """Simulate a day of a fleet whose cells, a router with its replicas each, are alike and independent.

    A sample of the cells tells what all do, with a 95% confidence interval between cells; --whole runs all
    of them. Layouts, replicas, limits and failures are those of a cell.
    """
    from armillary.app import day_view as view
    from armillary.app.console import progress, say_if_compiling
    from armillary.errors import InputError
    from armillary.serving.cells import simulate_cells
    from armillary.serving.day import CellTraffic, cell_pool, claim_folder, steady_limit
    from armillary.serving.demand import Demand
    from armillary.serving.diurnal import DAY, named_shape

    if whole and state is None:
        raise InputError("--whole needs --state FOLDER, so that a stopped run can go on")
    pool, outages = served_pool(options, catalogs)
    lengths, _ = asked_lengths(trace, options["mix"], pool.model)
    demand = Demand(messages, lengths, named_shape(shape), burstiness)
    cell = cell_pool(pool, demand, options["seed"])
    if outages:
        raise InputError("--fail of a day is of replicas at random, 'mtbf=30 days,mttr=1 h': cells are alike")
    peak, most = messages / DAY / cells * demand.shape.peak_over_mean, steady_limit(cell, demand)
    if peak > most:
        click.echo(
            f"overloaded: the peak brings a cell {peak:.3g} requests/s, and it serves about {most:.3g}; "
            f"queues grow, and the run takes long",
            err=True,
        )
    if state is not None:
        claim_folder(state, demand, cells, options["seed"])
    say_if_compiling("running", "serving", "the request simulator")
    count = cells if whole else min(sample, cells)
    with processes(min(jobs or os.cpu_count() or 1, count)) as mapped, progress("cells of the day") as step:
        found = simulate_cells(
            CellTraffic(demand, cells, options["seed"]),
            cell.pool,
            cells=cells,
            sample=count,
            map=mapped,
            routing=options["routing"],
            seed=options["seed"],
            retries=options["retries"],
            ttft_limit=target("ttft", options["ttft"]),
            tpot_limit=target("tpot", options["tpot"]),
            e2e_limit=target("e2e", options["e2e"]),
            state_folder=state,
            progress=step,
        )
    asked = any(options[name] is not None for name in ("ttft", "tpot", "e2e"))
    if svg is not None:
        write_figure(svg, view.day_figure(found))
    if as_json:
        echo_json(view.day_json(found, cell, demand, asked))
    else:
        view.print_day(found, cell, demand, asked)


@contextmanager
def processes(jobs: int) -> Iterator[Map]:
    """A map over so many processes; at Ctrl-C what runs ends its cell and nothing new begins."""
    if jobs == 1:
        yield map
        return
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool

    from armillary.errors import ArmillaryError

    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=leave_interrupts)

    def mapped(function: Callable[[Any], Any], items: Iterable[Any]) -> Iterable[Any]:
        with interrupts_held():
            return pool.map(function, items)

    try:
        yield mapped
    except BrokenProcessPool:
        raise ArmillaryError(
            "a process of the day died, perhaps for lack of memory; try fewer --jobs"
        ) from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)

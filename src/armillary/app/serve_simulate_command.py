"""``armillary serve simulate``: replay a trace, or a drawn load, on a deployment."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from armillary.app.options import FiniteRange, echo_json
from armillary.app.serve_options import EXAMPLE, asked_lengths, refuse_beside_trace, served_options
from armillary.app.service_options import layout_options, served_pool, target
from armillary.app.writing import OutputFile, write_figure

if TYPE_CHECKING:
    from armillary.serving.fleet import ServedPool
    from armillary.serving.service import Service, Stream

FILE_HAS = (
    "name", "system", "precision", "drafts", "trace", "rate", "users", "priorities", "timeout", "prefill",
    "queue_limit", "failures", "scaling", "host_memory", "ttft", "tpot", "e2e", "no_prefix_cache", "routing",
    "replicas", "tp", "dp", "ep", "pp", "transfer", "retries", "mix", "engine", "count", "seed",
)  # fmt: skip
"""Options whose place is the file where there is a deployment file."""
SPELLED = {"name": "model", "failures": "fail", "scaling": "scale", "count": "requests"}


@click.command(epilog=EXAMPLE)
@partial(served_options, needed=False)
@click.option("--deployment", default=None, help="A deployment file, or the name of a built-in one.")
@click.option("--system", default=None, help="A system of the catalog.")
@click.option("--replicas", default=1, show_default=True, type=click.IntRange(1, 100_000))
@layout_options
@click.option("--rate", default=None, type=FiniteRange(1e-6, 1e9), help="Requests a second (Poisson).")
@click.option("--users", default=None, type=click.IntRange(1, 10**7), help="Who wait for their answers.")
@click.option("--requests", "count", default=20_000, show_default=True, type=click.IntRange(1, 50_000_000))
@click.option("--priorities", default=None, help="Shares of requests, who goes first: '0.2,0.8'.")
@click.option("--timeout", default=None, help="After which users give up, e.g. '30 s'.")
@click.option("--no-prefix-cache", is_flag=True, help="Do not keep the blocks of a trace's prompts.")
@click.option("--host-memory", default=None, help="Of each replica, for evicted blocks, e.g. '1 TB'.")
@click.option(
    "--routing",
    default="least_loaded",
    show_default=True,
    type=click.Choice(("round_robin", "random", "least_loaded", "power_of_two", "cache_aware")),
)
@click.option("--svg", default=None, type=OutputFile(), help="Draw the users' latencies.")
@click.option("--requests-out", default=None, type=OutputFile(), help="Write a row a request (CSV).")
def simulate(as_json: bool, catalogs: tuple[Path, ...], svg: Path | None, **options: Any) -> None:
    """Replay a trace, or drawn arrivals, on a deployment, request by request.

    The options describe one pool of one model. --deployment takes a file with several models, regions and
    kinds of users instead (docs/simulator.md).
    """
    from armillary.app import outcome_view as view
    from armillary.app.console import say_if_compiling
    from armillary.serving.service import serve, serve_closed

    written = options.pop("requests_out")
    if options["deployment"] is not None:
        service = _filed(options, catalogs)
    else:
        service = _described(options, catalogs)
    blocked = service.prefix_cache and any(s.requests.block_offsets is not None for s in service.streams)
    if not blocked and any(pool.host_memory for pool in service.pools):
        click.echo("no prompt has blocks that are kept, so host memory changes nothing", err=True)
    say_if_compiling("running", "serving", "the request simulator")
    users = options["users"]
    found = serve(service) if users is None else serve_closed(service, users)
    if written is not None:
        view.write_requests(written, found, service)
    if svg is not None:
        write_figure(svg, view.latency_figure(found))
    if as_json:
        echo_json(view.service_json(found, service))
    else:
        view.print_service(found, service)


def _filed(options: dict[str, Any], catalogs: tuple[Path, ...]) -> Service:
    """The service of a deployment file; what the file says is not said by options as well."""
    from armillary import catalog as catalog_room
    from armillary.app.serve_options import say_assumed
    from armillary.errors import InputError
    from armillary.scenario.deployment_file import read_deployment

    context = click.get_current_context()
    given = [
        f"--{SPELLED.get(name, name).replace('_', '-')}"
        for name in FILE_HAS
        if context.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT
    ]
    if given:
        raise InputError(f"{', '.join(given)} cannot stand beside --deployment; write it in the file")
    service = read_deployment(options["deployment"], catalog_room.load(*catalogs))
    for chip in {pool.chip.name: pool.chip for pool in service.pools}.values():
        say_assumed(chip)
    return service


def _described(options: dict[str, Any], catalogs: tuple[Path, ...]) -> Service:
    """The service of one pool that options describe."""
    from armillary.serving.service import Service

    pool, outages = served_pool(options, catalogs)
    return Service(
        (pool,),
        (_stream(options, pool),),
        {},
        outages,
        options["routing"],
        options["retries"],
        seed=options["seed"],
        prefix_cache=not options["no_prefix_cache"],
        ttft=target("ttft", options["ttft"]),
        tpot=target("tpot", options["tpot"]),
        e2e=target("e2e", options["e2e"]),
    )


def _stream(options: dict[str, Any], pool: ServedPool) -> Stream:
    """What is asked: a trace, arrivals at a rate, or users who wait."""
    import numpy as np

    from armillary.errors import InputError
    from armillary.serving.service import Stream, poisson, replayed
    from armillary.serving.traces import check_context, read

    if options["users"] is not None and (options["trace"] is not None or options["rate"] is not None):
        raise InputError("--users send when they are answered; leave --rate and --trace out")
    if options["trace"] is not None:
        refuse_beside_trace("rate", "count", "mix")
        found = read(options["trace"])
        if pool.model.context:
            check_context(found, pool.model.context, options["trace"])
        if found.skipped:
            words = "requests of the trace have an input or output of 0 and are left out"
            click.echo(f"{found.skipped:,} {words}", err=True)
        equal = int((np.diff(found.arrival) == 0).sum())
        if equal:
            click.echo(
                f"{equal:,} of {found.requests:,} requests arrive together with the one before them; they "
                f"are taken in the order of the trace",
                err=True,
            )
        asked = replayed(found)
    else:
        rate = options["rate"]
        if rate is None and options["users"] is None:
            raise InputError(
                "nothing says how much is asked; give --rate, --users, or a --trace with its arrivals"
            )
        lengths, _ = asked_lengths(None, options["mix"], pool.model)
        asked = poisson(rate or 1.0, options["count"], lengths, options["seed"])
    priority: Any = 0
    if options["priorities"] is not None:
        shares = _shares(options["priorities"])
        draw = np.random.default_rng([options["seed"], 2])
        priority = draw.choice(len(shares), len(np.asarray(asked.arrival)), p=shares)
    timeout = target("timeout", options["timeout"])
    return Stream("users", pool.model.name, asked, priority=priority, timeout=timeout)


def _shares(text: str) -> list[float]:
    from armillary.errors import InputError

    try:
        shares = [float(word) for word in text.split(",")]
    except ValueError:
        shares = []
    if not shares or not all(0 <= share < float("inf") for share in shares) or abs(sum(shares) - 1) > 1e-6:
        raise InputError(f"--priorities {text!r}: write shares of requests that add up to 1, e.g. 0.2,0.8")
    return [share / sum(shares) for share in shares]

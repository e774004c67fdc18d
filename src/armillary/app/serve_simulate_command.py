"""``armillary serve simulate``: replay a trace, or a drawn load, on a deployment."""

from __future__ import annotations

from pathlib import Path

import click

from armillary.app.options import echo_json
from armillary.app.serve_options import EXAMPLE, asked_lengths, default_precision, say_assumed, served_options


@click.command(epilog=EXAMPLE)
@served_options
@click.option("--system", required=True, help="A system of the catalog.")
@click.option("--tp", default=1, show_default=True, type=click.IntRange(1, 512))
@click.option("--dp", default=1, show_default=True, type=click.IntRange(1, 512), help="Attention parallel.")
@click.option("--ep", default=0, type=click.IntRange(0, 512), help="Expert parallel; default all ranks.")
@click.option("--pp", default=1, show_default=True, type=click.IntRange(1, 64))
@click.option("--replicas", default=1, show_default=True, type=click.IntRange(1, 100_000))
@click.option("--rate", default=None, type=click.FloatRange(1e-6, 1e9), help="Requests a second (Poisson).")
@click.option("--requests", "count", default=20_000, show_default=True, type=click.IntRange(1, 50_000_000))
@click.option(
    "--routing",
    default="least_loaded",
    show_default=True,
    type=click.Choice(("round_robin", "random", "least_loaded", "power_of_two", "cache_aware")),
)
def simulate(
    name: str,
    precision: str | None,
    engine: str,
    drafts: int,
    trace: Path | None,
    mix: str,
    seed: int,
    as_json: bool,
    catalogs: tuple[Path, ...],
    system: str,
    tp: int,
    dp: int,
    ep: int,
    pp: int,
    replicas: int,
    rate: float | None,
    count: int,
    routing: str,
) -> None:
    """Replay a trace, or Poisson arrivals, on replicas of one layout, request by request."""
    import numpy as np

    from armillary import catalog as catalog_room
    from armillary.app import serve_view
    from armillary.app.console import say_if_compiling
    from armillary.errors import InputError
    from armillary.model import transformer
    from armillary.serving import EngineLayout, Pool, Replica, Requests
    from armillary.serving import simulate as run
    from armillary.serving.candidates import candidate
    from armillary.serving.precision import precision as precision_named
    from armillary.serving.traces import check_context, read

    known = catalog_room.load(*catalogs)
    model = transformer(known.model(name))
    machine = known.system(system)
    chip = known.accelerator(machine.accelerator)
    moe = any(getattr(k.feed_forward, "experts", 0) for k in model.kinds())
    layout = EngineLayout(tp, pp, dp, ep or (tp * dp if moe else 1), machine.scale_up_size)
    if (tp * dp) % int(layout.ep):
        raise InputError(f"--ep {ep} does not divide the {tp * dp} ranks of tp x dp")
    if trace is not None:
        found = read(trace)
        if model.context:
            check_context(found, model.context)
        asked = Requests(found.arrival, found.input, found.output)
        if found.blocks is not None:
            asked = asked._replace(
                block_offsets=found.blocks.offsets, block_ids=found.blocks.ids, block_size=found.block_size
            )
    else:
        if rate is None:
            raise InputError("nothing says how much is asked; give --rate, or a --trace with its arrivals")
        draw = np.random.default_rng(seed)
        lengths, _ = asked_lengths(None, mix, model)
        drawn = lengths.sample(draw, count)
        asked = Requests(
            np.cumsum(draw.exponential(1 / rate, count)), drawn.input, np.maximum(drawn.output, 1)
        )
    prompt, answer = float(np.asarray(asked.input).mean()), float(np.asarray(asked.output).mean())
    context = prompt + answer / 2
    one = Replica(
        model,
        chip,
        layout,
        precision_named(precision or default_precision(model, chip)),
        engine,
        machine.nic_bandwidth,
        drafts,
        context,
    )
    longest = float((np.asarray(asked.input) + np.asarray(asked.output)).max())
    served = candidate(one, prompt, longest)
    say_assumed(chip)
    say_if_compiling("running", "serving", "the request simulator")
    outcome = run(asked, Pool(served.engine, replicas), routing=routing, seed=seed)
    if as_json:
        echo_json(serve_view.outcome_json(outcome, served))
    else:
        serve_view.print_outcome(outcome, served, replicas)

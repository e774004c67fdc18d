"""``armillary serve``: size deployments, simulate them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from armillary.app.options import catalog_option, echo_json, json_option, price_of, write_figure
from armillary.units import parse

if TYPE_CHECKING:
    from armillary.catalog.records import Accelerator
    from armillary.model import Transformer
    from armillary.serving.lengths import Lengths

EXAMPLE = """
\b
Examples:
  armillary serve size --model gpt-oss-120b --system p6e-gb200 --messages 2.5e9 --ttft '1 s' --tpot '30 ms'
  armillary serve size --model llama-3.1-70b --system p5en --system p6e-gb200 --trace azure.csv --tpot '50 ms'
  armillary serve simulate --model llama-3.1-70b --system p5en --tp 4 --replicas 8 --rate 60
"""

DAY = 86400.0
EXIT_INFEASIBLE = 1

Command = Callable[..., Any]


@click.group(epilog=EXAMPLE)
def command() -> None:
    """Size what serves a model's users, and simulate it request by request."""


def _shared(function: Command) -> Command:
    """Options of what is served, and of what is asked."""
    file = click.Path(path_type=Path)
    for option in reversed(
        (
            click.option("--model", "name", required=True, help="A model of the catalog."),
            click.option(
                "--precision", default=None, help="Of weights and cache, e.g. fp8, nvfp4-experts, mxfp4."
            ),
            click.option("--engine", default="vllm", show_default=True, help="vllm, trtllm or sglang."),
            click.option(
                "--drafts",
                default=0,
                show_default=True,
                type=click.IntRange(0, 8),
                help="Tokens drafted a step by the model's own modules (MTP).",
            ),
            click.option("--trace", default=None, type=file, help="Azure, BurstGPT, Mooncake or Bailian."),
            click.option("--mix", default="azure-2023-conversation", show_default=True, help="Lengths."),
            click.option("--seed", default=0, show_default=True, type=click.IntRange(0, 2**31)),
            json_option,
            catalog_option,
        )
    ):
        function = option(function)
    return function


@command.command(epilog=EXAMPLE)
@_shared
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
    lengths, trace_rate = _lengths(trace, mix, model)
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
            chosen = precision_named(precision or _default(model, chip))
            _say_assumed(chip)
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


@command.command(epilog=EXAMPLE)
@_shared
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
        lengths, _ = _lengths(None, mix, model)
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
        precision_named(precision or _default(model, chip)),
        engine,
        machine.nic_bandwidth,
        drafts,
        context,
    )
    longest = float((np.asarray(asked.input) + np.asarray(asked.output)).max())
    served = candidate(one, prompt, longest)
    _say_assumed(chip)
    say_if_compiling("running", "serving", "the request simulator")
    outcome = run(asked, Pool(served.engine, replicas), routing=routing, seed=seed)
    if as_json:
        echo_json(serve_view.outcome_json(outcome, served))
    else:
        serve_view.print_outcome(outcome, served, replicas)


def _say_assumed(chip: Accelerator) -> None:
    """Say on stderr where another generation's kernels stand for a chip's."""
    from armillary.serving.calibration import generation_of

    words = generation_of(chip)[1]
    if words:
        click.echo(f"assumed: {words}", err=True)


def _default(model: Transformer, chip: Accelerator) -> str:
    """FP8 where the chip multiplies it, else BF16; gpt-oss as it ships."""
    if model.name.startswith("gpt-oss"):
        return "mxfp4"
    return "fp8" if "fp8" in chip.peak else "bf16"


def _lengths(trace: Path | None, mix: str, model: Transformer) -> tuple[Lengths, float | None]:
    """Lengths of a trace, with its mean rate of requests, or of a mix."""
    from armillary.serving.lengths import joint
    from armillary.serving.mixes import named_mix
    from armillary.serving.traces import check_context, read

    if trace is None:
        return named_mix(mix).mix, None
    found = read(trace)
    if model.context:
        check_context(found, model.context)
    span = float(found.arrival[-1]) if found.requests else 0.0
    return joint(found), found.requests / span if span > 0 else None

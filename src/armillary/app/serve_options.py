"""What the ``serve`` commands share: options of the model and of the demand, and how they are read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from armillary.app.options import catalog_option, json_option

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
  armillary serve simulate --model llama-3.1-70b --system p5en --tp 4 --prefill tp=2,replicas=3 --rate 20
  armillary serve simulate --deployment two-regions --svg latency.svg
  armillary serve day --model deepseek-v3 --system p5en --tp 8 --messages 2.5e9 --ttft '2 s'
"""

Command = Callable[..., Any]


def served_options(function: Command, needed: bool = True) -> Command:
    """Give a command the options of what is served, and of what is asked; `needed` : the model is."""
    file = click.Path(path_type=Path)
    for option in reversed(
        (
            click.option("--model", "name", required=needed, help="A model of the catalog."),
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


def refuse_beside_trace(*names: str) -> None:
    """Refuse options of what is asked, by their parameters' names, that a ``--trace`` says itself.

    Raises
    ------
    InputError
        Naming those that were given.
    """
    from armillary.errors import InputError

    context = click.get_current_context()
    spelled = {p.name: max(p.opts, key=len) for p in context.command.params}
    default = click.core.ParameterSource.DEFAULT
    given = [spelled[name] for name in names if context.get_parameter_source(name) not in (None, default)]
    if given:
        raise InputError(f"a --trace has its own arrivals and lengths; leave out {' and '.join(given)}")


def say_assumed(chip: Accelerator) -> None:
    """Say on stderr where another generation's kernels stand for a chip's."""
    from armillary.serving.calibration import generation_of

    words = generation_of(chip)[1]
    if words:
        click.echo(f"assumed: {words}", err=True)


def default_precision(model: Transformer, chip: Accelerator) -> str:
    """FP8 where the chip multiplies it, else BF16; gpt-oss as it ships."""
    from armillary.serving import fleet

    return fleet.default_precision(model, chip)


def asked_lengths(trace: Path | None, mix: str, model: Transformer) -> tuple[Lengths, float | None]:
    """Lengths of a trace, with its mean rate of requests, or of a mix.

    Raises
    ------
    InputError
        If both are given, or the trace cannot be read or has longer requests than the model takes.
    """
    from armillary.serving.lengths import joint
    from armillary.serving.mixes import named_mix
    from armillary.serving.traces import check_context, read

    if trace is None:
        return named_mix(mix).mix, None
    refuse_beside_trace("mix")
    found = read(trace)
    if model.context:
        check_context(found, model.context, trace)
    span = float(found.arrival[-1]) if found.requests else 0.0
    return joint(found), found.requests / span if span > 0 else None

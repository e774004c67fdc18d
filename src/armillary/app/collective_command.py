"""``armillary network collective``: sizes against time and bandwidth, as nccl-tests prints them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from armillary.app.options import FiniteRange, catalog_option, echo_json, json_option
from armillary.app.writing import OutputFile, write_figure
from armillary.errors import InputError

if TYPE_CHECKING:
    from armillary.catalog import Catalog
    from armillary.network.tuner import Choice
    from armillary.network.tuning import Tuning

ELEMENT = 4
"""Bytes of an element, a float as in nccl-tests. [byte]"""
MOST_SIZES = 200

EXAMPLE = """
\b
Examples:
  armillary network collective --system p6e-gb300 --gpus 1152 --op all_reduce
  armillary network collective --system p5en --gpus 64 --op all_to_all --min 1MiB --max 1GiB
  armillary network collective --system p5 --gpus 16 --algorithm ring --protocol simple
  armillary network collective --system p6-b200 --gpus 512 --compare p5en,gb200-nvl72 --svg bw.svg
  armillary network collective --system p5 --gpus 64 --set nic=0.9 --set net_latency=15us
"""


class Sweep(NamedTuple):
    """Answers of one system. sizes : [byte]."""

    system: str
    sizes: Any
    tuned: Tuning
    answer: Choice


@click.command(epilog=EXAMPLE)
@click.option("--system", required=True, help="A system of the catalog, e.g. p6e-gb300.")
@click.option(
    "--gpus", "ranks", required=True, type=click.IntRange(2, 10_000_000), help="Ranks of the group."
)
@click.option(
    "--op",
    default="all_reduce",
    show_default=True,
    help="all_reduce, all_gather, reduce_scatter, all_to_all, broadcast, reduce, send_recv or barrier.",
)
@click.option("--min", "least", default="8", show_default=True, help="First size, e.g. 8 or 1MiB.")
@click.option("--max", "most", default="16GiB", show_default=True, help="Last size.")
@click.option(
    "--factor", default=2.0, show_default=True, type=FiniteRange(1.01, 1e6), help="From size to size."
)
@click.option(
    "--algorithm", default=None, help="ring, tree, nvls, nvls_tree, pat or direct; NCCL's choice else."
)
@click.option("--protocol", default=None, help="ll, ll128 or simple; NCCL's choice else.")
@click.option(
    "--inside",
    default=None,
    type=click.IntRange(1, 1_000_000),
    help="Ranks of the group in one scale-up domain; as many as fit else.",
)
@click.option(
    "--oversubscription",
    default=1.0,
    show_default=True,
    type=FiniteRange(1, 1000),
    help="Of the network above the scale-up domain.",
)
@click.option("--set", "settings", multiple=True, help="A coefficient NAME=VALUE, e.g. nic=0.9.")
@click.option("--compare", default=None, help="Further systems, with commas between.")
@click.option(
    "--draw",
    default="busbw",
    show_default=True,
    type=click.Choice(("busbw", "time")),
    help="What the figure shows against size.",
)
@click.option("--svg", default=None, type=OutputFile(), help="Write the figure here.")
@json_option
@catalog_option
def command(
    system: str,
    ranks: int,
    op: str,
    least: str,
    most: str,
    factor: float,
    algorithm: str | None,
    protocol: str | None,
    inside: int | None,
    oversubscription: float,
    settings: tuple[str, ...],
    compare: str | None,
    draw: str,
    svg: Path | None,
    as_json: bool,
    catalogs: tuple[Path, ...],
) -> None:
    """Predict a collective's time over sizes, as nccl-tests prints it."""
    from armillary import catalog as catalog_room

    known = catalog_room.load(*catalogs)
    sizes = _sizes(least, most, factor)
    op = _op(op)
    found = []
    for name in (system, *(compare.split(",") if compare else ())):
        tuned = _tuned(name.strip(), known, settings, oversubscription)
        found.append(_sweep(op, sizes, ranks, inside, tuned, _name(algorithm), _name(protocol), name, known))
    if svg is not None:
        write_figure(svg, _figure(found, op, ranks, draw))
    if as_json:
        echo_json({"op": op, "gpus": ranks, "systems": [_json(sweep) for sweep in found]})
        return
    _print(found, op, ranks)


def size(text: str, option: str) -> float:
    """Read a size in bytes; bare letters are binary, as in nccl-tests.

    Raises
    ------
    InputError
        If it cannot be read or is below 1 byte.

    Examples
    --------
    >>> size("8", "--min"), size("1M", "--min"), size("16GiB", "--max"), size("1GB", "--max")
    (8.0, 1048576.0, 17179869184.0, 1000000000.0)
    """
    from armillary.units import parse

    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kKMGT]?)\s*", text)
    if match:
        found = float(match[1]) * {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}[match[2].upper()]
    else:
        try:
            found = parse(text, "byte")
        except InputError as error:
            raise InputError(f"{option} {text!r}: {error}") from None
    if not 1 <= found <= 2**50:
        raise InputError(f"{option} {text!r}: must be from 1 byte to 1 PiB")
    return found


def _sizes(least: str, most: str, factor: float) -> Any:
    import numpy as np

    first, last = size(least, "--min"), size(most, "--max")
    if last < first:
        raise InputError(f"--max {most!r} is below --min {least!r}")
    count = int(np.floor(np.log(last / first) / np.log(factor) + 1e-9)) + 1
    if count > MOST_SIZES:
        raise InputError(f"--factor {factor:g} makes {count} sizes; at most {MOST_SIZES}")
    return np.floor(first * factor ** np.arange(count))


def _op(text: str) -> str:
    """Name of an operation, however its words are joined."""
    from armillary.network.tuner import ALGORITHMS

    joined = {name.replace("_", ""): name for name in ALGORITHMS}
    name = _name(text) or ""
    return joined.get(name.replace("_", ""), name)


def _name(text: str | None) -> str | None:
    return text.strip().casefold().replace("-", "_") if text is not None else None


def _tuned(name: str, known: Catalog, settings: tuple[str, ...], oversubscription: float) -> Tuning:
    from dataclasses import replace

    from armillary.network.tuning import tuning

    changes = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals or not value.strip():
            raise InputError(f"--set {setting!r}: write it as NAME=VALUE, e.g. --set nic=0.9")
        changes[key] = value.strip()
    bought = known.system(name)
    try:
        tuned = tuning(bought, known.accelerator(bought.accelerator), changes=changes)
    except InputError as error:
        raise InputError(f"--set: {error}") from None
    return replace(tuned, nic_bandwidth=tuned.nic_bandwidth / oversubscription)


def _sweep(
    op: str,
    sizes: Any,
    ranks: int,
    inside: int | None,
    tuned: Tuning,
    algorithm: str | None,
    protocol: str | None,
    name: str,
    known: Catalog,
) -> Sweep:
    import numpy as np

    from armillary.network.tuner import predict

    if inside is not None and inside > tuned.scale_up_size:
        raise InputError(f"--inside {inside}: a scale-up domain of {name} has {tuned.scale_up_size}")
    answer = predict(op, sizes, ranks, tuned, inside, algorithm, protocol)
    if not np.all(np.isfinite(np.asarray(answer.time))):
        domains = -(-ranks // min(ranks, inside or tuned.scale_up_size))
        raise InputError(
            f"algorithm {algorithm!r} cannot run on {ranks} GPUs of {name}, in {domains} scale-up domains"
        )
    return Sweep(known.system(name).name, sizes, tuned, answer)


def _json(sweep: Sweep) -> dict[str, Any]:
    a = sweep.answer
    rows = [
        {
            "size_byte": int(size),
            "algorithm": str(a.algorithm[i]),
            "protocol": str(a.protocol[i]),
            "time_s": a.time[i],
            "algbw_byte_s": a.algbw[i],
            "busbw_byte_s": a.busbw[i],
            "parts_s": {k: v[i] for k, v in a.parts._asdict().items()},
        }
        for i, size in enumerate(sweep.sizes)
    ]
    return {
        "system": sweep.system,
        "generation": sweep.tuned.generation,
        "network": sweep.tuned.network,
        "assumed": list(sweep.tuned.assumed),
        "average_busbw_byte_s": float(a.busbw.mean()),
        "rows": rows,
    }


def _print(found: list[Sweep], op: str, ranks: int) -> None:
    from rich.table import Table

    from armillary.app.console import out

    console = out()
    first = found[0]
    table = Table(
        title=f"{op} on {ranks:,} GPUs of {first.system}", title_justify="left", box=None, pad_edge=False
    )
    for heading in ("size", "count", "type", "algorithm", "protocol", "time", "algbw", "busbw"):
        table.add_column(heading, justify="left" if heading in ("type", "algorithm", "protocol") else "right")
    units = ("[B]", "[elements]", "", "", "", "[us]", "[GB/s]", "[GB/s]")
    table.add_row(*units)
    shared = ranks if op in ("all_gather", "reduce_scatter", "all_to_all") else 1
    for i, bytes_ in enumerate(first.sizes):
        a = first.answer
        table.add_row(
            f"{bytes_:.0f}",
            f"{bytes_ // (ELEMENT * shared):.0f}",
            "float",
            str(a.algorithm[i]),
            str(a.protocol[i]),
            f"{a.time[i] * 1e6:.2f}",
            f"{a.algbw[i] / 1e9:.2f}",
            f"{a.busbw[i] / 1e9:.2f}",
        )
    console.print(table)
    for sweep in found:
        name = f" of {sweep.system}" if len(found) > 1 else ""
        console.print(f"Avg bus bandwidth{name}: {sweep.answer.busbw.mean() / 1e9:.4f} GB/s")
    if len(found) > 1:
        _compare(found, console)
    for sweep in found:
        for words in sweep.tuned.assumed:
            click.echo(f"assumed for {sweep.system}: {words}", err=True)


def _compare(found: list[Sweep], console: Any) -> None:
    from rich.table import Table

    table = Table(title="Time [us] and busbw [GB/s]", title_justify="left", box=None, pad_edge=False)
    table.add_column("size", justify="right")
    for sweep in found:
        table.add_column(sweep.system, justify="right")
        table.add_column("busbw", justify="right")
    for i, bytes_ in enumerate(found[0].sizes):
        cells = [(s.answer.time[i] * 1e6, s.answer.busbw[i] / 1e9) for s in found]
        table.add_row(f"{bytes_:.0f}", *(f"{v:.2f}" for pair in cells for v in pair))
    console.print(table)


def _figure(found: list[Sweep], op: str, ranks: int, draw: str) -> str:
    from armillary.app.figures import line_chart

    def values(sweep: Sweep) -> Any:
        return sweep.answer.time if draw == "time" else sweep.answer.busbw

    series = [
        (s.system, [(float(x), float(y)) for x, y in zip(s.sizes, values(s), strict=True) if y > 0])
        for s in found
    ]
    label, unit = ("time", "s") if draw == "time" else ("bus bandwidth", "B/s")
    title = f"{op} on {ranks:,} GPUs"
    if len(found) == 1:
        title += f" of {found[0].system}"
    return line_chart(series, "size [byte]", label, title, log_x=True, log_y=True, y_unit=unit)

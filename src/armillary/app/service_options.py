"""Options of ``serve simulate`` and ``serve day`` that say what serves, and how their texts are read."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import click

from armillary.errors import InputError, did_you_mean
from armillary.units import parse

if TYPE_CHECKING:
    from armillary.model import Transformer
    from armillary.serving.deployment import Failures, Scaling
    from armillary.serving.fleet import ServedPool
    from armillary.serving.layout import EngineLayout
    from armillary.serving.service import KnownOutage

Command = Callable[..., Any]
Readers = Mapping[str, Callable[[str], Any]]

MOST_MEMORY = 1e18
"""Of the host of a replica. [byte]"""


def layout_options(function: Command) -> Command:
    """Give a command the layout of replicas that decode, and of those that read prompts apart from them."""
    degree = click.IntRange(1, 512)
    for option in reversed(
        (
            click.option("--tp", default=1, show_default=True, type=degree, help="Tensor parallel."),
            click.option("--dp", default=1, show_default=True, type=degree, help="Attention parallel."),
            click.option(
                "--ep", default=0, type=click.IntRange(0, 512), help="Expert parallel; default all ranks."
            ),
            click.option("--pp", default=1, show_default=True, type=click.IntRange(1, 64)),
            click.option(
                "--prefill",
                default=None,
                help="Prompts on replicas of their own, e.g. 'tp=4,replicas=2'; the others only decode.",
            ),
            click.option(
                "--transfer",
                default="auto",
                show_default=True,
                type=click.Choice(("auto", "nic", "scale-up")),
                help="Way of a prompt's KV; auto is the scale-up network where the pool stands in a domain.",
            ),
            click.option(
                "--queue-limit",
                default=None,
                type=click.IntRange(1, 10**9),
                help="Requests that wait at a replica; further ones are rejected.",
            ),
            click.option(
                "--fail",
                "failures",
                multiple=True,
                help="'mtbf=30 days,mttr=1 h', each replica at random, or 'replica=3,at=60 s,for=5 min'; "
                "may be repeated.",
            ),
            click.option(
                "--scale",
                "scaling",
                default=None,
                help="Replicas by load: 'target=20,every=10 s,start=60 s,least=2,most=16', "
                "target in requests a replica.",
            ),
            click.option("--retries", default=3, show_default=True, type=click.IntRange(0, 1000)),
            click.option("--ttft", default=None, help="Target for the time to first token, e.g. '1 s'."),
            click.option("--tpot", default=None, help="Target for the time per output token."),
            click.option("--e2e", default=None, help="Target for the whole answer."),
        )
    ):
        function = option(function)
    return function


def keyed(option: str, text: str, readers: Readers, example: str) -> dict[str, Any]:
    """Read ``tp=4,replicas=2``; what is wrong names the option, the key and an example.

    Raises
    ------
    InputError
        If a part has no ``=``, its key is unknown or given twice, or its value cannot be read.

    Examples
    --------
    >>> keyed("--prefill", "tp=4, replicas=2", {"tp": int, "replicas": int}, "tp=4")
    {'tp': 4, 'replicas': 2}
    """
    found: dict[str, Any] = {}
    for part in text.split(","):
        key, equals, value = (word.strip() for word in part.partition("="))
        if not equals or not value:
            raise InputError(f"{option} {text!r}: {part.strip()!r} is no name=value; write it as {example!r}")
        if key not in readers:
            raise InputError(
                f"{option} {text!r}: unknown {key!r}{did_you_mean(key, readers)}; known are "
                f"{', '.join(readers)}"
            )
        if key in found:
            raise InputError(f"{option} {text!r}: {key} is given twice")
        try:
            found[key] = readers[key](value)
        except (ValueError, InputError) as error:
            raise InputError(f"{option} {text!r}: {key}: {error}") from None
    return found


def whole(text: str) -> int:
    """Read a whole number from 0.

    Raises
    ------
    ValueError
        Saying what would be right.
    """
    try:
        number = int(text)
    except ValueError:
        raise ValueError(f"must be a whole number, got {text!r}") from None
    if not 0 <= number <= 10**7:
        raise ValueError(f"must be 0 to 10,000,000, got {text!r}")
    return number


def seconds(text: str) -> float:
    """Read a time with its unit."""
    return parse(text, "s")


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise ValueError(f"must be a number, got {text!r}") from None
    if not math.isfinite(number):
        raise ValueError(f"must be a finite number, got {text!r}")
    return number


def layout_of(
    model: Transformer, domain: int, tp: int, dp: int, ep: int, pp: int, option: str = "--"
) -> EngineLayout:
    """Degrees as a layout; experts are spread over all ranks where `ep` is 0.

    option : what stands before the name of a degree in errors.

    Raises
    ------
    InputError
        If expert parallelism does not divide the ranks, or the model cannot be cut into so many parts.
    """
    from armillary.serving import EngineLayout
    from armillary.serving.degrees import degree_fault

    if min(tp, dp, pp) < 1 or max(tp, dp, ep, pp) > 512:
        raise InputError(f"{option}tp={tp} dp={dp} ep={ep} pp={pp}: degrees must be 1 to 512")
    moe = any(getattr(k.feed_forward, "experts", 0) for k in model.kinds())
    layout = EngineLayout(tp, pp, dp, ep or (tp * dp if moe else 1), domain)
    if (tp * dp) % int(layout.ep):
        raise InputError(f"{option}ep {ep} does not divide the {tp * dp} ranks of tp x dp")
    if fault := degree_fault(model, layout):
        raise InputError(f"{option}{fault[0]} {fault[1]}")
    return layout


def prefill_of(text: str | None, model: Transformer, domain: int) -> tuple[EngineLayout | None, int]:
    """Read ``--prefill``: layout and number of replicas that only read prompts."""
    if text is None:
        return None, 0
    names = ("tp", "dp", "ep", "pp", "replicas")
    found = keyed("--prefill", text, dict.fromkeys(names, whole), "tp=4,replicas=2")
    count = found.pop("replicas", 1)
    if count < 1:
        raise InputError(f"--prefill {text!r}: replicas must be 1 or more")
    degrees = {"tp": 1, "dp": 1, "ep": 0, "pp": 1} | found
    return layout_of(model, domain, **degrees, option=f"--prefill {text!r}: "), count


def failures_of(
    texts: tuple[str, ...], pool: str, apart: bool
) -> tuple[Failures | None, tuple[KnownOutage, ...]]:
    """Read ``--fail``: random failures, and outages that are known."""
    from armillary.serving.deployment import Failures
    from armillary.serving.service import KnownOutage

    random: Failures | None = None
    known = []
    for text in texts:
        if "mtbf" in text or "mttr" in text:
            found = keyed("--fail", text, {"mtbf": seconds, "mttr": seconds}, "mtbf=30 days,mttr=1 h")
            if set(found) != {"mtbf", "mttr"} or random is not None or min(found.values()) <= 0:
                raise InputError(
                    f"--fail {text!r}: write random failures once, as 'mtbf=30 days,mttr=1 h', above 0"
                )
            random = Failures(**found)
            continue
        names: Readers = {"replica": whole, "prefill": whole, "at": seconds, "for": seconds}
        found = keyed("--fail", text, names, "replica=3,at=60 s,for=5 min")
        which = [name for name in ("replica", "prefill") if name in found]
        if len(which) != 1 or "at" not in found or "for" not in found or found["for"] <= 0:
            raise InputError(
                f"--fail {text!r}: write an outage as 'replica=3,at=60 s,for=5 min', or prefill=3 where "
                f"prompts are apart"
            )
        if which == ["prefill"] and not apart:
            raise InputError(f"--fail {text!r}: no replicas only read prompts; say replica=, or --prefill")
        known.append(KnownOutage(pool, found[which[0]], found["at"], found["for"], which == ["prefill"]))
    return random, tuple(known)


def scaling_of(text: str | None) -> Scaling | None:
    """Read ``--scale``."""
    if text is None:
        return None
    from armillary.serving.deployment import LEAST_INTERVAL, Scaling

    example = "target=20,every=10 s,start=60 s,least=2,most=16"
    names: Readers = {"target": _number, "every": seconds, "start": seconds, "least": whole, "most": whole}
    found = keyed("--scale", text, names, example)
    missing = [name for name in names if name not in found]
    if missing:
        raise InputError(f"--scale {text!r}: {' and '.join(missing)} missing; write it as {example!r}")
    if found["every"] < LEAST_INTERVAL:
        raise InputError(f"--scale {text!r}: every must be {LEAST_INTERVAL:g} s or more")
    right = found["target"] > 0 and found["start"] >= 0
    if not right or not 1 <= found["least"] <= found["most"]:
        raise InputError(f"--scale {text!r}: target must be above 0, start from 0, and 1 <= least <= most")
    return Scaling(found["target"], found["every"], found["start"], found["least"], found["most"])


def _memory(text: str) -> float:
    value = parse(text, "byte")
    if not 0 <= value <= MOST_MEMORY:
        raise InputError(f"--host-memory {text!r}: must be 0 to {MOST_MEMORY / 1e15:,.0f} PB")
    return value


def target(name: str, text: str | None) -> float:
    """Read a target, infinite where there is none.

    Raises
    ------
    InputError
        If it is no time above 0.
    """
    if text is None:
        return float("inf")
    value = parse(text, "s")
    if not value > 0:
        raise InputError(f"--{name} {text!r}: must be above 0")
    return value


def served_pool(
    options: Mapping[str, Any], catalogs: tuple[Any, ...]
) -> tuple[ServedPool, tuple[KnownOutage, ...]]:
    """The pool that a command's options describe, and the outages that they know.

    Raises
    ------
    InputError
        If no model or system is given, or an option cannot be read.
    """
    from armillary import catalog as catalog_room
    from armillary.app.serve_options import default_precision, say_assumed
    from armillary.model import transformer
    from armillary.serving.fleet import ServedPool
    from armillary.serving.precision import precision as precision_named

    if options["name"] is None or options["system"] is None:
        raise InputError("nothing says what serves; give --model and --system, or --deployment FILE")
    known = catalog_room.load(*catalogs)
    model = transformer(known.model(options["name"]))
    machine = known.system(options["system"])
    chip = known.accelerator(machine.accelerator)
    tp, dp, ep, pp = (options[degree] for degree in ("tp", "dp", "ep", "pp"))
    layout = layout_of(model, machine.scale_up_size, tp, dp, ep, pp)
    prefill, count = prefill_of(options["prefill"], model, machine.scale_up_size)
    random, outages = failures_of(options["failures"], model.name, prefill is not None)
    memory = options.get("host_memory")
    say_assumed(chip)
    pool = ServedPool(
        model.name,
        model,
        machine,
        chip,
        precision_named(options["precision"] or default_precision(model, chip)),
        layout,
        options["replicas"],
        prefill,
        count,
        options["transfer"],
        options["engine"],
        options["drafts"],
        queue_limit=options["queue_limit"],
        scaling=scaling_of(options["scaling"]),
        failures=random,
        host_memory=0.0 if memory is None else _memory(memory),
    )
    return pool, outages

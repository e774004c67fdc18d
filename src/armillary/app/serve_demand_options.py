"""What ``serve size`` is asked, read from words: lengths, rates, growth, targets."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from armillary.app.options import FiniteRange
from armillary.app.serve_options import refuse_beside_trace
from armillary.errors import InputError
from armillary.units import parse

if TYPE_CHECKING:
    from armillary.model import Transformer
    from armillary.serving.lengths import Distribution, Lengths, Lognormal
    from armillary.serving.traces import Trace
    from armillary.serving.workload import Targets, Workload

DAY = 86400.0
YEAR = 365.25 * DAY
MOST_BARE = 10.0
"""Growth of a year as a bare number up to which it is a factor; beyond, a percentage is meant. [-]"""
TAIL = 3.09
"""Normal quantile of 99.9%, at which lengths that are given by percentiles are cut. [-]"""

Command = Callable[..., Any]


def demand_options(function: Command) -> Command:
    """Give a command the options of how much is asked."""
    count = FiniteRange(0, 1e15, min_open=True)
    for option in reversed(
        (
            click.option("--users", default=None, type=count, help="With --per-user; instead of --messages."),
            click.option("--per-user", default=None, type=count, help="Messages of a user a day."),
            click.option("--messages", default=None, type=count, help="A day, of all users."),
            click.option(
                "--rate", default=None, type=count, help="Requests a second on average; scales a --trace."
            ),
            click.option("--input", "prompts", default=None, help="Tokens: a mean as '1200', or 'P50/P90'."),
            click.option("--output", "answers", default=None, help="Tokens, as --input."),
            click.option(
                "--cached",
                default=None,
                help="Input found in prefix caches: a share as '40%', or 'trace' to replay its blocks.",
            ),
            click.option("--shape", default=None, help="Of the day; default servegen-language-large."),
            click.option(
                "--margin",
                default="10%",
                show_default=True,
                help="On top of the peak hour, for bursts that the shape of a day does not show.",
            ),
            click.option(
                "--burstiness",
                default=1.0,
                show_default=True,
                type=FiniteRange(0, 100),
                help="Standard deviation over mean of gaps between requests; 1 is Poisson.",
            ),
            click.option("--growth", default=None, help="A year, e.g. '80%': also size at the horizon."),
            click.option("--horizon", default=None, help="Of the growth, e.g. '2 yr'."),
            click.option("--from", "since", default=None, help="Date of the demand, with --until."),
            click.option("--until", default=None, help="Date of the horizon, e.g. 2028-01-01."),
        )
    ):
        function = option(function)
    return function


def share(text: str, option: str, most: float = 1.0) -> float:
    """Read '40%' or '0.4'.

    Raises
    ------
    InputError
        If it is neither, or out of range.

    Examples
    --------
    >>> share("40%", "--cached"), share("0.4", "--cached")
    (0.4, 0.4)
    """
    bare = text.strip().removesuffix("%")
    try:
        value = float(bare) / (100 if text.strip().endswith("%") else 1)
    except ValueError:
        raise InputError(f"{option} {text!r}: write a share as '40%' or '0.4'") from None
    if not 0 <= value <= most:
        raise InputError(f"{option} {text!r}: must be from 0 to {most:.0%}")
    return value


def target(text: str | None, option: str) -> tuple[float, float | None]:
    """Read '2 s', or 'p99 2 s' with a percentile of its own; infinite for None.

    Raises
    ------
    InputError
        If it cannot be read.

    Examples
    --------
    >>> target("p99 2 s", "--ttft"), target("30 ms", "--tpot"), target(None, "--e2e")
    ((2.0, 99.0), (0.03, None), (inf, None))
    """
    if text is None:
        return math.inf, None
    match = re.match(r"\A\s*p(\d+(?:\.\d+)?)\s+(.+)\Z", text)
    if match is None:
        if text.strip().startswith("p"):
            raise InputError(f"{option} {text!r}: write a time as '2 s', or with a percentile as 'p99 2 s'")
        return parse(text, "s"), None
    at = float(match[1])
    if not 0 < at < 100:
        raise InputError(f"{option} {text!r}: the percentile must be between 0 and 100")
    return parse(match[2], "s"), at


def asked_targets(
    ttft: str | None, tpot: str | None, e2e: str | None, percentile: float | None, goodput: str | None
) -> Targets:
    """Targets of the command; where no percentile is given, a goodput implies the shared one.

    Raises
    ------
    InputError
        If one cannot be read, or a goodput has no limits that requests would meet.
    """
    from armillary.serving.workload import Targets

    read = [target(text, option) for text, option in ((ttft, "--ttft"), (tpot, "--tpot"), (e2e, "--e2e"))]
    good = 0.0 if goodput is None else share(goodput, "--goodput")
    if good >= 1:
        raise InputError(f"--goodput {goodput!r}: must be below 100%, as no queue keeps every request")
    if good and ttft is None and tpot is None and e2e is None:
        raise InputError(f"--goodput {goodput!r} is of requests within limits; give --ttft, --tpot or --e2e")
    shared = percentile if percentile is not None else (100 * good if good else 95.0)
    (first, at_first), (each, at_each), (whole, at_whole) = read
    return Targets(first, each, whole, shared, at_first, at_each, at_whole, good)


def years_ahead(
    growth: str | None, horizon: str | None, since: str | None, until: str | None
) -> tuple[float, float] | None:
    """Yearly growth and the years to the horizon; None without growth.

    Raises
    ------
    InputError
        If one says what grows but not how long, or the other way round.

    Examples
    --------
    >>> years_ahead("80%", "2 yr", None, None)
    (0.8, 2.0)
    """
    given = [text for text in (horizon, since, until) if text is not None]
    if growth is None:
        if given:
            raise InputError("a horizon without growth; say how much a year with --growth, e.g. '80%'")
        return None
    part = _yearly(growth)
    if horizon is not None and since is None and until is None:
        return part, parse(horizon, "s") / YEAR
    if horizon is not None or since is None or until is None:
        raise InputError("growth goes over --horizon '2 yr', or --from 2026-01-01 --until 2028-01-01")
    days = (_day(until, "--until") - _day(since, "--from")).days
    if days < 0:
        raise InputError(f"--until {until} is before --from {since}")
    return part, days * DAY / YEAR


def _yearly(text: str) -> float:
    """Part added in a year: '80%', '0.8', '-5%'; a bare number that is large is likely a percentage."""
    bare = text.strip()
    if bare.startswith("-"):
        return -share(bare[1:], "--growth")
    part = share(bare, "--growth", 100.0)
    if part > MOST_BARE and not bare.endswith("%"):
        instead = f"write '{part:g}%' or {part / 100:g}"
        raise InputError(f"--growth {bare!r} would be {part:,.0%} a year; {instead}")
    return part


def _day(text: str, option: str) -> date:
    try:
        return date.fromisoformat(text if len(text) > 7 else f"{text}-01")
    except ValueError:
        raise InputError(f"{option} {text!r}: write a date as 2028-01-01 or 2028-01") from None


def lengths_of(
    prompts: str | None, answers: str | None, cached: float, mix: str, model: Transformer
) -> Lengths:
    """Lengths as given, with the named mix for what is not, and for the spread around a mean."""
    from armillary.serving.lengths import Mix
    from armillary.serving.mixes import named_mix

    known = named_mix(mix)
    limit = model.context or math.inf
    given = _lengths(prompts, "--input", known.input.lognormal, limit)
    made = _lengths(answers, "--output", known.output.lognormal, limit)
    return Mix(given, made, cached)


def _lengths(text: str | None, option: str, like: Lognormal, context: float) -> Distribution:
    from armillary.serving.lengths import Lognormal, clipped_mean, lognormal_of_p90

    if text is None:
        return like
    words = text.split("/")
    try:
        values = [float(word) for word in words]
    except ValueError:
        raise InputError(
            f"{option} {text!r}: write tokens as a mean '1200' or 'P50/P90' as '800/3000'"
        ) from None
    if len(values) > 2 or not all(1 <= v < math.inf for v in values) or values != sorted(values):
        raise InputError(f"{option} {text!r}: must be a mean, or P50/P90 that rise, of 1 or more tokens")
    if values[-1] > context / 2:
        raise InputError(
            f"{option} {text!r}: more than half of the context of {context:.0f} tokens; prompt and answer "
            f"must fit together, so take a model with a longer context or shorter lengths"
        )
    if len(values) == 1:
        # The same spread and cut, as multiples of the median.
        scale = values[0] / clipped_mean(like.median, like.sigma, like.most)
        return Lognormal(max(like.median * scale, 1.0), like.sigma, min(like.most * scale, context // 2))
    drawn = lognormal_of_p90(*values)
    most = min(drawn.median * math.exp(TAIL * drawn.sigma), context // 2)
    return Lognormal(drawn.median, drawn.sigma, most)


def asked_workload(
    model: Transformer,
    trace: Trace | None,
    mix: str,
    users: float | None,
    per_user: float | None,
    messages: float | None,
    rate: float | None,
    prompts: str | None,
    answers: str | None,
    cached: str | None,
    shape: str | None,
    margin: str,
    burstiness: float,
) -> Workload:
    """Workload of the command.

    Raises
    ------
    InputError
        If nothing, or more than one thing, says how much is asked, or lengths are given twice.
    """
    from armillary.serving.demand import messages_of_users
    from armillary.serving.diurnal import named_shape
    from armillary.serving.lengths import joint
    from armillary.serving.workload import HOUR, Workload, busiest_hour

    given = [n for n, v in (("--users", users), ("--messages", messages), ("--rate", rate)) if v is not None]
    if len(given) > 1:
        raise InputError(f"{' and '.join(given)} say how much is asked; give one of them")
    if (users is None) != (per_user is None):
        raise InputError("--users and --per-user go together: users, and messages of each a day")
    own = None
    if trace is not None:
        span = float(trace.arrival[-1])
        own = trace.requests / span if span > 0 else None
    if not given and own is None:
        raise InputError(
            "nothing says how much is asked; give --messages, --users, --rate, or a --trace with its arrivals"
        )
    replay = cached is not None and cached.strip() == "trace"
    found = 0.0 if cached is None or replay else share(cached, "--cached", 0.99)
    if trace is None:
        if replay:
            raise InputError("--cached trace replays the blocks of a trace; give it with --trace")
        lengths = lengths_of(prompts, answers, found, mix, model)
    else:
        if prompts is not None or answers is not None:
            raise InputError("a --trace has its own lengths; leave out --input and --output")
        lengths = joint(trace, None if replay else found)
    if users is not None and per_user is not None:
        messages = messages_of_users(users, per_user)
    mean = messages / DAY if messages is not None else rate if rate is not None else own
    assert mean is not None
    # A trace of hours brings its own peak; one that is shorter, at another rate, says nothing of a day.
    if trace is not None and shape is None and (not given or trace.arrival[-1] >= 2 * HOUR):
        level = busiest_hour(trace)
    else:
        level = named_shape(shape or "servegen-language-large").peak_over_mean
    return Workload(
        mean,
        mean * level,
        lengths,
        share(margin, "--margin", 10.0),
        burstiness,
        found > 0,
        trace if replay else None,
    )


def asked_trace(path: Path | None, model: Transformer) -> Trace | None:
    """Trace of a file, whose requests the model's context holds."""
    from armillary.serving.traces import check_context, read

    if path is None:
        return None
    refuse_beside_trace("mix")
    found = read(path)
    if model.context:
        check_context(found, model.context, path)
    return found

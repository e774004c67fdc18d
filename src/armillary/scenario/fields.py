"""Kinds of fields of a scenario file: quantities in bounds, months, growth. Imports pydantic and units."""

from __future__ import annotations

import re
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, WithJsonSchema

from armillary.errors import UnitError
from armillary.units import parse, show, write


def _reader(dimension: str, low: float, high: float) -> BeforeValidator:
    """Read text with a unit as a float in SI, within bounds."""

    def read(value: Any) -> float:
        try:
            number = parse(value, dimension)
        except UnitError as error:
            raise ValueError(str(error)) from None
        if not low <= number <= high:
            bounds = f"{_bound(low, dimension)} to {_bound(high, dimension)}"
            raise ValueError(f"{value!r} is outside what is sensible, {bounds}")
        return number

    return BeforeValidator(read)


def _bound(value: float, dimension: str) -> str:
    """A bound of a field in a unit that people write."""
    if dimension == "1":
        return "above 0%" if 0 < value < 1e-6 else f"{value * 100:g}%"
    if dimension == "USD/s":
        return f"{value * 3600:,.10g} USD/h"
    if dimension == "USD/byte":
        return f"{value * 1e9:,.10g} USD/GB"
    if dimension in ("token", "FLOP"):
        return f"{value:g} {dimension}"
    if dimension == "1/s":
        return f"{value:g} per s"
    return show(value, dimension.replace("byte", "B"))


def _written(dimension: str) -> PlainSerializer:
    """Write a float in SI in people's units, so that what is printed can be read again."""
    return PlainSerializer(lambda value: None if value is None else write(value, dimension))


def _text(example: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "examples": [example]})


Seconds = Annotated[float, _reader("s", 1e-9, 1e10), _written("s"), _text("6 us")]
Duration = Annotated[float, _reader("s", 1.0, 1e11), _written("s"), _text("7 yr")]
Bandwidth = Annotated[float, _reader("byte/s", 1e3, 1e14), _written("byte/s"), _text("400 Gbit/s")]
Money = Annotated[float, _reader("USD", 0.0, 1e14), _written("USD"), _text("38e9 USD")]
PriceRate = Annotated[float, _reader("USD/s", 0.0, 1e3), _written("USD/s"), _text("3.1 USD/h")]
EgressPrice = Annotated[float, _reader("USD/byte", 0.0, 1e-6), _written("USD/byte"), _text("0.05 USD/GB")]
Moved = Annotated[float, _reader("byte", 0.0, 1e15), _written("byte"), _text("20 kB")]
Tokens = Annotated[float, _reader("token", 1.0, 1e18), _written("token"), _text("15e12 token")]
Share = Annotated[
    float,
    _reader("1", 1e-9, 1.0),
    WithJsonSchema({"type": ["string", "number"], "examples": ["60%", 0.6]}),
]

Fraction = Annotated[
    float,
    _reader("1", 0.0, 0.999),
    WithJsonSchema({"type": ["string", "number"], "examples": ["37%", 0.37]}),
]
Margin = Annotated[
    float,
    _reader("1", 0.0, 10.0),
    WithJsonSchema({"type": ["string", "number"], "examples": ["10%", 0.1]}),
]
Rate = Annotated[float, _reader("1/s", 0.0, 1e15), _written("1/s"), _text("2.5e9 per day")]
Length = Annotated[float, _reader("token", 1.0, 1e8), _written("token"), _text("1155 token")]
Watts = Annotated[float, _reader("W", 0.0, 1e12), _written("W"), _text("300 MW")]
Flop = Annotated[float, _reader("FLOP", 1e15, 1e33), _written("FLOP"), _text("2e27 FLOP")]
Whole = Annotated[
    float,
    _reader("1", 0.0, 1.0),
    WithJsonSchema({"type": ["string", "number"], "examples": ["80%", 0.8]}),
]
"""A share that may be nothing or all."""
Change = Annotated[
    float,
    _reader("1", -0.9, 1.0),
    WithJsonSchema({"type": ["string", "number"], "examples": ["-10%"]}),
]
Bytes = Annotated[float, _reader("byte", 0.0, 1e15), _written("byte"), _text("4 GiB")]


def _no_truth(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError(f"must be a number, got {value}")
    return value


Number = Annotated[float, BeforeValidator(_no_truth)]
Priority = Annotated[int, Field(ge=-1000, le=1000, strict=True)]

_MONTH = re.compile(r"\A(20\d\d)-(0[1-9]|1[0-2])(-\d\d)?\Z")


def _month(value: object) -> str:
    if not isinstance(value, str) or _MONTH.match(value) is None:
        raise ValueError(f"must be a month such as 2026-09, got {value!r}")
    return value[:7]


Month = Annotated[str, BeforeValidator(_month), WithJsonSchema({"type": "string", "examples": ["2026-09"]})]


def _batch(value: Any) -> float | int:
    """Sequences as a whole number (kept positive), or tokens as text (kept negative until resolved)."""
    if isinstance(value, int) and not isinstance(value, bool):
        if not 1 <= value <= 10**9:
            raise ValueError(f"must be 1 to 1e9 sequences, or tokens such as '64 Mtoken', got {value}")
        return value
    try:
        tokens = parse(value, "token")
    except UnitError as error:
        raise ValueError(f"{error}; a whole number counts sequences, '64 Mtoken' tokens") from None
    if not 1 <= tokens <= 1e12:
        raise ValueError(f"{value!r} is outside what is sensible, 1 to 1e12 token")
    return -tokens


def _batch_text(value: float) -> str | int:
    return int(value) if value > 0 else write(-value, "token")


Batch = Annotated[
    float,
    BeforeValidator(_batch),
    PlainSerializer(_batch_text),
    WithJsonSchema({"type": ["string", "integer"]}),
]


def _growth(value: Any) -> tuple[float, ...]:
    """Parts added in each year: one for all years, or a list of which the last holds on."""
    items = value if isinstance(value, list | tuple) else [value]
    if not 1 <= len(items) <= 50:
        raise ValueError(f"must be one growth a year, or a list of 1 to 50, got {len(items)}")
    try:
        found = tuple(parse(item, "1") for item in items)
    except UnitError as error:
        raise ValueError(str(error)) from None
    for item, part in zip(items, found, strict=True):
        if not -0.99 <= part <= 20:
            raise ValueError(f"{item!r} is outside what is sensible, -99% to 2000% a year")
    return found


Growth = Annotated[
    tuple[float, ...],
    BeforeValidator(_growth),
    PlainSerializer(lambda value: value[0] if len(value) == 1 else list(value)),
    WithJsonSchema(
        {"type": ["string", "number", "array"], "examples": ["54%", ["54%", "30%", "15%"]]},
    ),
]


class Limit(NamedTuple):
    """A latency that so many percent of requests stay within. percentile [-]; seconds [s]."""

    percentile: float
    seconds: float


_PERCENTILE = re.compile(r"p([0-9]{1,2}(\.[0-9]+)?)\Z")


def _limit(value: Any) -> Limit:
    """A latency as text, for 95 of 100 requests, or with its percentile: ``{p99: 2 s}``."""
    if isinstance(value, Limit):
        return value
    named = value if isinstance(value, dict) else {"p95": value}
    if len(named) != 1:
        raise ValueError(f"must be one latency with its percentile, such as 'p95: 1 s', got {len(named)}")
    ((name, text),) = named.items()
    match = _PERCENTILE.match(str(name))
    if match is None or not float(match[1]) > 0:
        raise ValueError(f"{name!r} is no percentile; write it as 'p95: 1 s', p0.1 to p99.99")
    try:
        seconds = parse(text, "s")
    except UnitError as error:
        raise ValueError(str(error)) from None
    if not 1e-9 <= seconds <= 1e6:
        raise ValueError(f"{text!r} is outside what is sensible, 1 ns to 11.6 days")
    return Limit(float(match[1]), seconds)


Latency = Annotated[
    Limit,
    BeforeValidator(_limit),
    PlainSerializer(
        lambda value: None if value is None else {f"p{value.percentile:g}": write(value.seconds, "s")}
    ),
    WithJsonSchema({"type": ["string", "object"], "examples": ["1 s", {"p95": "1 s"}]}),
]
Count = Annotated[int, Field(ge=1, le=10_000_000, strict=True)]
Name = Annotated[str, Field(min_length=1, max_length=80)]


class Part(BaseModel):
    """Base of all parts: unknown fields are errors, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)

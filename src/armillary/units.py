"""Quantity text at the edges, SI floats inside. Imports nothing of ours but `errors`.

Inside Armillary every number is in s, byte, byte/s, FLOP, FLOP/s, W, USD, token; people write
``"800 Gbit/s"``, ``"13.4 TB"``, ``"38e9 USD"``, ``"7 yr"``. `bit` and `B` are spelt out; ``Gb/s`` is
refused because nobody agrees on what it means.
"""

from __future__ import annotations

import re

from armillary.errors import UnitError, did_you_mean

__all__ = ["DIMENSIONS", "parse", "show", "write"]

_SI = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18, "Z": 1e21, "Y": 1e24}
_BINARY = {"Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40, "Pi": 2.0**50}
_HOUR, _DAY, _YEAR = 3600.0, 86400.0, 365.25 * 86400.0


def _prefixed(stem: str, factor: float = 1.0, *, binary: bool = False) -> dict[str, float]:
    table = {p + stem: f * factor for p, f in _SI.items()}
    if binary:
        table |= {p + stem: f * factor for p, f in _BINARY.items()}
    return table


def _per(units: dict[str, float], seconds: dict[str, float]) -> dict[str, float]:
    return {f"{u}/{s}": fu / fs for u, fu in units.items() for s, fs in seconds.items()}


_BYTES = _prefixed("B", binary=True) | {"byte": 1.0, "bytes": 1.0}
_BITS = _prefixed("bit", 1 / 8, binary=True)
_FLOP = _prefixed("FLOP")
_TOKENS = _prefixed("token") | _prefixed("tokens")
_TIMES = {
    "ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": _HOUR, "hour": _HOUR,
    "hours": _HOUR, "day": _DAY, "days": _DAY, "week": 7 * _DAY, "weeks": 7 * _DAY, "month": _YEAR / 12,
    "months": _YEAR / 12, "yr": _YEAR, "year": _YEAR, "years": _YEAR,
}  # fmt: skip
_RATES = {"s": 1.0, "min": 60.0, "h": _HOUR, "hour": _HOUR, "day": _DAY, "yr": _YEAR, "year": _YEAR}
_USD = {"USD": 1.0, "kUSD": 1e3, "MUSD": 1e6, "GUSD": 1e9, "million USD": 1e6, "billion USD": 1e9}

#: Unit tables by dimension; the dimension is named by its SI unit.
DIMENSIONS: dict[str, dict[str, float]] = {
    "s": _TIMES,
    "byte": _BYTES | _BITS,
    "byte/s": _per(_BYTES | _BITS, {"s": 1.0}),
    "FLOP": _FLOP,
    "FLOP/s": _per(_FLOP, {"s": 1.0}) | _prefixed("FLOPS"),
    "W": _prefixed("W"),
    "J": _prefixed("J") | _prefixed("Wh", _HOUR),
    "USD": _USD,
    "USD/s": _per(_USD, _RATES),
    "USD/J": {f"USD/{u}": 1 / f for u, f in _prefixed("Wh", _HOUR).items()}
    | {f"USD/{w}/{t}": 1 / (f * _TIMES[t]) for w, f in _prefixed("W").items() for t in ("month", "yr")},
    "USD/W": {f"{u}/{w}": fu / fw for u, fu in _USD.items() for w, fw in _prefixed("W").items()},
    "USD/byte": {f"{u}/{b}": fu / fb for u, fu in _USD.items() for b, fb in _BYTES.items()},
    "token": _TOKENS,
    "token/s": _per(_TOKENS, _RATES),
    "1/s": {f"per {t}": 1 / f for t, f in _RATES.items()} | {f"/{t}": 1 / f for t, f in _RATES.items()},
    "1": {"%": 0.01, "x": 1.0},
}

#: Units that people write a dimension in, where they give the number with the fewest digits.
_WRITTEN: dict[str, tuple[str, ...]] = {
    "s": ("s", "ms", "us", "ns", "min", "h", "days", "yr", "months"),
    "byte": ("B", "kB", "MB", "GB", "TB", "PB", "KiB", "MiB", "GiB", "TiB"),
    "byte/s": ("B/s", "kB/s", "MB/s", "GB/s", "TB/s"),
    "W": ("W", "kW", "MW", "GW"),
    "USD": ("USD", "million USD", "billion USD"),
    "USD/s": ("USD/h",),
    "USD/byte": ("USD/GB",),
    "token": ("token", "ktoken", "Mtoken", "Gtoken", "Ttoken"),
    "1/s": ("per day", "per h", "per s"),
}
_CURRENCIES = {
    "EUR", "GBP", "CHF", "JPY", "CNY", "RMB", "INR", "KRW", "TWD", "SGD", "HKD", "AUD", "NZD", "CAD", "SEK",
    "NOK", "DKK", "PLN", "CZK", "HUF", "ILS", "AED", "SAR", "QAR", "BRL", "MXN", "ZAR", "TRY", "THB", "MYR",
    "IDR", "VND", "RUB", "€", "£", "¥", "₹", "₩", "euro", "euros",
}  # fmt: skip

_NUMBER = re.compile(r"\s*([-+]?(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*(.*?)\s*\Z")


def parse(text: str | float, dimension: str) -> float:
    """Read a quantity such as ``"800 Gbit/s"`` as a float in the SI unit of its dimension.

    Parameters
    ----------
    text : str or float
        A number and a unit. A bare number is only accepted where the dimension is ``"1"``.
    dimension : str
        A key of `DIMENSIONS`, e.g. ``"byte/s"``.

    Raises
    ------
    UnitError
        If the number cannot be read or is infinite, or the unit is missing, unknown or of another dimension.

    Examples
    --------
    >>> parse("800 Gbit/s", "byte/s")
    100000000000.0
    >>> parse("60%", "1")
    0.6
    """
    units = DIMENSIONS[dimension]
    if isinstance(text, bool) or not isinstance(text, str | int | float):
        raise UnitError(f"expected a quantity such as '{_example(dimension)}', got {text!r}")
    match = _NUMBER.match(str(text))
    if match is None:
        raise UnitError(f"cannot read {text!r} as a quantity; write it as '{_example(dimension)}'")
    number, unit = float(match[1].replace("_", "")), match[2]
    if number in (float("inf"), float("-inf")):
        raise UnitError(f"{text!r} is not a finite number")
    if not unit:
        if dimension == "1":
            return number
        raise UnitError(
            f"{text!r} has no unit; write it as '{match[1]} {_example(dimension).split(' ', 1)[1]}'"
        )
    if unit in units:
        value = number * units[unit]
        if value in (float("inf"), float("-inf")):
            raise UnitError(f"{text!r} is not a finite number of {dimension}")
        return value
    for other, table in DIMENSIONS.items():
        if unit in table:
            raise UnitError(f"{text!r} is in {other}, expected {dimension}, as in '{_example(dimension)}'")
    if dimension.startswith("USD"):
        _refuse_currency(str(text), unit, dimension)
    raise UnitError(f"unknown unit {unit!r}{_cure(unit, units)}")


def _refuse_currency(text: str, unit: str, dimension: str) -> None:
    """Raise where an amount is in another currency or in dollars by their sign."""
    money = unit.split("/")[0].split()[-1:] or [""]
    code = next((c for c in (money[0], money[0].lstrip("kMG")) if c in {*_CURRENCIES, "$"}), "")
    if code == "$":
        raise UnitError(f"{text!r}: write $ as USD, as in '{_example(dimension)}'")
    if code:
        raise UnitError(
            f"{text!r} is in {code}; amounts are in USD: convert it and write it as '{_example(dimension)}'"
        )


def _cure(unit: str, units: dict[str, float]) -> str:
    bits = re.sub(r"^([kMGTP]?)b(ps|/s)?$", lambda m: f"{m[1]}bit{'/s' if m[2] else ''}", unit)
    if bits != unit and bits in units:
        return f"; did you mean {bits!r}?"
    return did_you_mean(unit, units)


def _example(dimension: str) -> str:
    return {
        "s": "12 ms", "byte": "13.4 TB", "byte/s": "800 Gbit/s", "FLOP": "3.8e25 FLOP",
        "FLOP/s": "2.5 PFLOP/s", "W": "132 kW", "J": "1 MWh", "USD": "38e9 USD", "USD/s": "3.1 USD/h",
        "USD/J": "0.07 USD/kWh", "USD/W": "11 USD/W", "USD/byte": "0.05 USD/GB", "token": "15e12 token",
        "token/s": "9e3 token/s", "1/s": "2.5e9 per day", "1": "60%",
    }[dimension]  # fmt: skip


def write(value: float, dimension: str) -> str:
    """Write an SI value in the unit that people write it in with the fewest digits; `parse` gives it back.

    Parameters
    ----------
    value : float
        In the SI unit of its dimension.
    dimension : str
        A key of `DIMENSIONS`.

    Examples
    --------
    >>> write(3.1 / 3600, "USD/s"), write(7 * 365.25 * 86400, "s"), write(0.03, "s"), write(38e9, "USD")
    ('3.1 USD/h', '7 yr', '30 ms', '38 billion USD')
    """
    found = []
    for unit in _WRITTEN.get(dimension, ()):
        for digits in (3, 6, 9, 12, 15, 17):
            number = repr(float(f"{value / DIMENSIONS[dimension][unit]:.{digits}g}")).removesuffix(".0")
            if parse(f"{number} {unit}", dimension) == value:
                found.append((number, unit))
                break
    if not found:
        plain = next(unit for unit, factor in DIMENSIONS[dimension].items() if factor == 1.0)
        found = [(repr(value).removesuffix(".0"), plain)]
    number, unit = min(found, key=lambda one: len(one[0]))
    return f"{number} {unit.removesuffix('s') if number == '1' and unit in ('days', 'months') else unit}"


def show(value: float, unit: str = "", digits: int = 3) -> str:
    """Write an SI value with a prefix that people read easily.

    Examples
    --------
    >>> show(1.2e11, "B/s")
    '120 GB/s'
    >>> show(0.00213, "s")
    '2.13 ms'
    >>> show(86400 * 400, "s")
    '1.1 yr'
    >>> show(38e9, "USD")
    '38 billion USD'
    >>> show(15.6e12, "tokens")
    '15.6T tokens'
    """
    if unit == "s":
        return _show_time(value, digits)
    if unit.startswith(("token", "parameter")):
        factor, letter = next(((f, c) for f, c in _COUNTS if abs(value) >= f), (1.0, ""))
        return f"{_plain(value / factor, digits)}{letter} {unit}"
    if unit == "USD":
        for factor, word in ((1e12, "trillion "), (1e9, "billion "), (1e6, "million ")):
            if abs(value) >= factor:
                return f"{_plain(value / factor, digits)} {word}USD"
        return f"{value:,.0f} USD" if abs(value) >= 100 else f"{value:.{digits}g} USD"
    if value != value or value in (float("inf"), float("-inf")):
        return f"{value} {unit}".rstrip()
    magnitude = abs(value)
    prefixes = [
        (1e24, "Y"),
        (1e21, "Z"),
        (1e18, "E"),
        (1e15, "P"),
        (1e12, "T"),
        (1e9, "G"),
        (1e6, "M"),
        (1e3, "k"),
    ]
    for factor, prefix in prefixes:
        if magnitude >= factor * (1 - 0.5 * 10.0**-digits):
            return f"{_plain(value / factor, digits)} {prefix}{unit}".rstrip()
    return f"{_plain(value, digits)} {unit}".rstrip()


_COUNTS = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k"))


def _show_time(seconds: float, digits: int) -> str:
    scale = [
        (_YEAR, "yr"), (2 * _DAY, "days"), (2 * _HOUR, "h"), (120.0, "min"), (1.0, "s"),
        (1e-3, "ms"), (1e-6, "us"), (1e-9, "ns"),
    ]  # fmt: skip
    if seconds != seconds or seconds in (float("inf"), float("-inf")):
        return f"{seconds} s"
    for least, name in scale:
        if abs(seconds) >= least:
            return f"{_plain(seconds / _TIMES[name], digits)} {name}"
    return f"{_plain(seconds, digits)} s"


def _plain(value: float, digits: int) -> str:
    text = f"{value:.{digits}g}"
    return f"{float(text):.0f}" if "e" in text and abs(value) < 1e15 else text

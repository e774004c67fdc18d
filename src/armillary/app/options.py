"""Option types of the command line: quantities people write, constraints, files. Imports click and units."""

from __future__ import annotations

import json
import math
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from armillary.errors import InputError, did_you_mean
from armillary.units import parse

if TYPE_CHECKING:
    from armillary.catalog import Catalog
    from armillary.scenario import Scenario
    from armillary.twin import Price


class FiniteRange(click.FloatRange):
    """A number within a range; nan, which compares with no bound, and infinities are none.

    Examples
    --------
    >>> FiniteRange(1, 10).convert("2.5", None, None)
    2.5
    """

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read a number.

        Raises
        ------
        click.BadParameter
            If it is none, not finite or out of range.
        """
        number = click.FLOAT.convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number; write one in {self._describe_range()}", param, ctx)
        return float(super().convert(number, param, ctx))


MOST_SEQUENCES = 10**9
"""Of a global batch. [-]"""
MOST_TOKENS = 1e30
"""To train on. [token]"""

_COUNT = re.compile(r"\A\s*(\d+(?:\.\d+)?(?:e\d+)?)\s*([kKMGTB]?)\s*-?\s*(tokens?|sequences?|seqs?)?\s*\Z")
_SCALE = {"": 1, "k": 2**10, "K": 2**10, "M": 2**20, "G": 2**30, "B": 1e9, "T": 1e12}


def batch(text: str, sequence: int) -> int:
    """Read a global batch in sequences, or in tokens with binary prefixes as recipes mean them.

    Raises
    ------
    InputError
        If it cannot be read, is out of range, or the tokens are not a whole number of sequences.

    Examples
    --------
    >>> batch("512", 8192), batch("4M-tokens", 8192)
    (512, 512)
    """
    match = _COUNT.match(text)
    if match is None:
        raise InputError(f"--global-batch {text!r}: write sequences as '512' or tokens as '4M-tokens'")
    number = float(match[1]) * _SCALE[match[2]]
    if not math.isfinite(number):
        raise InputError(f"--global-batch {text!r}: {_most_sequences()}")
    if match[3] and match[3].startswith("token"):
        if number % sequence:
            near = max(round(number / sequence), 1)
            raise InputError(
                f"--global-batch {text!r} is not a whole number of sequences of {sequence} tokens; "
                f"nearest are {near * sequence} tokens, that is {near} sequences"
            )
        number /= sequence
    if number < 1 or number != int(number):
        raise InputError(f"--global-batch {text!r}: must be a positive whole number of sequences")
    if number > MOST_SEQUENCES:
        raise InputError(f"--global-batch {text!r}: {_most_sequences()}")
    return int(number)


def _most_sequences() -> str:
    return f"must be at most {MOST_SEQUENCES:,} sequences"


def tokens(text: str) -> float:
    """Read a number of tokens, with or without the word.

    Raises
    ------
    InputError
        If it cannot be read, or is not above 0 and at most `MOST_TOKENS`.

    Examples
    --------
    >>> tokens("15T") == tokens("15e12 tokens") == tokens("15e12")
    True
    """
    number = _tokens(text)
    if not 0 < number <= MOST_TOKENS:
        raise InputError(f"--tokens {text!r}: must be above 0 and at most {MOST_TOKENS:g}")
    return number


def _tokens(text: str) -> float:
    try:
        return parse(text, "token")
    except InputError:
        match = re.match(r"\A\s*(\d+(?:\.\d+)?(?:[eE]\d+)?)\s*([kMBGT]?)\s*\Z", text)
        if match is None:
            raise InputError(f"--tokens {text!r}: write it as '15T' or '15e12 tokens'") from None
        scale = {"": 1.0, "k": 1e3, "M": 1e6, "B": 1e9, "G": 1e9, "T": 1e12}[match[2]]
        return float(match[1]) * scale


FOLLOWS = {
    "dp": "it is the accelerators over tp x cp x pp; set these instead",
    "shard": "set sharding by zero, which shards over all ranks or those of a domain",
    "edp": "it is tp x cp x dp over etp x ep; set these instead",
}
"""Fields of a layout that follow from others, and what to set instead."""


def constraints(settings: Sequence[str], option: str = "--set") -> dict[str, list[Any]]:
    """Read ``--set tp=8 --set recompute=none,full`` as constraints of the search.

    Raises
    ------
    InputError
        If a setting has no ``=``, names a field that follows from others, or a value that its field does
        not take.
    """
    from armillary.training.layout import CHOICES

    fixed: dict[str, list[Any]] = {}
    for setting in settings:
        name, equals, values = setting.partition("=")
        name = name.strip().replace("-", "_")
        if not equals or not values:
            raise InputError(f"{option} {setting!r}: write it as NAME=VALUE[,VALUE], e.g. {option} tp=4,8")
        if name in FOLLOWS:
            raise InputError(f"{option} {name}={values}: cannot be fixed; {FOLLOWS[name]}")
        fixed[name] = [_value(name, v.strip(), CHOICES, option) for v in values.split(",")]
    if "zero" in fixed:
        levels = fixed.pop("zero")
        fixed["sharding"] = [(level, where) for level in levels for where in ("all", "domain")]
    return fixed


WISHES = ("fastest", "roomiest")
"""Layouts that have a word."""


def wish(text: str) -> dict[str, list[Any]]:
    """Read one side of ``--compare``: ``tp=8,pp=16,recompute=none,full``, or a word of `WISHES`.

    Raises
    ------
    InputError
        If it is neither; the message names the field and what would be right.

    Examples
    --------
    >>> wish("tp=8,16,pp=4"), wish("fastest")
    ({'tp': [8, 16], 'pp': [4]}, {})
    """
    from armillary.training import Options

    if text.strip() in WISHES:
        return {}
    option = f"--compare {text!r}:"
    if "=" not in text:
        raise InputError(f"{option} write {' or '.join(WISHES)}, or a layout as tp=8,pp=16,vpp=2")
    fixed = constraints(re.split(r",(?=\s*[A-Za-z_-]+\s*=)", text), option)
    known = [name.replace("sharding", "zero") for name in Options._fields]
    for name in fixed:
        if name not in Options._fields:
            raise InputError(
                f"{option} no field {name!r}{did_you_mean(name, known)} (known: {', '.join(known)})"
            )
    return fixed


def _value(name: str, text: str, named: dict[str, tuple[str, ...]], option: str) -> Any:
    if name in named:
        if text not in named[name]:
            raise InputError(f"{option} {name}={text}: must be one of {', '.join(named[name])}")
        return named[name].index(text)
    try:
        number = float(text)
    except ValueError:
        raise InputError(f"{option} {name}={text}: must be a number") from None
    if not math.isfinite(number):
        raise InputError(f"{option} {name}={text}: must be a finite number")
    if name == "optimizer_bytes":
        if not 2 <= number <= 16:
            raise InputError(f"{option} {name}={text}: must be from 2 to 16 bytes a parameter")
        return number
    if name.startswith("offload"):
        if not 0 <= number <= 1:
            raise InputError(f"{option} {name}={text}: must be a share from 0 to 1")
        return number
    if number < (0 if name in ("zero", "overlap_ep") else 1) or number != int(number) or number > 1e9:
        raise InputError(f"{option} {name}={text}: must be a positive whole number")
    return int(number)


def price_of(text: str | None, system: str, known: Catalog) -> Price | None:
    """Read ``--price``, or take the catalog's offer for a system; None where there is none.

    Raises
    ------
    InputError
        If it cannot be read, or is out of range.
    """
    from armillary.twin import Price

    if text is not None:
        value = parse(text, "USD/s")
        if not 0 <= value * 3600 <= 1e6:
            raise InputError(f"--price {text!r}: must be between 0 and 1e6 USD/h")
        return Price(value, "given")
    offer = known.price(system)
    if offer is None:
        return None
    return Price(offer.price, f"{offer.provider} {offer.terms}, {offer.name}")


def read_scenario(where: str, known: Catalog) -> Scenario:
    """Read a scenario file, or a built-in one; says on stderr what had to be assumed.

    Raises
    ------
    ScenarioError
        As `armillary.scenario.read`.
    """
    from armillary.scenario import read

    found = read(where, known)
    for what in found.assumed:
        click.echo(f"assumed: {where}: {what}", err=True)
    return found


def make_folder(path: Path) -> None:
    """Make a folder before long work whose answer is to go there.

    Raises
    ------
    InputError
        If it cannot be made or written.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}") from None


def echo_json(answer: Any) -> None:
    """Print an answer as JSON on stdout; infinities and NaN become null."""
    click.echo(json.dumps(plain(answer), indent=2, ensure_ascii=False, allow_nan=False))


def plain(value: Any) -> Any:
    """Make an answer JSON: numpy scalars to Python, infinities and NaN to null."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, str | bool | int) or value is None:
        return value
    if hasattr(value, "item"):
        return plain(value.item())
    number = float(value)
    return number if number == number and abs(number) != float("inf") else None


catalog_option = click.option(
    "--catalog",
    "catalogs",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A TOML file of your own entries; may be repeated.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")

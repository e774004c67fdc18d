"""Hostlist expressions, ``node[001-128,200],login1``, as Slurm and Topograph write names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import product

from armillary.errors import InputError

MOST_NAMES = 2_000_000
"""Names that one expression may stand for; more is taken as a slip (``n[0-999999999]``). [-]"""
LONGEST = 9
"""Digits of a number in a range. [-]"""
_RANGE = re.compile(r"([0-9]+)(?:-([0-9]+))?\Z")
_TAIL = re.compile(r"(.*?)([0-9]{1,9})\Z", re.DOTALL)


def expand(text: str, most: int = MOST_NAMES) -> list[str]:
    """Names that an expression stands for, in its order.

    Parameters
    ----------
    text : str
        Names separated by commas; brackets hold numbers and ranges, zeros in front are kept.
    most : int
        Names that are accepted. [-]

    Raises
    ------
    InputError
        If a bracket is not closed or nested, a range is none or runs backwards, a name is empty, or there are
        more than `most` names.

    Examples
    --------
    >>> expand("gpu[08-10,21],login")
    ['gpu08', 'gpu09', 'gpu10', 'gpu21', 'login']
    >>> expand("rack[1-2]n[1-2]")
    ['rack1n1', 'rack1n2', 'rack2n1', 'rack2n2']
    """
    names: list[str] = []
    for part in _split(text):
        pieces = re.split(r"\[([^\[\]]*)\]", part)
        if any("[" in piece or "]" in piece for piece in pieces):
            raise InputError(f"hostlist {_short(part)}: a bracket is not closed, or stands inside another")
        choices = [[piece] if i % 2 == 0 else _numbers(piece, part, most) for i, piece in enumerate(pieces)]
        count = 1
        for choice in choices:
            count *= len(choice)
        if len(names) + count > most:
            raise InputError(f"hostlist {_short(text)}: more than {most:,} names")
        names += ["".join(chosen) for chosen in product(*choices)]
    return names


class Expander:
    """Expands the expressions of one file, which together may stand for `MOST_NAMES` names."""

    def __init__(self, most: int = MOST_NAMES) -> None:
        self.left = most

    def __call__(self, text: str, place: str) -> list[str]:
        """Names of an expression, none where it is empty.

        Raises
        ------
        InputError
            As `expand`, with the place in front.
        """
        try:
            names = expand(text, self.left) if text else []
        except InputError as error:
            raise InputError(f"{place}: {error}") from None
        self.left -= len(names)
        return names


def compress(names: Iterable[str]) -> str:
    """Write names as one expression; neighbours that differ in a number at their end share brackets.

    `expand` gives back the same names in the same order.

    Examples
    --------
    >>> compress(["gpu08", "gpu09", "gpu10", "gpu21", "login"])
    'gpu[08-10,21],login'
    """
    groups: list[tuple[str, list[list[str]]]] = []
    for name in names:
        match = _TAIL.match(name)
        stem, digits = match.groups() if match else (name, "")
        if not digits or not groups or groups[-1][0] != stem or not groups[-1][1]:
            groups.append((stem, [[digits, digits]] if digits else []))
            continue
        run = groups[-1][1][-1]
        if f"{int(run[1]) + 1:0{len(run[0])}d}" == digits and len(digits) <= LONGEST:
            run[1] = digits
        else:
            groups[-1][1].append([digits, digits])
    return ",".join(_group(stem, runs) for stem, runs in groups)


def _split(text: str) -> Iterator[str]:
    """Parts between commas that stand outside brackets."""
    start = depth = 0
    for i, character in enumerate(text + ","):
        depth += (character == "[") - (character == "]")
        if character == "," and (depth <= 0 or i == len(text)):
            part = text[start:i].strip()
            if not part:
                raise InputError(f"hostlist {_short(text)}: a name is empty")
            if re.search(r"\s", part):
                raise InputError(f"hostlist {_short(text)}: names are separated by commas, not by spaces")
            yield part
            start = i + 1


def _numbers(inside: str, part: str, most: int) -> list[str]:
    found: list[str] = []
    for item in inside.split(","):
        match = _RANGE.match(item.strip()) if item.isascii() else None
        if not match or max(len(number or "") for number in match.groups()) > LONGEST:
            raise InputError(f"hostlist {_short(part)}: {_short(item)} is no number or range such as 1-8")
        first, last = match[1], match[2] or match[1]
        low, high = int(first), int(last)
        if high < low:
            raise InputError(f"hostlist {_short(part)}: the range {item.strip()} runs backwards")
        if len(found) + high - low + 1 > most:
            raise InputError(f"hostlist {_short(part)}: more than {most:,} names")
        found += [f"{number:0{len(first)}d}" for number in range(low, high + 1)]
    return found


def _group(stem: str, runs: list[list[str]]) -> str:
    words = [first if first == last else f"{first}-{last}" for first, last in runs]
    if not words:
        return stem
    return stem + (words[0] if len(words) == 1 and runs[0][0] == runs[0][1] else f"[{','.join(words)}]")


def _short(text: str, most: int = 60) -> str:
    return repr(text if len(text) <= most else text[: most - 3] + "...")

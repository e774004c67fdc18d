"""Requests of CSV files, read as arrays of bytes: a column of numbers is one pass a digit over all rows.

Fields are without quotes, as in all published traces.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from armillary.serving.trace_rows import (
    NANOSECONDS,
    TABLES,
    Bytes,
    Integers,
    Rows,
    Table,
    known_formats,
    refuse,
)

Flags = NDArray[np.bool_]

COMMA, NEWLINE, RETURN, QUOTE, DOT, ZERO = (ord(c) for c in ',\n\r".0')
LONGEST = 10
"""Digits of seconds or tokens that are read. [-]"""


def table_of(path: str, line: int, header: str) -> tuple[Table, list[str]]:
    """Recognise a format by its header; returns it with the names of all columns."""
    columns = [name.strip().strip('"') for name in header.split(",")]
    for table in TABLES:
        missing = [name for name in table.columns if name not in columns]
        if not missing:
            return table, columns
        if len(missing) < len(table.columns):
            refuse(
                path, line, f"the header is of format {table.name}, but lacks {', '.join(map(repr, missing))}"
            )
    refuse(path, line, f"unknown format {header[:60]!r}; known are {known_formats()}")


def table_rows(path: str, table: Table, columns: list[str], text: bytes, line: int) -> Rows:
    """Read whole lines of a file, of which the first is number `line`."""
    buffer = np.frombuffer(text, np.uint8)
    if b'"' in text:
        at = line + text[: text.index(b'"')].count(b"\n")
        refuse(path, at, "a field in quotes; write fields without quotes, as the published traces do")
    end = np.flatnonzero(buffer == NEWLINE)
    start = np.concatenate(([0], end[:-1] + 1))
    number = line + np.arange(len(end))
    end = end - ((end > start) & (buffer[end - 1] == RETURN))
    full = end > start
    start, end, number = start[full], end[full], number[full]
    commas = np.flatnonzero(buffer == COMMA)
    fields = 1 + np.searchsorted(commas, end) - np.searchsorted(commas, start)
    if (wrong := fields != len(columns)).any():
        row = int(wrong.argmax())
        refuse(
            path,
            int(number[row]),
            f"{fields[row]} fields, expected {len(columns)} as in the header: {','.join(columns)}",
        )
    edges = np.column_stack((start - 1, commas.reshape(len(start), len(columns) - 1), end))

    def column(name: str) -> tuple[Integers, Integers]:
        i = columns.index(name)
        return edges[:, i] + 1, edges[:, i + 1]

    def checked(found: tuple[Integers, Flags], name: str, right: str) -> Integers:
        value, good = found
        if not good.all():
            row = int(good.argmin())
            first, last = (int(side[row]) for side in column(name))
            given = text[first:last].decode(errors="replace")
            refuse(path, int(number[row]), f"{name} is {given!r}; expected {right}")
        return value

    times = stamps if table.stamped else decimals
    date = "a date such as '2023-11-16 18:17:03.9799600', with a UTC offset or without"
    time = date if table.stamped else "seconds such as '118' or '118.5'"
    tokens = "a whole number of tokens, 0 or more"
    return Rows(
        number,
        checked(times(buffer, *column(table.time)), table.time, time),
        checked(wholes(buffer, *column(table.input)), table.input, tokens),
        checked(wholes(buffer, *column(table.output)), table.output, tokens),
    )


def wholes(buffer: Bytes, start: Integers, end: Integers) -> tuple[Integers, Flags]:
    """Read numbers of digits alone; returns values and which of them are such numbers."""
    width = end - start
    good = (width > 0) & (width <= LONGEST)
    value = np.zeros(len(start), np.int64)
    for k in range(min(int(width.max(initial=0)), LONGEST)):
        inside = k < width
        digit = buffer[np.minimum(start + k, len(buffer) - 1)] - np.uint8(ZERO)
        good &= ~inside | (digit <= 9)
        value = np.where(inside, value * 10 + digit, value)
    return value, good


def decimals(buffer: Bytes, start: Integers, end: Integers) -> tuple[Integers, Flags]:
    """Read numbers with or without a fraction, times 1e9; digits after the ninth are dropped."""
    dots = np.append(np.flatnonzero(buffer == DOT), len(buffer))
    dot = np.minimum(dots[np.searchsorted(dots, start)], end)
    value, good = wholes(buffer, start, dot)
    good &= (end - dot != 1) & (value < 9_000_000_000)
    fraction = np.zeros(len(start), np.int64)
    for k in range(1, 10):
        inside = dot + k < end
        digit = buffer[np.minimum(dot + k, len(buffer) - 1)] - np.uint8(ZERO)
        good &= ~inside | (digit <= 9)
        fraction = fraction * 10 + np.where(inside, digit, 0)
    return value * NANOSECONDS + fraction, good


def stamps(buffer: Bytes, start: Integers, end: Integers) -> tuple[Integers, Flags]:
    """Read dates ``YYYY-MM-DD HH:MM:SS[.fraction][Z|+HH:MM]`` as nanoseconds from 1970; UTC by default."""
    last = len(buffer) - 1
    width = end - start
    good = width >= 19
    at = np.minimum(start, max(last - 18, 0))

    def pair(place: int, base: Integers = at) -> Integers:
        nonlocal good
        value, digits = wholes(buffer, base + place, base + place + 2)
        good &= digits
        return value

    if last < 18:
        return np.zeros(len(start), np.int64), np.zeros(len(start), np.bool_)
    for place, marks in ((4, "-"), (7, "-"), (10, " T"), (13, ":"), (16, ":")):
        good &= np.isin(buffer[at + place], [ord(mark) for mark in marks])
    year, month, day = pair(0) * 100 + pair(2), pair(5), pair(8)
    hour, minute = pair(11), pair(14)
    zulu = buffer[end - 1] == ord("Z")
    sign_at = np.maximum(end - 6, at)
    sign = buffer[sign_at]
    offset_given = (width >= 25) & ((sign == ord("+")) | (sign == ord("-")))
    zone = np.where(offset_given, sign_at, np.where(zulu, end - 1, end))
    second, digits = decimals(buffer, np.minimum(at + 17, zone), zone)
    good &= digits & (second < 61 * NANOSECONDS)
    offset = np.zeros(len(start), np.int64)
    if offset_given.any():
        rows = np.flatnonzero(offset_given)
        base = sign_at[rows]
        (hours, one), (minutes, two) = (wholes(buffer, base + k, base + k + 2) for k in (1, 4))
        good[rows] &= one & two
        offset[rows] = np.where(sign[rows] == ord("-"), -1, 1) * (hours * 60 + minutes)
    good &= (month >= 1) & (month <= 12) & (day >= 1) & (day <= 31) & (hour <= 23) & (minute <= 59)
    good &= (year >= 1900) & (year <= 2200)
    minutes_of = (days_from_1970(year, month, day) * 24 + hour) * 60 + minute - offset
    return minutes_of * 60 * NANOSECONDS + second, good


def days_from_1970(year: Integers, month: Integers, day: Integers) -> Integers:
    """Days of the Gregorian calendar, counted in years that begin in March.

    Examples
    --------
    >>> int(days_from_1970(np.array(2024), np.array(5), np.array(10)))
    19853
    """
    y = year - (month <= 2)
    of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    return y * 365 + y // 4 - y // 100 + y // 400 + of_year - 719468

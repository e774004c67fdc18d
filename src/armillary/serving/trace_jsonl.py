"""Requests of JSONL files: one object a line."""

from __future__ import annotations

import json
from itertools import chain
from math import isfinite
from typing import Any

import numpy as np

from armillary.serving.trace_rows import LINES, Integers, Lines, Rows, known_formats, refuse


def lines_of(path: str, line: int, first: str) -> Lines:
    """Recognise a format by its first line."""
    keys = _record(path, line, first)
    near = []
    for lines in LINES:
        missing = [key for key in lines.keys if key not in keys]
        if not missing:
            return lines
        if "input_length" in keys:
            near.append((len(missing), lines.name, missing))
    if near:
        _, name, missing = min(near)
        refuse(path, line, f"the keys are of format {name}, but lack {', '.join(map(repr, missing))}")
    refuse(path, line, f"unknown format {first[:60]!r}; known are {known_formats()}")


def line_rows(path: str, lines: Lines, text: bytes, line: int) -> Rows:
    """Read whole lines of a file, of which the first is number `line`."""
    every = text.decode("utf-8", errors="replace").split("\n")
    numbered = [(line + i, one) for i, one in enumerate(every) if one.strip()]
    records = _records(path, numbered)
    number = np.array([n for n, _ in numbered], np.int64)

    def column(key: str, kinds: set[type], right: str) -> list[Any]:
        try:
            values = [record[key] for record in records]
        except KeyError:
            row = next(i for i, record in enumerate(records) if key not in record)
            refuse(path, int(number[row]), f"no {key!r}; format {lines.name} has {', '.join(lines.keys)}")
        if not set(map(type, values)) <= kinds:
            row = next(i for i, value in enumerate(values) if type(value) not in kinds)
            refuse(path, int(number[row]), f"{key} is {_short(values[row])}; expected {right}")
        return values

    def counts(key: str) -> Integers:
        values = column(key, {int}, "a whole number of tokens, 0 or more")
        if any(outside := [not 0 <= value < 10**10 for value in values]):
            row = outside.index(True)
            right = "a whole number of tokens, 0 or more"
            refuse(path, int(number[row]), f"{key} is {values[row]}; expected {right}")
        return np.array(values, np.int64)

    stamp_form = "milliseconds" if lines.name == "mooncake" else "seconds"
    stamp = column("timestamp", {int, float}, f"a number of {stamp_form}")
    for row, value in enumerate(stamp):
        if not (isfinite(value) and abs(value) * lines.unit < 9e18):
            refuse(path, int(number[row]), f"timestamp is {value}; expected a number of {stamp_form}")
    time = [value * lines.unit if type(value) is int else round(value * lines.unit) for value in stamp]
    blocks = column("hash_ids", {list}, "a list of whole numbers")
    offsets = np.concatenate(([0], np.cumsum([len(ids) for ids in blocks], dtype=np.int64)))
    return Rows(
        number,
        np.array(time, np.int64),
        counts("input_length"),
        counts("output_length"),
        offsets,
        _ids(path, number, blocks),
        np.array(column("chat_id", {int}, "a whole number"), np.int64) if lines.chat else None,
    )


def _ids(path: str, number: Integers, blocks: list[list[Any]]) -> Integers:
    flat = list(chain.from_iterable(blocks))
    if set(map(type, flat)) <= {int}:
        try:
            return np.array(flat, np.int64)
        except OverflowError:
            pass
    for row, ids in enumerate(blocks):
        for one in ids:
            if type(one) is not int or not -(2**63) <= one < 2**63:
                right = "expected whole numbers below 2**63"
                refuse(path, int(number[row]), f"hash_ids holds {_short(one)}; {right}")
    raise AssertionError("no row is wrong")


def _records(path: str, numbered: list[tuple[int, str]]) -> list[dict[str, Any]]:
    try:
        records: list[Any] = json.loads(f"[{','.join(one for _, one in numbered)}]")
    except ValueError:
        records = []
    if len(records) != len(numbered) or not set(map(type, records)) <= {dict}:
        return [_record(path, line, one) for line, one in numbered]
    return records


def _record(path: str, line: int, text: str) -> dict[str, Any]:
    try:
        record = json.loads(text)
    except ValueError as error:
        refuse(path, line, f"not JSON ({error}); expected one object a line")
    if not isinstance(record, dict):
        refuse(path, line, f"{_short(record)} is not an object; expected one object a line")
    return record


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:37]}..."

"""`Trace`: requests as they arrived, read from the published formats, whole or in pieces."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable, Iterator
from os import PathLike, fspath
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from armillary.errors import InputError
from armillary.serving.trace_csv import table_of, table_rows
from armillary.serving.trace_jsonl import line_rows, lines_of
from armillary.serving.trace_rows import NANOSECONDS, Integers, Lines, Rows, known_formats, refuse

Floats = NDArray[np.float64]

CHUNK = 1 << 20
"""Read at a time. [byte]"""


class Blocks(NamedTuple):
    """Blocks of input tokens by request: equal ids hold equal tokens after equal blocks.

    offsets : `[request + 1]` into `ids` [-]. ids : `[block]` [-].
    """

    offsets: Integers
    ids: Integers


class Trace(NamedTuple):
    """Requests in order of arrival.

    arrival : `[request]` from the first request, equal times are usual [s].
    input, output : `[request]` 1 or more [token].
    blocks : of the input, or None where the format says nothing of what requests share.
    block_size : of a block, of which the last of a request may hold less; 0 without blocks [token].
    source : name of the format.
    skipped : requests left out because their input or output is 0, which is how failures are kept [-].
    """

    arrival: Floats
    input: Integers
    output: Integers
    blocks: Blocks | None
    block_size: int
    source: str
    skipped: int = 0

    @property
    def requests(self) -> int:
        """How many [-]."""
        return len(self.arrival)


def read(path: str | PathLike[str], *, block_size: int | None = None, sort: bool = False) -> Trace:
    """Read a whole trace; the format is recognised by the first line, gzip by the first bytes.

    Parameters
    ----------
    path : str or path
        Of Azure, BurstGPT (CSV), Mooncake or Bailian (JSONL).
    block_size : int, optional
        Of ``hash_ids``, where it is not the published one. [token]
    sort : bool
        Order requests that are not in order of arrival; else they are an error.

    Raises
    ------
    InputError
        With file and line, what is wrong and what would be right.
    """
    return concatenate(_chunks(fspath(path), block_size, CHUNK, ordered=not sort), sort=sort)


def chunks(
    path: str | PathLike[str], *, block_size: int | None = None, chunk: int = CHUNK
) -> Iterator[Trace]:
    """Read a trace in pieces of about `chunk` bytes; arrivals count from the first request of the file."""
    return _chunks(fspath(path), block_size, chunk, ordered=True)


def concatenate(traces: Iterable[Trace], *, sort: bool = False) -> Trace:
    """Join pieces of one trace; `sort` orders them by arrival, equal ones as they came."""
    pieces = list(traces)
    if not pieces:
        raise InputError("no traces to join; expected one or more")
    first = pieces[0]
    alike = {(one.source, one.block_size, one.blocks is None) for one in pieces}
    if len(alike) > 1:
        raise InputError(f"traces of one format and block size can be joined, got {sorted(alike)}")
    blocks = None
    if first.blocks is not None:
        held = [one.blocks for one in pieces if one.blocks is not None]
        counts = np.concatenate([np.diff(one.offsets) for one in held])
        blocks = Blocks(_offsets(counts), np.concatenate([one.ids for one in held]))
    whole = Trace(
        np.concatenate([one.arrival for one in pieces]),
        np.concatenate([one.input for one in pieces]),
        np.concatenate([one.output for one in pieces]),
        blocks,
        first.block_size,
        first.source,
        sum(one.skipped for one in pieces),
    )
    if not sort:
        return whole
    order = np.argsort(whole.arrival, kind="stable")
    return take(whole, order)._replace(arrival=whole.arrival[order] - whole.arrival.min())


def take(trace: Trace, rows: NDArray[np.int64] | NDArray[np.bool_]) -> Trace:
    """Keep some requests, in the order of `rows`, which is a mask or indices; arrivals stay as they are."""
    index = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows.astype(np.int64)
    blocks = None
    if trace.blocks is not None:
        blocks = _taken(trace.blocks, index)
    return trace._replace(
        arrival=trace.arrival[index], input=trace.input[index], output=trace.output[index], blocks=blocks
    )


def check_context(trace: Trace, limit: int, path: str | PathLike[str] | None = None) -> None:
    """Refuse requests whose input and output do not fit into a context of `limit` tokens.

    path : of the file that the whole trace was read from in its order, so that an error names the line.

    Raises
    ------
    InputError
        Naming the first such request, with file and line where the file is given, and how many there are.
    """
    over = trace.input + trace.output > limit
    if over.any():
        row = int(over.argmax())
        place = f"request {row + 1} of the {trace.source} trace"
        if path is not None:
            place = f"{fspath(path)}:{_line(fspath(path), row)}: the request"
        raise InputError(
            f"{place} has {trace.input[row]} + {trace.output[row]} tokens, more than the context of "
            f"{limit}; so have {int(over.sum())} of {trace.requests} requests; "
            f"leave them out or take a model with a longer context"
        )


def write(trace: Trace, path: str | PathLike[str]) -> None:
    """Write a trace: JSONL of Mooncake where it has blocks, else CSV with three columns of BurstGPT.

    Times keep nanoseconds; gzip where the name ends with ``.gz``. A block size that is not 512 has to be said
    to `read`.
    """
    time = np.rint(trace.arrival * NANOSECONDS).astype(np.int64)
    rows = zip(time.tolist(), trace.input.tolist(), trace.output.tolist(), strict=True)
    if trace.blocks is None:
        lines = ["Timestamp,Request tokens,Response tokens"]
        lines += [f"{t // NANOSECONDS}.{t % NANOSECONDS:09d},{i},{o}" for t, i, o in rows]
    else:
        edge, ids = trace.blocks.offsets.tolist(), trace.blocks.ids.tolist()
        lines = []
        for row, (t, i, o) in enumerate(rows):
            stamp = t // 10**6 if t % 10**6 == 0 else t / 10**6
            head = f'{{"timestamp": {stamp}, "input_length": {i}, "output_length": {o}, '
            lines.append(f'{head}"hash_ids": {ids[edge[row] : edge[row + 1]]}}}')
    text = ("\n".join(lines) + "\n").encode()
    Path(path).write_bytes(gzip.compress(text, mtime=0) if fspath(path).endswith(".gz") else text)


def _chunks(path: str, block_size: int | None, chunk: int, ordered: bool) -> Iterator[Trace]:
    if block_size is not None and block_size < 1:
        raise InputError(f"block_size is {block_size}; expected 1 or more tokens")
    if chunk < 1:
        raise InputError(f"chunk is {chunk}; expected 1 or more bytes")
    origin = latest = None
    found = 0
    seen: set[int] = set()
    for source, size, rows in _rows(path, chunk):
        found += len(rows.line)
        if not len(rows.line):
            continue
        if rows.chat is not None:
            _check_chats(path, rows.line, rows.chat, seen)
        if ordered:
            _check_order(path, rows, rows.time[0] if latest is None else latest)
            latest = int(rows.time[-1])
        size = size if block_size is None else block_size
        if rows.offsets is not None:
            _check_blocks(path, rows, size)
        keep = np.flatnonzero((rows.input > 0) & (rows.output > 0))
        if origin is None and len(keep):
            origin = int(rows.time[keep[0]])
        blocks = None
        if rows.offsets is not None and rows.ids is not None:
            blocks = _taken(Blocks(rows.offsets, rows.ids), keep)
        yield Trace(
            (rows.time[keep] - (origin or 0)) / NANOSECONDS,
            rows.input[keep],
            rows.output[keep],
            blocks,
            size if blocks is not None else 0,
            source,
            len(rows.line) - len(keep),
        )
    if origin is None:
        raise InputError(
            f"{path}: all of its {found} requests have an input or output of 0; expected one that has neither"
            if found
            else f"{path}: no requests; expected lines of a known format: {known_formats()}"
        )


def _rows(path: str, chunk: int) -> Iterator[tuple[str, int, Rows]]:
    """Name of the format, its block size, and the requests of each piece of whole lines."""
    line = 1
    pieces = _pieces(path, chunk)
    text = next(pieces, b"").removeprefix(b"\xef\xbb\xbf")
    while text and not text.strip():
        line, text = line + text.count(b"\n"), next(pieces, b"")
    blank = len(text) - len(text.lstrip(b"\r\n"))
    line, text = line + text[:blank].count(b"\n"), text[blank:]
    first, _, rest = text.partition(b"\n")
    if not first:
        return
    head = first.decode("utf-8", errors="replace").strip()
    if head.startswith("{"):
        lines: Lines = lines_of(path, line, head)
        while text:
            yield lines.name, lines.block_size, line_rows(path, lines, text, line)
            line, text = line + text.count(b"\n"), next(pieces, b"")
        return
    table, columns = table_of(path, line, head)
    line, text = line + 1, rest
    while True:
        if text:
            yield table.name, 0, table_rows(path, table, columns, text, line)
        line, text = line + text.count(b"\n"), next(pieces, b"")
        if not text:
            return


def _line(path: str, row: int) -> int:
    """Line of a request of a trace."""
    for _, _, rows in _rows(path, CHUNK):
        lines = rows.line[(rows.input > 0) & (rows.output > 0)]
        if row < len(lines):
            return int(lines[row])
        row -= len(lines)
    raise InputError(f"{path}: has fewer requests than were read; expected a file that does not change")


def _pieces(path: str, chunk: int) -> Iterator[bytes]:
    """Whole lines, at least `chunk` bytes at a time; the last line gets its end if it has none."""
    try:
        with open(path, "rb") as plain:
            packed = plain.read(2) == b"\x1f\x8b"
            plain.seek(0)
            stream: BinaryIO | gzip.GzipFile = gzip.GzipFile(fileobj=plain) if packed else plain
            left = b""
            while block := stream.read(chunk):
                whole, mark, tail = block.rpartition(b"\n")
                if mark:
                    yield left + whole + mark
                    left = tail
                else:
                    left += block
            if left:
                yield left + b"\n"
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{path}: cannot be read: {reason}; expected a trace, plain or gzip") from error


def _check_order(path: str, rows: Rows, latest: int) -> None:
    back = np.diff(rows.time, prepend=latest) < 0
    if back.any():
        row = int(back.argmax())
        late = (rows.time[row - 1] if row else latest) - rows.time[row]
        refuse(
            path,
            int(rows.line[row]),
            f"arrives {late / NANOSECONDS:g} s before the request above; "
            f"expected requests in order of arrival; sort the lines by time, "
            f"or read them in Python with read(..., sort=True)",
        )


def _check_blocks(path: str, rows: Rows, size: int) -> None:
    assert rows.offsets is not None
    held, right = np.diff(rows.offsets), -(-rows.input // size)
    if (wrong := held != right).any():
        row = int(wrong.argmax())
        refuse(
            path,
            int(rows.line[row]),
            f"{held[row]} hash_ids, but an input of {rows.input[row]} tokens has {right[row]} blocks "
            f"of {size}; if blocks have another size, "
            f"read them in Python with read(..., block_size=...)",
        )


def _check_chats(path: str, line: Integers, chat: Integers, seen: set[int]) -> None:
    for number, name in zip(line.tolist(), chat.tolist(), strict=True):
        if name in seen:
            refuse(path, number, f"chat_id {name} is there already above; expected one line a request")
        seen.add(name)


def _offsets(counts: Integers) -> Integers:
    return np.concatenate(([0], np.cumsum(counts))).astype(np.int64)


def _taken(blocks: Blocks, index: Integers) -> Blocks:
    """Blocks of some requests, in that order."""
    counts = np.diff(blocks.offsets)[index]
    offsets = _offsets(counts)
    shift = np.repeat(blocks.offsets[index] - offsets[:-1], counts)
    return Blocks(offsets, blocks.ids[np.arange(offsets[-1]) + shift])

"""`Rows`: what a file of requests says, before it is checked; the published formats and their columns."""

from __future__ import annotations

from typing import NamedTuple, NoReturn

import numpy as np
from numpy.typing import NDArray

from armillary.errors import InputError

Integers = NDArray[np.int64]
Bytes = NDArray[np.uint8]

NANOSECONDS = 1_000_000_000
"""In a second: times of files are whole nanoseconds until they are arrivals. [1/s]"""


class Rows(NamedTuple):
    """Requests of one piece of a file.

    line : `[row]` in the file, from 1 [-]. time : `[row]` on the clock of the file [ns].
    input, output : `[row]` [token].
    offsets : `[row + 1]` into `ids`, or None. ids : `[block]` names of blocks of tokens, or None.
    chat : `[row]` names of requests that must not repeat, or None.
    """

    line: Integers
    time: Integers
    input: Integers
    output: Integers
    offsets: Integers | None = None
    ids: Integers | None = None
    chat: Integers | None = None


class Table(NamedTuple):
    """A published CSV format: its columns, of which others may follow in any order.

    stamped : True where times are dates, False where they are seconds.
    """

    name: str
    time: str
    input: str
    output: str
    stamped: bool

    @property
    def columns(self) -> tuple[str, str, str]:
        """What a header must hold."""
        return self.time, self.input, self.output


class Lines(NamedTuple):
    """A published JSONL format: its keys. unit : of times [ns]. block_size : of `hash_ids` [token]."""

    name: str
    keys: tuple[str, ...]
    unit: int
    block_size: int
    chat: bool


TABLES = (
    Table("azure", "TIMESTAMP", "ContextTokens", "GeneratedTokens", stamped=True),
    Table("burstgpt", "Timestamp", "Request tokens", "Response tokens", stamped=False),
)
"""Azure 2023 and 2024 (AzurePublicDataset), which differ in how dates are written; BurstGPT, of which version
2 adds ``Session ID`` and ``Elapsed time``."""

LENGTHS = ("timestamp", "input_length", "output_length", "hash_ids")
LINES = (
    Lines("bailian", ("chat_id", "parent_chat_id", *LENGTHS), NANOSECONDS, 16, chat=True),
    Lines("mooncake", LENGTHS, NANOSECONDS // 1000, 512, chat=False),
)
"""Mooncake (kvcache-ai/Mooncake, times in ms); Bailian (alibaba-edu/qwen-bailian-usagetraces-anon, in s)."""


def known_formats() -> str:
    """Return all formats with what they must hold, for messages."""
    tables = [f"{t.name} (CSV with {', '.join(t.columns)})" for t in TABLES]
    lines = [f"{s.name} (JSONL with {', '.join(s.keys)})" for s in reversed(LINES)]
    return "; ".join(tables + lines)


def refuse(path: str, line: int, problem: str) -> NoReturn:
    """Raise `InputError` with the place."""
    raise InputError(f"{path}:{line}: {problem}")

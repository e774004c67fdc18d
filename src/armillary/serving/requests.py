"""Requests to a fleet, as arrays with one entry a request, in order of arrival."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from armillary.errors import InputError

__all__ = ["Requests", "checked_requests"]


class Requests(NamedTuple):
    """What users ask, and when.

    arrival : `[request]`, rising [s]. input, output : `[request]` prompt and answer, 1 or more [token].
    model, region : `[request]` numbers of what is asked for and from where; 0 by default.
    priority : `[request]` lower goes first; 0 by default.
    timeout : `[request]` after its arrival, infinite where users never give up, the default [s].
    block_offsets, block_ids : ``block_ids[block_offsets[i]:block_offsets[i + 1]]`` name the leading blocks
    of prompt i, numbers from 0 that are the same where all tokens up to the block's end are.
    block_size : tokens of a prefix block [token].
    """

    arrival: ArrayLike
    input: ArrayLike
    output: ArrayLike
    model: ArrayLike | None = None
    region: ArrayLike | None = None
    priority: ArrayLike | None = None
    timeout: ArrayLike | None = None
    block_offsets: ArrayLike | None = None
    block_ids: ArrayLike | None = None
    block_size: int = 512

    def take(self, which: Any) -> Requests:
        """Requests `which` names by a mask, a slice or rising numbers."""
        offsets, ids = self.block_offsets, self.block_ids
        if offsets is not None and ids is not None:
            begin = np.asarray(offsets)[:-1][which]
            size = np.diff(np.asarray(offsets))[which]
            offsets = np.concatenate([[0], np.cumsum(size)])
            ids = np.asarray(ids)[np.repeat(begin - offsets[:-1], size) + np.arange(offsets[-1])]
        parts: dict[str, Any] = {
            name: None if part is None else np.asarray(part)[which]
            for name, part in zip(self._fields[:7], self[:7], strict=True)
        }
        return self._replace(**parts, block_offsets=offsets, block_ids=ids)


def checked_requests(requests: Requests) -> Requests:
    """Requests as arrays of the types that kernels take.

    Raises
    ------
    InputError
        Naming the first request whose entry is wrong.
    """
    arrival = np.ascontiguousarray(requests.arrival, float)
    n = len(arrival)
    _refuse(~np.isfinite(arrival), arrival, "arrival", "finite")
    _refuse(np.diff(arrival, prepend=arrival[:1]) < 0, arrival, "arrival", "at or after the one before")
    _refuse(arrival < 0, arrival, "arrival", "0 or more")
    parts: list[NDArray[Any] | None] = [arrival]
    for name, least in (("input", 1), ("output", 1), ("model", 0), ("region", 0), ("priority", None)):
        given = getattr(requests, name)
        parts.append(None if given is None else _whole(given, n, name, least))
    timeout = None
    if requests.timeout is not None:
        timeout = _shaped(np.ascontiguousarray(requests.timeout, float), n, "timeout")
        _refuse(~(timeout > 0), timeout, "timeout", "above 0")
    offsets, ids = requests.block_offsets, requests.block_ids
    if (offsets is None) != (ids is None):
        raise InputError("block_offsets and block_ids of requests must be given together")
    if offsets is not None and ids is not None:
        offsets, ids = np.ascontiguousarray(offsets, np.int64), np.ascontiguousarray(ids, np.int64)
        rises = len(offsets) == n + 1 and offsets[0] == 0 and (np.diff(offsets) >= 0).all()
        if not rises or offsets[-1] != len(ids):
            raise InputError(f"block_offsets must be {n + 1} numbers that rise from 0 to {len(ids)}")
        if len(ids) and ids.min() < 0:
            raise InputError(f"block_ids must be 0 or more. Got {ids.min()} instead.")
        if requests.block_size < 1 or int(requests.block_size) != requests.block_size:
            raise InputError(
                f"block_size must be a whole number from 1. Got {requests.block_size!r} instead."
            )
    a, i, o, m, r, p = parts
    assert a is not None
    assert i is not None
    assert o is not None
    return Requests(a, i, o, m, r, p, timeout, offsets, ids, int(requests.block_size))


def _shaped(values: NDArray[Any], n: int, name: str) -> NDArray[Any]:
    if values.shape != (n,):
        raise InputError(f"{name} of requests has shape {values.shape}; there are {n} arrivals")
    return values


def _whole(given: ArrayLike, n: int, name: str, least: int | None) -> NDArray[np.int64]:
    values = _shaped(np.asarray(given), n, name)
    if values.dtype.kind not in "iu":
        _refuse(values != np.floor(values), values, name, "a whole number")
    if least is not None:
        _refuse(~(values >= least), values, name, f"{least} or more")
    _refuse(np.abs(values) > 2**31 - 1, values, name, "less than 2^31")
    return np.ascontiguousarray(values, np.int64)


def _refuse(wrong: NDArray[np.bool_], values: NDArray[Any], name: str, right: str) -> None:
    if wrong.any():
        at = int(np.argmax(wrong))
        raise InputError(f"{name} of request {at} must be {right}. Got {values[at]!s} instead.")

"""Prefix blocks that a replica keeps: which leading ones of a prompt are there, least recently used go first.

A block is in use (pinned) by running sequences, idle on the device in KV that nothing else needs, or idle in
host memory. Pinned blocks count once in KV held, however many sequences share them. What is idle on the
device makes way for sequences and goes to the host, if that has room for any.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from armillary.serving.compiled import kernel

NODE = np.dtype(
    [("block", "i8"), ("users", "i4"), ("tier", "i4"), ("older", "i4"), ("newer", "i4")], align=True
)
IDLE_BLOCKS = np.dtype([("oldest", "i4"), ("newest", "i4"), ("count", "i4"), ("most", "i4")])
PINNED, DEVICE, HOST = 0, 1, 2


class Cache(NamedTuple):
    """Blocks of all replicas.

    node : `[replica, node]`. find : `[replica, 2^k]` node of a block, -1 where empty, by open addressing.
    idle : `[replica, 3]` lists of idle blocks by tier; row 0 chains free nodes.
    """

    node: NDArray[Any]
    find: NDArray[np.int32]
    idle: NDArray[Any]


def empty_cache(device_blocks: NDArray[np.int64], host_blocks: NDArray[np.int64], widest: int) -> Cache:
    """A cache without blocks for replicas that can hold so many of them."""
    replicas = len(device_blocks)
    nodes = int((device_blocks + host_blocks).max()) + widest + 4
    node = np.zeros((replicas, nodes), NODE)
    node["newer"] = np.arange(1, nodes + 1)
    node["newer"][:, -1] = -1
    find = np.full((replicas, 1 << int(2 * nodes - 1).bit_length()), -1, np.int32)
    idle = np.zeros((replicas, 3), IDLE_BLOCKS)
    idle["oldest"] = idle["newest"] = -1
    idle["oldest"][:, 0] = 0
    idle["most"][:, HOST] = host_blocks
    return Cache(node, find, idle)


@kernel
def _home(block: int, size: int) -> Any:
    mixed = np.uint64(block) * np.uint64(0x9E3779B97F4A7C15)
    mixed ^= mixed >> np.uint64(29)
    return np.int64(mixed & np.uint64(size - 1))


@kernel
def find_block(node: Any, find: Any, block: int) -> Any:
    """Node of a block, -1 if it is not there."""
    size = len(find)
    at = _home(block, size)
    while find[at] >= 0:
        if node[find[at]].block == block:
            return find[at]
        at = (at + 1) & (size - 1)
    return -1


@kernel
def _forget(node: Any, find: Any, idle: Any, which: int) -> None:
    size = len(find)
    at = _home(node[which].block, size)
    while find[at] != which:
        at = (at + 1) & (size - 1)
    hole = at
    while True:
        at = (at + 1) & (size - 1)
        if find[at] < 0:
            break
        home = _home(node[find[at]].block, size)
        if ((at - home) & (size - 1)) >= ((at - hole) & (size - 1)):
            find[hole] = find[at]
            hole = at
    find[hole] = -1
    node[which].newer = idle[0].oldest
    idle[0].oldest = which


@kernel
def _unlink(node: Any, idle: Any, which: int) -> None:
    ends = idle[node[which].tier]
    older, newer = node[which].older, node[which].newer
    if older >= 0:
        node[older].newer = newer
    else:
        ends.oldest = newer
    if newer >= 0:
        node[newer].older = older
    else:
        ends.newest = older
    ends.count -= 1


@kernel
def _append(node: Any, idle: Any, which: int, tier: int) -> None:
    ends = idle[tier]
    node[which].tier = tier
    node[which].older = ends.newest
    node[which].newer = -1
    if ends.newest >= 0:
        node[ends.newest].newer = which
    else:
        ends.oldest = which
    ends.newest = which
    ends.count += 1


@kernel
def count_hits(cache: Any, blocks: Any, length: int, replica: int, block: int) -> tuple[int, int, int]:
    """Leading blocks of a prompt that are there, of them those not pinned, and of these those on the host.

    At least the last token of a prompt is computed, so that not all of it can be hits.
    """
    node, find = cache.node[replica], cache.find[replica]
    hits, loose, host = 0, 0, 0
    for i in range(min(len(blocks), (length - 1) // block)):
        if blocks[i] < 0:
            break
        which = find_block(node, find, blocks[i])
        if which < 0:
            break
        hits += 1
        loose += node[which].tier != PINNED
        host += node[which].tier == HOST
    return hits, loose, host


@kernel
def pin_hits(cache: Any, blocks: Any, hits: int, replica: int, x: Any, block: int) -> None:
    """Let one more sequence use the first `hits` blocks of its prompt."""
    node, find, idle = cache.node[replica], cache.find[replica], cache.idle[replica]
    for i in range(hits):
        which = find_block(node, find, blocks[i])
        if node[which].tier != PINNED:
            _unlink(node, idle, which)
            node[which].tier = PINNED
            node[which].users = 0
            x.pinned += 1
            x.held += block
        node[which].users += 1


@kernel
def pin_prompt(cache: Any, blocks: Any, q: Any, replica: int, x: Any, block: int) -> None:
    """Store the whole blocks of a computed prompt, for its sequence to share with others from now on."""
    node, find, idle = cache.node[replica], cache.find[replica], cache.idle[replica]
    for i in range(q.stored, min(len(blocks), q.input // block)):
        if blocks[i] < 0:
            break
        which = find_block(node, find, blocks[i])
        if which < 0:
            which = idle[0].oldest
            idle[0].oldest = node[which].newer
            node[which].block = blocks[i]
            node[which].users = 0
            node[which].tier = PINNED
            size = len(find)
            at = _home(blocks[i], size)
            while find[at] >= 0:
                at = (at + 1) & (size - 1)
            find[at] = which
            x.pinned += 1
            x.held += block
        elif node[which].tier != PINNED:
            _unlink(node, idle, which)
            node[which].tier = PINNED
            node[which].users = 0
            x.pinned += 1
            x.held += block
        node[which].users += 1
        q.held -= block
        x.held -= block
        q.stored += 1


@kernel
def unpin(cache: Any, blocks: Any, stored: int, replica: int, x: Any, block: int) -> None:
    """End the use of a sequence's blocks; the last of them become idle first, as they are of least use."""
    node, find, idle = cache.node[replica], cache.find[replica], cache.idle[replica]
    for i in range(stored - 1, -1, -1):
        which = find_block(node, find, blocks[i])
        node[which].users -= 1
        if node[which].users == 0:
            x.pinned -= 1
            x.held -= block
            _append(node, idle, which, DEVICE)


@kernel
def trim(cache: Any, replica: int, x: Any, kv_tokens: float, block: int) -> None:
    """Move idle blocks off the device, or drop them, until they fit what KV is not held."""
    trim_to(cache, replica, x.held, kv_tokens, block)


@kernel
def trim_to(cache: Any, replica: int, held: float, kv_tokens: float, block: int) -> None:
    """The same where so much KV is held [token]."""
    node, find, idle = cache.node[replica], cache.find[replica], cache.idle[replica]
    most = int(np.floor((kv_tokens - held) / block))
    while idle[DEVICE].count > 0 and idle[DEVICE].count > most:
        which = idle[DEVICE].oldest
        _unlink(node, idle, which)
        if idle[HOST].most > 0:
            _append(node, idle, which, HOST)
            if idle[HOST].count > idle[HOST].most:
                oldest = idle[HOST].oldest
                _unlink(node, idle, oldest)
                _forget(node, find, idle, oldest)
        else:
            _forget(node, find, idle, which)


@kernel
def drop_all(cache: Any, replica: int) -> None:
    """Lose all blocks of a replica that has none in use, as when it fails."""
    node, find, idle = cache.node[replica], cache.find[replica], cache.idle[replica]
    for tier in (DEVICE, HOST):
        while idle[tier].count > 0:
            which = idle[tier].oldest
            _unlink(node, idle, which)
            _forget(node, find, idle, which)

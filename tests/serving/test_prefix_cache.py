"""The prefix cache against a dictionary in order of use."""

from collections import OrderedDict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_fleet import ENGINE

from armillary.serving.deployment import Pool
from armillary.serving.requests import Requests
from armillary.serving.simulator import simulate

BLOCK = 16


def chats(seed, n):
    """Prompts of a few families that share their beginnings, one at a time."""
    rng = np.random.default_rng(seed)
    inputs, ids = rng.integers(1, 300, n), []
    for i, tokens in enumerate(inputs):
        blocks = -(-tokens // BLOCK)
        shared = rng.integers(0, blocks + 1)
        family = rng.integers(0, 6)
        ids.append([family * 100 + k if k < shared else 10_000 * (i + 1) + k for k in range(blocks)])
    return inputs, ids


def expected(inputs, outputs, ids, device_tokens, host_blocks):
    """Tokens of each prompt that a least-recently-used cache has, requests one after another."""
    device, host, hits = OrderedDict(), OrderedDict(), []

    def trim(room):
        while len(device) > room:
            block = device.popitem(last=False)[0]
            if host_blocks:
                host[block] = None
                if len(host) > host_blocks:
                    host.popitem(last=False)

    for tokens, output, blocks in zip(inputs, outputs, ids, strict=True):
        count = 0
        for block in blocks[: (tokens - 1) // BLOCK]:
            if block not in device and block not in host:
                break
            count += 1
        hits.append(count * BLOCK)
        for block in blocks[:count]:
            device.pop(block, None)
            host.pop(block, None)
        trim((device_tokens - tokens - 1) // BLOCK)
        mine = blocks[: tokens // BLOCK]
        for block in mine:
            device.pop(block, None)
            host.pop(block, None)
        trim(
            (device_tokens - tokens - output) // BLOCK
            if output > 1
            else (device_tokens - tokens - 1) // BLOCK
        )
        for block in reversed(mine):
            device[block] = None
    return hits


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**20), st.sampled_from([0, 3, 40]), st.sampled_from([400, 700]))
def test_hits_are_those_of_a_least_recently_used_cache(seed, host_blocks, kv_tokens):
    inputs, ids = chats(seed, 60)
    outputs = np.random.default_rng(seed).integers(1, 50, 60)
    requests = Requests(
        10.0 * np.arange(60),
        inputs,
        outputs,
        block_offsets=np.concatenate([[0], np.cumsum([len(i) for i in ids])]),
        block_ids=np.concatenate(ids),
        block_size=BLOCK,
    )
    pool = Pool(ENGINE._replace(kv_tokens=kv_tokens))
    found = simulate(requests, pool, host_tokens=host_blocks * BLOCK)
    assert found.counts.completed == 60
    assert found.cached.tolist() == expected(inputs, outputs, ids, kv_tokens, host_blocks)


@pytest.mark.parametrize("sharers", [2, 6])
def test_shared_blocks_are_held_once(sharers):
    """Sequences that share a prompt fit together where their sum would not."""
    n = sharers + 1
    requests = Requests(
        np.concatenate([[0.0], np.full(sharers, 1.0)]),
        np.full(n, 321),
        np.full(n, 10),
        block_offsets=20 * np.arange(n + 1),
        block_ids=np.tile(np.arange(20), n),
        block_size=BLOCK,
    )
    found = simulate(requests, Pool(ENGINE._replace(kv_tokens=450)))
    assert found.counts.preempted == 0
    assert np.ptp(found.first[1:]) == 0
    assert (found.cached[1:] == 320).all()


def test_nothing_to_serve():
    found = simulate(Requests([], [], []), Pool(ENGINE, 3))
    assert found.counts.requests == 0
    assert np.isnan(found.percentile("ttft", 50))
    assert found.goodput() == 0.0

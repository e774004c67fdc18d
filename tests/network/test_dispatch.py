"""Dispatch and combine: bytes by each way of sending, the time they take, the entries of the libraries."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from armillary.errors import InputError
from armillary.network import dispatch
from armillary.network.dispatch import Traffic, direct, exchange_time, forwarded, fp8_token, over_network
from armillary.network.dispatchers import (
    MODES,
    NETWORKS,
    choose,
    dispatcher,
    dispatcher_table,
    exchange,
)

counts = st.sampled_from([1, 2, 4, 8, 16, 32, 64, 128, 256])
sizes = st.floats(1.0, 1e5)


@given(counts, counts, sizes, st.integers(1, 16))
def test_direct_sends_every_copy_once(ranks, domain, size, copies):
    sent = direct(10, size, copies, ranks, domain)
    assert sent.total == pytest.approx(10 * size * copies)
    assert min(sent) >= 0
    assert (sent.outside == 0) == (ranks <= domain)


@given(counts, counts, sizes, st.integers(1, 16))
def test_forwarding_crosses_at_most_as_often_as_sending_directly(ranks, domain, size, copies):
    once = forwarded(10, size, copies, ranks, domain)
    every = direct(10, size, copies, ranks, domain)
    assert once.outside <= every.outside * (1 + 1e-9)
    assert once.total >= 10 * size * min(1, copies) - 1e-6  # the inside alone reaches each rank once


def test_bytes_of_forwarding_are_the_expected_picks():
    """Against picks drawn at random: 8 of 256 experts on 16 ranks in two nodes."""
    rng = np.random.default_rng(7)
    picks = rng.integers(0, 16, size=(200_000, 8))
    ranks = np.mean([len(set(row)) for row in picks[:20_000]])
    nodes = np.mean((picks < 8).any(axis=1)) + np.mean((picks >= 8).any(axis=1))
    sent = forwarded(tokens=1, size=1.0, copies=8, ranks=16, domain=8)
    assert sent.stays + sent.inside == pytest.approx(ranks, rel=5e-3)
    assert sent.outside == pytest.approx(nodes / 2, rel=5e-3)


def test_node_limited_routing_crosses_less():
    free = forwarded(4096, 7392.0, 8, 64, 8)
    limited = forwarded(4096, 7392.0, 8, 64, 8, groups=4)
    assert limited.outside / free.outside == pytest.approx(3.6 / 5.25, rel=1e-2)
    assert forwarded(4096, 7392.0, 8, 16, 8, groups=4) == forwarded(4096, 7392.0, 8, 16, 8)


def test_the_network_alone_carries_what_the_domain_did():
    sent = direct(128, 7392.0, 8, 8, 8)
    assert over_network(sent) == Traffic(sent.stays, 0.0, sent.inside)


def test_a_number_is_an_element_of_an_array():
    ranks = np.array([8, 16, 64])
    for function in (direct, forwarded):
        whole = function(128, 7392.0, 8, ranks, 8)
        for i, p in enumerate(ranks):
            assert [float(part[i]) for part in whole] == pytest.approx(
                [float(x) for x in function(128, 7392.0, 8, int(p), 8)]
            )


def test_the_slower_ring_decides_and_crossing_is_paid_where_anything_crosses():
    times = {
        "scale_up": 100.0,
        "scale_out": 10.0,
        "launch": 1.0,
        "crossing": 2.0,
        "peers": 4,
        "peer": 0.5,
        "messages": 3,
        "message": 1.0,
    }
    assert exchange_time(Traffic(0.0, 500.0, 0.0), **times) == 1 + 5
    assert exchange_time(Traffic(0.0, 500.0, 100.0), **times) == 1 + 2 + 4 * 0.5 + 3 + 10
    assert exchange_time(Traffic(0.0, 500.0, 20.0), **times) == 1 + 2 + 4 * 0.5 + 3 + 5


@pytest.mark.parametrize("name", dispatcher_table())
def test_every_entry_is_whole_and_says_where_it_is_from(name):
    entry = dispatcher(name)
    assert entry.algorithm in ("forwarded", "direct", "padded")
    assert entry.provenance.startswith(
        ("fitted", "assumed", "shares fitted", "takes", "launch", "scale_out_share")
    )
    assert 0.2 < entry.scale_out_share <= 1
    assert all(0.2 < share <= 1 for share in entry.scale_up_share.values())
    assert 0 <= entry.peer < 1e-4
    assert 0 <= entry.message < 1e-4


def test_entries_on_efa_without_rows_take_the_share_of_the_one_that_has_them():
    shares = {dispatcher(n).scale_out_share for n in dispatcher_table() if n.endswith("efa")}
    assert len(shares) == 1


@pytest.mark.parametrize("library", ["deepep", "uccl", "pplx-garden", "pplx", "nccl"])
def test_every_library_has_every_mode_on_every_network(library):
    for mode in MODES:
        for network in NETWORKS:
            assert choose(library, mode, network).startswith(library)


def test_slower_links_and_more_tokens_take_longer():
    def time(name, **changes):
        case = {
            "tokens": 512,
            "hidden": 7168,
            "copies": 8,
            "ranks": 64,
            "domain": 8,
            "scale_up": 450e9,
            "scale_out": 50e9,
        }
        return float(exchange(dispatcher(name), "combine", **(case | changes), memory_bandwidth=3e12).time)

    for name in dispatcher_table():
        assert time(name, tokens=1024) > time(name)
        assert time(name, scale_out=25e9) > time(name)
        assert time(name, imbalance=1.5) > time(name)
        assert time(name, ranks=8) < time(name)


def test_padded_buffers_cost_every_expert():
    case = {
        "tokens": 128,
        "hidden": 7168,
        "copies": 8,
        "ranks": 64,
        "domain": 8,
        "scale_up": 450e9,
        "scale_out": 50e9,
    }
    whole = exchange(dispatcher("nccl"), "dispatch", **case, memory_bandwidth=3e12, experts=256)
    assert whole.sent.total == pytest.approx(256 * 128 * fp8_token(7168))
    assert float(whole.time) > 5 * float(
        exchange(dispatcher("deepep-normal"), "dispatch", **case, memory_bandwidth=3e12).time
    )


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: dispatcher("deepep-norm"), "did you mean 'deepep-normal'"),
        (lambda: choose("deep-ep"), "did you mean"),
        (lambda: choose("deepep", "fast"), "unknown mode 'fast'"),
        (lambda: choose("deepep", "normal", "token-ring"), "unknown network 'token-ring'"),
        (lambda: exchange(dispatcher("nccl"), "gather", *[1] * 8), "unknown phase 'gather'"),
    ],
)
def test_wrong_names_say_what_would_be_right(call, words):
    with pytest.raises(InputError, match=words):
        call()


def test_the_formula_file_imports_only_numpy_and_formulas():
    modules = set()
    for node in ast.walk(ast.parse(Path(dispatch.__file__).read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom):
            modules.add(node.module)
    assert modules <= {"__future__", "typing", "armillary.network.collectives"}

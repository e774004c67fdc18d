"""Services as people describe them: what engines, transfers and streams are made of."""

from itertools import pairwise

import numpy as np
import pytest

from armillary.errors import InputError
from armillary.model import transformer
from armillary.model.bytes import kv_cache_bytes_per_token
from armillary.serving.deployment import Failures, Scaling
from armillary.serving.fleet import ServedPool, built
from armillary.serving.layout import EngineLayout
from armillary.serving.lengths import Fixed, Mix
from armillary.serving.precision import precision
from armillary.serving.requests import Requests
from armillary.serving.service import (
    KnownOutage,
    Service,
    Stream,
    merged,
    poisson,
    serve,
    serve_closed,
)
from armillary.serving.simulator import simulate


@pytest.fixture
def pool(shipped):
    system = shipped.system("p5en")
    chip = shipped.accelerator(system.accelerator)
    model = transformer(shipped.model("llama-3.1-8b"))

    def make(name="one", tp=1, **more):
        return ServedPool(name, model, system, chip, precision("fp8"), EngineLayout(tp, domain=8), **more)

    return make


def asked(n=200, rate=20.0, seed=0):
    return poisson(rate, n, Mix(Fixed(1000), Fixed(50)), seed)


def test_kv_moves_over_as_many_links_as_both_sides_have(pool):
    one = pool(tp=4, prefill=EngineLayout(2, domain=8), prefill_replicas=2)
    assert one.accelerators == 8
    found = built(one, 1000.0, 50.0, 1050.0)
    known = found.reader.replica.known()
    width = kv_cache_bytes_per_token(one.model, "fp8", 1025.0)
    assert found.pool.transfer == (
        pytest.approx(known.exchange_latency),
        pytest.approx(width / (2 * known.scale_up)),
    )
    wider = built(pool(tp=4, prefill=EngineLayout(2, domain=8), prefill_replicas=3), 1000.0, 50.0, 1050.0)
    assert wider.pool.transfer[1] == pytest.approx(width / (2 * known.scale_out))
    growing = Scaling(2.0, 1.0, 1.0, 1, 2)
    scaled = pool(tp=4, prefill=EngineLayout(2, domain=8), prefill_replicas=2, scaling=growing)
    assert built(scaled, 1000.0, 50.0, 1050.0).pool.transfer == wider.pool.transfer


def test_host_memory_holds_whole_caches_and_each_rank_loads_its_part(pool):
    found = built(pool(tp=4, host_memory=1e12), 1000.0, 50.0, 1050.0)
    width = kv_cache_bytes_per_token(found.served.model, "fp8", 1025.0)
    assert found.pool.host_tokens == pytest.approx(1e12 / width)
    assert found.pool.host_transfer == pytest.approx(width / 4 / found.served.chip.host_bandwidth)
    assert built(pool(), 1000.0, 50.0, 1050.0).pool.host_tokens == 0


def test_streams_come_in_order_and_keep_their_blocks_apart():
    plain = Requests([0.5, 0.5, 2.0], [100, 200, 300], [1, 2, 3])
    chat = Requests(
        [0.5, 1.0], [32, 40], [4, 5], block_offsets=[0, 2, 5], block_ids=[7, 9, 7, 9, 11], block_size=16
    )
    streams = [
        Stream("a", "m", plain, "x", 2),
        Stream("b", "n", chat, "y"),
        Stream("c", "n", chat, "x", [1, 3]),
    ]
    requests, stream = merged(streams, ["m", "n"], ["x", "y"])
    assert stream.tolist() == [0, 0, 1, 2, 1, 2, 0]
    assert requests.output.tolist() == [1, 2, 4, 4, 5, 5, 3]
    assert requests.model.tolist() == [0, 0, 1, 1, 1, 1, 0]
    assert requests.region.tolist() == [0, 0, 1, 0, 1, 0, 0]
    assert requests.priority.tolist() == [2, 2, 0, 1, 0, 3, 2]
    ends = requests.block_offsets
    blocks = [requests.block_ids[a:b].tolist() for a, b in pairwise(ends)]
    assert blocks == [[], [], [0, 1], [3, 4], [0, 1, 2], [3, 4, 5], []]
    other = chat._replace(block_size=8)
    with pytest.raises(InputError, match="blocks of 8 and 16 tokens"):
        merged([*streams, Stream("d", "n", other, "x")], ["m", "n"], ["x", "y"])


def test_outages_hit_the_replica_that_they_name(pool):
    first = pool("first", prefill=EngineLayout(domain=8), prefill_replicas=2, replicas=2)
    second = pool("second", replicas=2, region="far")
    streams = (Stream("near", first.model.name, asked()), Stream("far", first.model.name, asked(), "far"))
    latency = {("", "far"): 0.01}
    for name, prompts, number in (("first", True, 1), ("first", False, 3), ("second", False, 5)):
        down = KnownOutage(name, 1, 0.0, 1e4, prompts)
        found = serve(Service((first, second), streams, latency, (down,)))
        on = found.outcome.replicas.on
        assert np.flatnonzero(on == 0).tolist() == [number]
    with pytest.raises(InputError, match="it has replicas 0 to 1"):
        serve(Service((first, second), streams, latency, (KnownOutage("second", 2, 0.0, 1.0),)))
    with pytest.raises(InputError, match="outage of pool 'third', which is not there"):
        serve(Service((first, second), streams, latency, (KnownOutage("third", 0, 0.0, 1.0),)))
    with pytest.raises(InputError, match="no latency between"):
        serve(Service((first, second), streams, {}))


def test_front_ends_are_told_apart(pool):
    found = serve(Service((pool(),), (Stream("users", "llama-3.1-8b", asked()),), {}))
    fixed, token, lag = found.pools[0].pool.front
    np.testing.assert_allclose(found.front, fixed + token * 1000 + lag * found.outcome.tpot)
    bare = found.pools[0].pool._replace(front=(0.0, 0.0, 0.0))
    plain = simulate(found.requests, bare, routing="least_loaded")
    np.testing.assert_allclose(found.outcome.ttft - found.front, plain.ttft, rtol=1e-9)


def test_users_who_wait_need_one_plain_pool(pool):
    stream = Stream("users", "llama-3.1-8b", asked())
    assert serve_closed(Service((pool(replicas=2),), (stream,), {}), 8).outcome.counts.completed == 200
    for more in ({"queue_limit": 3}, {"failures": Failures(1.0, 1.0)}, {"host_memory": 1e9}):
        with pytest.raises(InputError, match="on one pool alone"):
            serve_closed(Service((pool(**more),), (stream,), {}), 8)


def test_who_asks_for_what_is_not_served(pool):
    with pytest.raises(InputError, match="asks for 'llama', which no pool serves"):
        serve(Service((pool(),), (Stream("users", "llama", asked()),), {}))
    long = Requests([0.0], [131_000], [100])
    with pytest.raises(InputError, match="more than the context of llama-3"):
        serve(Service((pool(),), (Stream("users", "llama-3.1-8b", long),), {}))

"""What a deployment takes and costs: domains, shares of tokens, how KV crosses."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from armillary.model import transformer
from armillary.model.bytes import kv_cache_bytes_per_token
from armillary.serving import EngineLayout, Replica, Workload, precision
from armillary.serving.apart import handover
from armillary.serving.candidates import candidate
from armillary.serving.lengths import Fixed, Mix
from armillary.serving.sized import packed, token_times
from armillary.serving.workload import drawn

LOAD = drawn(Workload(1.0, 1.0, Mix(Fixed(1000), Fixed(200))), 0, 100)


@pytest.fixture(scope="module")
def make(shipped):
    def one(layout, system="p6e-gb200", model="llama-3.1-70b"):
        found = shipped.system(system)
        chip = shipped.accelerator(found.accelerator)
        replica = Replica(
            transformer(shipped.model(model)),
            chip,
            layout._replace(domain=found.scale_up_size),
            precision("fp8"),
            "vllm",
            found.nic_bandwidth,
            0,
            1100.0,
        )
        return candidate(replica, 1000.0, 1200.0)

    return one


def brute(replicas, domain):
    """Larger first into the first domain with room, one by one; wider than a domain takes whole ones."""
    rooms, whole = [], 0
    for number, width in sorted(replicas, key=lambda r: -r[1]):
        for _ in range(number):
            if width > domain:
                whole += -(-width // domain)
                continue
            at = next((i for i, room in enumerate(rooms) if room >= width), None)
            if at is None:
                rooms.append(domain)
                at = len(rooms) - 1
            rooms[at] -= width
    return whole + len(rooms)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 40), st.sampled_from([1, 2, 4, 8, 16, 32, 64])), max_size=2),
    st.sampled_from([1, 4, 8, 64, 72]),
)
def test_domains_hold_replicas_as_if_placed_one_by_one(replicas, domain):
    assert packed(replicas, domain) == brute(replicas, domain)
    assert packed(replicas, domain) * domain >= sum(n * w for n, w in replicas)


def test_a_token_takes_its_share_of_the_accelerators(make):
    one = make(EngineLayout(tp=2))
    times = token_times(one, one, LOAD, 0.0, rate=5.0, pace=0.02)
    cost = one.engine.cost
    batch = 20  # Little: 5 requests a second of 200 tokens at 20 ms
    step = cost.decode[batch] + cost.kv * batch * 1100
    assert times.written == pytest.approx(2 * step / batch)
    assert times.cached == 0
    found = token_times(one, one, LOAD, 0.4, rate=5.0, pace=0.02)
    assert 0 < found.cached < found.read
    # Read and found together: the prompt's reading, attention to what was found included.
    whole = cost.mixed[600] + cost.chunk_kv * (600 * 400 + 600 * 600 / 2)
    assert found.read * 600 + found.cached * 400 == pytest.approx(2 * whole)


def test_kv_stays_in_the_domain_where_its_pools_do(make, shipped):
    small, wide = make(EngineLayout(tp=4)), make(EngineLayout(tp=8))
    system = shipped.system("p6e-gb200")
    near, far = handover(small, wide, 2.0, system, LOAD), handover(small, wide, 20.0, system, LOAD)
    assert (near.wire, far.wire) == ("scale-up", "network")  # 2 x 4 + 8 of 72, and 20 x 4 + 8
    known = wide.replica.known()
    width = kv_cache_bytes_per_token(wide.replica.model, "fp8", 1000.0)
    # Four ranks send, so that of eight that receive four links are used.
    assert near.per_token == pytest.approx(width / (4 * known.scale_up))
    assert far.per_token == pytest.approx(width / (4 * known.scale_out))
    assert far.time == pytest.approx(far.latency + 1000 * far.per_token)
    node = make(EngineLayout(tp=8), "p5en")
    assert handover(node, node, 1.0, shipped.system("p5en"), LOAD).wire == "network"
    for ratio, other in itertools.pairwise(np.geomspace(1 / 64, 64, 13)):
        order = [handover(small, small, r, system, LOAD).time for r in (ratio, other)]
        assert (order[0] <= order[1]) if ratio >= 1 else (order[0] >= order[1])

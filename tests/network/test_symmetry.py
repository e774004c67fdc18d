import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from instances import clos_routes, instance

from armillary.errors import InputError
from armillary.network.flows import simulate
from armillary.network.graph import order
from armillary.network.max_min import max_min
from armillary.network.routes import Routes
from armillary.network.symmetry import reduced

seeds = st.integers(0, 2**32)


def copies(case, count: int):
    """The same instance several times side by side, its links apart, with flows shuffled."""
    routes = case.routes
    n, links = routes.flows, len(case.capacity)
    mixed = np.random.default_rng(n).permutation(n * count)
    rows = [routes.of(f % n) + f // n * links for f in mixed]
    usage = None
    if routes.usage is not None:
        usage = np.concatenate(
            [routes.usage[routes.offsets[f % n] : routes.offsets[f % n + 1]] for f in mixed]
        )
    every = Routes(np.cumsum([0, *map(len, rows)]), np.concatenate(rows).astype(np.int32), usage)

    def spread(v):
        return None if v is None else np.asarray(v)[mixed % n]

    return np.tile(case.capacity, count), every, spread, mixed % n


@given(seeds, st.integers(1, 4))
@settings(deadline=None)
def test_copies_fold_into_one_and_nothing_changes(seed, count):
    case = instance(seed, flows=8, links=5)
    capacity, routes, spread, which = copies(case, count)
    random = np.random.default_rng(seed)
    n = case.routes.flows
    size = spread(random.choice([0.0, 1.0, 3.0], n) * case.capacity.max())
    arrival = spread(random.choice([0.0, 1.0], n))
    group = spread(random.integers(-1, 2, n))
    waits = order(len(size), group, 2, [(len(size), len(size) + 1)], 0.25)
    more = {"arrival": arrival, "weight": spread(case.weight), "cap": spread(case.cap), "order": waits}
    off = simulate(capacity, routes, size, **more)
    on = simulate(capacity, routes, size, symmetry=True, **more)
    assert on.finish == pytest.approx(off.finish, rel=1e-9)
    assert on.start == pytest.approx(off.start, rel=1e-9)
    assert on.group_finish == pytest.approx(off.group_finish, rel=1e-9)
    assert on.link_bytes == pytest.approx(off.link_bytes, rel=1e-9)
    found = reduced(
        capacity, routes, (size, arrival, *(v for v in (more["weight"], more["cap"]) if v is not None))
    )
    assert len(found.flow) <= n
    given_ = simulate(capacity, routes, size, classes=which, **more)
    assert given_.finish == pytest.approx(off.finish, rel=1e-9)


@given(seeds)
@settings(deadline=None, max_examples=30)
def test_rates_of_classes_are_the_rates_of_their_flows(seed):
    random = np.random.default_rng(seed)
    hosts, shift = 64, int(random.integers(1, 64))
    routes = clos_routes(hosts, 8, np.arange(hosts), (np.arange(hosts) + shift) % hosts, seed)
    capacity = random.choice([1.0, 2.0], 4 * hosts) if seed % 2 else np.ones(4 * hosts)
    small = reduced(capacity, routes)
    rates = max_min(small.capacity, small.routes)
    assert rates[small.flow_class] == pytest.approx(max_min(capacity, routes), rel=1e-12)


def test_edges_between_flows_are_part_of_the_symmetry():
    routes = Routes(np.arange(7), np.arange(6, dtype=np.int32))
    size = [1.0, 1.0, 1.0, 1.0, 2.0, 2.0]
    waits = order(6, edges=[(4, 0), (5, 1)])  # 0 and 1 wait, 2 and 3 do not
    on = simulate(np.ones(6), routes, size, order=waits, symmetry=True)
    assert on.finish.tolist() == [3, 3, 1, 1, 2, 2]
    small = reduced(np.ones(6), routes, (np.array(size),), order=waits)
    assert len(small.flow) == 3


def test_a_large_ring_is_a_few_classes_also_with_a_weak_link():
    hosts = 65_536
    routes = clos_routes(hosts, 32, np.arange(hosts), (np.arange(hosts) + 1) % hosts)
    assert len(reduced(np.ones(4 * hosts), routes).flow) == 2
    broken = np.ones(4 * hosts)
    broken[5] = 0.5
    assert 2 < len(reduced(broken, routes).flow) < 10


def test_wrong_classes_are_refused_by_name():
    routes = Routes(np.array([0, 1, 2, 3]), np.array([0, 1, 1], np.int32))
    with pytest.raises(InputError, match=r"flow \d and flow \d are both of class 7"):
        reduced([1.0, 1.0], routes, classes=[7, 7, 7])
    assert len(reduced([1.0, 1.0], routes, classes=[7, 8, 8]).flow) == 2
    with pytest.raises(InputError, match="flow 2 and flow 1 are of one class but differ"):
        simulate([1.0, 1.0], routes, [1.0, 1.0, 2.0], classes=[7, 8, 8])
    with pytest.raises(InputError, match="there are 3 flows"):
        reduced([1.0, 1.0], routes, classes=[1])
    ends = np.stack([np.arange(20), np.arange(1, 21)], axis=1).ravel().astype(np.int32)
    line = Routes(np.arange(0, 41, 2), ends)  # a chain, different at its ends
    with pytest.raises(InputError, match="without symmetry"):
        reduced(np.ones(21), line, most_rounds=2)
    assert len(reduced(np.ones(21), line).flow) == 10

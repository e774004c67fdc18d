import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from instances import Instance, clos_routes, instance, textbook

from armillary.errors import InputError
from armillary.network.flows import simulate
from armillary.network.graph import Order, order
from armillary.network.max_min import max_min
from armillary.network.routes import Routes

seeds = st.integers(0, 2**32)
SHARED = Routes(np.arange(4), np.zeros(3, np.int32))
"""Three flows on link 0."""


def naive(given: Instance, size, arrival, latency, waits: Order | None = None, rates=textbook):
    """Event by event, all rates anew each time, in plain Python."""
    n = given.routes.flows
    groups = waits.groups if waits else 0
    nodes = n + groups
    finish, start, left = [math.nan] * nodes, [math.nan] * n, list(map(float, size))
    group = waits.group if waits else [-1] * n
    delay = waits.delay if waits else [0.0] * nodes
    edges = list(zip(waits.before, waits.after, strict=True)) if waits else []
    now, live = 0.0, set()

    def opened(node):
        """When a node's waits are over; None while they are not."""
        ends = [finish[a] for a, b in edges if b == node]
        if node < n and group[node] >= 0:
            ends.append(opened(n + group[node]))
        if any(e is None or math.isnan(e) for e in ends):
            return None
        return max(ends, default=0.0) + delay[node]

    def starts(f):
        ready = opened(f)
        return None if ready is None else max(ready, arrival[f]) + latency[f]

    while any(math.isnan(t) for t in finish):
        speed = {}
        if live:
            order_ = sorted(live)
            offsets = np.cumsum([0, *(len(given.routes.of(f)) for f in order_)])
            keep = np.concatenate(
                [np.arange(given.routes.offsets[f], given.routes.offsets[f + 1]) for f in order_]
            )
            part = Routes(
                offsets,
                given.routes.links[keep],
                None if given.routes.usage is None else given.routes.usage[keep],
            )
            pick = [None if v is None else np.asarray(v)[order_] for v in (given.weight, given.cap)]
            found = rates(Instance(given.capacity, part, *pick))
            speed = dict(zip(order_, found, strict=True))
        moments = [now + left[f] / speed[f] for f in live]
        for f in range(n):
            if math.isnan(start[f]) and (begun := starts(f)) is not None:
                moments.append(begun)
        for g in range(groups):
            if math.isnan(finish[n + g]) and not any(group[f] == g for f in range(n)):
                done = opened(n + g)
                if done is not None:
                    moments.append(done)
        following = min(moments)
        for f in live:
            left[f] -= speed[f] * (following - now)
        now = following
        edge = now * (1 + 1e-12)
        for f in list(live):
            if left[f] <= 1e-11 * size[f]:
                live.remove(f)
                finish[f] = now
        changed = True
        while changed:
            changed = False
            for f in range(n):
                begun = starts(f) if math.isnan(start[f]) else None
                if begun is not None and begun <= edge:
                    start[f], changed = now, True
                    if size[f] == 0:
                        finish[f] = now
                    else:
                        live.add(f)
            for g in range(groups):
                inside = [finish[f] for f in range(n) if group[f] == g]
                over = opened(n + g)
                inside_over = over is not None and over <= edge and not any(map(math.isnan, inside))
                if math.isnan(finish[n + g]) and inside_over:
                    finish[n + g], changed = now, True
    return start, finish[:n], finish[n:]


def arrivals(seed: int, given: Instance):
    random = np.random.default_rng([seed, 1])
    n = given.routes.flows
    scale = given.capacity.max()
    size = random.choice([0.0, 1.0, 2.0, 5.5], n) * scale * random.choice([1.0, random.random()])
    arrival = random.choice([0.0, 0.0, 1.0, 2.5], n)
    latency = random.choice([0.0, 0.25], n)
    return size, arrival, latency


def random_order(seed: int, flows: int) -> Order:
    """A random order without cycles: edges go from lower to higher ranks, groups rank above their members."""
    random = np.random.default_rng([seed, 2])
    groups = int(random.integers(0, 4))
    group = np.sort(random.integers(-1, groups, flows)) if groups else np.full(flows, -1)
    edges = []
    for _ in range(int(random.integers(0, 6))):
        a, b = sorted(random.integers(0, flows, 2))
        if a != b:
            edges.append((a, b))
    for _ in range(int(random.integers(0, 4))):
        if groups > 1:
            a, b = sorted(random.integers(0, groups, 2))
            if a != b:
                edges.append((flows + a, flows + b))
    # A flow of a group may wait for lower ones, and any group for lower groups: both follow one order.
    return order(flows, group, groups, edges, random.choice([0.0, 0.5], flows + groups))


@given(seeds)
@settings(deadline=None, max_examples=50)
def test_times_are_those_of_full_solutions_at_each_event(seed):
    case = instance(seed, flows=10, links=6)
    size, arrival, latency = arrivals(seed, case)
    start, finish, _ = naive(case, size, arrival, latency)
    for share in (0.0, 0.5, math.inf):
        found = simulate(
            case.capacity,
            case.routes,
            size,
            arrival=arrival,
            latency=latency,
            weight=case.weight,
            cap=case.cap,
            local_share=share,
        )
        assert found.finish == pytest.approx(finish, rel=1e-9)
        assert found.start == pytest.approx(start, rel=1e-9)
        assert found.events <= 2 * len(size)
        assert found.exact
        assert found.error_bound < 1e-9


@given(seeds)
@settings(deadline=None, max_examples=40)
def test_dependencies_are_kept(seed):
    case = instance(seed, flows=8, links=5)
    size, arrival, latency = arrivals(seed, case)
    waits = random_order(seed, len(size))
    start, finish, group_finish = naive(case, size, arrival, latency, waits)
    found = simulate(
        case.capacity,
        case.routes,
        size,
        arrival=arrival,
        latency=latency,
        weight=case.weight,
        cap=case.cap,
        order=waits,
    )
    assert found.finish == pytest.approx(finish, rel=1e-9)
    assert found.start == pytest.approx(start, rel=1e-9)
    assert found.group_finish == pytest.approx(group_finish, rel=1e-9)
    assert found.events <= 2 * len(size) + waits.groups


@given(seeds, st.sampled_from([1, 6, 25]))
@settings(deadline=None, max_examples=20)
def test_mended_rates_equal_new_ones_on_a_clos(seed, density):
    random = np.random.default_rng(seed)
    hosts, flows = 64, 64 * density
    source = random.integers(0, hosts, flows)
    routes = clos_routes(hosts, 8, source, (source + random.integers(1, hosts, flows)) % hosts, seed)
    capacity = random.choice([1e9, 2e9, 5e9], 4 * hosts)
    size = random.lognormal(18, 2, flows)
    arrival = random.choice([0.0, 1.0], flows) * random.exponential(0.1, flows)
    weight = random.choice([1.0, 2.0], flows) if seed % 2 else None
    cap = np.where(random.random(flows) < 0.2, 1e8, np.inf) if seed % 3 == 0 else None
    both = [
        simulate(capacity, routes, size, arrival=arrival, weight=weight, cap=cap, local_share=share)
        for share in (0.0, math.inf)
    ]
    assert both[1].finish == pytest.approx(both[0].finish, rel=1e-11)
    assert both[0].full == both[0].solves
    assert both[1].full < both[0].full


@given(seeds)
@settings(deadline=None, max_examples=30)
def test_bytes_are_conserved(seed):
    case = instance(seed)
    size, arrival, _ = arrivals(seed, case)
    found = simulate(case.capacity, case.routes, size, arrival=arrival, weight=case.weight, cap=case.cap)
    expected = np.zeros(len(case.capacity))
    for f in range(len(size)):
        first, last = case.routes.offsets[f : f + 2]
        usage = 1.0 if case.routes.usage is None else case.routes.usage[first:last]
        expected[case.routes.links[first:last]] += usage * size[f]
    assert found.link_bytes == pytest.approx(expected)
    assert (found.link_bytes <= case.capacity * found.makespan * (1 + 1e-9)).all()


@given(seeds, st.floats(1e-3, 1e3), st.floats(1e-3, 1e3))
@settings(deadline=None, max_examples=30)
def test_time_scales(seed, more, faster):
    case = instance(seed)
    size, arrival, latency = arrivals(seed, case)
    base = simulate(case.capacity, case.routes, size, arrival=arrival, latency=latency)
    scaled = simulate(
        case.capacity * faster,
        case.routes,
        size * more,
        arrival=arrival * (more / faster),
        latency=latency * (more / faster),
    )
    assert scaled.finish == pytest.approx(base.finish * (more / faster), rel=1e-9)


@given(seeds, st.sampled_from([0.001, 0.01, 0.1, 0.9]))
@settings(deadline=None, max_examples=10)
def test_with_tolerance_times_are_exact_for_sizes_that_differ_by_it(seed, tolerance):
    random = np.random.default_rng(seed)
    hosts, flows = 32, int(random.choice([300, 1500]))
    source = random.integers(0, hosts, flows)
    routes = clos_routes(hosts, 8, source, (source + random.integers(1, hosts, flows)) % hosts, seed)
    size = random.exponential(1e9, flows)
    found = simulate(np.full(4 * hosts, 1e9), routes, size, tolerance=tolerance)
    exact = simulate(np.full(4 * hosts, 1e9), routes, size)
    assert not found.exact
    assert found.error_bound <= tolerance * (1 + 1e-9)
    assert found.events < exact.events
    # Replayed: at the rates of the flows that are there, each had moved all but the tolerance.
    moved, now = np.zeros(flows), 0.0
    for moment in np.unique(found.finish):
        live = np.flatnonzero(found.finish >= moment)
        offsets = np.cumsum([0, *(np.diff(routes.offsets)[live])])
        part = Routes(offsets, np.concatenate([routes.of(f) for f in live]))
        moved[live] += max_min(np.full(4 * hosts, 1e9), part) * (moment - now)
        now = moment
    assert (moved <= size * (1 + 1e-9)).all()
    assert (moved >= size * (1 - tolerance) * (1 - 1e-9)).all()
    assert simulate(np.full(4 * hosts, 1e9), routes, moved).finish == pytest.approx(found.finish, rel=1e-9)


@given(seeds, st.sampled_from([0.001, 0.01, 0.1]))
@settings(deadline=None, max_examples=30)
def test_on_one_link_tolerance_bounds_the_times_themselves(seed, tolerance):
    random = np.random.default_rng(seed)
    routes = Routes(np.arange(101), np.zeros(100, np.int32))
    size, weight = random.exponential(1.0, 100), random.choice([1.0, 3.0], 100)
    exact = simulate([1.0], routes, size, weight=weight).finish
    near = simulate([1.0], routes, size, weight=weight, tolerance=tolerance).finish
    assert (near <= exact * (1 + 1e-9)).all()
    assert (near >= exact * (1 - tolerance) * (1 - 1e-9)).all()


def test_equal_flows_are_one_event():
    routes = Routes(np.arange(1001), np.arange(1000, dtype=np.int32))
    found = simulate(np.full(1000, 3.0), routes, 0.1)
    assert found.events == 2
    assert len(set(found.finish)) == 1


def test_a_chain_takes_the_sum_and_delays():
    waits = order(3, edges=[(0, 1), (1, 2)], delay=[0.0, 1.0, 0.0])
    found = simulate([10.0], SHARED, [10.0, 20.0, 30.0], order=waits, latency=0.5)
    assert found.finish == pytest.approx([1.5, 5.0, 8.5])
    assert found.start == pytest.approx([0.5, 3.0, 5.5])


def test_nothing_to_do():
    assert simulate([1.0], Routes(np.array([0]), np.array([], np.int32)), []).makespan == 0
    assert simulate([1.0], SHARED, 0.0).finish.tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("waits", "cycle"),
    [
        (order(3, edges=[(0, 1), (1, 0)]), "flow 0 -> flow 1|flow 1 -> flow 0"),
        (order(3, edges=[(2, 2)]), "flow 2 -> flow 2"),
        (order(3, [0, 1, -1], 2, [(3, 4), (4, 3)]), "group"),
        (order(3, [0, 0, 1], 2, [(3, 4), (2, 0)]), "group"),
        (order(3, [0, -1, -1], 1, [(3, 0)]), "group 0"),
    ],
)
def test_cycles_are_refused_by_name(waits, cycle):
    with pytest.raises(InputError, match=cycle) as refused:
        simulate([1.0], SHARED, 1.0, order=waits)
    assert "cycle" in str(refused.value)


def test_bad_input_is_refused_by_name():
    with pytest.raises(InputError, match="capacity of link 0"):
        simulate([0.0], SHARED, 1.0)
    with pytest.raises(InputError, match="size of flow 1 must be 0 or more"):
        simulate([1.0], SHARED, [1.0, -1.0, 1.0])
    with pytest.raises(InputError, match="arrival of flow 2"):
        simulate([1.0], SHARED, 1.0, arrival=[0.0, 0.0, np.nan])
    with pytest.raises(InputError, match="latency of flow 0"):
        simulate([1.0], SHARED, 1.0, latency=-1.0)
    with pytest.raises(InputError, match="tolerance must be"):
        simulate([1.0], SHARED, 1.0, tolerance=1.0)
    with pytest.raises(InputError, match="edge 0 has node 9"):
        order(3, edges=[(0, 9)])
    with pytest.raises(InputError, match="flow 1 is in group 5"):
        order(3, [0, 5, 0], 1)
    with pytest.raises(InputError, match="delay of group 0"):
        order(3, groups=1, delay=[0.0, 0.0, 0.0, -1.0])
    with pytest.raises(InputError, match="there are 3 flows"):
        simulate([1.0], SHARED, 1.0, order=order(2))

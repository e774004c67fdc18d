import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from instances import clos_routes, instance, textbook
from scipy.optimize import linprog

from armillary.errors import InputError
from armillary.network.max_min import is_max_min, max_min
from armillary.network.routes import Routes

seeds = st.integers(0, 2**32)
ONE = Routes(np.array([0, 1, 3]), np.array([0, 0, 1], np.int32))


@given(seeds)
@settings(deadline=None)  # the first call compiles
def test_rates_are_those_of_the_textbook(seed):
    case = instance(seed)
    rates = max_min(*case)
    assert rates == pytest.approx(textbook(case), rel=1e-9)
    assert is_max_min(case.capacity, case.routes, rates, case.weight, case.cap, 1e-11) is None


@given(seeds)
@settings(max_examples=25, deadline=None)
def test_rates_are_the_lexicographic_optimum(seed):
    """The least level is as large as it can be, then the second least, ... (linear programmes)."""
    case = instance(seed, flows=5, links=4)
    n = case.routes.flows
    weight = np.ones(n) if case.weight is None else case.weight
    scale = case.capacity.max()
    load = np.zeros((len(case.capacity), n))
    for f in range(n):
        first, last = case.routes.offsets[f : f + 2]
        usage = 1.0 if case.routes.usage is None else case.routes.usage[first:last]
        load[case.routes.links[first:last], f] = usage * weight[f]
    most = np.full(n, np.inf) if case.cap is None else case.cap / weight / scale
    fixed: dict[int, float] = {}
    while len(fixed) < n:
        bounds = [(fixed[f], fixed[f]) if f in fixed else (0, most[f]) for f in range(n)]
        free = [f for f in range(n) if f not in fixed]
        # Largest common least level t of the free ones; the capped ones are held to their cap at most.
        rise = np.zeros((len(free), n + 1))
        rise[range(len(free)), free], rise[:, -1] = -1, 1
        rows = np.vstack([np.column_stack([load, np.zeros(len(load))]), rise])
        right = np.concatenate([case.capacity / scale, np.zeros(len(free))])
        best = linprog([*[0] * n, -1], rows, right, bounds=[*bounds, (0, None)])
        level = best.x[-1]
        for f in free:  # those that cannot exceed it while the others have at least it
            at_least = [
                bounds[g] if g in fixed else (level * (1 - 1e-9), max(most[g], level)) for g in range(n)
            ]
            alone = linprog(
                [-1 if g == f else 0 for g in range(n)], load, case.capacity / scale, bounds=at_least
            )
            if -alone.fun <= level * (1 + 1e-6):
                fixed[f] = level
    expected = np.array([fixed[f] for f in range(n)]) * weight * scale
    assert max_min(*case) == pytest.approx(expected, rel=1e-5)


@given(seeds, st.floats(1e-6, 1e6))
@settings(deadline=None)
def test_rates_grow_with_all_capacities(seed, factor):
    case = instance(seed)
    caps = None if case.cap is None else case.cap * factor
    more = max_min(case.capacity * factor, case.routes, case.weight, caps)
    assert more == pytest.approx(max_min(*case) * factor, rel=1e-9)


@given(seeds, st.floats(0, 16))
@settings(deadline=None)  # the first call compiles
def test_weights_many_decades_apart_keep_their_digits(seed, decades):
    case = instance(seed, flows=40, links=15)
    random = np.random.default_rng(seed)
    weight = 10.0 ** random.uniform(-decades / 2, decades / 2, case.routes.flows)
    rates = max_min(case.capacity, case.routes, weight, case.cap)
    assert is_max_min(case.capacity, case.routes, rates, weight, case.cap) is None


def test_a_heavy_flow_leaves_a_light_one_its_share():
    routes = Routes(np.array([0, 2, 3, 4]), np.array([0, 1, 0, 1], np.int32))
    rates = max_min([1.0, 3.0], routes, [1.0, 1e-12, 1e-12])
    assert rates == pytest.approx([1.0, 1e-12, 2.0], rel=1e-9)


@given(seeds)
@settings(deadline=None)  # the first call compiles
def test_the_check_finds_what_is_wrong(seed):
    case = instance(seed)
    rates = max_min(*case)
    flow = seed % len(rates)
    for factor in (0.9, 1.1):
        changed = rates.copy()
        changed[flow] *= factor
        found = is_max_min(case.capacity, case.routes, changed, case.weight, case.cap)
        assert found is not None
        assert found.what
        assert found.size > 0.001


def test_a_large_clos_passes_the_check():
    random = np.random.default_rng(0)
    source = random.integers(0, 4096, 20_000)
    routes = clos_routes(4096, 16, source, (source + random.integers(1, 4096, 20_000)) % 4096)
    capacity = random.uniform(1e10, 5e10, 4 * 4096)
    rates = max_min(capacity, routes)
    assert is_max_min(capacity, routes, rates, tolerance=1e-12) is None
    many = Routes(np.arange(3), np.array([0, 0], np.int32))
    assert max_min([1e10], many).tolist() == [5e9, 5e9]


def test_flows_without_links_get_their_cap():
    routes = Routes(np.array([0, 0, 1]), np.array([0], np.int32))
    assert max_min([4.0], routes, cap=[9.0, np.inf]).tolist() == [9.0, 4.0]
    assert is_max_min([4.0], routes, [9.0, 4.0], cap=[9.0, np.inf]) is None
    with pytest.raises(InputError, match="flow 0 has no links and no cap"):
        max_min([4.0], routes, cap=[np.inf, 1.0])
    assert max_min([4.0], Routes(np.array([0]), np.array([], np.int32))).size == 0


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, np.inf])
def test_bad_numbers_are_refused_by_name(value):
    with pytest.raises(InputError, match="capacity of link 1 must be above 0"):
        max_min([1.0, value], ONE)
    with pytest.raises(InputError, match="weight of flow 1 must be above 0"):
        max_min([1.0, 1.0], ONE, weight=[1.0, value])
    with pytest.raises(InputError, match="usage of link 1 by flow 1 must be above 0"):
        max_min([1.0, 1.0], ONE._replace(usage=np.array([1.0, 1.0, value])))
    if value != np.inf:
        with pytest.raises(InputError, match="cap of flow 1 must be above 0"):
            max_min([1.0, 1.0], ONE, cap=[1.0, value])


def test_bad_routes_are_refused_by_name():
    with pytest.raises(InputError, match="flow 1 uses link 1; links are 0 to 0"):
        max_min([1.0], ONE)
    with pytest.raises(InputError, match="flow 1 uses link -1"):
        max_min([1.0], ONE._replace(links=np.array([0, 0, -1], np.int32)))
    with pytest.raises(InputError, match="flow 1 uses link 0 twice"):
        max_min([1.0], ONE._replace(links=np.array([0, 0, 0], np.int32)))
    long = np.array([*range(40), 7], np.int32)
    with pytest.raises(InputError, match="flow 0 uses link"):
        max_min(np.ones(40), Routes(np.array([0, 41]), long))
    with pytest.raises(InputError, match="offsets of routes must rise"):
        max_min([1.0], ONE._replace(offsets=np.array([0, 2])))
    with pytest.raises(InputError, match="2 values for 3 entries"):
        max_min([1.0, 1.0], ONE._replace(usage=np.ones(2)))
    with pytest.raises(InputError, match="there are 2 flows"):
        max_min([1.0, 1.0], ONE, weight=[1.0, 1.0, 1.0])
    with pytest.raises(InputError, match="one axis"):
        max_min([[1.0, 1.0]], ONE)

"""Classes of an all-to-all against every flow by itself, on small trees."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pytest

from armillary.errors import InputError
from armillary.network.all_pairs import SAME_DOMAIN, pair_classes


class Tree(NamedTuple):
    group: tuple
    up: tuple
    down: tuple
    domain: np.ndarray
    scale_up: np.ndarray
    scale_down: np.ndarray
    host_up: np.ndarray
    host_down: np.ndarray


def tree(accelerators=32, domain=4, block=8, pod=16, rails=True):
    """A leaf is a rail of a block, or a whole block; pods hold blocks; one core above."""
    own = np.arange(accelerators)
    leaf = own // block * domain + own % domain if rails else own // block
    pods = own // pod
    sizes = [accelerators] * 4 + [leaf.max() + 1] * 2 + [pods.max() + 1] * 2
    ends = np.cumsum([0, *sizes])
    spans = [np.arange(a, b) for a, b in pairwise(ends)]
    none = np.empty(0, np.int64)
    found = Tree(
        (leaf, pods, np.zeros(accelerators, np.int64)),
        (spans[4], spans[6], none),
        (spans[5], spans[7], none),
        own // domain,
        *spans[:4],
    )
    return found, int(ends[-1])


def path(t, a, b):
    if t.domain[a] == t.domain[b]:
        return [t.scale_up[a], t.scale_down[b]]
    links = [t.host_up[a], t.host_down[b]]
    for tier in range(len(t.group)):
        if t.group[tier][a] == t.group[tier][b]:
            return links
        links += [t.up[tier][t.group[tier][a]], t.down[tier][t.group[tier][b]]]
    return links


def filled(capacity, flows):
    """Textbook progressive filling: raise all rates together, freeze the flows of a link that is full."""
    left, rates = capacity.astype(float).copy(), np.zeros(len(flows))
    live = set(range(len(flows)))
    while live:
        load = np.zeros(len(left))
        for f in live:
            for link, use in flows[f]:
                load[link] += use
        step = np.min(left[load > 0] / load[load > 0])
        left -= step * load
        for f in live:
            rates[f] += step
        full = (load > 0) & (left <= 1e-9 * capacity)
        live = {f for f in live if not any(full[link] for link, _ in flows[f])}
    return rates


def capacities(links, changed, seed=0):
    capacity = np.full(links, 10.0)
    rng = np.random.default_rng(seed)
    capacity[rng.choice(links, changed, replace=False)] = rng.choice([2.0, 5.0], changed)
    return capacity


@pytest.mark.parametrize("rails", [True, False])
@pytest.mark.parametrize("changed", [0, 1, 3])
@pytest.mark.parametrize("thin", [1.0, 4.0])
def test_classes_have_the_rates_of_single_flows(rails, changed, thin):
    t, links = tree(rails=rails)
    capacity = capacities(links, changed, seed=changed)
    capacity[np.concatenate([t.up[0], t.down[0]])] *= (4 if not rails else 1) * 2 / thin
    capacity[np.concatenate([t.up[1], t.down[1]])] *= 8 / thin
    n = len(t.domain)
    pairs = [(a, b) for a in range(n) for b in range(n) if a != b]
    single = filled(capacity, [[(link, 1.0) for link in path(t, a, b)] for a, b in pairs])
    classes = pair_classes(t, capacity)
    r = classes.routes
    rows = [list(zip(r.of(f), r.usage[r.offsets[f] : r.offsets[f + 1]], strict=True)) for f in range(r.flows)]
    reduced = filled(classes.capacity, rows)
    assert classes.flows.sum() == len(pairs)
    got = np.sort(np.repeat(reduced, classes.flows))
    np.testing.assert_allclose(got, np.sort(single), rtol=1e-9)
    if changed == 0:
        assert r.flows <= 4


def test_rail_aligned_pairs_are_those_with_the_same_place_in_other_domains():
    t, links = tree()
    classes = pair_classes(t, capacities(links, 0), rails=True)
    assert classes.flows.sum() == 32 * (32 // 4 - 1)
    assert not (classes.relation == SAME_DOMAIN).any()


def test_link_classes_count_every_link_once():
    t, links = tree()
    classes = pair_classes(t, capacities(links, 3, seed=7))
    assert classes.links.sum() == links
    capacity = capacities(links, 3, seed=7)
    np.testing.assert_array_equal(classes.capacity[classes.link_class], capacity)


def test_a_domain_cut_by_pods_is_refused():
    t, links = tree(domain=4, block=8, pod=16)
    cut = t._replace(domain=(np.arange(32) + 2) // 4)
    with pytest.raises(InputError, match="cut by the switches"):
        pair_classes(cut, capacities(links, 0))

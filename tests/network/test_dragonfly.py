"""Dragonfly+: every path walked by the names of its links; minimal and Valiant; what is down."""

from __future__ import annotations

import re

import numpy as np
import pytest

from armillary.errors import InputError
from armillary.network.dragonfly import dragonfly
from armillary.network.max_min import max_min

GROUPS, LEAVES, SPINES, HOSTS = 5, 2, 4, 3


def fabric(**more):
    return dragonfly(GROUPS, LEAVES, SPINES, HOSTS, 50e9, 5e-6, **{"global_links": 2, **more})


def spine_of(group, other, which, joins=2):
    return ((other - (other > group)) * joins + which) % SPINES


def walk(names, source, target):
    """Where the path stands after each link, kept as (kind, number); the end is the target."""
    at = ("host", source)
    hops = 0
    for name in names:
        if m := re.fullmatch(r"host (\d+) up", name):
            assert at == ("host", int(m[1]))
            at = ("leaf", int(m[1]) // HOSTS)
        elif m := re.fullmatch(r"host (\d+) down", name):
            assert at == ("leaf", int(m[1]) // HOSTS)
            at = ("host", int(m[1]))
        elif m := re.fullmatch(r"leaf (\d+) spine (\d+) up", name):
            assert at == ("leaf", int(m[1]))
            at = ("spine", (int(m[1]) // LEAVES, int(m[2])))
        elif m := re.fullmatch(r"leaf (\d+) spine (\d+) down", name):
            assert at == ("spine", (int(m[1]) // LEAVES, int(m[2])))
            at = ("leaf", int(m[1]))
        else:
            m = re.fullmatch(r"group (\d+) to (\d+) link (\d+)", name)
            a, b, which = (int(x) for x in m.groups())
            assert at == ("spine", (a, spine_of(a, b, which)))
            at = ("spine", (b, spine_of(b, a, which)))
            hops += 1
    assert at == ("host", target)
    return hops


@pytest.mark.parametrize("paths", ["minimal", "valiant"])
def test_every_path_can_be_walked(paths):
    f = fabric(paths=paths)
    source, target = np.nonzero(~np.eye(f.endpoints, dtype=bool))
    routes = f.routes(source, target)
    for flow in range(routes.flows):
        names = [f.link_name(int(i)) for i in routes.of(flow)]
        a, b = (int(x) // (HOSTS * LEAVES) for x in (source[flow], target[flow]))
        crossed = walk(names, int(source[flow]), int(target[flow]))
        assert crossed == (0 if a == b else 1 if paths == "minimal" else 2)
        assert len(names) <= (5 if paths == "minimal" else 8)


def test_valiant_spreads_what_goes_between_two_groups():
    source, target = np.arange(6), np.arange(6) + 6
    rates = {p: max_min(f.shared, f.routes(source, target)).sum() for p in ("minimal", "valiant")
             for f in [fabric(paths=p, global_links=1, global_bandwidth=25e9)]}  # fmt: skip
    assert rates["minimal"] == pytest.approx(25e9)
    assert rates["valiant"] > 1.5 * rates["minimal"]


def test_what_is_down_is_gone_around():
    f = fabric()
    dead = f.degraded([("spine 1", 0)])
    source, target = np.nonzero(~np.eye(f.endpoints, dtype=bool))
    routes = dead.routes(source, target)
    assert (dead.capacity[routes.links] > 0).all()
    with pytest.raises(InputError, match="disconnected"):
        f.degraded([("global", 0)]).routes([0], [29])
    with pytest.raises(InputError, match="it has spine 0 to 19"):
        f.degraded([("spine 20", 0)])


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"groups": 0}, "positive number of groups"),
        ({"nic_bandwidth": 0.0}, "bandwidth of a NIC"),
        ({"paths": "minmal"}, "did you mean 'minimal'"),
        ({"groups": 2, "paths": "valiant"}, "need a third group"),
    ],
)
def test_what_makes_no_dragonfly_is_named(changed, words):
    given = {"groups": 3, "leaves": 2, "spines": 2, "hosts": 2, "nic_bandwidth": 1.0, "nic_latency": 0.0}
    with pytest.raises(InputError, match=words):
        dragonfly(**{**given, **changed})

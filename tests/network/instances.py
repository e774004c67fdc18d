"""Random flows on links, and max-min fair rates by the textbook, for the tests of this folder."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from armillary.network.routes import Routes


class Instance(NamedTuple):
    capacity: np.ndarray
    routes: Routes
    weight: np.ndarray | None
    cap: np.ndarray | None


def instance(seed: int, flows: int = 12, links: int = 8, plain: bool = False) -> Instance:
    """Random links a flow, some with caps, weights, usages; small numbers, so that ties are frequent."""
    random = np.random.default_rng(seed)
    flows, links = int(random.integers(1, flows + 1)), int(random.integers(1, links + 1))
    capacity = random.choice([1.0, 2.0, 3.0, 10.0], links) * random.choice([1.0, 1e9])
    lists = [random.choice(links, random.integers(1, min(links, 6) + 1), replace=False) for _ in range(flows)]
    offsets = np.cumsum([0, *map(len, lists)])
    usage = random.choice([0.25, 0.5, 1.0, 3.0], offsets[-1]) if random.random() < 0.5 and not plain else None
    routes = Routes(offsets, np.concatenate(lists).astype(np.int32), usage)
    weight = random.choice([0.1, 1.0, 2.0, 7.3], flows) if random.random() < 0.5 and not plain else None
    cap = None
    if random.random() < 0.5 and not plain:
        cap = np.where(random.random(flows) < 0.5, np.inf, random.uniform(0.01, 2, flows) * capacity.max())
    return Instance(capacity, routes, weight, cap)


def textbook(given: Instance) -> list[float]:
    """Progressive filling as Bertsekas and Gallager write it: raise all, stop those that meet a limit."""
    capacity, routes = given.capacity, given.routes
    flows = routes.flows
    weight = [1.0] * flows if given.weight is None else list(given.weight)
    cap = [math.inf] * flows if given.cap is None else list(given.cap)
    parts: list[dict[int, float]] = [{} for _ in range(flows)]
    for f in range(flows):
        for e in range(routes.offsets[f], routes.offsets[f + 1]):
            parts[f][int(routes.links[e])] = 1.0 if routes.usage is None else float(routes.usage[e])
    rate = [0.0] * flows
    rising = set(range(flows))
    while rising:
        steps = {}
        for link in range(len(capacity)):
            pull = math.fsum(weight[f] * parts[f][link] for f in rising if link in parts[f])
            if pull > 0:
                used = math.fsum(rate[f] * parts[f][link] for f in range(flows) if link in parts[f])
                steps["link", link] = max(capacity[link] - used, 0.0) / pull
        for f in rising:
            steps["cap", f] = max(cap[f] - rate[f], 0.0) / weight[f]
        step = min(steps.values())
        for f in rising:
            rate[f] += weight[f] * step
        top = max(rate[f] / weight[f] for f in rising)
        hit = {which for which, least in steps.items() if least <= step + 1e-12 * top}
        rising -= {f for f in rising if ("cap", f) in hit or any(("link", link) in hit for link in parts[f])}
    return rate


def clos_routes(hosts: int, radix: int, source: np.ndarray, target: np.ndarray, seed: int = 0) -> Routes:
    """A two-tier Clos: host links, and up- and down-links of leaves of `radix` hosts to `radix` spines."""
    spine = np.random.default_rng([seed, 7]).integers(0, radix, len(source))
    hops = np.stack(
        [
            source,
            hosts + target,
            2 * hosts + source // radix * radix + spine,
            3 * hosts + target // radix * radix + spine,
        ],
        axis=1,
    )
    kept = np.where(source // radix == target // radix, 2, 4)
    return Routes(np.cumsum([0, *kept]), hops[np.arange(4) < kept[:, None]].astype(np.int32))

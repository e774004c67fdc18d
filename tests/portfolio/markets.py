"""Small markets with everything in them, drawn with a seed."""

from __future__ import annotations

import numpy as np

from armillary.portfolio import (
    Calendar,
    Contract,
    Demand,
    Offer,
    Option,
    Programme,
    Site,
    Sku,
    Tier,
    growing,
    tree,
)

HOUR = 3600.0


def small(seed: int, quarters: int = 5, **fields) -> Programme:
    """Three streams, three SKUs, three sites of two providers, a contract of two tiers, an option."""
    random = np.random.default_rng(seed)
    futures = tree({1: 2, 3: 2}, quarters)
    chat = growing(1e6, 1.8, 0.4, futures, seed)
    run = growing(4e3, 1.5, 0.3, futures, seed + 100)
    cpus = growing(1e6, 1.3, 0.3, futures, seed + 200)
    demands = (
        Demand("chat", chat, 8e-6 * random.uniform(0.5, 2), "token/s"),
        Demand("run", run, 12 / HOUR, "accelerator", priority=2, cluster=3e3),
        Demand("agents", cpus, 0.2 / HOUR, "vCPU", interruptible=False),
    )
    skus = (
        Sku("gb200", {"chat": 400.0, "run": 1.0}, 2100.0),
        Sku("h100", {"chat": 150.0, "run": 0.35}, 1700.0),
        Sku("cpu", {"agents": 192.0}, 500.0),
    )
    sites = (
        Site(
            "a1", "A", power=30e6 * random.uniform(0.4, 1.2), opening=random.uniform(1e6, 6e7), standing=0.1
        ),
        Site("a2", "A", power=15e6, egress={"chat": 5e-7, "run": 0.2 / HOUR}),
        Site("b1", "B", power=25e6, opening=random.uniform(1e6, 6e7), network="b"),
    )
    offers = []
    for name, local in (("a1", 1.0), ("a2", 1.1), ("b1", random.uniform(0.85, 1.1))):
        h = local / HOUR
        grows = np.linspace(2000, 9000, quarters)
        offers += [
            Offer(f"{name} gb200", name, "gb200", "on-demand", 10 * h * np.linspace(1, 0.9, quarters), grows),
            Offer(f"{name} h100", name, "h100", "on-demand", 5 * h),
            Offer(f"{name} cpu", name, "cpu", "on-demand", 8 * h),
            Offer(f"{name} spot", name, "gb200", "spot", 3 * h, 900.0, availability=0.7, efficiency=0.9),
            Offer(f"{name} year", name, "gb200", "reserved", 7 * h, 6000.0, term=4, starts=(0, 1)),
            Offer(f"{name} long", name, "cpu", "reserved", 5 * h, term=8, starts=(0,), upfront=0.3),
        ]
    offers.append(
        Offer("a1 deal", "a1", "gb200", "reserved", 5 / HOUR, 4000.0, term=5, contract="deal", locked=True)
    )
    deal = Contract(
        "deal", "A", (Tier(5e7, 2e8, 0.08), Tier(2e8, 1e9, 0.16)), start=0, years=2, ramp=(0.4, 0.6),
        minimum_take=0.9, prepayment=0.2, most_favoured=bool(seed % 2),
    )  # fmt: skip
    more = Option(
        "more",
        "a2",
        "gb200",
        5.5 / HOUR,
        2000.0,
        decided=1,
        start=2,
        term=3,
        premium=2e6,
        whole=seed % 3 == 0,
    )
    programme = Programme(
        Calendar(2026, 1, quarters, 0.08), futures, demands, skus, sites, tuple(offers), (deal,), (more,)
    )
    return programme._replace(**fields)

"""Markets of any size for the portfolio's benchmarks, drawn with a seed. Not run by itself."""

from __future__ import annotations

import sys

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
    fan,
    growing,
)

HOUR = 3600.0
NAMES = ("AWS", "Azure", "Oracle", "Google", "CoreWeave", "own", "seventh", "eighth")


def market(
    providers: int = 6,
    regions: int = 10,
    skus: int = 12,
    quarters: int = 28,
    futures: int = 20,
    regime: str = "volume",
    seed: int = 0,
    spread: float = 0.15,
    scale: float | None = None,
) -> Programme:
    """Five streams, list prices, spot, two reservations, a tiered contract a provider, two options.

    regime : "volume", where sites are as large as the demand asks for and fixed charges are small against
    what is bought; "tiny", where a thousandth of that demand meets the same sites and fixed charges rule.
    spread : of the logarithm of a year's growth of chat; others are near it [-].
    scale : part of the demand of "volume" that meets the same sites, instead of a regime's [-].
    """
    random = np.random.default_rng(seed)
    calendar = Calendar(2026, 1, quarters, discount=0.08)
    futured = fan(futures, quarters, parted=1)
    scale = scale or {"volume": 1.0, "tiny": 1e-3}[regime]

    def grown(start: float, growth: float, wide: float) -> np.ndarray:
        path = growing(start * scale, growth, wide * spread, futured, int(random.integers(1 << 30)), fall=0.2)
        return np.minimum(path, path[0].mean() * 40)

    def run(first: int, size: float) -> np.ndarray:
        path = grown(size, 1.2, 1.0)
        path[:first] = 0.0
        path[first + 6 :] = 0.0
        return path

    chat, agents, research = grown(2e7, 1.5, 1.0), grown(5e6, 1.5, 1.2), grown(3e4, 1.3, 0.8)
    first, second = run(quarters // 7, 1e4), run(quarters // 2, 2e4)
    demands = (
        Demand("chat", chat, 8e-6, "token/s", priority=1),
        Demand("agents", agents, 0.1 / HOUR, "vCPU", priority=2),
        Demand("research", research, 30 / HOUR, "accelerator", priority=3),
        Demand("run-1", first, 40 / HOUR, "accelerator", priority=2, cluster=5e3 * scale),
        Demand("run-2", second, 40 / HOUR, "accelerator", priority=2, cluster=1e4 * scale),
    )
    accelerators = max(skus - max(skus // 6, 1), 1)
    kinds = []
    worth = np.geomspace(0.4, 3.0, accelerators) * random.uniform(0.85, 1.15, accelerators)
    for k in range(accelerators):
        pace = float(worth[k])
        tokens = 400 * pace * random.uniform(0.75, 1.3)
        speed = pace * random.uniform(0.85, 1.15)
        kinds.append(
            Sku(
                f"chip-{k}",
                {"chat": tokens, "research": pace, "run-1": speed, "run-2": speed},
                1200 + 900 * pace,
            )
        )
    for k in range(skus - accelerators):
        kinds.append(Sku(f"cpu-{k}", {"agents": 192.0 * (1 + k)}, 500.0 * (1 + 0.8 * k)))
    sites, offers = [], []
    need = chat.mean(1) / 400 + research.mean(1) + first.mean(1) + second.mean(1)
    power = need / scale * 2100 * 2.5 / (providers * regions)
    for p in range(providers):
        level = random.uniform(0.85, 1.2)
        for r in range(regions):
            name = f"{NAMES[p]}-{r}"
            share = random.uniform(0.4, 1.2) if r else regions / 2  # the first is a campus for runs
            late = int(random.integers(0, quarters // 8 + 1)) if r else 0
            there = np.where(np.arange(quarters) >= late, np.maximum.accumulate(power) * share, 0.0)
            sites.append(
                Site(
                    name, NAMES[p], power=there, opening=random.uniform(2e7, 6e7), standing=2e6 / (90 * 86400)
                )
            )
            local = level * random.uniform(0.95, 1.15)
            for k, kind in enumerate(kinds):
                pace = worth[k] if k < accelerators else 0.0
                list_price = (7 * pace**0.9 if pace else 0.03 * 192 * (1 + k - accelerators)) * local
                list_price *= random.uniform(0.9, 1.1) / HOUR
                begins = max(late, k * quarters // (4 * skus)) if pace else late
                had = np.where(np.arange(quarters) >= begins, 1e7, 0.0)
                starts = tuple(range(-(-begins // 4) * 4, quarters, 4))
                base = f"{name} {kind.name}"
                offers.append(Offer(f"{base} list", name, kind.name, "on-demand", list_price, had))
                if accelerators // 2 <= k < accelerators // 2 + 2:
                    offers.append(
                        Offer(
                            f"{base} spot",
                            name,
                            kind.name,
                            "spot",
                            0.45 * list_price,
                            had * 0 + 2000 * scale * (had > 0),
                            availability=0.7,
                            efficiency=0.85,
                        )
                    )
                for term, off in ((4, 0.66), (12, 0.45)):
                    offers.append(
                        Offer(
                            f"{base} {term // 4} years",
                            name,
                            kind.name,
                            "reserved",
                            off * list_price,
                            had,
                            term=term,
                            starts=starts,
                        )
                    )
    contracts = tuple(
        Contract(
            f"{NAMES[p]} deal",
            NAMES[p],
            (Tier(2e9, 1e10, 0.02), Tier(1e10, 4e10, 0.04), Tier(4e10, 2e11, 0.06)),
            start=0,
            years=max(quarters // 4, 1),
            minimum_take=0.9,
            prepayment=0.05,
        )
        for p in range(providers)
    )
    best = kinds[accelerators - 1].name
    options = tuple(
        Option(
            f"{NAMES[p]} more",
            f"{NAMES[p]}-0",
            best,
            7 * 3.0**0.9 * 0.5 / HOUR,
            20000 * scale,
            decided=quarters // 4,
            start=quarters // 4 + 1,
            term=quarters // 2,
            premium=2e7 * scale,
        )
        for p in range(min(2, providers))
    )
    return Programme(
        calendar, futured, demands, tuple(kinds), tuple(sites), tuple(offers), contracts, options, share=0.6
    )


if __name__ == "__main__":
    print("run portfolio.py; this file is what its benchmarks share", file=sys.stderr)

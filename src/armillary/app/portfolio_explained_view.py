"""Why a plan of purchases is as it is, and two plans side by side: tables of text."""

from __future__ import annotations

from math import isfinite

from armillary.app.portfolio_prices_view import money
from armillary.app.serving_view import Table
from armillary.portfolio import Worth
from armillary.twin import Explained, PortfolioAnswer
from armillary.twin.portfolio_tallies import unmet_share

PRICES = 12
"""Shadow prices that are shown, the largest first. [-]"""


def _worth(name: str, worth: Worth) -> tuple[str, ...]:
    low, high = worth.between
    return name, money(worth.value), f"{money(low)} to {money(high)}"


def explained_tables(found: Explained) -> list[Table]:
    """What clauses, providers and limits are worth."""
    shown = []
    if found.signed is not None:
        shown.append(
            Table(
                "The contracts as signed, against a free choice of them",
                ("", "costs more", "proven"),
                [_worth("as signed", found.signed)],
                1,
            )
        )
    shown.append(
        Table(
            "What each clause costs",
            ("clause", "costs", "proven"),
            [_worth(c.clause, c.cost) for c in found.clauses],
            1,
            "The plan with it less the plan without it; negative where it is in the buyer's favour.",
        )
    )
    shown.append(
        Table(
            "Everything from one provider",
            ("provider", "costs more than the plan"),
            [(r.strategy, money(r.regret) if r.plan is not None else "not feasible") for r in found.regrets],
            1,
            "What one provider cannot do is not done, at its penalty.",
        )
    )
    if found.added:
        shown.append(
            Table(
                "One provider more",
                ("provider", "saves", "left to pay"),
                [
                    (a.provider, money(a.saves) if isfinite(a.saves) else "-", money(a.plan.objective))
                    for a in found.added
                ],
                1,
                "Each time the one that saves most beside those above it.",
            )
        )
    shown.append(_walk_away(found))
    shown.append(
        Table(
            "Shadow prices",
            ("of", "one more changes the cost by", "unit"),
            [(p.name, f"{p.price:+,.3g} USD", p.unit) for p in found.prices[:PRICES]],
            1,
            "With what is signed, opened and placed held as planned; in all quarters and futures.",
        )
    )
    return shown


def _walk_away(found: Explained) -> Table:
    if found.keeps is None:
        rows = [(found.incumbent, found.why_not)]
        return Table("The price at which a provider keeps its share", ("provider", "why not"), rows, 2)
    k = found.keeps
    loses = f"{k.loses:.2f}" if isfinite(k.loses) else "not even there"
    lost = f"{k.share_lost:.0%}" if isfinite(k.share_lost) else "-"
    return Table(
        "The price at which a provider keeps its share",
        (
            "provider",
            "share asked",
            "keeps it at, times its prices",
            "share then",
            "loses it at",
            "share then ",
        ),
        [(found.incumbent, f"{k.asked:.0%}", f"{k.keeps:.2f}", f"{k.share_kept:.0%}", loses, lost)],
        1,
        "Factors on all its prices and strikes; shares are of the work of all quarters, by value.",
    )


def comparison_tables(names: tuple[str, str], a: PortfolioAnswer, b: PortfolioAnswer) -> list[Table]:
    """Two plans side by side."""
    rows = []
    if a.plan is not None and b.plan is not None:
        for name, x, y in (
            ("expected cost", a.plan.expected, b.plan.expected),
            ("worst futures", a.plan.cvar, b.plan.cvar),
            ("proven bound", a.plan.bound, b.plan.bound),
        ):
            rows.append((name, money(x), money(y), money(y - x)))
        rows.append(("gap", f"{a.plan.gap:.2%}", f"{b.plan.gap:.2%}", ""))
        for part in a.plan.costs._fields:
            x, y = getattr(a.plan.costs, part), getattr(b.plan.costs, part)
            if max(abs(x), abs(y)) >= 1:
                rows.append((part.replace("_", " "), money(x), money(y), money(y - x)))
        for label in dict.fromkeys([*a.spending, *b.spending]):
            x, y = (float(s.spending[label].sum()) if label in s.spending else 0.0 for s in (a, b))
            rows.append((f"paid: {label}", money(x), money(y), money(y - x)))
        lost = [unmet_share(s.programme, s.plan) for s in (a, b) if s.plan is not None]
        for stream in dict.fromkeys([*lost[0], *lost[1]]):
            x, y = (one.get(stream, 0.0) for one in lost)
            if max(x, y) > 5e-5:
                rows.append((f"not done: {stream}", f"{x:.2%}", f"{y:.2%}", f"{100 * (y - x):+z.2f} points"))
    else:
        rows = [
            (f"{n}: not feasible", s.infeasible, "", "")
            for n, s in zip(names, (a, b), strict=True)
            if s.infeasible
        ]
    return [Table("Side by side", ("", *names, "difference"), rows, 1)]

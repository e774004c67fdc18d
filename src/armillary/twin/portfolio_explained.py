"""Why a plan of purchases is as it is: what options, clauses, providers and prices are worth.

Each answer solves the programme anew with one thing changed. Imports rooms above.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from armillary.errors import InfeasibleError
from armillary.portfolio import (
    Added,
    Clause,
    Price,
    Regret,
    WalkAway,
    Worth,
    as_signed,
    clause_costs,
    provider_values,
    shadow_prices,
    single_provider_regrets,
    walk_away,
)
from armillary.portfolio.answers import providers_of
from armillary.twin.portfolio_answer import GAP, SECONDS, PortfolioAnswer, at_least_nothing

TOLERANCE = 0.1
"""Of a price at which a provider keeps its share, as a factor less 1. [-]"""


@dataclass(frozen=True, slots=True)
class Explained:
    """What the plan is worth against others.

    signed : what contracts that are signed cost against a free choice; None where none is. incumbent :
    provider of the first contract, or of most work; keeps : the price at which it keeps its share, None with
    the reason in `why_not`. prices : shadow prices, the largest first.
    """

    signed: Worth | None
    clauses: tuple[Clause, ...]
    added: tuple[Added, ...]
    regrets: tuple[Regret, ...]
    incumbent: str
    keeps: WalkAway | None
    why_not: str
    prices: tuple[Price, ...]


def explain(
    answer: PortfolioAnswer,
    gap: float = GAP,
    seconds: float = SECONDS,
    progress: Callable[[int, int], None] | None = None,
) -> Explained:
    """Solve the programme with one thing changed at a time.

    Parameters
    ----------
    answer : PortfolioAnswer
        With a plan.
    gap, seconds : float
        Of each plan. [-], [s]
    progress : callable, optional
        Called with (parts done, parts in all).
    """
    if answer.plan is None:
        raise InfeasibleError(answer.infeasible)
    programme, plan = answer.programme, answer.plan
    parts = 6

    def tick(done: int) -> None:
        if progress is not None:
            progress(done, parts)

    held = [c.name for c in programme.contracts if c.signed]
    signed = at_least_nothing(as_signed(programme, held, gap, seconds)) if held else None
    tick(1)
    clauses = clause_costs(programme, gap, seconds, plan)
    tick(2)
    regrets = single_provider_regrets(programme, plan, gap, seconds)
    tick(3)
    try:
        added = provider_values(programme, gap, seconds)
    except InfeasibleError:
        added = ()  # no single provider holds what is promised; regrets say so one by one
    tick(4)
    most = plan.work.sum((1, 2))
    named = [c.provider for c in programme.contracts]
    incumbent = named[0] if named else providers_of(programme)[int(most.argmax())]
    keeps, why_not = None, ""
    try:
        keeps = walk_away(programme, incumbent, tolerance=TOLERANCE, gap=gap, seconds=seconds)
    except InfeasibleError as error:
        why_not = str(error)
    tick(5)
    prices = tuple(sorted(shadow_prices(programme, plan), key=lambda p: -abs(p.price)))
    tick(6)
    return Explained(signed, clauses, added, regrets, incumbent, keeps, why_not, prices)

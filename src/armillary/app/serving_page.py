"""What is served, as the HTML report takes it: figures and tables."""

from __future__ import annotations

from typing import Any

from armillary.app import serving_view
from armillary.app.figures import stacked_bar, stacked_columns
from armillary.twin import ServingAnswer

TRAINING, LEFT = "training", "left for more training"


def capacity_figure(serving: ServingAnswer) -> str:
    """The fleet by quarter: each served workload, training, what is left, and what serving asks for."""
    word = serving_view.domain_word(serving)
    columns = [
        (
            row.start,
            [
                *((s.workload.name, float(s.domains)) for s in row.serving),
                (TRAINING, row.training_domains),
                (LEFT, max(row.left_domains, 0.0)),
            ],
        )
        for row in serving.quarters
    ]
    return stacked_columns(
        columns,
        "three months from",
        word,
        f"Who holds the fleet's {word}, quarter by quarter",
        [float(row.demanded_domains) for row in serving.quarters],
        "what serving asks for",
        (LEFT,),
    )


def demand_figure(serving: ServingAnswer) -> str:
    """Tokens a second by workload, read and written, mean of a day of its first month."""
    rows = []
    for label, name in (("read, tokens/s", "input"), ("written, tokens/s", "output")):
        parts = [
            (a.workload.name, a.workload.demand.messages * getattr(a.workload.demand.lengths.mean, name))
            for a in serving.workloads
        ]
        rows.append((label, parts))
    return stacked_bar(rows, "tokens/s", "What is read and written a second, before growth")


def serving_page(serving: ServingAnswer) -> dict[str, Any]:
    """What the template shows."""
    return {
        "infeasible": [(a.workload.name, a.infeasible) for a in serving.workloads if a.infeasible],
        "figures": [capacity_figure(serving), demand_figure(serving)],
        "tables": [
            serving_view.quarter_table(serving),
            serving_view.demand_table(serving),
            serving_view.source_table(serving),
            serving_view.size_table(serving),
            serving_view.served_table(serving, every=False),
        ],
        "folded": [serving_view.served_table(serving, every=True)],
        "agents": serving_view.agents_text(serving),
        "facts": [
            (
                f.name.replace("_", " "),
                f"{f.fact.value:,.10g} {f.fact.unit}",
                f.fact.kind,
                f"{f.fact.source}, {f.fact.date}",
            )
            for f in serving.facts
        ],
    }

"""The twin room: answers a scenario; alone in knowing the order of questions. May import the rooms above."""

from armillary.twin.comparison import Comparison, Side, compare
from armillary.twin.plan import Price, TrainingPlan, plan_training, uses_of
from armillary.twin.report import Report, run
from armillary.twin.sensitivity import (
    SWEEPS,
    Curve,
    Point,
    around,
    by_domain,
    by_oversubscription,
    by_ring_bandwidth,
    by_scale,
    by_sequence,
    by_system,
    plan_gradients,
)

__all__ = [
    "SWEEPS",
    "Comparison",
    "Curve",
    "Point",
    "Price",
    "Report",
    "Side",
    "TrainingPlan",
    "around",
    "by_domain",
    "by_oversubscription",
    "by_ring_bandwidth",
    "by_scale",
    "by_sequence",
    "by_system",
    "compare",
    "plan_gradients",
    "plan_training",
    "run",
    "uses_of",
]

"""The twin room: answers a scenario; alone in knowing the order of questions. May import the rooms above."""

from armillary.twin.capacity import Placed, QuarterRow, ServedQuarter, TrainedQuarter, plan_quarters
from armillary.twin.comparison import Comparison, Side, compare
from armillary.twin.fabric_cases import (
    QUESTIONS,
    Case,
    LongHaul,
    Plan,
    Shape,
    case_cost,
    fabric_cases,
    fabric_of,
    machine_of,
)
from armillary.twin.plan import Price, TrainingPlan, plan_training, uses_of
from armillary.twin.portfolio_answer import (
    PortfolioAnswer,
    Trained,
    WorkPrice,
    plan_purchases,
    portfolio_answer,
)
from armillary.twin.portfolio_deal import Deal, OwnOrRent
from armillary.twin.portfolio_explained import Explained, explain
from armillary.twin.portfolio_work import Work
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
from armillary.twin.serving_answer import AgentsQuarter, NamedFact, ServedAnswer, ServingAnswer
from armillary.twin.serving_sizes import SizedPlace, size_place
from armillary.twin.whatif import Outcome, Worth, try_fabrics, worth

__all__ = [
    "QUESTIONS",
    "SWEEPS",
    "AgentsQuarter",
    "Case",
    "Comparison",
    "Curve",
    "Deal",
    "Explained",
    "LongHaul",
    "NamedFact",
    "Outcome",
    "OwnOrRent",
    "Placed",
    "Plan",
    "Point",
    "PortfolioAnswer",
    "Price",
    "QuarterRow",
    "Report",
    "ServedAnswer",
    "ServedQuarter",
    "ServingAnswer",
    "Shape",
    "Side",
    "SizedPlace",
    "Trained",
    "TrainedQuarter",
    "TrainingPlan",
    "Work",
    "WorkPrice",
    "Worth",
    "around",
    "by_domain",
    "by_oversubscription",
    "by_ring_bandwidth",
    "by_scale",
    "by_sequence",
    "by_system",
    "case_cost",
    "compare",
    "explain",
    "fabric_cases",
    "fabric_of",
    "machine_of",
    "plan_gradients",
    "plan_purchases",
    "plan_quarters",
    "plan_training",
    "portfolio_answer",
    "run",
    "size_place",
    "try_fabrics",
    "uses_of",
    "worth",
]

"""The validation room: scores of the models on measured tables. May import the rooms above it."""

from armillary.validation.score import Row, Summary, kendall_tau, summarise
from armillary.validation.training import (
    METRICS,
    default_calibration,
    is_scored,
    read_table,
    validate_training,
)
from armillary.validation.training_rows import Setup, read

__all__ = [
    "METRICS",
    "Row",
    "Setup",
    "Summary",
    "default_calibration",
    "is_scored",
    "kendall_tau",
    "read",
    "read_table",
    "summarise",
    "validate_training",
]

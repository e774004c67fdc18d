"""The validation room: scores of the models on measured tables. May import the rooms above it."""

from armillary.validation.memory import read_memory_table, validate_memory
from armillary.validation.score import Row, Summary, kendall_tau, summarise
from armillary.validation.tables import RUNS, SLICES, read_table
from armillary.validation.training import (
    METRICS,
    default_calibration,
    is_scored,
    validate_training,
)
from armillary.validation.training_rows import Setup, read

__all__ = [
    "METRICS",
    "RUNS",
    "SLICES",
    "Row",
    "Setup",
    "Summary",
    "default_calibration",
    "is_scored",
    "kendall_tau",
    "read",
    "read_memory_table",
    "read_table",
    "summarise",
    "validate_memory",
    "validate_training",
]

"""The validation room: scores of the models on measured tables. May import the rooms above it."""

from armillary.validation.alltoall import (
    ALLTOALL,
    DOUBTFUL,
    alltoall_figures,
    read_alltoall_table,
    validate_alltoall,
)
from armillary.validation.collectives import COLLECTIVES, read_collectives, validate_collectives
from armillary.validation.memory import PEAK, RUN_METRIC, read_memory_table, validate_memory
from armillary.validation.record import (
    RECORD,
    collectives_figures,
    memory_figures,
    moved,
    record,
    recorded,
    training_figures,
)
from armillary.validation.score import (
    Explained,
    Row,
    Scaling,
    Summary,
    explain,
    kendall_tau,
    scaling,
    summarise,
)
from armillary.validation.serving import SERVING, read_serving_table, serving_figures, validate_serving
from armillary.validation.tables import RUNS, SLICES, read_table
from armillary.validation.training import (
    METRICS,
    default_calibration,
    is_scored,
    validate_training,
)
from armillary.validation.training_rows import Setup, read

__all__ = [
    "ALLTOALL",
    "COLLECTIVES",
    "DOUBTFUL",
    "METRICS",
    "PEAK",
    "RECORD",
    "RUNS",
    "RUN_METRIC",
    "SERVING",
    "SLICES",
    "Explained",
    "Row",
    "Scaling",
    "Setup",
    "Summary",
    "alltoall_figures",
    "collectives_figures",
    "default_calibration",
    "explain",
    "is_scored",
    "kendall_tau",
    "memory_figures",
    "moved",
    "read",
    "read_alltoall_table",
    "read_collectives",
    "read_memory_table",
    "read_serving_table",
    "read_table",
    "record",
    "recorded",
    "scaling",
    "serving_figures",
    "summarise",
    "training_figures",
    "validate_alltoall",
    "validate_collectives",
    "validate_memory",
    "validate_serving",
    "validate_training",
]

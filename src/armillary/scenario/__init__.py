"""The scenario room: the one input file, its schema and errors. May import the rooms above it."""

from armillary.scenario.reading import as_understood, builtin_names, json_schema, parse, read
from armillary.scenario.scenario import Cluster, Contract, Scenario, StatedFact, TrainingWorkload

__all__ = [
    "Cluster",
    "Contract",
    "Scenario",
    "StatedFact",
    "TrainingWorkload",
    "as_understood",
    "builtin_names",
    "json_schema",
    "parse",
    "read",
]

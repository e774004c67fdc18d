"""The scenario room: the one input file, its schema and errors. May import the rooms above it."""

from armillary.scenario.purchasing import (
    CPUS,
    RESEARCH,
    AskedGeneration,
    AskedOffer,
    AskedSite,
    AskedSku,
    Purchasing,
)
from armillary.scenario.reading import as_understood, builtin_names, json_schema, parse, read
from armillary.scenario.scenario import (
    Cluster,
    Contract,
    Horizon,
    Scenario,
    ServedDemand,
    ServedOn,
    ServingWorkload,
    StatedFact,
    TrainingWorkload,
)

__all__ = [
    "CPUS",
    "RESEARCH",
    "AskedGeneration",
    "AskedOffer",
    "AskedSite",
    "AskedSku",
    "Cluster",
    "Contract",
    "Horizon",
    "Purchasing",
    "Scenario",
    "ServedDemand",
    "ServedOn",
    "ServingWorkload",
    "StatedFact",
    "TrainingWorkload",
    "as_understood",
    "builtin_names",
    "json_schema",
    "parse",
    "read",
]

"""The training room: layouts, memory, time, search. May import units, catalog, machine, model, network."""

from armillary.training.calibration import Calibration, calibration
from armillary.training.layout import Layout
from armillary.training.memory import Memory
from armillary.training.precision import RECIPES, Recipe, recipe
from armillary.training.search import Candidate, Search, search
from armillary.training.space import Options, Space, options, space
from armillary.training.step import Busy, Estimate, Job, StepTime, estimate

__all__ = [
    "RECIPES",
    "Busy",
    "Calibration",
    "Candidate",
    "Estimate",
    "Job",
    "Layout",
    "Memory",
    "Options",
    "Recipe",
    "Search",
    "Space",
    "StepTime",
    "calibration",
    "estimate",
    "options",
    "recipe",
    "search",
    "space",
]

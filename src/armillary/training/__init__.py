"""The training room: layouts, memory, time, search. May import units, catalog, machine, model, network."""

from armillary.training.calibration import Calibration, calibration
from armillary.training.layout import Layout
from armillary.training.memory import Memory
from armillary.training.precision import RECIPES, Recipe, recipe
from armillary.training.search import Candidate, Search, search
from armillary.training.space import Options, Space, options, space
from armillary.training.step import Busy, Estimate, Job, StepTime, estimate
from armillary.training.waterfall import Bar, Waterfall, waterfall

__all__ = [
    "RECIPES",
    "Bar",
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
    "Waterfall",
    "calibration",
    "estimate",
    "options",
    "recipe",
    "search",
    "space",
    "waterfall",
]

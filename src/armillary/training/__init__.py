"""The training room: layouts, memory, time, search. May import units, catalog, machine, model, network."""

from armillary.training.calibration import Calibration, calibration
from armillary.training.gradients import Gradient, Gradients, gradients
from armillary.training.job import Job
from armillary.training.layout import Layout
from armillary.training.memory import Memory
from armillary.training.nearest import Advice, Change, Near, advise, nearest
from armillary.training.precision import RECIPES, Recipe, recipe
from armillary.training.search import Candidate, Search, search
from armillary.training.space import Options, Space, options, space
from armillary.training.step import Busy, Estimate, StepTime, estimate
from armillary.training.waterfall import Bar, Waterfall, waterfall

__all__ = [
    "RECIPES",
    "Advice",
    "Bar",
    "Busy",
    "Calibration",
    "Candidate",
    "Change",
    "Estimate",
    "Gradient",
    "Gradients",
    "Job",
    "Layout",
    "Memory",
    "Near",
    "Options",
    "Recipe",
    "Search",
    "Space",
    "StepTime",
    "Waterfall",
    "advise",
    "calibration",
    "estimate",
    "gradients",
    "nearest",
    "options",
    "recipe",
    "search",
    "space",
    "waterfall",
]

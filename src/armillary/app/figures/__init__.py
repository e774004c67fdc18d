"""Figures as self-contained SVG text: pure functions of data, for light and dark, for any colour vision."""

from armillary.app.figures.bars import bar_chart, range_chart, stacked_bar
from armillary.app.figures.columns import stacked_columns
from armillary.app.figures.fan import fan_chart
from armillary.app.figures.heat_map import heat_map
from armillary.app.figures.lines import line_chart
from armillary.app.figures.rings import rings
from armillary.app.figures.scatter import scatter
from armillary.app.figures.timeline import timeline
from armillary.app.figures.tornado import tornado_chart
from armillary.app.figures.waterfall import waterfall_chart

__all__ = [
    "bar_chart",
    "fan_chart",
    "heat_map",
    "line_chart",
    "range_chart",
    "rings",
    "scatter",
    "stacked_bar",
    "stacked_columns",
    "timeline",
    "tornado_chart",
    "waterfall_chart",
]

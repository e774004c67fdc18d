"""Figures as self-contained SVG text: pure functions of data, for light and dark, for any colour vision."""

from armillary.app.figures.bars import bar_chart, range_chart, stacked_bar
from armillary.app.figures.lines import line_chart
from armillary.app.figures.rings import rings
from armillary.app.figures.scatter import scatter
from armillary.app.figures.waterfall import waterfall_chart

__all__ = [
    "bar_chart",
    "line_chart",
    "range_chart",
    "rings",
    "scatter",
    "stacked_bar",
    "waterfall_chart",
]

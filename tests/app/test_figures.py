from xml.etree import ElementTree

import pytest

from armillary.app.figures import bar_chart, line_chart, rings, scatter, stacked_bar
from armillary.app.figures.canvas import ticks

FIGURES = {
    "stacked": stacked_bar([("a <b>", [("x & y", 1.0), ("z", 0.0)])], "s", "T", limit=2.0),
    "bars": bar_chart([("up", 0.3), ("down", -0.2)], "T", percent=True),
    "lines": line_chart([("s", [(8, 0.3), (576, 0.4)])], "x", "y", "T", log_x=True, percent=True),
    "empty": line_chart([("s", [])], "x", "y", "T"),
    "scatter": scatter([("s", [(1.0, 1.1), (100.0, 90.0)])], "x", "y", "T"),
    "rings": rings([("chip", "1", "8 TB/s"), ("scale-up", "72", "900 GB/s")], "T"),
}


@pytest.mark.parametrize("name", list(FIGURES))
def test_figures_are_well_formed_and_described(name):
    root = ElementTree.fromstring(FIGURES[name])
    assert root.find("{http://www.w3.org/2000/svg}title").text == "T"
    assert root.find("{http://www.w3.org/2000/svg}desc").text


def test_bars_are_as_long_as_their_values():
    root = ElementTree.fromstring(stacked_bar([("a", [("x", 3.0), ("y", 1.0)])], "s", "T"))
    widths = [
        float(r.get("width"))
        for r in root.iter("{http://www.w3.org/2000/svg}rect")
        if r.get("height") == "22.00"
    ]
    assert widths[0] == pytest.approx(3 * widths[1], rel=1e-3)


@pytest.mark.parametrize(
    ("low", "high", "log"), [(0, 1, False), (0, 7.3e9, False), (8, 576, True), (1, 1e6, True)]
)
def test_ticks_stay_inside_and_are_few(low, high, log):
    found = ticks(low, high, log)
    assert 2 <= len(found) <= 10
    assert all(low * 0.99 <= t <= high * 1.01 for t in found)

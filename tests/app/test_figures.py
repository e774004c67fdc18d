"""Figures are true to their data, well formed, described, legible, and leave the page around them alone."""

from __future__ import annotations

import math
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from armillary.app.figures import (
    bar_chart,
    fan_chart,
    heat_map,
    line_chart,
    range_chart,
    rings,
    scatter,
    stacked_bar,
    stacked_columns,
    timeline,
    tornado_chart,
    waterfall_chart,
)
from armillary.app.figures.axes import number, rounded_up, scale, ticks
from armillary.app.figures.canvas import STYLE, width_of
from armillary.app.figures.timeline import Span

SVG = "{http://www.w3.org/2000/svg}"
FIGURES = {
    "heat": heat_map([("leaf <up>", np.array([0.1, 0.9]))], "T"),
    "timeline": timeline([("r & s", [Span("a", "b", 0.0, 1e-3)])], "T"),
    "stacked": stacked_bar([("a <b>", [("x & y", 1.0), ("z", 0.0)])], "s", "T", limit=2.0),
    "bars": bar_chart([("up", 0.3), ("down", -0.2)], "T", percent=True),
    "lines": line_chart([("s", [(8, 0.3), (576, 0.4)])], "x", "y", "T", log_x=True, percent=True),
    "marked": line_chart(
        [("s", [(1, 2)]), ("t", [])], "x", "y", "T", marks=[(3, "now")], notes=[(1, 2, "!")]
    ),
    "scatter": scatter([("s", [(1.0, 1.1), (100.0, 90.0)])], "x", "y", "T"),
    "rings": rings([("chip", "1", "8 TB/s"), ("scale-up", "72", "900 GB/s")], "T"),
    "waterfall": waterfall_chart(("from", 2.0), [("more", 0.5), ("less", -0.7), ("none", 0.0)], "to", "T"),
    "no way": waterfall_chart(("from", 0.0), [], "to", "T"),
    "no rows": stacked_bar([], "s", "T"),
    "no bars": bar_chart([], "T"),
    "no lines": line_chart([("s", [])], "x", "y", "T"),
    "ranges": range_chart([("h", [("a", -0.9, 0.1, 0.9, 2), ("b", 0, 0, 0, 1)])], "T", -0.5, 0.5, "n"),
    "named": scatter([("s", [(1.0, 2.0), (9.0, 1.0)])], "x", "y", "T", unit="s", notes=[(1.0, 2.0, "far")]),
    "columns": stacked_columns(
        [(f"20{i}-03", [("x & y", 3.0), ("left <over>", 1.0)]) for i in range(26, 46)],
        "from",
        "chips",
        "T",
        [5.0] * 20,
        "asked",
        ["left <over>"],
    ),
    "no columns": stacked_columns([], "x", "y", "T"),
    "no points": scatter([], "x", "y", "T"),
    "no rings": rings([], "T"),
    "tornado": tornado_chart([("life <it>", 2.8, 1.9, "3 yr", "7 yr"), ("x", 2.2, 2.2, "1", "2")], 2.2, "T"),
    "one way": tornado_chart([("share", 2.2, 5.0, "a long low end", "b")], 2.2, "T", "USD", "a long name"),
    "fan": fan_chart(
        [f"20{y}Q{q}" for y in range(25, 33) for q in (1, 2, 3, 4)],
        (0.05, 0.25, 0.5, 0.75, 0.95),
        np.cumsum(np.ones((5, 32)), axis=1) * 1e3 * np.arange(1, 6)[:, None],
        "T",
        "accelerators & more",
        wanted=[5e4] * 32,
    ),
    "one period": fan_chart(["now"], (0.5,), [[0.0]], "T"),
    "no periods": fan_chart([], (0.5,), [[]], "T"),
    "no tornado": tornado_chart([], 1.0, "T"),
}


def parts(svg: str, tag: str) -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(svg).iter(SVG + tag))


def words(svg: str) -> list[str]:
    return ["".join(t.itertext()) for t in parts(svg, "text")]


@pytest.mark.parametrize("name", list(FIGURES))
def test_figures_are_well_formed_and_described(name):
    root = ElementTree.fromstring(FIGURES[name])
    assert root.find(SVG + "title").text == "T"
    assert root.find(SVG + "desc").text
    assert root.get("role") == "img"
    assert not re.search(r"nan|inf\b|href|url\(", FIGURES[name].removeprefix(STYLE))


@pytest.mark.parametrize("name", list(FIGURES))
def test_words_stay_inside_the_figure(name):
    root = ElementTree.fromstring(FIGURES[name])
    for text in root.iter(SVG + "text"):
        if text.get("transform"):
            continue
        size = next((k for k in text.get("class", "").split() if k in ("title", "small", "tiny")), "")
        room = width_of("".join(text.itertext()), size)
        left = float(text.get("x")) - {"end": room, "middle": room / 2}.get(text.get("text-anchor"), 0)
        assert left >= 0
        assert left + room <= float(root.get("width"))
        assert 0 < float(text.get("y")) <= float(root.get("height"))


def test_style_stays_inside_the_figure():
    rules = re.findall(r"([^{}]+)\{[^{}]*\}", STYLE.replace("@media(prefers-color-scheme:dark){", ""))
    assert rules
    assert all(part.startswith(".figure ") for rule in rules for part in rule.split(","))


def test_bars_are_as_long_as_their_values():
    svg = stacked_bar([("a", [("x", 3.0), ("y", 1.0)]), ("b", [("x", 2.0)])], "s", "T")
    widths = [float(r.get("width")) for r in parts(svg, "rect") if r.get("height") == "24.00"]
    assert widths[0] == pytest.approx(3 * widths[1], rel=1e-3)
    assert widths[2] == pytest.approx(2 * widths[1], rel=1e-3)
    assert {"75%", "25%", "4 s", "2 s"} <= set(words(svg))


def test_what_exceeds_the_limit_says_by_how_much():
    svg = stacked_bar([("a", [("x", 90e9)]), ("b", [("x", 60e9)])], "B", "T", limit=80e9)
    assert "90 GB, 10 GB over" in words(svg)
    assert "60 GB" in words(svg)
    assert "capacity 80 GB" in words(svg)


def test_parts_too_thin_to_see_are_drawn_but_not_in_the_legend():
    svg = stacked_bar([("a", [("thin", 0.001), ("x", 1.0)])], "s", "T")
    assert "thin" not in words(svg)
    assert any("thin: 1 ms" in (t.text or "") for t in parts(svg, "title"))


def test_parts_keep_the_order_of_the_rows():
    svg = stacked_bar(
        [("a", [("b", 1.0), ("d", 1.0)]), ("c", [("a", 1.0), ("b", 1.0), ("c", 1.0)])], "s", "T"
    )
    assert [w for w in words(svg) if w in "abcd"][-4:] == ["a", "b", "c", "d"]


def test_negative_bars_go_left_of_zero_and_their_value_is_free_of_the_label():
    svg = bar_chart([("up", 0.3), ("a rather long label", -0.2)], "T", percent=True)
    up, down = [r for r in parts(svg, "rect") if r.get("height") == "19.00"]
    assert float(down.get("x")) + float(down.get("width")) == pytest.approx(float(up.get("x")))
    label, value = (
        next(t for t in parts(svg, "text") if t.text == w) for w in ("a rather long label", "−20%")
    )
    assert float(value.get("x")) - width_of("−20%") > float(label.get("x"))


def test_a_waterfall_hangs_together():
    svg = waterfall_chart(("a", 2.0), [("more", 0.5), ("less", -1.5)], "b", "T", tips=["why", ""])
    start, more, less, end = [
        (float(r.get("x")), float(r.get("width"))) for r in parts(svg, "rect") if r.get("class") != "paper"
    ]
    assert start[0] + start[1] == pytest.approx(more[0], abs=0.02)
    assert more[0] + more[1] == pytest.approx(less[0] + less[1], abs=0.02)
    assert end[1] == pytest.approx(start[1] / 2, abs=0.02)
    assert "+500 ms (+50.0%)" in words(svg)
    assert "why" in svg


def test_a_scatter_is_a_square_with_equal_reach():
    svg = scatter([("s", [(1.0, 10.0), (10.0, 1.0)])], "x", "y", "T")
    (a, b) = [(float(c.get("cx")), float(c.get("cy"))) for c in parts(svg, "circle")][:2]
    assert b[0] - a[0] == pytest.approx(b[1] - a[1])


def test_columns_are_as_high_as_their_values_and_stand_on_each_other():
    columns = [("a", [("x", 3.0), ("y", 1.0)]), ("b", [("x", 2.0)])]
    svg = stacked_columns(columns, "t", "n", "T", [4.0, 1.0], "l")
    boxes = [r for r in parts(svg, "rect") if r.findtext(SVG + "title")]
    heights = [float(r.get("height")) for r in boxes]
    assert heights[0] == pytest.approx(3 * heights[1], rel=1e-3)
    assert heights[2] == pytest.approx(2 * heights[1], rel=1e-3)
    top = float(boxes[1].get("y"))
    assert top + heights[1] == pytest.approx(float(boxes[0].get("y")), abs=0.02)
    steps = [r for r in parts(svg, "line") if r.get("stroke-dasharray") and r.get("y1") == r.get("y2")]
    assert top == pytest.approx(float(steps[1].get("y1")), abs=0.1)  # the line at 4 is the top of 3 + 1


@pytest.mark.parametrize("bad", [-1.0, math.nan, math.inf])
def test_columns_refuse_what_is_no_amount(bad):
    with pytest.raises(ValueError, match=r"finite|0 or more"):
        stacked_columns([("a", [("x", bad)])], "t", "n", "T")
    with pytest.raises(ValueError, match="for each of 1 columns"):
        stacked_columns([("a", [("x", 1.0)])], "t", "n", "T", [1.0, 2.0])


@pytest.mark.parametrize("bad", [math.nan, math.inf, 0.0, -1.0])
def test_what_cannot_be_drawn_is_refused(bad):
    with pytest.raises(ValueError, match="positive and finite"):
        scatter([("s", [(1.0, bad)])], "x", "y", "T")
    with pytest.raises(ValueError, match="positive and finite"):
        line_chart([("s", [(bad, 1.0)])], "x", "y", "T", log_x=True)
    if bad != 0:
        with pytest.raises(ValueError, match="must be"):
            stacked_bar([("a", [("x", bad)])], "s", "T")


@given(st.floats(1e-9, 1e18), st.floats(1.001, 1e9), st.booleans(), st.sampled_from(["", "s"]))
def test_ticks_stay_inside_and_are_few(low, ratio, log, unit):
    high = low * ratio
    found = ticks(low, high, log, unit=unit)
    assert 1 <= len(found) <= 12
    assert found == sorted(set(found))
    assert all(low * 0.99 <= t <= high * 1.01 for t in found)


@given(st.floats(1e-12, 1e18), st.sampled_from(["", "s"]))
def test_an_axis_from_zero_ends_at_a_tick_above_its_values(high, unit):
    end = rounded_up(high, unit)
    assert high * 0.998 <= end <= 2 * high
    assert ticks(0, end, unit=unit)[-1] == pytest.approx(end)


@given(st.floats(1, 1e6), st.floats(1.1, 1e6), st.booleans(), st.floats(0, 1))
def test_scales_keep_order_and_ends(low, ratio, log, share):
    high = low * ratio
    place = scale(low, high, log, 10.0, 500.0)
    assert place(low) == pytest.approx(10)
    assert place(high) == pytest.approx(500)
    assert 9.99 <= place(low + share * (high - low)) <= 500.01


def test_numbers_are_short():
    assert [number(v) for v in (0, 0.1234, 8.0, 4608, 524_288, 2.5e9)] == [
        "0", "0.123", "8", "4,608", "524,288", "2.5G",
    ]  # fmt: skip
    assert [number(v, percent=True) for v in (-0.0001, -0.21, 0.053)] == ["0%", "−21%", "5.3%"]


def test_ranges_are_cut_at_the_edge_with_an_arrow():
    svg = range_chart([("h", [("a", -0.9, 0.1, 0.9, 2)])], "T", -0.5, 0.5)
    assert "→" in svg
    assert "←" in svg
    assert "2 rows" in svg


def test_ticks_of_times_go_below_a_second():
    assert ticks(0.08, 300, log=True, unit="s")[0] == pytest.approx(0.1)


def test_a_heat_map_says_what_it_draws_and_draws_many_links_as_means():
    uses = np.linspace(0, 1, 1000)
    svg = heat_map([("leaf up", uses), ("spine up", np.array([0.5]))], "Use")
    assert svg.count("<rect") == 1 + 128 + 1 + 11
    assert "1,000 links, mean 50%, highest 100%" in svg
    assert "leaf up, links 0 to 6: 0.3%" in svg
    assert "spine up, link 0: 50%" in svg
    assert "no links" in heat_map([("leaf up", np.empty(0))], "Use")
    with pytest.raises(ValueError, match="0 or more"):
        heat_map([("a", np.array([-0.1]))], "Use")
    with pytest.raises(ValueError, match="finite"):
        heat_map([("a", np.array([np.nan]))], "Use")


def test_a_timeline_places_slices_by_time():
    spans = [Span("forward", "compute", 0.0, 2.0), Span("exchange", "network", 1.0, 4.0)]
    svg = timeline([("rank 0", spans[:1]), ("rank 1", spans[1:])], "A step")
    assert "forward: 0 s to 2 s" in svg.replace("0 to", "0 s to")
    assert "exchange: 1 s to 4 s" in svg
    widths = [float(w) for w in re.findall(r'width="([0-9.]+)" height="18.00"', svg)]
    assert widths[1] == pytest.approx(1.5 * widths[0], rel=1e-3)
    assert "no tracks" in timeline([], "Nothing")
    with pytest.raises(ValueError, match="before its start"):
        timeline([("a", [Span("x", "y", 2.0, 1.0)])], "T")


def test_a_tornado_reaches_from_the_middle_to_both_answers():
    svg = tornado_chart([("life", 3.0, 1.5, "3 yr", "7 yr"), ("rate", 1.8, 2.4, "5%", "9%")], 2.0, "T")
    bars = [r for r in parts(svg, "rect") if r.get("height") == "19.00"]
    widths = [float(r.get("width")) for r in bars]  # of a row, the longer one is drawn first
    assert widths[0] == pytest.approx(2 * widths[1], abs=0.03)
    assert widths[0] == pytest.approx(2.5 * widths[2], abs=0.06)
    starts = [float(r.get("x")) for r in bars]
    assert starts[0] == pytest.approx(starts[1] + widths[1], abs=0.02)
    assert "life 3 yr: 3" in svg
    assert words(svg).index("3 yr") > words(svg).index("7 yr")  # the lower answer is written on the left
    with pytest.raises(ValueError, match="finite"):
        tornado_chart([("x", math.nan, 1.0, "a", "b")], 1.0, "T")


def test_a_fan_reaches_from_level_to_level():
    svg = fan_chart(["a", "b"], (0.1, 0.5, 0.9), [[0, 10], [20, 30], [40, 80]], "T", wanted=[50, 60])
    first, second = [r for r in parts(svg, "rect") if "to" in "".join(r.itertext())]
    assert float(second.get("height")) == pytest.approx(70 / 40 * float(first.get("height")), rel=1e-3)
    assert "b: 10 to 80 (10% to 90%), middle 30" in svg
    assert {"10% to 90%", "middle", "wanted", "a", "b"} <= set(words(svg))
    assert "wanted" not in fan_chart(["a"], (0.5,), [[1.0]], "T")
    with pytest.raises(ValueError, match="finite"):
        fan_chart(["a"], (0.5,), [[math.nan]], "T")
    with pytest.raises(ValueError, match="and a middle"):
        fan_chart(["a"], (0.1, 0.9), [[1.0], [2.0]], "T")
    with pytest.raises(ValueError, match="2 wanted values"):
        fan_chart(["a"], (0.5,), [[1.0]], "T", wanted=[1.0, 2.0])

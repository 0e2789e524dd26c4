"""Pictures, with matplotlib and without."""

import sys
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from stead.adapters.plots import Bars, Curve, Points, Steps, SvgPicture, bars, curves, picture

PANELS = [
    Bars("patients", ("F", "M"), np.array([120.0, 80.0]), np.array([10.0, 12.0]), "people"),
    Bars("change <b>", ("F", "M"), np.array([-1.0, 2.0]), np.array([0.5, np.inf])),
]
CURVES = [Curve("AUC", np.arange(1.0, 4.0), np.array([0.5, np.nan, 0.8]), "round")]


@pytest.fixture
def without_matplotlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)


def shapes(picture, tag):
    return ET.fromstring(picture.svg).iter("{http://www.w3.org/2000/svg}" + tag)


def test_bars_are_drawn_as_svg_with_error_bars_to_scale(without_matplotlib, tmp_path):
    picture = bars("Answer", PANELS)
    assert isinstance(picture, SvgPicture)
    assert "<script" not in picture.svg
    rectangles = list(shapes(picture, "rect"))
    assert len(rectangles) == 4
    heights = [float(r.get("height")) for r in rectangles[:2]]
    assert heights[0] / heights[1] == pytest.approx(120 / 80, rel=0.01)
    whiskers = [path.get("d") for path in shapes(picture, "path") if "V" in path.get("d")]
    assert len(whiskers) == 4
    low, high = (float(part) for part in whiskers[0].split()[1].split("V"))
    assert abs(low - high) / heights[0] == pytest.approx(20 / 120, rel=0.02)
    assert "change &lt;b&gt;" in picture.svg
    picture.save(tmp_path / "a.svg")
    assert (tmp_path / "a.svg").read_text(encoding="utf-8") == picture._repr_svg_()


def test_curves_leave_gaps_out(without_matplotlib):
    picture = curves("Run", CURVES)
    (line,) = shapes(picture, "polyline")
    assert len(line.get("points").split()) == 2
    nothing = curves("Run", [Curve("AUC", np.array([1.0]), np.array([np.nan]), "round")])
    assert not list(shapes(nothing, "polyline"))


def test_a_flat_curve_is_drawn(without_matplotlib):
    (line,) = shapes(curves("Run", [Curve("AUC", np.array([1.0, 2.0]), np.array([3.0, 3.0]), "round")]), "polyline")
    ys = {point.split(",")[1] for point in line.get("points").split()}
    assert len(ys) == 1


def test_matplotlib_is_used_where_it_is_there():
    pytest.importorskip("matplotlib")
    figure = bars("Answer", PANELS)
    assert [axes.get_title() for axes in figure.axes] == ["patients", "change <b>"]
    assert [patch.get_height() for patch in figure.axes[0].patches] == [120.0, 80.0]
    assert len(figure.axes[0].containers[0].lines[2][0].get_segments()) == 2
    assert len(curves("Run", CURVES).axes[0].lines) == 1


POINTS = Points("fit", ("age", "height <cm>"), np.array([1.0, -2.0]), np.array([0.5, np.inf]), "standard errors from 0")
STEPS = Steps(
    "survival",
    np.array([0.0, 1.0, 3.0]),
    np.array([[1.0, 0.8, 0.5], [1.0, 0.9, 0.7]]),
    np.array([[1.0, 0.7, 0.3], [1.0, 0.8, 0.5]]),
    np.array([[1.0, 0.9, 0.7], [1.0, 1.0, 0.9]]),
    ("F", "M"),
    "years",
)


def test_steps_hold_until_the_next_edge_and_have_bands(without_matplotlib):
    drawn = picture("Answer", [STEPS])
    line = next(shapes(drawn, "polyline"))
    corners = [tuple(float(each) for each in point.split(",")) for point in line.get("points").split()]
    assert [y for _, y in corners] == sorted(y for _, y in corners)  # downwards on the page, never up again
    assert corners[0][1] == corners[1][1]
    assert corners[1][0] == corners[2][0]
    width = corners[-1][0] - corners[0][0]
    assert (corners[1][0] - corners[0][0]) / width == pytest.approx(1 / 3, rel=0.01)
    assert len(list(shapes(drawn, "polygon"))) == 2
    dashes = {shape.get("stroke-dasharray") for shape in shapes(drawn, "polyline")}
    assert len(dashes) == 2  # told apart without colours


def test_points_are_drawn_to_scale_with_error_bars(without_matplotlib):
    drawn = picture("Answer", [POINTS])
    first, second = (float(circle.get("cx")) for circle in shapes(drawn, "circle"))
    assert first > second
    whisker = next(path.get("d") for path in shapes(drawn, "path") if "H" in path.get("d"))
    low, high = float(whisker[1:].split()[0]), float(whisker.split("H")[1])
    assert (high - low) / (first - second) == pytest.approx(1 / 3, rel=0.01)
    assert "height &lt;cm&gt;" in drawn.svg


@pytest.mark.parametrize("kind", [Bars, Points])
def test_a_panel_of_nothing_is_drawn(without_matplotlib, kind):
    drawn = picture("Answer", [kind("n", (), np.zeros(0), np.zeros(0))])
    assert "n" in drawn.svg


def test_matplotlib_draws_the_same():
    pytest.importorskip("matplotlib")
    steps, points = picture("Answer", [STEPS, POINTS]).axes
    assert [line.get_linestyle() for line in steps.lines] == ["-", "--"]
    assert [text.get_text() for text in steps.get_legend().get_texts()] == ["F", "M"]
    assert points.lines[0].get_xdata().tolist() == [1.0, -2.0]
    assert points.yaxis_inverted()  # the first one on top

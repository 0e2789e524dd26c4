"""Answers of every kind: as tables for people, for other tools, and as pictures."""

import xml.etree.ElementTree as ET

import numpy as np
import pytest

import stead

GROUPED = {
    "curve": lambda f: f.kaplan_meier(time="days", event="ill", edges=[0, 90, 180, 366]),
    "hazard": lambda f: f.nelson_aalen(time="days", event="ill", edges=[0, 90, 180, 366]),
    "test": lambda f: f.log_rank(time="days", event="ill", edges=[0, 90, 180, 366]),
    "fit": lambda f: f.linear(target="weight", features=["height", "age"]),
    "top": lambda f: f.band.top_k(2),
    "q": lambda f: f.age.quantile([0.25, 0.5, 0.75], depth=2),
    "cells": lambda f: f.admitted.histogram(["2015-01-01", "2020-01-01", "2024-12-31"]),
    "day": lambda f: f.admitted.mean(),
    "n": lambda f: f.count(),
}


@pytest.fixture
def frame(visits):
    return visits.with_columns(
        days=(visits.left - visits.admitted).clip(0, 366),
        band=visits.age.cut([18, 40, 65, 100], labels=["young", "middle", "old"]),
    )


@pytest.fixture
def answer(frame):
    asked = frame.group_by("sex").agg(**{name: build(frame) for name, build in GROUPED.items()})
    return asked.answer(epsilon=30.0, why="every kind")


def test_rows_are_groups_and_columns_are_numbers(answer):
    shown = answer.to_dict()
    assert shown["sex"] == ["F", "M"]
    for label in ("curve 90", "hazard 366", "test p", "fit intercept", "fit height se", "q 50 %", "day", "n"):
        assert len(shown[label]) == len(shown[f"{label} ±"]) == 2
    assert "cells [2020-01-01, 2024-12-31]" in shown
    assert set(shown["top 1"]) <= {"young", "middle", "old"}
    assert shown["top 1 count"][0] >= shown["top 2 count"][0]
    assert "top 1 ±" not in shown
    numbers = answer.to_numpy()
    assert numbers.shape == (2, sum(column.errors is not None for column in answer.columns))
    assert numbers.dtype == np.float64


def test_data_frames_hold_the_same(answer):
    pd, pl = pytest.importorskip("pandas"), pytest.importorskip("polars")
    shown = answer.to_dict()
    pandas, polars = answer.to_pandas(), answer.to_polars()
    assert isinstance(pandas, pd.DataFrame)
    assert isinstance(polars, pl.DataFrame)
    assert list(pandas) == polars.columns == list(shown)
    assert pandas["n"].tolist() == polars["n"].to_list() == shown["n"]
    assert polars["top 1"].to_list() == shown["top 1"]


def test_polars_is_named_where_it_is_missing(answer, monkeypatch):
    import sys

    from stead.errors import MissingExtra

    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(MissingExtra, match="Polars"):
        answer.to_polars()


def test_people_read_curves_by_time_and_regressions_by_term(answer):
    text = repr(answer)
    for words in ("up to days", "coefficient (± noise)", "standard error", "χ²", "observed", "days", "young"):
        assert words in text
    html = answer._repr_html_()
    assert "<script" not in html
    assert html.count("<table") == 5
    ET.fromstring(f"<div>{html}</div>")
    day = next(line for line in text.splitlines() if line.lstrip().startswith("F") and " days" in line)
    assert "-" in day  # a mean day is read as a date


def test_a_picture_fits_its_numbers(answer, monkeypatch):
    pytest.importorskip("matplotlib")
    figure = answer.plot()
    titles = [axes.get_title() for axes in figure.axes]
    assert titles[0] == "curve"
    assert titles[2].startswith("test: χ²")
    curve = figure.axes[0]
    assert len(curve.lines) == len(curve.collections) == 2
    assert curve.lines[0].get_drawstyle() == "steps-post"
    assert curve.lines[0].get_xydata()[0].tolist() == [0.0, 1.0]
    assert [label.get_text() for label in figure.axes[3].get_yticklabels()] == [
        "F height",
        "F age",
        "M height",
        "M age",
    ]
    assert len(figure.axes[4].patches) == 4


def test_pictures_without_matplotlib(answer, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    svg = ET.fromstring(answer.plot().svg)
    name = "{http://www.w3.org/2000/svg}"
    bands = list(svg.iter(name + "polygon"))
    assert len(bands) == 4
    assert len(list(svg.iter(name + "circle"))) == 4 + 6  # coefficients and quartiles of two groups
    steps = list(svg.iter(name + "polyline"))
    first = [tuple(map(float, point.split(","))) for point in steps[0].get("points").split()]
    assert first[0][1] == first[1][1]  # it stays until the next edge


def test_one_group_is_read_downwards(frame):
    found = frame.agg(n=frame.count(), top=frame.band.top_k(1), day=frame.admitted.median(depth=2)).on_mock()
    lines = repr(found).splitlines()
    assert [line.split()[0] for line in lines[2:]] == ["n", "top", "top", "day"]


def test_an_answer_without_shown_keys_is_a_table_without_rows(visits):
    frame = visits.limit(groups=1)
    answer = (
        frame.group_by_private("diagnosis")
        .agg(n=frame.count())
        .answer(sigmas=[1000.0, 10_000.0], noise="gaussian", why="nothing reaches 50,000")
    )
    assert answer.keys == ()
    assert answer.to_numpy().shape == (0, 2)
    assert answer.to_dict()["diagnosis"] == []
    assert "diagnosis" in repr(answer)
    assert answer.plot() is not None


def test_private_dates_and_numbers_are_keys(visits):
    frame = visits.limit(groups=1).with_columns(month=visits.admitted.year() * 100)
    assert frame.group_by_private("admitted").agg().on_mock().groups[0][0].count("-") == 2
    years = [key for (key,) in frame.group_by_private("month").agg().on_mock().groups]
    assert set(years) <= {100 * year for year in range(2015, 2026)}
    both = frame.group_by("sex").group_by_private("month").agg(n=frame.count()).on_mock()
    assert both.key_names == ("month", "sex")
    assert both["n"].shape == (len(years), 2) or len(both.groups) == 2 * len(both.keys)
    assert stead.when(visits.age > 1).then(1) is not None

"""What a dataset shows, and its mock rows."""

import numpy as np
import pytest

from stead.client.render import bar, number, size, with_error
from stead.errors import UnknownColumn, UsageError
from stead.plans.mock import mock_rows


def test_a_dataset_shows_card_columns_budget_rules_and_what_next(heart):
    text = repr(heart)
    assert len(text.splitlines()) <= 12
    for part in (
        "heart · North Hospital · 400–600 people · unit: patient",
        "cardiac risk research",
        "age int 18–100 years · sex {F,M} · pressure float 60–220 mmHg · disease bool",
        'ε 8.00 of 8.00 left for project "risk"',
        "automatic up to epsilon 0.5",
        "heart.mock.head()",
    ):
        assert part in text


def test_nothing_shown_can_run_in_a_notebook(make_node, scientist):
    from stead.client.stead import attach

    node = make_node("<script>alert(1)</script>")
    heart = attach(node, scientist, url="local://evil", project="risk")["heart"]
    for shown in (heart, heart.count().preview(within=0.1), heart.count().on_mock(), heart.frame):
        assert "<script" not in shown._repr_html_()
    assert "&lt;script&gt;" in heart._repr_html_()


def test_nothing_shown_can_steer_a_terminal(make_node, scientist):
    from stead.client.stead import attach

    north = attach(make_node("North\x1b[2J\nHospital"), scientist, url="local://north", project="risk")
    for shown in (north, north["heart"], north["heart"].count().preview(within=0.1)):
        assert "\x1b" not in repr(shown)


def test_the_budget_is_fetched_anew(heart):
    assert heart.budget[0].epsilon_spent == 0
    heart.count().answer(within=0.2, why="w")
    assert heart.budget[0].epsilon_spent > 0
    assert "ε 8.00 of 8.00" not in repr(heart)


def test_mock_rows_are_the_twins_of_the_schema(heart, node):
    mock = heart.mock
    expected = mock_rows(node.schema, 600)
    assert mock.columns == tuple(expected)
    assert len(mock) == 600
    np.testing.assert_array_equal(mock["sex"], expected["sex"])
    assert len(mock.head()) == 5
    assert "no real row" in repr(mock)
    assert list(mock.head(2).to_dict()) == list(expected)
    with pytest.raises(UsageError, match="no column"):
        mock["salary"]


def test_mock_rows_for_other_tools(heart):
    pd = pytest.importorskip("pandas")
    assert isinstance(heart.mock.head().to_pandas(), pd.DataFrame)


def test_columns_complete_and_unknown_ones_are_told(heart):
    assert {"age", "sex", "filter", "mock"} <= set(dir(heart))
    assert heart["age"].name == "age"
    with pytest.raises(UnknownColumn):
        _ = heart.salary
    with pytest.raises(AttributeError):
        _ = heart._ipython_canary_method_should_not_exist_
    with pytest.raises(UsageError, match="shows no dataset 'lungs'"):
        heart.source.site.view("lungs")


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (128.4321, 0.4123, "128.43 ± 0.41"),
        (1234567.0, 1234.0, "1,234,567 ± 1,234"),
        (0.001234, 0.00056, "0.00123 ± 0.00056"),
        (5.0, 0.0, "5 ± 0"),
        (float("nan"), 1.0, "unknown"),
        (5.0, float("inf"), "5 ± unknown"),
    ],
)
def test_values_are_rounded_by_their_errors(value, error, text):
    assert with_error(value, error) == text


def test_figures_for_people():
    assert [number(x) for x in (1234567.0, 0.000123456, float("inf"))] == ["1,234,567", "0.0001235", "∞"]
    assert [size(x) for x in (12, 12_345, 12_345_678, 12_345_678_901)] == ["12 B", "12.3 kB", "12.3 MB", "12.3 GB"]
    assert bar(0.5, 4) == "▇▇░░"
    assert bar(2.0, 4) == "▇▇▇▇"

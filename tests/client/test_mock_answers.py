"""On mock rows every aggregate is what pandas finds in the same rows."""

import itertools
import math

import numpy as np
import pytest

import stead
from stead.client.mock import MockRows
from stead.plans.joining import joined_rows

pd = pytest.importorskip("pandas")


@pytest.fixture
def table(visits):
    """The rows that a question reads of the mock: the first three of each person."""
    frame = pd.DataFrame(visits.mock.to_dict())
    return frame[frame.groupby("pid").cumcount() < 3]


def test_counts_sums_and_means(visits, table):
    answer = visits.agg(
        rows=visits.count(),
        people=visits.people(),
        weights=visits.weight.count(),
        weighed=visits.weight.people(),
        kinds=visits.diagnosis.n_unique(),
        years=visits.age.sum(),
        weight=visits.weight.mean(),
    ).on_mock()
    assert answer["rows"] == len(table)
    assert answer["people"] == table["pid"].nunique()
    assert answer["weights"] == table["weight"].count()
    assert answer["weighed"] == table.loc[table["weight"].notna(), "pid"].nunique()
    assert answer["kinds"] == table["diagnosis"].nunique()
    assert answer["years"] == table["age"].sum()
    assert answer["weight"] == pytest.approx(table["weight"].mean(), abs=1e-3)


def test_spreads(visits, table):
    answer = visits.agg(
        var=visits.weight.var(),
        std=visits.weight.std(),
        cov=visits.weight.cov(visits.age),
        corr=visits.weight.corr(visits.height),
    ).on_mock()
    both = table.dropna(subset=["weight"])
    assert answer["var"] == pytest.approx(both["weight"].var(), rel=1e-3)
    assert answer["std"] == pytest.approx(both["weight"].std(), rel=1e-3)
    assert answer["cov"] == pytest.approx(both["weight"].cov(both["age"]), abs=1e-2 * both["weight"].std())
    assert answer["corr"] == pytest.approx(both["weight"].corr(both["height"]), abs=1e-3)


def test_quantiles_are_within_a_cell(visits, table):
    at = [0.1, 0.5, 0.9]
    found = visits.agg(q=visits.weight.quantile(at), low=visits.age.min(), high=visits.age.max()).on_mock()
    held = np.sort(table["weight"].dropna().to_numpy())
    expected = np.quantile(held, at, method="inverted_cdf")
    assert np.all(np.abs(found["q"] - expected) <= 0.2)
    assert found["low"].item() == table["age"].min()
    assert found["high"].item() == table["age"].max()


def test_histograms_and_the_most_frequent(visits, table):
    found = visits.agg(ages=visits.age.histogram([18, 40, 65, 100]), top=visits.sex.top_k(1)).on_mock()
    cells = pd.cut(table["age"], [18, 40, 65, 101], right=False)
    assert found["ages"].tolist() == cells.value_counts(sort=False).tolist()
    counts = table["sex"].value_counts()
    shown = found.to_dict()
    assert shown["top 1"] == [counts.index[0]]
    assert shown["top 1 count"] == [counts.iloc[0]]


def test_derived_columns(visits, table):
    frame = visits.with_columns(
        bmi=(visits.weight / visits.height**2).clip(10, 60),
        old=visits.age > 65,
        band=visits.age.cut([0, 40, 65, 120]),
        year=visits.admitted.year(),
        days=(visits.left - visits.admitted).clip(0, 400),
        risk=stead.when(visits.age > 80).then("high").when(visits.ill).then("some").otherwise("low"),
    )
    answer = frame.group_by("band").agg(
        n=frame.count(), bmi=frame.bmi.mean(), old=frame.old.sum(), year=frame.year.mean(), days=frame.days.mean()
    )
    table = table.assign(
        bmi=(table["weight"] / table["height"] ** 2).clip(10, 60),
        band=pd.cut(table["age"], [0, 40, 65, 121], right=False),
        year=pd.to_datetime(table["admitted"], unit="D").dt.year,
        days=(table["left"] - table["admitted"]).clip(0, 400),
    )
    grouped = table.groupby("band", observed=False)
    found = answer.on_mock()
    assert found.groups == (("[0, 40)",), ("[40, 65)",), ("[65, 120]",))
    assert found["n"].tolist() == grouped.size().tolist()
    assert np.allclose(found["bmi"], grouped["bmi"].mean(), atol=1e-3)
    assert found["old"].tolist() == (table["age"] > 65).groupby(table["band"], observed=False).sum().tolist()
    assert np.allclose(found["year"], grouped["year"].mean())
    assert np.allclose(found["days"], grouped["days"].mean())
    risk = frame.risk.histogram().on_mock().to_dict()
    ill = table["ill"].eq(other=True)
    assert risk["risk_histogram high"] == [(table["age"] > 80).sum()]
    assert risk["risk_histogram some"] == [(~(table["age"] > 80) & ill).sum()]


def test_texts_are_relabelled_and_compared(visits):
    rows = dict(visits.mock.data)
    rows["diagnosis"] = np.array([("I21.0", "I214", "I50", None)[i % 4] for i in range(len(rows["pid"]))], dtype=object)
    mock = MockRows("visits", rows)
    frame = visits.with_columns(group=visits.diagnosis.relabel({"I21": "infarct"}, prefix=True, otherwise="other"))
    table = pd.DataFrame(rows)
    table = table[table.groupby("pid").cumcount() < 3]
    answer = frame.group_by("group").agg(n=frame.count()).on_mock(mock)
    infarct = table["diagnosis"].str.startswith("I21", na=False).sum()
    assert answer["n"].tolist() == [infarct, (table["diagnosis"] == "I50").sum()]
    assert visits.filter(visits.diagnosis == "I50").agg(n=visits.count()).on_mock(mock)["n"] == answer["n"][1]


def test_bounds_of_one_person(visits, table):
    asked = visits.limit(rows=2, groups=1).group_by("sex").agg(n=visits.count()).on_mock()
    kept = table[table.groupby("pid").cumcount() < 2]
    first = kept.groupby("pid")["sex"].transform("first")
    kept = kept[kept["sex"] == first]
    assert asked["n"].tolist() == [(kept["sex"] == sex).sum() for sex in ("F", "M")]


def test_private_keys_show_what_occurs(visits, table):
    answer = visits.limit(groups=1).group_by_private("diagnosis").agg(age=visits.age.mean()).on_mock()
    kept = table[table["diagnosis"] == table.groupby("pid")["diagnosis"].transform("first")]
    people = kept.groupby("diagnosis")["pid"].nunique()
    assert answer.to_dict()["diagnosis"] == people.index.tolist()
    assert answer["people"].tolist() == people.tolist()
    assert np.allclose(answer["age"], kept.groupby("diagnosis")["age"].mean(), atol=1e-3)


def test_joined_rows_are_a_merge(visits, clinic):
    lab = clinic[1]["lab"]
    left, right = (pd.DataFrame(d.mock.to_dict()) for d in (visits, lab))
    left = left[left.groupby("pid").cumcount() < 3]
    right = right[right.groupby("who").cumcount() < 2].rename(columns={"who": "pid", "age": "lab.age"})
    for how in ("inner", "left"):
        frame = visits.join(lab, columns=["ldl", "age"], how=how)
        found = frame.agg(n=frame.count(), ldl=frame.ldl.mean(), held=frame.ldl.count(), age=frame["lab.age"].mean())
        merged = left.merge(right, on="pid", how=how)
        answer = found.on_mock()
        assert answer["n"] == len(merged)
        assert answer["held"] == merged["ldl"].count()
        assert answer["ldl"] == pytest.approx(merged["ldl"].mean(), abs=1e-4)
        assert answer["age"] == pytest.approx(merged["lab.age"].mean(), abs=1e-3)


def test_joined_rows_stand_in_order_with_what_is_missing(clinic, visits):
    node, _ = clinic
    plan = visits.join(clinic[1]["lab"], columns=["ldl", "age"], how="left").agg(n=visits.count()).plan()
    mine = {name: values[:0] for name, values in node.others["visits"][1].items()}
    mine |= {"pid": np.array(["b", "a", None, "b", "c"], dtype=object), "age": np.arange(5.0)}
    mine = {name: values if len(values) else np.zeros(5) for name, values in mine.items()}
    theirs = {
        "who": np.array(["a", "b", "a", "a", None], dtype=object),
        "ldl": np.arange(5.0),
        "age": np.arange(9, 4, -1),
    }
    rows = joined_rows(plan, node.others["visits"][0], mine, lambda _: (node.others["lab"][0], theirs))
    assert rows["age"].tolist() == [0, 1, 1, 3, 4]
    assert rows["ldl"].tolist()[:4] == [1, 0, 2, 1]
    assert rows["lab.age"].tolist()[:4] == [8, 9, 7, 8]
    assert math.isnan(rows["ldl"][4])
    assert math.isnan(rows["lab.age"][4])


def test_least_squares(visits, table):
    found = visits.linear(target="weight", features=["height", "age"]).on_mock()
    both = table.dropna(subset=["weight"])
    x = np.column_stack([np.ones(len(both)), both["height"], both["age"]])
    expected, residuals, _, _ = np.linalg.lstsq(x, both["weight"], rcond=None)
    spread = np.sqrt(np.diag(np.linalg.inv(x.T @ x)) * residuals[0] / (len(both) - 3))
    assert np.allclose(found["linear"][:3], expected, rtol=0.02, atol=0.05 * spread)
    assert np.allclose(found["linear"][3:6], spread, rtol=0.01)
    text = repr(found)
    for word in ("term", "height", "standard error", "R2"):
        assert word in text


def test_survival(visits, table):
    """Kaplan-Meier by its definition, over whole years, which are the edges."""
    edges = [18, 30, 60, 80, 100]
    found = visits.kaplan_meier(time="age", event="ill", edges=edges).on_mock()["kaplan_meier"]
    known = table[table["ill"].notna()]
    alive, expected = 1.0, []
    for low, high in itertools.pairwise(edges):
        last = high == edges[-1]
        inside = (known["age"] >= low) & ((known["age"] < high) | last)
        alive *= 1 - (inside & known["ill"].eq(other=True)).sum() / (known["age"] >= low).sum()
        expected.append(alive)
    assert np.allclose(found, expected)

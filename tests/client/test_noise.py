"""Noise by a wished error and by a wished price: both say the same, and the cheaper kind is taken."""

import numpy as np
import pytest

from stead.client import JointQuestion
from stead.client.noise import Setting, Wish, alone, choose
from stead.errors import UsageError


@pytest.fixture
def questions(visits):
    frame = visits.limit(groups=1)
    return {
        "counts": visits.group_by("sex").agg(n=visits.count(), age=visits.age.mean()),
        "several rows": visits.agg(n=visits.count(), weight=visits.weight.sum()),
        "moments": visits.agg(spread=visits.weight.std()),
        "quantiles": visits.agg(middle=visits.age.median(depth=2)),
        "private": frame.group_by_private("diagnosis").agg(age=frame.age.mean()),
        "keys alone": frame.group_by_private("diagnosis").agg(),
    }


@pytest.mark.parametrize("name", ["counts", "several rows", "moments", "quantiles", "private", "keys alone"])
@pytest.mark.parametrize("epsilon", [0.7, 3.0])
def test_a_wished_price_is_met_and_hardly_undercut(questions, name, epsilon):
    preview = questions[name].preview(epsilon=epsilon)
    assert 0.98 * epsilon < preview.epsilon <= epsilon
    assert "±" in repr(preview)


def test_the_error_of_a_price_costs_that_price(visits):
    question = visits.agg(n=visits.count())
    preview = question.preview(epsilon=1.0)
    within = float(preview.errors["n"]) / 300
    again = question.preview(within=within)
    assert again.epsilon == pytest.approx(1.0, rel=0.1)  # a bar is a whole number of rows


def test_all_aggregates_err_alike(visits):
    preview = visits.agg(n=visits.count(), age=visits.age.mean()).preview(epsilon=2.0, noise="gaussian")
    count, total, rows = preview.sigmas
    assert total / rows == pytest.approx(41 / 0.5)  # half of 18 to 100, in steps of a half
    assert count == pytest.approx(rows)


def test_the_cheaper_kind_is_taken(heart, visits):
    """One person moves one count by one: Laplace. Many cells of six groups each: Gaussian."""
    few = heart.agg(n=heart.count())
    both = {kind: few.preview(within=0.05, noise=kind) for kind in ("gaussian", "laplace")}
    assert both["laplace"].epsilon < both["gaussian"].epsilon
    assert few.preview(within=0.05).noise == "laplace"
    same = {kind: few.preview(epsilon=1.0, noise=kind) for kind in ("gaussian", "laplace")}
    assert same["laplace"].errors["n"] < same["gaussian"].errors["n"]
    assert few.preview(epsilon=1.0).noise == "laplace"
    many = visits.agg(**{f"n{i}": visits.count() for i in range(12)})
    assert many.preview(within=0.3).noise == "gaussian"
    assert visits.agg(v=visits.age.var()).preview(within=0.3).noise == "gaussian"


def test_noise_of_laplace_is_answered(heart, node):
    answer = heart.agg(n=heart.count()).answer(within=0.05, noise="laplace", why="count")
    assert abs(answer["n"] - 500) <= answer.errors["n"]
    assert answer.query.noise == "laplace"


def test_a_preview_shows_the_bounds_and_the_threshold(visits):
    frame = visits.limit(groups=1, rows_per_group=2)
    text = repr(frame.group_by_private("diagnosis", delta=1e-9).agg(n=frame.count()).preview(epsilon=2))
    assert "at most 3 rows of one patient, in at most 1 group, at most 2 of them" not in text
    assert "at most 3 rows of one patient, in at most 1 group, at most 2 in one group" in text
    assert "that a noisy number of" in text
    assert "people ±" in text


def test_a_lower_delta_of_keys_needs_more_people(visits):
    frame = visits.limit(groups=1)
    thresholds = []
    for delta in (1e-6 / 2, 1e-8, 1e-12):
        preview = frame.group_by_private("diagnosis", delta=delta).agg().preview(sigmas=[5.0], noise="gaussian")
        thresholds.append(dict(preview.notes)["Keys"])
    numbers = [int(text.split("number of ")[1].split()[0]) for text in thresholds]
    # 1 + 5 x the normal quantiles of 5e-7, 1e-8 and 1e-12, which are 4.89, 5.61 and 7.03, and half a step.
    assert numbers == [26, 30, 37]


def test_answers_of_private_keys_hold_within_their_bars(visits, clinic):
    node, _ = clinic
    frame = visits.limit(groups=1)
    answer = (
        frame.group_by_private("diagnosis")
        .agg(n=frame.count(), age=frame.age.mean())
        .answer(sigmas=[4.0, 4.0 * 2**18, 4.0, 4.0], noise="gaussian", why="diagnoses")
    )
    rows = node.others["visits"][1]
    seen, counts, people = {}, {}, {}
    used = {}
    for pid, key in zip(rows["pid"], rows["diagnosis"], strict=True):
        used[pid] = used.get(pid, 0) + 1
        if used[pid] <= 3 and seen.setdefault(pid, key) == key:
            counts[key] = counts.get(key, 0) + 1
            people.setdefault(key, set()).add(pid)
    assert set(answer.keys) <= set(counts)
    assert {"I21.0", "I21.4", "I50"} <= set(answer.keys)
    for row, (key,) in enumerate(answer.groups):
        assert abs(answer["n"][row] - counts[key]) <= answer.errors["n"][row]
        assert abs(answer["people"][row] - len(people[key])) <= answer.people_error
    shown = answer.to_dict()
    assert list(shown) == ["diagnosis", "people", "people ±", "n", "n ±", "age", "age ±"]
    assert "I21.0" in repr(answer)
    assert "I21.0" in answer._repr_html_()


def test_more_keys_have_wider_bars(visits):
    from stead.plans.bars import error_bars, people_bar

    frame = visits.limit(groups=1)
    question = frame.group_by_private("diagnosis").agg(n=frame.count())
    query = choose(question.plan(), question.setting(), Wish(epsilon=2.0))
    bars = [float(np.max(error_bars(query, question.schema, answer=[9] * keys, keys=keys)["n"])) for keys in (1, 20)]
    assert bars[0] < bars[1]
    assert people_bar(query, question.schema, keys=1) < people_bar(query, question.schema, keys=20)
    assert error_bars(query, question.schema, answer=[], keys=0)["n"].shape == (0,)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"within": 0.1, "epsilon": 1}, "`within` or `epsilon`, not both"),
        ({"epsilon": 1, "sigmas": [1]}, "`epsilon` or `sigmas`, not both"),
        ({"epsilon": "1"}, "epsilon is a number; got '1'"),
        ({"epsilon": -1}, "a price above 0"),
        ({"noise": "uniform"}, "noise is one of auto, gaussian, laplace"),
        ({"epsilon": 1e-5}, "epsilon=1e-05 cannot be reached"),
    ],
)
def test_a_wrong_wish(visits, given, words):
    with pytest.raises(UsageError) as caught:
        visits.agg(n=visits.count()).preview(**given)
    assert words in str(caught.value)


def test_the_hint_for_a_price_that_is_too_low_can_be_followed(visits):
    question = visits.agg(n=visits.count())
    with pytest.raises(UsageError) as caught:
        question.preview(epsilon=1e-5)
    epsilon = float(caught.value.hint.split("epsilon=")[1].split(",")[0])
    assert question.preview(epsilon=epsilon).epsilon <= epsilon


def test_a_node_that_reckons_otherwise_is_believed(heart, node):
    """The node has other orders than the client supposes; its quote is what is met."""
    real = node.Preview

    def dearer(message, sender):
        from msgspec.structs import replace

        quote = real(message, sender)
        return replace(quote, epsilon=1.3 * quote.epsilon)

    node.Preview = dearer
    preview = heart.agg(n=heart.count()).preview(epsilon=1.5)
    assert 0.98 * 1.5 < preview.epsilon <= 1.5


def test_several_sites_meet_a_price_together(three):
    _, sites = three
    heart = sites[0]
    joint = JointQuestion(heart.group_by("sex").agg(n=heart.count(), p=heart.pressure.mean()), tuple(sites))
    preview = joint.preview(epsilon=1.0)
    assert 0.98 < preview.epsilon <= 1.0
    with pytest.raises(UsageError, match="Gaussian"):
        joint.preview(epsilon=1.0, noise="laplace")


def test_rounds_are_priced_together(visits):
    question = visits.agg(n=visits.count())
    query = choose(question.plan(), question.setting(), Wish(within=0.1, noise="gaussian"))
    one, four = (alone(query, Setting(question.schema, rounds=rounds)) for rounds in (1, 4))
    assert one < four < 4 * one

"""What a hurried notebook gets wrong is told in stead's words, on the line where it stands."""

import importlib
import sys
from pathlib import Path

import pytest
import torch

import stead
from stead.errors import PurposeMissing, SteadError, TooFewParties, UnknownColumn, UnsupportedOperation, UsageError
from stead.testing import local_network

sys.path.insert(0, str(Path(__file__).parents[1]))
sites = importlib.import_module("sites")


@pytest.fixture(scope="module")
def hearts():
    network = local_network(["alice", "bob"], seed=1)
    for name in network:
        network.add(sites.card(name), sites.rows("north", 130), at=name)
    with network:
        yield network.datasets("heart")


def fit(sites, model=None, **changes):
    options = {"target": "sex", "privacy": stead.epsilon(4, delta=1e-6), "why": "x", "rounds": 2} | changes
    return stead.fit(model or torch.nn.Linear(4, 1), sites, **options)


ASKED = {
    "a condition in brackets": (lambda h, _: h[h.age > 3], UsageError, ".filter(condition)"),
    "a list in brackets": (lambda h, _: h[["age"]], UsageError, ".select(columns)"),
    "rows": (lambda h, _: h.head(), UnknownColumn, ".mock.head()"),
    "a typing error": (lambda h, _: h.agee, UnknownColumn, 'did you mean "age"?'),
    "a text beside a number": (lambda h, _: h.age > "a", UsageError, "finite number"),
    "and": (lambda h, _: h.age > 3 and h.age < 5, UsageError, "with & | ~"),
    "no parentheses": (lambda h, _: h.age > 40 & h.ill, UsageError, "expected a condition"),
    "a number as condition": (lambda h, _: h.ill & h.age, UsageError, "only a boolean column"),
    "nothing asked": (lambda h, _: h.agg(), UsageError, "agg(patients=heart.count())"),
    "a constant asked": (lambda h, _: h.agg(n=3), UsageError, "not an aggregate"),
    "groups of numbers": (lambda h, _: h.group_by("age"), UsageError, "heart.age.histogram"),
    "one text for is_in": (lambda h, _: h.sex.is_in("FM"), UsageError, "is a list"),
    "within as text": (lambda h, _: h.count().preview(within="5%"), UsageError, "within is a number; got '5%'"),
    "one sigma": (lambda h, _: h.count().preview(sigmas=3), UsageError, "sigmas is a list"),
    "no reason": (lambda h, _: h.count().answer(within=0.5, why=None), PurposeMissing, "needs a purpose"),
    "a question in SQL": (lambda _, s: stead.ask("select *", s, why="x"), UsageError, "got str"),
    "no question": (lambda _, s: stead.ask(None, s, why="x"), UsageError, "got NoneType"),
    "names for sites": (
        lambda h, _: stead.ask(h.count(), ["alice", "bob"], why="x"),
        UsageError,
        "got str in the list",
    ),
    "one site for all": (lambda h, _: stead.ask(h.count(), [h], why="x"), TooFewParties, "question.answer"),
}

TRAINED = {
    "one dataset": (lambda h, _: fit(h), UsageError, "got RemoteDataset"),
    "a wrong target": (lambda _, s: fit(s, target="sexx"), UnknownColumn, 'did you mean "sex"?'),
    "epsilon as a number": (lambda _, s: fit(s, privacy=4), UsageError, "stead.epsilon(4"),
    "epsilon as text": (lambda _h, _s: stead.epsilon("4"), UsageError, "epsilon is a number; got '4'"),
    "rounds as text": (lambda _, s: fit(s, rounds="many"), UsageError, "rounds= is a whole number"),
    "half a round": (lambda _, s: fit(s, rounds=2.5), UsageError, "rounds= is a whole number; got 2.5"),
    "clip as text": (lambda _, s: fit(s, clip="a"), UsageError, "clip= is a number"),
    "an unknown option": (lambda _, s: fit(s, clipp=1), UsageError, "did you mean clip=?"),
    "one feature as text": (lambda _, s: fit(s, features="age"), UsageError, "features= is a list"),
    "a class for a model": (lambda _, s: fit(s, torch.nn.Linear), UnsupportedOperation, "give an nn.Module"),
    "a model of another width": (lambda _, s: fit(s, torch.nn.Linear(9, 1)), UsageError, "first layer must take"),
    "a model of another result": (lambda _, s: fit(s, torch.nn.Linear(4, 5)), UsageError, "2 classes"),
    "no reason": (lambda _, s: fit(s, why=""), PurposeMissing, "needs a purpose"),
}


@pytest.mark.parametrize(("wrong", "error", "words"), ASKED.values(), ids=ASKED)
def test_a_wrong_question(hearts, wrong, error, words):
    with pytest.raises(SteadError) as caught:
        wrong(hearts[0], hearts)
    assert type(caught.value) is error
    assert words in str(caught.value)


@pytest.mark.parametrize(("wrong", "error", "words"), TRAINED.values(), ids=TRAINED)
def test_a_wrong_training(hearts, wrong, error, words):
    with pytest.raises(SteadError) as caught:
        wrong(hearts[0], hearts)
    assert type(caught.value) is error
    assert words in str(caught.value)


def test_a_column_is_an_attribute_like_any(hearts):
    assert hasattr(hearts[0], "age")
    assert not hasattr(hearts[0], "height")
    assert "age" in dir(hearts[0])

"""What each party of three sees does not depend on the inputs; and the faults that would make it so are found."""

import functools

import numpy as np
import pytest
from views import MISS, SAMPLES, Repeating, bit, numbers, told_apart, views

from stead.mpc.forms import MUL, Form
from stead.mpc.protocols.replicated import truncation
from stead.mpc.protocols.replicated.protocol import Replicated
from stead.mpc.protocols.replicated.seat import Seat

FAR = (1 << 61) + (5 << 16)
FIRST_HALF, SECOND_HALF = (slice(0, SAMPLES // 2),), (slice(SAMPLES // 2, None),)
HALVED = Form("mul", MUL.kernel, MUL.result, MUL.macs, lambda *_: ((FIRST_HALF,) * 3, (SECOND_HALF,) * 3))

# Each verb with two very different inputs; where it ends in ``reveal`` they have one result, so that it tells nothing.
VERBS = {
    "product": (
        lambda p, x, y: p.reveal(p.product(MUL, x, y)),
        (numbers(0), numbers(FAR + 1)),
        (numbers(-7), numbers(0)),
    ),
    "product, not opened": (
        lambda p, x, y: p.product(MUL, x, y),
        (numbers(1), numbers(1)),
        (numbers(-FAR), numbers(3)),
    ),
    "product in halves": (
        lambda p, x, y: p.reveal(p.product(HALVED, x, y)),
        (numbers(0), numbers(FAR + 1)),
        (numbers(-7), numbers(0)),
    ),
    "product in halves, not opened": (
        lambda p, x, y: p.product(HALVED, x, y),
        (numbers(1), numbers(1)),
        (numbers(-FAR), numbers(3)),
    ),
    "truncate": (lambda p, x: p.truncate(x, 16), (numbers(0),), (numbers(-FAR - 12345),)),
    "truncate by 40": (lambda p, x: p.truncate(x, 40), (numbers(1),), (numbers(FAR),)),
    "negative": (lambda p, x: p.reveal(p.arithmetic(p.negative(x))), (numbers(5),), (numbers(2 * FAR - 999),)),
    "negative, not opened": (lambda p, x: p.negative(x), (numbers(0),), (numbers(-1),)),
    "negative of 4 bits": (lambda p, x: p.negative(x, 4), (numbers(0),), (numbers(-1),)),
    "zero": (lambda p, x: p.reveal(p.arithmetic(p.zero(x))), (numbers(1),), (numbers(-(1 << 63)),)),
    "zero, not opened": (lambda p, x: p.zero(x), (numbers(0),), (numbers(-1),)),
    "select": (lambda p, b, x: p.reveal(p.select(b, x)), (bit(0), numbers(FAR)), (bit(1), numbers(0))),
    "select and truncate": (lambda p, b, x: p.reveal(p.select(b, x, 16)), (bit(0), numbers(FAR)), (bit(1), numbers(0))),
    "select, not opened": (lambda p, b, x: p.select(b, x), (bit(0), numbers(1)), (bit(1), numbers(-FAR))),
    "decompose": (lambda p, x: p.decompose(x, 8), (numbers(0),), (numbers(0xA7),)),
    "conjunction": (
        lambda p, a, b: p.reveal(p.arithmetic(p.conjunction(a, b))),
        (bit(0), bit(1)),
        (bit(1), bit(0)),
    ),
    "conjunction, not opened": (lambda p, a, b: p.conjunction(a, b), (bit(0), bit(1)), (bit(1), bit(1))),
    "arithmetic": (lambda p, a: p.arithmetic(a), (bit(0),), (bit(1),)),
    "two products": (
        lambda p, x, y: (p.product(MUL, x, y), p.product(MUL, x, x)),
        (numbers(1), numbers(0)),
        (numbers(FAR), numbers(3)),
    ),
}


def least(name, stream=None):
    """The least p-value of the three parties' views of the verb on its two inputs."""
    verb, first, second = VERBS[name]
    more = {"stream": stream} if stream else {}
    one, other = (views(Replicated, verb, inputs, seed, **more) for inputs, seed in ((first, 1), (second, 2)))
    return [told_apart(one[place], other[place]) for place in range(3)]


@pytest.mark.parametrize("name", VERBS)
def test_the_views_are_alike(name):
    assert min(least(name)) > MISS


def enter(owner, values, protocol):
    protocol.share(values if protocol.party.place == owner else None, values.shape, owner)


@pytest.mark.parametrize("owner", [0, 1, 2])
def test_the_others_views_of_an_input_are_alike(owner):
    found = []
    for value, seed in ((0, 1), (-FAR, 2)):
        verb = functools.partial(enter, owner, numbers(value))
        found.append(views(Replicated, verb, (), seed))
    assert all(told_apart(found[0][at], found[1][at]) > MISS for at in range(3) if at != owner)


@pytest.mark.parametrize(
    "name", ["product", "product, not opened", "product in halves, not opened", "conjunction", "negative of 4 bits"]
)
def test_a_forgotten_sharing_of_zero_is_found(name, monkeypatch):
    monkeypatch.setattr(Seat, "zero", lambda _, shape, **__: np.zeros(shape, dtype=np.uint64))
    assert min(least(name)) < MISS


@pytest.mark.parametrize("name", ["truncate", "select, not opened", "arithmetic", "negative of 4 bits", "decompose"])
def test_a_mask_used_twice_is_found(name):
    assert min(least(name, Repeating)) < MISS


@pytest.mark.parametrize("name", ["select", "select, not opened", "select and truncate"])
def test_a_dealer_that_forgets_its_mask_is_found(name, monkeypatch):
    monkeypatch.setattr(truncation, "_taken", lambda _, secret: secret)
    assert min(least(name)) < MISS


@pytest.mark.parametrize("name", ["negative", "zero", "decompose"])
def test_openers_that_forget_their_masks_are_found(name, monkeypatch):
    monkeypatch.setattr(Seat, "planes", lambda *at: np.zeros((at[2], bit(0).size), np.uint64))
    assert min(least(name)) < MISS


def test_the_measure_finds_nothing_where_nothing_is():
    """The same inputs under fresh seeds: the p-values are those of chance."""
    verb, first, _ = VERBS["product"]
    found = [views(Replicated, verb, first, seed) for seed in range(4)]
    assert (
        min(told_apart(a[at], b[at]) for a, b in ((found[0], found[1]), (found[2], found[3])) for at in range(3)) > MISS
    )

"""A Training's check, price and print-out."""

import math

import msgspec
import numpy as np
import pytest

from stead.core import codec
from stead.core.schema import Bounds, Column, Schema
from stead.errors import BadMessage, TooExpensive, UsageError
from stead.plans.builder import ProgramBuilder
from stead.plans.check import Limits
from stead.plans.plan import decode_plan, describe, encode_plan
from stead.plans.price import price
from stead.plans.program import TensorType
from stead.plans.training import (
    Encoding,
    Feature,
    LocalSteps,
    Optimiser,
    Privacy,
    Sampler,
    Training,
)
from stead.plans.training_check import (
    check_optimiser,
    check_training,
    check_training_fits,
    is_power_of_two,
    largest_sum,
)
from stead.privacy.events import Repeated, Sampled, SumOfDiscreteGaussians

replace = msgspec.structs.replace
SCHEMA = Schema(
    population="heart",
    unit="patient",
    people=(10, 1000),
    columns=(
        Column("age", "integer", Bounds(20, 100)),
        Column("dose", "real", Bounds(0, 9)),
        Column("died", "boolean"),
    ),
)


def gradient(*, x=("float32", (2,)), y=("int64", ()), role="parameter", extra=False, gives=("loss", "gradient.w")):
    """The gradient of (w·x - y)^2 / 2 with respect to w."""
    b = ProgramBuilder()
    w = b.input("w", role, TensorType("float32", (2,)))
    if extra:
        b.input("mask", "mask", TensorType("float32", (2,)))
    held, target = b.input("x", "x", TensorType(*x)), b.input("y", "y", TensorType(*y))
    features = b.view(b.cast(held, "float32"), (2,))
    gap = b.add("sub", b.sum(b.add("mul", w, features), (0,), keep=False), b.cast(target, "float32"))
    loss = b.add("mul", b.add("mul", gap, gap), b.like(gap, 0.5))
    values = {
        "loss": loss,
        "gradient.w": b.add("mul", features, gap),
        "short": b.add("slice", w, axis=0, start=0, end=1, step=1),
    }
    return encode_plan(b.build({name: values[name] for name in gives}))


PRIVACY = Privacy(clip=1.0, lattice=2.0**-10, sigma=3.0, colluders=1, sites=5, steps=20)
LOCAL = LocalSteps(epochs=2, batch=16, optimiser=Optimiser("adam", 0.01, momentum=0.9))
TRAINING = Training(
    dataset="heart",
    gradient=gradient(),
    encoding=Encoding((Feature("age", "scaled", 20, 100), Feature("dose", "scaled", 0, 9)), "died", "classification"),
    sampler=Sampler(0.25),
    rounds=20,
    ring_bits=32,
    privacy=PRIVACY,
)
AVERAGED = replace(TRAINING, privacy=None, local=LOCAL, sampler=Sampler(1.0))


def with_privacy(**changes):
    return replace(TRAINING, privacy=replace(PRIVACY, **changes))


def test_good_ones_pass_and_travel():
    for training in (TRAINING, AVERAGED):
        assert decode_plan(encode_plan(training)) == training
        program = check_training_fits(training, SCHEMA)
        assert program.output_names == ("loss", "gradient.w")


@pytest.mark.parametrize(
    ("training", "words"),
    [
        (replace(TRAINING, sampler=Sampler(0.0)), "sampling rate"),
        (replace(TRAINING, sampler=Sampler(1.5)), "sampling rate"),
        (replace(TRAINING, rounds=0), "rounds"),
        (replace(TRAINING, rounds=21), "priced steps"),
        (replace(TRAINING, local=LOCAL), "either privacy or local"),
        (replace(TRAINING, privacy=None), "either privacy or local"),
        (with_privacy(lattice=0.001), "power of two"),
        (with_privacy(lattice=-0.5), "power of two"),
        (with_privacy(clip=0.0), "the clip"),
        (with_privacy(clip=math.inf), "the clip"),
        (with_privacy(lattice=2.0), "lattice steps"),
        (with_privacy(lattice=2.0**-40), "lattice steps"),
        (with_privacy(sigma=0.0), "sigma"),
        (with_privacy(colluders=5), "colluders"),
        (with_privacy(colluders=-1), "colluders"),
        (with_privacy(sites=0), "sites"),
        (replace(AVERAGED, local=replace(LOCAL, epochs=0)), "epochs"),
        (replace(AVERAGED, local=replace(LOCAL, batch=0)), "the batch"),
        (replace(AVERAGED, lattice=0.3), "power of two"),
        (replace(AVERAGED, local=replace(LOCAL, optimiser=Optimiser("sgd", -1.0))), "learning rate"),
        (replace(TRAINING, gradient=gradient(y=("float32", ()))), "target of a classification"),
        (replace(TRAINING, gradient=gradient(x=("int64", (2,)))), "takes x"),
        (replace(TRAINING, encoding=replace(TRAINING.encoding, shape=(1, 2))), "takes x"),
    ],
)
def test_numbers_out_of_range_are_refused(training, words):
    with pytest.raises(UsageError, match=words):
        check_training(training)
    with pytest.raises(UsageError, match=words):
        decode_plan(codec.encode(training))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80",
        gradient()[:-1],
        gradient(role="buffer"),
        gradient(extra=True),
        gradient(gives=("loss",)),
        gradient(gives=("gradient.w", "loss")),
        gradient(gives=("loss", "short")),
        gradient(gives=("loss", "gradient.w", "short")),
        encode_plan(AVERAGED),
    ],
)
def test_what_is_no_gradient_is_refused(data):
    with pytest.raises(BadMessage):
        check_training(replace(TRAINING, gradient=data))


def test_the_limits_reach_the_program():
    with pytest.raises(TooExpensive, match="flops"):
        decode_plan(encode_plan(TRAINING), Limits(flops=3))


def test_the_encoding_must_fill_x():
    shaped = replace(TRAINING, gradient=gradient(x=("float32", (2, 1))))
    check_training(shaped)
    with pytest.raises(UsageError, match="2 numbers"):
        check_training_fits(shaped, SCHEMA)
    check_training_fits(replace(shaped, encoding=replace(TRAINING.encoding, shape=(2, 1))), SCHEMA)
    one = replace(TRAINING.encoding, features=TRAINING.encoding.features[:1])
    with pytest.raises(UsageError, match="1 numbers"):
        check_training_fits(replace(TRAINING, encoding=one), SCHEMA)


def test_the_ring_holds_the_largest_sum():
    """5 sites of 1000 people, 1024 steps each; noise 3072 steps, over 4 shares of 5: 12 deviations."""
    wanted = 5 * 1000 * 1024 + math.ceil(12 * 3 * 1024 * math.sqrt(5 / 4))
    assert largest_sum(PRIVACY, 1000) == wanted
    finer = with_privacy(lattice=2.0**-19)
    with pytest.raises(UsageError, match="ring of 32 bits"):
        check_training_fits(finer, SCHEMA)
    check_training_fits(replace(finer, ring_bits=64), SCHEMA)


def test_the_price_is_the_event_that_happens():
    found = price(TRAINING, SCHEMA)
    share = 3.0 * 1024 / 2
    wanted = SumOfDiscreteGaussians(sigma_share=share, shares=4, l2=1024.0, dimension=2)
    assert found.event == Repeated(event=Sampled(rate=0.25, event=wanted), times=20)
    # Of one example: two products and a sum of two, a difference, two products, two products; casts are free.
    assert found.flops == 20 * 1000 * (2 + 2 + 1 + 1 + 1 + 2)
    assert found.rounds == 20
    assert found.size_bytes == 20 * 2 * (4 + 4)


def test_a_clip_between_two_lattice_points_is_rounded_up():
    found = price(with_privacy(clip=1.0 + 2.0**-11), SCHEMA)
    assert found.event.event.event.l2 == 1025


def test_a_training_names_its_sites():
    assert price(TRAINING, SCHEMA, sites=5, colluders=1) == price(TRAINING, SCHEMA)
    with pytest.raises(UsageError, match="5 sites and 1 colluders, not 4 and 1"):
        price(TRAINING, SCHEMA, sites=4, colluders=1)


def test_an_average_is_no_priced_event():
    found = price(AVERAGED, SCHEMA)
    assert found.event is None
    assert found.flops == 2 * 20 * 1000 * 9


def test_the_print_out_says_what_leaves():
    text = describe(TRAINING, SCHEMA)
    for words in (
        'A classification of "died" from "heart", about each patient of "heart"',
        '"age": a number, 20 to 100 as -1 to 1',
        "with probability 0.25",
        "by at most 1 (L2 norm)",
        "noise of standard deviation 3",
        "5 sites",
        "20 times at most",
        "mul: a · b",
    ):
        assert words in text
    assert "NOT PRIVATE" not in text
    assert "NOT PRIVATE" in describe(AVERAGED, SCHEMA)


def test_a_print_out_acts_on_no_terminal():
    hostile = replace(TRAINING, dataset="heart\x1b[2J\n  reads nothing")
    text = describe(hostile, SCHEMA)
    assert "\x1b" not in text
    assert "\n  reads nothing" not in text


@pytest.mark.parametrize(
    ("number", "wanted"),
    [(1.0, True), (0.5, True), (2.0**-20, True), (3.0, False), (0.0, False), (-2.0, False), (math.nan, False),
     (math.inf, False), (2.0**-70, False)],
)  # fmt: skip
def test_powers_of_two(number, wanted):
    assert is_power_of_two(number) is wanted


@pytest.mark.parametrize(
    "bad", [{"rate": math.nan}, {"momentum": 1.0}, {"beta2": 1.0}, {"weight_decay": -1.0}, {"rate": math.inf}]
)
def test_an_optimisers_numbers(bad):
    with pytest.raises(UsageError):
        check_optimiser(replace(Optimiser("adam", 0.1), **bad))


def test_the_gradient_is_one():
    """The fixture's own Program against its closed form."""
    from stead.plans.engine import NumpyEngine

    program = decode_plan(gradient())
    w, x = np.array([1.0, 2.0], dtype=np.float32), np.array([3.0, -1.0], dtype=np.float32)
    loss, slope = NumpyEngine().run(program, [w, x, np.array(2)])
    assert loss == 0.5 * (3 - 2 - 2) ** 2
    np.testing.assert_array_equal(slope, (3 - 2 - 2) * x)

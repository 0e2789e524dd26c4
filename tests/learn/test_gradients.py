"""Per-example and per-person gradients against the formula, and the same bits in any company."""

import pickle

import numpy as np
import pytest

from stead.core import codec
from stead.errors import BadMessage, UnsupportedOperation, UsageError
from stead.learn.gradients import (
    Examples,
    GradientMap,
    PersonGradients,
    model_length,
    parameter_shapes,
    split_weights,
    weights_from_payload,
    weights_to_payload,
)
from stead.plans.engine import NumpyEngine

GENERATOR = np.random.default_rng(0)


def examples(rows, *, person=None, seed=1, features=6):
    generator = np.random.default_rng(seed)
    return Examples(
        x=generator.normal(size=(rows, features)).astype(np.float32),
        y=generator.integers(0, 3, rows),
        person=np.arange(rows) if person is None else np.asarray(person),
    )


def flat(model, seed=0):
    return np.concatenate([part.ravel() for part in model.parameters(seed)])


def test_shapes_and_weights_travel(model):
    training = model.training()
    assert parameter_shapes(training) == model.shapes
    assert model_length(training) == model.length
    weights = flat(model)
    parts = split_weights(weights, model.shapes)
    assert [part.shape for part in parts] == list(model.shapes)
    assert (np.concatenate([part.ravel() for part in parts]) == weights).all()
    payload = weights_to_payload(weights)
    assert payload == b"".join(np.float32(value).tobytes() for value in weights)
    assert (weights_from_payload(payload, length=model.length) == weights).all()
    for bad in (payload[:-1], payload + b"\0\0\0\0", b""):
        with pytest.raises(BadMessage):
            weights_from_payload(bad, length=model.length)


def batch(gradients, weights, data, rows):
    lanes = np.full(gradients.lanes, -1)
    lanes[: len(rows)] = rows
    return gradients.batch(weights, data, lanes)


@pytest.mark.parametrize("rows", [0, 1, 31, 32])
def test_gradients_of_rows_are_the_formulas(model, rows):
    data, weights = examples(40), flat(model)
    got = batch(GradientMap(model.training(), NumpyEngine()), weights, data, np.arange(rows))
    expected = [model.gradient(weights, x, y) for x, y in zip(data.x[:rows], data.y[:rows], strict=True)]
    np.testing.assert_allclose(got[:rows], np.reshape(expected, (rows, model.length)), atol=2e-6)
    assert not got[rows:].any()


def test_a_row_without_a_target_has_the_zero_gradient(model):
    data = examples(5)
    data.y[2] = -1
    got = batch(GradientMap(model.training(), NumpyEngine()), flat(model), data, np.arange(5))
    assert not got[2].any()
    assert got[[0, 1, 3, 4]].any(axis=1).all()


def lanes_of(people, seed=7):
    return np.random.default_rng(seed).integers(0, 32, people)


@pytest.mark.parametrize("engine", ["numpy", "torch"])
def test_one_person_less_changes_no_bit_of_the_others(make_model, engine):
    """What the clip bounds is one person's move; rounding that depends on the others would add to it.

    The torch engine does round by place in the batch at this width; lanes keep the place.
    """
    engines = {"numpy": NumpyEngine, "torch": lambda: pytest.importorskip("stead.adapters.torch").TorchEngine()}
    wide = make_model(200, 64, 3)
    person = np.random.default_rng(3).integers(0, 150, 300)
    data, weights = examples(300, person=person, features=200), flat(wide)
    people = PersonGradients(GradientMap(wide.training(), engines[engine]()), data)
    lanes = lanes_of(people.people)
    whole = {row.tobytes() for part in people.of(weights, lanes) for row in part}
    assert len(whole) == people.people
    for left_out in (0, 60, people.people - 1):
        rest = lanes.copy()
        rest[left_out] = -1
        got = {row.tobytes() for part in people.of(weights, rest) for row in part}
        assert len(got) == people.people - 1
        assert got < whole


@pytest.mark.parametrize("layout", ["sorted", "mixed", "one person", "one row each"])
def test_a_persons_gradient_is_the_sum_over_all_their_rows(model, layout):
    person = {
        "sorted": np.repeat([3, 9, 12], [200, 1, 90]),
        "mixed": GENERATOR.integers(0, 7, 291),
        "one person": np.zeros(291, dtype=int),
        "one row each": GENERATOR.permutation(291),
    }[layout]
    data, weights = examples(291, person=person), flat(model)
    people = PersonGradients(GradientMap(model.training(), NumpyEngine()), data)
    names = np.unique(person)
    assert people.people == len(names)
    lanes = np.where(GENERATOR.random(len(names)) < 0.8, lanes_of(len(names)), -1)
    lanes[0] = 5
    got = np.concatenate(list(people.of(weights, lanes)))
    rows = np.array([model.gradient(weights, x, y) for x, y in zip(data.x, data.y, strict=True)])
    expected = np.array([rows[person == name].sum(axis=0) for name in names[lanes >= 0]])
    assert got.shape == expected.shape
    got, expected = (part[np.argsort(part[:, 0])] for part in (got, expected))
    np.testing.assert_allclose(got, expected, atol=2e-4)


def test_nobody_is_nobody(model):
    people = PersonGradients(GradientMap(model.training(), NumpyEngine()), examples(0))
    assert people.people == 0
    assert list(people.of(flat(model), np.zeros(0, dtype=int))) == []
    people = PersonGradients(GradientMap(model.training(), NumpyEngine()), examples(9))
    assert list(people.of(flat(model), np.full(9, -1))) == []


def test_memory_is_bounded_by_the_length_of_the_model(make_model):
    large = make_model(2000, 300, 4)
    assert GradientMap(large.training(), NumpyEngine()).lanes == 4
    assert GradientMap(make_model(2, 2, 2).training(), NumpyEngine()).lanes == 32


def test_examples_print_nothing_and_must_fit(model):
    data = examples(3)
    assert repr(data) == "Examples(<redacted>)"
    with pytest.raises(TypeError):
        pickle.dumps(data)
    with pytest.raises(UsageError, match="6 numbers"):
        PersonGradients(GradientMap(model.training(), NumpyEngine()), examples(3, features=5))
    with pytest.raises(UsageError):
        Examples(x=data.x, y=data.y[:2], person=data.person)


def test_a_program_of_other_inputs_or_outputs_is_refused(model):
    program = model.program()
    training = model.training()
    import msgspec

    fewer = msgspec.structs.replace(program, outputs=program.outputs[:-1], output_names=program.output_names[:-1])
    swapped = tuple(
        msgspec.structs.replace(item, role="buffer") if item.name == "b2" else item for item in program.inputs
    )
    for bad in (fewer, msgspec.structs.replace(program, inputs=swapped)):
        with pytest.raises(UnsupportedOperation):
            model_length(msgspec.structs.replace(training, gradient=codec.encode(bad)))
    with pytest.raises(BadMessage):
        model_length(msgspec.structs.replace(training, gradient=b"\x80\x04\x95"))

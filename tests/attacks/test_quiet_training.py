"""Nothing is written down because of what a row holds: gradients that are no numbers make no warning."""

import warnings

import numpy as np

from stead.core import codec
from stead.learn.gradients import Examples, GradientMap, PersonGradients
from stead.learn.pipeline import Lattice
from stead.plans.builder import ProgramBuilder
from stead.plans.engine import NumpyEngine
from stead.plans.program import TensorType
from stead.plans.training import Encoding, Feature, Privacy, Sampler, Training


def steep():
    """A model of one weight whose gradient is the weight times x."""
    b = ProgramBuilder()
    w = b.input("w", "parameter", TensorType("float32", (1,)))
    x = b.input("x", "x", TensorType("float32", (1,)))
    y = b.input("y", "y", TensorType("float32", ()))
    gradient = b.add("mul", w, x)
    return codec.encode(b.build({"loss": b.add("add", b.sum(gradient, (0,), keep=False), y), "d_w": gradient}))


TRAINING = Training(
    dataset="heart",
    gradient=steep(),
    encoding=Encoding(features=(Feature("age", "scaled"),), target="dose", task="regression"),
    sampler=Sampler(rate=1.0),
    rounds=1,
    ring_bits=64,
    privacy=Privacy(clip=1.0, lattice=2.0**-10, sigma=20.0, colluders=1, sites=3, steps=1),
)


def test_infinite_gradients_of_one_person_cancel_without_a_word():
    examples = Examples(
        x=np.array([[1.0], [-1.0], [0.5]], dtype=np.float32),
        y=np.zeros(3, dtype=np.float32),
        person=np.array([0, 0, 1]),
    )
    people = PersonGradients(GradientMap(TRAINING, NumpyEngine()), examples)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = np.concatenate(list(people.of(np.array([np.inf], dtype=np.float32), np.array([0, 1]))))
        integers = Lattice(1.0, 2.0**-10).quantise(found)
    assert np.isnan(found).sum() == 1
    assert integers.tolist() == [[0], [0]]

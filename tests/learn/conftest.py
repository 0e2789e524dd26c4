"""A small model whose gradient Program is written by hand: one hidden layer of tanh, softmax, cross-entropy."""

import numpy as np
import pytest

from stead.core import codec
from stead.plans.builder import ProgramBuilder
from stead.plans.program import TensorType
from stead.plans.training import Encoding, LocalSteps, Optimiser, Privacy, Sampler, Training


class Model:
    """Widths of the network; its Program, its parameters, and the same gradient in plain NumPy as an oracle."""

    def __init__(self, features, hidden, classes):
        self.shapes = ((features, hidden), (hidden,), (hidden, classes), (classes,))
        self.length = sum(int(np.prod(shape)) for shape in self.shapes)
        self.classes = classes

    def parameters(self, seed=0):
        generator = np.random.default_rng(seed)
        return [(generator.normal(size=shape) / np.sqrt(shape[0])).astype(np.float32) for shape in self.shapes]

    def program(self):
        b = ProgramBuilder()
        names = ("w1", "b1", "w2", "b2")
        w1, b1, w2, b2 = (
            b.input(name, "parameter", TensorType("float32", shape))
            for name, shape in zip(names, self.shapes, strict=True)
        )
        x = b.input("x", "x", TensorType("float32", (self.shapes[0][0],)))
        y = b.input("y", "y", TensorType("int64", ()))
        row = b.view(x, (1, self.shapes[0][0]))
        hidden = b.add("tanh", b.add("add", b.add("mm", row, w1), b1))
        logits = b.add("add", b.add("mm", hidden, w2), b2)
        high = b.add("amax", logits, axes=(1,), keep=True)
        powers = b.add("exp", b.add("sub", logits, high))
        chance = b.add("div", powers, b.sum(powers, (1,), keep=True))
        classes = b.constant(np.arange(self.classes, dtype=np.int64))
        truth = b.cast(b.add("eq", classes, y), "float32")
        loss = b.add("neg", b.add("log", b.sum(b.add("mul", chance, truth), (0, 1), keep=False)))
        d2 = b.add("sub", chance, truth)
        back = b.add("mm", d2, b.add("permute", w2, axes=(1, 0)))
        one = b.like(hidden, 1.0)
        d1 = b.add("mul", back, b.add("sub", one, b.add("mul", hidden, hidden)))
        return b.build(
            {
                "loss": loss,
                "d_w1": b.add("mm", b.add("permute", row, axes=(1, 0)), d1),
                "d_b1": b.view(d1, self.shapes[1]),
                "d_w2": b.add("mm", b.add("permute", hidden, axes=(1, 0)), d2),
                "d_b2": b.view(d2, self.shapes[3]),
            }
        )

    def gradient(self, weights, x, y):
        """The flat gradient at one example, in float64."""
        cuts = np.cumsum([int(np.prod(shape)) for shape in self.shapes])[:-1]
        w1, b1, w2, b2 = (
            part.reshape(shape) for part, shape in zip(np.split(weights.astype(float), cuts), self.shapes, strict=True)
        )
        hidden = np.tanh(x @ w1 + b1)
        logits = hidden @ w2 + b2
        chance = np.exp(logits - logits.max())
        chance /= chance.sum()
        d2 = chance - np.eye(self.classes)[y]
        d1 = (w2 @ d2) * (1 - hidden**2)
        return np.concatenate([np.outer(x, d1).ravel(), d1, np.outer(hidden, d2).ravel(), d2])

    def scores(self, weights, x):
        cuts = np.cumsum([int(np.prod(shape)) for shape in self.shapes])[:-1]
        w1, b1, w2, b2 = (part.reshape(shape) for part, shape in zip(np.split(weights, cuts), self.shapes, strict=True))
        return np.tanh(x @ w1 + b1) @ w2 + b2

    def training(self, *, private=True, **changes):
        facts = {
            "dataset": "d",
            "gradient": codec.encode(self.program()),
            "encoding": Encoding(features=(), target="t", task="classification"),
            "sampler": Sampler(rate=1.0),
            "rounds": 20,
            "ring_bits": 64,
        }
        if private:
            facts["privacy"] = Privacy(clip=1.0, lattice=2.0**-12, sigma=1.0, colluders=1, sites=3, steps=20)
        else:
            facts["local"] = LocalSteps(epochs=1, batch=16, optimiser=Optimiser(name="sgd", rate=0.3))
        return Training(**(facts | changes))


@pytest.fixture(scope="session")
def model():
    return Model(6, 5, 3)


@pytest.fixture(scope="session")
def make_model():
    return Model

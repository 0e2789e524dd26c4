"""The same functions on ``masked`` and ``replicated``: within the same bounds, at the cost that is foretold."""

import numpy as np
import pytest
from clear import on_grid
from rows import ROWS

from stead.core.entropy import SeededEntropy
from stead.mpc import functions
from stead.mpc.costing import Costing, costs_of
from stead.mpc.fixed import FRACTION, Secret, decode, encode
from stead.mpc.functions import Pool
from stead.mpc.local import together

KINDS = ["masked", "replicated"]
OWNER = 1


def revealed(kind, function, *inputs):
    """What the parties that are told are told: the same for all."""

    def computation(protocol):
        mine = protocol.party.place == OWNER
        shares = [protocol.share(encode(x) if mine else None, x.shape, OWNER) for x in inputs]
        found = function(protocol, *(Secret(share, FRACTION) for share in shares))
        told = protocol.reveal(found.share)
        return None if told is None else decode(told, found.scale)

    told = [result for result in together(kind, computation, entropy=SeededEntropy(5)) if result is not None]
    assert len(told) >= 2
    for other in told[1:]:
        np.testing.assert_array_equal(other, told[0])
    return told[0]


def few(row):
    """Some of the samples: the first and last, and some between."""
    samples = row.samples(np.random.default_rng(7))
    samples = samples if isinstance(samples, tuple) else (samples,)
    at = np.unique(np.linspace(0, len(samples[0]) - 1, 150).astype(int))
    return tuple(s[at] for s in samples)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_the_error_is_within_its_bound(row, kind):
    samples = few(row)
    found, expected = revealed(kind, row.run, *samples), row.oracle(*samples)
    assert (np.abs(found - expected) <= row.bound(expected)).all()


X = on_grid(np.random.default_rng(3).normal(0, 3, (4, 9)))
IMAGES = on_grid(np.random.default_rng(4).normal(0, 3, (1, 2, 7, 6)))
WINDOWS = Pool((3, 3), (2, 2), (1, 1))
EXACT = {
    "amax": (lambda p, x: functions.amax(p, x, 1, group=4), lambda x: x.max(1), X),
    "argmax": (lambda p, x: functions.argmax(p, x, 1), lambda x: x.argmax(1), X.round()),
    "argmax in groups": (lambda p, x: functions.argmax(p, x, 1, group=5), lambda x: x.argmax(1), X.round()),
    "argsort": (lambda p, x: functions.argsort(p, x, 1), lambda x: x.argsort(1, kind="stable"), X.round()),
    "sort": (lambda p, x: functions.sort(p, x, 0), lambda x: np.sort(x, 0), X),
    "clip": (lambda p, x: functions.clip(p, x, -1, 2), lambda x: x.clip(-1, 2), X),
    "equal": (lambda p, x: functions.indicator(p, functions.equal(p, x, 1.0)), lambda x: x == 1, X.round()),
    "less": (lambda p, x: functions.indicator(p, functions.less_equal(p, x, 1.0)), lambda x: x <= 1, X.round()),
    "sign": (functions.sign, np.sign, X.round()),
    "absolute": (functions.absolute, np.abs, X),
    "embedding": (
        lambda p, x: functions.embedding(p, Secret(x.share, 0), np.arange(8.0).reshape(4, 2)),
        lambda x: np.arange(8.0).reshape(4, 2)[(x * 2**16).astype(int)],
        np.array([0, 3, 2]) / 2**16,
    ),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", EXACT)
def test_what_is_exact_is_exact(name, kind):
    function, oracle, values = EXACT[name]
    np.testing.assert_array_equal(revealed(kind, function, values), oracle(values))


@pytest.mark.parametrize("kind", KINDS)
def test_pooling_and_its_gradient(kind):
    import torch

    images = torch.tensor(IMAGES, requires_grad=True)
    pooled, flat = torch.nn.functional.max_pool2d(images, 3, 2, 1, return_indices=True)
    pooled.sum().backward()
    np.testing.assert_array_equal(
        revealed(kind, lambda p, x: functions.max_pool2d(p, x, WINDOWS), IMAGES), pooled.detach()
    )
    places = revealed(kind, lambda p, x: functions.max_pool2d_with_places(p, x, WINDOWS)[1], IMAGES)
    np.testing.assert_array_equal(places, flat)

    def gradient(p, x):
        places = functions.max_pool2d_with_places(p, x, WINDOWS)[1]
        ones = Secret(p.public(np.full(places.shape, 1 << FRACTION, dtype=np.uint64)), FRACTION)
        return functions.max_pool2d_gradient(p, ones, places, WINDOWS, (7, 6))

    np.testing.assert_array_equal(revealed(kind, gradient, IMAGES), images.grad)


@pytest.mark.parametrize("kind", KINDS)
def test_statistics(kind):
    unit = 2.0**-FRACTION
    assert np.abs(revealed(kind, lambda p, x: functions.mean(p, x, 1), X) - X.mean(1)).max() <= 1.5 * unit
    assert np.abs(revealed(kind, lambda p, x: functions.variance(p, x, 1), X) - X.var(1)).max() <= 4 * unit
    assert np.abs(revealed(kind, functions.median, X) - np.median(X, axis=1)).max() <= unit
    centred = (X - X.mean(1, keepdims=True)) / np.sqrt(X.var(1, keepdims=True) + 1e-5)
    assert np.abs(revealed(kind, functions.layer_norm, X) - centred).max() <= 2 * unit


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "name", ["exp", "divide", "log", "rsqrt", "gelu", "sin", "softmax", "argsort", "argmax", "layer_norm"]
)
def test_the_bytes_are_those_that_shapes_foretell(name, kind):
    """What the channels carry against ``Costing``, which sees shapes only."""
    function = getattr(functions, name)
    count, shape = 2 if name == "divide" else 1, (3, 10)
    foretold = Costing(costs_of(kind))
    function(foretold, *(Secret(foretold.outline_of(shape), FRACTION) for _ in range(count)))

    def computation(protocol):
        shares = [protocol.public(encode(np.ones(shape) + 1)) for _ in range(count)]
        protocol.reveal(shares[0])  # with ``masked`` the first round compares materials too
        before = protocol.party.channel.traffic
        function(protocol, *(Secret(share, FRACTION) for share in shares))
        spent = protocol.party.channel.traffic.since(before)
        return spent.rounds, spent.total_sent_bytes

    results = together(kind, computation, entropy=SeededEntropy(5))
    online = slice(1, None) if kind == "masked" else slice(None)
    assert [sent for _, sent in results[online]] == list(foretold.total.sent[online])
    assert max(rounds for rounds, _ in results[online]) == foretold.total.rounds

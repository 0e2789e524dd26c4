"""A network with all that chains: each layer is exact, or one unit off where it truncates, over 10^7 values.

Convolution, max-pooling before the ReLU (both on numbers that are not truncated yet), a ReLU that truncates in the same
opening, a convolution with a residual sum at the scale of the product, another ReLU, a matrix product and a truncation.
opening, a convolution with a residual sum at the scale of the product, another ReLU, a matrix product, a truncation.
on exactly that; the end is held against ``Cleartext`` from the start, within the bound that the weights give.
"""

import threading

import numpy as np

from stead.core.entropy import SeededEntropy
from stead.mpc.forms import MATMUL, conv2d
from stead.mpc.kernels.window import Window
from stead.mpc.party import Party
from stead.mpc.protocols.cleartext.protocol import Cleartext
from stead.mpc.protocols.masked.preparation import prepare
from stead.mpc.protocols.masked.protocol import Masked
from stead.net.local import local_mesh

NAMES = ("p0", "p1", "p2")
FRACTION = 16
SAME = conv2d(Window((1, 1), (1, 1)))
SHAPES = {"x": (16, 8, 64, 64), "w1": (16, 8, 3, 3), "w2": (16, 16, 3, 3), "w3": (16 * 32 * 32, 4)}


def maximum(protocol, x, y):
    difference = x - y
    return y + protocol.select(protocol.invert(protocol.negative(difference)), difference)


def pool(protocol, x):
    x = maximum(protocol, x[:, :, :, 0::2], x[:, :, :, 1::2])
    return maximum(protocol, x[:, :, 0::2], x[:, :, 1::2])


def relu(protocol, x):
    return protocol.select(protocol.invert(protocol.negative(x)), x, FRACTION)


STEPS = {
    "convolution": lambda p, v: p.product(SAME, v["x"], v["w1"]),
    "pooled": lambda p, v: pool(p, v["convolution"]),
    "hidden": lambda p, v: relu(p, v["pooled"]),
    "residual": lambda p, v: p.product(SAME, v["hidden"], v["w2"]) + v["hidden"].scaled(1 << FRACTION),
    "second": lambda p, v: relu(p, v["residual"]),
    "sum": lambda p, v: p.product(MATMUL, v["second"].reshape((16, 16 * 32 * 32)), v["w3"]),
    "result": lambda p, v: p.truncate(v["sum"], FRACTION),
}
TRUNCATED = {"hidden": "pooled", "second": "residual", "result": "sum"}


def network(protocol, inputs):
    """The shares after each step."""
    owners = {"x": 1, "w1": 2, "w2": 2, "w3": 2}
    clear = protocol.facts.name == "cleartext"
    values = {
        name: protocol.share(inputs[name] if clear or protocol.party.place == owner else None, SHAPES[name], owner)
        for name, owner in owners.items()
    }
    for name, step in STEPS.items():
        values[name] = step(protocol, values)
    return values


def at_all(computation, seed):
    """The shares at all three parties."""
    dealt, material = prepare(computation, names=NAMES, entropy=SeededEntropy(seed))
    mesh, results = local_mesh(NAMES, timeout_s=60), {0: dealt}

    def one(place):
        party = Party(place, NAMES, mesh[NAMES[place]], SeededEntropy(place))
        results[place] = computation(Masked(party, material[place - 1]))

    threads = [threading.Thread(target=one, args=(place,)) for place in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def secrets(results):
    """Each step's secret, m - l_1 - l_2, after all parts are found to agree."""
    found = {}
    for name, dealt in results[0].items():
        (l1, l2), (m, mine), (same, theirs) = (share[name].parts for share in (results[0], results[1], results[2]))
        for one, other in ((m, same), (l1, mine), (l2, theirs)):
            np.testing.assert_array_equal(one, other)
        assert dealt.shape == m.shape
        found[name] = m - l1 - l2
    return found


def ring(rng, shape, scale):
    return np.rint(rng.normal(0, scale, shape) * 2**FRACTION).astype(np.int64).view(np.uint64)


def wraps(results, name):
    """In how many openings z + 2^62 + l went round, and of how many."""
    l1, l2 = results[0][name].parts
    raised, mask = results[1][name].parts[0] + np.uint64(1 << 62), l1 + l2
    return int((raised < mask).sum()), mask.size


def test_a_network_of_ten_million_values():
    clear, total, wrapped = Cleartext(Party(0, ("clear",), None, SeededEntropy(0))), 0, np.zeros(2, dtype=np.int64)
    bumps, worst = 0, 0
    for seed in range(5):
        rng = np.random.default_rng(seed)
        scales = {"x": 3, "w1": 0.3, "w2": 0.2, "w3": 0.05}
        inputs = {name: ring(rng, shape, scales[name]) for name, shape in SHAPES.items()}
        results = at_all(lambda protocol, inputs=inputs: network(protocol, inputs), seed)
        actual = secrets(results)
        shares = {name: clear.public(value) for name, value in actual.items()}
        for name, step in STEPS.items():
            expected = step(clear, shares).parts[0]
            units = actual[name] - expected
            total += units.size
            if name in TRUNCATED:
                assert set(np.unique(units)) <= {0, 1}
                bumps += int(units.sum())
                wrapped += wraps(results, TRUNCATED[name])
            else:
                assert not units.any()
        worst = max(worst, end_to_end(inputs, actual, network(clear, inputs)))
    assert total > 10_000_000
    assert wrapped[0] > wrapped[1] // 5  # a quarter: l above m, each with half of the ring
    assert bumps > 1000
    assert worst > 1  # otherwise nothing has been added up


def end_to_end(inputs, actual, expected):
    """The largest error at the end, in units, after it is found to be within its bound."""
    of = {name: np.abs(inputs[name].view(np.int64)).astype(float) for name in ("w2", "w3")}
    first = 1.0
    second = first * of["w2"].sum((1, 2, 3)).max() / 2**FRACTION + first + 1
    bound = second * of["w3"].sum(0).max() / 2**FRACTION + 1
    errors = {
        name: np.abs((actual[name] - expected[name].parts[0]).view(np.int64)).max()
        for name in ("hidden", "second", "result")
    }
    assert errors["hidden"] <= first
    assert errors["second"] <= second
    assert errors["result"] <= bound
    return errors["result"]

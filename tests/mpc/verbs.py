"""Every verb of a protocol against ``Cleartext``, and against what it says that it costs.

A protocol's test module makes a subclass of ``Verbs`` and of ``Exact``; ``run`` runs a computation at all parties and
returns their results by place, as ``stead.mpc.local.together`` does. What a party is not told is ``None``.
"""

import numpy as np
import pytest

from stead.core.entropy import SeededEntropy
from stead.errors import UsageError
from stead.mpc.cost import Cost
from stead.mpc.forms import MATMUL, MUL, conv2d
from stead.mpc.kernels.linear import Window
from stead.mpc.party import Party
from stead.mpc.protocols.cleartext.protocol import Cleartext

SHAPES = [(0,), (1,), (63,), (64,), (65,), (3, 1, 43), (2, 0, 3)]
WIDTHS = [1, 2, 3, 8, 32, 33, 63, 64]
SHIFTS = [0, 1, 8, 12, 16, 17, 33, 62]
EDGES = [0, 1, -1, 1 << 62, -(1 << 62), -(1 << 63), (1 << 63) - 1, (1 << 62) - 1, -(1 << 62) - 1, 1 << 32, -(1 << 31)]
SMALL_EDGES = [0, 1, -1, (1 << 62) - 1, -(1 << 62), 1 << 16, -(1 << 16), 65535, -65535, 1 << 61]


def drawn(shape, seed, edges=EDGES, headroom=64):
    """Random signed numbers of ``headroom`` bits, every edge among them where there is room."""
    numbers = np.random.default_rng(seed).integers(0, 2**64, shape, dtype=np.uint64).view(np.int64) >> (64 - headroom)
    count = min(numbers.size, len(edges))
    at = np.random.default_rng(seed + 1).permutation(numbers.size)[:count]
    numbers.reshape(-1)[at] = np.array(edges, dtype=np.int64)[:count]
    return numbers.view(np.uint64)


def small(shape, seed):
    """Numbers that may be truncated: in [-2^62, 2^62)."""
    return drawn(shape, seed, SMALL_EDGES, 63)


def entered(protocol, values, owners, seed=0):
    """The values as a sum of one input of each owner, so that no summand of theirs is special."""
    rest, shares = values.copy(), []
    for owner in owners[1:]:
        piece = np.random.default_rng(seed + owner).integers(0, 2**64, values.shape, dtype=np.uint64)
        rest -= piece
        shares.append((owner, piece))
    total = None
    for owner, piece in [(owners[0], rest), *shares]:
        share = protocol.share(piece if protocol.party.place == owner else None, values.shape, owner)
        total = share if total is None else total + share
    return total


def clear():
    return Cleartext(Party(0, ("clear",), None, SeededEntropy(0)))


class Verbs:
    """What each verb gives. A subclass has ``owners`` and ``run``."""

    owners = (0, 1)

    def run(self, computation):
        raise NotImplementedError

    def opened(self, verb, *inputs):
        """What every party is told when the verb's result is revealed: the same everywhere; and what it should be."""

        def computation(protocol):
            shares = [entered(protocol, values, self.owners, seed) for seed, values in enumerate(inputs)]
            return protocol.reveal(verb(protocol, *shares))

        told = [result for result in self.run(computation) if result is not None]
        assert told
        for other in told[1:]:
            np.testing.assert_array_equal(other, told[0])
        oracle = clear()
        return told[0], oracle.reveal(verb(oracle, *(oracle.share(v, v.shape, 0) for v in inputs)))

    def same(self, verb, *inputs):
        got, expected = self.opened(verb, *inputs)
        assert got.dtype == np.uint64
        np.testing.assert_array_equal(got, expected)

    def within_one(self, verb, *inputs):
        got, floor = self.opened(verb, *inputs)
        assert got.shape == floor.shape
        assert set(np.unique(got - floor)) <= {0, 1}
        return got - floor

    @pytest.mark.parametrize("shape", SHAPES, ids=str)
    def test_share_and_reveal(self, shape):
        self.same(lambda _, x: x, drawn(shape, 1))

    @pytest.mark.parametrize("owner", [0, 1, 2])
    def test_each_owner_enters_its_own(self, owner):
        if owner not in self.owners:
            pytest.skip("this party owns no inputs")
        values = drawn((65,), 2)

        def computation(protocol):
            return protocol.reveal(protocol.share(values if protocol.party.place == owner else None, (65,), owner))

        for told in self.run(computation):
            if told is not None:
                np.testing.assert_array_equal(told, values)

    def test_only_the_named_are_told(self):
        place, values = self.owners[-1], drawn((5,), 3)
        results = self.run(lambda protocol: protocol.reveal(entered(protocol, values, self.owners), to=[place]))
        for at, told in enumerate(results):
            if at == place:
                np.testing.assert_array_equal(told, values)
            else:
                assert told is None

    def test_public(self):
        known = drawn((3, 4), 4)
        self.same(lambda p, x: p.public(known) - x, drawn((3, 4), 5))

    def test_add_public_broadcasts(self):
        known = drawn((4,), 6)
        self.same(lambda p, x: p.add_public(x, known), drawn((3, 1), 7))

    def test_linear_maps(self):
        self.same(
            lambda _, x, y: (
                (x + y.scaled(-3))[::2].reshape((3, 2)).reshape((2, 3)) - y[1::2].map(lambda part: part.sum(0))
            ),
            drawn((4, 6), 8)[:, :3],
            drawn((4, 3), 9),
        )

    @pytest.mark.parametrize("shape", SHAPES, ids=str)
    def test_elementwise_product(self, shape):
        self.same(lambda p, x, y: p.product(MUL, x, y), drawn(shape, 10), drawn(shape, 11))

    @pytest.mark.parametrize(("a", "b"), [((3, 1), (1, 5)), ((1,), (7,)), ((2, 3, 4), (4,))], ids=str)
    def test_product_that_broadcasts(self, a, b):
        self.same(lambda p, x, y: p.product(MUL, x, y), drawn(a, 12), drawn(b, 13))

    @pytest.mark.parametrize(
        ("a", "b"), [((1, 1), (1, 1)), ((5, 7), (7, 3)), ((65, 2), (2, 9)), ((2, 3, 4), (4, 5))], ids=str
    )
    def test_matrix_product(self, a, b):
        self.same(lambda p, x, y: p.product(MATMUL, x, y), drawn(a, 14), drawn(b, 15))

    @pytest.mark.parametrize(
        ("images", "weights", "groups"), [((1, 3, 7, 6), (4, 3, 3, 3), 1), ((3, 4, 5, 5), (6, 2, 3, 3), 2)], ids=str
    )
    def test_convolution(self, images, weights, groups):
        form = conv2d(Window(stride=(2, 2), padding=(1, 1), groups=groups))
        self.same(lambda p, x, w: p.product(form, x, w), drawn(images, 37), drawn(weights, 38))

    @pytest.mark.filterwarnings("error")
    @pytest.mark.parametrize("at", [(), (slice(None, None, 2),), (slice(None, None, -1),), (3,)], ids=str)
    def test_products_of_numbers_and_of_views(self, at):
        values = drawn(() if at == () else (130,), 40)
        self.same(lambda p, x, y: p.product(MUL, x[at], y[at]), values, values.copy())

    def test_a_product_that_is_refused_leaves_the_parties_in_step(self):
        def verb(p, x, weights):
            with pytest.raises(UsageError, match="channels"):
                p.product(conv2d(Window()), x, weights)
            return p.product(MUL, p.product(MUL, x, x), x)

        self.same(verb, drawn((2, 3, 5, 5), 41), drawn((4, 2, 3, 3), 42))

    def test_products_of_products(self):
        def computation(p, x, y):
            z = p.product(MUL, x, y)
            return p.product(MUL, p.product(MUL, z, z) - x, y)

        self.same(computation, drawn((100,), 16), drawn((100,), 17))

    @pytest.mark.parametrize("bits", SHIFTS)
    def test_truncate(self, bits):
        for shape in SHAPES:
            self.within_one(lambda p, x: p.truncate(x, bits), small(shape, bits))

    def test_truncate_never_wraps(self):
        """200,000 numbers of full size; a method with a wrap probability would miss a fixed part of them."""
        assert not self.within_one(lambda p, x: p.truncate(x, 16), small((200_000,), 18)).all()

    def test_truncate_keeps_what_is_whole(self):
        values = (small((1000,), 19).view(np.int64) >> 16 << 16).view(np.uint64)
        assert not self.within_one(lambda p, x: p.truncate(x, 16), values).any()

    @pytest.mark.parametrize("bits", WIDTHS)
    def test_negative(self, bits):
        for shape in SHAPES:
            values = (drawn(shape, 20 + bits).view(np.int64) >> (64 - bits)).view(np.uint64)
            self.same(lambda p, x: p.arithmetic(p.negative(x, bits)), values)

    def test_negative_reads_the_low_bits_only(self):
        self.same(lambda p, x: p.arithmetic(p.negative(x, 16)), drawn((300,), 21))

    def test_negative_of_every_carry(self):
        """-2^k, 2^k and their neighbours: carries of every length."""
        powers = np.uint64(1) << np.arange(64, dtype=np.uint64)
        edges = np.concatenate([powers, powers - np.uint64(1), np.negative(powers), ~powers])
        self.same(lambda p, x: p.arithmetic(p.negative(x)), edges)

    @pytest.mark.parametrize("shape", SHAPES, ids=str)
    def test_zero(self, shape):
        values = drawn(shape, 22)
        values.reshape(-1)[::2] = 0
        self.same(lambda p, x: p.arithmetic(p.zero(x)), values)

    def test_zero_sees_every_bit(self):
        self.same(lambda p, x: p.arithmetic(p.zero(x)), np.uint64(1) << np.arange(64, dtype=np.uint64))

    @pytest.mark.parametrize("bits", SHIFTS)
    def test_select_with_truncation(self, bits):
        for shape in SHAPES:
            verb = lambda p, x, y: p.select(p.negative(x), y, bits)  # noqa: E731 - as short as the verb
            self.within_one(verb, drawn(shape, 23), small(shape, bits + 24))

    def test_select_on_the_whole_ring(self):
        self.same(lambda p, x, y: p.select(p.negative(x), y), drawn((500,), 25), drawn((500,), 26))

    def test_relu(self):
        self.same(lambda p, x: p.select(p.invert(p.negative(x)), x), drawn((500,), 27))

    def test_select_wants_one_bit_for_each_value(self):
        def computation(protocol):
            x = entered(protocol, drawn((5,), 28), self.owners)
            with pytest.raises(ValueError, match="cannot choose"):
                protocol.select(protocol.decompose(x, 2), x)
            with pytest.raises(ValueError, match="cannot choose"):
                protocol.select(protocol.negative(x), x[:2])

        self.run(computation)

    @pytest.mark.parametrize("bits", WIDTHS)
    def test_decompose(self, bits):
        for shape in SHAPES:
            self.same(lambda p, x: p.arithmetic(p.decompose(x, bits)), drawn(shape, 30 + bits))

    def test_decompose_of_every_carry(self):
        powers = np.uint64(1) << np.arange(64, dtype=np.uint64)
        self.same(lambda p, x: p.arithmetic(p.decompose(x)), np.concatenate([powers, powers - np.uint64(1)]))

    @pytest.mark.parametrize("shape", SHAPES, ids=str)
    def test_logic(self, shape):
        def computation(p, x, y):
            a, b = p.decompose(x, 5), p.decompose(y, 5)
            return p.arithmetic(p.invert(p.conjunction(p.invert(a), b)) ^ a.plane(4, 3, 2, 1, 0))

        self.same(computation, drawn(shape, 31), drawn(shape, 32))

    def test_conjunction_wants_one_width(self):
        def computation(protocol):
            a = protocol.decompose(entered(protocol, drawn((5,), 33), self.owners), 2)
            with pytest.raises(ValueError, match="no conjunction"):
                protocol.conjunction(a, a.plane(0))

        self.run(computation)

    @pytest.mark.parametrize("bits", [-1, 0, 65])
    def test_a_number_has_64_bits(self, bits):
        def computation(protocol):
            x = entered(protocol, drawn((5,), 34), self.owners)
            for verb in (protocol.negative, protocol.decompose):
                with pytest.raises(ValueError, match="bits"):
                    verb(x, bits)

        self.run(computation)

    @pytest.mark.parametrize("bits", [-1, 63, 64])
    def test_truncation_has_its_range(self, bits):
        def computation(protocol):
            x = entered(protocol, drawn((5,), 35), self.owners)
            with pytest.raises(ValueError, match="truncated by"):
                protocol.truncate(x, bits)
            with pytest.raises(ValueError, match="truncated by"):
                protocol.select(protocol.negative(x), x, bits)

        self.run(computation)

    def test_a_network(self):
        """Two layers as they are computed: product, sign, selection with truncation; every result within its units."""
        rng = np.random.default_rng(36)
        w1, w2, x = (rng.normal(size=s) for s in ((20, 30), (30, 4), (50, 20)))
        ring = [np.rint(a * 65536).astype(np.int64).view(np.uint64) for a in (x, w1, w2)]

        def computation(p, x, w1, w2):
            hidden = p.product(MATMUL, x, w1)
            hidden = p.select(p.invert(p.negative(hidden)), hidden, 16)
            return p.truncate(p.product(MATMUL, hidden, w2), 16)

        got, _ = self.opened(computation, *ring)
        assert np.abs(got.view(np.int64) / 65536 - np.maximum(x @ w1, 0) @ w2).max() < 0.01


def bits_of(protocol, values, owners, width):
    return protocol.decompose(entered(protocol, values, owners), width)


VERBS = [
    ("product", lambda p, x, _: p.product(MUL, x, x), lambda c, s: c.product(MUL, s, s)),
    *((f"truncate {k}", lambda p, x, _, k=k: p.truncate(x, k), lambda c, s, k=k: c.truncate(s, k)) for k in SHIFTS),
    *((f"negative {k}", lambda p, x, _, k=k: p.negative(x, k), lambda c, s, k=k: c.negative(s, k)) for k in WIDTHS),
    ("zero", lambda p, x, _: p.zero(x), lambda c, s: c.zero(s)),
    *((f"select {k}", lambda p, x, b, k=k: p.select(b, x, k), lambda c, s, k=k: c.select(s, k)) for k in SHIFTS),
    *((f"decompose {k}", lambda p, x, _, k=k: p.decompose(x, k), lambda c, s, k=k: c.decompose(s, k)) for k in WIDTHS),
    ("conjunction", lambda p, _, b: p.conjunction(b, b), lambda c, s: c.conjunction(s, 1)),
    ("arithmetic", lambda p, _, b: p.arithmetic(b), lambda c, s: c.arithmetic(s, 1)),
    ("reveal", lambda p, x, _: p.reveal(x), lambda c, s: c.reveal(s)),
]


class Exact:
    """What each verb costs: rounds and bytes by the channels' own count. A subclass has ``costs`` too."""

    owners = (0, 1)
    costs = None

    def run(self, computation):
        raise NotImplementedError

    def spent(self, verb, shape):
        """The verb's cost as the channels have counted it, each party's rounds and bytes."""

        def computation(protocol):
            x = entered(protocol, small(shape, 40), self.owners)
            b = protocol.negative(x)
            before = protocol.party.channel.traffic
            verb(protocol, x, b)
            return protocol.party.channel.traffic.since(before)

        traffic = self.run(computation)
        return Cost(max(t.rounds for t in traffic), tuple(t.total_sent_bytes for t in traffic))

    @pytest.mark.parametrize(("verb", "cost"), [row[1:] for row in VERBS], ids=[row[0] for row in VERBS])
    def test_cost(self, verb, cost):
        for shape in SHAPES:
            assert self.spent(verb, shape) == cost(self.costs, shape), shape

    @pytest.mark.parametrize(("a", "b"), [((5, 7), (7, 3)), ((2, 3, 4), (4, 5))], ids=str)
    def test_cost_of_a_matrix_product(self, a, b):
        size = int(np.prod(a))

        def verb(protocol, x, _):
            return protocol.product(MATMUL, x.reshape(a), x[: int(np.prod(b))].reshape(b))

        assert self.spent(verb, (size,)) == self.costs.product(MATMUL, a, b)

    def test_cost_of_sharing(self):
        for owner in self.owners:
            values = drawn((7, 3), 41)

            def verb(protocol, _x, _b, owner=owner, values=values):
                protocol.share(values if protocol.party.place == owner else None, (7, 3), owner)

            assert self.spent(verb, (1,)) == self.costs.share((7, 3), owner)

    def test_cost_of_telling_some(self):
        for to in ([0], [1], [0, 2], []):
            assert self.spent(lambda p, x, _, to=to: p.reveal(x, to), (7, 3)) == self.costs.reveal((7, 3), to)

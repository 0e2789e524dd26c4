"""Masked sharing gives what the clear gives, for what it says: prepared, from a file, and dealt along."""

import threading

import numpy as np
import pytest
from verbs import Exact, Verbs, drawn, entered, small

from stead.core.entropy import SeededEntropy
from stead.errors import UsageError
from stead.mpc.cost import Cost
from stead.mpc.forms import MATMUL, MUL
from stead.mpc.local import together
from stead.mpc.party import Party
from stead.mpc.protocols.masked.costs import MaskedCosts
from stead.mpc.protocols.masked.preparation import TrustedDealer, along, prepare, receive
from stead.mpc.protocols.masked.protocol import Masked
from stead.net.local import local_mesh

NAMES = ("p0", "p1", "p2")


def at_each(work, names=NAMES, places=(0, 1, 2)):
    """What ``work(place, channel)`` returns at each place, in threads."""
    mesh, results, errors = local_mesh(names, timeout_s=20), {}, []

    def one(place):
        try:
            results[place] = work(place, mesh[names[place]])
        except BaseException as error:  # noqa: BLE001 - raised below
            errors.append(error)
            mesh[names[place]].abort("failed")

    threads = [threading.Thread(target=one, args=(place,)) for place in places]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return [results[place] for place in places]


def session(computation):
    """All three at once, party 0 dealing along."""

    def work(place, channel):
        party = Party(place, NAMES, channel, SeededEntropy(100 + place))
        return computation(Masked(party, receive(party)) if place else along(party))

    return at_each(work)


class Prepared:
    owners = (0, 1, 2)
    costs = MaskedCosts()

    def run(self, computation):
        return together("masked", computation, entropy=SeededEntropy(1))


class TestVerbs(Prepared, Verbs):
    pass


class TestCosts(Prepared, Exact):
    def spent(self, verb, shape):
        """Online as the channels count, and prepared by the size of the material."""
        online = super().spent(verb, shape)

        def dealt(run_verb):
            def computation(protocol):
                x = entered(protocol, small(shape, 40), self.owners)
                b = protocol.negative(x)
                if run_verb:
                    verb(protocol, x, b)

            return prepare(computation, names=NAMES, entropy=SeededEntropy(1))[1]

        whole, before = dealt(True), dealt(False)
        assert whole[0].size_bytes == 0
        return Cost(online.rounds, (0, *online.sent[1:]), (whole[1].size_bytes - before[1].size_bytes, 0, 0))

    def test_cost_of_telling_some(self):
        for to in ([1], [2], [1, 2], []):
            assert self.spent(lambda p, x, _, to=to: p.reveal(x, to), (7, 3)) == self.costs.reveal((7, 3), to)

    def test_the_start(self):
        def computation(protocol):
            protocol.reveal(protocol.share(drawn((3,), 1) if protocol.party.place == 0 else None, (3,), 0))
            return protocol.party.channel.traffic

        _, first, second = self.run(computation)
        assert first.rounds == second.rounds == 2
        cost = self.costs.start() + self.costs.share((3,), 0) + self.costs.reveal((3,))
        assert (0, first.total_sent_bytes, second.total_sent_bytes) == cost.sent

    @pytest.mark.parametrize(
        ("bits", "shift", "total"), [(64, 0, 84), (32, 0, 57), (64, 16, 96)], ids=["64", "32", "truncated"]
    )
    def test_a_relu_is_as_cheap_as_the_design_says(self, bits, shift, total):
        cost = self.costs.negative((64_000,), bits) + self.costs.select((64_000,), shift)
        assert cost.total_bytes / 64_000 <= total


class TestSession(Verbs):
    """The dealer runs along: the same results."""

    owners = (0, 1, 2)

    def run(self, computation):
        return session(computation)


def test_a_session_tells_the_dealer_what_is_revealed_to_it():
    values = drawn((3, 5), 1)

    def computation(protocol):
        x = entered(protocol, values, (1, 2))
        before = protocol.party.channel.traffic
        told = protocol.reveal(protocol.product(MUL, x, x), to=[0, 2])
        return told, protocol.party.channel.traffic.since(before)

    results = session(computation)
    np.testing.assert_array_equal(results[0][0], values * values)
    assert results[1][0] is None
    np.testing.assert_array_equal(results[2][0], values * values)
    cost = MaskedCosts().product(MUL, (3, 5), (3, 5)) + MaskedCosts().reveal((3, 5), [0, 2])
    assert results[1][1].rounds == cost.rounds
    assert tuple(r[1].total_sent_bytes for r in results[1:]) == cost.sent[1:]
    assert results[0][1].sent_bytes == {"p1": 0, "p2": cost.dealt[0]}


def test_a_preparation_reveals_nothing_to_the_dealer():
    with pytest.raises(UsageError, match="place 0 has prepared and is not there"):
        together("masked", lambda p: p.reveal(p.public(drawn((3,), 1)), to=[0]))


def test_two_parties_and_a_trusted_dealer():
    w, x = drawn((4, 6), 1), drawn((6, 3), 2)

    def computation(protocol):
        place = protocol.party.place
        a = protocol.share(w if place == 1 else None, w.shape, 1)
        b = protocol.share(x if place == 2 else None, x.shape, 2)
        z = protocol.product(MATMUL, a, b)
        return protocol.reveal(protocol.select(protocol.invert(protocol.negative(z)), z), to=[2])

    dealer = TrustedDealer(("clinic", "lab"), entropy=SeededEntropy(7))
    material = dealer.prepare(computation)

    def work(place, channel):
        return computation(Masked(Party(place, dealer.names, channel, SeededEntropy(place)), material[place - 1]))

    clinic, lab = at_each(work, dealer.names, (1, 2))
    assert clinic is None
    z = (w @ x).view(np.int64)
    np.testing.assert_array_equal(lab, np.maximum(z, 0).view(np.uint64))


def test_the_facts_are_told():
    assert MaskedCosts().facts is Masked.facts
    assert (Masked.facts.parties, Masked.facts.corruptions) == (3, 1)


@pytest.mark.parametrize("owner", [-1, 3])
def test_an_owner_is_one_of_three(owner):
    with pytest.raises(UsageError, match=f"no place {owner}"):
        together("masked", lambda p: p.share(None, (1,), owner))


def test_an_owner_gives_its_values():
    for owner in (0, 1):
        with pytest.raises(UsageError, match="must give its values"):
            together("masked", lambda p, owner=owner: p.share(None, (1,), owner))


def test_a_value_is_revealed_to_parties():
    with pytest.raises(UsageError, match=r"places \[1, 3\]"):
        together("masked", lambda p: p.reveal(p.public(drawn((1,), 1)), to=[1, 3]))


def test_a_single_number_has_no_axes():
    value = np.array(-5 << 16).view(np.uint64)

    def computation(protocol):
        clear = protocol.facts.name == "cleartext"
        x, y = (protocol.share(value if clear or protocol.party.place == at else None, (), at) for at in (0, 1))
        z = protocol.truncate(protocol.product(MUL, x, y), 16)
        n = protocol.negative(x)
        shares = [
            z,
            protocol.select(n, x, 4),
            protocol.select(protocol.invert(n), z),
            protocol.arithmetic(n),
            protocol.add_public(z - x, np.uint64(4)),
        ]
        return [protocol.reveal(share) for share in shares]

    expected = together("cleartext", computation)[0]
    for told in together("masked", computation, entropy=SeededEntropy(3))[1:]:
        for got, clear in zip(told, expected, strict=True):
            assert got.shape == clear.shape
            assert set(np.unique(got - clear)) <= {0, 1}


@pytest.mark.parametrize("bits", [1, 8, 16, 40, 62])
def test_truncation_rounds_with_a_public_dither(bits):
    """The result is floor((x + d) / 2^bits) with d = 2^bits - 1 - (m mod 2^bits): no other bit of the mask is in it."""
    values = small((5000,), 50 + bits)

    def computation(protocol):
        x = entered(protocol, values, (1, 2))
        b = protocol.invert(protocol.negative(x - x))  # one, masked
        return x.parts[0], protocol.reveal(protocol.truncate(x, bits)), protocol.reveal(protocol.select(b, x, bits))

    (m, one, two), _ = together("masked", computation, entropy=SeededEntropy(bits))[1:]
    dither = np.uint64((1 << bits) - 1) - (m & np.uint64((1 << bits) - 1))
    expected = [(int(x) + int(d)) >> bits for x, d in zip(values.view(np.int64), dither, strict=True)]
    np.testing.assert_array_equal(one.view(np.int64), expected)
    np.testing.assert_array_equal(two.view(np.int64), expected)
    assert len(np.unique(dither & np.uint64(255))) == min(1 << bits, 256)


@pytest.mark.parametrize("bits", [1, 8, 16, 40, 62])
def test_to_the_dealer_the_dither_is_the_low_bits_of_the_mask(bits):
    """Party 0 knows l, and the result is floor((x + (l mod 2^bits)) / 2^bits): what a reveal to it tells, too."""
    values = small((5000,), 60 + bits)

    def computation(protocol):
        x = entered(protocol, values, (1, 2))
        return x.parts, protocol.reveal(protocol.truncate(x, bits), to=[0])

    ((l_1, l_2), told), *_ = session(computation)
    low = (l_1 + l_2) & np.uint64((1 << bits) - 1)
    expected = [(int(x) + int(d)) >> bits for x, d in zip(values.view(np.int64), low, strict=True)]
    np.testing.assert_array_equal(told.view(np.int64), expected)


def test_the_dealers_own_input_has_one_dither():
    """It has m = 0, so d = 2^f - 1: rounded up. A public value has l = 0: rounded down."""
    values = small((500,), 70)

    def computation(protocol):
        x = protocol.share(values if protocol.party.place == 0 else None, values.shape, 0)
        return [protocol.reveal(protocol.truncate(share, 9)) for share in (x, protocol.public(values))]

    for up, down in together("masked", computation, entropy=SeededEntropy(4))[1:]:
        np.testing.assert_array_equal(up.view(np.int64), [-(-int(x) >> 9) for x in values.view(np.int64)])
        np.testing.assert_array_equal(down.view(np.int64), values.view(np.int64) >> 9)

"""Clients' vectors added up by aggregators: exact sums, refusals that name the client, and shares that tell nothing."""

import pickle
import random
import threading

import numpy as np
import pytest

from stead.core.entropy import SeededEntropy
from stead.errors import BadMessage, SteadError, TooFewParties, UsageError
from stead.mpc.party import Party
from stead.mpc.protocols.additive.aggregation import HEAD, Aggregator, split
from stead.net.local import local_mesh

RINGS = pytest.mark.parametrize("bits", [32, 64])
DTYPES = {32: np.uint32, 64: np.uint64}


def vectors(count, length, bits, seed=1):
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 2**bits, length, dtype=DTYPES[bits]) for _ in range(count)]


def shared(values, count, bits, seed=2):
    entropy = SeededEntropy(seed)
    return [split(one, count, entropy=entropy, ring_bits=bits) for one in values]


def party(place, count):
    return Party(place, tuple(f"p{at}" for at in range(count)), None, SeededEntropy(0))


def at_each(count, work):
    """``work`` at every party; what it returned or raised."""
    names = tuple(f"p{at}" for at in range(count))
    mesh, results = local_mesh(names), {}

    def one(place):
        channel = mesh[names[place]]
        try:
            results[place] = work(Party(place, names, channel, SeededEntropy(0)))
        except SteadError as error:
            results[place] = error
            channel.abort("failed")

    threads = [threading.Thread(target=one, args=(place,)) for place in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [results[place] for place in range(count)]


@RINGS
@pytest.mark.parametrize("aggregators", [2, 3, 5])
@pytest.mark.parametrize("length", [0, 1, 7, 8192, 8193, 40_001])
def test_the_sum_is_exact(bits, aggregators, length):
    values = vectors(6, length, bits)
    shares = shared(values, aggregators, bits)

    def work(own):
        sums = Aggregator(own, length, ring_bits=bits)
        for client, of_client in enumerate(shares):
            sums.add(f"c{client}", bytes(of_client[own.place]))
        assert sums.clients == tuple(f"c{at}" for at in range(6))
        return sums.reveal([1])

    results = at_each(aggregators, work)
    expected = sum(values[1:], values[0].copy())
    assert results[1].dtype == DTYPES[bits]
    np.testing.assert_array_equal(results[1], expected)
    assert all(told is None for at, told in enumerate(results) if at != 1)


@RINGS
def test_a_receiver_may_be_no_aggregator(bits):
    values = vectors(3, 100, bits)
    shares = shared(values, 2, bits)

    def work(own):
        sums = Aggregator(own, 100, ring_bits=bits, aggregators=2)
        if own.place < 2:
            for client, of_client in enumerate(shares):
                sums.add(f"c{client}", of_client[own.place])
        else:
            with pytest.raises(UsageError, match="no aggregator"):
                sums.add("c0", shares[0][0])
        told = sums.reveal([2])
        return told, own.channel.traffic.total_sent_bytes, own.channel.traffic.rounds

    results = at_each(3, work)
    np.testing.assert_array_equal(results[2][0], sum(values[1:], values[0].copy()))
    assert [row[0] for row in results[:2]] == [None, None]
    assert [row[1:] for row in results] == [(100 * bits // 8 + 32, 1)] * 2 + [(0, 1)]


def test_signed_numbers_are_taken_modulo_the_ring():
    for bits in (32, 64):
        values = [np.array([-1, 5, -(2**31)], dtype=np.int64), np.array([-1, -6, 2**31 - 1], dtype=np.int64)]
        shares = shared(values, 2, bits)

        def work(own, shares=shares, bits=bits):
            sums = Aggregator(own, 3, ring_bits=bits)
            for client, of_client in enumerate(shares):
                sums.add(f"c{client}", of_client[own.place])
            return sums.reveal([0])

        told = at_each(2, work)[0]
        assert told.view({32: np.int32, 64: np.int64}[bits]).tolist() == [-2, -1, -1]


def test_shares_are_small_but_one():
    for count in (2, 3, 7):
        for share in shared(vectors(20, 1000, 64), count, 64):
            assert sorted(len(one) for one in share) == [64] * (count - 1) + [8032]
    heavy = {max(range(3), key=lambda at: len(s[at])) for s in shared(vectors(20, 100, 64), 3, 64)}
    assert heavy == {0, 1, 2}


def good(place=0, *, bits=64, kind="key"):
    """A share for this place with a key, or with the rest."""
    for seed in range(100):
        share = shared(vectors(1, 20, bits), 2, bits, seed)[0][place]
        if (len(share) == 64) == (kind == "key"):
            return bytes(share)
    raise AssertionError


def changed(share, at, value):
    return share[:at] + bytes([value]) + share[at + 1 :]


@pytest.mark.parametrize("kind", ["key", "rest"])
@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda s: s[:0], "0 bytes, which are no share"),
        (lambda s: s[:31], "31 bytes, which are no share"),
        (lambda s: changed(s, 0, 0), "no share"),
        (lambda s: changed(s, 4, 2), "no share"),
        (lambda s: changed(s, 5, 32), "20 numbers of 32 bits; the sum has 20 of 64"),
        (lambda s: changed(s, 6, 1), "for aggregator 1 of 2; this is 0 of 2"),
        (lambda s: changed(s, 7, 3), "for aggregator 0 of 3; this is 0 of 2"),
        (lambda s: changed(s, 8, 21), "21 numbers of 64 bits; the sum has 20 of 64"),
        (lambda s: changed(s, 15, 255), "the sum has 20 of 64"),
        (lambda s: s[:-1], "bytes where"),
        (lambda s: s + b"\0", "bytes where"),
    ],
)
def test_a_wrong_share_is_refused_and_names_the_client(kind, wrong, says):
    sums = Aggregator(party(0, 2), 20)
    with pytest.raises(BadMessage, match=says) as error:
        sums.add("north", wrong(good(kind=kind)))
    assert "'north'" in str(error.value)
    assert sums.clients == ()
    sums.add("north", good(kind=kind))
    assert sums.clients == ("north",)


def test_a_client_is_counted_once():
    sums = Aggregator(party(0, 2), 20)
    sums.add("north", good())
    before = sums._packed.copy()
    with pytest.raises(BadMessage, match="'north' has sent its share already"):
        sums.add("north", good())
    np.testing.assert_array_equal(sums._packed, before)


def test_few_clients_are_not_opened():
    sums = Aggregator(party(0, 2), 20)
    sums.add("north", good())
    with pytest.raises(TooFewParties, match="1 clients have sent shares; the sum is opened for 2 or more"):
        sums.reveal([0])


def test_a_sum_is_opened_once():
    shares = shared(vectors(3, 20, 64), 2, 64)

    def work(own):
        sums = Aggregator(own, 20)
        for client in (0, 1):
            sums.add(f"c{client}", shares[client][own.place])
        sums.reveal([0])
        with pytest.raises(UsageError, match="too late"):
            sums.add("c2", shares[2][own.place])
        with pytest.raises(UsageError, match="opened already"):
            sums.reveal([0])
        return True

    assert at_each(2, work) == [True, True]


@pytest.mark.parametrize("missing", ["another client", "another vector"])
def test_aggregators_must_have_the_same_vectors(missing):
    first, second = (shared(vectors(3, 20, 64), 2, 64, seed) for seed in (3, 4))

    def work(own):
        sums = Aggregator(own, 20)
        for client in (0, 1):
            sums.add(f"c{client}", first[client][own.place])
        odd = second if missing == "another vector" and own.place else first
        if missing == "another vector" or own.place == 0:
            sums.add("c2", odd[2][own.place])
        return sums.reveal([0])

    results = at_each(2, work)
    assert isinstance(results[0], BadMessage)
    assert "p0, p1 have not added up the same clients' vectors" in str(results[0])


@pytest.mark.parametrize("count", [0, 1, 256])
def test_a_vector_is_shared_between_some(count):
    with pytest.raises(UsageError, match=r"2 \.\. 255 aggregators"):
        split(np.zeros(3, np.uint64), count, entropy=SeededEntropy(1))
    with pytest.raises(UsageError, match="2 aggregators or more"):
        Aggregator(party(0, 3), 5, aggregators=count)


@pytest.mark.parametrize("values", [np.zeros((2, 2), np.int64), np.zeros(3), np.zeros(3, bool)], ids=["2d", "f", "b"])
def test_only_integers_are_shared(values):
    with pytest.raises(UsageError, match="a vector of integers"):
        split(values, 2, entropy=SeededEntropy(1))


def test_the_client_s_vector_is_left_alone():
    values = np.arange(10, dtype=np.uint64)
    split(values, 2, entropy=SeededEntropy(1))
    assert values.tolist() == list(range(10))


def statistic(data):
    """Chi-squared of 256 byte values against uniform; mean 255, deviation 22.6, beyond 420 once in 10^10."""
    counts = np.bincount(np.frombuffer(data, np.uint8), minlength=256)
    mean = counts.sum() / 256
    return ((counts - mean) ** 2 / mean).sum()


@RINGS
def test_what_an_aggregator_gets_is_noise(bits):
    """The heavy share of constant vectors is uniform; with the key forgotten it is not, and the statistic says so."""
    values = [np.full(50_000, value, dtype=DTYPES[bits]) for value in (0, 1, 2**bits - 1)]
    for client in shared(values, 2, bits):
        heavy = max(client, key=len)[HEAD.size :]
        assert statistic(heavy) < 420
    assert statistic(values[1].tobytes()) > 10_000


def test_two_vectors_never_share_a_key():
    """A key used twice: the difference of two heavy shares would be the difference of the vectors."""
    first, second = (max(s, key=len)[HEAD.size :] for s in shared([np.zeros(50_000, np.uint64)] * 2, 2, 64))
    assert statistic((np.frombuffer(first, np.uint64) - np.frombuffer(second, np.uint64)).tobytes()) < 420


@RINGS
def test_what_the_receiver_sees_is_noise_and_the_sum(bits):
    """The partial sums of two aggregators, for vectors that differ and have one sum, are uniform each."""
    for pair in ((0, 7), (2**bits - 1, 8)):
        shares = shared([np.full(50_000, value, dtype=DTYPES[bits]) for value in pair], 3, bits)
        for place in range(3):
            sums = Aggregator(party(place, 3), 50_000, ring_bits=bits)
            for client, of_client in enumerate(shares):
                sums.add(f"c{client}", of_client[place])
            assert statistic(sums._packed.tobytes()) < 420


def test_a_running_sum_is_a_secret():
    sums = Aggregator(party(0, 2), 20)
    assert repr(sums) == "Aggregator(length=20, ring_bits=64, clients=0, sum=<redacted>)"
    with pytest.raises(TypeError, match="pickled"):
        pickle.dumps(sums)


def test_no_bytes_break_the_parser():
    chance, seeds = random.Random(5), [good(kind="key"), good(kind="rest"), good(place=1)]
    sums = Aggregator(party(0, 2), 20)
    for number in range(20_000):
        data = bytearray(chance.choice(seeds))
        for _ in range(chance.choice((0, 1, 1, 2, 4))):
            at = chance.randrange(len(data) + 1)
            what = chance.randrange(4)
            if what == 0:
                del data[at:]
            elif what == 1:
                data[at:at] = chance.randbytes(chance.randrange(40))
            elif data:
                data[at % len(data)] = chance.choice((0, 1, 32, 64, 255, chance.randrange(256)))
            if not data:
                break
        before = len(sums.clients)
        refused = ""
        try:
            sums.add(f"c{number}", bytes(data))
        except BadMessage as error:
            refused = str(error)
        assert len(sums.clients) == before + (not refused)
        assert not refused or f"'c{number}'" in refused
    assert 100 < len(sums.clients) < 20_000

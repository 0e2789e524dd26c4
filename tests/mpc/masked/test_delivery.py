"""Material that goes from the dealer to the others over channels, and what a lying dealer can send."""

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stead.core.codec import encode
from stead.core.entropy import SeededEntropy
from stead.errors import BadMessage, CheaterDetected, SteadError, UsageError
from stead.mpc.forms import MATMUL
from stead.mpc.party import Party
from stead.mpc.protocols.masked.delivery import accept, deliver
from stead.mpc.protocols.masked.material import SECOND, Header
from stead.mpc.protocols.masked.preparation import prepare
from stead.mpc.protocols.masked.protocol import Masked
from stead.net.local import local_mesh

NAMES = ("dealer", "first", "second")
VALUES = np.arange(12, dtype=np.uint64).reshape(3, 4) - np.uint64(5)


def computation(p):
    x = p.share(VALUES if p.party.place == 1 else None, (3, 4), 1)
    y = p.share(VALUES.T.copy() if p.party.place == 2 else None, (4, 3), 2)
    product = p.product(MATMUL, x, y)
    return p.reveal(p.select(p.invert(p.negative(product)), product), [1, 2])


def at_each(*work):
    """Run one function at each party; what each returned or raised."""
    mesh, found = local_mesh(NAMES), {}

    def one(place):
        try:
            found[place] = work[place](Party(place, NAMES, mesh[NAMES[place]], SeededEntropy(place)))
        except SteadError as error:
            found[place] = error

    threads = [threading.Thread(target=one, args=(place,)) for place in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return found


def prepared(computation=computation):
    return prepare(computation, names=NAMES, entropy=SeededEntropy(9))[1]


def compute(party):
    return computation(Masked(party, accept(party)))


def test_delivered_material_is_computed_with():
    found = at_each(lambda party: deliver(party, prepared()), compute, compute)
    plain = np.maximum((VALUES @ VALUES.T).view(np.int64), 0).view(np.uint64)
    assert np.array_equal(found[1], plain)
    assert np.array_equal(found[2], plain)


def test_material_is_delivered_once():
    materials = prepared()
    at_each(lambda party: deliver(party, materials), accept, accept)
    found = at_each(lambda party: deliver(party, materials), lambda _: None, lambda _: None)
    assert isinstance(found[0], UsageError)
    assert "sent" in str(found[0])


def test_material_of_a_file_is_handed_over_as_a_file(tmp_path):
    first, second = prepared()
    second.write(tmp_path / "second")
    with pytest.raises(UsageError, match="hand over the file"):
        type(second).open(tmp_path / "second").release()
    first.release()


def test_the_material_of_the_other_party_is_refused():
    first, second = prepared()
    found = at_each(lambda party: deliver(party, (second, first)), accept, accept)
    assert isinstance(found[1], BadMessage)
    assert isinstance(found[2], BadMessage)


@given(st.binary(max_size=200), st.integers(0, 4))
def test_garbage_for_material_is_an_error_that_says_so(head, words):
    """A dealer that announces a size and sends bytes of that size, but no material."""

    def lie(party):
        sizes = [len(head).to_bytes(8, "little"), words.to_bytes(8, "little")]
        party.channel.exchange({"second": sizes}, {})
        party.channel.exchange({"second": [head, bytes(8 * words)]}, {})

    found = at_each(lie, lambda _: None, accept)
    assert isinstance(found[2], BadMessage)


@pytest.mark.parametrize(
    "header",
    [
        Header(bytes(16), SECOND, NAMES, bytes(31), (), 0),
        Header(bytes(16), 0, NAMES, bytes(32), (), 0),
        Header(bytes(16), SECOND, NAMES[:2], bytes(32), (), 0),
        Header(bytes(16), SECOND, NAMES, bytes(32), (), -1),
        Header(bytes(16), SECOND, NAMES, bytes(32), (), 7),
    ],
)
def test_a_header_that_contradicts_itself_is_refused(header):
    data = encode(header)
    framed = len(data).to_bytes(8, "little") + data + bytes(-len(data) % 8)

    def lie(party):
        party.channel.exchange({"second": [len(framed).to_bytes(8, "little"), bytes(8)]}, {})
        party.channel.exchange({"second": [framed]}, {})

    found = at_each(lie, lambda _: None, accept)
    assert isinstance(found[2], BadMessage)


def test_a_size_that_nothing_has_is_refused_before_it_is_waited_for():
    def lie(party):
        party.channel.exchange({"second": [bytes(8), (1 << 60).to_bytes(8, "little")]}, {})

    found = at_each(lie, lambda _: None, accept)
    assert isinstance(found[2], BadMessage | CheaterDetected)
    assert "no size of any computation" in str(found[2])


def test_only_place_0_delivers_and_only_the_others_accept():
    found = at_each(accept, lambda party: deliver(party, prepared()), lambda _: None)
    assert isinstance(found[0], UsageError)
    assert isinstance(found[1], UsageError)

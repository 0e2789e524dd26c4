"""What one party sees looks the same whatever the secrets are, jointly with what it knows and with the opened result.

The claim (docs/theory/masked-sharing.md): the parts dealt to an online party, its masks and the messages that it
receives before a result is opened are uniform and independent; the message that opens a result is what the result and
the rest say.

Each verb runs on 4,096 secrets that are all zero, and on as many large ones. For everything that each online party
sees, for the sums and exclusive ors with its own messages (what is opened), and for the difference and the exclusive or
of every two of these and of the secrets, nibbles are counted, pooled and by their place in a ring element, and bytes
pooled. Each count is held against the uniform one by a chi-squared test at 1e-12; there are fewer than 10^6 in all, so
that a right protocol fails for about one seed in a million. The seeds are fixed.
"""

import dataclasses
import itertools
import threading

import numpy as np
import pytest
from scipy import stats

from stead.core.entropy import SeededEntropy
from stead.mpc.forms import MATMUL, MUL
from stead.mpc.kernels.bits import to_planes
from stead.mpc.party import Party, RingStream
from stead.mpc.protocols.cleartext.protocol import Cleartext
from stead.mpc.protocols.masked import dealer, material, online
from stead.mpc.protocols.masked.preparation import prepare
from stead.mpc.protocols.masked.protocol import Masked
from stead.net.local import local_mesh

NAMES = ("p0", "p1", "p2")
COUNT = 4_096
MISS = 1e-12


class Recording:
    """A channel, a source or a keystream that keeps what passes."""

    def __init__(self, inner, kept):
        self.inner, self.kept = inner, kept
        self.name = getattr(inner, "name", "")

    def exchange(self, outgoing, expect):
        received = self.inner.exchange(outgoing, expect)
        for peer, message in received.items():
            sent = b"".join(bytes(buffer) for buffer in outgoing.get(peer, ()))
            self.kept.append((np.frombuffer(bytes(message), np.uint64), np.frombuffer(sent, np.uint64)))
        return received

    def block(self, words):
        part = self.inner.block(words)
        self.kept.append(np.array(part))
        return part

    def ring(self, shape):
        part = self.inner.ring(shape)
        self.kept.append(np.array(part).reshape(-1))
        return part


@dataclasses.dataclass
class View:
    """What one online party sees: parts dealt to it, its masks, pairs (received, sent), and the result."""

    dealt: list
    masks: list
    messages: list
    result: object = None


def views(computation, inputs, seed):
    """Both online parties' views. Party 1 owns the first input, party 2 the second."""

    def whole(protocol):
        place = protocol.party.place
        shares = [
            protocol.share(values if place == owner else None, values.shape, owner)
            for owner, values in enumerate(inputs, 1)
        ]
        return protocol.reveal(computation(protocol, *shares))

    prepared = prepare(whole, names=NAMES, entropy=SeededEntropy(seed))[1]
    mesh, seen, errors = local_mesh(NAMES, timeout_s=20), {1: View([], [], []), 2: View([], [], [])}, []

    def one(place):
        view, channel = seen[place], mesh[NAMES[place]]
        try:
            mine = prepared[place - 1].claim()
            mine = dataclasses.replace(
                mine, masks=Recording(mine.masks, view.masks), dealt=Recording(mine.dealt, view.dealt)
            )
            party = Party(place, NAMES, Recording(channel, view.messages), SeededEntropy(place))
            view.result = whole(Masked(party, mine))
        except BaseException as error:  # noqa: BLE001 - raised below
            errors.append(error)
            channel.abort("failed")

    threads = [threading.Thread(target=one, args=(place,)) for place in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    assert mesh["p0"].traffic.total_received_bytes == 0
    assert all(mesh[name].traffic.sent_bytes["p0"] == 0 for name in NAMES[1:])
    return seen[1], seen[2]


def counted(words):
    """Chi-squared statistics of these ring elements against uniform ones, with their degrees of freedom."""
    octets = words.view(np.uint8)
    pooled = np.bincount(octets, minlength=256)
    nibbles = pooled.reshape(16, 16)
    tables = [nibbles.sum(0), nibbles.sum(1)]
    if len(octets) >= 256 * 32:
        tables.append(pooled)
    if len(words) >= 16 * 32:
        places = np.arange(8, dtype=np.uint16) << 8
        by_place = np.bincount((octets.reshape(-1, 8) | places).reshape(-1), minlength=2048).reshape(8, 16, 16)
        tables += [*by_place.sum(1), *by_place.sum(2)]
    return [(((t - t.mean()) ** 2).sum() / t.mean(), len(t) - 1) for t in tables]


def smallest(view, secrets):
    """The smallest p-value over a view, and how many there are; the last message opens the result and is left out."""
    received = [message for message, _ in view.messages[1:-1]]  # the first names the material
    opened = [f(m, s) for m, s in view.messages[1:-1] if len(m) == len(s) for f in (np.add, np.bitwise_xor)]
    uniform = [*view.dealt, *view.masks, *received]
    known = [*uniform, *opened, *(piece for secret in secrets for piece in secret)]
    fine = [p for words in (*uniform, *opened) if len(words) >= 64 for p in counted(words)]
    for first, second in itertools.combinations(range(len(known)), 2):
        if first >= len(uniform) + len(opened):
            break
        if second < len(uniform) + len(opened) and related(first, second, len(uniform), view):
            continue
        size = min(len(known[first]), len(known[second]))
        if size >= 64:
            a, b = known[first][:size], known[second][:size]
            fine += [p for words in (a - b, a ^ b) for p in counted(words)]
    worst = {freedom: max(chi for chi, of in fine if of == freedom) for freedom in {of for _, of in fine}}
    return min(stats.chi2.sf(chi, freedom) for freedom, chi in worst.items()), len(fine)


def related(first, second, uniform, view):
    """The sum and the exclusive or of one message with one's own, which are no independent numbers."""
    return first >= uniform and second >= uniform and (first - uniform) // 2 == (second - uniform) // 2


def relu_of_a_product(p, x, y):
    z = p.product(MUL, x, y)
    return p.select(p.invert(p.negative(z)), z, 16)


VERBS = {
    "share": lambda _, x, y: x + y,
    "product": lambda p, x, y: p.product(MUL, x, y),
    "matmul": lambda p, x, y: p.product(MATMUL, x.reshape((64, 64)), y.reshape((64, 64))),
    "truncate": lambda p, x, y: p.truncate(x + y, 16),
    "negative": lambda p, x, y: p.arithmetic(p.negative(x - y)),
    "negative 32": lambda p, x, y: p.arithmetic(p.negative(x - y, 32)),
    "zero": lambda p, x, y: p.arithmetic(p.zero(x + y)),
    "select": lambda p, x, y: p.select(p.negative(x), y),
    "select truncated": lambda p, x, y: p.select(p.negative(x), y, 16),
    "decompose": lambda p, x, y: p.arithmetic(p.decompose(x - y, 12)),
    "conjunction": lambda p, x, y: p.arithmetic(p.conjunction(p.negative(x, 6), p.invert(p.negative(y, 5)))),
    "relu of a product": relu_of_a_product,
}
SECRETS = {
    "zeros": (np.zeros(COUNT, dtype=np.uint64),) * 2,
    "large": tuple(
        (np.random.default_rng(at).integers(-(2**61), 2**61, COUNT) | 0xFFFF).view(np.uint64) for at in (1, 2)
    ),
}


def secrets_of(verb, kind):
    """The inputs; below 2^30 where their product is truncated."""
    small = "product" in verb and "relu" in verb
    return tuple((v.view(np.int64) >> 31).view(np.uint64) if small else v for v in SECRETS[kind])


def judged(verb, kind, seed=11):
    """For each online party the smallest p-value of its view."""
    inputs = secrets_of(verb, kind)
    oracle = Cleartext(Party(0, ("clear",), None, SeededEntropy(0)))
    expected = VERBS[verb](oracle, *(oracle.share(v, v.shape, 0) for v in inputs)).parts[0]
    found = []
    for place, view in enumerate(views(VERBS[verb], inputs, seed), 1):
        assert set(np.unique(view.result - expected)) <= ({0, 1} if "trunc" in verb or "relu" in verb else {0})
        message, own = view.messages[-1]
        assert len(message) == len(own) == expected.size
        other = inputs[2 - place]
        secrets = [(), ()] if kind == "zeros" else [(other, to_planes(other).reshape(-1)), (view.result.reshape(-1),)]
        found.append(smallest(view, secrets))
    return found


@pytest.mark.parametrize("kind", SECRETS)
@pytest.mark.parametrize("verb", VERBS)
def test_a_view_is_uniform(verb, kind):
    for p, count in judged(verb, kind):
        assert count > 50
        assert p > MISS


@pytest.mark.parametrize("verb", VERBS)
def test_the_opening_is_what_the_result_says(verb):
    """The last message is a function of the result and of the party's own last message and of what it has opened."""
    one, two = views(VERBS[verb], secrets_of(verb, "large"), 12)
    np.testing.assert_array_equal(one.result, two.result)
    for view in (one, two):
        received, sent = view.messages[-1]
        m = view.result.reshape(-1) + received + sent
        if verb == "share":
            continue
        opened, own = view.messages[-2]
        np.testing.assert_array_equal(m, opened + own)


def forgotten(place, monkeypatch):
    """The mask of one online party is zero, there and at the dealer: the results stay right."""
    drawn, dealt = online.Online.masks, dealer.Hand.mask

    def masks(self, shape):
        part = drawn(self, shape)
        return np.zeros_like(part) if self.party.place == place else part

    def mask(self, at, shape):
        part = dealt(self, at, shape)
        return np.zeros_like(part) if at == place else part

    monkeypatch.setattr(online.Online, "masks", masks)
    monkeypatch.setattr(dealer.Hand, "mask", mask)


@pytest.mark.parametrize("place", [1, 2])
@pytest.mark.parametrize("verb", VERBS)
def test_a_forgotten_mask_is_caught(verb, place, monkeypatch):
    forgotten(place, monkeypatch)
    caught, _ = judged(verb, "zeros")[2 - place]
    assert caught < 1e-100


class Nothing(RingStream):
    """A keystream of zeros."""

    def __init__(self, *_):
        super().__init__(bytes(32))

    def ring(self, shape):
        return np.zeros(shape, dtype=np.uint64)

    def taken_from(self, values):
        return values.copy()

    xored_with = taken_from


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb not in {"share", "matmul"}])
def test_an_undivided_deal_is_caught(verb, monkeypatch):
    """Party 1's parts are zero, so that party 2 is dealt functions of masks in the clear.

    Not so for "matmul": sums of 64 products of masks have nearly uniform bytes, and counting bytes cannot tell.
    """
    keyed = material.Keyed
    monkeypatch.setattr(material, "Keyed", lambda _: keyed(Nothing()))
    made = dealer.Hand.__init__

    def init(self, *args, **kwargs):
        made(self, *args, **kwargs)
        self._parts = Nothing()

    monkeypatch.setattr(dealer.Hand, "__init__", init)
    _, (caught, _) = judged(verb, "zeros")
    assert caught < 1e-100

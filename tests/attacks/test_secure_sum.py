"""A coordinator that looks, lies or replays: what it gets is masked vectors, public keys and refusals."""

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from stead.core import codec
from stead.core.entropy import SeededEntropy, SystemEntropy
from stead.core.keys import Key
from stead.errors import BadMessage, BadSignature, CheaterDetected
from stead.learn.frames import HELLO_DOMAIN, Hello, Masked, Ready, Roster, Round, hello_body, pack, unpack
from stead.learn.gradients import Examples, weights_to_payload
from stead.learn.header import Header, admit, model_hash
from stead.learn.secure_sum import Seat, SumCoordinator, SumSite
from stead.learn.simulation import local_session
from stead.learn.site import GradientSums, LocalAverages, TrainingSite, vector_length
from stead.plans.builder import ProgramBuilder
from stead.plans.engine import NumpyEngine
from stead.plans.program import TensorType
from stead.plans.training import Encoding, LocalSteps, Optimiser, Privacy, Sampler, Training

MODEL, OTHER = b"the model", b"another model"
LENGTH = 8192
# Chi-square of 255 degrees of freedom above this: probability 1e-9 for uniform bytes (scipy.stats.chi2.isf(1e-9, 255)).
CHI_SQUARE_LIMIT = 414.6


class Fixed:
    def __init__(self, values):
        self.values = np.asarray(values, dtype=np.int64)

    def vector(self, number, payload):
        return self.values


class Unmasked(SumSite):
    """The planted broken site: it forgets its masks."""

    def _mask(self, values, number, model, peers):
        return super()._mask(values, number, model, {})


def header_for(cohort, *, length=LENGTH, rounds=3, release=bytes(16), ring_bits=32):
    return Header(
        release=release,
        plan_hash=bytes(32),
        cohort=cohort,
        length=length,
        ring_bits=ring_bits,
        rounds=rounds,
        colluders=1,
        model_hash=model_hash(MODEL),
        outlet="join",
        minimum=len(cohort),
    )


def updates():
    """Small numbers, as quantised updates are."""
    return np.random.default_rng(5).integers(-40, 40, (3, LENGTH))


def sites_of(vectors, *, broken=None):
    made = {}
    for number, row in enumerate(vectors):
        kind = Unmasked if number == broken else SumSite
        made[f"site-{number}"] = lambda seat, kind=kind, row=row: kind(seat, Fixed(row))
    return made


def windows(data):
    """Every 8 consecutive bytes of ``data``, as numbers."""
    shifted = (np.frombuffer(data, "<u8", count=(len(data) - start) // 8, offset=start) for start in range(8))
    return np.concatenate(list(shifted))


def chi_square(data):
    counts = np.bincount(np.frombuffer(data, dtype=np.uint8), minlength=256)
    expected = len(data) / 256
    return float(((counts - expected) ** 2 / expected).sum())


def leaks(received, secrets):
    """What is wrong with the bytes that a coordinator received; empty if nothing is.

    Two tests: every masked vector's bytes look uniform (false alarm 1e-9 each), and no 8 consecutive bytes of any
    encoding of a secret occur anywhere (false alarm below 1e-6 in all: fewer than 10^13 pairs against 2^64).
    """
    found = []
    kinds = ("<i2", "<i4", "<i8", "<f4", "<f8", ">i4", ">i8")
    coded = {kind: windows(b"".join(secret.astype(kind).tobytes() for secret in secrets)) for kind in kinds}
    for name, frames in received.items():
        for frame in map(unpack, frames):
            if isinstance(frame, Masked) and chi_square(frame.vector) > CHI_SQUARE_LIMIT:
                found.append(f"{name}: not uniform")
            if not isinstance(frame, Hello | Ready | Masked):
                found.append(f"{name}: {type(frame).__name__}")
        seen = windows(b"".join(frames))
        found.extend(f"{name}: {kind}" for kind in kinds if np.isin(seen, coded[kind]).any())
    return found


def run_and_record(vectors, *, broken=None, seed=1):
    received = {}

    def tap(site, way, frame):
        if way == "up":
            received.setdefault(site, []).append(frame)

    header, channel = local_session(sites_of(vectors, broken=broken), header_for, entropy=SeededEntropy(seed), tap=tap)
    coordinator = SumCoordinator(header, channel)
    coordinator.open()
    sums = [coordinator.round(number, MODEL) for number in (1, 2, 3)]
    return received, sums


def test_every_byte_that_the_coordinator_receives_is_a_key_or_masked():
    vectors = updates()
    received, sums = run_and_record(vectors)
    assert all((total == vectors.sum(axis=0)).all() for total in sums)
    partial = [vectors[0] + vectors[1], vectors[1] + vectors[2], vectors[0] + vectors[2]]
    assert leaks(received, [*vectors, *partial]) == []


def test_a_planted_site_that_skips_its_masks_is_caught_by_the_same_test():
    vectors = updates()
    received, _ = run_and_record(vectors, broken=1)
    found = leaks(received, list(vectors))
    assert "site-1: not uniform" in found
    assert "site-1: <i4" in found
    assert not [text for text in found if not text.startswith("site-1")]


def test_the_same_input_never_gives_the_same_bytes():
    vectors = updates()
    first, _ = run_and_record(vectors, seed=1)
    second, _ = run_and_record(vectors, seed=2)
    masked = [unpack(frame).vector for run in (first, second) for frame in run["site-0"][2:]]
    assert len(set(masked)) == 6
    for one in range(6):
        for two in range(one):
            difference = np.frombuffer(masked[one], "<u4") - np.frombuffer(masked[two], "<u4")
            assert chi_square(difference.tobytes()) < CHI_SQUARE_LIMIT


def linear_gradient(features):
    """The gradient of half the squared error of a linear model, for one example."""
    b = ProgramBuilder()
    w = b.input("w", "parameter", TensorType("float32", (features,)))
    x = b.input("x", "x", TensorType("float32", (features,)))
    y = b.input("y", "y", TensorType("int64", ()))
    error = b.add("sub", b.sum(b.add("mul", w, x), (0,), keep=False), b.cast(y, "float32"))
    half = b.like(error, 0.5)
    loss = b.add("mul", half, b.add("mul", error, error))
    return codec.encode(b.build({"loss": loss, "d_w": b.add("mul", error, x)}))


def recorded_training(monkeypatch, kind, *, broken=None):
    """Three rounds of a training; returns the bytes received, and every secret of every site."""
    private, features = kind is GradientSums, 800
    sgd = Optimiser(name="sgd", rate=1e-4)
    training = Training(
        dataset="d",
        gradient=linear_gradient(features),
        encoding=Encoding(features=(), target="y", task="classification"),
        sampler=Sampler(rate=0.9),
        rounds=3,
        ring_bits=64,
        privacy=Privacy(clip=1.0, lattice=2.0**-12, sigma=1.0, colluders=1, sites=3, steps=3) if private else None,
        local=None if private else LocalSteps(epochs=1, batch=4, optimiser=sgd),
    )
    received, secrets = {}, []
    really = kind.vector

    def spied(self, number, payload):
        values = really(self, number, payload)
        secrets.append(values)
        return values

    monkeypatch.setattr(kind, "vector", spied)
    payload = weights_to_payload(np.zeros(features, dtype=np.float32))
    sites = {}
    for number, rows in enumerate((5, 9, 14)):
        generator = np.random.default_rng(number)
        x = generator.normal(size=(rows, features)).astype(np.float32)
        data = Examples(x=x, y=generator.integers(0, 2, rows), person=np.arange(rows))
        secrets += [x, data.y, x.sum(axis=0), np.array([rows], dtype=np.int64)]

        def make(seat, data=data, number=number):
            site = TrainingSite(seat, training, engine=NumpyEngine(), examples=data, rows_at_most=20)
            if number == broken:
                site._site.__class__ = Unmasked
            return site

        sites[f"site-{number}"] = make
    header, channel = local_session(
        sites,
        lambda cohort: Header(
            release=bytes(16),
            plan_hash=bytes(32),
            cohort=cohort,
            length=vector_length(training),
            ring_bits=64,
            rounds=3,
            colluders=1 if private else 0,
            model_hash=model_hash(payload),
            outlet="join" if private else "disclose",
            minimum=3,
        ),
        entropy=SeededEntropy(8),
        tap=lambda site, way, frame: received.setdefault(site, []).append(frame) if way == "up" else None,
    )
    coordinator = SumCoordinator(header, channel)
    coordinator.open()
    totals = [coordinator.round(number, payload) for number in (1, 2, 3)]
    return received, secrets, totals


@pytest.mark.parametrize("kind", [GradientSums, LocalAverages])
def test_of_a_training_the_coordinator_receives_no_update_no_row_no_count(monkeypatch, kind):
    received, secrets, totals = recorded_training(monkeypatch, kind)
    assert leaks(received, secrets) == []
    vectors = [part for part in secrets if part.shape == totals[0].shape and part.dtype == np.int64]
    assert len(vectors) == 9
    assert (sum(vectors) == sum(totals)).all()
    if kind is LocalAverages:
        # The counts are in the vectors that were searched for, and each is hidden where it stands.
        assert all(1 <= vector[-1] <= 14 for vector in vectors)
        for frames in received.values():
            for frame in frames[2:]:
                assert abs(int.from_bytes(unpack(frame).vector[-8:], "little", signed=True)) > 2**20


@pytest.mark.parametrize("kind", [GradientSums, LocalAverages])
def test_of_a_training_a_site_without_masks_is_caught(monkeypatch, kind):
    received, secrets, _ = recorded_training(monkeypatch, kind, broken=2)
    assert {text.split(":")[0] for text in leaks(received, secrets)} == {"site-2"}


def test_all_but_two_sites_together_with_the_coordinator_see_a_uniform_vector():
    """Sites 2 and 3 collude: they take their masks off the others' vectors, and uniform bytes are left."""
    vectors = np.vstack([updates(), updates()[:1]])
    received = {}
    header, channel = local_session(
        sites_of(vectors),
        header_for,
        entropy=SeededEntropy(3),
        tap=lambda site, way, frame: received.setdefault(site, []).append(frame) if way == "up" else None,
    )
    coordinator = SumCoordinator(header, channel)
    coordinator.open()
    colluders = [channel._running[name] for name in ("site-2", "site-3")]
    known = [site._peers[0] for site in colluders]
    coordinator.round(1, MODEL)
    rest = np.frombuffer(unpack(received["site-0"][2]).vector, "<u4").astype(np.int64)
    for site, secret in zip(colluders, known, strict=True):
        # The mask that site 0 shares with this colluder, which added it with the other sign.
        shared = site._mask(np.zeros(LENGTH, dtype=np.int64), 1, model_hash(MODEL), {0: secret})
        rest += np.frombuffer(shared, "<u4")
    left = rest.astype("<u4")
    assert chi_square(left.tobytes()) < CHI_SQUARE_LIMIT
    # With the one mask that is left, between sites 0 and 1, the vector is there: the test looks at the right thing.
    site = channel._running["site-0"]
    last = site._mask(np.zeros(LENGTH, dtype=np.int64), 1, model_hash(MODEL), {1: site._peers[1]})
    assert (left - np.frombuffer(last, "<u4") == vectors[0].astype("<u4")).all()


class Driven:
    """Sites whose frames the test writes itself."""

    def __init__(self, count=3, *, release=bytes(16), rounds=3, keys=None):
        self.keys = keys or [Key.generate(SystemEntropy()) for _ in range(count)]
        cohort = tuple((f"site-{n}", key.public.raw) for n, key in enumerate(self.keys))
        self.header = header_for(cohort, length=4, release=release, rounds=rounds)
        seats = [Seat(self.header, key, SystemEntropy()) for key in self.keys]
        self.sites = [SumSite(seat, Fixed([n, 2 * n, -n, 7])) for n, seat in enumerate(seats)]
        self.hellos = [unpack(site.hello()) for site in self.sites]

    def agree(self):
        for site in self.sites:
            site.on_frame(self.roster())
        return self

    def roster(self, place=None, hello=None):
        hellos = [hello if number == place else own for number, own in enumerate(self.hellos)]
        return pack(Roster(hellos=tuple(hellos)))

    def start(self, number=1, model=MODEL, **changes):
        facts = {"session": self.header.hash(), "number": number, "model_hash": model_hash(model), "payload": model}
        return pack(Round(**(facts | changes)))

    def add(self, frames):
        vectors = [np.frombuffer(unpack(frame).vector, "<u4") for frame in frames]
        return sum(vectors[1:], vectors[0]).view("<i4").tolist()


PLAIN = [3, 6, -3, 21]


def test_driven_by_hand_the_sum_is_right():
    driven = Driven().agree()
    assert driven.add([site.on_frame(driven.start()) for site in driven.sites]) == PLAIN


def test_different_models_for_different_sites_give_noise_not_an_update():
    driven = Driven().agree()
    for number, models in ((1, (MODEL, MODEL, MODEL)), (2, (MODEL, OTHER, OTHER)), (3, (MODEL, OTHER, b"third"))):
        frames = [site.on_frame(driven.start(number, model)) for site, model in zip(driven.sites, models, strict=True)]
        total = driven.add(frames)
        if number == 1:
            assert total == PLAIN
        else:
            # Each of four places is uniform in the ring: a chance of 4e-5 that one lands within 10^5 of the plain sum.
            assert all(abs(got - plain) > 10**4 for got, plain in zip(total, PLAIN, strict=True))


def test_sites_refuse_a_first_model_that_the_header_does_not_name():
    driven = Driven().agree()
    for site in driven.sites:
        with pytest.raises(BadMessage, match="model"):
            site.on_frame(driven.start(1, OTHER))


def test_a_stated_model_hash_that_is_not_the_models_is_refused():
    driven = Driven().agree()
    driven.sites[0].on_frame(driven.start(1))
    with pytest.raises(BadMessage, match="model"):
        driven.sites[0].on_frame(driven.start(2, OTHER, model_hash=model_hash(MODEL)))


def test_replayed_skipped_and_misdirected_rounds_are_refused():
    driven, other = Driven().agree(), Driven(release=bytes([1]) * 16).agree()
    site = driven.sites[0]
    site.on_frame(driven.start(1))
    for number in (1, 3, 0, -1, 2**40):
        with pytest.raises(BadMessage, match="round 2 comes next"):
            site.on_frame(driven.start(number))
    with pytest.raises(BadMessage, match="another session"):
        site.on_frame(other.start(2))
    site.on_frame(driven.start(2))
    site.on_frame(driven.start(3))
    with pytest.raises(BadMessage, match="over"):
        site.on_frame(driven.start(4))


def test_two_cohorts_that_differ_by_one_site_share_no_mask():
    """The difference of the two sums would be one site's vector, were masks the same; each session has fresh keys."""
    keys = [Key.generate(SystemEntropy()) for _ in range(3)]
    three, two = Driven(keys=keys).agree(), Driven(keys=keys[:2]).agree()
    one = [unpack(site.on_frame(three.start())).vector for site in three.sites]
    again = [unpack(site.on_frame(two.start())).vector for site in two.sites]
    assert not set(one) & set(again)


def test_a_roster_comes_once_and_before_a_round():
    driven = Driven()
    with pytest.raises(BadMessage, match="after the roster"):
        driven.sites[0].on_frame(driven.start())
    driven.agree()
    with pytest.raises(BadMessage, match="once"):
        driven.sites[0].on_frame(driven.roster())


def coordinators_own_key():
    return X25519PrivateKey.from_private_bytes(bytes([3]) * 32).public_key().public_bytes_raw()


def swapped_key(driven):
    """The coordinator puts its own session key under a peer's signature."""
    return Hello(site=1, key=coordinators_own_key(), signature=driven.hellos[1].signature)


def signed_by_another(driven):
    """A key signed by somebody who is not in the cohort."""
    stranger, key = Key.generate(SystemEntropy()), coordinators_own_key()
    body = hello_body(driven.header.hash(), 1, key)
    return Hello(site=1, key=key, signature=stranger.sign(HELLO_DOMAIN, body))


def of_another_session(driven):
    """The peer's own key, signed for another header."""
    return Driven(keys=driven.keys, release=bytes([9]) * 16).hellos[1]


def of_another_place(driven):
    """Site 2's key, shown as site 1's."""
    return Hello(site=1, key=driven.hellos[2].key, signature=driven.hellos[2].signature)


def under_another_domain(driven):
    """The peer's signature over the same bytes, made for another purpose."""
    key = coordinators_own_key()
    body = hello_body(driven.header.hash(), 1, key)
    return Hello(site=1, key=key, signature=driven.keys[1].sign("stead.other", body))


@pytest.mark.parametrize(
    "attack", [swapped_key, signed_by_another, of_another_session, of_another_place, under_another_domain]
)
def test_a_peers_key_that_is_not_its_own_for_this_session_is_refused(attack):
    driven = Driven()
    with pytest.raises(BadSignature, match="site-1"):
        driven.sites[0].on_frame(driven.roster(1, attack(driven)))
    driven.agree()
    assert driven.add([site.on_frame(driven.start()) for site in driven.sites]) == PLAIN


def test_a_site_that_is_shown_another_key_for_itself_refuses():
    driven = Driven()
    with pytest.raises(BadSignature, match="this site"):
        driven.sites[1].on_frame(driven.roster(1, swapped_key(driven)))


def test_a_peer_that_signs_a_key_of_small_order_is_named():
    driven = Driven()
    body = hello_body(driven.header.hash(), 1, bytes(32))
    cheat = Hello(site=1, key=bytes(32), signature=driven.keys[1].sign(HELLO_DOMAIN, body))
    with pytest.raises(CheaterDetected, match="site-1"):
        driven.sites[0].on_frame(driven.roster(1, cheat))


@pytest.mark.parametrize("places", [(0, 1), (0, 1, 1), (0, 2, 1), (1, 2, 0), (0, 1, 2, 2)])
def test_a_roster_of_other_sites_is_refused(places):
    driven = Driven()
    with pytest.raises(BadMessage, match="one key for each"):
        driven.sites[0].on_frame(pack(Roster(hellos=tuple(driven.hellos[place] for place in places))))


def test_sites_that_were_shown_different_headers_agree_on_nothing():
    keys = [Key.generate(SystemEntropy()) for _ in range(3)]
    honest, altered = Driven(keys=keys), Driven(keys=keys, rounds=2)
    with pytest.raises(BadSignature, match="site-1"):
        honest.sites[0].on_frame(honest.roster(1, altered.hellos[1]))


def test_a_cohort_with_sites_of_the_coordinators_making_is_not_admitted():
    """One honest site among the coordinator's own would have its vector read off the sum."""
    real = [Key.generate(SystemEntropy()).public.raw for _ in range(2)]
    fake = Key.generate(SystemEntropy()).public.raw
    request = {"release": bytes(16), "plan_hash": bytes(32), "outlet": "join", "enrolled": lambda key: key in real}
    honest = header_for((("a", real[0]), ("b", real[1]))).to_bytes()
    assert admit(honest, own_key=real[0], **request).names == ("a", "b")
    planted = header_for((("a", real[0]), ("b", fake))).to_bytes()
    with pytest.raises(BadSignature, match="not enrolled"):
        admit(planted, own_key=real[0], **request)
    with pytest.raises(BadSignature, match="own key"):
        admit(honest, own_key=fake, **request)

"""The secure sum equals the plaintext integers, and its parts refuse what does not belong."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stead.core.entropy import SeededEntropy
from stead.errors import BadMessage, NodeError, PartyUnreachable, SteadError, TooFewParties
from stead.learn.frames import Hello, Masked, Ready, Roster, Round, pack, unpack
from stead.learn.header import Header, model_hash
from stead.learn.secure_sum import SumCoordinator, SumSite
from stead.learn.simulation import local_session

MODEL = b"model of round one"


class Fixed:
    """Work that adds the same vector each round."""

    def __init__(self, values):
        self.values = np.asarray(values, dtype=np.int64)

    def vector(self, number, payload):
        return self.values


def session(vectors, *, seed=0, tap=None, **changes):
    """A session whose sites add the rows of ``vectors``."""
    facts = {
        "release": bytes(16),
        "plan_hash": bytes(32),
        "length": len(vectors[0]),
        "ring_bits": 32,
        "rounds": 3,
        "colluders": 0,
        "model_hash": model_hash(MODEL),
        "outlet": "join",
        "minimum": len(vectors),
    } | changes
    sites = {f"site-{n}": lambda seat, row=row: SumSite(seat, Fixed(row)) for n, row in enumerate(vectors)}
    return local_session(sites, lambda cohort: Header(cohort=cohort, **facts), entropy=SeededEntropy(seed), tap=tap)


def opened(vectors, **changes):
    header, channel = session(vectors, **changes)
    coordinator = SumCoordinator(header, channel)
    coordinator.open()
    return coordinator, channel


def centre(value, bits):
    half = 2 ** (bits - 1)
    return (value + half) % 2**bits - half


@pytest.mark.parametrize("sites", range(2, 13))
@pytest.mark.parametrize("ring_bits", [32, 64])
@given(data=st.data())
@settings(deadline=None, max_examples=4)
def test_sum_is_the_plaintext_sum(sites, ring_bits, data):
    length = data.draw(st.integers(1, 40))
    bound = 2 ** (ring_bits - 1)
    values = st.one_of(st.integers(-bound, bound - 1), st.integers(-5, 5))
    vectors = data.draw(st.lists(st.lists(values, min_size=length, max_size=length), min_size=sites, max_size=sites))
    coordinator, _ = opened(vectors, ring_bits=ring_bits, seed=data.draw(st.integers(0, 99)))
    expected = [centre(sum(column), ring_bits) for column in zip(*vectors, strict=True)]
    assert coordinator.round(1, MODEL).tolist() == expected
    assert coordinator.round(2, b"another model").tolist() == expected


def test_wraps_around_the_ring():
    coordinator, _ = opened([[2**31 - 1, -(2**31)], [1, -1]])
    assert coordinator.round(1, MODEL).tolist() == [-(2**31), 2**31 - 1]


def test_one_site_alone_discloses_without_masks():
    coordinator, _ = opened([[5, -7, 9]], outlet="disclose")
    assert coordinator.round(1, MODEL).tolist() == [5, -7, 9]


def test_keys_are_erased_after_the_last_round_and_on_close():
    header, channel = session([[1], [2]], rounds=2)
    coordinator = SumCoordinator(header, channel)
    coordinator.open()
    site = channel._running["site-0"]
    for number in (1, 2):
        assert not site.closed
        assert site.rounds_sent == number - 1
        coordinator.round(number, MODEL)
    assert site.closed
    assert site.rounds_sent == 2
    assert site._secret is None
    assert site._peers is None
    with pytest.raises(BadMessage, match="over"):
        site.on_frame(pack(Roster(hellos=())))
    coordinator, channel = opened([[1], [2]])
    coordinator.close()
    assert channel._running["site-1"].closed
    assert channel.closed_with == ""


def test_nothing_secret_prints_or_pickles():
    _, channel = opened([[1], [2]])
    site = channel._running["site-0"]
    assert "redacted" in repr(site)
    with pytest.raises(TypeError):
        pickle.dumps(site)


def test_upload_is_the_packed_vector_and_little_more():
    ups = []

    def tap(site, way, frame):
        if way == "up":
            ups.append(len(frame))

    coordinator, _ = opened([np.arange(100_000)] * 3, tap=tap)
    coordinator.round(1, MODEL)
    assert sum(ups) <= 1.01 * 3 * 400_000
    assert sum(ups) == coordinator.bytes_up


def test_a_site_that_drops_out_ends_the_session_without_a_sum():
    coordinator, channel = opened([[1], [2], [3]])
    assert coordinator.round(1, MODEL).tolist() == [6]
    others = [channel._running[name] for name in ("site-0", "site-2")]
    channel.stop("site-1")
    with pytest.raises(PartyUnreachable, match="site-1"):
        coordinator.round(2, MODEL)
    assert channel.closed_with == "the session ended early: party-unreachable"
    assert all(site.closed for site in others)
    with pytest.raises(BadMessage, match="not open"):
        coordinator.round(2, MODEL)


@pytest.mark.parametrize("stage", ["open", "roster", "round"])
def test_a_missing_reply_is_named(stage):
    header, channel = session([[1], [2], [3]])
    coordinator = SumCoordinator(header, channel)

    def without(replies):
        return {name: frame for name, frame in replies.items() if name != "site-2"}

    really_open, really_exchange = channel.open, channel.exchange
    if stage == "open":
        channel.open = lambda data: without(really_open(data))
    else:
        turn = iter([stage == "roster", True])
        channel.exchange = lambda out: without(really_exchange(out)) if next(turn) else really_exchange(out)

    def whole_session():
        coordinator.open()
        coordinator.round(1, MODEL)

    with pytest.raises(TooFewParties, match="site-2"):
        whole_session()
    assert channel.closed_with == "the session ended early: too-few-parties"


@pytest.mark.parametrize(
    "change",
    [
        {"vector": bytes(3)},
        {"vector": bytes(12)},
        {"number": 2},
        {"session": bytes(32)},
        None,
    ],
    ids=str,
)
def test_the_coordinator_takes_one_vector_of_the_declared_length_for_this_round(change):
    coordinator, channel = opened([[1, 2], [3, 4]])
    really = channel.exchange

    def bent(outgoing):
        replies = really(outgoing)
        good = unpack(replies["site-1"])
        facts = {name: getattr(good, name) for name in good.__struct_fields__}
        frame = Ready(session=good.session) if change is None else Masked(**(facts | change))
        return replies | {"site-1": pack(frame)}

    channel.exchange = bent
    with pytest.raises(BadMessage):
        coordinator.round(1, MODEL)
    assert channel.closed_with == "the session ended early: bad-message"


def test_work_of_another_shape_is_this_sites_fault_and_uses_the_round_up():
    coordinator, channel = opened([[1, 2], [3, 4]])
    site = channel._running["site-0"]
    site._work.values = np.zeros(3, dtype=np.int64)
    start = Round(session=coordinator._session, number=1, model_hash=model_hash(MODEL), payload=MODEL)
    with pytest.raises(NodeError):
        site.on_frame(pack(start))
    site._work.values = np.zeros(2, dtype=np.int64)
    with pytest.raises(BadMessage, match="round 2 comes next"):
        site.on_frame(pack(start))
    assert site.rounds_sent == 0


def test_the_channel_must_reach_the_cohort():
    header, _ = session([[1], [2]])
    _, other = session([[1], [2], [3]])
    with pytest.raises(BadMessage, match="cohort"):
        SumCoordinator(header, other)


def some_frames():
    hello = st.builds(
        Hello,
        site=st.integers(0, 3),
        key=st.binary(min_size=32, max_size=32),
        signature=st.binary(min_size=64, max_size=64),
    )
    digest = st.sampled_from([bytes(32), model_hash(MODEL)])
    frames = st.one_of(
        hello,
        st.builds(Roster, hellos=st.lists(hello, max_size=3).map(tuple)),
        st.builds(Ready, session=digest),
        st.builds(Round, session=digest, number=st.integers(-1, 4), model_hash=digest, payload=st.just(MODEL)),
        st.builds(Masked, session=digest, number=st.integers(-1, 4), vector=st.binary(max_size=9)),
    )
    cut = st.builds(lambda frame, end: pack(frame)[:end], frames, st.integers(0, 60))
    return st.one_of(st.binary(max_size=80), frames.map(pack), cut)


@given(before=st.lists(some_frames(), max_size=8), between=st.lists(some_frames(), max_size=8))
@settings(deadline=None, max_examples=80)
def test_refused_frames_raise_the_trees_errors_and_change_nothing(before, between):
    header, channel = session([[3, 4], [5, -9]])

    def noise(frames):
        for site in channel._running.values():
            for frame in frames:
                with pytest.raises(SteadError):
                    site.on_frame(frame)

    coordinator = SumCoordinator(header, channel)
    begin = channel.open

    def open_then_noise(data):
        hellos = begin(data)
        noise(before)
        return hellos

    channel.open = open_then_noise
    coordinator.open()
    noise(between)
    assert coordinator.round(1, MODEL).tolist() == [8, -5]
    noise(between)
    assert coordinator.round(2, MODEL).tolist() == [8, -5]

"""Every byte that a coordinator receives from real nodes in a joint question and in a private training.

What each site has before it masks (its exact integers, and those with its share of the noise) is recorded inside the
node; then all replies that the scientist's transport carried are searched for it, for rows and for counts.
"""

import importlib
import re
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest

from stead.core import codec
from stead.core.messages import Message, SessionFrame
from stead.core.signed import open_envelope
from stead.learn.frames import Masked, unpack
from stead.learn.masks import centred, unpack_vector
from stead.learn.pipeline import NoiseShare
from stead.learn.secure_sum import SumSite
from stead.plans.builder import ProgramBuilder
from stead.plans.program import TensorType
from stead.plans.query import Histogram, Query
from stead.testing import local_network

sys.path.insert(0, str(Path(__file__).parents[1]))
sites = importlib.import_module("sites")

# Chi-square of 255 degrees of freedom above this: probability 1e-9 for uniform bytes (scipy.stats.chi2.isf(1e-9, 255)).
CHI_SQUARE_LIMIT = 414.6
SIZES = {"north": 2711, "lakeside": 1789, "valley": 1373}
PEOPLE = (1000, 3000)
CELLS = 512
RUN_BYTES = 24
BETWEEN = bytes.fromhex("fedcba9876543211")  # in no encoding of what is looked for
WIDE = 128


def wide_gradient():
    """A linear model with 128 outputs, all with the same target: 512 weights, so that uniformity can be tested."""
    b = ProgramBuilder()
    w = b.input("w", "parameter", TensorType("float32", (WIDE, sites.WIDTH)))
    x = b.input("x", "x", TensorType("float32", (sites.WIDTH,)))
    y = b.input("y", "y", TensorType("int64", ()))
    target = b.add("expand", b.view(b.cast(y, "float32"), (1, 1)), shape=(WIDE, 1))
    error = b.add("sub", b.add("mm", w, b.view(x, (sites.WIDTH, 1))), target)
    loss = b.sum(b.add("mul", error, error), (0, 1), keep=False)
    return codec.encode(b.build({"loss": loss, "d_w": b.add("mm", error, b.view(x, (1, sites.WIDTH)))}))


def question():
    edges = tuple(np.linspace(0, 1_000_000, CELLS + 1).tolist())
    return Query("heart", (), (), (Histogram("cells", "marker", edges),), (3.0,))


class Tap:
    """The scientist's replies, as they came, and what was inside the sites before masking."""

    def __init__(self, monkeypatch):
        self.received, self.posted = {}, {}
        self.exact, self.noisy = [], []
        really = NoiseShare.add

        def recording(share, values, entropy):
            noisy = really(share, values, entropy)
            self.exact.append(values.copy())
            self.noisy.append(noisy.copy())
            return noisy

        monkeypatch.setattr(NoiseShare, "add", recording)

    def on(self, network):
        for name, transport in network.transports.items():
            for way in ("post", "get"):
                setattr(transport, way, self._listening(name, way, getattr(transport, way)))

    def _listening(self, name, way, really):
        def listening(*words):
            reply = really(*words)
            self.received.setdefault(name, []).append(reply)
            if way == "post":
                self.posted.setdefault(name, []).append(reply)
            return reply

        return listening

    def masked(self, name):
        """The packed vectors that this site sent."""
        vectors = []
        for reply in self.posted[name]:
            message = codec.decode(open_envelope(reply).body, Message)
            if isinstance(message, SessionFrame):
                frame = unpack(message.frame)
                vectors += [frame.vector] if isinstance(frame, Masked) else []
        return vectors


def windows(data):
    """Every 8 consecutive bytes of ``data``, as numbers."""
    shifted = (np.frombuffer(data, "<u8", count=(len(data) - start) // 8, offset=start) for start in range(8))
    return np.concatenate(list(shifted))


def chi_square(data):
    counts = np.bincount(np.frombuffer(data, dtype=np.uint8), minlength=256)
    expected = len(data) / 256
    return float(((counts - expected) ** 2 / expected).sum())


def leaks(tap, rows):
    """What is wrong with what the coordinator received; empty if nothing is.

    Masked bytes are uniform (false alarm 1e-9 for each vector); no 8 consecutive bytes of a secret's encoding occur
    (false alarm below 1e-6: fewer than 10^13 pairs against 2^64), nor 24 bytes of a vector of small integers; no
    decimal text of a count or of a rare value.
    """
    secrets = [*tap.exact, *tap.noisy]
    for columns in rows.values():
        secrets += [np.array(columns[name], dtype=np.float64) for name in ("age", "marker", "code")]
        secrets.append(np.array([len(columns["age"])] * 2))
    kinds = ("<i4", "<i8", "<f4", "<f8", ">i4", ">i8", ">f8")
    # Windows of little but padding say nothing by themselves.
    coded = {kind: telling(windows(b"".join(secret.astype(kind).tobytes() for secret in secrets))) for kind in kinds}
    runs = {kind: long_runs([vector.astype(kind).tobytes() for vector in (*tap.exact, *tap.noisy)]) for kind in kinds}
    texts = [str(len(columns["age"])) for columns in rows.values()]
    texts += [repr(value) for columns in rows.values() for value in columns["marker"] if value >= 100_000]
    words = re.compile(
        rb"(?<![0-9A-Za-z.])(" + b"|".join(text.replace(".", r"\.").encode() for text in texts) + rb")(?![0-9A-Za-z])"
    )
    found = []
    for name, replies in tap.received.items():
        found += [f"{name}: not uniform" for vector in tap.masked(name) if chi_square(vector) > CHI_SQUARE_LIMIT]
        data = BETWEEN.join(replies)
        found += [f"{name}: {kind}" for kind in kinds if np.isin(windows(data), coded[kind]).any()]
        seen = {data[at : at + RUN_BYTES] for at in range(len(data) - RUN_BYTES + 1)}
        found += [f"{name}: a run of {kind}" for kind in kinds if not seen.isdisjoint(runs[kind])]
        found += [f"{name}: text" for _ in words.findall(data)[:1]]
    return found


def long_runs(encoded):
    """Stretches of 24 bytes of a site's vectors, for integers so small that eight bytes hold one of them."""
    found = {data[at : at + RUN_BYTES] for data in encoded for at in range(0, len(data) - RUN_BYTES + 1, 4)}
    return {run for run in found if len(set(run)) > 3}


def telling(values):
    """The windows that hold at least three bytes other than 0 and 255."""
    parts = values.view(np.uint8).reshape(-1, 8)
    return values[((parts != 0) & (parts != 255)).sum(axis=1) >= 3]


@pytest.fixture(scope="module")
def rows():
    return {name: sites.rows(name, size) for name, size in SIZES.items()}


@pytest.fixture
def network(rows):
    with local_network(list(SIZES)) as made:
        for name, columns in rows.items():
            made.add(sites.card(name, people=PEOPLE), columns, at=name)
        yield made


def joint_question(network):
    run = sites.session([network[name].site for name in network], question(), length=CELLS)
    return run.header, [run.ask()]


def private_training(network):
    plan = sites.training(gradient=wide_gradient(), ring_bits=64)
    run = sites.session([network[name].site for name in network], plan, weights=WIDE * sites.WIDTH, ring_bits=64)
    totals = []
    run.train([PEOPLE] * 3, on_total=totals.append)
    return run.header, totals


KINDS = [joint_question, private_training]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_no_update_no_row_no_count(network, rows, monkeypatch, kind):
    tap = Tap(monkeypatch)
    tap.on(network)
    header, totals = kind(network)
    rounds = len(totals)
    assert len(tap.exact) == 3 * rounds
    assert leaks(tap, rows) == []
    # What was recorded is what was summed: the search was for the right thing.
    for number in range(rounds):
        sent = [unpack_vector(tap.masked(name)[number], length=header.length, ring_bits=64) for name in network]
        assert (centred(sum(sent[1:], sent[0].copy()), 64) == totals[number]).all()
    assert (sum(tap.noisy) == sum(totals)).all()
    assert all((one != other).any() for one, other in zip(tap.exact, tap.noisy, strict=True))


def test_the_recorded_integers_are_the_rows(network, rows, monkeypatch):
    """The exact vectors of a joint question, counted here from the same rows by other means."""
    tap = Tap(monkeypatch)
    joint_question(network)
    counted = [np.histogram(rows[name]["marker"], bins=CELLS, range=(0, 1_000_000))[0] for name in SIZES]
    assert sorted(map(tuple, tap.exact)) == sorted(map(tuple, counted))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_site_that_skips_its_masks_is_caught(network, rows, monkeypatch, kind):
    """The planted fault: the same test over a network in which one site sends its vector as it is."""
    really = SumSite._mask

    def forgetful(site, values, number, model, peers):
        return really(site, values, number, model, {} if site._index == 1 else peers)

    monkeypatch.setattr(SumSite, "_mask", forgetful)
    tap = Tap(monkeypatch)
    tap.on(network)
    kind(network)
    found = set(leaks(tap, rows))
    assert {"lakeside: not uniform", "lakeside: a run of <i8"} <= found
    assert all(text.startswith("lakeside") for text in found)


def test_a_reply_with_a_count_or_a_row_in_it_is_caught(network, rows, monkeypatch):
    for planted in (
        b"there are 2711 rows",
        repr(max(rows["north"]["marker"])).encode(),
        np.array(rows["valley"]["marker"][5]).tobytes(),
    ):
        tap = Tap(monkeypatch)
        tap.on(network)
        tap.received["north"] = [planted]
        tap.masked = lambda _: []
        assert leaks(tap, rows)


def test_the_same_question_twice_has_nothing_in_common(network, rows, monkeypatch):
    tap = Tap(monkeypatch)
    tap.on(network)
    joint_question(network)
    joint_question(network)
    for name in network:
        first, second = (np.frombuffer(vector, "<u8") for vector in tap.masked(name))
        assert chi_square((first - second).tobytes()) < CHI_SQUARE_LIMIT
    assert msgspec.json.encode(list(tap.received)) == b'["north","lakeside","valley"]'

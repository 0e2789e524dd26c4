"""The session header: canonical, and refused where its facts contradict each other or the request."""

from dataclasses import dataclass

import msgspec
import pytest

from stead.core import codec
from stead.core.entropy import SeededEntropy
from stead.core.keys import Key
from stead.errors import BadMessage, BadSignature, SteadError, TooFewParties, UsageError
from stead.learn.header import Header, admit, model_hash

KEYS = [Key.generate(SeededEntropy(seed)).public.raw for seed in range(4)]


def header(**changes):
    facts = {
        "release": bytes(range(16)),
        "plan_hash": bytes([7]) * 32,
        "cohort": tuple((f"site-{n}", key) for n, key in enumerate(KEYS[:3])),
        "length": 10,
        "ring_bits": 32,
        "rounds": 5,
        "colluders": 1,
        "model_hash": model_hash(b"model"),
        "outlet": "join",
        "minimum": 3,
    }
    return Header(**(facts | changes))


def test_round_trip_and_hash():
    one = header()
    assert Header.from_bytes(one.to_bytes()) == one
    assert len(one.hash()) == 32
    assert one.size_bytes == 40


@pytest.mark.parametrize(
    "change",
    [
        {"release": bytes(16)},
        {"plan_hash": bytes(32)},
        {"cohort": tuple((f"site-{n}", key) for n, key in enumerate(KEYS[1:4]))},
        {"cohort": tuple((f"hospital-{n}", key) for n, key in enumerate(KEYS[:3]))},
        {"length": 11},
        {"ring_bits": 64},
        {"rounds": 6},
        {"colluders": 2},
        {"model_hash": model_hash(b"")},
        {"outlet": "disclose"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_every_fact_is_in_the_hash(change):
    assert header(**change).hash() != header().hash()


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"cohort": (("a", KEYS[0]),), "minimum": 1}, TooFewParties),
        ({"cohort": (("a", KEYS[0]), ("a", KEYS[1])), "minimum": 2}, UsageError),
        ({"cohort": (("a", KEYS[0]), ("b", KEYS[0])), "minimum": 2}, UsageError),
        ({"cohort": (("a", KEYS[0]), ("", KEYS[1])), "minimum": 2}, UsageError),
        ({"cohort": (("a", KEYS[0]), ("b\n", KEYS[1])), "minimum": 2}, UsageError),
        ({"colluders": 3}, UsageError),
        ({"colluders": -1}, UsageError),
        ({"minimum": 2}, UsageError),
        ({"length": 0}, UsageError),
        ({"length": 1 << 24}, UsageError),
        ({"rounds": 0}, UsageError),
    ],
    ids=str,
)
def test_contradictions_are_refused_when_made_and_when_read(change, error):
    with pytest.raises(error):
        header(**change)
    plain = msgspec.to_builtins(header()) | change
    ordered = {"header": "sum"} | {name: plain[name] for name in header().__struct_fields__}
    with pytest.raises(BadMessage):
        Header.from_bytes(codec.encode(ordered))


def test_one_site_may_disclose():
    alone = header(cohort=(("a", KEYS[0]),), minimum=1, colluders=0, outlet="disclose")
    assert alone.index_of(KEYS[0]) == 0


@dataclass
class Request:
    own_key: bytes = KEYS[1]
    release: bytes = bytes(range(16))
    plan_hash: bytes = bytes([7]) * 32
    outlet: str = "join"
    enrolled: object = staticmethod(lambda key: key in KEYS[:3])


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"own_key": KEYS[3]}, BadSignature),
        ({"enrolled": lambda key: key in KEYS[:2]}, BadSignature),
        ({"release": bytes(16)}, BadMessage),
        ({"plan_hash": bytes(32)}, BadMessage),
        ({"outlet": "disclose"}, BadMessage),
    ],
    ids=lambda change: next(iter(change)) if isinstance(change, dict) else "",
)
def test_a_site_admits_only_its_own_request(change, error):
    data = header().to_bytes()
    assert admit(data, **vars(Request())) == header()
    with pytest.raises(error):
        admit(data, **vars(Request(**change)))


def test_bytes_that_are_no_header():
    for data in (b"", b"\x80", header().to_bytes()[:-1], header().to_bytes() + b"\x00", b"\x80\x04\x95."):
        with pytest.raises(SteadError):
            Header.from_bytes(data)

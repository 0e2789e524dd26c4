"""One encoding for each value, checked against a second encoder written from the msgpack specification."""

import hashlib
import struct
import sys
import tracemalloc

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stead.core.codec import MAX_DEPTH, MAX_ITEMS, decode, digest, domain_prefix, encode
from stead.core.messages import ListDatasets, Message, SessionFrame
from stead.core.schema import Bounds, Column, Schema
from stead.errors import BadMessage, UsageError


class Everything(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    number: int
    real: float
    text: str
    raw: bytes
    maybe: bool | None
    inner: dict[str, tuple[int, ...]]


def reference(value: object) -> bytes:
    """Canonical msgpack, from the msgpack specification: shortest heads, float64, map keys in ascending order."""
    match value:
        case None:
            return b"\xc0"
        case bool():
            return b"\xc3" if value else b"\xc2"
        case int():
            return reference_int(value)
        case float():
            return b"\xcb" + struct.pack(">d", value)
        case str():
            return head(len(value.encode()), 32, 0xA0, (0xD9, 0xDA, 0xDB)) + value.encode()
        case bytes():
            return head(len(value), 0, 0, (0xC4, 0xC5, 0xC6)) + value
        case list() | tuple():
            return head(len(value), 16, 0x90, (None, 0xDC, 0xDD)) + b"".join(map(reference, value))
        case dict():
            pairs = sorted(value.items(), key=lambda pair: pair[0].encode())
            body = b"".join(reference(key) + reference(item) for key, item in pairs)
            return head(len(value), 16, 0x80, (None, 0xDE, 0xDF)) + body
    raise TypeError(type(value))


def head(size: int, fixed_below: int, fixed: int, codes: tuple) -> bytes:
    if size < fixed_below:
        return bytes([fixed + size])
    for code, form, limit in zip(codes, (">B", ">H", ">I"), (1 << 8, 1 << 16, 1 << 32), strict=True):
        if code is not None and size < limit:
            return bytes([code]) + struct.pack(form, size)
    raise OverflowError


def reference_int(value: int) -> bytes:
    if -32 <= value < 128:
        return struct.pack(">b", value)
    forms = ((0xCC, ">B"), (0xCD, ">H"), (0xCE, ">I"), (0xCF, ">Q"))
    if value < 0:
        forms = ((0xD0, ">b"), (0xD1, ">h"), (0xD2, ">i"), (0xD3, ">q"))
    for code, form in forms:
        try:
            return bytes([code]) + struct.pack(form, value)
        except struct.error:
            continue
    raise OverflowError


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 64) - 1)
    | st.floats(allow_nan=False)
    | st.text(max_size=40)
    | st.binary(max_size=300),
    lambda inner: st.lists(inner, max_size=20) | st.dictionaries(st.text(max_size=8), inner, max_size=20),
    max_leaves=30,
)


@given(PLAIN)
@settings(deadline=None, max_examples=200)
def test_the_encoding_is_the_specifications(value):
    assert encode(value) == reference(value)


EVERYTHING = st.builds(
    Everything,
    number=st.integers(-(1 << 63), (1 << 64) - 1),
    real=st.floats(allow_nan=False),
    text=st.text(max_size=40),
    raw=st.binary(max_size=40),
    maybe=st.none() | st.booleans(),
    inner=st.dictionaries(st.text(max_size=8), st.lists(st.integers(0, 9), max_size=4).map(tuple), max_size=4),
)


@given(EVERYTHING)
@settings(deadline=None, max_examples=200)
def test_what_is_encoded_decodes_to_itself(value):
    assert decode(encode(value), Everything) == value


@given(EVERYTHING, st.data())
@settings(deadline=None, max_examples=200)
def test_bytes_that_decode_are_the_encoding_of_what_they_decode_to(value, data):
    altered = bytearray(encode(value))
    altered[data.draw(st.integers(0, len(altered) - 1))] = data.draw(st.integers(0, 255))
    try:
        decoded = decode(bytes(altered), Everything)
    except BadMessage:
        return
    assert encode(decoded) == altered


CANONICAL = encode(ListDatasets(project="p"))  # 82 a4 type ad list-datasets a7 project a1 p


@pytest.mark.parametrize(
    "data",
    [
        CANONICAL.replace(b"\xa4type", b"\xd9\x04type"),  # a longer head than needed
        b"\xde\x00\x02" + CANONICAL[1:],  # a longer map head than needed
        b"\x82\xa7project\xa1p\xa4type\xadlist-datasets",  # fields in another order
        b"\x83" + CANONICAL[1:] + b"\xa7project\xa1p",  # a field twice
        b"\x83" + CANONICAL[1:] + b"\xa5other\x01",  # an unknown field
        CANONICAL + b"\x00",  # something after the message
        CANONICAL[:-1],
        b"",
        b"\xc1",  # never used
        b"\xd4\x01\x00",  # an extension
        b"\xc7\x04\x01\x00\x00\x00\x00",
        b"\xca\x3f\x80\x00\x00",  # a 32-bit float
        b"\x81\xa4type\xa4none",
        b"\x82\xa4type\xadlist-datasets\xa7project\x01",
        b"\x82\xa4type\xadlist-datasets\xa7project\xa1\xff",  # not UTF-8
        b"\x82\xa4type\xadlist-datasets\xa7project\xa3\xed\xa0\x80",  # a surrogate
    ],
)
def test_other_bytes_are_refused(data):
    with pytest.raises(BadMessage):
        decode(data, Message)


@pytest.mark.parametrize("real", [0, 1, -1])
def test_an_integer_in_place_of_a_float_is_refused(real):
    with pytest.raises(BadMessage, match="canonical"):
        decode(reference({"low": -5.0, "high": 5}), Bounds)
    assert decode(encode(Bounds(low=real - 1, high=real)), Bounds) == Bounds(low=real - 1.0, high=float(real))


@pytest.mark.parametrize("bits", ["7ff8000000000000", "7ff8000000000001", "fff8000000000000", "7ff0000000000001"])
def test_no_nan_gets_in(bits):
    with pytest.raises(BadMessage, match="NaN"):
        decode(b"\xcb" + bytes.fromhex(bits), float)


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), -0.0, 5e-324, 1.7976931348623157e308])
def test_every_other_float_does(value):
    assert struct.pack(">d", decode(encode(value), float)) == struct.pack(">d", value)


@pytest.mark.parametrize(
    "value",
    [float("nan"), 1 << 64, -(1 << 63) - 1, SessionFrame(release=b"", frame="text"), [[float("nan")]], "\ud800"],  # type: ignore[arg-type]
)
def test_what_could_not_be_read_is_not_written(value):
    with pytest.raises(UsageError):
        encode(value)


def _nested(levels: int) -> list:
    value: list = []
    for _ in range(levels - 1):
        value = [value]
    return value


def test_depth_is_limited():
    assert decode(encode(_nested(MAX_DEPTH)), list) == _nested(MAX_DEPTH)
    with pytest.raises(UsageError):
        encode(_nested(MAX_DEPTH + 1))
    with pytest.raises(BadMessage):
        decode(reference(_nested(MAX_DEPTH + 1)), list)


@pytest.mark.parametrize("head", [b"\x91", b"\x81\xa1a", b"\x81", b"\xdd\x00\x00\x00\x01"])
def test_a_million_levels_are_a_bad_message_also_near_the_recursion_limit(head):
    data = head * 1_000_000

    def deeper(left: int) -> None:
        if left:
            deeper(left - 1)
        else:
            with pytest.raises(BadMessage):
                decode(data, list)

    deeper(sys.getrecursionlimit() // 2)


@pytest.mark.parametrize("head", [b"\xdd", b"\xdf", b"\xc6", b"\xdb"])
@pytest.mark.parametrize("claim", [1 << 20, 1 << 30, (1 << 32) - 1])
def test_a_head_that_claims_more_than_there_is_costs_nothing(head, claim):
    data = b"\x92" + head + claim.to_bytes(4, "big") + bytes(1000)
    tracemalloc.start()
    try:
        with pytest.raises(BadMessage):
            decode(data, list)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


def test_the_number_of_values_is_limited():
    data = b"\xdd" + (MAX_ITEMS + 1).to_bytes(4, "big") + bytes(MAX_ITEMS + 1)
    tracemalloc.start()
    try:
        with pytest.raises(BadMessage, match="values"):
            decode(data, list)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


def test_the_size_is_limited_before_anything_is_read():
    with pytest.raises(BadMessage, match="limit of 4"):
        decode(b"\xc1" * 5, list, limit_bytes=4)


def test_errors_repeat_nothing_of_the_bytes():
    secret = "hunter2"
    for data in (
        reference({"type": secret}),
        reference({"type": "list-datasets", secret: 1, "project": "p"}),
        reference({"type": "list-datasets", "project": {secret: secret}}),
        reference({"type": "list-datasets", f"x` - at `$.{secret}": 1}),
    ):
        with pytest.raises(BadMessage) as refused:
            decode(data, Message)
        assert secret not in str(refused.value)
        assert refused.value.__cause__ is None


def test_errors_name_the_field():
    with pytest.raises(BadMessage, match=r"Expected str, got int - at \$\.project"):
        decode(reference({"type": "list-datasets", "project": 1}), Message)
    with pytest.raises(BadMessage, match="missing required field project"):
        decode(b"\x81\xa4type\xadlist-datasets", Message)


def test_a_value_that_its_type_forbids_is_a_bad_message():
    with pytest.raises(BadMessage, match="forbids"):
        decode(reference({"low": 2.0, "high": 1.0}), Bounds)


def test_left_out_defaults_have_one_encoding():
    schema = Schema(population="p", unit="person", columns=(Column(name="a", kind="boolean"),), people=(1, 2))
    assert decode(encode(schema), Schema) == schema
    spelled_out = reference({"name": "a", "kind": "boolean"})[:1].replace(b"\x82", b"\x83")
    spelled_out += reference("name") + reference("a") + reference("kind") + reference("boolean")
    spelled_out += reference("unit") + reference("")
    with pytest.raises(BadMessage, match="canonical"):
        decode(spelled_out, Column)


def test_a_digest_is_sha256_under_its_domain():
    assert digest("stead", b"data") == hashlib.sha256(b"\x00\x05steaddata").digest()
    assert digest("stead", b"data") != digest("steadd", b"ata")


@pytest.mark.parametrize("domain", ["", "d" * 256, "ü"])
def test_a_domain_is_short_ascii(domain):
    with pytest.raises(ValueError, match=r"ascii|ASCII"):
        domain_prefix(domain)

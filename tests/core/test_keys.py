"""Keys: the algorithm's published vectors, domains, files that nobody else reads, nothing that leaks."""

import copy
import os
import pickle
import stat

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat

from stead.core.entropy import SeededEntropy
from stead.core.keys import _SMALL_ORDER, Key, PublicKey
from stead.errors import BadMessage, BadSignature, UsageError

# RFC 8032, section 7.1, TEST 2: the message is the one byte 0x72.
SEED = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
PUBLIC = bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
SIGNATURE = bytes.fromhex(
    "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
    "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
)

KEY = Key.from_bytes(SEED)


def test_the_published_vector():
    assert KEY.public.raw == PUBLIC
    assert KEY.sign_text("r") == SIGNATURE
    KEY.public.verify_text("r", SIGNATURE)


def test_a_signature_is_over_length_domain_and_data():
    signature = KEY.sign("stead.test", b"data")
    Ed25519PublicKey.from_public_bytes(PUBLIC).verify(signature, b"\x00\x0astead.testdata")
    KEY.public.verify("stead.test", b"data", signature)


@pytest.mark.parametrize(
    ("domain", "data", "flip"),
    [("stead.tes", b"tdata", 0), ("stead.test", b"datA", 0), ("stead.test", b"data", 1), ("stead.test", b"", 0)],
)
def test_any_other_domain_data_or_signature_is_refused(domain, data, flip):
    signature = KEY.sign("stead.test", b"data")
    with pytest.raises(BadSignature):
        KEY.public.verify(domain, data, bytes([signature[0] ^ flip]) + signature[1:])


@pytest.mark.parametrize("size", [0, 63, 65])
def test_a_signature_of_another_length_is_refused(size):
    with pytest.raises(BadSignature):
        KEY.public.verify("stead.test", b"data", bytes(size))


def test_a_signature_with_the_order_added_is_refused():
    order = (1 << 252) + 27742317777372353535851937790883648493
    scalar = int.from_bytes(SIGNATURE[32:], "little") + order
    with pytest.raises(BadSignature):
        KEY.public.verify_text("r", SIGNATURE[:32] + scalar.to_bytes(32, "little"))


def test_text_that_could_be_a_prefixed_message_is_not_signed():
    for text in ("", "\x00\x05steaddata", "a\x00"):
        with pytest.raises(UsageError):
            KEY.sign_text(text)


@pytest.mark.parametrize("size", [0, 31, 33])
def test_keys_have_32_bytes(size):
    with pytest.raises(BadMessage):
        PublicKey(bytes(size))
    with pytest.raises(UsageError):
        Key.from_bytes(bytes(size))


P = (1 << 255) - 19
D = -121665 * pow(121666, -1, P) % P


def _add(a: tuple[int, int], b: tuple[int, int]) -> tuple[int, int]:
    """The group law of edwards25519: RFC 8032, section 5.1.4, in affine coordinates."""
    product = D * a[0] * b[0] * a[1] * b[1]
    x = (a[0] * b[1] + b[0] * a[1]) * pow(1 + product, -1, P)
    y = (a[1] * b[1] + a[0] * b[0]) * pow(1 - product, -1, P)
    return x % P, y % P


def _points(y: int) -> list[tuple[int, int]]:
    """The points of the curve -x² + y² = 1 + d x² y² with this y: RFC 8032, section 5.1.3."""
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    root = pow(square, (P + 3) // 8, P)
    if root * root % P != square:
        root = root * pow(2, (P - 1) // 4, P) % P
    return [(root, y), (-root % P, y)] if root * root % P == square else []


def test_the_refused_keys_are_the_points_of_small_order_in_every_encoding():
    small = set()
    for raw in _SMALL_ORDER:
        points = _points(int.from_bytes(raw, "little") % P)
        assert points
        for point in points:
            doubled = point
            for _ in range(3):
                doubled = _add(doubled, doubled)
            assert doubled == (0, 1)
            small.add(point)
    assert len(small) == 8  # the whole torsion subgroup, whose order is the cofactor
    encodings = {(y + shift).to_bytes(32, "little") for _, y in small for shift in (0, P) if y + shift < 1 << 255}
    assert encodings == set(_SMALL_ORDER)
    for raw in encodings:
        for sign in (0, 0x80):
            with pytest.raises(BadMessage, match="small order"):
                PublicKey(raw[:-1] + bytes([raw[-1] | sign]))


def test_equality_and_hash_are_of_the_bytes():
    assert PublicKey(PUBLIC) == KEY.public
    assert len({PublicKey(PUBLIC), KEY.public}) == 1
    assert KEY.public != PUBLIC


def test_a_fingerprint_is_128_bits_in_groups():
    groups = KEY.public.fingerprint().split("-")
    assert [len(group) for group in groups] == [4] * 8
    assert KEY.public.fingerprint() != Key.from_bytes(bytes(32)).public.fingerprint()


def test_generate_takes_its_bytes_from_the_entropy():
    assert Key.generate(SeededEntropy(1)).public == Key.from_bytes(SeededEntropy(1).take(32)).public


def test_nothing_shows_or_copies_the_private_half():
    assert SEED.hex() not in repr(KEY)
    assert repr(KEY).startswith("Key(<redacted>")
    for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            attempt(KEY)
    assert not hasattr(KEY, "__dict__")


def test_a_saved_key_is_loaded_and_private(tmp_path):
    path = tmp_path / "key.pem"
    mask = os.umask(0)
    try:
        KEY.save(path)
    finally:
        os.umask(mask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert Key.load(path).public == KEY.public


def test_a_key_is_never_overwritten(tmp_path):
    path = tmp_path / "key.pem"
    KEY.save(path)
    with pytest.raises(UsageError, match="exists"):
        Key.from_bytes(bytes(32)).save(path)
    assert Key.load(path).public == KEY.public


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o644])
def test_a_key_open_to_others_is_not_loaded(tmp_path, mode):
    path = tmp_path / "key.pem"
    KEY.save(path)
    path.chmod(mode)
    with pytest.raises(UsageError) as refused:
        Key.load(path)
    assert refused.value.hint == f"chmod 600 {path}"


def _foreign() -> dict[str, bytes]:
    curve = ec.generate_private_key(ec.SECP256R1())
    return {
        "text": b"not a key",
        "empty": b"",
        "other kind": curve.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        "encrypted": KEY.for_certificates().private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x")
        ),
        "huge": bytes(1 << 20),
    }


@pytest.mark.parametrize(("name", "data"), _foreign().items())
def test_a_file_that_holds_no_key_is_refused(tmp_path, name, data):
    path = tmp_path / "key.pem"
    path.write_bytes(data)
    path.chmod(0o600)
    with pytest.raises(UsageError):
        Key.load(path)


def test_a_file_that_cannot_be_reached_is_refused(tmp_path):
    with pytest.raises(UsageError):
        Key.load(tmp_path / "none.pem")
    with pytest.raises(UsageError):
        Key.load(tmp_path)
    with pytest.raises(UsageError):
        KEY.save(tmp_path / "none" / "key.pem")

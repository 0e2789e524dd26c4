"""Signed heads of a log, in the formats that transparency logs and their witnesses share.

A *note* is text, an empty line, and signature lines ``— <name> <base64(key id || signature)>``. A *checkpoint* is a
note whose text is the log's origin, the number of leaves and the base64 root, one to a line. Signature lines of others
may stand beside the log's own; they are neither needed nor looked at here: ``core.cosign`` reads those of witnesses.

References: C2SP signed-note (c2sp.org/signed-note) and tlog-checkpoint (c2sp.org/tlog-checkpoint).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Final, NamedTuple

import msgspec

from stead.core.keys import SIGNATURE_BYTES, Key, PublicKey
from stead.core.merkle import HASH_BYTES, MAX_SIZE
from stead.errors import BadProof, BadSignature, UsageError

MAX_NOTE_CHARS: Final = 64 * 1024
MAX_SIGNATURES: Final = 100

ID_BYTES: Final = 4

_ED25519: Final = b"\x01"
_DASH: Final = "\N{EM DASH} "
_CHECKPOINT_LINES: Final = 3


class Checkpoint(msgspec.Struct, frozen=True):
    """The head of a log: ``root`` (32 bytes) is the tree hash over its first ``size`` leaves."""

    origin: str
    size: int
    root: bytes


class SignatureLine(NamedTuple):
    """One signature line of a note: the signer's name, and the raw bytes, whose first four are the key's id."""

    name: str
    raw: bytes


def log_origin(node_key: bytes) -> str:
    """The origin of the log of the node with this raw public key."""
    return f"stead.log/{node_key.hex()}"


def key_id(name: str, public_key: PublicKey) -> bytes:
    """The four bytes that tell keys of one name apart: ``SHA-256(name || 0x0A || 0x01 || key)[:4]``."""
    return hashlib.sha256(name.encode() + b"\n" + _ED25519 + public_key.raw).digest()[:ID_BYTES]


def verifier_key(name: str, public_key: PublicKey) -> str:
    """The key as other tools of this format want to be told it: ``name+id+base64(0x01 || key)``."""
    encoded = base64.b64encode(_ED25519 + public_key.raw).decode()
    return f"{name}+{key_id(name, public_key).hex()}+{encoded}"


def sign_note(text: str, *, name: str, key: Key) -> str:
    """The signed note of ``text`` with one signature, by ``key`` under ``name``.

    Raises:
        UsageError: the text does not end with a newline or holds control characters, or the name cannot be one.
    """
    if not _is_text(text) or len(text) > MAX_NOTE_CHARS:
        raise UsageError("a note's text is printable lines, each ended by a newline.")
    return f"{text}\n{signature_line(name, key_id(name, key.public) + key.sign_text(text))}"


def open_note(note: str, *, name: str, public_key: PublicKey) -> str:
    """The text of a note that carries a valid signature by this key under this name.

    Lines by other names or other key ids are passed over, once they have the form of a signature line.

    Raises:
        BadProof: no such signature, one that does not verify, or not a note.
    """
    text, lines = split_note(note)
    found = False
    expected = key_id(name, public_key)
    for signer, raw in lines:
        if signer != name or raw[:ID_BYTES] != expected:
            continue
        if len(raw) != ID_BYTES + SIGNATURE_BYTES:
            raise BadProof("the note's signature has the wrong length.")
        try:
            public_key.verify_text(text, raw[ID_BYTES:])
        except BadSignature:
            raise BadProof("the note's signature does not verify.") from None
        found = True
    if not found:
        raise BadProof(f"the note carries no signature by key {public_key.fingerprint()}.")
    return text


def split_note(note: str) -> tuple[str, tuple[SignatureLine, ...]]:
    """The text of a note and its signature lines; no signature is verified.

    Raises:
        BadProof: too long, or not of the form of a note.
    """
    if len(note) > MAX_NOTE_CHARS:
        raise BadProof(f"a note of {len(note)} characters is over the limit of {MAX_NOTE_CHARS}.")
    head, separator, tail = note.rpartition("\n\n")
    text = head + "\n"
    if not separator or not _is_text(text) or not tail.endswith("\n"):
        raise BadProof("this is not a signed note.")
    lines = tail[:-1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise BadProof(f"a note has at most {MAX_SIGNATURES} signatures, not {len(lines)}.")
    return text, tuple(map(read_signature_line, lines))


def signature_line(name: str, raw: bytes) -> str:
    """The line of a signature, with its newline.

    Args:
        name: the signer's.
        raw: the key's id (4 bytes) and the signature.

    Raises:
        UsageError: the name cannot be one.
    """
    if not _is_name(name):
        raise UsageError("a note's key name has no spaces and no plus sign.")
    return f"{_DASH}{name} {encode_base64(raw)}\n"


def sign_checkpoint(checkpoint: Checkpoint, key: Key) -> str:
    """The signed note of a checkpoint, by ``key`` under the log's origin as its name.

    Raises:
        UsageError: the origin cannot be a key name, or size or root is out of range.
    """
    if len(checkpoint.root) != HASH_BYTES or not 0 <= checkpoint.size <= MAX_SIZE:
        raise UsageError(f"a checkpoint has a root of {HASH_BYTES} bytes and 0 to {MAX_SIZE} leaves.")
    root = encode_base64(checkpoint.root)
    return sign_note(f"{checkpoint.origin}\n{checkpoint.size}\n{root}\n", name=checkpoint.origin, key=key)


def open_checkpoint(text: str, origin: str, public_key: PublicKey) -> Checkpoint:
    """The checkpoint in a note that the log's own key has signed.

    Args:
        text: the note.
        origin: the log that it must be of.
        public_key: the log's key.

    Raises:
        BadProof: not signed by that key, of another log, or not a checkpoint.
    """
    return _parse_checkpoint(open_note(text, name=origin, public_key=public_key), origin)


def _parse_checkpoint(text: str, origin: str) -> Checkpoint:
    """Read a checkpoint's lines; lines after the third are extensions, which must not be empty, and are not used."""
    lines = text[:-1].split("\n")
    if len(lines) < _CHECKPOINT_LINES or not all(lines):
        raise BadProof("this note is not a checkpoint.")
    if lines[0] != origin:
        raise BadProof("the checkpoint is of another log.")
    digits = lines[1]
    # isdecimal alone would admit digits of other scripts
    if not (digits.isascii() and digits.isdecimal()) or len(digits) > len(str(MAX_SIZE)) or str(int(digits)) != digits:
        raise BadProof("the checkpoint's size is not a plain decimal number.")
    size, root = int(digits), decode_base64(lines[2])
    if size > MAX_SIZE or len(root) != HASH_BYTES:
        raise BadProof("the checkpoint's size or root is out of range.")
    return Checkpoint(origin=origin, size=size, root=root)


def read_signature_line(line: str) -> SignatureLine:
    """One signature line, without its newline.

    Raises:
        BadProof: it has not the form of one.
    """
    signer, separator, encoded = line.removeprefix(_DASH).partition(" ")
    if not line.startswith(_DASH) or not separator or not _is_name(signer):
        raise BadProof("a line after the note's text is not a signature.")
    raw = decode_base64(encoded)
    if len(raw) <= ID_BYTES:
        raise BadProof("a signature of the note is too short.")
    return SignatureLine(signer, raw)


def encode_base64(raw: bytes) -> str:
    """Padded standard base64."""
    return base64.b64encode(raw).decode()


def decode_base64(text: str) -> bytes:
    """Decode padded standard base64, refusing every spelling but the one that encoding gives.

    Raises:
        BadProof: it is not base64, or in a second spelling.
    """
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise BadProof("the note holds broken base64.") from None
    if encode_base64(raw) != text:
        raise BadProof("the note holds base64 in a second spelling.")
    return raw


def _is_text(text: str) -> bool:
    """Whether this is non-empty text of whole lines without control characters or lone surrogates."""
    if not text.endswith("\n") or text.startswith("\n"):
        return False
    return not any((ord(c) < 0x20 and c != "\n") or c == "\x7f" or 0xD800 <= ord(c) < 0xE000 for c in text)


def _is_name(name: str) -> bool:
    return bool(name) and "+" not in name and not any(c.isspace() or ord(c) < 0x20 for c in name)

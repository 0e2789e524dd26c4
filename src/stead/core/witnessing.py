"""What a log says to a witness: the head to be signed, and the proof that it grew out of the one signed before.

::

    old <the size of the head that the witness signed last, decimal; 0 at first>
    <a hash of the consistency proof, base64>            no line to 63 lines
                                                         (an empty line)
    <the head, a signed note>

References: C2SP tlog-witness (c2sp.org/tlog-witness), ``add-checkpoint``.
"""

from __future__ import annotations

from typing import Final

import msgspec

from stead.core.merkle import HASH_BYTES, MAX_SIZE
from stead.core.notes import MAX_NOTE_CHARS, decode_base64, encode_base64
from stead.errors import BadMessage, BadProof

MAX_PROOF_LINES: Final = 63
MAX_REQUEST_BYTES: Final = 4 * MAX_NOTE_CHARS + 64 * 64
"""The longest request that is read: a whole note in UTF-8, and the lines before it."""

_OLD: Final = "old "


class AddCheckpoint(msgspec.Struct, frozen=True):
    """A request to sign a head.

    Attributes:
        old_size: how many leaves the head had that the witness signed last.
        proof: hashes of 32 bytes, the consistency proof from then to now.
        note: the head, with at least the log's own signature; not verified.
    """

    old_size: int
    proof: tuple[bytes, ...]
    note: str


def write_request(request: AddCheckpoint) -> bytes:
    """The request's bytes."""
    lines = [f"{_OLD}{request.old_size}", *map(encode_base64, request.proof), "", request.note]
    return "\n".join(lines).encode()


def read_request(data: bytes) -> AddCheckpoint:
    """The request in these bytes.

    Raises:
        BadMessage: they have another form; the note itself is not looked into.
    """
    if len(data) > MAX_REQUEST_BYTES:
        raise BadMessage(f"a request to a witness has at most {MAX_REQUEST_BYTES} bytes, not {len(data)}.")
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise BadMessage("a request to a witness is UTF-8 text.") from None
    head, separator, note = text.partition("\n\n")
    first, *hashes = head.split("\n")
    if not separator or not first.startswith(_OLD):
        raise BadMessage("a request to a witness is an old size, a proof, an empty line and a signed note.")
    if len(hashes) > MAX_PROOF_LINES:
        raise BadMessage(f"a consistency proof has at most {MAX_PROOF_LINES} lines, not {len(hashes)}.")
    try:
        proof = tuple(map(decode_base64, hashes))
    except BadProof:
        raise BadMessage("a line of the consistency proof is not base64.") from None
    if any(len(each) != HASH_BYTES for each in proof):
        raise BadMessage(f"a hash of the consistency proof has {HASH_BYTES} bytes.")
    return AddCheckpoint(_size(first.removeprefix(_OLD)), proof, note)


def _size(digits: str) -> int:
    plain = digits.isascii() and digits.isdecimal() and len(digits) <= len(str(MAX_SIZE))
    if not plain or str(int(digits)) != digits or int(digits) > MAX_SIZE:
        raise BadMessage("the old size is not a plain decimal number.")
    return int(digits)

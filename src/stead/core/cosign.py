"""Cosignatures: what a witness says of another's log head, in a line beside the head's own signature.

A witness signs a head once it has seen that the log only grew: "at this time, the largest head of this log that I have
seen is this one". The line holds the time with the signature:

    — <witness's name> <base64(key id || time || signature)>

with 4, 8 and 64 bytes, the time in whole seconds since the Unix epoch, big-endian. What is signed is the text

    cosignature/v1
    time <the same time, decimal>
    <the note's text, with its last newline>

The name of a stead as a witness follows from its key, so who knows the key knows whom to look for. The key is the
node's identity: no other text that it signs begins with ``cosignature/v1`` (heads begin with ``stead.log/``, everything
else with a zero byte).

References: C2SP tlog-cosignature (c2sp.org/tlog-cosignature), the Ed25519 form.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final

import msgspec

from stead.core.keys import SIGNATURE_BYTES, Key, PublicKey
from stead.core.notes import (
    ID_BYTES,
    MAX_NOTE_CHARS,
    Checkpoint,
    SignatureLine,
    open_checkpoint,
    read_signature_line,
    signature_line,
    split_note,
)
from stead.errors import BadProof, BadSignature, UsageError

MAX_TIME_S: Final = (1 << 63) - 1
"""The last second that a cosignature may name."""

_COSIGNATURE: Final = b"\x04"
_TIME_BYTES: Final = 8


class Cosignature(msgspec.Struct, frozen=True):
    """That a witness signed a head.

    Attributes:
        key: the witness's raw public key.
        time_s: when it says it did, seconds since the Unix epoch.
    """

    key: bytes
    time_s: int


def witness_name(node_key: bytes) -> str:
    """The name under which the node with this raw public key cosigns."""
    return f"stead.witness/{node_key.hex()}"


def witness_key_id(name: str, public_key: PublicKey) -> bytes:
    """The four bytes that stand before a cosignature: ``SHA-256(name || 0x0A || 0x04 || key)[:4]``."""
    return hashlib.sha256(name.encode() + b"\n" + _COSIGNATURE + public_key.raw).digest()[:ID_BYTES]


def cosign(text: str, *, name: str, key: Key, time_s: int) -> str:
    """The line by which ``key`` under ``name`` cosigns the head in ``text``, with its newline.

    Args:
        text: the text of the head's note, without signature lines, with its last newline.
        name: the witness's.
        key: the witness's.
        time_s: now, whole seconds since the Unix epoch.

    Raises:
        UsageError: a time that cannot be written, or a name that cannot be one.
    """
    if not 0 <= time_s <= MAX_TIME_S:
        raise UsageError(f"a cosignature's time is 0 to {MAX_TIME_S} seconds, not {time_s}.")
    signature = key.sign_text(_signed_text(text, time_s))
    return signature_line(name, witness_key_id(name, key.public) + time_s.to_bytes(_TIME_BYTES, "big") + signature)


def cosigned_at(note: str, *, name: str, public_key: PublicKey) -> int | None:
    """When the witness with this name and key signed the note; ``None`` where it has not.

    Lines of other names or key ids are passed over. Of several lines of this witness the latest time counts.

    Raises:
        BadProof: not a note, or a line of this witness does not verify.
    """
    text, lines = split_note(note)
    expected = witness_key_id(name, public_key)
    times = [_verify(text, line, public_key) for line in lines if (line.name, line.raw[:ID_BYTES]) == (name, expected)]
    return max(times, default=None)


def pick_line(note: str, answer: str, *, name: str, public_key: PublicKey) -> tuple[str, int]:
    """The witness's own line out of its answer to a request to sign ``note``, and the time in it.

    Args:
        note: the head that was sent, with the log's own signature.
        answer: signature lines, each ended by a newline; those by other names or key ids are passed over.
        name: the witness's.
        public_key: the witness's.

    Raises:
        BadProof: not signature lines, none by this witness, or one that does not verify over this head.
    """
    if not answer.endswith("\n") or len(answer) > MAX_NOTE_CHARS:
        raise BadProof("a witness's answer is signature lines.")
    text, _ = split_note(note)
    expected = witness_key_id(name, public_key)
    lines = [read_signature_line(line) for line in answer[:-1].split("\n")]
    own = [line for line in lines if (line.name, line.raw[:ID_BYTES]) == (name, expected)]
    if not own:
        raise BadProof(f"the answer holds no signature by witness {public_key.fingerprint()}.")
    return max(((signature_line(*line), _verify(text, line, public_key)) for line in own), key=lambda each: each[1])


def cosignatures(note: str, witnesses: Iterable[bytes]) -> tuple[Cosignature, ...]:
    """Which of these witnesses (raw public keys of steads) have signed a note, in their order, each once.

    That the log itself has signed it is not looked at: ``core.notes.open_checkpoint`` does.

    Raises:
        BadProof: not a note, or a line of one of them does not verify.
        BadMessage: one of the keys is none.
    """
    found = []
    for key in dict.fromkeys(witnesses):
        time_s = cosigned_at(note, name=witness_name(key), public_key=PublicKey(key))
        if time_s is not None:
            found.append(Cosignature(key, time_s))
    return tuple(found)


def other_signatures(note: str, origin: str, witnesses: Iterable[bytes] = ()) -> int:
    """How many signature lines stand beside the log's own and those of these witnesses; they are not verified.

    Raises:
        BadProof: not a note.
    """
    names = {origin, *map(witness_name, witnesses)}
    return sum(1 for line in split_note(note)[1] if line.name not in names)


def open_head(note: str, origin: str, public_key: PublicKey) -> tuple[Checkpoint, str]:
    """The checkpoint that a log has signed, and the note's whole text, which is what is cosigned.

    Raises:
        BadProof: not signed by that key, of another log, or not a checkpoint.
    """
    return open_checkpoint(note, origin, public_key), split_note(note)[0]


def own_note(note: str, origin: str) -> str:
    """The note with the signature lines of the log itself alone."""
    text, lines = split_note(note)
    return text + "\n" + "".join(signature_line(*line) for line in lines if line.name == origin)


def _verify(text: str, line: SignatureLine, public_key: PublicKey) -> int:
    """The time in a cosignature, once it verifies."""
    body = line.raw[ID_BYTES:]
    if len(body) != _TIME_BYTES + SIGNATURE_BYTES:
        raise BadProof("a witness's signature has the wrong length.")
    time_s = int.from_bytes(body[:_TIME_BYTES], "big")
    if time_s > MAX_TIME_S:
        raise BadProof("a witness's signature names a time that cannot be.")
    try:
        public_key.verify_text(_signed_text(text, time_s), body[_TIME_BYTES:])
    except BadSignature:
        raise BadProof(f"the signature of witness {public_key.fingerprint()} does not verify.") from None
    return time_s


def _signed_text(text: str, time_s: int) -> str:
    return f"cosignature/v1\ntime {time_s}\n{text}"

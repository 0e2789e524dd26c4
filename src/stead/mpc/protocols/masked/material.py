"""The dealer's material: what it hands to the online parties, stored for one run or sent while they run.

Party 1 gets a seed: everything dealt to it is keystream. Party 2 gets another seed for its masks, and the body: for
each dealt value the difference to party 1's keystream, in the order in which the verbs take them.

A file::

    magic   16 bytes       "stead masked v1" and a line feed
    length  8 bytes        of the header, little-endian
    header  canonical msgpack of ``Header``, filled with zeros to a multiple of 8
    body    ``Header.words`` ring elements, little-endian
    tag     16 bytes       GMAC over all of the above under a key made from the seed: finds damage, proves nothing
"""

from __future__ import annotations

import mmap
import os
import threading
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

import msgspec
import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from stead.core.codec import decode, encode
from stead.errors import BadMessage, UsageError
from stead.mpc.party import KEY_BYTES, Party, RingStream
from stead.mpc.shares import RingArray

MAGIC: Final = b"stead masked v1\n"
ID_BYTES: Final = 16
TAG_BYTES: Final = 16
DEALER, FIRST, SECOND = 0, 1, 2
_DOMAIN: Final = b"stead/mpc/masked/v1/"
_AT_ONCE: Final = 1 << 24
_USED: Final = ".used"


class Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What stands before the body.

    Attributes:
        id: the same in both parties' material.
        place: whose material it is: 1 or 2.
        names: all parties, by place.
        seed: of this party's keystreams.
        trace: the verbs and shapes it was prepared for, in order.
        words: ring elements in the body.
    """

    id: bytes
    place: int
    names: tuple[str, ...]
    seed: bytes
    trace: tuple[str, ...]
    words: int

    def __repr__(self) -> str:
        return f"Header(place={self.place}, steps={len(self.trace)}, seed=<redacted>)"


def derive(seed: bytes, purpose: bytes, identity: bytes, names: tuple[str, ...]) -> bytes:
    """The key for one purpose (``masks``, ``dealt``, ``tag``), bound to the material and the parties."""
    bound = b"\0".join((_DOMAIN + purpose, identity.hex().encode(), *(name.encode() for name in names)))
    return HKDF(hashes.SHA256(), KEY_BYTES, None, bound).derive(seed)


class Source(typing.Protocol):
    """Where an online party takes its parts of dealt values from."""

    def block(self, words: int) -> RingArray:
        """The next part, flat; writeable or not, the caller's own."""
        ...


class Sink(typing.Protocol):
    """Where the dealer puts party 2's parts."""

    def write(self, part: RingArray) -> None:
        """The next part, contiguous; it is not changed afterwards."""
        ...


class Keyed:
    """Party 1's source: its keystream."""

    def __init__(self, stream: RingStream) -> None:
        self._stream = stream

    def block(self, words: int) -> RingArray:
        """See ``Source``."""
        return self._stream.ring((words,))


class Stored:
    """Party 2's source: a body that is all there."""

    def __init__(self, body: list[RingArray]) -> None:
        self._body: Iterator[RingArray] = iter(body)
        self._rest = np.empty(0, dtype=np.uint64)

    def block(self, words: int) -> RingArray:
        """See ``Source``."""
        if not len(self._rest) and words:
            self._rest = next(self._body, self._rest)
        if words > len(self._rest):
            raise UsageError("this run takes more than was prepared.", hint="prepare the computation that is run")
        part, self._rest = self._rest[:words], self._rest[words:]
        return part


class Received:
    """Party 2's source while the dealer runs too: one message for each part."""

    def __init__(self, party: Party) -> None:
        self._party = party

    def block(self, words: int) -> RingArray:
        """See ``Source``."""
        return self._party.exchange({}, {DEALER: ((words,),)})[DEALER][0]


class Kept:
    """The dealer's sink of a preparation: in memory, in order."""

    def __init__(self) -> None:
        self.body: list[RingArray] = []

    def write(self, part: RingArray) -> None:
        """See ``Sink``."""
        if part.size:
            self.body.append(part.reshape(-1).view(np.uint64))


class Sent:
    """The dealer's sink while the others run: a message to party 2 for each part; the channel holds it back."""

    def __init__(self, party: Party) -> None:
        self._party = party

    def write(self, part: RingArray) -> None:
        """See ``Sink``."""
        self._party.exchange({SECOND: (part.reshape(-1).view(np.uint64),)}, {})


@dataclass(frozen=True, repr=False, eq=False)
class Material:
    """What one online party computes with, once.

    Attributes:
        id: the same at both.
        masks: this party's keystream of masks, shared with the dealer.
        dealt: its parts of dealt values.
        trace: the verbs it was prepared for; ``None`` where the dealer runs along.
    """

    id: bytes
    masks: RingStream
    dealt: Source
    trace: tuple[str, ...] | None

    def __repr__(self) -> str:
        return "Material(<redacted>)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("material cannot be pickled")


class Preprocessing:
    """One online party's material for one run: in memory, or a file that is used up by the run.

    A file is claimed by renaming it before anything of it is used, so that of several processes one gets it, and it is
    not there after a crash either; it is deleted as soon as it is mapped. A copy of a file cannot be told from the
    original: using one twice shows the other online party differences of secrets, so keep none.

    Security:
        Holds the party's masks: whoever reads both parties' material, or one party's and its view of a run, learns
        everything. Mode 0600. It is for the very lines that it was prepared with: verbs, shapes and windows are
        checked, the rows and multiples that are taken between verbs are not, and others than were prepared give results
        that are wrong and may tell more of the inputs than the right ones.
    """

    def __init__(self, header: Header, body: list[RingArray], path: Path | None = None) -> None:
        self._header, self._body, self._path = header, body, path
        self._lock, self._used = threading.Lock(), ""

    @property
    def id(self) -> bytes:
        """The same at both online parties."""
        return self._header.id

    @property
    def place(self) -> int:
        """Whose it is: 1 or 2."""
        return self._header.place

    @property
    def names(self) -> tuple[str, ...]:
        """All parties, by place."""
        return self._header.names

    @property
    def trace(self) -> tuple[str, ...]:
        """The verbs it was prepared for."""
        return self._header.trace

    @property
    def size_bytes(self) -> int:
        """Of the body: what the dealer sends besides the seed."""
        return 8 * self._header.words

    def write(self, path: Path | str) -> None:
        """Move it to a new file; this object is used up.

        Raises:
            UsageError: it is used, or lies in a file; the file exists or cannot be made, and nothing is used up; or it
                could not be written to its end.
        """
        self._check_memory()
        self._use(f"written to {path}")
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as error:
            self._used = ""  # nobody has got any of it
            if isinstance(error, FileExistsError):
                raise UsageError(f"{path} exists.", hint="material is written once; choose another name") from None
            raise UsageError(f"{path} cannot be written: {error.strerror}.") from None
        try:
            self._write(descriptor)
            _sync(Path(path).parent)
        except OSError as error:
            Path(path).unlink(missing_ok=True)
            raise UsageError(f"{path} cannot be written: {error.strerror}.", hint="prepare again") from None
        self._body = []

    def _write(self, descriptor: int) -> None:
        with os.fdopen(descriptor, "wb") as file:
            tag = _tagger(self._header)
            parts: list[bytes | memoryview] = [
                _preamble(self._header),
                *(part.data.cast("B") for part in self._body if part.size),
            ]
            for part in parts:
                tag.authenticate_additional_data(part)
                file.write(part)
            tag.finalize()
            file.write(tag.tag)
            file.flush()
            os.fsync(file.fileno())

    def _check_memory(self) -> None:
        if self._path is not None:
            raise UsageError(f"this material lies in {self._path}.", hint="hand over the file")

    def release(self) -> tuple[Header, list[RingArray]]:
        """Header and body, to be sent to whose it is; this object is used up.

        Raises:
            UsageError: it is used, or lies in a file.
        """
        self._check_memory()
        self._use("sent")
        body, self._body = self._body, []
        return self._header, body

    @classmethod
    def received(cls, header: Header, body: memoryview) -> Preprocessing:
        """What ``release`` gave, after its way over a sealed channel.

        Raises:
            BadMessage: the header is no material's, or the body is not what it says.
        """
        if not _sound(header) or len(body) != 8 * header.words:
            raise BadMessage(f"material of {len(body):,} bytes with a header that does not fit it.")
        return cls(header, [np.frombuffer(body, dtype="<u8") if header.words else np.empty(0, np.uint64)])

    @classmethod
    def open(cls, path: Path | str) -> Preprocessing:
        """Read a file's header. The file stays until it is used.

        Raises:
            UsageError: there is no such file: it was used, or never written.
            BadMessage: it is no material of this version, or damaged.
        """
        try:
            with Path(path).open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                data = file.read(min(size, len(MAGIC) + 8))
                data += file.read(max(0, min(_length(data), size - len(data))))
                header = _parse(data, size)
        except FileNotFoundError:
            raise _gone(path) from None
        except OSError as error:
            raise UsageError(f"{path} cannot be read: {error.strerror}.") from None
        return cls(header, [], Path(path))

    def claim(self) -> Material:
        """Take it, for the one run it is for.

        Raises:
            UsageError: it was taken before, here or by another process.
            BadMessage: the file is damaged.
        """
        self._use("used in a run")
        body = self._body if self._path is None else self._claim_file(self._path)
        self._body = []
        head = self._header
        source: Source = Stored(body)
        if head.place == FIRST:
            source = Keyed(RingStream(derive(head.seed, b"dealt", head.id, head.names)))
        return Material(head.id, RingStream(derive(head.seed, b"masks", head.id, head.names)), source, head.trace)

    def _use(self, how: str) -> None:
        with self._lock:
            if self._used:
                raise UsageError(f"this material was {self._used}: it is for one run.", hint="prepare again")
            self._used = how

    def _claim_file(self, path: Path) -> list[RingArray]:
        taken = path.with_name(path.name + _USED)
        try:
            path.rename(taken)
        except FileNotFoundError:
            raise _gone(path) from None
        except OSError as error:
            raise UsageError(
                f"{path} cannot be claimed: {error.strerror}.", hint="it is used up: its folder must be writable"
            ) from None
        _sync(path.parent)
        try:
            with taken.open("rb") as file:
                view = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        finally:
            taken.unlink()
            _sync(path.parent)  # so that a loss of power does not bring the masks back
        return [_checked(view, self._header)]

    def __repr__(self) -> str:
        name = self.names[self.place]
        return f"Preprocessing({name!r}, {len(self.trace)} steps, {self.size_bytes:,} bytes, <redacted>)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("material cannot be pickled")


def parse(data: bytes) -> Header:
    """A whole file's header, everything checked.

    Raises:
        BadMessage: it is no material of this version, or damaged.
    """
    header = _parse(data, len(data))
    _checked(data, header)
    return header


def _length(start: bytes) -> int:
    """Of the header with its padding."""
    if len(start) < len(MAGIC) + 8 or start[: len(MAGIC)] != MAGIC:
        raise BadMessage("these bytes are no material of this version of masked sharing.")
    return -(-int.from_bytes(start[len(MAGIC) : len(MAGIC) + 8], "little") // 8) * 8


def _parse(data: bytes, size: int) -> Header:
    start, padded = len(MAGIC) + 8, _length(data)
    length = int.from_bytes(data[len(MAGIC) : start], "little")
    if len(data) < start + padded or any(data[start + length : start + padded]):
        raise BadMessage("this material ends before its header does, or is damaged.")
    header = decode(data[start : start + length], Header)
    if not _sound(header) or size != start + padded + 8 * header.words + TAG_BYTES:
        raise BadMessage(f"this material is {size:,} bytes long, which is not what its header says, or it is damaged.")
    return header


def _sound(header: Header) -> bool:
    return (
        len(header.id) == ID_BYTES
        and len(header.seed) == KEY_BYTES
        and header.place in {FIRST, SECOND}
        and len(header.names) == 3
        and header.words >= 0
        and (header.place == SECOND or header.words == 0)
    )


def _preamble(header: Header) -> bytes:
    data = encode(header)
    return MAGIC + len(data).to_bytes(8, "little") + data + bytes(-len(data) % 8)


def _tagger(header: Header) -> typing.Any:
    key = derive(header.seed, b"tag", header.id, header.names)
    return Cipher(algorithms.AES(key), modes.GCM(bytes(12))).encryptor()


def _checked(data: bytes | mmap.mmap, header: Header) -> RingArray:
    """The body, if the file is as it was written."""
    start = len(_preamble(header))
    end = start + 8 * header.words
    key = derive(header.seed, b"tag", header.id, header.names)
    if len(data) != end + TAG_BYTES or data[:start] != _preamble(header):
        raise BadMessage("this material is not what it was when it was opened.")
    check = Cipher(algorithms.AES(key), modes.GCM(bytes(12), data[end:])).decryptor()
    view = memoryview(data)
    for at in range(0, end, _AT_ONCE):
        check.authenticate_additional_data(view[at : min(at + _AT_ONCE, end)])
    try:
        check.finalize()
    except InvalidTag:
        raise BadMessage("this material is damaged: its checksum does not fit.", hint="prepare again") from None
    return np.frombuffer(data, dtype="<u8", count=header.words, offset=start)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _gone(path: Path | str) -> UsageError:
    return UsageError(f"{path} is not there: it has been used, or was never written.", hint="prepare again")

"""A node's home: the directory that holds everything a node is, and its settings.

::

    stead.toml        the settings; each can be overridden by STEAD_<NAME> in the environment
    node.key          the identity, Ed25519, readable by its owner alone
    person.secret     32 bytes that the identities of people are hashed under, readable by its owner alone
    store.db          ledger, log, requests (or a PostgreSQL URL in the settings)
    checkpoint.txt    the last signed head of the log; an older store beside it is refused
    data/             one database file for each dataset
    tls/              certificates made by the identity
    serve.lock        held by the process that serves
    node.log          what the node says of itself while it runs; never a value
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, Literal, final

import msgspec

from stead.core.entropy import Entropy
from stead.core.keys import Key, read_private, write_private
from stead.errors import UsageError
from stead.node.services.person_keys import SECRET_BYTES
from stead.node.toml import read_toml

_PREFIX: Final = "STEAD_"
_RARE: Final = ("testing", "witness_required")
_HOST: Final = re.compile(r"[A-Za-z0-9._:-]{1,253}")


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an operator can set.

    Attributes:
        name: what people call this node; public.
        bind: the address to listen on.
        port: the port to listen on.
        hosts: the names and addresses under which others reach it; they stand in its certificate.
        store: the database's URL; empty for ``store.db`` in the home.
        threads: the most threads that one question or training step uses.
        memory_mb: the most memory that one question may use.
        testing: a node of ``stead.testing``; its log says so and it may be seeded. Never for real rows.
        sampler: who draws the noise of one site's answers: ``stead``, or ``opendp`` (an extra; slower).
        witness_required: do not serve unless there is a witness and every witness has answered at the start.
    """

    name: str
    bind: str = "127.0.0.1"
    port: int = 8440
    hosts: tuple[str, ...] = ("localhost", "127.0.0.1")
    store: str = ""
    threads: int = 2
    memory_mb: int = 2048
    testing: bool = False
    witness_required: bool = False
    sampler: Literal["stead", "opendp"] = "stead"

    def __post_init__(self) -> None:
        if not self.name or len(self.name) > 100 or not self.name.isprintable():
            raise UsageError("a node's name is 1 to 100 printable characters.")
        if not 0 <= self.port <= 65535:
            raise UsageError(f"port is 0 to 65535, not {self.port}.")
        if self.threads < 1 or self.memory_mb < 64:
            raise UsageError("threads is at least 1 and memory_mb at least 64.")
        if not self.hosts or not all(map(_HOST.fullmatch, self.hosts)):
            raise UsageError("hosts are names or addresses, at least one, without port.", hint="stead.hospital.example")
        if self.store and "://" not in self.store:
            raise UsageError("store is the URL of a database.", hint="postgresql://stead@db.hospital.example/stead")


@final
class Home:
    """A node's directory, opened: where things are, the settings and the key."""

    def __init__(self, path: Path, settings: Settings, key: Key) -> None:
        self.path = path
        self.settings = settings
        self.key = key

    def __repr__(self) -> str:
        return f"Home({self.settings.name!r})"

    @property
    def store_url(self) -> str:
        """Where the node's database is."""
        return self.settings.store or f"sqlite:///{self.path / 'store.db'}"

    @property
    def checkpoint(self) -> Path:
        """The file with the last signed head of the log."""
        return self.path / "checkpoint.txt"

    @property
    def data(self) -> Path:
        """The directory of the datasets' files."""
        return self.path / "data"

    @property
    def tls(self) -> Path:
        """The directory of the certificates."""
        return self.path / "tls"

    @property
    def journal(self) -> Path:
        """The file the node writes its own log lines to."""
        return self.path / "node.log"

    def person_secret(self, entropy: Entropy) -> bytes:
        """The 32 bytes that identities are hashed under in all datasets of this node; made when there are none yet.

        Raises:
            UsageError: the file cannot be read or written, is open to others, or holds something else.
        """
        path = self.path / "person.secret"
        if not path.exists():
            _make_secret(path, entropy)
        secret = read_private(path)
        if len(secret) != SECRET_BYTES:
            raise UsageError(
                f"{path} holds {len(secret)} bytes, not {SECRET_BYTES}.", hint="restore it from the node's backup"
            )
        return secret

    def discard(self) -> None:
        """Take away a home that was just made and never held anything."""
        for part in (*self.path.iterdir(),):
            if part.is_dir():
                part.rmdir()
            else:
                part.unlink()
        self.path.rmdir()

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Serve as the only process that does; commands that do not serve are not kept away.

        Open sessions live in one process's memory, and a process that starts ends those that it finds in the store: a
        second one would end the first one's.

        Raises:
            UsageError: another process serves this node; names it.
        """
        descriptor = os.open(self.path / "serve.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                other = os.read(descriptor, 20).decode("ascii", "replace").strip() or "unknown"
                raise UsageError(
                    f"this node is being served already, by process {other}.", hint=f"stop it first: kill {other}"
                ) from None
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
            yield
        finally:
            os.close(descriptor)

    @classmethod
    def create(cls, path: Path, settings: Settings, entropy: Entropy) -> Home:
        """Make the directory, the key and the settings file.

        Raises:
            UsageError: there is a node already, or the directory holds something else.
        """
        try:
            if path.exists() and any(path.iterdir()):
                what = "there is a node already" if (path / "stead.toml").exists() else "the directory is not empty"
                raise UsageError(f"{what}: {path}", hint="choose another directory")
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.chmod(0o700)
            for part in ("data", "tls"):
                (path / part).mkdir(mode=0o700)
        except OSError as error:
            raise UsageError(f"{path} cannot be made: {error.strerror}.") from None
        key = Key.generate(entropy)
        key.save(path / "node.key")
        _make_secret(path / "person.secret", entropy)
        write_private(path / "stead.toml", _to_toml(settings).encode())  # a store's URL may hold a password
        return cls(path, settings, key)

    @classmethod
    def open(cls, path: Path) -> Home:
        """Open a node's directory; ``STEAD_<NAME>`` in the environment wins over the file.

        Raises:
            UsageError: no node there, an unknown setting, a value of the wrong kind.
        """
        file = path / "stead.toml"
        if not file.is_file():
            raise UsageError(f"no node at {path}.", hint="`stead init DIRECTORY --name NAME` makes one")
        try:
            text = file.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            raise UsageError(f"{file} is not UTF-8 text.") from None
        except OSError as error:
            raise UsageError(f"{file} cannot be read: {error.strerror}.") from None
        settings = read_toml(text, Settings, str(file), overriding=_from_environment())
        return cls(path, settings, Key.load(path / "node.key"))


def _make_secret(path: Path, entropy: Entropy) -> None:
    """Make the file whole or not at all; of two processes that make it at once, the first one's stays."""
    partial = path.with_name(f"{path.name}.{entropy.take(8).hex()}")
    write_private(partial, entropy.take(SECRET_BYTES))
    try:
        with suppress(FileExistsError):
            os.link(partial, path)
    finally:
        partial.unlink()


def _from_environment() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in Settings.__struct_fields__:
        text = os.environ.get(f"{_PREFIX}{name.upper()}")
        if text is not None and name != "testing":
            found[name] = tuple(text.split(",")) if name == "hosts" else text
    return found


def _to_toml(settings: Settings) -> str:
    lines = ["# The settings of this node; docs/reference/settings.md says what each one means."]
    for name in Settings.__struct_fields__:
        value = getattr(settings, name)
        if isinstance(value, str):
            text = msgspec.json.encode(value).decode()
        elif isinstance(value, bool):
            text = str(value).lower()
        elif isinstance(value, tuple):
            text = msgspec.json.encode(value).decode()
        else:
            text = str(value)
        if name not in _RARE or value:
            lines.append(f"{name} = {text}")
    return "\n".join(lines) + "\n"

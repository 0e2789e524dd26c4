"""What the owner's commands have in common: which node, opened and closed again."""

from __future__ import annotations

import getpass
import os
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click

from stead.cli.style import say
from stead.errors import NodeError, UsageError

if TYPE_CHECKING:
    from stead.node.assembly import Node

Command = TypeVar("Command", bound=Callable[..., Any])


def node_option(command: Command) -> Command:
    """Add ``--node``, the node's directory, to a command."""
    return click.option(
        "--node",
        type=click.Path(path_type=Path, file_okay=False),
        envvar="STEAD_NODE",
        default="stead-node",
        show_default=True,
        help="The node's directory.",
    )(command)


@contextmanager
def opened(path: Path) -> Iterator[Node]:
    """The node at ``path``, for one command of its owner; it may be serving meanwhile.

    Raises:
        NodeError: the node's database is damaged; the driver's own text is left out, for it may quote a value.
    """
    from sqlalchemy.exc import DBAPIError

    from stead.node.assembly import open_node
    from stead.node.home import Home

    node = open_node(Home.open(path))
    try:
        yield node
    except DBAPIError as error:
        raise NodeError(
            f"the node's database failed ({type(error.orig).__name__}): it is damaged, or cannot be reached.",
            hint="stop the node and keep its directory; docs/guides/operator.md says what may be restored",
        ) from None
    finally:
        node.close()


def next_step(command: str, node: Path) -> None:
    """Say which command is useful now, as it must be typed for this node."""
    say(f"next: {command}" + ("" if node == default_path() else f" --node {shlex.quote(str(node))}"))


def default_path() -> Path:
    """Where a node lives when nobody says: ``$STEAD_NODE``, else ``./stead-node``."""
    return Path(os.environ.get("STEAD_NODE") or "stead-node")


def login_name() -> str:
    """Who sits here, as the system knows them; empty where it does not."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""


def trusted_keys(node: Node, who: str, role: Literal["scientist", "site"]) -> tuple[bytes, ...]:
    """The keys in force of a name, or the one key given as 64 digits.

    Raises:
        UsageError: nobody of this role has them.
    """
    people = [each for each in node.books.people.all() if each.role == role and not each.revoked]
    keys = {each.key for each in people if who in (each.name, each.key.hex())}
    if not keys:
        what, noun = ("peer", "peers") if role == "site" else ("scientist", "people")
        raise UsageError(f"no {what} {who[:80]!r} is trusted here.", hint=f"`stead {noun} ls` lists names and keys")
    return tuple(sorted(keys))


def public_key(text: str) -> bytes:
    """A public key as people pass it on: 64 hexadecimal digits.

    Raises:
        UsageError: it is not one.
    """
    from stead.core.keys import KEY_BYTES, PublicKey
    from stead.errors import SteadError

    try:
        raw = bytes.fromhex(text)
    except ValueError:
        raw = b""
    if len(raw) != KEY_BYTES:
        raise UsageError(
            "a public key is 64 hexadecimal digits.",
            hint="`stead keys show` prints a scientist's, `stead keys node` a node's",
        )
    try:
        return PublicKey(raw).raw
    except SteadError:
        raise UsageError("these 64 digits are no usable Ed25519 public key.") from None


def fingerprint(raw: bytes) -> str:
    """A key in groups, as people compare it by telephone."""
    from stead.core.keys import PublicKey

    return PublicKey(raw).fingerprint()


def count(number: int, noun: str) -> str:
    """``1 entry``, ``2 entries``: a number with what it counts."""
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{number:,} {noun if number == 1 else plural}"


def when(seconds: float) -> str:
    """A moment, for people: ``2026-11-23 07:00 UTC``."""
    from datetime import UTC, datetime

    return datetime.fromtimestamp(seconds, tz=UTC).strftime("%Y-%m-%d %H:%M UTC")

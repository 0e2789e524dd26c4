"""What the owner's commands have in common: which node, opened and closed again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from stead.errors import UsageError

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
    """The node at ``path``, for one command of its owner; it may be serving meanwhile."""
    from stead.node.assembly import open_node
    from stead.node.home import Home

    node = open_node(Home.open(path))
    try:
        yield node
    finally:
        node.close()


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
        raise UsageError("a public key is 64 hexadecimal digits.", hint="`stead keys show` prints a scientist's")
    try:
        return PublicKey(raw).raw
    except SteadError:
        raise UsageError("these 64 digits are no Ed25519 public key.") from None


def fingerprint(raw: bytes) -> str:
    """A key in groups, as people compare it by telephone."""
    from stead.core.keys import PublicKey

    return PublicKey(raw).fingerprint()


def when(seconds: float) -> str:
    """A moment, for people: ``2026-11-23 07:00 UTC``."""
    from datetime import UTC, datetime

    return datetime.fromtimestamp(seconds, tz=UTC).strftime("%Y-%m-%d %H:%M UTC")

"""Who the scientist is: one Ed25519 key in the scientist's own directory, made by ``stead keys new``."""

from __future__ import annotations

import os
from pathlib import Path

from stead.core.entropy import Entropy, SystemEntropy
from stead.core.keys import Key
from stead.errors import UsageError


def home_directory(home: str | Path | None = None) -> Path:
    """Where a scientist's key, known nodes and pending requests are kept.

    Args:
        home: an explicit directory; else ``$STEAD_HOME``, else ``$XDG_CONFIG_HOME/stead``, else ``~/.config/stead``.
    """
    if home is not None:
        return Path(home)
    if os.environ.get("STEAD_HOME"):
        return Path(os.environ["STEAD_HOME"])
    configured = os.environ.get("XDG_CONFIG_HOME")
    return (Path(configured) if configured else Path.home() / ".config") / "stead"


def key_path(home: str | Path | None = None) -> Path:
    """The file of the scientist's key."""
    return home_directory(home) / "key.pem"


def new_key(home: str | Path | None = None, *, entropy: Entropy | None = None) -> Key:
    """Make the scientist's key and save it, readable by its owner alone.

    Raises:
        UsageError: there is a key already; it is never overwritten.
    """
    path = key_path(home)
    if path.exists():
        raise UsageError(
            f"there is a key already: {path}",
            hint="`stead keys show` prints it; move the file away to make a new one (owners must enrol that again)",
        )
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = Key.generate(entropy or SystemEntropy())
    key.save(path)
    return key


def load_key(home: str | Path | None = None) -> Key:
    """The scientist's key.

    Raises:
        UsageError: there is none yet.
    """
    path = key_path(home)
    if not path.exists():
        raise UsageError(f"no key of yours at {path}.", hint="`stead keys new` makes one")
    return Key.load(path)


def public_text(public_key: bytes) -> str:
    """A public key as people pass it on: 64 hex digits."""
    return public_key.hex()


def enrol_command(public_key: bytes, project: str | None) -> str:
    """What the owner types to enrol this scientist."""
    return f"stead people add NAME {public_text(public_key)} --project {project or 'PROJECT'}"

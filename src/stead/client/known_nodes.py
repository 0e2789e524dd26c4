"""The nodes this scientist knows: the key each address showed first, kept in one small JSON file per address."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from stead.client.files import write_file
from stead.core.keys import PublicKey
from stead.errors import BadMessage, KeyChanged


class KnownNode(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """An address and the key pinned to it.

    Attributes:
        url: the address as it was given to ``connect``, without a trailing slash.
        name: what the node calls itself.
        key: its raw Ed25519 public key, in hex.
        fingerprint: the same key as people compare it.
        first_seen: when it was pinned, in seconds since the Unix epoch.
        witnesses: the keys of the witnesses whose signatures under its log are checked, in hex.
    """

    url: str
    name: str
    key: str
    fingerprint: str
    first_seen: float
    witnesses: tuple[str, ...] = ()

    @property
    def public_key(self) -> bytes:
        """The raw key."""
        return bytes.fromhex(self.key)

    @property
    def witness_keys(self) -> tuple[bytes, ...]:
        """The raw keys of the witnesses."""
        return tuple(map(bytes.fromhex, self.witnesses))


class KnownNodes:
    """The store of pinned keys under a scientist's home directory."""

    def __init__(self, home: Path) -> None:
        self._directory = home / "known_nodes"

    def get(self, url: str) -> KnownNode | None:
        """The node pinned at this address, if any."""
        path = self._path(url)
        return _load(path) if path.exists() else None

    def all(self) -> tuple[KnownNode, ...]:
        """All pinned nodes, by address."""
        found = [_load(path) for path in sorted(self._directory.glob("*.json"))]
        return tuple(sorted(found, key=lambda node: node.url))

    def pin(self, node: KnownNode) -> KnownNode:
        """Pin a node's key at first contact; afterwards check that it is still the same.

        Returns:
            The pinned node.

        Raises:
            KeyChanged: another key is pinned at this address.
        """
        known = self.get(node.url)
        if known is None:
            self._write(node)
            return node
        if known.key != node.key:
            raise KeyChanged(
                f"{node.url} shows the key {node.fingerprint}; {known.fingerprint} was pinned at first contact.",
                hint=f"ask the owner by another channel; if the new key is right, remove {self._path(node.url)}",
            )
        return known

    def name_witnesses(self, url: str, keys: tuple[bytes, ...]) -> None:
        """Keep which witnesses' signatures are checked of the node that is pinned at this address."""
        known = self.get(url)
        if known is not None and known.witness_keys != keys:
            self._write(msgspec.structs.replace(known, witnesses=tuple(key.hex() for key in keys)))

    def forget(self, url: str) -> None:
        """Forget an address; the next contact pins anew."""
        self._path(url).unlink(missing_ok=True)

    def _write(self, node: KnownNode) -> None:
        write_file(self._path(node.url), msgspec.json.format(msgspec.json.encode(node)) + b"\n")

    def _path(self, url: str) -> Path:
        return self._directory / (hashlib.sha256(url.encode()).hexdigest()[:24] + ".json")


def fingerprint(public_key: bytes) -> str:
    """A key as people compare it."""
    return PublicKey(public_key).fingerprint()


def _load(path: Path) -> KnownNode:
    try:
        return msgspec.json.decode(path.read_bytes(), type=KnownNode)
    except msgspec.MsgspecError:
        raise BadMessage(
            f"{path} is not a known-nodes file of stead.", hint="restore it, or remove it to pin anew"
        ) from None

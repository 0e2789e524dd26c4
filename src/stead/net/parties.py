"""``parties.toml``: who takes part in joint computations, in which order, where they are, and by which keys.

::

    [[party]]
    name = "north"
    address = "north.example:7301"
    key = "5ee1...": 64 hexadecimal digits, made by `stead mpc keys north`

A party may be vouched for by its node: with ``identity`` (the node's public key) and ``signature`` its key is checked
when the file is read; with ``identity`` alone, the key and its signature are sent in the handshake.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from stead.core.codec import digest, encode
from stead.core.keys import SIGNATURE_BYTES, Key, PublicKey
from stead.errors import SteadError, UsageError
from stead.net.noise import KEY_BYTES, StaticKey

SIGNING_DOMAIN: Final = "stead.party-key"
MAX_PARTIES: Final = 64
MAX_FILE_BYTES: Final = 1 << 16

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_ADDRESS: Final = re.compile(r"(?:\[([0-9A-Fa-f:.]{2,45})\]|([A-Za-z0-9._-]{1,253})):([0-9]{1,5})")
_KEYS: Final = ("name", "address", "key", "identity", "signature", "listen")
_HEADING: Final = re.compile(r"^[ \t]*\[\[[ \t]*party[ \t]*\]\]", re.MULTILINE)


class Party(msgspec.Struct, frozen=True, kw_only=True):
    """One party.

    Attributes:
        name: letters, digits, ``-`` and ``_``.
        host, port: where the parties after it in the order connect to.
        key: its public X25519 key; empty when the handshake shows it, signed by ``identity``.
        identity: the public Ed25519 key of its node; empty when ``key`` alone says who it is.
        listen: where it listens itself, host and port, when that is another place than the others see.
    """

    name: str
    host: str
    port: int
    key: bytes = b""
    identity: bytes = b""
    listen: tuple[str, int] | None = None

    @property
    def address(self) -> str:
        """``host:port``."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True)
class VouchedKey:
    """A party's own key, with its identity's word for it where others know the identity only."""

    key: StaticKey
    signature: bytes = b""


class Parties(msgspec.Struct, frozen=True):
    """The parties in their order, which is the same at each of them."""

    members: tuple[Party, ...]

    def __post_init__(self) -> None:
        names, keys = [party.name for party in self.members], [party.key for party in self.members if party.key]
        if not 2 <= len(names) <= MAX_PARTIES:
            raise UsageError(f"there are 2 to {MAX_PARTIES} parties, not {len(names)}.")
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise UsageError(f"two parties are called {twice!r}.")
        if len(set(keys)) != len(keys):
            raise UsageError("two parties have the same key.", hint="each makes its own with `stead mpc keys NAME`")
        if blank := next((party.name for party in self.members if not party.key and not party.identity), None):
            raise UsageError(f"{blank!r} has neither a key nor an identity.")

    @property
    def names(self) -> tuple[str, ...]:
        """The names, in order."""
        return tuple(party.name for party in self.members)

    def place(self, name: str) -> int:
        """The place of a party in the order, from 0.

        Raises:
            UsageError: no such party.
        """
        if name not in self.names:
            raise UsageError(f"there is no party {name[:64]!r}.", hint="parties: " + ", ".join(self.names))
        return self.names.index(name)

    def __getitem__(self, name: str) -> Party:
        return self.members[self.place(name)]

    def digest(self, session: bytes) -> bytes:
        """32 bytes that are equal where the session and the names in their order are."""
        return digest("stead.parties", encode((session, self.names)))


def sign_party_key(identity: Key, name: str, public: bytes) -> bytes:
    """A node's word that ``public`` is the key of its party ``name``."""
    return identity.sign(SIGNING_DOMAIN, _named_key(name, public))


def verify_party_key(identity: bytes, name: str, public: bytes, signature: bytes) -> None:
    """Return if the node with this identity has signed ``public`` as the key of its party ``name``.

    Raises:
        BadSignature: it has not.
        BadMessage: the identity is no key.
    """
    PublicKey(identity).verify(SIGNING_DOMAIN, _named_key(name, public), signature)


def read_parties(text: str) -> Parties:
    """The parties that a TOML text describes.

    Raises:
        UsageError: not TOML, or not the text of such a file; names the line.
        BadSignature: an identity has not signed the key beside it.
    """
    if len(text) > MAX_FILE_BYTES:
        raise UsageError(f"a file of parties has up to {MAX_FILE_BYTES} characters.")
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"the file of parties is not TOML: {error}.") from None
    except (ValueError, RecursionError):  # a number of thousands of digits, thousands of brackets
        raise UsageError("the file of parties holds a value that no such file has.") from None
    if unknown := next((name for name in values if name != "party"), None):
        raise UsageError(f"the file of parties: there is no key {unknown[:40]!r}.", hint="it holds [[party]] tables")
    tables = values.get("party", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise UsageError("the file of parties: each party is a table.", hint="write [[party]], with two brackets")
    lines = [text.count("\n", 0, found.start()) + 1 for found in _HEADING.finditer(text)]
    known = lines if len(lines) == len(tables) else [0] * len(tables)
    return Parties(tuple(_party(table, line) for table, line in zip(tables, known, strict=True)))


def entry(party: Party, signature: bytes = b"") -> str:
    """The lines of a party in ``parties.toml``."""
    lines = ["[[party]]", f'name = "{party.name}"', f'address = "{party.address}"', f'key = "{party.key.hex()}"']
    if party.identity:
        lines += [f'identity = "{party.identity.hex()}"', f'signature = "{signature.hex()}"']
    return "\n".join(lines) + "\n"


def read_address(text: str) -> tuple[str, int]:
    """Host and port of ``host:port``; an IPv6 address stands in brackets.

    Raises:
        UsageError: of another form.
    """
    found = _ADDRESS.fullmatch(text)
    if not found or not 1 <= int(found[3]) <= 65535:
        raise UsageError(f"an address is host:port; got {text[:80]!r}.")
    return found[1] or found[2], int(found[3])


def check_name(name: str) -> str:
    """``name``, if it can be that of a party.

    Raises:
        UsageError: it cannot.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(f"a party's name has 1 to 64 letters, digits, - and _; got {name[:80]!r}.")
    return name


def _party(table: dict[str, Any], line: int) -> Party:
    place = f"the file of parties, [[party]] on line {line}" if line else "the file of parties"
    try:
        if unknown := next((key for key in table if key not in _KEYS), None):
            raise UsageError(f"there is no key {unknown[:40]!r}.", hint="keys: " + ", ".join(_KEYS))
        if wrong := next((key for key, value in table.items() if not isinstance(value, str)), None):
            raise UsageError(f"{wrong} is a text in quotes.")
        if missing := next((key for key in ("name", "address") if key not in table), None):
            raise UsageError(f"the key {missing!r} is missing.")
        host, port = read_address(table["address"])
        party = Party(
            name=check_name(table["name"]),
            host=host,
            port=port,
            key=_hexadecimal(table, "key", KEY_BYTES),
            identity=_hexadecimal(table, "identity", KEY_BYTES),
            listen=read_address(table["listen"]) if "listen" in table else None,
        )
        signature = _hexadecimal(table, "signature", SIGNATURE_BYTES)
        if signature and not (party.key and party.identity):
            raise UsageError("a signature stands beside the key and the identity that it is of.")
        if party.key and party.identity:
            verify_party_key(party.identity, party.name, party.key, signature)
    except SteadError as error:
        raise type(error)(f"{place}: {error.what}", hint=error.hint) from None
    return party


def _hexadecimal(table: dict[str, Any], name: str, size_bytes: int) -> bytes:
    """The bytes of an optional key; none when it is not there."""
    if name not in table:
        return b""
    text = table[name]
    if not re.fullmatch(rf"[0-9a-f]{{{2 * size_bytes}}}", text):
        raise UsageError(f"{name} has {2 * size_bytes} hexadecimal digits in lower case; got {len(text)} characters.")
    return bytes.fromhex(text)


def _named_key(name: str, public: bytes) -> bytes:
    return encode((name, public))

"""``Stead`` and ``connect``: the door to one node."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from stead.client import render
from stead.client.dataset import RemoteDataset
from stead.client.identity import enrol_command, home_directory, load_key
from stead.client.known_nodes import KnownNode, KnownNodes, fingerprint
from stead.client.pending import Pending
from stead.client.preview import budget_text, tightest_account
from stead.client.records import Records
from stead.client.seen_log import LogState
from stead.client.site import Scientist, Site
from stead.client.transport import Transport, fetch_identity
from stead.core.keys import KEY_BYTES, Key, PublicKey
from stead.errors import BadSignature, KeyChanged, PolicyDenied, UsageError

LONGEST_ROUND_S = 3600.0

_KEY = re.compile(r"[0-9a-f]{64}")


class Datasets(Mapping[str, RemoteDataset]):
    """The datasets that a node shows to this project, by name."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def __getitem__(self, name: str) -> RemoteDataset:
        return RemoteDataset(self._site, name)

    def __contains__(self, name: object) -> bool:
        return name in self._site.datasets

    def __iter__(self) -> Iterator[str]:
        return iter(self._site.datasets)

    def __len__(self) -> int:
        return len(self._site.datasets)

    def __repr__(self) -> str:
        return render.table(("dataset", "people", "budget"), self._rows()) if len(self) else "no datasets"

    def _repr_html_(self) -> str:
        return render.table_html(("dataset", "people", "budget"), self._rows(), caption=self._site.name)

    def _rows(self) -> list[tuple[str, str, str]]:
        rows = []
        for name in self:
            view = self._site.view(name)
            least, most = view.card.schema.people
            tightest = tightest_account(view.accounts)
            rows.append((name, f"{least:,}–{most:,}", budget_text(tightest) if tightest else "–"))
        return rows


class Requests(Mapping[str, Pending]):
    """What was asked at a node from this machine, oldest first: waiting, answered and refused."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._records = Records(site.scientist.home, site.node_key)

    def __getitem__(self, name: str) -> Pending:
        return Pending(self._site, self._records.find(name))

    def __iter__(self) -> Iterator[str]:
        return iter([record.name for record in self._records])

    def __len__(self) -> int:
        return sum(1 for _ in self._records)

    def __repr__(self) -> str:
        return render.table(("request", "status", "why"), self._rows()) if len(self) else "no requests"

    def _repr_html_(self) -> str:
        return render.table_html(("request", "status", "why"), self._rows(), caption=self._site.name)

    def _rows(self) -> list[tuple[str, str, str]]:
        return [(record.name, record.status, record.why) for record in self._records]


class Stead:
    """One node, connected: ``north.datasets["heart"]``, or ``north["heart"]`` for short.

    Args:
        site: the node as it is spoken with.
    """

    def __init__(self, site: Site) -> None:
        self._site = site

    @property
    def site(self) -> Site:
        """The signed conversation below this."""
        return self._site

    @property
    def name(self) -> str:
        """What the node calls itself."""
        return self._site.name

    @property
    def url(self) -> str:
        """Its address."""
        return self._site.url

    @property
    def key(self) -> bytes:
        """Its pinned raw public key."""
        return self._site.node_key

    @property
    def datasets(self) -> Datasets:
        """The datasets of this project, fetched now."""
        self._site.refresh()
        return Datasets(self._site)

    @property
    def requests(self) -> Requests:
        """What was asked here from this machine; a ``Pending`` is found again by its name after a restart."""
        return Requests(self._site)

    def verify(self, *, least_witnesses: int = 0, within_s: float = 2 * 3600.0) -> LogState:
        """Check that the node's log contains everything that was seen of it before.

        Args:
            least_witnesses: how many of the witnesses that ``connect`` named must have signed it.
            within_s: how old their signatures may be, seconds; a node renews them every hour.

        Raises:
            BadProof: the log shrank or was changed, or too few witnesses have signed it.
        """
        state = self._site.check_log()
        state.require_witnesses(least_witnesses, within_s=within_s, now=self._site.scientist.clock.now())
        return state

    def __getitem__(self, dataset: str) -> RemoteDataset:
        return self.datasets[dataset]

    def __repr__(self) -> str:
        return render.facts(self.name, self._pairs())

    def _repr_html_(self) -> str:
        return render.facts_html(self.name, self._pairs())

    def _pairs(self) -> list[tuple[str, str]]:
        names = self._site.datasets
        return [
            ("Address", self.url),
            ("Key", f"{fingerprint(self.key)} (pinned)"),
            ("Project", self._site.project),
            ("Datasets", ", ".join(names) or "none for this project"),
            ("Next", f'node["{names[0]}"]' if names else ""),
        ]


def connect(
    url: str,
    *,
    key: Key | None = None,
    project: str | None = None,
    pin: str | bytes | None = None,
    home: str | Path | None = None,
    witnesses: Sequence[str | bytes] | None = None,
) -> Stead:
    """Connect to a node over HTTPS. Its key is pinned at first contact and checked ever after.

    Args:
        url: ``https://…``.
        key: the scientist's key; the one of ``stead keys new`` by default.
        project: the project to ask for; the one the owner enrolled the key for by default.
        pin: the node's key (64 hex digits or 32 bytes) or its fingerprint, from an invitation: then first contact is
            no leap of faith either.
        home: where keys and known nodes are kept; see ``client.identity.home_directory``.
        witnesses: the keys (64 hex digits or 32 bytes) of other steads that sign this node's log; ``verify`` checks
            and counts their signatures. Kept for the next time; ``None`` takes what was given before.

    Raises:
        KeyChanged: the node shows another key than the pinned one.
        BadSignature: the owner has not enrolled this key; the hint is the command that does.
        PartyUnreachable: nobody answers.
    """
    from stead.net.https import PinnedConnection, Timing

    directory = home_directory(home)
    scientist = Scientist(key or load_key(directory), directory)
    address = url.rstrip("/")
    known = KnownNodes(directory).get(address)
    # A round of a training is silent for as long as a site computes.
    timing = Timing(silence_s=LONGEST_ROUND_S, exchange_s=LONGEST_ROUND_S)
    connection = PinnedConnection(address, known.public_key if known else _pinned_key(pin), timing=timing)
    return attach(connection, scientist, url=address, project=project, pin=pin, witnesses=witnesses)


def attach(
    transport: Transport,
    scientist: Scientist,
    *,
    url: str,
    project: str | None = None,
    pin: str | bytes | None = None,
    witnesses: Sequence[str | bytes] | None = None,
) -> Stead:
    """Connect over any transport: what ``connect`` does after it has opened HTTPS.

    Raises:
        KeyChanged: the node shows another key than the pinned one.
        BadSignature: the owner has not enrolled this key; the hint is the command that does.
    """
    identity = fetch_identity(transport)
    node_key = identity.public_key.raw
    _check_pin(url, node_key, pin)
    named = None if witnesses is None else _witness_keys(witnesses, node_key)
    nodes = KnownNodes(scientist.home)
    seen = KnownNode(
        url=url,
        name=identity.name,
        key=node_key.hex(),
        fingerprint=fingerprint(node_key),
        first_seen=scientist.clock.now(),
    )
    if nodes.get(url) is not None:
        nodes.pin(seen)
    site = Site(transport, node_key, scientist, url=url, project=project or "")
    try:
        site.refresh()
    except (BadSignature, PolicyDenied) as error:
        if "enrol" not in error.hint:
            raise
        public = scientist.key.public.raw
        error.hint = f"your key is {public.hex()}; the owner enrols it: {enrol_command(public, project)}"
        raise
    # Pinned only now: a reply that verifies shows that the node holds the key it claims.
    known = nodes.pin(seen)
    if named is not None:
        nodes.name_witnesses(url, named)
    site.witnesses = known.witness_keys if named is None else named
    site.check_log()
    return Stead(site)


def _pinned_key(pin: str | bytes | None) -> bytes | None:
    if isinstance(pin, bytes):
        return pin
    return bytes.fromhex(pin) if pin and _KEY.fullmatch(pin.lower()) else None


def _witness_keys(witnesses: Sequence[str | bytes], node_key: bytes) -> tuple[bytes, ...]:
    """Raw keys, each once."""
    keys = []
    for each in witnesses:
        raw = each if isinstance(each, bytes) else bytes.fromhex(each) if _KEY.fullmatch(each) else b""
        if len(raw) != KEY_BYTES or raw == node_key:
            raise UsageError(
                "a witness is named by its node's key, 64 lower-case hex digits or 32 bytes, and is another node.",
                hint="its owner prints it: stead keys node",
            )
        keys.append(PublicKey(raw).raw)
    return tuple(dict.fromkeys(keys))


def _check_pin(url: str, node_key: bytes, pin: str | bytes | None) -> None:
    if pin is None:
        return
    expected = pin.hex() if isinstance(pin, bytes) else pin.strip().lower()
    if not _KEY.fullmatch(expected) and not re.fullmatch(r"([0-9a-f]{4}-){7}[0-9a-f]{4}", expected):
        raise UsageError("a pin is a node's key (64 hex digits) or its fingerprint (eight groups of four).")
    if expected not in (node_key.hex(), fingerprint(node_key)):
        raise KeyChanged(
            f"{url} shows the key {fingerprint(node_key)}, which is not the one in the invitation.",
            hint="do not connect; ask the owner by another channel",
        )

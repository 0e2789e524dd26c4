"""Nodes in one process, for notebooks and tests: the real node, its real policies, ledger and log, without sockets.

::

    with stead.testing.local_network(["alice", "bob", "carol"]) as network:
        network.add(card, {"age": [52, 67, 71], "sex": ["F", "M", "F"]}, at="alice")
        alice = network["alice"]
        alice["heart"].age.mean().answer(within=0.1, why="trying it out")

The log of each such node says in its first leaf that it is for testing. Nodes are directories under a temporary one,
which is removed at the end; messages are the bytes that HTTPS would carry.
"""

from __future__ import annotations

import csv
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, final
from urllib.parse import parse_qs, urlsplit

from stead.client.site import Scientist
from stead.client.stead import Stead, attach
from stead.core.clock import Clock, SystemClock
from stead.core.codec import digest, encode
from stead.core.entropy import Entropy, SeededEntropy, SystemEntropy
from stead.core.keys import Key
from stead.core.schema import DatasetCard
from stead.core.witnessing import read_request
from stead.errors import KeyChanged, PartyUnreachable, UsageError
from stead.net.certificates import make_identity
from stead.node.assembly import Node, open_node
from stead.node.home import Home, Settings
from stead.node.services.cosigner import Conflict
from stead.node.services.export import export_log
from stead.node.services.policy import Budget, Budgets, Joining, PolicyRules, Rule

__all__ = ["OPEN_RULES", "LocalNetwork", "LocalTransport", "SeededEntropy", "StillClock", "local_network"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")

OPEN_RULES = PolicyRules(
    rules=(
        Rule(outlet="answer", decision="allow", reason="a node for testing"),
        Rule(outlet="join", decision="allow", reason="a node for testing"),
        Rule(outlet="disclose", decision="allow", reason="a node for testing", approvers=("tester",)),
    ),
    budgets=Budgets(Budget(epsilon=20.0), Budget(epsilon=10.0), Budget(epsilon=10.0)),
    joining=Joining(least_sites=2, least_colluders=0),
)
"""The policy of a local network when nobody says: everything is allowed, within budgets."""


@final
class StillClock:
    """A clock that stands until it is moved.

    Args:
        now: seconds since the Unix epoch.
    """

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self._now = now

    def now(self) -> float:
        """The time it was set to."""
        return self._now

    def move(self, seconds: float) -> None:
        """Let time pass."""
        self._now += seconds


@final
class LocalTransport:
    """The way to a node in this process (``client.transport.Transport``).

    Args:
        node: opened.
    """

    def __init__(self, node: Node) -> None:
        self.node = node
        self.reachable = True

    def post(self, path: str, body: bytes, _content_type: str = "") -> bytes:
        """Hand sealed bytes to the node's reception, or another log's head to the node as its witness."""
        self._reach()
        match path:
            case "/v1/messages":
                return self.node.reception.receive(body)
            case "/v1/witness/add-checkpoint":
                signed = self.node.books.cosigner.sign(read_request(body))
                if isinstance(signed, Conflict):
                    raise PartyUnreachable(f"{self.node.books.identity.name} holds a head of {signed.size} entries.")
                return signed.encode()
            case _:
                raise UsageError(f"a local node takes no post at {path}.")

    def get(self, path: str) -> bytes:
        """One of the node's public pages."""
        self._reach()
        books, parts = self.node.books, urlsplit(path)
        match parts.path:
            case "/v1/identity":
                return make_identity(books.identity.name, books.identity.key)
            case "/v1/log/checkpoint":
                return books.log.checkpoint().encode()
            case "/v1/log/consistency":
                sizes = {name: int(values[0]) for name, values in parse_qs(parts.query).items()}
                return "".join(f"{each.hex()}\n" for each in books.log.growth(sizes["old"], sizes["new"])).encode()
            case "/v1/log/witnessed":
                return books.log.witnessed().encode()
            case "/v1/witness/checkpoint":
                return books.cosigner.held(bytes.fromhex(parse_qs(parts.query)["log"][0])).encode()
            case "/v1/log/export":
                return export_log(books)
            case _:
                raise UsageError(f"a local node has no page {path}.")

    def _reach(self) -> None:
        if not self.reachable:
            raise PartyUnreachable(f"{self.node.books.identity.name} is stopped.")


def _stream(seed: int | None, whose: str) -> Entropy:
    """The randomness of one party: the system's, or its own part of what the seed gives."""
    if seed is None:
        return SystemEntropy()
    return SeededEntropy(int.from_bytes(digest("stead.testing", encode((str(seed), whose))), "little"))


@dataclass(frozen=True)
class Options:
    """How a local network is made.

    Attributes:
        rules: the policy of every node.
        project: of the scientist, who is enrolled at every node.
        seed: makes noise, masks and keys reproducible; ``None`` takes the system's randomness.
        clock: of nodes and scientist.
    """

    rules: PolicyRules = OPEN_RULES
    project: str = "testing"
    seed: int | None = None
    clock: Clock = field(default_factory=SystemClock)


@final
class LocalNetwork(Mapping[str, Stead]):
    """Nodes in this process, each connected for one scientist: ``network["alice"]``.

    Args:
        names: the nodes' names.
        directory: where their homes are made.
        options: policy, project, seed and clock.
        temporary: remove the directory when the network is closed.
    """

    def __init__(self, names: Sequence[str], directory: Path, options: Options, *, temporary: bool = False) -> None:
        self._temporary = temporary
        self._directory = directory
        self._options = options
        self._entropy = _stream(options.seed, "scientist")
        self._scientist = Key.generate(self._entropy)
        self._connected: dict[str, Stead] = {}
        self.nodes: dict[str, Node] = {}
        self.transports: dict[str, LocalTransport] = {}
        try:
            for name in names:
                self.nodes[name] = self._make(name)
                self.transports[name] = LocalTransport(self.nodes[name])
            for name, node in self.nodes.items():
                for other, peer in self.nodes.items():
                    if other != name:
                        node.books.people.enrol(peer.home.key.public.raw, other, role="site")
        except BaseException:
            self.close()
            raise

    def add(self, card: DatasetCard, columns: Mapping[str, Sequence[Any]], *, at: str) -> None:
        """Give a node a dataset.

        Args:
            card: its public description.
            columns: values by column, all of one length; ``None`` where one is missing.
            at: the node's name.

        Raises:
            UsageError: no such node, or the rows do not fit the card.
        """
        if at not in self.nodes:
            raise UsageError(f"there is no node {at!r} here.", hint="nodes: " + ", ".join(self))
        if len({len(values) for values in columns.values()}) != 1:
            raise UsageError("a dataset's columns are of one length.")
        path = self._directory / f"{at}-rows.csv"
        try:
            with path.open("w", newline="", encoding="utf-8") as file:
                writer = csv.writer(file)
                writer.writerow(columns)
                for row in zip(*columns.values(), strict=True):
                    writer.writerow("" if value is None else value for value in row)
            self.nodes[at].registry.add(path, card)
        finally:
            path.unlink()

    def datasets(self, name: str) -> list[Any]:
        """The dataset of this name at every node that has it: what ``stead.ask`` and ``stead.fit`` take."""
        return [self[node].datasets[name] for node in self if name in self[node].datasets]

    def close(self) -> None:
        """Close the nodes; remove their directory if it is a temporary one."""
        for node in self.nodes.values():
            node.close()
        if self._temporary:
            shutil.rmtree(self._directory, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getitem__(self, name: str) -> Stead:
        if name not in self.nodes:
            raise KeyError(name)
        if name not in self._connected:
            scientist = Scientist(self._scientist, self._directory / "scientist", self._entropy, self._options.clock)
            url = f"local://{name}"
            self._connected[name] = attach(self.transports[name], scientist, url=url, project=self._options.project)
        return self._connected[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.nodes)

    def __len__(self) -> int:
        return len(self.nodes)

    def _dial(self, url: str, key: bytes) -> AbstractContextManager[LocalTransport]:
        """The way to a witness of this network: ``local://name``."""
        name = url.removeprefix("local://")
        if name not in self.transports:
            raise UsageError(f"there is no node {url[:40]!r} here.", hint="nodes: " + ", ".join(self))
        if self.nodes[name].books.identity.public != key:
            raise KeyChanged(f"{name} has another key than the expected one.")
        return nullcontext(self.transports[name])

    def _make(self, name: str) -> Node:
        # A stream for each: the order in which nodes are called from several threads changes nobody's noise.
        entropy = _stream(self._options.seed, name)
        home = Home.create(self._directory / name, Settings(name=name, testing=True), entropy)
        node = open_node(home, clock=self._options.clock, entropy=entropy, dial=self._dial)
        node.books.policies.set(self._options.rules)
        node.books.people.enrol(self._scientist.public.raw, "tester", role="scientist", project=self._options.project)
        node.start()
        return node


def local_network(
    names: Sequence[str],
    *,
    rules: PolicyRules = OPEN_RULES,
    project: str = "testing",
    seed: int | None = None,
    clock: Clock | None = None,
    directory: Path | None = None,
) -> LocalNetwork:
    """Make nodes in this process, with one scientist enrolled at each, and each node a trusted peer of the others.

    Args:
        names: the nodes' names.
        rules: the policy of every node.
        project: of the scientist.
        seed: makes everything random reproducible; the nodes' logs say that they are for testing.
        clock: of nodes and scientist; the machine's by default.
        directory: where the nodes' homes are made; a temporary one by default, removed when the network is closed.

    Returns:
        The network; a context manager.

    Raises:
        UsageError: no names, a name twice, or one that is no name for a directory.
    """
    if isinstance(names, str) or not names or len(set(names)) != len(names):
        raise UsageError("a local network needs names, each once.", hint='local_network(["alice", "bob"])')
    for name in names:
        if name == "scientist" or not _NAME.fullmatch(name):
            raise UsageError(f"{name[:40]!r} is no name for a local node.", hint="letters, digits, - and _")
    path = directory or Path(tempfile.mkdtemp(prefix="stead-local-"))
    options = Options(rules, project, seed, clock or SystemClock())
    return LocalNetwork(names, path, options, temporary=directory is None)

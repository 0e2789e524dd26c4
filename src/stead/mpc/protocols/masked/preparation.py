"""How material comes to be: ahead of a run or along with it, by a third party or a trusted dealer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import numpy as np

from stead.core.channel import Buffer, Traffic
from stead.core.entropy import Entropy
from stead.errors import UsageError
from stead.mpc.party import KEY_BYTES, Party, RingStream
from stead.mpc.protocol import Protocol
from stead.mpc.protocols.masked.dealer import Dealer, Hand
from stead.mpc.protocols.masked.material import (
    DEALER,
    FIRST,
    ID_BYTES,
    SECOND,
    Header,
    Kept,
    Keyed,
    Material,
    Preprocessing,
    Received,
    Sent,
    Source,
    derive,
)

T = TypeVar("T")


class _Nobody:
    """The channel of a party that works alone."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.peers: tuple[str, ...] = ()
        self.traffic = Traffic()

    def exchange(self, outgoing: Mapping[str, Sequence[Buffer]], expect: Mapping[str, int]) -> dict[str, memoryview]:
        """Refuse."""
        raise UsageError("place 0 prepares alone: it can neither send nor receive.")

    def abort(self, reason: str) -> None:
        """Nobody to tell."""

    def close(self) -> None:
        """Nothing to close."""


def prepare(
    computation: Callable[[Protocol], T], *, names: Sequence[str], entropy: Entropy, threads: int = 1
) -> tuple[T, tuple[Preprocessing, Preprocessing]]:
    """Party 0's whole part in a computation, before it takes place.

    Args:
        computation: what all three parties run. Here it is run once, with party 0's side of the protocol, on masks.
        names: of the three parties, by place.
        entropy: for seeds.
        threads: for ring products.

    Returns:
        What the computation returned at party 0, and the material of parties 1 and 2: hand each its own, over a sealed
        channel.

    Raises:
        UsageError: not three names, or something is revealed to party 0, which will not be there.
    """
    parties = tuple(names)
    if len(parties) != 3:
        raise UsageError(f"masked sharing has three parties, not {len(parties)}.")
    identity = entropy.take(ID_BYTES)
    seeds = entropy.take(KEY_BYTES), entropy.take(KEY_BYTES)
    kept = Kept()
    party = Party(DEALER, parties, _Nobody(parties[DEALER]), entropy, threads)
    dealer = Dealer(party, Hand(identity, parties, seeds, sink=kept, threads=threads), interactive=False)
    result = computation(dealer)
    words = sum(part.size for part in kept.body)
    first = Header(identity, FIRST, parties, seeds[0], dealer.trace, 0)
    second = Header(identity, SECOND, parties, seeds[1], dealer.trace, words)
    return result, (Preprocessing(first, []), Preprocessing(second, kept.body))


class TrustedDealer:
    """Two parties compute; a dealer whom both trust prepares, and is gone.

    Security:
        The two parties are semi-honest, and neither learns anything of the other's inputs but from the results. The
        dealer is **trusted**: with what either party sees it would learn everything, so it must work with neither, keep
        no copy of what it dealt, and deal what the protocol says: wrong material makes wrong results, which nobody
        notices. It never sees an input, a masked value or a result.

    Args:
        parties: the names of the two, by place 1 and 2.
        entropy: the dealer's.
        threads: for ring products.
        name: the dealer's.
    """

    def __init__(
        self, parties: tuple[str, str], *, entropy: Entropy, threads: int = 1, name: str = "trusted-dealer"
    ) -> None:
        self.names = (name, *parties)
        self._entropy, self._threads = entropy, threads

    def prepare(self, computation: Callable[[Protocol], object]) -> tuple[Preprocessing, Preprocessing]:
        """The material of both parties for one run of the computation, in which place 0 owns no input."""
        _, material = prepare(computation, names=self.names, entropy=self._entropy, threads=self._threads)
        return material


def along(party: Party) -> Dealer:
    """Party 0's side of a session in which it deals while the others compute, step by step ahead of them.

    Cost:
        Before the first verb 48 bytes to each of the others; then every dealt part goes to party 2 as it is made.

    Raises:
        UsageError: this is not place 0.
        PartyError: a party is gone or silent.
    """
    if party.place != DEALER:
        raise UsageError(f"place {party.place} does not deal: place 0 does.")
    identity = party.entropy.take(ID_BYTES)
    seeds = party.entropy.take(KEY_BYTES), party.entropy.take(KEY_BYTES)
    party.exchange({at: (_words(identity + seeds[at - 1]),) for at in (FIRST, SECOND)}, {})
    return Dealer(party, Hand(identity, party.names, seeds, sink=Sent(party), threads=party.threads), interactive=True)


def receive(party: Party) -> Material:
    """An online party's material of such a session, for ``Masked``.

    Raises:
        UsageError: this is place 0.
        PartyError: the dealer is gone or silent.
    """
    if party.place not in {FIRST, SECOND}:
        raise UsageError("place 0 deals and receives nothing.")
    sent = party.exchange({}, {DEALER: (((ID_BYTES + KEY_BYTES) // 8,),)})[DEALER][0].tobytes()
    identity, seed = sent[:ID_BYTES], sent[ID_BYTES:]
    source: Source = Received(party)
    if party.place == FIRST:
        source = Keyed(RingStream(derive(seed, b"dealt", identity, party.names)))
    return Material(identity, RingStream(derive(seed, b"masks", identity, party.names)), source, None)


def _words(data: bytes) -> np.ndarray:
    return np.frombuffer(data, dtype=np.uint64)

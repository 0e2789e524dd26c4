"""All parties of a computation in one process, a thread for each: for notebooks, tests and simulations."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Literal, TypeAlias, TypeVar

from stead.core.channel import PartyChannel
from stead.core.entropy import Entropy, SystemEntropy
from stead.errors import SteadError, UsageError
from stead.mpc.party import Party, agree
from stead.mpc.protocol import Protocol
from stead.mpc.protocols.cleartext.protocol import Cleartext
from stead.net.local import local_mesh

Kind: TypeAlias = Literal["cleartext", "replicated", "masked"]
T = TypeVar("T")
Computation: TypeAlias = Callable[[Protocol], T]

NAMES = {"cleartext": ("clear",), "replicated": ("p0", "p1", "p2"), "masked": ("p0", "p1", "p2")}


def together(
    kind: Kind,
    computation: Computation[T],
    *,
    names: Sequence[str] = (),
    entropy: Entropy | None = None,
    threads: int = 1,
) -> list[T]:
    """Run a computation at all parties.

    Args:
        kind: the protocol.
        computation: called once for each party with its side of the protocol; it takes the same verbs in the same order
            at each, whatever the values. An owner's input is given by ``protocol.party.place == owner``.
        names: the parties' names by place; left out: p0, p1, p2.
        entropy: the operating system's unless a test gives a seeded one.
        threads: for each party's ring products.

    Returns:
        What the computation returned at each party, by place. In ``masked`` place 0 runs first and alone (``prepare``).

    Raises:
        UsageError: there is no such protocol, or the names are not as many as it has parties.
        SteadError: what the computation raised; the first party's error where several did.
    """
    chosen = tuple(names) or NAMES.get(kind, ())
    if kind not in NAMES or len(chosen) != len(NAMES[kind]):
        raise UsageError(
            f"{kind!r} with {len(chosen)} parties: the protocols are cleartext (1), replicated and masked (3)."
        )
    source = entropy or SystemEntropy()
    if kind == "cleartext":
        alone = local_mesh((*chosen, "nobody"))[chosen[0]]  # a channel has two ends; nothing is ever sent
        return [computation(Cleartext(Party(0, chosen, alone, source, threads)))]
    mesh = local_mesh(chosen)
    if kind == "replicated":
        from stead.mpc.protocols.replicated.protocol import Replicated

        def replicated(place: int, channel: PartyChannel) -> T:
            streams = agree(place, chosen, channel, source)
            return computation(Replicated(Party(place, chosen, channel, source, threads, streams)))

        return _at_each([0, 1, 2], chosen, mesh, replicated)
    from stead.mpc.protocols.masked.preparation import prepare
    from stead.mpc.protocols.masked.protocol import Masked

    result, materials = prepare(computation, names=chosen, entropy=source, threads=threads)

    def masked(place: int, channel: PartyChannel) -> T:
        return computation(Masked(Party(place, chosen, channel, source, threads), materials[place - 1]))

    return [result, *_at_each([1, 2], chosen, mesh, masked)]


def _at_each(
    places: Sequence[int],
    names: Sequence[str],
    mesh: dict[str, PartyChannel],
    work: Callable[[int, PartyChannel], T],
) -> list[T]:
    results: dict[int, T] = {}
    failures: dict[int, BaseException] = {}

    def one(place: int) -> None:
        channel = mesh[names[place]]
        try:
            results[place] = work(place, channel)
        except BaseException as error:  # noqa: BLE001 - handed to the caller below
            failures[place] = error
            channel.abort(str(error) if isinstance(error, SteadError) else type(error).__name__)

    threads = [threading.Thread(target=one, args=(place,), daemon=True) for place in places]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        first = [error for error in failures.values() if not isinstance(error, SteadError)] or list(failures.values())
        raise first[0]
    return [results[place] for place in places]

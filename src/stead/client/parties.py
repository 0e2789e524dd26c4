"""``party``: this process becomes one party of a computation on shares; ``prepare``: place 0's whole part, ahead of it.

::

    with stead.party("parties.toml", "north") as session:
        x = session.share([1.71, 1.64], owner="north")     # at the others: session.share(owner="north", shape=(2,))
        print(np.mean(x).reveal(to="south"))               # None everywhere but at south

Every party runs the same lines, in the same order, on a machine of its own.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias, get_args

from stead.core.channel import PartyChannel
from stead.core.entropy import Entropy, SystemEntropy
from stead.errors import SteadError, UsageError
from stead.mpc.kernels.memory import keep_freed_memory
from stead.mpc.party import Party, agree
from stead.mpc.protocol import Protocol
from stead.mpc.protocols.masked.material import DEALER, Preprocessing
from stead.mpc.session import PartySession
from stead.net.mesh import connect_mesh
from stead.net.noise import StaticKey
from stead.net.parties import Parties, VouchedKey, read_parties

Kind: TypeAlias = Literal["masked", "replicated"]
PARTIES: Final = 3


@dataclass(frozen=True)
class Terms:
    """What the parties agree on besides who they are, and how this one works.

    Attributes:
        computation: its name; only parties that say the same are connected.
        timeout_s: for connecting, and afterwards for each silence of another party. In ``masked`` place 0 runs ahead,
            and waits that long at the end for the others to catch up.
        threads: of this party's ring products.
        entropy: the operating system's unless a test gives a seeded one.
    """

    computation: str = ""
    timeout_s: float = 300.0
    threads: int = 1
    entropy: Entropy | None = None


@contextlib.contextmanager
def party(
    parties: Parties | Path | str,
    me: str,
    *,
    key: VouchedKey | StaticKey | Path | str | None = None,
    protocol: Kind = "masked",
    material: Preprocessing | Path | str | None = None,
    terms: Terms | None = None,
) -> Iterator[PartySession]:
    """Be one party: connects to the others, gives a session, and leaves with them at the end of the block.

    Args:
        parties: ``parties.toml``, the same at each party; three of them. In ``masked`` the first prepares.
        me: which one this is.
        key: its key, or the file that ``stead mpc keys`` made; ``ME.key`` in this folder when not given.
        protocol: ``masked`` or ``replicated``.
        material: in ``masked``, what ``prepare`` made for this party; then the first party does not take part. Used up.
        terms: the computation's name, timeouts, threads.

    Raises:
        UsageError: there is no such party, protocol or file; nothing has been sent.
        PartyUnreachable: somebody is not there, does something else, or left with an error; names who.
        PartyTimedOut: somebody is there and silent.
        Untrusted: a party does not hold its key, or sent what no party sends.

    Cost: the handshakes of ``connect_mesh``; then one round in ``replicated``, 48 bytes to each from place 0 in
    ``masked``; at the end one round without bytes.

    From then on the process keeps the memory that it frees (``mpc.kernels.memory``).

    Security: the protocol's (``Masked``, ``Replicated``) over the channels of ``connect_mesh``. An error inside the
    block ends the computation for all; the others are told its kind and, of stead's own errors, its text.
    """
    everybody, how = _parties(parties), terms or Terms()
    if not isinstance(me, str) or not isinstance(how, Terms):
        raise UsageError(
            f"a party has a name and Terms; got {type(me).__name__} and {type(how).__name__}.",
            hint='stead.party("parties.toml", "north", terms=Terms(timeout_s=60))',
        )
    place = everybody.place(me)
    _check(everybody, place, protocol)
    stored = _stored(material, everybody, place, protocol)
    own = StaticKey.load(key or f"{me}.key") if key is None or isinstance(key, (str, Path)) else key
    entropy = how.entropy or SystemEntropy()
    present = Parties(everybody.members[1:]) if stored is not None else everybody
    keep_freed_memory()
    doing = f"{protocol} {'prepared' if stored is not None else 'along'} {how.computation}".encode()
    channel: PartyChannel = connect_mesh(present, me, own, entropy=entropy, timeout_s=how.timeout_s, session=doing)
    try:
        here = Party(place, everybody.names, channel, entropy, how.threads)
        yield PartySession(_side(protocol, here, stored))
        channel.exchange({name: [] for name in channel.peers}, dict.fromkeys(channel.peers, 0))
    except BaseException as error:
        channel.abort(f"{me} failed: {error.what if isinstance(error, SteadError) else type(error).__name__}")
        raise
    channel.close()


def prepare(
    parties: Parties | Path | str,
    lines: Callable[[PartySession], object],
    folder: Path | str = ".",
    *,
    terms: Terms | None = None,
) -> tuple[Path, Path]:
    """The first party's whole part in ``masked``, before the computation takes place and for one run of it.

    Args:
        parties: as in ``party``.
        lines: what all parties run; here they run once, on masks, without any values.
        folder: where ``NAME.material`` is written for each of the other two, readable by this user alone.
        terms: threads and entropy matter here.

    Returns:
        The two files: bring each to its party, and to nobody else, over a channel that nobody reads.

    Raises:
        UsageError: not three parties, a file exists, or something is revealed to the first party, which will not be
            there.
    """
    everybody, how = _parties(parties), terms or Terms()
    _check(everybody, DEALER, "masked")
    paths = tuple(Path(folder) / f"{name}.material" for name in everybody.names[1:])
    if there := next((path for path in paths if path.exists()), None):
        raise UsageError(f"{there} exists.", hint="material is for one run: use it, or delete both parties'")
    from stead.mpc.protocols.masked.preparation import prepare as prepared

    _, materials = prepared(
        lambda side: lines(PartySession(side)),
        names=everybody.names,
        entropy=how.entropy or SystemEntropy(),
        threads=how.threads,
    )
    for path, material in zip(paths, materials, strict=True):
        material.write(path)
    return paths[0], paths[1]


def _parties(given: Parties | Path | str) -> Parties:
    if isinstance(given, Parties):
        return given
    if not isinstance(given, str | Path):
        raise UsageError(f"the parties are a file or Parties; got {type(given).__name__}.", hint='"parties.toml"')
    try:
        return read_parties(Path(given).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{given} cannot be read: {getattr(error, 'strerror', None) or 'no text'}.") from None


def _check(everybody: Parties, place: int, protocol: str) -> None:
    """Refuse before anything is sent."""
    if protocol not in get_args(Kind):
        raise UsageError(f"{protocol!r} is no protocol between parties: masked and replicated are.")
    if len(everybody.names) != PARTIES:
        raise UsageError(
            f"{protocol} has {PARTIES} parties; {everybody.names[place]} is one of {len(everybody.names)}.",
            hint="list the same three, in the same order, at each of them",
        )


def _stored(
    material: Preprocessing | Path | str | None, everybody: Parties, place: int, protocol: str
) -> Preprocessing | None:
    """The material, if it is this party's."""
    if material is None:
        return None
    if protocol != "masked" or place == DEALER:
        raise UsageError(
            f"material= is for the second and third party of masked; this is {everybody.names[place]} in {protocol}.",
            hint=f"{everybody.names[DEALER]} has done its part when the material is made: it need not run",
        )
    found = material if isinstance(material, Preprocessing) else Preprocessing.open(material)
    if (found.place, found.names) != (place, everybody.names):
        raise UsageError(
            f"this material is for {found.names[found.place]} among {', '.join(found.names)}; "
            f"this is {everybody.names[place]} among {', '.join(everybody.names)}."
        )
    return found


def _side(protocol: Kind, here: Party, stored: Preprocessing | None) -> Protocol:
    """This party's side of the protocol."""
    if protocol == "replicated":
        from stead.mpc.protocols.replicated.protocol import Replicated

        streams = agree(here.place, here.names, here.channel, here.entropy)
        return Replicated(Party(here.place, here.names, here.channel, here.entropy, here.threads, streams))
    from stead.mpc.protocols.masked.preparation import along, receive
    from stead.mpc.protocols.masked.protocol import Masked

    if stored is not None:
        return Masked(here, stored)
    return along(here) if here.place == DEALER else Masked(here, receive(here))

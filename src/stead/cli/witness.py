"""``stead witness``: other nodes that sign this one's log, and the logs that this one signs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from stead.cli.owner import count, fingerprint, next_step, node_option, opened, public_key, trusted_keys, when
from stead.cli.style import emit_json, emit_table, json_option, say
from stead.errors import UsageError

if TYPE_CHECKING:
    from stead.node.assembly import Node
    from stead.node.services.witnesses import Asked


@click.group(
    epilog="""\b
Examples:
  stead witness add https://city.example:8440 6b09…d314     city's node signs this node's log
  stead witness allow north                                 on city's node: sign the log of its peer north
  stead witness check                                       does anybody hold a later head than this store?
"""
)
def command() -> None:
    """Nodes that sign each other's logs.

    A restored backup would give spent budget back, and on one machine nobody can tell. A witness is a node elsewhere
    that signs each head of the log, and never a smaller one or one of another branch. At its start a node asks its
    witnesses, and does not serve when one of them holds a later head than its store.
    """


@command.command(
    epilog="""\b
Examples:
  stead witness add https://city.example:8440 6b09…d314     the key that its `stead keys node` prints
"""
)
@click.argument("url")
@click.argument("key")
@node_option
def add(url: str, key: str, node: Path) -> None:
    """Send this node's heads to the node at URL with the public KEY (64 hexadecimal digits), from now on."""
    raw = public_key(key)
    with opened(node) as home:
        home.books.witnesses.add(url, raw)
        own = home.home.key.public.raw.hex()
    say("is a witness; compare the fingerprint with its owner, by telephone:")
    say(f"  {fingerprint(raw)}")
    say("its owner allows it there:")
    say(f"  stead peers add NAME {own}")
    say("  stead witness allow NAME")
    next_step("stead witness sync", node)


@command.command(
    epilog="""\b
Examples:
  stead witness remove https://city.example:8440
"""
)
@click.argument("who")
@node_option
def remove(who: str, node: Path) -> None:
    """Send the heads to WHO (a witness's address or public key) no longer."""
    with opened(node) as home:
        found = [each for each in home.books.witnesses.all() if who.rstrip("/") in (each.url, each.key.hex())]
        if not found:
            raise UsageError(f"no witness {who[:80]!r} is known here.", hint="`stead witness ls` lists them")
        for each in found:
            home.books.witnesses.remove(each.key)
    say(f"removed {count(len(found), 'witness') if len(found) == 1 else f'{len(found)} witnesses'}")


@command.command(
    epilog="""\b
Examples:
  stead witness ls
  stead witness ls --json                       with whole keys
"""
)
@node_option
@json_option
def ls(node: Path, as_json: bool) -> None:
    """List this node's witnesses, what each signed last, and the logs that this node signs. Asks nobody."""
    with opened(node) as home:
        size = home.books.log.size()
        witnesses = home.books.witnesses.all()
        logs = home.books.cosigner.logs()
    if as_json:
        emit_json(
            {
                "entries": size,
                "witnesses": [
                    {
                        "url": each.url,
                        "key": each.key.hex(),
                        "size": each.size,
                        "signed_at": each.signed_at,
                        "failures": each.failures,
                        "failed": each.failed,
                    }
                    for each in witnesses
                ],
                "signs": [
                    {
                        "name": each.name,
                        "key": each.key.hex(),
                        "allowed": each.allowed,
                        "size": each.size,
                        "signed_at": each.signed_at,
                    }
                    for each in logs
                ],
            }
        )
        return
    rows = [
        ("signs this log", each.url, *_last(each.size, each.signed_at), each.failed or "answers") for each in witnesses
    ]
    rows += [
        ("signed by this node", each.name, *_last(each.size, each.signed_at), "allowed" if each.allowed else "ended")
        for each in logs
    ]
    emit_table(("what", "who", "entries", "signed", "state"), rows)
    if not witnesses:
        say(f"no witness signs this node's log of {count(size, 'entry')}; stead witness add URL KEY")


@command.command(
    epilog="""\b
Examples:
  stead witness allow north                     a name of `stead peers ls`
"""
)
@click.argument("who")
@node_option
def allow(who: str, node: Path) -> None:
    """Sign the heads of the log of the peer WHO (a name, or one public key), from now on."""
    with opened(node) as home:
        keys = trusted_keys(home, who, "site")
        for key in keys:
            home.books.cosigner.allow(key, _peer(home, key))
    for key in keys:
        say(f"signs the log of {fingerprint(key)}, as long as it only grows")


@command.command(
    epilog="""\b
Examples:
  stead witness end north
"""
)
@click.argument("who")
@node_option
def end(who: str, node: Path) -> None:
    """Sign the heads of the log of WHO (a name, or one public key) no longer; what was signed is remembered."""
    with opened(node) as home:
        logs = [each for each in home.books.cosigner.logs() if who in (each.name, each.key.hex()) and each.allowed]
        if not logs:
            raise UsageError(f"no log of {who[:80]!r} is signed here.", hint="`stead witness ls` lists them")
        for each in logs:
            home.books.cosigner.end(each.key)
    for each in logs:
        say(f"signs the log of {fingerprint(each.key)} no longer")


@command.command(
    epilog="""\b
Examples:
  stead witness sync
"""
)
@node_option
@json_option
def sync(node: Path, as_json: bool) -> int:
    """Send the newest head to every witness now. A node that serves does so by itself, seconds after each entry.

    Ends with 1 when a witness did not sign, and with 4 when one proves that this store is not the newest.
    """
    with opened(node) as home:
        return _report(home.books.witnesses.sync(), done="signed", as_json=as_json)


@command.command(
    epilog="""\b
Examples:
  stead witness check
  stead witness check --json
"""
)
@node_option
@json_option
def check(node: Path, as_json: bool) -> int:
    """Ask every witness what it signed last, and compare it with this node's store.

    Ends with 1 when a witness did not answer, and with 4 when one holds a head, signed by this node, that the store's
    log does not contain: the store is an old one, or another branch.
    """
    with opened(node) as home:
        return _report(home.books.witnesses.check(), done="agrees", as_json=as_json)


def _report(asked: Sequence[Asked], *, done: str, as_json: bool) -> int:
    """Show what came of asking; 1 when a witness did not do its part."""
    silent = [each for each in asked if each.error]
    if as_json:
        emit_json(
            [
                {"url": each.url, "key": each.key.hex(), "size": each.size, "error": each.code, "what": each.error}
                for each in asked
            ]
        )
    else:
        rows = [(each.url, "" if each.size is None else f"{each.size:,}", each.code or done) for each in asked]
        emit_table(("witness", "entries", "state"), rows)
        for each in silent:
            say(f"  {each.url}: {each.error}")
        if not asked:
            say("no witness signs this node's log; stead witness add URL KEY")
    return 1 if silent else 0


def _peer(home: Node, key: bytes) -> str:
    """The name of the peer with this key."""
    return home.books.people.site(key) or ""


def _last(size: int, signed_at: int) -> tuple[str, str]:
    return (f"{size:,}", when(float(signed_at))) if size else ("–", "never")

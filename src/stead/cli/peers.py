"""``stead peers``: the other nodes that this one computes with."""

from __future__ import annotations

from pathlib import Path

import click

from stead.cli.owner import fingerprint, node_option, opened, public_key
from stead.cli.style import emit_json, emit_table, json_option, say


@click.group()
def command() -> None:
    """The other nodes that this one computes with.

    A joint computation hides each site's part among the others', so a node takes part only with peers whose keys its
    owner has compared.
    """


@command.command()
@click.argument("name")
@click.argument("key")
@node_option
def add(name: str, key: str, node: Path) -> None:
    """Trust the node NAME with the public KEY (64 hexadecimal digits, printed by its `stead init`)."""
    raw = public_key(key)
    with opened(node) as home:
        home.books.people.enrol(raw, name, role="site")
    say(f"trusts {name} ({fingerprint(raw)}); compare the fingerprint with its owner")


@command.command()
@node_option
@json_option
def ls(node: Path, as_json: bool) -> None:
    """List the peers."""
    with opened(node) as home:
        peers = [person for person in home.books.people.all() if person.role == "site"]
    if as_json:
        emit_json([{"name": peer.name, "key": peer.key.hex(), "revoked": peer.revoked} for peer in peers])
        return
    emit_table(
        ("name", "state", "key"),
        [(peer.name, "revoked" if peer.revoked else "trusted", fingerprint(peer.key)) for peer in peers],
    )


@command.command()
@click.argument("key")
@node_option
def revoke(key: str, node: Path) -> None:
    """Trust KEY no longer."""
    raw = public_key(key)
    with opened(node) as home:
        home.books.people.revoke(raw)
    say(f"revoked {fingerprint(raw)}")

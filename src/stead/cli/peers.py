"""``stead peers``: the other nodes that this one computes with."""

from __future__ import annotations

from pathlib import Path

import click

from stead.cli.owner import fingerprint, node_option, opened, public_key, trusted_keys
from stead.cli.style import emit_json, emit_table, json_option, say


@click.group(
    epilog="""\b
Examples:
  stead peers add city-hospital 6b09…d314       the key that its `stead keys node` prints
  stead peers ls
  stead peers revoke city-hospital
"""
)
def command() -> None:
    """The other nodes that this one computes with.

    A joint computation hides each site's part among the others', so a node takes part only with peers whose keys its
    owner has compared.
    """


@command.command(
    epilog="""\b
Examples:
  stead peers add city-hospital 6b09…d314
"""
)
@click.argument("name")
@click.argument("key")
@node_option
def add(name: str, key: str, node: Path) -> None:
    """Trust the node NAME with the public KEY (64 hexadecimal digits, printed by its `stead keys node`)."""
    raw = public_key(key)
    with opened(node) as home:
        home.books.people.enrol(raw, name, role="site")
    say(f"trusts {name}; compare the fingerprint with its owner, by telephone:")
    say(f"  {fingerprint(raw)}")


@command.command(
    epilog="""\b
Examples:
  stead peers ls
  stead peers ls --json                         with whole keys
"""
)
@node_option
@json_option
def ls(node: Path, as_json: bool) -> None:
    """List the peers."""
    with opened(node) as home:
        peers = [person for person in home.books.people.all() if person.role == "site"]
    if as_json:
        emit_json([{"name": peer.name, "key": peer.key.hex(), "revoked": peer.revoked} for peer in peers])
        return
    rows = [(peer.name, "revoked" if peer.revoked else "trusted", fingerprint(peer.key)) for peer in peers]
    emit_table(("name", "state", "key"), rows)
    if not rows:
        say("none yet; this node computes alone until stead peers add NAME KEY")


@command.command(
    epilog="""\b
Examples:
  stead peers revoke city-hospital
"""
)
@click.argument("who")
@node_option
def revoke(who: str, node: Path) -> None:
    """Trust WHO (a name, or one public key) no longer."""
    with opened(node) as home:
        keys = trusted_keys(home, who, "site")
        for key in keys:
            home.books.people.revoke(key)
    for key in keys:
        say(f"revoked {fingerprint(key)}")

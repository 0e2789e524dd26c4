"""``stead keys``: identities, a scientist's and a node's."""

from __future__ import annotations

from pathlib import Path

import click

from stead.cli.owner import node_option
from stead.cli.style import emit_json, json_option, say


@click.group(
    epilog="""\b
Examples:
  stead keys new                                a scientist's key, on the scientist's machine
  stead keys show                               its public half, for owners to enrol
  stead keys node                               a node's public key, for scientists and peers to compare
"""
)
def command() -> None:
    """Make and show identity keys: a scientist's, and a node's."""


@command.command(
    epilog="""\b
Examples:
  stead keys new
"""
)
def new() -> None:
    """Make your key; it is never overwritten."""
    from stead.client.identity import key_path, new_key

    key = new_key()
    say(f"made {key_path()}; it is readable by you alone. Give owners this public key:")
    click.echo(key.public.raw.hex())


@command.command(
    epilog="""\b
Examples:
  stead keys show
  stead keys show --json
"""
)
@json_option
def show(as_json: bool) -> None:
    """Print your public key, for owners to enrol."""
    from stead.client.identity import load_key

    _print(load_key().public.raw, as_json=as_json)


@command.command(
    epilog="""\b
Examples:
  stead keys node
  stead keys node --node /srv/stead --json
"""
)
@node_option
@json_option
def node(node: Path, as_json: bool) -> None:
    """Print the node's public key: scientists compare its fingerprint, peers add it, auditors verify with it."""
    from stead.node.home import Home

    _print(Home.open(node).key.public.raw, as_json=as_json)


def _print(raw: bytes, *, as_json: bool) -> None:
    from stead.cli.owner import fingerprint

    if as_json:
        emit_json({"key": raw.hex(), "fingerprint": fingerprint(raw)})
        return
    say(f"fingerprint {fingerprint(raw)}")
    click.echo(raw.hex())

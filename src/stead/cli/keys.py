"""``stead keys``: a scientist's identity."""

from __future__ import annotations

import click

from stead.cli.style import emit_json, json_option, say


@click.group()
def command() -> None:
    """Make and show a scientist's key."""


@command.command()
def new() -> None:
    """Make your key; it is never overwritten."""
    from stead.client.identity import key_path, new_key

    key = new_key()
    say(f"made {key_path()}; it is readable by you alone. Give owners this public key:")
    click.echo(key.public.raw.hex())


@command.command()
@json_option
def show(as_json: bool) -> None:
    """Print your public key, for owners to enrol."""
    from stead.client.identity import load_key

    public = load_key().public
    if as_json:
        emit_json({"key": public.raw.hex(), "fingerprint": public.fingerprint()})
        return
    say(f"fingerprint {public.fingerprint()}")
    click.echo(public.raw.hex())

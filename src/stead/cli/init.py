"""``stead init``: make a node."""

from __future__ import annotations

from pathlib import Path

import click

from stead.cli.style import say


@click.command(
    epilog="""\b
Examples:
  stead init stead-node --name "North Hospital"
  stead init /srv/stead --name "North Hospital" --host stead.north-hospital.example --port 443
"""
)
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False), default="stead-node")
@click.option("--name", required=True, help="What people call this node; public.")
@click.option("--host", "hosts", multiple=True, help="A name or address under which others reach it; repeatable.")
@click.option("--bind", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", default=8440, show_default=True, help="The port to listen on.")
@click.option(
    "--store", default="", envvar="STEAD_STORE", help="A PostgreSQL URL instead of the SQLite file in the directory."
)
def command(directory: Path, name: str, hosts: tuple[str, ...], bind: str, port: int, store: str) -> None:
    """Make a node: its directory, key, store and log."""
    from stead.core.entropy import SystemEntropy
    from stead.node.assembly import open_node
    from stead.node.home import Home, Settings

    settings = Settings(name=name, bind=bind, port=port, hosts=hosts or Settings.__struct_defaults__[2], store=store)
    home = Home.create(directory, settings, SystemEntropy())
    try:
        open_node(home).close()
    except BaseException:
        home.discard()  # a node without a store would stand in the way of the next try
        raise
    say(f"made the node {name!r} in {directory}; its key has the fingerprint {home.key.public.fingerprint()}")
    say("next: stead data draft FILE > card.toml, and write into it what is public")

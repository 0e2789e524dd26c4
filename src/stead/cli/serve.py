"""``stead serve``: run the node."""

from __future__ import annotations

import signal
from pathlib import Path

import click

from stead.cli.owner import node_option, opened
from stead.cli.style import say


@click.command(
    epilog="""\b
Examples:
  stead serve
  stead serve --node /srv/stead --port 0        a free port, printed
"""
)
@node_option
@click.option("--bind", default=None, help="The address to listen on, in place of the setting.")
@click.option("--port", type=int, default=None, help="The port, in place of the setting; 0 takes a free one.")
def command(node: Path, bind: str | None, port: int | None) -> None:
    """Run the node until Ctrl-C or SIGTERM, and end with 0.

    Prints its address on stdout once it can be reached. One process serves a node at a time; the owner's other
    commands work meanwhile.
    """
    from stead.node.app import Server
    from stead.node.journal import keep_journal

    with opened(node) as running, running.home.serving():
        running.registry.check_stored()
        keep_journal(running.home.journal)
        server = Server(running, bind=bind, port=port)
        # The loop takes these signals over while it runs; here they end what has not begun, or is over, as quietly.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: server.stop())
        say(f"{running.home.settings.name} · key {running.home.key.public.fingerprint()} · log {running.home.journal}")
        say("no witness signs this node's log; clients keep its heads and refuse an older one")
        click.echo(server.url)
        server.run()
    say("stopped")

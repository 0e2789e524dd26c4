"""``stead serve``: run the node."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from stead.cli.owner import node_option, opened
from stead.cli.style import say

if TYPE_CHECKING:
    from stead.node.services.witnesses import Asked


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

    Its witnesses are asked first: when one holds a later head than the store, the store is an old one, nothing is
    served and the exit code is 4.

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
        _tell_witnesses(server.asked)
        click.echo(server.url)
        server.run()
    say("stopped")


def _tell_witnesses(asked: Sequence[Asked]) -> None:
    """Who signs this node's log, and who of them did not answer."""
    if not asked:
        say("no witness signs this node's log; clients keep its heads and refuse an older one")
        return
    good = [each for each in asked if not each.error]
    say(f"{len(good)} of {len(asked)} witnesses agree with this store")
    for each in asked:
        if each.error:
            say(f"  {each.url} did not answer: {each.error}")

"""How commands speak: data on stdout, narration on stderr, ``--json`` on every command that reads."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])


def json_option(command: Command) -> Command:
    """Add ``--json`` to a command, passed to it as ``as_json``."""
    return click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")(command)


def say(text: str) -> None:
    """Narrate on stderr: what happens, what to do next."""
    click.echo(text, err=True)


def emit_json(value: object) -> None:
    """Write ``value`` (msgspec structs, dicts, lists, numbers, texts) to stdout as one indented JSON document."""
    import msgspec

    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2))


def emit_table(header: Sequence[str], rows: Sequence[Sequence[str]], *, title: str = "") -> None:
    """Write a table to stdout: ruled in a terminal, aligned plain text, never cut, in a pipe."""
    if not sys.stdout.isatty():
        widths = [max(len(cell) for cell in column) for column in zip(header, *rows, strict=True)]
        for row in (header, *rows):
            click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title or None, box=box.SIMPLE_HEAD, pad_edge=False, title_justify="left")
    for name in header:
        table.add_column(name, overflow="fold")
    for row in rows:
        # Texts, not markup: a dataset called "[red]" prints as it is called.
        table.add_row(*(Text(cell) for cell in row))
    # Without a colour system rich writes no escape codes at all; its own reading of NO_COLOR keeps bold.
    plain = bool(os.environ.get("NO_COLOR"))
    Console(file=sys.stdout, color_system=None if plain else "auto").print(table)

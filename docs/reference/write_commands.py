"""Write `commands.md` from the commands themselves, so that the page cannot say anything else."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path

import click

from stead.cli.main import root

HEAD = """# Commands

This page is written by `make docs` from the commands' own help; a test holds that it is up to date.

Data goes to stdout, narration to stderr, and every command that reads has `--json`. A command ends with 0 when it is
done, 1 when it failed, 2 for a mistake in how it was called, 3 when the owner's rules refuse, 4 when something is not to
be trusted, and 130 when it was stopped by Ctrl-C. What an error means: `stead help CODE`, or [errors](errors.md).
"""


def commands(
    command: click.Command, path: tuple[str, ...] = ("stead",)
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """The command and all below it, depth first, in the order of ``--help``."""
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            if below is not None and not below.hidden:
                yield from commands(below, (*path, name))


def words(text: str | None) -> str:
    """A help text as Markdown: click's layout marks removed, lines joined within paragraphs."""
    paragraphs = inspect.cleandoc(text or "").split("\f", 1)[0].split("\n\n")
    return "\n\n".join(
        part.removeprefix("\b\n") if part.startswith("\b") else " ".join(part.split()) for part in paragraphs
    )


def parameters(command: click.Command) -> Iterator[str]:
    """One line for each argument and option."""
    for parameter in command.params:
        if isinstance(parameter, click.Argument):
            yield f"| `{parameter.make_metavar(click.Context(command))}` | |"
        elif isinstance(parameter, click.Option) and not parameter.hidden:
            names = ", ".join((*parameter.opts, *parameter.secondary_opts))
            value = "" if parameter.is_flag else f" {parameter.make_metavar(click.Context(command))}"
            yield f"| `{names}{value}` | {' '.join((parameter.help or '').split())} |".replace("||", "| |")


def section(path: tuple[str, ...], command: click.Command) -> str:
    """One command's section."""
    lines = list(parameters(command))
    table = "\n".join(["| argument or option | |", "|---|---|", *lines]) if lines else ""
    shown = inspect.cleandoc((command.epilog or "").replace("\b", "")).removeprefix("Examples:").strip("\n")
    examples = f"```text\n{inspect.cleandoc(shown)}\n```" if shown else ""
    return "\n\n".join(part for part in (f"## `{' '.join(path)}`", words(command.help), table, examples) if part)


def page() -> str:
    """The whole page."""
    return "\n\n".join([HEAD.strip(), *(section(*found) for found in commands(root))]) + "\n"


def main() -> None:
    """Write the page beside this script."""
    Path(__file__).with_name("commands.md").write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()

"""The root of the command line: finds a subcommand, runs it, and turns errors into texts and exit codes.

A subcommand's module is imported when it is called, so that ``stead --version`` stays fast. Data goes to stdout,
narration to stderr. Exit codes: 0 done, 1 failed, 2 usage, 3 refused, 4 not trusted, 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from pathlib import Path
from typing import Final, NamedTuple

import click

from stead import __version__
from stead.errors import SteadError

FAILED: Final = 1
INTERRUPTED: Final = 130


class Entry(NamedTuple):
    """Where a subcommand lives (``module:attribute``) and its line in ``stead --help``."""

    target: str
    summary: str


COMMANDS: Final[dict[str, Entry]] = {
    "demo": Entry(
        "stead.cli.demo:command", "Three hospitals on this machine: one question, one model, nothing leaves."
    ),
    "compute": Entry("stead.cli.compute:command", "One number about the rows of several hospitals, on shares."),
    "init": Entry("stead.cli.init:command", "Make a node: its directory, key, store and log."),
    "serve": Entry("stead.cli.serve:command", "Run the node."),
    "data": Entry("stead.cli.data:command", "Add, list and show datasets."),
    "requests": Entry("stead.cli.requests:command", "List, show, approve and deny what scientists ask for."),
    "people": Entry("stead.cli.people:command", "Who may ask: scientists, approvers and projects."),
    "peers": Entry("stead.cli.peers:command", "Other nodes that this one works with."),
    "witness": Entry("stead.cli.witness:command", "Nodes that sign each other's logs, so that none is turned back."),
    "budget": Entry("stead.cli.budget:command", "What may be spent, what is spent, and on what."),
    "privacy": Entry("stead.cli.privacy:command", "Test what is promised about people, and say what it means."),
    "policy": Entry("stead.cli.policy:command", "The owner's rules: what is allowed, asked and denied."),
    "audit": Entry("stead.cli.audit:command", "Verify and export the node's log."),
    "keys": Entry("stead.cli.keys:command", "Make and show identity keys."),
    "mpc": Entry("stead.cli.mpc:command", "Joint computations: the parties' keys, and whether they reach each other."),
    "doctor": Entry("stead.cli.doctor:command", "Versions, native kernels, clock, disk, entropy, extras, permissions."),
    "help": Entry("stead.cli.help:command", "What an error means and what to do about it."),
}

EXAMPLES: Final = """\b
Examples:
  stead demo                              see it work, on this machine
  stead doctor                            is this machine fit to be a node?
  stead help budget-exceeded              what an error means
"""


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called, not when they are listed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of ``COMMANDS``."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the subcommand ``cmd_name``."""
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name].target.partition(":")
        found = getattr(importlib.import_module(module), attribute)
        if not isinstance(found, click.Command):
            raise TypeError(f"{COMMANDS[cmd_name].target} is not a command")
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands from the table, importing none of them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.summary) for name, entry in COMMANDS.items()])


@click.group(cls=LazyGroup, epilog=EXAMPLES, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="stead")
def root() -> None:
    """Compute on data that stays with its owner."""


def main(arguments: list[str] | None = None) -> int:
    """Run ``stead`` with ``arguments`` (the process's own by default); returns the exit code."""
    try:
        result = root.main(arguments, prog_name="stead", standalone_mode=False)
    except SteadError as error:
        click.echo(f"{type(error).__name__}: {error}", err=True)
        return error.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("stopped", err=True)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader has gone (`stead ... | head`): nothing to say, and nothing more to flush.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except Exception as error:  # noqa: BLE001 the last line of defence: no traceback, no text of unknown origin
        click.echo(_unexpected(error), err=True)
        return FAILED
    return result if isinstance(result, int) else 0


def _unexpected(error: Exception) -> str:
    """A fault of ours in one line. The error's own text is left out: it may quote a value from a file of rows."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "an unknown place"
    lines = [f"NodeError: stead stopped on a fault of its own: {type(error).__name__} at {place}."]
    if os.environ.get("STEAD_TRACEBACK"):
        return "\n".join([*lines, *traceback.format_exception(error)])
    lines += ["", "  hint: STEAD_TRACEBACK=1 prints where; it may print values, so look before you share it"]
    lines += ["  more: stead help node-error"]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())

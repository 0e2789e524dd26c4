"""``stead policy``: the owner's rules."""

from __future__ import annotations

from pathlib import Path

import click

from stead.cli.owner import node_option, opened
from stead.cli.style import emit_json, json_option, say
from stead.errors import UsageError


@click.group(
    epilog="""\b
Examples:
  stead policy show
  stead policy show --toml > policy.toml        to edit, and then:
  stead policy set policy.toml
"""
)
def command() -> None:
    """The owner's rules: what is allowed, asked and denied, each with its reason."""


@command.command(
    epilog="""\b
Examples:
  stead policy show
  stead policy show --toml > policy.toml
"""
)
@click.option("--toml", "as_toml", is_flag=True, help="As `stead policy set` takes it back.")
@node_option
@json_option
def show(as_toml: bool, node: Path, as_json: bool) -> None:
    """Show the rules in force, in the order in which they are applied."""
    from stead.node.services.policy import rules_text

    if as_toml and as_json:
        raise UsageError("--toml and --json are two forms; give one.")
    with opened(node) as home:
        policy = home.books.policies.current()
    if as_json:
        emit_json(policy.rules)
    elif as_toml:
        click.echo(rules_text(policy.rules), nl=False)
    else:
        for line in policy.rules_in_words():
            click.echo(line)


@command.command(
    name="set",
    epilog="""\b
Examples:
  stead policy set policy.toml --dry-run        read and show it only
  stead policy set policy.toml
""",
)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--dry-run", is_flag=True, help="Read the file and show the rules; change nothing.")
@node_option
def set_(file: Path, dry_run: bool, node: Path) -> None:
    """Put the rules of FILE (TOML) in force; docs/reference/policy.md lists every key.

    Accounts that exist keep their budgets: `stead budget set` moves those.
    """
    from stead.node.services.policy import Policy, read_rules

    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise UsageError(f"{file} is not UTF-8 text.") from None
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}.", hint="stead policy show --toml") from None
    rules = read_rules(text, what=str(file))
    with opened(node) as home:
        if not dry_run:
            home.books.policies.set(rules)
    for line in Policy(rules).rules_in_words():
        say(line)
    say("this would be in force; nothing was changed" if dry_run else "in force from now on, and in the log")

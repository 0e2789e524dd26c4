"""``stead policy``: the owner's rules."""

from __future__ import annotations

from pathlib import Path

import click

from stead.cli.owner import node_option, opened
from stead.cli.style import emit_json, json_option, say
from stead.errors import UsageError


@click.group()
def command() -> None:
    """The owner's rules: what is allowed, asked and denied, each with its reason."""


@command.command()
@node_option
@json_option
def show(node: Path, as_json: bool) -> None:
    """Show the rules in force, in the order in which they are applied."""
    with opened(node) as home:
        policy = home.books.policies.current()
    if as_json:
        emit_json(policy.rules)
        return
    for line in policy.rules_in_words():
        click.echo(line)


@command.command(name="set")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@node_option
def set_(file: Path, node: Path) -> None:
    """Put the rules of FILE (TOML; see docs/guides/owner.md) in force."""
    from stead.node.services.policy import Policy, read_rules

    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} cannot be read: {type(error).__name__}.") from None
    rules = read_rules(text)
    with opened(node) as home:
        home.books.policies.set(rules)
    for line in Policy(rules).rules_in_words():
        say(line)
    say("in force from now on, and in the log")

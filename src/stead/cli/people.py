"""``stead people``: which scientists may ask, for which projects."""

from __future__ import annotations

from pathlib import Path

import click

from stead.cli.owner import fingerprint, next_step, node_option, opened, public_key, trusted_keys
from stead.cli.style import emit_json, emit_table, json_option, say


@click.group(
    epilog="""\b
Examples:
  stead people add ada 2e2a…a79a --project risk-2026
  stead people ls
  stead people revoke ada
"""
)
def command() -> None:
    """Which scientists may ask, for which projects."""


@command.command(
    epilog="""\b
Examples:
  stead people add ada 2e2a…a79a --project risk-2026        the key that her `stead keys show` prints
"""
)
@click.argument("name")
@click.argument("key")
@click.option("--project", required=True, help="The project they ask for; its budget is its own.")
@node_option
def add(name: str, key: str, project: str, node: Path) -> None:
    """Enrol the scientist NAME with the public KEY (64 hexadecimal digits)."""
    raw = public_key(key)
    with opened(node) as home:
        home.books.people.enrol(raw, name, role="scientist", project=project)
    say(f"enrolled {name} in project {project}; compare the fingerprint with them, by telephone:")
    say(f"  {fingerprint(raw)}")
    next_step("stead policy show", node)


@command.command(
    epilog="""\b
Examples:
  stead people ls
  stead people ls --json                        with whole keys
"""
)
@node_option
@json_option
def ls(node: Path, as_json: bool) -> None:
    """List the scientists."""
    with opened(node) as home:
        people = [person for person in home.books.people.all() if person.role == "scientist"]
    if as_json:
        found = [{"name": p.name, "key": p.key.hex(), "project": p.project, "revoked": p.revoked} for p in people]
        emit_json(found)
        return
    rows = [(p.name, p.project, "revoked" if p.revoked else "enrolled", fingerprint(p.key)) for p in people]
    emit_table(("name", "project", "state", "key"), rows)
    if not rows:
        say("nobody yet; stead people add NAME KEY --project PROJECT")


@command.command(
    epilog="""\b
Examples:
  stead people revoke ada                       all of her keys
  stead people revoke 2e2a…a79a                 one key
"""
)
@click.argument("who")
@node_option
def revoke(who: str, node: Path) -> None:
    """Trust WHO (a name, or one public key) no longer, in any project."""
    with opened(node) as home:
        keys = trusted_keys(home, who, "scientist")
        for key in keys:
            home.books.people.revoke(key)
    for key in keys:
        say(f"revoked {fingerprint(key)}; what it was answered stays answered")

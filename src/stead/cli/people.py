"""``stead people``: which scientists may ask, for which projects."""

from __future__ import annotations

from pathlib import Path

import click

from stead.cli.owner import fingerprint, node_option, opened, public_key
from stead.cli.style import emit_json, emit_table, json_option, say


@click.group()
def command() -> None:
    """Which scientists may ask, for which projects."""


@command.command()
@click.argument("name")
@click.argument("key")
@click.option("--project", required=True, help="The project they ask for; its budget is its own.")
@node_option
def add(name: str, key: str, project: str, node: Path) -> None:
    """Enrol the scientist NAME with the public KEY (64 hexadecimal digits)."""
    raw = public_key(key)
    with opened(node) as home:
        home.books.people.enrol(raw, name, role="scientist", project=project)
    say(f"enrolled {name} ({fingerprint(raw)}) in project {project}; compare the fingerprint with them")


@command.command()
@node_option
@json_option
def ls(node: Path, as_json: bool) -> None:
    """List the scientists."""
    with opened(node) as home:
        people = [person for person in home.books.people.all() if person.role == "scientist"]
    if as_json:
        emit_json(
            [
                {**_plain(person.name, person.key, revoked=person.revoked), "project": person.project}
                for person in people
            ]
        )
        return
    rows = [(p.name, p.project, "revoked" if p.revoked else "enrolled", fingerprint(p.key)) for p in people]
    emit_table(("name", "project", "state", "key"), rows)


@command.command()
@click.argument("key")
@node_option
def revoke(key: str, node: Path) -> None:
    """Trust KEY no longer, in any project."""
    raw = public_key(key)
    with opened(node) as home:
        home.books.people.revoke(raw)
    say(f"revoked {fingerprint(raw)}")


def _plain(name: str, key: bytes, *, revoked: bool) -> dict[str, object]:
    return {"name": name, "key": key.hex(), "revoked": revoked}

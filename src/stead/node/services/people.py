"""Whom the owner trusts: keys with a name, as scientists of a project or as peer sites."""

from __future__ import annotations

from typing import Literal, final

import msgspec
import sqlalchemy as sa

from stead.core.keys import PublicKey
from stead.core.leaves import PersonEnrolled, PersonRevoked
from stead.errors import PolicyDenied, UsageError
from stead.node.services.log import Log
from stead.node.store import Store, tables

Role = Literal["scientist", "site"]


class Person(msgspec.Struct, frozen=True):
    """One enrolment: a raw public key under a name. Several keys of one name are one person with one account."""

    name: str
    key: bytes
    role: Role
    project: str
    revoked: bool


@final
class People:
    """The owner's list of trusted keys."""

    def __init__(self, store: Store, log: Log) -> None:
        self._store = store
        self._log = log

    def enrol(self, key: bytes, name: str, *, role: Role, project: str = "") -> None:
        """Trust ``key`` from now on; a revoked key may be enrolled again.

        Args:
            key: 32 raw bytes.
            name: what the person or site is called; budgets of a scientist belong to the name.
            role: ``scientist`` (of ``project``) or ``site`` (no project).
            project: the project that a scientist asks for.

        Raises:
            UsageError: a name that could be mistaken in an account's id, or the key has another name already.
            BadMessage: not a usable key.
        """
        PublicKey(key)
        check_name(name, "a name")
        if (role == "scientist") != bool(project):
            raise UsageError("a scientist is enrolled in a project, a site in none.")
        if project:
            check_name(project, "a project")
        rows = tables.people
        now = self._log.now()
        row = {"key": key, "project": project, "name": name, "role": role, "enrolled_at": now, "revoked_at": None}
        same = (rows.c.key == key) & (rows.c.project == project)
        with self._store.write() as write:
            names = write.connection.execute(sa.select(rows.c.name).where(rows.c.key == key)).scalars().all()
            if any(other != name for other in names):
                raise UsageError("this key is enrolled under another name.", hint="one key, one name")
            if not write.insert_if_absent(rows, row):
                write.connection.execute(rows.update().where(same).values(row))
            self._log.append(write, PersonEnrolled(at=now, name=name, key=key, role=role, project=project))

    def revoke(self, key: bytes) -> None:
        """Trust ``key`` no longer, in no project and as no site.

        Raises:
            UsageError: it is not trusted.
        """
        rows = tables.people
        now = self._log.now()
        with self._store.write() as write:
            found = write.connection.execute(
                rows.update().where(rows.c.key == key, rows.c.revoked_at.is_(None)).values(revoked_at=now)
            )
            if not found.rowcount:
                raise UsageError("this key is not enrolled.")
            self._log.append(write, PersonRevoked(at=now, key=key))

    def all(self) -> tuple[Person, ...]:
        """Everyone ever enrolled, by name."""
        rows = tables.people
        with self._store.read() as connection:
            found = connection.execute(sa.select(rows).order_by(rows.c.name, rows.c.project, rows.c.key)).mappings()
            return tuple(
                Person(row["name"], bytes(row["key"]), row["role"], row["project"], row["revoked_at"] is not None)
                for row in found
            )

    def known(self, key: bytes) -> bool:
        """Whether messages of this key are read at all."""
        return bool(self._enrolments(key))

    def is_site(self, key: bytes) -> bool:
        """Whether this key is a trusted peer site."""
        return self.site(key) is not None

    def site(self, key: bytes) -> str | None:
        """The name of the trusted peer site with this key."""
        return next((name for name, role, _ in self._enrolments(key) if role == "site"), None)

    def scientist(self, key: bytes, project: str) -> str:
        """The name of the scientist with this key in this project.

        Raises:
            PolicyDenied: not enrolled there.
        """
        for name, role, enrolled in self._enrolments(key):
            if role == "scientist" and enrolled == project:
                return name
        raise PolicyDenied(
            f"your key is not enrolled in project {project[:80]!r} here.", hint="ask the owner to enrol it"
        )

    def only_project(self, key: bytes) -> str:
        """The project of a scientist who is enrolled in one alone.

        Raises:
            PolicyDenied: enrolled in none, or in several.
        """
        projects = sorted(project for _, role, project in self._enrolments(key) if role == "scientist")
        if len(projects) != 1:
            found = ", ".join(projects) or "none"
            raise PolicyDenied(f"say for which project you ask; your key is enrolled in: {found}.", hint='project="…"')
        return projects[0]

    def _enrolments(self, key: bytes) -> list[tuple[str, str, str]]:
        rows = tables.people
        query = sa.select(rows.c.name, rows.c.role, rows.c.project).where(
            rows.c.key == key, rows.c.revoked_at.is_(None)
        )
        with self._store.read() as connection:
            return [(name, role, project) for name, role, project in connection.execute(query)]


def check_name(name: str, what: str) -> None:
    """Raise ``UsageError`` for a name that could not be told apart inside an account's id."""
    if not 1 <= len(name) <= 128 or any(ord(c) < 32 or c in "@/\x7f" for c in name) or name != name.strip():
        raise UsageError(f"{what} is 1 to 128 printable characters without @ and /; got {name[:40]!r}.")

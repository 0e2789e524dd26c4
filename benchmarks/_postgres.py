"""A PostgreSQL server of our own, from Debian's package, for as long as a benchmark runs."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def server() -> Iterator[str]:
    """The URL of a fresh server on a socket, as durable as PostgreSQL is by default; gone afterwards.

    Raises:
        FileNotFoundError: PostgreSQL's programs are not here.
    """
    initdb, control = program("initdb"), program("pg_ctl")
    directory = Path(tempfile.mkdtemp(prefix="stead-postgres-"))
    user = None
    if os.geteuid() == 0:  # the server refuses to be root
        names = {entry.pw_name for entry in pwd.getpwall()}
        user = "postgres" if "postgres" in names else "nobody"
        shutil.chown(directory, user)
    data = directory / "data"

    def run(*command: str | Path) -> None:
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}
        subprocess.run(command, check=True, user=user, cwd=directory, env=environment, **quiet)

    try:
        run(initdb, "-D", data, "-U", "postgres", "-A", "trust")
        options = f"-c listen_addresses= -c unix_socket_directories={directory}"
        run(control, "-D", data, "-w", "-l", directory / "server.log", "-o", options, "start")
        try:
            yield f"postgresql://postgres@/postgres?host={directory}"
        finally:
            run(control, "-D", data, "-w", "-m", "fast", "stop")
    finally:
        shutil.rmtree(directory)


def program(name: str) -> str:
    """The path of one of PostgreSQL's programs; Debian keeps them out of the search path."""
    found = [shutil.which(name), *map(str, sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}")))]
    path = next((each for each in found if each), None)
    if path is None:
        raise FileNotFoundError(f"{name} of PostgreSQL is not installed")
    return path

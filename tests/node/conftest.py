"""Databases for the tests of the node: a file each, and one PostgreSQL server for all of them."""

import itertools
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import psycopg
import pytest

sys.path.insert(0, str(Path(__file__).parent))

_names = itertools.count()


def _program(name):
    found = [shutil.which(name), *map(str, sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}")))]
    return next(path for path in found if path)


@pytest.fixture(scope="session")
def postgres_server():
    """A server of our own on a socket, under a user that is not root; or the one of ``STEAD_TEST_POSTGRES``."""
    if os.environ.get("STEAD_TEST_POSTGRES"):
        yield os.environ["STEAD_TEST_POSTGRES"]
        return
    directory = Path(tempfile.mkdtemp(prefix="stead-postgres-"))
    user = None
    if os.geteuid() == 0:
        names = {entry.pw_name for entry in pwd.getpwall()}
        user = "postgres" if "postgres" in names else "nobody"
        shutil.chown(directory, user)
    data = directory / "data"
    run = {"user": user, "cwd": directory, "env": {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run(
        [_program("initdb"), "-D", data, "-U", "postgres", "-A", "trust", "--no-sync"], check=True, **run, **quiet
    )
    # The server outlives the clients that the tests kill, so its own durability is not what is tested here.
    options = f"-c listen_addresses= -c unix_socket_directories={directory} -c fsync=off -c max_connections=60"
    control = [_program("pg_ctl"), "-D", data, "-w", "-l", directory / "server.log"]
    subprocess.run([*control, "-o", options, "start"], check=True, **run, **quiet)
    yield f"postgresql://postgres@/postgres?host={directory}"
    subprocess.run([*control, "-m", "immediate", "stop"], check=True, **run, **quiet)
    shutil.rmtree(directory)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def store_url(request, tmp_path):
    """An empty database: the same tests run on both kinds."""
    if request.param == "sqlite":
        return str(tmp_path / "stead.db")
    server = request.getfixturevalue("postgres_server")
    name = f"stead_{os.getpid()}_{next(_names)}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return server.replace("/postgres?", f"/{name}?")

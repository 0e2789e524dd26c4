"""`stead serve`: tells its address when it can be reached, stops cleanly, and is the only one that serves."""

import contextlib
import os
import signal
import socket
import subprocess
import sys

import duckdb
import httpx
import pytest

from stead.node.home import Home


@contextlib.contextmanager
def serving(directory, *options):
    """`stead serve` in a process of its own; gives it and the address that it tells."""
    command = [sys.executable, "-m", "stead.cli.main", "serve", "--port", "0", *options]
    process = subprocess.Popen(command, cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process, process.stdout.readline().strip()
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "Ctrl-C"])
def test_reached_worked_with_and_stopped(run, made, number):
    with serving(made) as (process, address):
        # The certificate is the node's own; who it belongs to is the client's tests' matter.
        health = httpx.get(f"{address}/health", verify=False, timeout=20)
        assert health.json()["status"] == "ok"
        run("peers", "add", "city", "4a" * 32)  # the owner's commands work meanwhile
        page = httpx.get(f"{address}/v1/log/checkpoint", verify=False, timeout=20)
        assert page.text == (made / "stead-node/checkpoint.txt").read_text()
        ran = run("serve", "--port", "0", code=2)
        assert f"being served already, by process {process.pid}" in ran.err
        assert ran.out == ""
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert out == ""
    assert err.endswith("stopped\n")
    assert "Traceback" not in err
    assert "Traceback" not in (made / "stead-node/node.log").read_text()


def test_rows_in_an_old_form_are_found_before_anybody_asks(run, made):
    run("data", "add", "heart.csv", "--card", "card.toml")
    (file,) = (made / "stead-node/data").glob("*.duckdb")
    with duckdb.connect(str(file)) as connection:
        connection.execute("CREATE OR REPLACE TABLE about AS SELECT schema_digest FROM about")
    ran = run("serve", "--port", "0", code=2)
    assert "'heart' was stored by another version of stead" in ran.err
    assert "stead data add FILE --card CARD" in ran.err
    run("data", "add", "heart.csv", "--card", "card.toml")
    with serving(made) as (_, address):
        assert address.startswith("https://")
    file.unlink()
    with serving(made) as (_, address):  # without rows a node still serves its log
        assert address.startswith("https://")


def test_the_lock_ends_with_its_process(made):
    home = Home.open(made / "stead-node")
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        with home.serving():
            os.write(writing, b"1")
            signal.pause()
    try:
        os.read(reading, 1)
        with pytest.raises(Exception, match=f"by process {child}"), home.serving():
            pass
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(reading)
        os.close(writing)
    with home.serving():
        assert (made / "stead-node/serve.lock").read_text() == f"{os.getpid()}\n"


def test_an_address_that_cannot_be_listened_on(run, made):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ran = run("serve", "--port", port, code=2)
        assert f"cannot listen on 127.0.0.1 port {port}: Address already in use" in ran.err
        assert "stead serve --port 0" in ran.err
    assert "port 70000" in run("serve", "--port", "70000", code=2).err
    assert "cannot listen on nowhere.invalid" in run("serve", "--bind", "nowhere.invalid", code=2).err


def test_no_node_to_serve(run):
    assert "no node at stead-node" in run("serve", code=2).err

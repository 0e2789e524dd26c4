"""The node as a server: HTTPS on a socket of its own, started and stopped."""

import asyncio
import importlib
import logging
import socket
import sys
import threading
import time
from pathlib import Path

import pytest

from stead.core.entropy import SystemEntropy
from stead.core.keys import Key
from stead.errors import UsageError
from stead.net.https import PinnedConnection
from stead.node.app import Server, make_app
from stead.node.assembly import open_node
from stead.node.home import Home, Settings

sys.path.insert(0, str(Path(__file__).parents[1]))
sites = importlib.import_module("sites")


@pytest.fixture
def node(tmp_path):
    opened = open_node(Home.create(tmp_path / "node", Settings(name="north", port=0), SystemEntropy()))
    yield opened
    opened.close()


@pytest.mark.parametrize("idle_s", [5, 0.05])
def test_it_serves_until_it_is_stopped(node, idle_s, caplog):
    """A caller who is there before the loop runs waits, and an idle connection does not hold up the end.

    Nor one that the server has begun to close, to which the peer says nothing.
    """
    server = Server(node)
    server._server.config.timeout_keep_alive = idle_s
    connection = PinnedConnection(server.url, node.home.key.public.raw)
    early = []
    caller = threading.Thread(target=lambda: early.append(connection.get("/health")))
    caller.start()
    running = threading.Thread(target=server.run)
    running.start()
    caller.join(30)
    assert b'"status":"ok"' in early[0]
    assert connection.get("/v1/log/checkpoint").startswith(b"stead.log/")
    time.sleep(0.1)
    with caplog.at_level(logging.INFO):
        server.stop()
        running.join(30)
    assert not running.is_alive()
    assert "Shutting down" in caplog.text
    assert "graceful shutdown exceeded" not in caplog.text
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", server.port), timeout=5)
    connection.close()


def test_the_address_answers_before_it_is_told(node):
    server = Server(node)
    with socket.create_connection(("127.0.0.1", server.port), timeout=5):
        pass
    server._socket.close()


@pytest.mark.parametrize("address", ["192.0.2.1", "no such address", "::2"])
def test_an_address_that_cannot_be_listened_on(node, address):
    with pytest.raises(UsageError, match="cannot listen on"):
        Server(node, bind=address)


def test_a_port_that_is_taken(node):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"port {port}") as failed:
            Server(node, port=port)
    assert "--port 0" in failed.value.hint


def test_starting_ends_what_the_last_process_left(node, monkeypatch):
    recovered = []
    monkeypatch.setattr(type(node.sessions), "recover", lambda _self: recovered.append(True))

    async def start():
        async with make_app(node).lifespan():
            assert recovered == [True]

    asyncio.run(start())


def test_the_process_ends_at_sigterm_with_nothing_on_its_lips(tmp_path):
    hospital = sites.found(tmp_path, "north", Key.generate(SystemEntropy()).public.raw)
    with sites.running([hospital]):
        assert PinnedConnection(hospital.url, hospital.key).get("/health")
    said = (hospital.home.path / "serve.err").read_text()
    assert "Traceback" not in said
    assert "Traceback" not in hospital.home.journal.read_text()

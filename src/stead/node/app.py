"""The node as a web application, and the server that runs it: Litestar on uvicorn, HTTPS only."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import threading
from collections.abc import AsyncIterator, Callable
from typing import final

import uvicorn
from litestar import Litestar
from litestar.exceptions import HTTPException
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from stead import __version__
from stead.core.clock import SystemClock
from stead.core.entropy import SystemEntropy
from stead.errors import BadProof, SteadError, UsageError
from stead.net.certificates import make_certificate
from stead.node.api.routes import MOST_BODY_BYTES, failed_request, no_such_page, routes, unexpected_error
from stead.node.api.witness import witness_routes
from stead.node.assembly import Node
from stead.node.console.pages import pages
from stead.node.services.witnesses import Witnesses

_DRAIN_S = 5
_TEND_EACH_S = 60
_SEND_HEAD_EACH_S = 3
_BACKLOG = 512
_FAREWELL_S = 0.25
_log = logging.getLogger("stead.node")


def make_app(node: Node, *, on_turned_back: Callable[[BadProof], None] = lambda _: None) -> Litestar:
    """The ASGI application of a node.

    Args:
        node: opened; it is started with the application and not closed by it.
        on_turned_back: called when a witness proves, while the node serves, that its store is not the newest.
    """

    @contextlib.asynccontextmanager
    async def lifespan(_app: Litestar) -> AsyncIterator[None]:
        node.start()
        tending = asyncio.create_task(_tend(node))
        stopping = threading.Event()
        # A thread that nobody waits for: a witness that stalls must not hold up the node's end.
        arguments = node.books.witnesses, stopping, on_turned_back
        threading.Thread(target=_send_heads, args=arguments, name="heads", daemon=True).start()
        try:
            yield
        finally:
            stopping.set()
            tending.cancel()

    return Litestar(
        [
            *routes(node.books, node.reception),
            *witness_routes(node.books.log, node.books.cosigner),
            *pages(node.books),
        ],
        exception_handlers={SteadError: failed_request, HTTPException: no_such_page, Exception: unexpected_error},
        lifespan=[lifespan],
        logging_config=None,
        openapi_config=OpenAPIConfig(
            title=f"stead: {node.books.identity.name}",
            version=__version__,
            path="/schema",
            render_plugins=[JsonRenderPlugin()],  # the others show pages that load scripts from elsewhere
        ),
        request_max_body_size=MOST_BODY_BYTES,
    )


async def _tend(node: Node) -> None:
    """What a node does by itself while it serves."""
    while True:
        await asyncio.sleep(_TEND_EACH_S)
        await asyncio.to_thread(node.sessions.end_idle)


def _send_heads(witnesses: Witnesses, stopping: threading.Event, on_turned_back: Callable[[BadProof], None]) -> None:
    """Send new heads to the witnesses, beside all other work: no request waits for a witness."""
    while True:
        try:
            witnesses.sync_due()
        except BadProof as proof:
            _log.critical("the store is not the newest", extra={"doing": "witnesses", "error": proof.code()})
            on_turned_back(proof)
            return
        except Exception as error:  # noqa: BLE001 - whatever fails here must not end what sends the next head
            if not stopping.is_set():
                _log.error("fault", extra={"doing": "witnesses", "error": type(error).__name__})
        if stopping.wait(_SEND_HEAD_EACH_S):
            return


@final
class Server:
    """HTTPS for one node: a socket that is bound when this is made, and a loop that runs until it is stopped.

    The node's witnesses are asked first, so that a store which is not the newest serves nobody.

    Args:
        node: opened.
        bind: the address to listen on; the home's setting by default.
        port: the port; 0 takes a free one; the home's setting by default.

    Raises:
        UsageError: the address cannot be listened on.
        BadProof: a witness holds a later head, or one of another branch.
        PartyUnreachable: the settings want every witness's answer, and one is missing.
    """

    def __init__(self, node: Node, *, bind: str | None = None, port: int | None = None) -> None:
        settings = node.home.settings
        self.asked = node.ask_witnesses()
        self._proof: BadProof | None = None
        self._socket = _listen(bind or settings.bind, settings.port if port is None else port)
        files = make_certificate(
            node.home.key, settings.hosts, directory=node.home.tls, clock=SystemClock(), entropy=SystemEntropy()
        )
        config = uvicorn.Config(
            make_app(node, on_turned_back=self._turned_back),
            http=_Protocol,
            ssl_certfile=str(files.certificate),
            ssl_keyfile=str(files.private_key),
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=_DRAIN_S,
        )
        config.load()
        self._server = uvicorn.Server(config)
        self.port: int = self._socket.getsockname()[1]
        host = settings.hosts[0]
        self.url = f"https://[{host}]:{self.port}" if ":" in host else f"https://{host}:{self.port}"

    def run(self) -> None:
        """Serve until SIGINT or SIGTERM (in a process's main thread), or until ``stop``.

        Raises:
            BadProof: a witness has proven that the node's store is not the newest.
        """
        asyncio.run(self._server.serve(sockets=[self._socket]))
        if self._proof is not None:
            raise self._proof

    def stop(self) -> None:
        """Ask ``run`` to return; from any thread."""
        self._server.should_exit = True

    def _turned_back(self, proof: BadProof) -> None:
        self._proof = proof
        self.stop()


class _Protocol(AutoHTTPProtocol):  # type: ignore[misc, valid-type] # one of two classes, by what is installed
    """Ends an idle connection although its peer does not say farewell: TLS would wait for that, for half a minute."""

    def shutdown(self) -> None:
        """The server stops: close when what runs is answered, and at once where nothing does."""
        if self.transport.is_closing():  # since it was idle for long; closing it once more would lose hold of it
            self.transport.abort()
            return
        idle = self.cycle is None or self.cycle.response_complete
        super().shutdown()
        if idle:
            self.loop.call_later(_FAREWELL_S, self.transport.abort)


def _listen(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((address, port))
        # From here on callers wait instead of being turned away, so that the address may be told before the loop runs.
        listening.listen(_BACKLOG)
    except (OSError, OverflowError) as error:
        listening.close()
        why = error.strerror if isinstance(error, OSError) and error.strerror else "not an address"
        raise UsageError(f"cannot listen on {address} port {port}: {why}.", hint="stead serve --port 0") from None
    return listening

"""The node's front page: what a person who follows its address may know of it."""

from __future__ import annotations

from typing import Final

import jinja2
import msgspec
from litestar import Response, get
from litestar.handlers import HTTPRouteHandler

from stead import __version__
from stead.core.keys import PublicKey
from stead.core.messages import PROTOCOL
from stead.core.notes import open_checkpoint
from stead.node.services.books import Books

HEADERS: Final = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
"""Nothing but the page itself: no script, no picture, no frame, no request elsewhere."""


class Front(msgspec.Struct, frozen=True):
    """What the front page says; all of it is public at other addresses as well.

    Attributes:
        name: what the node calls itself.
        key: its public key, hexadecimal.
        fingerprint: the same, as people compare it.
        entries: how many leaves its log has.
        root: the log's root hash, hexadecimal.
        testing: a node for testing, whose noise somebody can reproduce.
        version: of stead.
        protocol: of its messages.
    """

    name: str
    key: str
    fingerprint: str
    entries: int
    root: str
    testing: bool
    version: str
    protocol: int


def pages(books: Books) -> list[HTTPRouteHandler]:
    """The handlers of the pages for people.

    Args:
        books: for the identity and the log's head.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("stead.node.console"), autoescape=True, undefined=jinja2.StrictUndefined
    )
    template = environment.get_template("front.html")

    @get("/", media_type="text/html", summary="The front page, for people", sync_to_thread=True)
    def get_front() -> Response[str]:
        return Response(template.render(front=front(books)), media_type="text/html", headers=HEADERS)

    @get("/index.json", summary="The front page's facts", sync_to_thread=True)
    def get_facts() -> Front:
        return front(books)

    return [get_front, get_facts]


def front(books: Books) -> Front:
    """The facts of the front page, as they are now."""
    key = PublicKey(books.log.node_key)
    head = open_checkpoint(books.log.checkpoint(), books.log.origin, key)
    return Front(
        name=books.identity.name,
        key=key.raw.hex(),
        fingerprint=key.fingerprint(),
        entries=head.size,
        root=head.root.hex(),
        testing=books.identity.testing,
        version=__version__,
        protocol=PROTOCOL,
    )

"""The node's addresses: one for sealed messages, the others public pages of its identity and its log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import anyio
import msgspec
from litestar import Request, Response, get, post
from litestar.exceptions import HTTPException
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import OpenAPIMediaType, Operation, RequestBody, Schema
from litestar.openapi.spec.enums import OpenAPIFormat, OpenAPIType
from litestar.params import FromQuery

from stead import __version__
from stead.core import codec
from stead.core.entropy import SystemEntropy
from stead.core.failures import to_failure
from stead.core.messages import PROTOCOL, Failure
from stead.core.signed import OVERHEAD_BYTES
from stead.errors import NodeError, SteadError, UsageError
from stead.net.certificates import Identity, make_identity
from stead.node.services.books import Books
from stead.node.services.export import export_log
from stead.node.services.faults import fault
from stead.node.services.reception import Reception

MESSAGE_TYPE = "application/vnd.stead+msgpack"
MOST_BODY_BYTES = codec.MAX_MESSAGE_BYTES + OVERHEAD_BYTES


_BAD_REQUEST = {400: ResponseSpec(Failure, generate_examples=False, description="What was asked cannot be answered")}
_OUR_FAULT = {500: ResponseSpec(Failure, generate_examples=False, description="A fault of the node, by its reference")}
_TOO_LARGE = {413: ResponseSpec(Failure, generate_examples=False, description="More bytes than a message may have")}


@dataclass
class SealedPost(Operation):
    """A request whose body is one sealed message."""

    def __post_init__(self) -> None:
        self.request_body = RequestBody(
            description="A message of stead.core.messages, sealed for this node",
            content={MESSAGE_TYPE: OpenAPIMediaType(Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY))},
            required=True,
        )


class Health(msgspec.Struct, frozen=True):
    """That the node runs, and what it speaks."""

    status: str
    version: str
    protocol: int


def routes(books: Books, reception: Reception) -> list[HTTPRouteHandler]:
    """The handlers of a node.

    Args:
        books: for the identity and the log.
        reception: answers sealed messages.
    """
    identity = make_identity(books.identity.name, books.identity.key)

    @post(
        "/v1/messages",
        status_code=200,
        media_type=MESSAGE_TYPE,
        summary="A sealed request, a sealed reply",
        operation_class=SealedPost,
        responses=_BAD_REQUEST | _TOO_LARGE | _OUR_FAULT,
    )
    async def post_message(request: Request[Any, Any, Any]) -> Response[bytes]:
        body = await request.body()
        reply = await anyio.to_thread.run_sync(reception.receive, body)
        return Response(reply, media_type=MESSAGE_TYPE)

    @get(
        "/v1/identity",
        summary="Who this node is",
        sync_to_thread=False,
        responses={200: ResponseSpec(Identity, generate_examples=False, description="The node's key and authority")},
    )
    def get_identity() -> Response[bytes]:
        return Response(identity, media_type="application/json")

    @get("/v1/log/checkpoint", media_type="text/plain", summary="The log's signed head", sync_to_thread=True)
    def get_checkpoint() -> str:
        return books.log.checkpoint()

    @get(
        "/v1/log/consistency",
        media_type="text/plain",
        summary="Hashes that prove that a log of `new` leaves begins with its first `old`",
        sync_to_thread=True,
        responses=_BAD_REQUEST,
    )
    def get_consistency(old: FromQuery[int], new: FromQuery[int]) -> str:
        return "".join(f"{digest.hex()}\n" for digest in books.log.growth(old, new))

    @get(
        "/v1/log/export",
        media_type="application/x-ndjson",
        summary="The whole log, hashes only, for outside verification",
        sync_to_thread=True,
    )
    def get_export() -> bytes:
        return export_log(books)

    @get("/health", summary="That the node runs", sync_to_thread=False)
    def get_health() -> Health:
        return Health(status="ok", version=__version__, protocol=PROTOCOL)

    return [post_message, get_identity, get_checkpoint, get_consistency, get_export, get_health]


def failed_request(_request: Request[Any, Any, Any], error: Exception) -> Response[Failure]:
    """An error of the tree, outside of sealed messages, as a JSON ``Failure``."""
    known = error if isinstance(error, SteadError) else NodeError("the node could not do this.")
    return Response(to_failure(known), status_code=500 if isinstance(known, NodeError) else 400)


def no_such_page(_request: Request[Any, Any, Any], error: Exception) -> Response[Failure]:
    """What the framework refuses (an unknown page, a wrong method, a body too long), without its own words."""
    status = error.status_code if isinstance(error, HTTPException) else 400
    return Response(to_failure(UsageError(f"this node does not serve that (HTTP {status}).")), status_code=status)


def unexpected_error(_request: Request[Any, Any, Any], error: Exception) -> Response[Failure]:
    """A fault of ours: a reference for the caller, the class of the error for the owner, a value for nobody."""
    return Response(to_failure(fault(SystemEntropy(), "page", type(error).__name__)), status_code=500)

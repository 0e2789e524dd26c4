"""The addresses of a witness: heads of other logs to be signed, and what was signed last of each.

The request and the replies of ``add-checkpoint`` are those of C2SP tlog-witness, so that other logs' software can be
pointed here; a reply that says no carries a ``Failure`` too, except for 409, whose body is the size.
"""

from __future__ import annotations

from typing import Any, Final

import anyio
from litestar import Request, Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromQuery

from stead.core.failures import to_failure
from stead.core.keys import KEY_BYTES
from stead.core.messages import Failure
from stead.core.witnessing import MAX_REQUEST_BYTES, read_request
from stead.errors import BadMessage, BadProof, BadSignature, PolicyDenied, SteadError, UsageError
from stead.node.services.cosigner import Conflict, Cosigner
from stead.node.services.log import Log

SIZE_TYPE: Final = "text/x.tlog.size"
_STATUS: Final[dict[type[SteadError], int]] = {
    UsageError: 400,
    BadMessage: 400,
    BadSignature: 403,
    PolicyDenied: 404,
    BadProof: 422,
}
_REPLIES: Final = {
    400: ResponseSpec(Failure, generate_examples=False, description="Not a request, or an old size above the new one"),
    403: ResponseSpec(Failure, generate_examples=False, description="The head is not signed by its log"),
    404: ResponseSpec(Failure, generate_examples=False, description="A log that this node does not sign"),
    409: ResponseSpec(str, generate_examples=False, media_type=SIZE_TYPE, description="The size that was signed last"),
    413: ResponseSpec(Failure, generate_examples=False, description="More bytes than a request may have"),
    422: ResponseSpec(Failure, generate_examples=False, description="The proof does not show that the log only grew"),
}


def witness_routes(log: Log, cosigner: Cosigner) -> list[HTTPRouteHandler]:
    """The handlers of a node as a witness, and of what witnesses have signed of its own log.

    Args:
        log: this node's.
        cosigner: signs others'.
    """

    @post(
        "/v1/witness/add-checkpoint",
        status_code=200,
        media_type="text/plain",
        summary="A log's new head to be cosigned, with the proof that the log only grew",
        responses=_REPLIES,
        request_max_body_size=MAX_REQUEST_BYTES,
    )
    async def post_checkpoint(request: Request[Any, Any, Any]) -> Response[Any]:
        body = await request.body()
        return await anyio.to_thread.run_sync(add_checkpoint, cosigner, body)

    @get(
        "/v1/witness/checkpoint",
        media_type="text/plain",
        summary="The head of the log of the node with the key `log` that this node cosigned last; empty before that",
        sync_to_thread=True,
        responses={status: _REPLIES[status] for status in (400, 404)},
    )
    def get_held(log: FromQuery[str]) -> Response[Any]:
        try:
            return Response(cosigner.held(_key(log)), media_type="text/plain")
        except SteadError as error:
            return _failed(error)

    @get(
        "/v1/log/witnessed",
        media_type="text/plain",
        summary="The largest head of this node's log that a witness has cosigned; empty when none has",
        sync_to_thread=True,
    )
    def get_witnessed() -> str:
        return log.witnessed()

    return [post_checkpoint, get_held, get_witnessed]


def add_checkpoint(cosigner: Cosigner, body: bytes) -> Response[Any]:
    """The reply to a request's bytes."""
    try:
        signed = cosigner.sign(read_request(body))
    except SteadError as error:
        return _failed(error)
    if isinstance(signed, Conflict):
        return Response(f"{signed.size}\n", status_code=409, media_type=SIZE_TYPE)
    return Response(signed, media_type="text/plain")


def _key(text: str) -> bytes:
    """A raw key in lower-case hexadecimal digits."""
    try:
        raw = bytes.fromhex(text)
    except ValueError:
        raw = b""
    if len(raw) != KEY_BYTES or raw.hex() != text:
        raise UsageError("a log is named by its node's key, 64 lower-case hexadecimal digits.")
    return raw


def _failed(error: SteadError) -> Response[Any]:
    status = next((code for kind, code in _STATUS.items() if isinstance(error, kind)), None)
    if status is None:
        raise error
    return Response(to_failure(error), status_code=status, media_type="application/json")

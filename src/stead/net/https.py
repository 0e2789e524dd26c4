"""The client's side of HTTPS: a connection to the node with one particular key, whatever its name or address.

First contact fetches ``/v1/identity`` over TLS that trusts anybody, and takes from it the node's key and authority. All
that follows goes over TLS 1.3 connections which accept only a certificate that this authority signed, so the peer
holds the node's key. With the key known beforehand (pinned, or from an invitation) first contact is no leap of faith
either. Host names are not compared: the key is the name.
"""

from __future__ import annotations

import contextlib
import ssl
import threading
import time
import urllib.parse
from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self, final

import msgspec

from stead.core.codec import MAX_MESSAGE_BYTES
from stead.core.failures import from_failure
from stead.core.keys import PublicKey
from stead.core.messages import Failure
from stead.errors import BadMessage, BadSignature, KeyChanged, PartyTimedOut, PartyUnreachable, UsageError
from stead.net.certificates import MAX_IDENTITY_BYTES, Identity, make_certificate, make_identity, read_identity

if TYPE_CHECKING:
    import httpx

__all__ = ["Identity", "PinnedConnection", "Timing", "make_certificate", "make_identity", "read_identity"]

MESSAGE_TYPE: Final = "application/vnd.stead+msgpack"
"""The content type of sealed messages."""

_KEEP_ALIVE_S: Final = 4.0  # less than servers commonly keep an idle connection, so that none is reused as it closes
_MAX_FAILURE_BYTES: Final = 64 * 1024
_OUTSIDE_VALIDITY: Final = (9, 10)  # X509_V_ERR_CERT_NOT_YET_VALID, X509_V_ERR_CERT_HAS_EXPIRED


class Timing(msgspec.Struct, frozen=True):
    """How long to wait, in seconds: to connect, for the next byte, and for one exchange as a whole."""

    connect_s: float = 10.0
    silence_s: float = 300.0
    exchange_s: float = 1800.0


@final
class PinnedConnection:
    """Requests to one node over TLS that only this node can have answered.

    Connections are kept and reused for a few seconds. Several threads may share one object: each request takes a
    connection of its own. A request that fails is not sent again, for a sealed message is accepted only once; seal it
    anew. Proxy settings of the environment are not looked at, redirects not followed, replies not decompressed.

    Args:
        url: ``https://host[:port]``.
        node_key: the raw public key that the node must have; ``None`` takes the one it shows (see ``node_key``).
        timing: how long to wait.
        limit_bytes: the longest reply that is read.

    Raises:
        UsageError: the URL has another form.
    """

    def __init__(
        self,
        url: str,
        node_key: bytes | None = None,
        *,
        timing: Timing | None = None,
        limit_bytes: int = MAX_MESSAGE_BYTES,
    ) -> None:
        self._url = _checked_url(url)
        self._expected = None if node_key is None else PublicKey(node_key)
        self._timing = timing or Timing()
        self._limit_bytes = limit_bytes
        self._lock = threading.Lock()
        self._identity: Identity | None = None
        self._client: httpx.Client | None = None

    @property
    def url(self) -> str:
        """``https://host[:port]``."""
        return self._url

    @property
    def identity(self) -> Identity:
        """Who the node is; makes first contact if there has been none.

        Raises:
            KeyChanged: the node shows another key than the expected one.
            PartyUnreachable: nobody there, or no stead.
            PartyTimedOut: no answer in time.
            BadMessage: what is shown as identity is none.
            VersionMismatch: it speaks another version.
        """
        self._connected()
        assert self._identity is not None  # noqa: S101 (set by _connected)
        return self._identity

    @property
    def node_key(self) -> bytes:
        """The node's raw public key: the expected one, or that of first contact, to be pinned. See ``identity``."""
        return self.identity.public_key.raw

    def get(self, path: str) -> bytes:
        """The body at ``path``. Raises as ``post`` does.

        Where the node closes an idle connection just as it is used again, reading is tried once more on a new one.
        """
        try:
            return self._exchange("GET", path, None, "")
        except PartyUnreachable as error:
            import httpx

            if not isinstance(error.__context__, httpx.RemoteProtocolError):
                raise
        return self._exchange("GET", path, None, "")

    def post(self, path: str, body: bytes, content_type: str = MESSAGE_TYPE) -> bytes:
        """Send ``body`` and return the body of the reply.

        Raises:
            KeyChanged: the peer does not hold the node's key.
            PartyUnreachable: no connection, it broke, or the peer answers as no stead does.
            PartyTimedOut: no answer in time.
            BadMessage: the reply is longer than the limit.
            SteadError: the error that the node answers with instead of a reply.
        """
        return self._exchange("POST", path, body, content_type)

    def close(self) -> None:
        """Close what is open; a later request connects again."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"PinnedConnection({self._url!r})"

    def _connected(self) -> httpx.Client:
        with self._lock:
            if self._identity is None:
                self._identity = self._first_contact()
            if self._client is None:
                context = _context()
                context.load_verify_locations(cadata=self._identity.ca)
                context.verify_flags |= ssl.VERIFY_X509_STRICT
                self._client = self._make_client(context)
            return self._client

    def _first_contact(self) -> Identity:
        context = _context()
        context.verify_mode = ssl.CERT_NONE  # nothing is trusted but what read_identity and the next connection prove
        with self._make_client(context) as client:
            identity = read_identity(self._send(client, "GET", "/v1/identity", limit_bytes=MAX_IDENTITY_BYTES))
        if self._expected is not None and identity.public_key != self._expected:
            raise KeyChanged(
                f"{self._url} shows key {identity.public_key.fingerprint()}; expected {self._expected.fingerprint()}.",
                hint="ask the node's owner, by another way, whether its key has changed",
            )
        return identity

    def _make_client(self, context: ssl.SSLContext) -> httpx.Client:
        import httpx

        timing = self._timing
        return httpx.Client(
            verify=context,
            trust_env=False,
            follow_redirects=False,
            timeout=httpx.Timeout(timing.silence_s, connect=timing.connect_s, pool=timing.exchange_s),
            limits=httpx.Limits(keepalive_expiry=_KEEP_ALIVE_S),
            headers={"accept-encoding": "identity", "user-agent": "stead"},
        )

    def _exchange(self, method: str, path: str, body: bytes | None, content_type: str) -> bytes:
        if not path.startswith("/"):
            raise UsageError(f"a path begins with a slash; got {path[:40]!r}.")
        headers = {"content-type": content_type} if body is not None else {}
        return self._send(self._connected(), method, path, body=body, headers=headers, limit_bytes=self._limit_bytes)

    def _send(
        self,
        client: httpx.Client,
        method: str,
        path: str,
        *,
        limit_bytes: int,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> bytes:
        deadline = time.monotonic() + self._timing.exchange_s
        with (
            self._translated(),
            client.stream(method, self._url + path, content=body, headers=headers) as response,
        ):
            good = response.status_code == 200
            if response.headers.get("content-encoding", "identity") != "identity":
                raise BadMessage(f"{self._url} answers with an encoding that was not asked for.")
            reply = self._read(response, limit_bytes if good else _MAX_FAILURE_BYTES, deadline)
        if not good:
            self._raise_status(response.status_code, reply)
        return reply

    def _read(self, response: httpx.Response, limit_bytes: int, deadline: float) -> bytes:
        announced = response.headers.get("content-length", "")
        if announced.isascii() and announced.isdecimal() and len(announced) < 19 and int(announced) > limit_bytes:
            raise BadMessage(f"{self._url} announces a reply of {announced} bytes, over the limit of {limit_bytes}.")
        parts, size = [], 0
        for part in response.iter_raw():
            size += len(part)
            if size > limit_bytes:
                raise BadMessage(f"{self._url} sends a reply over the limit of {limit_bytes} bytes.")
            if time.monotonic() > deadline:
                raise PartyTimedOut(f"{self._url} did not finish its reply in {self._timing.exchange_s:g} s.")
            parts.append(part)
        return b"".join(parts)

    def _raise_status(self, status: int, reply: bytes) -> None:
        """Raise the error that the node names in a JSON ``Failure``, or say that this is no stead's answer."""
        try:
            failure = msgspec.json.decode(reply, type=Failure)
        except (ValueError, RecursionError):
            raise PartyUnreachable(
                f"{self._url} answers with HTTP status {status}.", hint="is this the address of a stead?"
            ) from None
        raise from_failure(failure)

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        """Turn the errors of the HTTP library and of TLS into those of the tree."""
        import httpx

        try:
            yield
        except httpx.TimeoutException:
            raise PartyTimedOut(
                f"{self._url} did not answer in time ({self._timing.silence_s:g} s of silence)."
            ) from None
        except httpx.InvalidURL:
            raise UsageError(f"{self._url} is not an address.") from None
        except httpx.HTTPError as error:
            self._raise_tls(error)
            raise PartyUnreachable(f"{self._url} cannot be reached: {type(error).__name__}.") from None

    def _raise_tls(self, error: BaseException) -> None:
        """Raise if the cause was a certificate that the pinned authority has not signed, or one out of its time."""
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, ssl.SSLCertVerificationError):
                if cause.verify_code in _OUTSIDE_VALIDITY:
                    raise BadSignature(
                        f"the certificate of {self._url} is outside its time.",
                        hint="check this machine's clock; the node renews its certificate when it starts",
                    ) from None
                raise KeyChanged(
                    f"{self._url} shows a TLS certificate that the node's key has not signed.",
                    hint="somebody may stand between; ask the node's owner by another way",
                ) from None
            cause = cause.__cause__ or cause.__context__


def _context() -> ssl.SSLContext:
    """TLS 1.3, trusting nobody yet. The host name is not compared, because the authority signs for one node only."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    return context


def _checked_url(url: str) -> str:
    try:
        parts = urllib.parse.urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        parts, host, port = urllib.parse.urlsplit(""), None, None
    if parts.scheme != "https" or not host or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise UsageError(f"a node's address is https://host or https://host:port; got {url[:120]!r}.")
    if parts.username is not None or parts.password is not None:
        raise UsageError("a node's address holds no user name or password; keys say who you are.")
    name = f"[{host}]" if ":" in host else host
    return f"https://{name}:{port}" if port is not None else f"https://{name}"

"""A real TLS server on loopback: the right node, the wrong one, one in between, a silent one and a talkative one."""

import base64
import datetime as dt
import http.server
import socket
import ssl
import stat
import threading
from pathlib import Path

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from stead.core.clock import SystemClock
from stead.core.entropy import SystemEntropy
from stead.core.failures import to_failure
from stead.core.keys import Key
from stead.errors import (
    BadMessage,
    BadSignature,
    BudgetExceeded,
    KeyChanged,
    PartyTimedOut,
    PartyUnreachable,
    UsageError,
    VersionMismatch,
)
from stead.net.certificates import make_authority, make_certificate, make_identity
from stead.net.https import PinnedConnection, Timing, read_identity

NODE = Key.from_bytes(bytes(range(32)))
OTHER = Key.from_bytes(bytes(range(1, 33)))
QUICK = Timing(connect_s=5, silence_s=5, exchange_s=20)


class FixedClock:
    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def now(self) -> float:
        return self.seconds


class Pages(http.server.BaseHTTPRequestHandler):
    """What the server answers; ``identity`` is set for each server."""

    protocol_version = "HTTP/1.1"
    identity = b""
    ports: list[int]

    def do_GET(self) -> None:
        self.ports.append(self.client_address[1])
        if self.path == "/v1/identity":
            self._answer(200, self.identity)
        elif self.path == "/announced":
            self.send_response(200)
            self.send_header("content-length", str(1 << 40))
            self.end_headers()
        elif self.path == "/endless":
            self.send_response(200)
            self.send_header("transfer-encoding", "chunked")
            self.end_headers()
            chunk = b"10000\r\n" + bytes(0x10000) + b"\r\n"
            try:
                for _ in range(1000):
                    self.wfile.write(chunk)
            except OSError:
                self.close_connection = True
        elif self.path == "/zipped":
            self._answer(200, b"x", encoding="gzip")
        elif self.path == "/refused":
            failure = to_failure(BudgetExceeded("over by 1.", hint="wait\x1b[2J"))
            self._answer(403, msgspec.json.encode(failure))
        elif self.path == "/broken":
            self._answer(502, b"<html>bad gateway")
        elif self.path == "/elsewhere":
            self._answer(302, b"", location="https://127.0.0.1:1/")
        else:
            self._answer(200, self.path.encode())

    def do_POST(self) -> None:
        self.ports.append(self.client_address[1])
        body = self.rfile.read(int(self.headers["content-length"]))
        self._answer(200, self.headers["content-type"].encode() + b" " + body)

    def _answer(self, status: int, body: bytes, *, encoding: str = "", location: str = "") -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        if encoding:
            self.send_header("content-encoding", encoding)
        if location:
            self.send_header("location", location)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Say nothing."""


class Quiet(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is no error here."""


@pytest.fixture
def serve(tmp_path):
    """A function that starts a server with a leaf by ``tls_key`` and the identity page ``identity``."""
    servers = []

    def start(tls_key: Key = NODE, identity: bytes | None = None, at: float | None = None, version=None) -> tuple:
        directory = tmp_path / str(len(servers))
        directory.mkdir()
        clock = SystemClock() if at is None else FixedClock(at)
        files = make_certificate(
            tls_key, ["localhost", "127.0.0.1"], directory=directory, clock=clock, entropy=SystemEntropy()
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(files.certificate, files.private_key)
        if version is not None:
            context.maximum_version = version
        ports: list[int] = []
        page = make_identity("north", NODE) if identity is None else identity
        handler = type("Handler", (Pages,), {"identity": page, "ports": ports})
        server = Quiet(("127.0.0.1", 0), handler)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        servers.append(server)
        return f"https://127.0.0.1:{server.server_address[1]}", ports

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_the_pinned_node_answers(serve):
    url, _ = serve()
    with PinnedConnection(url, NODE.public.raw, timing=QUICK) as node:
        assert node.get("/hello") == b"/hello"
        assert node.post("/v1/messages", b"sealed") == b"application/vnd.stead+msgpack sealed"
        assert node.identity.name == "north"


def test_first_contact_tells_the_key_to_pin(serve):
    url, _ = serve()
    with PinnedConnection(url, timing=QUICK) as node:
        assert node.node_key == NODE.public.raw


def test_a_connection_is_reused_and_shared_by_threads(serve):
    url, ports = serve()
    with PinnedConnection(url, NODE.public.raw, timing=QUICK) as node:
        node.get("/a")
        node.get("/b")
        assert len(set(ports)) == 2  # first contact, then one connection for both
        answers: dict[int, bytes] = {}

        def ask(number: int) -> None:
            answers[number] = node.post("/x", b"%d" % number, "text/plain")

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert answers == {number: b"text/plain %d" % number for number in range(8)}


def test_another_key_than_the_pinned_one_is_refused(serve):
    url, _ = serve()
    with PinnedConnection(url, OTHER.public.raw, timing=QUICK) as node, pytest.raises(KeyChanged) as refused:
        node.get("/hello")
    assert NODE.public.fingerprint() in refused.value.what
    assert OTHER.public.fingerprint() in refused.value.what


def test_somebody_between_who_repeats_the_identity_is_refused(serve):
    url, ports = serve(tls_key=OTHER)  # shows NODE's true identity over OTHER's TLS
    with PinnedConnection(url, NODE.public.raw, timing=QUICK) as node:
        with pytest.raises(KeyChanged, match="not signed"):
            node.post("/v1/messages", b"secret")
        assert len(ports) == 1  # nothing was sent after first contact


def test_the_peer_may_not_change_between_requests(serve, tmp_path):
    url, _ = serve()
    other, _ = serve(tls_key=OTHER, identity=make_identity("north", OTHER))
    with PinnedConnection(url, timing=QUICK) as node:
        node.get("/hello")
        node.close()
        node._url = other  # as if the name now led elsewhere
        with pytest.raises(KeyChanged):
            node.get("/hello")


@pytest.mark.parametrize("years", [-3, 3])
def test_a_certificate_outside_its_time_is_refused(serve, years):
    url, _ = serve(at=SystemClock().now() + years * 365 * 86400)
    with PinnedConnection(url, NODE.public.raw, timing=QUICK) as node, pytest.raises(BadSignature, match="its time"):
        node.get("/hello")


def test_older_tls_is_refused(serve):
    url, _ = serve(version=ssl.TLSVersion.TLSv1_2)
    with PinnedConnection(url, NODE.public.raw, timing=QUICK) as node, pytest.raises(PartyUnreachable):
        node.get("/hello")


def test_nobody_listening():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"https://127.0.0.1:{taken.getsockname()[1]}"
        with PinnedConnection(url, timing=QUICK) as node, pytest.raises(PartyUnreachable):
            node.get("/hello")


def test_a_hung_server_times_out():
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        url = f"https://127.0.0.1:{listening.getsockname()[1]}"
        timing = Timing(connect_s=0.2, silence_s=0.2)
        with PinnedConnection(url, timing=timing) as node, pytest.raises(PartyTimedOut):
            node.get("/hello")


@pytest.mark.parametrize("path", ["/announced", "/endless"])
def test_a_huge_reply_is_refused(serve, path):
    url, _ = serve()
    with PinnedConnection(url, timing=QUICK, limit_bytes=100_000) as node:
        with pytest.raises(BadMessage, match="limit"):
            node.get(path)
        assert node.get("/after") == b"/after"


def test_a_reply_that_never_ends_runs_out_of_time(serve):
    url, _ = serve()
    timing = Timing(connect_s=5, silence_s=5, exchange_s=1e-9)
    with PinnedConnection(url, timing=Timing(connect_s=5, silence_s=5), limit_bytes=1 << 30) as node:
        node.get("/first")
        node._timing = timing
        with pytest.raises(PartyTimedOut, match="did not finish"):
            node.get("/endless")


def test_a_compressed_reply_is_refused(serve):
    url, _ = serve()
    with PinnedConnection(url, timing=QUICK) as node, pytest.raises(BadMessage):
        node.get("/zipped")


def test_the_nodes_own_errors_come_through_without_control_characters(serve):
    url, _ = serve()
    with PinnedConnection(url, timing=QUICK) as node, pytest.raises(BudgetExceeded) as refused:
        node.get("/refused")
    assert refused.value.what == "over by 1."
    assert "\x1b" not in refused.value.hint


@pytest.mark.parametrize("path", ["/broken", "/elsewhere"])
def test_an_answer_that_is_no_steads(serve, path):
    url, _ = serve()
    with PinnedConnection(url, timing=QUICK) as node, pytest.raises(PartyUnreachable, match="HTTP status"):
        node.get(path)


@pytest.mark.parametrize(
    "url",
    [
        "http://host",
        "host",
        "https://",
        "https://a:b@host",
        "https://host/path",
        "https://host:99999",
        "https://[::1",
        "",
    ],
)
def test_addresses_of_another_form_are_refused(url):
    with pytest.raises(UsageError):
        PinnedConnection(url)


def test_an_ipv6_address_is_an_address():
    assert PinnedConnection("https://[::1]:8443/").url == "https://[::1]:8443"


def test_the_files_are_private_and_replaced(tmp_path: Path):
    for _ in range(2):
        files = make_certificate(NODE, ["x.example"], directory=tmp_path, clock=SystemClock(), entropy=SystemEntropy())
    assert {stat.S_IMODE(path.stat().st_mode) for path in (files.certificate, files.private_key)} == {0o600}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tls-certificate.pem", "tls-key.pem"]


@pytest.mark.parametrize("hostnames", [[], ["a" * 64 + ".example"], ["\u2028"]])
def test_a_certificate_needs_names(tmp_path, hostnames):
    with pytest.raises(UsageError):
        make_certificate(NODE, hostnames, directory=tmp_path, clock=SystemClock(), entropy=SystemEntropy())


def test_the_authority_is_a_function_of_the_key():
    assert make_authority(NODE) == make_authority(NODE)
    assert make_authority(NODE) != make_authority(OTHER)


def _identity(**changes: object) -> bytes:
    return msgspec.json.encode(msgspec.json.decode(make_identity("north", NODE)) | changes)


def test_an_identity_is_read():
    identity = read_identity(make_identity("north", NODE))
    assert identity.public_key == NODE.public
    assert identity.ca == make_authority(NODE)


@pytest.mark.parametrize(
    "page",
    [
        b"",
        b"{}",
        b"[" * 10_000,
        b" " * 100_000,
        _identity(key="00"),
        _identity(key=NODE.public.raw.hex().upper()),
        _identity(key=OTHER.public.raw.hex()),
        _identity(key="00" * 32),
        _identity(ca=make_authority(OTHER)),
        _identity(ca="-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
        _identity(ca=""),
    ],
)
def test_an_identity_whose_parts_do_not_agree_is_refused(page):
    with pytest.raises(BadMessage):
        read_identity(page)


def test_an_identity_of_another_version_is_told_apart():
    with pytest.raises(VersionMismatch):
        read_identity(_identity(protocol=2))


def test_a_second_certificate_in_the_identity_is_not_trusted():
    identity = read_identity(_identity(ca=make_authority(NODE) + make_authority(OTHER)))
    assert identity.ca == make_authority(NODE)


def test_an_authority_that_is_not_signed_by_its_key_is_refused():
    lines = make_authority(NODE).splitlines()
    der = bytearray(base64.b64decode("".join(lines[1:-1])))
    der[-1] ^= 1  # the last byte of the signature
    forged = "\n".join([lines[0], base64.b64encode(der).decode(), lines[-1], ""])
    with pytest.raises(BadMessage, match="self-signed"):
        read_identity(_identity(ca=forged))


@pytest.mark.parametrize("constraints", [None, x509.BasicConstraints(ca=False, path_length=None)])
def test_a_certificate_of_the_key_that_is_no_authority_is_refused(constraints):
    private = NODE.for_certificates()
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "stead node")])
    start = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
    builder = x509.CertificateBuilder(
        issuer_name=name,
        subject_name=name,
        public_key=private.public_key(),
        serial_number=1,
        not_valid_before=start,
        not_valid_after=start + dt.timedelta(days=9999),
    )
    if constraints is not None:
        builder = builder.add_extension(constraints, critical=True)
    pem = builder.sign(private, algorithm=None).public_bytes(Encoding.PEM).decode()
    with pytest.raises(BadMessage):
        read_identity(_identity(ca=pem))


def test_a_leaf_is_no_authority(tmp_path):
    files = make_certificate(NODE, ["x.example"], directory=tmp_path, clock=SystemClock(), entropy=SystemEntropy())
    leaf = files.certificate.read_text().partition("-----END CERTIFICATE-----\n")
    with pytest.raises(BadMessage):
        read_identity(_identity(ca=leaf[0] + leaf[1]))

"""Channels between two parties on this machine: sealed frames beside plain TCP and Python's TLS 1.3, in the same run.

One way: messages of 1 MiB and 64 MiB from one process to another, until the last one has been opened; there and back:
64 bytes each way. The parties of stead run the code of a joint computation (``PartyChannel.exchange``); plain TCP and
TLS are a loop of ``sendall`` and ``recv_into`` in pieces of 1 MiB, the receiver keeping what it got as stead's does.
"""

from __future__ import annotations

import datetime as dt
import os
import resource
import socket
import ssl
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from report import Row, Timing, arguments, compared, emit, progress, timing_row

from stead.core.channel import PartyChannel
from stead.core.entropy import SystemEntropy
from stead.net.mesh import connect_mesh, insecure_plain_mesh
from stead.net.noise import StaticKey
from stead.net.parties import Parties, Party

PIECE = 1 << 20
SMALL = 64
WORKS = (("messages of 1 MiB", 1 << 20), ("messages of 64 MiB", 64 << 20))


class Raw:
    """A socket, plain or in TLS, with the three things that are measured."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._small = bytearray(SMALL)

    def send(self, message: np.ndarray) -> None:
        """One message."""
        view = memoryview(message)
        for start in range(0, len(view), PIECE):
            self._socket.sendall(view[start : start + PIECE])

    def receive(self, size_bytes: int) -> memoryview:
        """One message, into memory of its own."""
        view, filled = memoryview(np.empty(size_bytes, np.uint8)), 0
        while filled < size_bytes:
            filled += self._socket.recv_into(view[filled : filled + PIECE])
        return view

    def close(self) -> None:
        """Close."""
        self._socket.close()


class Channelled:
    """One end of a channel between two parties."""

    def __init__(self, channel: PartyChannel) -> None:
        self._channel, (self._peer,) = channel, channel.peers

    def send(self, message: np.ndarray) -> None:
        """One round that only sends."""
        self._channel.exchange({self._peer: [message]}, {})

    def receive(self, size_bytes: int) -> memoryview:
        """One round that only receives."""
        return self._channel.exchange({}, {self._peer: size_bytes})[self._peer]

    def close(self) -> None:
        """Close."""
        self._channel.close()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def parties(port: int) -> tuple[Parties, list[StaticKey]]:
    """Two parties on this machine."""
    keys = [StaticKey.generate(SystemEntropy()) for _ in range(2)]
    members = [
        Party(name=name, host="127.0.0.1", port=port + place, key=key.public)
        for place, (name, key) in enumerate(zip(("receiver", "sender"), keys, strict=True))
    ]
    return Parties(tuple(members)), keys


def certificate(folder: Path) -> Path:
    """A key and a certificate for the TLS row, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "benchmark")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1)).not_valid_after(now + dt.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    path = folder / "both.pem"
    path.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + made.public_bytes(Encoding.PEM)
    )
    return path


def connect(system: str, place: int, port: int, setting: Any) -> Raw | Channelled:
    """One end (0 receives and listens, 1 sends) of a connection of a kind."""
    if system == "stead":
        who, keys = setting
        return Channelled(connect_mesh(who, who.names[place], keys[place], entropy=SystemEntropy()))
    if system == "stead plain":
        who, _ = setting
        return Channelled(insecure_plain_mesh(who, who.names[place]))
    if place == 0:
        with socket.create_server(("127.0.0.1", port)) as listener:
            connection, _ = listener.accept()
    else:
        connection = _dialled(port)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if system == "TCP":
        return Raw(connection)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if place == 0 else ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    if place == 0:
        context.load_cert_chain(setting)
        return Raw(context.wrap_socket(connection, server_side=True))
    context.load_verify_locations(setting)
    context.check_hostname = False
    return Raw(context.wrap_socket(connection))


def _dialled(port: int) -> socket.socket:
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port))
        except ConnectionRefusedError:
            time.sleep(0.01)


def measured(system: str, setting: Any, port: int, plan: list[tuple[int, int, int]], trips: int) -> list[Timing]:
    """Seconds for each (message bytes, messages, runs) of ``plan``, and then for one trip there and back."""
    child = os.fork()
    end = connect(system, int(child == 0), port, setting)
    timings = []
    for size_bytes, count, runs in plan:
        message = np.random.default_rng(size_bytes).integers(0, 256, size_bytes, np.uint8)
        seconds, processor = [], []
        for _ in range(runs + 1):
            start, cpu = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
            for _ in range(count):
                if child == 0:
                    end.send(message)
                else:
                    got = end.receive(size_bytes)
            seconds.append((time.perf_counter() - start) / count)
            used = resource.getrusage(resource.RUSAGE_SELF)
            processor.append((used.ru_utime + used.ru_stime - cpu.ru_utime - cpu.ru_stime) / count)
            if child:
                assert got[0] == message[0]
                assert got[-1] == message[-1]
                end.send(np.zeros(1, np.uint8))
            else:
                end.receive(1)
        timings.append(Timing(tuple(seconds[1:]), statistics.median(processor[1:])))
    small, seconds = np.zeros(SMALL, np.uint8), []
    for _ in range(trips):
        start = time.perf_counter()
        if child == 0:
            end.send(small)
            end.receive(SMALL)
        else:
            end.receive(SMALL)
            end.send(small)
        seconds.append(time.perf_counter() - start)
    end.close()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    return [*timings, Timing(tuple(seconds[trips // 10 :]))]


def main() -> None:
    """Print the rows."""
    wanted = arguments(__doc__ or "")
    total, runs, trips = ((256 << 20), 3, 500) if wanted.quick else ((2 << 30), 7, 5000)
    plan = [(size_bytes, max(1, total // size_bytes), runs) for _, size_bytes in WORKS]
    rows: list[Row] = []
    found: dict[str, list[Timing]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for system in ("TCP", "TLS 1.3", "stead plain", "stead"):
            progress(system)
            port = free_port()
            setting: Any = parties(port) if system.startswith("stead") else certificate(Path(folder))
            sys.stdout.flush()
            found[system] = measured(system, setting, port, plan, trips)
    shown = {
        "TCP": ("TCP", "plain"),
        "TLS 1.3": ("Python ssl", "TLS 1.3"),
        "stead plain": ("stead", "plain frames"),
        "stead": ("stead", "sealed frames"),
    }
    for index, (work, size_bytes) in enumerate([*WORKS, (f"{SMALL} bytes there and back", 0)]):
        lines = {}
        for system, (name, variant) in shown.items():
            timing = found[system][index]
            speed = size_bytes / timing.median / 1e9 if size_bytes else None
            lines[system] = timing_row(work, name, variant, timing, bytes=size_bytes or SMALL, gb_per_s=speed)
        rows += [lines["TCP"], *(compared(line, lines["TCP"]) for system, line in lines.items() if system != "TCP")]
    emit("channels", rows, as_json=wanted.json)


if __name__ == "__main__":
    main()

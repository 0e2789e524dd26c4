"""Start a measured computation's parties as processes of their own, and read what they leave."""

from __future__ import annotations

import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from report import Row, row

from stead.core.entropy import SystemEntropy
from stead.net.noise import KEY_BYTES, StaticKey
from stead.net.parties import Party, entry
from stead.net.simulated import LAN, WAN

PARTY, AGGREGATION = (Path(__file__).with_name(name) for name in ("party.py", "aggregation.py"))
NAMES = ("helper", "first", "second")
TIMEOUT_S = 1200
VECTOR_LENGTH = 1_000_000


@dataclass(frozen=True)
class Run:
    """What the parties do.

    Attributes:
        work: a name of ``party.ALL``, or ``resnet18``.
        protocol: cleartext, replicated or masked.
        channel: sealed or plain.
        runs: how often, after one warm-up.
        threads: of each party's ring products.
        dealer_threads: of the dealer's, who prepares while the others wait.
        calibrated: whether comparisons are narrowed to the ranges seen.
        ring_bits: of an aggregation.
        noisy: whether the parties add noise before the result is opened (``private``).
    """

    work: str
    protocol: str
    channel: str = "sealed"
    runs: int = 5
    threads: int = 1
    dealer_threads: int = 2
    calibrated: bool = False
    ring_bits: int = 64
    noisy: bool = False


@dataclass(frozen=True)
class Found:
    """What came of it: each party's figures, by place, and the opened result."""

    parties: list[dict[str, Any]]
    result: npt.NDArray[np.float64]


def launched(run: Run, prepared: Callable[[Path], None] | None = None, *, script: Path = PARTY) -> Found:
    """Run a work between processes.

    Args:
        run: what.
        script: what each process runs.
        prepared: writes the work's files into the run's folder.

    Raises:
        RuntimeError: a party failed; carries its last words.
    """
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        (folder / "run.json").write_text(json.dumps(asdict(run)), encoding="utf-8")
        _introduce(folder)
        if prepared:
            prepared(folder)
        places = range(1 if run.protocol == "cleartext" else len(NAMES))
        parties = [
            subprocess.Popen(
                [sys.executable, str(script), directory, str(place)],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env=os.environ | {"OMP_NUM_THREADS": "1"},
                text=True,
            )
            for place in places
        ]
        ends = [party.communicate(timeout=TIMEOUT_S)[1] for party in parties]
        for party, words in zip(parties, ends, strict=True):
            if party.returncode:
                raise RuntimeError(words.strip())
        left = [json.loads((folder / f"{place}.json").read_text(encoding="utf-8")) for place in places]
        return Found(left, np.load(folder / "result.npy"))


def _introduce(folder: Path) -> None:
    tables = []
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in NAMES]
    for name, reserved in zip(NAMES, sockets, strict=True):
        secret = SystemEntropy().take(KEY_BYTES)
        (folder / f"{name}.key").write_bytes(secret)
        key = StaticKey.from_bytes(secret)
        tables.append(entry(Party(name=name, host="127.0.0.1", port=reserved.getsockname()[1], key=key.public)))
    for reserved in sockets:
        reserved.close()
    (folder / "parties.toml").write_text("\n".join(tables), encoding="utf-8")


def found_row(run: Run, variant: str, threat: str, found: Found, plain: npt.NDArray[Any]) -> Row:
    """The figures of one launch: seconds of the slowest party, medians over the runs."""

    def over_parties(part: str, figure: str, fold: Callable[[list[float]], float]) -> list[float]:
        several = [party["runs"] for party in found.parties if part in party["runs"][0]]
        return [fold([runs[at][part][figure] for runs in several]) for at in range(run.runs)]

    def slowest(part: str, figure: str) -> list[float]:
        return over_parties(part, figure, max)

    seconds = slowest("compute", "seconds")
    online = [party["runs"][-1] for party in found.parties if "compute" in party["runs"][-1]]
    prepared = {}
    if "prepare" in found.parties[0]["runs"][0]:
        prepared = {
            "preprocessing_seconds": statistics.median(slowest("prepare", "seconds")),
            "preprocessing_cpu_seconds": statistics.median(over_parties("prepare", "cpu_seconds", sum)),
            "preprocessing_bytes": int(max(slowest("prepare", "bytes"))),
        }
        prepared["total_seconds"] = statistics.median(seconds) + prepared["preprocessing_seconds"]
    return row(
        run.work,
        "stead",
        variant,
        threat=threat,
        seconds=statistics.median(seconds),
        seconds_min=min(seconds),
        seconds_max=max(seconds),
        runs=run.runs,
        cpu_seconds=statistics.median(over_parties("compute", "cpu_seconds", sum)),
        **prepared,
        sharing_seconds=statistics.median(slowest("share", "seconds")),
        reveal_seconds=statistics.median(slowest("reveal", "seconds")),
        rounds=max(party["compute"]["rounds"] for party in online),
        bytes=max(party["compute"]["bytes"] for party in online),
        lan_seconds=statistics.median(seconds) + max(party["compute"]["lan_s"] for party in online),
        wan_seconds=statistics.median(seconds) + max(party["compute"]["wan_s"] for party in online),
        peak_mb=max(party["peak_mb"] for party in found.parties),
        error=float(np.abs(found.result - plain).max()),
    )


def aggregation_row(run: Run, variant: str, threat: str, found: Found, plain: npt.NDArray[Any]) -> Row:
    """The figures of an aggregation.

    On a network each client has a link of its own, so there are two messages of one vector: a client's and the opening.
    """
    vector = {"vector": VECTOR_LENGTH * run.ring_bits // 8}
    network_s = {network.name: 2 * network.round_s(vector, {}) for network in (LAN, WAN)}
    several = [party["runs"] for party in found.parties]
    seconds = [max(runs[at]["compute"]["seconds"] for runs in several) for at in range(run.runs)]
    return row(
        run.work,
        "stead",
        variant,
        threat=threat,
        seconds=statistics.median(seconds),
        seconds_min=min(seconds),
        seconds_max=max(seconds),
        runs=run.runs,
        cpu_seconds=statistics.median(
            sum(runs[at]["compute"]["cpu_seconds"] for runs in several) for at in range(run.runs)
        ),
        rounds=2,  # the clients' shares, the opening
        lan_seconds=statistics.median(seconds) + network_s["LAN"],
        wan_seconds=statistics.median(seconds) + network_s["WAN"],
        bytes=max(runs[-1]["compute"]["bytes"] for runs in several),
        peak_mb=max(party["peak_mb"] for party in found.parties),
        error=float(np.abs(found.result - plain).max()),
    )

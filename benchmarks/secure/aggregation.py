"""Ten clients' vectors, two aggregators, one receiver: ``python aggregation.py FOLDER PLACE``.

Places 0 and 1 add up, place 2 is the clients. In a noisy run each clips its vector and adds its part of the noise.

From the clients' encoding of their numbers to the sum's decoding at the receiver (the first aggregator): everything
that is sent crosses sealed sockets between the three processes.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from private import CLIENTS, LENGTH, UPDATE_FRACTION, client_vectors, released
from works import peak_mb

from stead.core.channel import PartyChannel
from stead.core.entropy import SystemEntropy
from stead.mpc.fixed import encode
from stead.mpc.kernels.memory import keep_freed_memory
from stead.mpc.party import Party
from stead.mpc.protocols.additive.aggregation import Aggregator, split
from stead.net.mesh import connect_mesh, insecure_plain_mesh
from stead.net.noise import StaticKey
from stead.net.parties import read_parties

CLIENTS_PLACE = 2
FRACTION = {64: 16, 32: UPDATE_FRACTION}
"""Fraction bits: the sum of ten numbers below 2^15 fits 32 bits."""


def clients(channel: PartyChannel, vectors: list[Any], run: dict[str, Any]) -> None:
    """Encode, split and send each client's vector."""
    entropy, ring_bits = SystemEntropy(), run["ring_bits"]
    for vector in vectors:
        integers = released(vector, entropy) if run["noisy"] else encode(vector, FRACTION[ring_bits])
        shares = split(integers, 2, entropy=entropy, ring_bits=ring_bits)
        sent = dict(zip(channel.peers, shares, strict=True))
        channel.exchange({name: [len(share).to_bytes(8, "little")] for name, share in sent.items()}, {})
        channel.exchange({name: [share] for name, share in sent.items()}, {})


def aggregated(party: Party, ring_bits: Any) -> Any:
    """Take the shares as they come, then open the sum at the first aggregator."""
    adding = Aggregator(party, LENGTH, ring_bits=ring_bits, aggregators=CLIENTS_PLACE)
    source, clients_name = party.channel, party.names[CLIENTS_PLACE]
    for number in range(CLIENTS):
        size = int.from_bytes(source.exchange({}, {clients_name: 8})[clients_name], "little")
        adding.add(f"client {number}", source.exchange({}, {clients_name: size})[clients_name])
    total = adding.reveal([0])
    if total is None:
        return None
    kind = np.int64 if ring_bits == 64 else np.int32
    return np.ldexp(total.view(kind).astype(np.float64), -FRACTION[ring_bits])


def main() -> None:
    """Run as often as asked, and leave the figures."""
    keep_freed_memory()
    folder, place = Path(sys.argv[1]), int(sys.argv[2])
    run = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    parties = read_parties((folder / "parties.toml").read_text(encoding="utf-8"))
    name = parties.names[place]
    if run["channel"] == "plain":
        channel: PartyChannel = insecure_plain_mesh(parties, name, timeout_s=120)
    else:
        key = StaticKey.from_bytes((folder / f"{name}.key").read_bytes())
        channel = connect_mesh(parties, name, key, entropy=SystemEntropy(), timeout_s=120)
    vectors = client_vectors()
    others, figures, result = channel.peers, [], None
    for _ in range(run["runs"] + 1):
        channel.exchange({peer: [] for peer in others}, dict.fromkeys(others, 0))
        start, busy, before = time.perf_counter(), time.process_time(), channel.traffic
        if place == CLIENTS_PLACE:
            clients(channel, vectors, run)
        else:
            result = aggregated(Party(place, parties.names, channel, SystemEntropy()), run["ring_bits"])
        channel.exchange({peer: [] for peer in others}, dict.fromkeys(others, 0))
        spent = channel.traffic.since(before)
        took, worked = time.perf_counter() - start, time.process_time() - busy
        figure = {"seconds": took, "cpu_seconds": worked, "bytes": spent.total_sent_bytes}
        figures.append({"compute": figure})
    if result is not None:
        np.save(folder / "result.npy", result)
    (folder / f"{place}.json").write_text(json.dumps({"runs": figures[1:], "peak_mb": peak_mb()}), encoding="utf-8")
    channel.close()


if __name__ == "__main__":
    main()

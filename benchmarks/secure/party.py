"""One party of a measured computation, in a process of its own: ``python party.py FOLDER PLACE``.

The folder holds ``run.json`` (what, how often, over which channel), ``parties.toml`` and each party's key; the process
leaves ``PLACE.json`` with its times and traffic, and the receiver ``result.npy``.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from private import CROSS, CROSS_WORK, noise_of
from resnet import shared_resnet
from works import WORKS, entered, peak_mb

from stead.core.channel import PartyChannel
from stead.core.entropy import SystemEntropy
from stead.mpc.fixed import Secret, decode
from stead.mpc.kernels.memory import keep_freed_memory
from stead.mpc.noise import clamp, with_noise
from stead.mpc.party import Party, agree
from stead.mpc.protocol import Protocol
from stead.mpc.protocols.cleartext.protocol import Cleartext
from stead.mpc.protocols.masked.delivery import accept, deliver
from stead.mpc.protocols.masked.preparation import prepare
from stead.mpc.protocols.masked.protocol import Masked
from stead.mpc.protocols.replicated.protocol import Replicated
from stead.net.local import local_mesh
from stead.net.mesh import connect_mesh, insecure_plain_mesh
from stead.net.noise import StaticKey
from stead.net.parties import read_parties
from stead.net.simulated import LAN, WAN, SimulatedChannel

RECEIVER = 2
RESNET = "resnet18"
ALL = WORKS | {CROSS: CROSS_WORK}


class Marks:
    """When, and after how much traffic, each part of a run began."""

    def __init__(self, channel: PartyChannel, simulated: dict[str, SimulatedChannel]) -> None:
        self._channel, self._simulated = channel, simulated
        self._at: list[tuple[float, float, Any, dict[str, float]]] = []

    def mark(self, *, wait_for: tuple[str, ...] = ()) -> None:
        """Here a part begins, at all parties at once if they wait for one another."""
        if wait_for:
            self._channel.exchange({name: [] for name in wait_for}, dict.fromkeys(wait_for, 0))
        elapsed = {name: channel.simulated_s for name, channel in self._simulated.items()}
        self._at.append((time.perf_counter(), time.process_time(), self._channel.traffic, elapsed))

    def parts(self, names: list[str]) -> dict[str, dict[str, Any]]:
        """Seconds, rounds and bytes of each part."""
        found = {}
        for name, (start, busy, before, simulated), end in zip(names, self._at, self._at[1:], strict=False):
            spent, later = end[2].since(before), end[3]
            found[name] = {
                "seconds": end[0] - start,
                "cpu_seconds": end[1] - busy,
                "rounds": spent.rounds,
                "bytes": spent.total_sent_bytes,
                **{f"{network}_s": later[network] - simulated[network] for network in later},
            }
        return found


def computed(p: Protocol, run: dict[str, Any], folder: Path, marks: Marks, peers: tuple[str, ...]) -> Any:
    """Share, compute, reveal: the whole of one run, with marks between."""
    name = run["work"]
    marks.mark(wait_for=peers)
    if name == RESNET:
        secrets, compute = shared_resnet(p, folder, calibrated=run["calibrated"])
    else:
        secrets, compute = entered(p, ALL[name], run["inputs"]), ALL[name].compute
    marks.mark(wait_for=peers)
    result: Secret = compute(p, secrets)
    if run["noisy"]:
        noise, limit = noise_of(name)
        held = result if limit is None else clamp(p, result, int(limit * 2**result.scale))
        result = with_noise(p, held, noise)
    marks.mark()
    single = p.facts.parties == 1
    opened = p.reveal(result.share, None if single else [RECEIVER])
    marks.mark()
    return None if opened is None else decode(opened, result.scale)


PARTS = ["share", "compute", "reveal"]


def masked(party: Party, run: dict[str, Any], folder: Path, simulated: dict[str, SimulatedChannel]) -> dict[str, Any]:
    """Prepare at place 0 and hand over; then compute at the two others."""
    channel, others = party.channel, party.channel.peers
    channel.exchange({name: [] for name in others}, dict.fromkeys(others, 0))
    before, start, busy = channel.traffic, time.perf_counter(), time.process_time()
    if party.place == 0:
        quiet = Marks(_Silent(), {})
        _, materials = prepare(
            lambda p: computed(p, run, folder, quiet, ()),
            names=party.names,
            entropy=party.entropy,
            threads=run["dealer_threads"],
        )
        deliver(party, materials)
        material = None
    else:
        material = accept(party)
    channel.exchange({name: [] for name in others}, dict.fromkeys(others, 0))
    spent = channel.traffic.since(before)
    took, worked = time.perf_counter() - start, time.process_time() - busy
    prepared = {"seconds": took, "cpu_seconds": worked, "bytes": spent.total_sent_bytes}
    if material is None:
        return {"prepare": prepared}
    marks = Marks(channel, simulated)
    result = computed(
        Masked(party, material), run, folder, marks, tuple(name for name in others if name != party.names[0])
    )
    return {"prepare": prepared, "result": result, **marks.parts(PARTS)}


class _Silent:
    """The channel of a party that sends nothing."""

    def __init__(self) -> None:
        from stead.core.channel import Traffic

        self.traffic = Traffic()
        self.name, self.peers = "", ()


def once(party: Party, run: dict[str, Any], folder: Path, simulated: dict[str, SimulatedChannel]) -> dict[str, Any]:
    """One measured run under the protocol that was asked for."""
    if run["protocol"] == "masked":
        return masked(party, run, folder, simulated)
    marks = Marks(party.channel, simulated)
    side: Protocol = Cleartext(party) if run["protocol"] == "cleartext" else Replicated(party)
    alone = run["protocol"] == "cleartext"
    result = computed(side, run, folder, marks, () if alone else party.channel.peers)
    return {"result": result, **marks.parts(PARTS)}


def connected(run: dict[str, Any], folder: Path, place: int) -> tuple[tuple[str, ...], PartyChannel]:
    """The channel to the other parties."""
    if run["protocol"] == "cleartext":
        return ("clear",), local_mesh(["clear", "nobody"])["clear"]
    parties = read_parties((folder / "parties.toml").read_text(encoding="utf-8"))
    name = parties.names[place]
    if run["channel"] == "plain":
        return parties.names, insecure_plain_mesh(parties, name, timeout_s=120)
    key = StaticKey.from_bytes((folder / f"{name}.key").read_bytes())
    return parties.names, connect_mesh(parties, name, key, entropy=SystemEntropy(), timeout_s=120)


def main() -> None:
    """Run as often as asked, and leave the figures."""
    keep_freed_memory()
    folder, place = Path(sys.argv[1]), int(sys.argv[2])
    run = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    names, real = connected(run, folder, place)
    lan = SimulatedChannel(real, LAN)
    channel = SimulatedChannel(lan, WAN)
    simulated = {"lan": lan, "wan": channel}
    entropy = SystemEntropy()
    streams = agree(place, names, channel, entropy) if run["protocol"] == "replicated" else {}
    party = Party(place, names, channel, entropy, run["threads"], streams)
    run["inputs"] = ALL[run["work"]].inputs() if run["work"] in ALL else []
    gc.disable()
    figures = []
    for _ in range(run["runs"] + 1):  # the first one warms up
        figures.append(once(party, run, folder, simulated))
        gc.collect()
    result = figures[-1].pop("result", None)
    for figure in figures:
        figure.pop("result", None)
    if result is not None:
        np.save(folder / "result.npy", result)
    (folder / f"{place}.json").write_text(json.dumps({"runs": figures[1:], "peak_mb": peak_mb()}), encoding="utf-8")
    channel.close()


if __name__ == "__main__":
    main()

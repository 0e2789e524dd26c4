"""One party in a process of its own, for the tests: ``party.py parties.toml NAME KEY SCENARIO TIMEOUT``.

Prints ``ready`` when the mesh stands, ``round`` after the first round of an endless run, and at the end one JSON
object: ``{"error": ..., "text": ...}`` or ``{"done": ...}``.
"""

import json
import sys
from pathlib import Path

import numpy as np

from stead.core.entropy import SystemEntropy
from stead.errors import SteadError
from stead.net.mesh import connect_mesh
from stead.net.noise import StaticKey
from stead.net.parties import read_parties


def say(value):
    sys.stdout.write((value if isinstance(value, str) else json.dumps(value)) + "\n")
    sys.stdout.flush()


def once(channel, size_bytes, fill):
    """Everybody sends everybody a message of one byte value; all must have come."""
    message = np.full(size_bytes, fill, np.uint8)
    got = channel.exchange({peer: [message] for peer in channel.peers}, dict.fromkeys(channel.peers, size_bytes))
    return {peer: (int(view[0]), int(view[-1]), len(view)) for peer, view in got.items()}


def main():
    file, name, key, scenario, timeout_s = sys.argv[1:]
    parties = read_parties(Path(file).read_text())
    channel = connect_mesh(parties, name, StaticKey.load(key), entropy=SystemEntropy(), timeout_s=float(timeout_s))
    say("ready")
    place = parties.place(name)
    if scenario == "big":
        say({"done": once(channel, 200_000_000, place)})
    elif scenario == "endless":
        once(channel, 64, place)
        say("round")
        while True:
            once(channel, 1_000_000, place)
    else:
        for _ in range(20):
            done = once(channel, 1000, place)
        say({"done": done, "rounds": channel.traffic.rounds})
    channel.close()


if __name__ == "__main__":
    try:
        main()
    except SteadError as error:
        say({"error": type(error).__name__, "text": error.what})

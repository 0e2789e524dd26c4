"""One party in a process of its own, for tests: ``python party_lines.py NAME PROTOCOL SCENARIO [MATERIAL]``.

The folder has ``parties.toml`` and ``NAME.key``. The last line on stdout is a JSON object.
"""

import json
import os
import signal
import sys

import numpy as np

import stead
from stead.client.parties import Terms
from stead.errors import SteadError

HEIGHTS, WEIGHTS = [1.71, 1.64, 1.80], [68.0, 59.5, 91.0]


def lines(session, me, scenario="right"):
    """What every party runs."""
    heights = session.share(HEIGHTS if me == "south" else None, owner="south", shape=(3,))
    weights = session.share(WEIGHTS if me == "east" else None, owner="east", shape=(3,))
    if scenario == "fails" and me == "south":
        raise ValueError("a private 1.71")
    if scenario == "killed" and me == "south":
        os.kill(os.getpid(), signal.SIGKILL)
    index = weights / (heights * heights)
    heavy = np.where(index > 25.0, 1.0, 0.0).sum()
    return heavy.reveal(to="east"), index.reveal(to="east")


def main():
    me, protocol, scenario, *material = sys.argv[1:]
    terms = Terms(computation="another" if scenario == "named" and me == "east" else "one", timeout_s=20)
    if scenario == "named":
        terms = Terms(computation=terms.computation, timeout_s=3)
    try:
        with stead.party(
            "parties.toml", me, protocol=protocol, material=material[0] if material else None, terms=terms
        ) as session:
            found = lines(session, me, scenario)
            rounds = session.profile.rounds
        shown = {"found": [None if value is None else np.asarray(value).tolist() for value in found], "rounds": rounds}
    except SteadError as error:
        shown = {"error": type(error).__name__, "what": error.what}
    except ValueError as error:
        shown = {"error": "ValueError", "what": str(error)}
    sys.stdout.write(json.dumps(shown) + "\n")


if __name__ == "__main__":
    main()

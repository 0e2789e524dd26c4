"""CrypTen and SPU, each in an environment of its own: made with pip where it is missing, never imported here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from report import Row, progress, row, skipped

BUILD = Path(__file__).parents[2] / "build" / "peers"
HERE = Path(__file__).parent
REQUIREMENTS = {
    "crypten": [
        ["torch==2.13.0"],
        ["--no-deps", "crypten==0.4.1"],
        ["pyyaml", "omegaconf", "onnx", "scipy", "future"],
    ],
    "spu": [["spu==0.9.5"]],
}
SYSTEMS = {
    "crypten": ("CrypTen 0.4.1", "2 parties, semi-honest, party 0 knows all masks (its default)"),
    "spu": ("SPU 0.9.5", "3 parties (ABY3), semi-honest, 1 corrupted"),
}
TIMEOUT_S = 1800


def peer_rows(*, quick: bool) -> list[Row]:
    """What the peers take for the same works; ``--quick`` makes no environment and leaves out their ResNet-18."""
    rows: list[Row] = []
    for name, (system, threat) in SYSTEMS.items():
        try:
            python = environment(name, make=not quick)
            progress(f"{system}")
            works = "matmul,relu,softmax,sum" + ("" if quick else ",resnet")
            command, one_thread = [python, str(HERE / f"peer_{name}.py"), works], os.environ | {"OMP_NUM_THREADS": "1"}
            found = subprocess.run(
                command, capture_output=True, text=True, check=True, timeout=TIMEOUT_S, env=one_thread
            )
            lines = [json.loads(line) for line in found.stdout.splitlines() if line.startswith("{")]
            rows += [row(line.pop("work"), system, line.pop("variant"), threat=threat, **line) for line in lines]
        except subprocess.CalledProcessError as error:
            rows.append(skipped("all", system, error.stderr))
        except (OSError, subprocess.TimeoutExpired, LookupError) as error:
            rows.append(skipped("all", system, str(error)))
    return rows


def environment(name: str, *, make: bool) -> str:
    """The interpreter of a peer's environment.

    Raises:
        LookupError: there is none, and none is to be made.
        subprocess.CalledProcessError: pip could not install the peer.
    """
    python = BUILD / name / "bin" / "python"
    done = BUILD / name / "installed"
    if done.exists():
        return str(python)
    if not make:
        raise LookupError(f"no environment in build/peers/{name}: run without --quick to make it")
    progress(f"installing {name}")
    subprocess.run([sys.executable, "-m", "venv", str(BUILD / name)], check=True, capture_output=True, text=True)
    for packages in REQUIREMENTS[name]:
        subprocess.run(
            [str(python), "-m", "pip", "install", "-q", *packages], check=True, capture_output=True, text=True
        )
    done.touch()
    return str(python)

"""Secure computation between processes: products, comparisons, softmax, ResNet-18 and sums on secret inputs.

All parties are processes of their own on this machine and speak over sealed sockets (``plain TCP`` is beside).
``seconds`` are from shared inputs and weights to shared outputs: the slowest party, the median of the runs. Sharing and
revealing are columns of their own; ``preprocessing_seconds`` covers the dealer's work and handing over its material.
``ratio`` is to torch with two threads in the same run. ``bytes`` and ``rounds`` are of the busiest online party;
``lan_seconds`` and ``wan_seconds`` add what the rounds would take at 1 ms and 1 Gbit/s, and at 40 ms and 100 Mbit/s.
``error`` is the largest difference from float64 in the clear. A sum is timed from clients to receiver.

CrypTen and SPU run in environments of their own under ``build/peers`` (made with pip, unless ``--quick``), on the same
inputs, one thread for each party, medians of five. MP-SPDZ is quoted.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from report import Row, arguments, compared, emit, progress, quoted

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "secure"), str(HERE.parent / "examples")]

from launch import AGGREGATION, Run, aggregation_row, found_row, launched  # noqa: E402 - beside this script
from peers import peer_rows  # noqa: E402 - beside this script
from plain import plain_rows  # noqa: E402 - beside this script
from private import client_vectors  # noqa: E402 - beside this script
from resnet import save_model  # noqa: E402 - beside this script
from resnet18 import images, seeded_resnet18  # noqa: E402 - an example
from works import WORKS  # noqa: E402 - beside this script

THREATS = {
    "cleartext": "none: one process sees everything",
    "masked": "3 parties, semi-honest, 1 corrupted; or 2 and a trusted dealer",
    "replicated": "3 parties, semi-honest, 1 corrupted",
    "additive": "2 aggregators, semi-honest, 1 corrupted with any clients",
}
SUM = "sum of 10 x 1M"
NOTES = "MP-SPDZ 3a0a7b1d, replicated-ring, budget 100000, measured on 2 cores of this kind, June 2026"
QUOTED = {"matmul 1000x1000": 4.60, "relu 1M": 0.38, "resnet18": 18.9}
TEXT = "the text this project started from, on another machine"
TEXT_SECONDS = {"matmul 1000x1000": 52.0, "resnet18": 180.0, SUM: 8.0}


def ours(work: str, protocol: str, *, runs: int, **options: Any) -> Row:
    """One row of a work of ``works``."""
    name = work.removesuffix(", 32 bits")
    plain = WORKS[work].plain([values for _, values in WORKS[work].inputs()])
    run = Run(work, protocol, runs=runs, threads=2 if protocol == "cleartext" else 1, **options)
    progress(f"{work}, {protocol} {options}")
    variant = " ".join([protocol, *(["32 bits"] if name != work else []), *_labels(options)])
    return found_row(run, variant, THREATS[protocol], launched(run), plain) | {"work": name}


def resnet(protocol: str, *, runs: int, model: Any, **options: Any) -> Row:
    """One row of ResNet-18."""
    sample = images(9, 5)

    def prepared(folder: Path) -> None:
        save_model(folder, model, sample)
        np.save(folder / "image.npy", sample[8].numpy())

    with torch.inference_mode():
        plain = model(sample[8:]).double().numpy()
    run = Run("resnet18", protocol, runs=runs, threads=2 if protocol == "cleartext" else 1, **options)
    progress(f"resnet18, {protocol} {options}")
    return found_row(run, " ".join([protocol, *_labels(options)]), THREATS[protocol], launched(run, prepared), plain)


def sums(*, runs: int, **options: Any) -> Row:
    """One row of the aggregation."""
    run = Run(SUM, "additive", runs=runs, **options)
    progress(f"{SUM} {options}")
    variant = " ".join(["additive", f"Z_2^{run.ring_bits}", *_labels(options)])
    plain = np.sum(np.stack(client_vectors()).astype(np.float64), axis=0)
    return aggregation_row(run, variant, THREATS["additive"], launched(run, script=AGGREGATION), plain)


def _labels(options: dict[str, Any]) -> list[str]:
    return [*(["calibrated"] if options.get("calibrated") else []), *(["plain TCP"] if "channel" in options else [])]


def measured(*, quick: bool) -> Iterable[Row]:
    """All rows of ours."""
    runs = 1 if quick else 5
    model = seeded_resnet18()
    with torch.inference_mode():
        plain = plain_rows(model, images(1, 5), runs=3 if quick else 20)
    yield from plain.values()
    protocols = ("cleartext", "masked", "replicated")
    rows = [ours(work, protocol, runs=runs) for work in WORKS for protocol in protocols]
    rows += [ours(work, "masked", runs=runs, channel="plain") for work in WORKS]
    rows += [resnet(protocol, runs=runs, model=model) for protocol in protocols]
    rows += [
        resnet("masked", runs=runs, model=model, calibrated=True),
        resnet("masked", runs=runs, model=model, channel="plain"),
        *(sums(runs=runs, ring_bits=bits) for bits in (64, 32)),
        sums(runs=runs, channel="plain"),
    ]
    for row in [*rows, *peer_rows(quick=quick)]:
        yield compared(row, plain[row["work"], 2]) if "seconds" in row else row
    for work, seconds in QUOTED.items():
        yield quoted(work, "MP-SPDZ", NOTES, variant="replicated-ring", seconds=seconds)
    for work, seconds in TEXT_SECONDS.items():
        yield quoted(work, "PySyft", TEXT, seconds=seconds)


if __name__ == "__main__":
    asked = arguments(__doc__ or "")
    emit("secure_computation", list(measured(quick=asked.quick)), as_json=asked.json)

"""ResNet-18 on shares: the parent traces, folds and saves it; a party's process, without torch, shares and runs it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from stead.core.codec import decode, encode
from stead.mpc.engine import SharesEngine, Way, plan
from stead.mpc.fixed import FRACTION, Secret
from stead.mpc.fixed import encode as encode_numbers
from stead.mpc.folding import fold
from stead.mpc.protocol import Protocol
from stead.mpc.ranges import Interval, Ranges, calibrate
from stead.plans.program import Program

Array = npt.NDArray[Any]
MODEL_OWNER, INPUT_OWNER = 1, 2
CALIBRATION, MARGIN = 8, 4.0


def save_model(folder: Path, model: Any, images: Any) -> None:
    """Trace and fold a torch model; save its Program, its weights and the ranges seen on the first images."""
    from stead.adapters.torch import trace

    program = trace(model, images[0])
    values = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    named = {name: value.detach().numpy() for name, value in values.items()}
    folded = fold(program, {item.name: named[item.name] for item in program.inputs if item.name in named})
    examples = [[*folded.parameters, images[at].numpy()] for at in range(CALIBRATION)]
    ranges = calibrate(folded.program, examples, margin=MARGIN)
    (folder / "program").write_bytes(encode(folded.program))
    np.savez(folder / "weights.npz", *folded.parameters)
    intervals = {at: tuple(interval) for at, interval in ranges.intervals.items()}
    (folder / "ranges.json").write_text(json.dumps(intervals), encoding="utf-8")


def shared_resnet(
    p: Protocol, folder: Path, *, calibrated: bool
) -> tuple[list[Secret], Callable[[Protocol, list[Secret]], Secret]]:
    """Share weights and image, each by its owner; and what computes the logits from them."""
    program = decode((folder / "program").read_bytes(), Program)
    single = p.facts.parties == 1
    secrets = []
    for number, item in enumerate(program.inputs):
        owner = 0 if single else INPUT_OWNER if number == len(program.inputs) - 1 else MODEL_OWNER
        mine = encode_numbers(_value(folder, program, number)) if p.party.place == owner else None
        secrets.append(Secret(p.share(mine, item.type.shape, owner), FRACTION))
    ranges = _ranges(folder) if calibrated else Ranges()
    engine, ready = SharesEngine(p), plan(program, [True] * len(program.inputs), Way(ranges=ranges))

    def compute(_: Protocol, inputs: list[Secret]) -> Secret:
        found = engine.execute(ready, inputs)[0]
        if not isinstance(found, Secret):
            raise TypeError("logits are secret numbers")
        return found

    return secrets, compute


def _value(folder: Path, program: Program, number: int) -> Array:
    if number == len(program.inputs) - 1:
        return np.asarray(np.load(folder / "image.npy"))
    with np.load(folder / "weights.npz") as weights:
        return np.asarray(weights[f"arr_{number}"])


def _ranges(folder: Path) -> Ranges:
    intervals = json.loads((folder / "ranges.json").read_text(encoding="utf-8"))
    return Ranges({int(at): Interval(*bounds) for at, bounds in intervals.items()}, "calibrated")

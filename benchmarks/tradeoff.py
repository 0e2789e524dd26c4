"""What privacy costs: three works in the clear, with differential privacy, on shares, and on shares with noise inside.

``clear`` is torch with two threads and the baseline of every ``ratio``. ``dp`` adds exact discrete Gaussian noise of a
trusted curator in the same process. ``shares`` is between processes over sealed sockets: ``seconds`` are preparation,
sharing, computing and opening, of the slowest party; ``online_seconds`` lack the preparation. ``shares+dp`` adds noise
of every party inside the shares, and opens the noisy value alone. ``bytes`` are of all parties, prepared and online;
``rounds`` are online. The ten clients of the sum are one process, so their clipping and noise add up. ``secure_sum``
runs through its real frames in one process. Ratios mean something on a machine that does nothing else: ``load_before``
is the load average as each work begins.

Whose row is protected, and how one person's part is bounded (``benchmarks/secure/private.py``):

* the product is X^T Y of two tables about the same 1000 people, one at each party: a person is a row of both, each
  clipped to L2 norm 36, and moves the 1000x1000 numbers by at most 36^2. On shares the product is not truncated, so
  this is exact on integers. 1000 people for a million numbers: the noise is far above the value, as it must be;
* ResNet-18 releases the logits of one image, which is the person (local privacy: any image for any other). Each logit
  is held within 4, so they move by at most 8 sqrt(1000). As much noise leaves nothing of one image's thousand logits:
  who needs the class only must release the class;
* the sum is of ten clients' gradients, one person's each, clipped to L2 norm 1000: a person moves it by 1000.

The noise that counts is 1.25 sensitivities, for the same ``epsilon`` at ``delta`` everywhere, by our accountant at its
default orders. On shares one party (of the sum: one client) is not counted on, so noise is sqrt(3/2) (sum: sqrt(10/9))
times a curator's. ``error`` is the largest difference from float64, ``error_without_noise`` that of clipping, rounding
and arithmetic, ``noise_rms`` what the noise adds, beside ``value_rms``.

``quoted_ratio`` is what the text this project started from says of PySyft: +40 %, +20 %, +100 % for differential
privacy; 1,040x, 1,200x, 800x for computing on shares; ``of_quoted`` is our ratio over that.
"""

from __future__ import annotations

import copy
import math
import os
import statistics
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from report import Row, Timing, arguments, compared, emit, progress, quoted, timed, timing_row

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "secure"), str(HERE.parent / "examples")]

import private  # noqa: E402 - beside this script
from launch import AGGREGATION, Found, Run, launched  # noqa: E402 - beside this script
from private import CROSS, SIDE, sensitivity_of  # noqa: E402 - beside this script
from resnet import save_model  # noqa: E402 - beside this script
from resnet18 import images, seeded_resnet18  # noqa: E402 - an example
from secure_sum import session  # noqa: E402 - beside this script

from stead.core.entropy import SystemEntropy  # noqa: E402 - after the paths
from stead.privacy.accounts import Target, amounts, epsilon_spent  # noqa: E402 - after the paths
from stead.privacy.events import DiscreteGaussian, SumOfDiscreteGaussians  # noqa: E402 - after the paths
from stead.privacy.mechanisms import noise_share  # noqa: E402 - after the paths

Array = npt.NDArray[Any]
Works = dict[str, Callable[[], Any]]
Prepared = Callable[[Path], None]

PRODUCT, RESNET, SUM = "product 1000x1000", "resnet18", "sum of 10 x 1M"
DELTA = 1e-6
TEXT = "the text this project started from, on another machine"
QUOTED = {
    "dp": {PRODUCT: 1.40, RESNET: 1.20, SUM: 2.00},
    "shares": {PRODUCT: 1040.0, RESNET: 1200.0, SUM: 800.0},
}
PARTS = ("prepare", "share", "compute", "reveal")
KEYS = {PRODUCT: CROSS, RESNET: RESNET, SUM: SUM}
FRACTIONS = {PRODUCT: 2 * private.ROW_FRACTION, RESNET: private.LOGIT_FRACTION, SUM: private.UPDATE_FRACTION}
SIZES = {PRODUCT: SIDE * SIDE, RESNET: private.CLASSES, SUM: private.LENGTH}


def priced(work: str, sites: int) -> Row:
    """The event of a release and its epsilon; one site is a trusted curator, of more one is not counted on."""
    steps = math.ldexp(sensitivity_of(KEYS[work]), FRACTIONS[work])
    sigma = private.MULTIPLIER * steps
    event: DiscreteGaussian | SumOfDiscreteGaussians = DiscreteGaussian(sigma, steps)
    if sites > 1:
        event = SumOfDiscreteGaussians(noise_share(sigma, sites, 1), sites - 1, steps, SIZES[work])
    target = Target(8.0, DELTA)
    epsilon = epsilon_spent(target, amounts(event, target.orders))
    return {"event": type(event).__name__, "epsilon": epsilon, "delta": DELTA}


def errors(found: Array, exact: Array, without_noise: Array | None = None) -> Row:
    """How far a result is from float64; with noise, how much of it the noise is."""
    figures = {"error": float(np.abs(found - exact).max())}
    if without_noise is not None:
        figures["error_without_noise"] = float(np.abs(without_noise - exact).max())
        figures["noise_rms"] = float(np.sqrt(np.square(found - without_noise).mean()))
        figures["value_rms"] = float(np.sqrt(np.square(exact).mean()))
    return figures


def in_the_clear(work: str, works: Works, exact: Array, without_noise: Array, runs: int) -> list[Row]:
    """The baseline, and the same with a curator's noise."""
    rows, load = [], os.getloadavg()[0]
    for variant, compute in works.items():
        progress(f"{work}, {variant}")
        timing = timed(compute, runs=runs, warm_ups=3)
        noisy = variant == "dp"
        figures = errors(np.asarray(compute()), exact, without_noise if noisy else None)
        system = "stead" if noisy else "torch"
        more: Row = priced(work, 1) if noisy else {"load_before": load}
        rows.append(timing_row(work, system, variant, timing, **more, **figures))
    return rows


def between_processes(work: str, run: Run, found: Found) -> Row:
    """The figures of one launch: everything from preparation to opening."""
    sides = [party["runs"] for party in found.parties]

    def slowest(at: int, parts: Iterable[str]) -> float:
        return sum(
            max((side[at][part]["seconds"] for side in sides if part in side[at]), default=0.0) for part in parts
        )

    timing = Timing(tuple(slowest(at, PARTS) for at in range(run.runs)))
    online = statistics.median(slowest(at, PARTS[1:]) for at in range(run.runs))
    last = [side[-1] for side in sides]
    rounds = max(sum(side[part].get("rounds", 0) for part in side) for side in last)
    rounds = rounds - 1 if rounds else 2  # one is the parties' waiting for the clock; a sum: clients' shares, opening
    return timing_row(
        work,
        "stead",
        f"shares+dp {run.protocol}" if run.noisy else f"shares {run.protocol}",
        timing,
        online_seconds=online,
        rounds=rounds,
        bytes=sum(side[part]["bytes"] for side in last for part in side),
    )


def on_shares(work: str, runs: int, exact: Array, without_noise: Array, prepared: Prepared | None = None) -> list[Row]:
    """Both ways between processes: with and without noise."""
    rows = []
    for noisy in (False, True):
        progress(f"{work}, shares{'+dp' if noisy else ''}")
        if work == SUM:
            run = Run(SUM, "additive", runs=runs, ring_bits=32, noisy=noisy)
            found = launched(run, script=AGGREGATION)
        else:
            name = CROSS if noisy and work == PRODUCT else "matmul 1000x1000" if work == PRODUCT else RESNET
            run = Run(name, "masked", runs=runs, noisy=noisy)
            found = launched(run, prepared)
        if work == RESNET and not noisy:  # the network on shares is not the one in the clear to the last bit
            without_noise = np.clip(found.result, -private.LIMIT, private.LIMIT)
        figures = errors(found.result, exact, without_noise if noisy else None)
        price = priced(work, private.CLIENTS if work == SUM else 3) if noisy else {}
        rows.append(between_processes(work, run, found) | price | figures)
    return rows


def product_rows(runs: int, shared_runs: int) -> list[Row]:
    """The cross-product of two tables."""
    x, y = private.tables()
    left, right = torch.from_numpy(x.T.astype(np.float32)), torch.from_numpy(y.astype(np.float32))
    without_noise = np.ldexp(private.cross_integers(x, y).astype(np.float64), -FRACTIONS[PRODUCT])
    entropy = SystemEntropy()
    works: Works = {
        "clear": lambda: left @ right,
        "dp": lambda: private.curator(private.cross_integers(x, y), CROSS, FRACTIONS[PRODUCT], entropy),
    }
    rows = in_the_clear(PRODUCT, works, x.T @ y, without_noise, runs)
    return rows + on_shares(PRODUCT, shared_runs, x.T @ y, without_noise)


def resnet_rows(runs: int, shared_runs: int) -> list[Row]:
    """The logits of one image."""
    model, sample = seeded_resnet18(), images(9, 5)
    image, entropy = sample[8:], SystemEntropy()
    with torch.inference_mode():
        exact = copy.deepcopy(model).double()(image.double()).numpy()[0]
    without_noise = np.ldexp(private.logit_integers(exact).astype(np.float64), -FRACTIONS[RESNET])

    def noisy() -> Array:
        integers = private.logit_integers(model(image).numpy()[0])
        return private.curator(integers, RESNET, FRACTIONS[RESNET], entropy)

    def prepared(folder: Path) -> None:
        save_model(folder, model, sample)
        np.save(folder / "image.npy", image[0].numpy())

    works: Works = {"clear": lambda: model(image)[0], "dp": noisy}
    with torch.inference_mode():
        rows = in_the_clear(RESNET, works, exact, without_noise, runs)
    return rows + on_shares(RESNET, shared_runs, exact, without_noise, prepared)


class Update:
    """One client's part in a secure sum: its integers, with its part of the noise or without."""

    def __init__(self, vector: Array, *, noisy: bool) -> None:
        self._vector, self._noisy, self._entropy = vector, noisy, SystemEntropy()

    def vector(self, number: int, payload: bytes) -> Array:
        """What the client sends."""
        return private.released(self._vector, self._entropy) if self._noisy else private.update_integers(self._vector)


def secure_sum_rows(vectors: list[Array], runs: int, exact: Array, without_noise: Array) -> list[Row]:
    """The same sum by pairwise masks, opening and round, in one process."""
    rows = []
    for noisy in (False, True):
        progress(f"{SUM}, secure_sum{' with noise' if noisy else ''}")
        updates, sent, total = [Update(vector, noisy=noisy) for vector in vectors], 0, np.zeros(0)

        def whole(updates: list[Update] = updates) -> None:
            nonlocal sent, total
            coordinator = session(updates, b"", 1)
            total = np.ldexp(coordinator.round(1, b"").astype(np.float64), -FRACTIONS[SUM])
            sent = coordinator.bytes_up

        timing = timed(whole, runs=runs)
        variant = "shares+dp secure_sum, one process" if noisy else "shares secure_sum, one process"
        price = priced(SUM, private.CLIENTS) if noisy else {}
        figures = errors(total, exact, without_noise if noisy else None)
        rows.append(timing_row(SUM, "stead", variant, timing, rounds=2, bytes=sent, **price, **figures))
    return rows


def sum_rows(runs: int, shared_runs: int) -> list[Row]:
    """The sum of ten clients' gradients."""
    vectors, entropy = private.client_vectors(), SystemEntropy()
    tensors = [torch.from_numpy(vector) for vector in vectors]
    exact = np.sum(np.stack(vectors).astype(np.float64), axis=0)

    def added() -> torch.Tensor:
        total = tensors[0].clone()
        for tensor in tensors[1:]:
            total += tensor
        return total

    def integers() -> Array:
        total = private.update_integers(vectors[0])
        for vector in vectors[1:]:
            total += private.update_integers(vector)
        return total

    without_noise = np.ldexp(integers().astype(np.float64), -FRACTIONS[SUM])
    works: Works = {"clear": added, "dp": lambda: private.curator(integers(), SUM, FRACTIONS[SUM], entropy)}
    rows = in_the_clear(SUM, works, exact, without_noise, runs)
    rows += on_shares(SUM, shared_runs, exact, without_noise)
    return rows + secure_sum_rows(vectors, shared_runs, exact, without_noise)


def beside_quoted(row: Row) -> Row:
    """A measured row with what the text says of it."""
    said = QUOTED.get(row["variant"].split()[0], {}).get(row["work"])
    return row if said is None else row | {"quoted_ratio": said, "of_quoted": row["ratio"] / said}


def measured(*, quick: bool) -> Iterable[Row]:
    """All rows: ours, then the quoted."""
    torch.set_num_threads(2)
    runs, shared_runs = (3, 1) if quick else (20, 5)
    for rows in (product_rows, resnet_rows, sum_rows):
        baseline, *others = rows(runs, shared_runs)
        yield baseline
        yield from (beside_quoted(compared(row, baseline)) for row in others)
    for variant, said in QUOTED.items():
        for work, ratio in said.items():
            yield quoted(work, "PySyft", TEXT, variant=variant, baseline="in the clear", ratio=ratio)


if __name__ == "__main__":
    asked = arguments(__doc__ or "")
    emit("tradeoff", list(measured(quick=asked.quick)), as_json=asked.json)

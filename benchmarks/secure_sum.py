"""A whole round of the secure sum in one process: 3 and 10 sites, one million parameters each, through the real frames.

Each site reads the model it is sent, clips and quantises a float32 vector, adds its share of discrete Gaussian noise,
masks and encodes; the coordinator decodes, adds up and centres. ``cpu_seconds`` is the work of all parties together;
``bytes`` is what all sites send in one round, ``upload_ratio`` that plus the opening over the packed quantised vectors;
``error`` is the largest difference from the plaintext sum of the same integers. The baseline is NumPy's sum of the
plain float32 vectors. Flower's SecAgg+ row is its own functions for one round on a complete graph without a drop-out:
no signatures, no network and no privacy noise.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from report import Row, arguments, compared, emit, progress, quoted, skipped, timed, timing_row

from stead.core.entropy import SystemEntropy
from stead.learn.header import Header, model_hash
from stead.learn.pipeline import Lattice, NoiseShare
from stead.learn.secure_sum import Participant, Seat, SumCoordinator, SumSite
from stead.learn.simulation import local_session
from stead.privacy.samplers import native_built

PARAMETERS = 1_000_000
CLIP, LATTICE, NOISE_MULTIPLIER = 1.0, 2.0**-16, 1.0
RING_BITS = 32

FLOWER_SOURCE = "this script with flwr 1.41.0 installed, 2 cores of an AMD EPYC, one run, November 2026"
FLOWER_CPU_S = {3: 0.123, 10: 0.661}


class Update:
    """A site's work: one float32 vector, quantised, with this site's noise share."""

    def __init__(self, values: NDArray[np.float32], sites: int) -> None:
        self._values = values[None]
        self._lattice = Lattice(CLIP, LATTICE)
        self._noise = NoiseShare((NOISE_MULTIPLIER * CLIP / LATTICE,), (values.size,), sites, 1)
        self._entropy = SystemEntropy()
        self.sent: NDArray[np.int64] | None = None

    def vector(self, number: int, payload: bytes) -> NDArray[np.int64]:
        """Clip, quantise, add noise; what was sent is kept to check the sum against."""
        self.sent = self._noise.add(self._lattice.quantise(self._values)[0], self._entropy)
        return self.sent


def updates(sites: int) -> list[NDArray[np.float32]]:
    """Vectors of norm 2, so that the clip has something to do."""
    generator = np.random.default_rng(sites)
    drawn = generator.normal(size=(sites, PARAMETERS)) / np.sqrt(PARAMETERS) * 2.0
    return list(drawn.astype(np.float32))


def session(works: list[Update], payload: bytes, rounds: int) -> SumCoordinator:
    """An open session over these works."""

    def header_for(cohort: tuple[tuple[str, bytes], ...]) -> Header:
        return Header(
            release=os.urandom(16),
            plan_hash=bytes(32),
            cohort=cohort,
            length=PARAMETERS,
            ring_bits=RING_BITS,
            rounds=rounds,
            colluders=1,
            model_hash=model_hash(payload),
            outlet="join",
            minimum=len(cohort),
        )

    def seated(work: Update) -> Callable[[Seat], Participant]:
        return lambda seat: SumSite(seat, work)

    sites = {f"site-{number}": seated(work) for number, work in enumerate(works)}
    header, channel = local_session(sites, header_for, entropy=SystemEntropy())
    coordinator = SumCoordinator(header, channel)
    coordinator.open()
    return coordinator


def stead_rows(vectors: list[NDArray[np.float32]], runs: int) -> tuple[Row, Row]:
    """The opening of a session, and a round of it."""
    sites, payload = len(vectors), vectors[0].tobytes()
    works = [Update(values, sites) for values in vectors]
    opening = timed(lambda: session(works, payload, runs + 1), runs=runs)
    coordinator = session(works, payload, runs + 1)
    opened_bytes, number, total = coordinator.bytes_up, 0, np.zeros(0, dtype=np.int64)

    def one_round() -> None:
        nonlocal number, total
        number += 1
        total = coordinator.round(number, payload)

    timing = timed(one_round, runs=runs)
    plain = sum((work.sent for work in works if work.sent is not None), np.zeros(PARAMETERS, dtype=np.int64))
    half = 1 << (RING_BITS - 1)
    error = int(np.abs((plain + half) % (2 * half) - half - total).max())
    each_round = (coordinator.bytes_up - opened_bytes) // (runs + 1)
    packed = sites * PARAMETERS * RING_BITS // 8
    kind = f"{RING_BITS}-bit ring, {'native' if native_built() else 'numpy'} noise"
    return (
        timing_row(named(sites, "opening"), "stead", kind, opening, bytes=opened_bytes),
        timing_row(
            named(sites, "round"),
            "stead",
            kind,
            timing,
            bytes=each_round,
            upload_ratio=(each_round + opened_bytes) / packed,
            rounds=1,
            error=error,
        ),
    )


def named(sites: int, what: str) -> str:
    """What a row did."""
    return f"secure sum {what}, {sites} sites x {PARAMETERS:,}"


def plaintext_row(vectors: list[NDArray[np.float32]], runs: int) -> Row:
    """The sum that nobody hides."""

    def add_up() -> None:
        total = np.zeros(PARAMETERS, dtype=np.float32)
        for values in vectors:
            total += values

    timing = timed(add_up, runs=runs)
    return timing_row(named(len(vectors), "round"), "numpy", "plaintext float32", timing)


def flower_round(vectors: list[NDArray[np.float32]]) -> Callable[[], object]:
    """One round of SecAgg+ by Flower's own functions, as its client and server modules call them."""
    from flwr.common.secure_aggregation.crypto.symmetric_encryption import generate_shared_key
    from flwr.common.secure_aggregation.ndarrays_arithmetic import (
        parameters_addition,
        parameters_mod,
        parameters_subtraction,
    )
    from flwr.common.secure_aggregation.quantization import dequantize, quantize
    from flwr.common.secure_aggregation.secaggplus_utils import pseudo_rand_gen
    from flwr.supercore.primitives.asymmetric import generate_key_pairs

    target, modulus, clip = 1 << 22, 1 << 32, 3.0
    dimensions = [(PARAMETERS,)]

    def one_round() -> list[NDArray[np.float32]]:
        pairs = [generate_key_pairs() for _ in vectors]
        seeds = [os.urandom(32) for _ in vectors]
        uploads = []
        for me, values in enumerate(vectors):
            masked = quantize([values], clip, target)
            masked = parameters_addition(masked, pseudo_rand_gen(seeds[me], modulus, dimensions))
            for peer in range(len(vectors)):
                if peer != me:
                    shared = generate_shared_key(pairs[me][0], pairs[peer][1])
                    mask = pseudo_rand_gen(shared, modulus, dimensions)
                    masked = (parameters_addition if me > peer else parameters_subtraction)(masked, mask)
            uploads.append(parameters_mod(masked, modulus))
        total = uploads[0]
        for upload in uploads[1:]:
            total = parameters_addition(total, upload)
        for seed in seeds:
            total = parameters_subtraction(total, pseudo_rand_gen(seed, modulus, dimensions))
        return dequantize(parameters_mod(total, modulus), clip, target)

    return one_round


def flower_rows(vectors: list[NDArray[np.float32]], plain: Row, runs: int) -> list[Row]:
    """Flower beside us, or the reason why it is not and what it took elsewhere."""
    work, variant = named(len(vectors), "round"), "secagg+, 32-bit mask seeds, no noise"
    try:
        one_round = flower_round(vectors)
    except ImportError as error:
        missing = skipped(work, "flower", f"{type(error).__name__}: {error} (pip install flwr)")
        return [missing, quoted(work, "flower", FLOWER_SOURCE, variant=variant, cpu_seconds=FLOWER_CPU_S[len(vectors)])]
    return [compared(timing_row(work, "flower", variant, timed(one_round, runs=runs, warm_ups=0)), plain)]


def main() -> None:
    """Measure and report."""
    chosen = arguments(__doc__.splitlines()[0])
    runs = 3 if chosen.quick else 7
    rows: list[Row] = []
    for sites in (3, 10):
        progress(f"{sites} sites")
        vectors = updates(sites)
        plain = plaintext_row(vectors, runs)
        opening, whole = stead_rows(vectors, runs)
        if whole["error"]:
            raise SystemExit(f"the sum differs from the plaintext integers by {whole['error']}")
        rows += [plain, opening, compared(whole, plain)]
        rows += flower_rows(vectors, plain, 1 if chosen.quick else 3)
    emit("secure_sum", rows, as_json=chosen.json)


if __name__ == "__main__":
    main()

"""How fast exact integer noise is drawn: one thread, keystream included, beside OpenDP and NumPy's inexact floats.

Rows ``discrete gaussian`` and ``discrete laplace`` carry ``values_per_second`` (by the clock),
``values_per_cpu_second`` (one thread; what a busy machine would give alone), ``width`` (sigma or scale, in lattice
steps) and ``values``. The baseline of a ratio is NumPy's ``Generator.normal`` or ``laplace``, which is not safe to
release (docs/theory/discrete-samplers.md), and whose generator is not cryptographic.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from report import Row, arguments, compared, emit, progress, skipped, timed, timing_row

from stead.core.entropy import SystemEntropy
from stead.privacy.samplers import discrete_gaussian, discrete_laplace, native_built

WIDTHS = (1.0, 20.0, 1000.0, 2.0**20, 2.0**40)
FAMILIES = {"gaussian": discrete_gaussian, "laplace": discrete_laplace}


def measured(family: str, named: tuple[str, str], draw: Callable[[int], object], width: float, size: int) -> Row:
    """One row: ``size`` values by ``draw``, five times."""
    timing = timed(lambda: draw(size), runs=5)
    figures = {"values": size, "width": width, "values_per_second": size / timing.median}
    if timing.cpu_seconds:
        figures["values_per_cpu_second"] = size / timing.cpu_seconds
    return timing_row(f"discrete {family}", *named, timing, **figures)


def per_value(row: Row, baseline: Row) -> Row:
    """``row`` compared with ``baseline`` by seconds for each value, since a slow peer draws fewer."""
    ratio = baseline["values_per_second"] / row["values_per_second"]
    return compared(row, baseline) | {"ratio": ratio}


def opendp_draw(family: str, width: float) -> Callable[[int], object]:
    """OpenDP's mechanism on a vector of integers: proven, scalar."""
    import opendp.prelude as dp

    dp.enable_features("contrib")
    vectors = dp.vector_domain(dp.atom_domain(T="i64"))
    if family == "gaussian":
        mechanism = dp.m.make_gaussian(vectors, dp.l2_distance(T="f64"), scale=width)
    else:
        mechanism = dp.m.make_laplace(vectors, dp.l1_distance(T="i64"), scale=width)
    return lambda size: mechanism([0] * size)


def rows_of(family: str, width: float, size: int) -> list[Row]:
    """All systems at one width."""
    generator, entropy, draw = np.random.default_rng(1), SystemEntropy(), FAMILIES[family]
    floats = {"gaussian": generator.normal, "laplace": generator.laplace}[family]
    baseline = measured(family, ("numpy", "floats"), lambda n: floats(0.0, width, n), width, size)
    rows = [baseline]
    if native_built():
        row = measured(family, ("stead", "native"), lambda n: draw(n, width, entropy), width, size)
        rows.append(per_value(row, baseline))
    row = measured(family, ("stead", "numpy"), lambda n: draw(n, width, entropy, native=False), width, size // 4)
    rows.append(per_value(row, baseline))
    try:
        peer = opendp_draw(family, width)
    except ImportError as error:
        return [*rows, skipped(f"discrete {family}", "opendp", str(error))]
    return [*rows, per_value(measured(family, ("opendp", "integers"), peer, width, size // 500), baseline)]


def main() -> None:
    """Measure and report."""
    chosen = arguments(__doc__.splitlines()[0])
    size = 1_000_000 if chosen.quick else 10_000_000
    rows: list[Row] = []
    for family in FAMILIES:
        for width in WIDTHS:
            progress(f"discrete {family}, width {width:g}")
            rows += rows_of(family, width, size)
    emit("noise", rows, as_json=chosen.json)


if __name__ == "__main__":
    main()

"""The table of ``docs/theory/functions-on-shares.md``: what each function promises, and numbers to try it with.

A row's error is ``units`` · 2^-16 + ``relative`` · |result|. The tests hold each bound on its whole domain, and that no
bound is more than twice what is attained.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from clear import on_grid, secret
from scipy import special

from stead.mpc import functions
from stead.mpc.costing import Costing, costs_of
from stead.mpc.fixed import FRACTION, Secret

UNIT = 2.0**-FRACTION


@dataclass(frozen=True)
class Row:
    name: str
    domain: str
    method: str
    units: float
    relative: float
    oracle: Callable
    samples: Callable
    run: Callable
    shape: tuple[int, ...] = (64,)

    def bound(self, result):
        return self.units * UNIT + self.relative * np.abs(result)

    @property
    def error(self):
        parts = [f"{self.units:g} units"] if self.units else []
        parts += [f"{self.relative:.2e} · \\|y\\|"] if self.relative else []
        return " + ".join(parts) or "exact"


def positive(rng, top=45, low=-16):
    """Powers of two, the numbers beside them, all sizes, and each of the smallest."""
    exact = 2.0 ** np.arange(low, top)
    sizes = 2.0 ** rng.uniform(low, top, 8000)
    found = on_grid(np.concatenate([exact, exact + UNIT, exact - UNIT, sizes, np.arange(1, 3000) * UNIT]))
    return np.unique(found[(found > 0) & (found < 2.0**top)])


def either_sign(rng, top=45):
    found = positive(rng, top)
    return np.concatenate([-found[::-1], found])


def around_zero(rng, width=14.0, top=45):
    """A dense grid, and all sizes with both signs."""
    return np.concatenate([on_grid(np.linspace(-width, width, 20001)), [0.0], either_sign(rng, top)])


def exponents(rng):
    found = around_zero(rng, 21.0)
    return found[found < 20.7937]


def pairs(rng):
    size = 12000
    both = [on_grid(2.0 ** rng.uniform(-16, top, size) * rng.choice([-1, 1], size)) for top in (43.9, 44.9)]
    x = np.concatenate([both[0], on_grid(rng.normal(0, 100, size))])
    y = np.concatenate([both[1], on_grid(rng.normal(0, 10, size))])
    kept = (y != 0) & (np.abs(x) < 2.0**29 * np.abs(y))
    return x[kept], y[kept]


def scores(rng):
    """Rows whose sums of exponentials lie near 1, near n and between, and rows of large numbers."""
    rows = [rng.normal(0, scale, (60, 10)) for scale in (0.01, 0.3, 1, 3, 10, 1000, 2.0**40)]
    return on_grid(np.concatenate([*rows, np.zeros((1, 10)), np.eye(10) * 8, -np.eye(10) * 30]))


def small_scores(rng):
    """Those whose results float64 holds to a unit."""
    found = scores(rng)
    return found[np.abs(found).max(axis=1) < 2.0**30]


def many_scores(rng):
    rows = [rng.normal(0, scale, (4, 1000)) for scale in (0.1, 1, 3, 10)]
    return on_grid(np.concatenate([*rows, np.zeros((1, 1000)), 4 * np.eye(4, 1000)]))


def called(name, *more):
    return lambda p, *secrets: getattr(functions, name)(p, *secrets, *more)


ANY = "\\|x\\| < 2^45"
ROWS = [
    Row("reciprocal", "2^-16 <= \\|x\\| < 2^45; 1 / 0 is 2^16", "bits of \\|x\\|, degree 8", 1.04, 4.0e-7,
        lambda x: 1 / x, either_sign, called("reciprocal")),
    Row("divide", "\\|x\\| < 2^44, \\|y\\| < 2^45, \\|x / y\\| < 2^29; then ±2^30", "bits of \\|y\\|, degree 8", 1.05,
        3.0e-7, lambda x, y: x / y, pairs, called("divide")),
    Row("sqrt", "0 < x < 2^45; up to 0: 0", "bits of x, degree 7", 1.01, 4.0e-8,
        np.sqrt, positive, called("sqrt")),
    Row("rsqrt", "2^-16 <= x < 2^45; up to 0: 2^8", "bits of x, degree 8", 1.01, 7.0e-8,
        lambda x: x**-0.5, positive, called("rsqrt")),
    Row("log", "2^-16 <= x < 2^45; up to 0: -11.09", "bits of x, degree 8", 1.02, 0,
        np.log, positive, called("log")),
    Row("exp", "any; 0 below -11.09, 0.9992 · 2^30 above 20.79", "2^whole by bits, 2^fraction by degree 5", 1.02,
        1.55e-5, lambda x: np.exp(np.maximum(x, -700)), exponents, called("exp")),
    Row("sin", "\\|x\\| < 2^30", "turns mod 2^64, odd degree 9", 1.05, 0,
        np.sin, lambda rng: around_zero(rng, top=30), called("sin")),
    Row("cos", "\\|x\\| < 2^30", "turns mod 2^64, odd degree 9", 1.05, 0,
        np.cos, lambda rng: around_zero(rng, top=30), called("cos")),
    Row("sigmoid", ANY, "4 pieces of degree 8", 3.4, 0, special.expit, around_zero, called("sigmoid")),
    Row("tanh", ANY, "4 pieces of degree 8", 5.7, 0, np.tanh, around_zero, called("tanh")),
    Row("erf", ANY, "4 pieces of degree 7", 1.4, 0, special.erf, around_zero, called("erf")),
    Row("gelu", ANY, "4 pieces of degree 8", 1.5, 0,
        lambda x: x * special.ndtr(x), around_zero, called("gelu")),
    Row("silu", ANY, "6 pieces of degree 8", 4.0, 0, lambda x: x * special.expit(x), around_zero, called("silu")),
    Row("softmax", "10 numbers; \\|x\\| < 2^44", "e^-z by bits and a parabola, Goldschmidt", 2.4, 0,
        lambda x: special.softmax(x, -1), scores, called("softmax"), (1000, 10)),
    Row("softmax ", "1000 numbers; \\|x\\| < 2^44", "e^-z by bits and a parabola, bits of the sum", 2, 0,
        lambda x: special.softmax(x, -1), many_scores, called("softmax"), (10, 1000)),
    Row("log_softmax", "10 numbers; \\|x\\| < 2^44", "e^-z, then log", 3.0, 0,
        lambda x: special.log_softmax(x, -1), small_scores, called("log_softmax"), (1000, 10)),
]  # fmt: skip


def opened_rounds(row, kind):
    """Rounds of one call, from shapes alone."""
    protocol = Costing(costs_of(kind))
    count = 2 if row.name == "divide" else 1
    row.run(protocol, *(Secret(protocol.outline_of(row.shape), FRACTION) for _ in range(count)))
    return protocol.total.rounds


def tried(row, protocol, seed):
    """What the function gives in the clear, and what it should."""
    samples = row.samples(np.random.default_rng(seed))
    samples = samples if isinstance(samples, tuple) else (samples,)
    found = row.run(protocol, *(secret(s) for s in samples))
    return found, row.oracle(*samples)


def table():
    lines = [
        "| function | domain | method | largest error | rounds, masked | rounds, replicated |",
        "|---|---|---|---|---|---|",
    ]
    for row in ROWS:
        rounds = [opened_rounds(row, kind) for kind in ("masked", "replicated")]
        lines.append(
            f"| `{row.name.strip()}` | {row.domain} | {row.method} | {row.error} | {rounds[0]} | {rounds[1]} |"
        )
    return lines


if __name__ == "__main__":
    import sys

    sys.stdout.write("\n".join(table()) + "\n")

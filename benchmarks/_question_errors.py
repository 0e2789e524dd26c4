"""The error of ``questions.py``: five answers at one epsilon, by stead, OpenDP and PyDP, on the same people.

Every answer costs epsilon 1 for one person more or less. Ours has delta 1e-6 beside it, which an account of the default
orders needs to add anything up: ``epsilon`` is what such an account, new and usually reserved, says of the whole
answer; the noise is the smaller of Laplace and Gaussian with which that is at most 1. OpenDP and PyDP have delta 0.

=========  =========================================================================================================
work       by whom, how
=========  =========================================================================================================
mean       stead: centred sum and count, half of epsilon each: what helps one population more harms another. OpenDP,
           ``sum and count``: the same of values that were centred beforehand; ``resized``: the count with half, then
           ``make_resize`` to it and the mean. PyDP: ``BoundedMean``
median     stead, ``tree``: one question, ``Quantile(depth=2)``. ``three questions``: the tree and a count with a fifth
           of epsilon, then twice how many more people are above the answer so far than below it (a sum of -1 and 1,
           with a fifth and three fifths of epsilon); each moves the answer by half as many people, at the density that
           the tree shows. OpenDP: ``private_quantile`` over candidates 0.1 and 0.01 apart. PyDP: ``Median``
others     a number with noise, or a vector of them
=========  =========================================================================================================

Only the best variant of ours is judged, as only the best of the peers' is its baseline. A row's answers are about five
populations of different shapes by turns, and ``ratio_worst`` is the largest ratio over one of them: how epsilon was
split for the median was tried out on normal data, where alone it looked better than any peer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt
from _question_list import SCHEMA
from report import Row, progress, row, skipped

from stead.core.entropy import SystemEntropy
from stead.core.schema import Schema
from stead.plans.analysis import analyse
from stead.plans.analysis import parts as layout_of
from stead.plans.decode import decode_answer
from stead.plans.query import Compare, Count, Derive, Histogram, Mean, Quantile, Query, Sum
from stead.plans.query_price import query_event
from stead.plans.sums import run_reference
from stead.plans.values import Case, Number
from stead.privacy.accounts import Target
from stead.privacy.events import Composed, PrivacyEvent
from stead.privacy.reserve import epsilon_spent, price, usual
from stead.privacy.samplers import discrete_gaussian, discrete_laplace

Array = npt.NDArray[Any]

EPSILON, DELTA = 1.0, 1e-6
ACCOUNT = usual(Target(EPSILON, DELTA))
PEOPLE = 10_000
LOW, HIGH = 60.0, 220.0
MIDDLE = (LOW + HIGH) / 2
CELLS = 8
STANDARD_ERRORS = 3.0
_PRECISION = 2.0**-20

PATIENTS: Schema = msgspec.structs.replace(SCHEMA, people=(1, 2 * PEOPLE), person=None, rows_per_person=1)
MEAN_PARTS = (1 / 2, 1 / 2)
MEDIAN_PARTS = ((0.18, 0.02), (0.2,), (0.6,))
STEP = 0.05
"""Half of the part of the people over which the tree shows the density at the median."""


@dataclass(frozen=True)
class People:
    """The people that everybody is asked about."""

    pressure: npt.NDArray[np.float64]
    ward: npt.NDArray[np.int64]

    @property
    def columns(self) -> dict[str, Array]:
        """As a table of the schema."""
        labels = np.array(SCHEMA.column("ward").categories, dtype=object)
        rest = {name: np.zeros(len(self.ward)) for name in ("pid", "age", "followed")}
        return rest | {
            "pressure": self.pressure,
            "ward": labels[self.ward],
            "sick": np.zeros(len(self.ward), dtype=object),
        }

    def exact(self, work: str) -> Array:
        """The answer without noise."""
        return {
            "count": lambda: np.array(len(self.pressure)),
            "sum": lambda: np.array(math.fsum(self.pressure)),
            "mean": lambda: np.array(math.fsum(self.pressure) / len(self.pressure)),
            "histogram": lambda: np.bincount(self.ward, minlength=CELLS),
            "median": lambda: np.quantile(self.pressure, 0.5, method="inverted_cdf"),
        }[work]()


def made_up(people: int = PEOPLE) -> tuple[People, ...]:
    """Five populations, ten thousand people each by default: in the middle of the range, beside it, skewed, flat."""
    draw = np.random.default_rng(11)
    shapes = (
        draw.normal(130, 20, people),
        draw.normal(130, 20, people),
        draw.normal(97.3, 12, people),
        LOW + draw.gamma(1.5, 15, people),
        draw.uniform(LOW, HIGH, people),
    )
    return tuple(People(np.clip(shape, LOW, HIGH), draw.integers(0, CELLS, people)) for shape in shapes)


# --- ours -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Answering:
    """A way of answering, and what its account says that it costs."""

    answer: Callable[[], Any]
    epsilon: float
    noise: str = ""


def cost(*queries: Query) -> float:
    """Epsilon of all these releases together, at ``DELTA``, by an account of the default orders."""
    events: list[PrivacyEvent] = [query_event(query, analyse(query, PATIENTS)) for query in queries]
    return epsilon_spent(ACCOUNT, price(Composed(tuple(events)), ACCOUNT.target.orders))


def noised(query: Query, parts: Sequence[float]) -> Query:
    """The query with the smaller noise that costs ``EPSILON`` where ``parts`` of it go to its released blocks."""
    found = [_with_noise(query, parts, "laplace"), _with_noise(query, parts, "gaussian")]
    return min(found, key=lambda each: sum(each.sigmas) * (1.0 if each.noise == "laplace" else math.sqrt(2 / math.pi)))


def _with_noise(query: Query, parts: Sequence[float], noise: Literal["laplace", "gaussian"]) -> Query:
    return scaled([as_moved(query, noise)], [parts])[0]


def as_moved(query: Query, noise: Literal["laplace", "gaussian"]) -> Query:
    """The query with noise of as many steps as one person moves each released block."""
    some = tuple(1.0 for _ in layout_of(query, PATIENTS))
    bounds = analyse(msgspec.structs.replace(query, noise=noise, sigmas=some), PATIENTS)
    moved = bounds.l1 if noise == "laplace" else bounds.l2
    return msgspec.structs.replace(query, noise=noise, sigmas=tuple(float(each) for each in moved))


def scaled(queries: Sequence[Query], parts: Sequence[Sequence[float]]) -> list[Query]:
    """All queries' noise times the least factor with which they together cost at most ``EPSILON``."""

    def times(factor: float) -> list[Query]:
        return [
            msgspec.structs.replace(
                query, sigmas=tuple(factor * sigma / part for sigma, part in zip(query.sigmas, own, strict=True))
            )
            for query, own in zip(queries, parts, strict=True)
        ]

    low, high = 0.5, 64.0
    while high - low > _PRECISION * high:
        middle = (low + high) / 2
        low, high = (low, middle) if cost(*times(middle)) <= EPSILON else (middle, high)
    return times(high)


class Release:
    """A question's answers: exact integers once, then noise anew for each.

    Args:
        query: with its noise.
        columns: of the people.
    """

    def __init__(self, query: Query, columns: dict[str, Array]) -> None:
        self._query = query
        self._exact = run_reference(query, PATIENTS, columns)
        self._sizes = [part.size for part in analyse(query, PATIENTS).parts]

    def answer(self) -> dict[str, Array]:
        """A fresh one, as the client reads it."""
        sample = discrete_laplace if self._query.noise == "laplace" else discrete_gaussian
        entropy = SystemEntropy()
        noise = [sample(size, sigma, entropy) for size, sigma in zip(self._sizes, self._query.sigmas, strict=True)]
        return decode_answer(self._query, PATIENTS, self._exact + np.concatenate(noise))


SIMPLE = {
    "count": (Query("patients", (), (), (Count("found"),), ()), (1.0,)),
    "sum": (Query("patients", (), (), (Sum("found", "pressure"),), ()), (1.0,)),
    "mean": (Query("patients", (), (), (Mean("found", "pressure"),), ()), MEAN_PARTS),
    "histogram": (Query("patients", (), (), (Histogram("found", "ward"),), ()), (1.0,)),
}
TREE = Query("patients", (), (), (Quantile("found", "pressure", (0.5 - STEP, 0.5, 0.5 + STEP), depth=2),), ())
COUNTED_TREE = msgspec.structs.replace(TREE, aggregates=(*TREE.aggregates, Count("rows")))


def sides(threshold: float) -> Query:
    """How many more people are above the threshold than below it."""
    where = Compare("pressure", "<", threshold)
    side = Derive("side", Case(((where, Number(-1.0)),), Number(1.0)))
    return Query("patients", (side,), (), (Sum("found", "side"),), ())


def three_questions(people: People) -> Answering:
    """The median by a tree and two steps from there."""
    columns = people.columns
    plans = [as_moved(plan, "laplace") for plan in (COUNTED_TREE, sides(MIDDLE), sides(MIDDLE))]
    tree, *steps = scaled(plans, MEDIAN_PARTS)
    release = Release(tree, columns)

    def answer() -> float:
        first = release.answer()
        below, found, above = first["found"]
        density = 2 * STEP * max(int(first["rows"]), 1) / max(above - below, _PRECISION)
        for step in steps:
            there = msgspec.structs.replace(step, steps=sides(float(found)).steps)
            more = Release(there, columns).answer()["found"]
            found = min(max(found + float(more) / 2 / density, LOW), HIGH)
        return float(found)

    return Answering(answer, cost(tree, *steps), "laplace")


def ours(work: str, people: People) -> dict[str, Answering]:
    """Our ways of answering, by variant."""
    if work == "median":
        tree = noised(TREE, (1.0,))
        release = Release(tree, people.columns)
        return {
            "tree": Answering(lambda: release.answer()["found"][1], cost(tree), tree.noise),
            "three questions": three_questions(people),
        }
    query = noised(*SIMPLE[work])
    one = Release(query, people.columns)
    return {"": Answering(lambda: one.answer()["found"], cost(query), query.noise)}


# --- peers ------------------------------------------------------------------------------------------------------------


def with_opendp(work: str, people: People) -> dict[str, Answering]:
    """OpenDP's ways, as its documentation recommends them. Epsilon is what its own maps say.

    Raises:
        ImportError: it is not installed.
    """
    import opendp.prelude as dp

    dp.enable_features("contrib")
    numbers = dp.vector_domain(dp.atom_domain(T=float, nan=False)), dp.symmetric_distance()
    labels = dp.vector_domain(dp.atom_domain(T=int)), dp.symmetric_distance()
    held = people.pressure.tolist()

    def spending(build: Callable[[float], Any], epsilon: float) -> Any:
        return dp.binary_search_chain(build, d_in=1, d_out=epsilon)

    def answering(measurement: Any, data: list[Any]) -> Answering:
        return Answering(lambda: measurement(data), float(measurement.map(1)))

    def count(epsilon: float) -> Any:
        return spending(lambda scale: numbers >> dp.t.then_count() >> dp.m.then_laplace(scale), epsilon)

    def total(low: float, high: float, epsilon: float) -> Any:
        clamped = numbers >> dp.t.then_clamp((low, high))
        return spending(lambda scale: clamped >> dp.t.then_sum() >> dp.m.then_laplace(scale), epsilon)

    match work:
        case "count":
            return {"": answering(count(EPSILON), held)}
        case "sum":
            return {"": answering(total(LOW, HIGH, EPSILON), held)}
        case "histogram":
            counted = labels >> dp.t.then_count_by_categories(list(range(CELLS)), null_category=False)
            return {"": answering(spending(lambda scale: counted >> dp.m.then_laplace(scale), EPSILON), _list(people))}
        case "mean":
            half = EPSILON / 2
            rows, centred = count(half), total(LOW - MIDDLE, HIGH - MIDDLE, half)
            shifted = (people.pressure - MIDDLE).tolist()

            def resized() -> float:
                size = max(rows(held), 1)
                fixed = numbers >> dp.t.then_clamp((LOW, HIGH)) >> dp.t.then_resize(size, MIDDLE)
                return float(spending(lambda scale: fixed >> dp.t.then_mean() >> dp.m.then_laplace(scale), half)(held))

            spent = float(rows.map(1) + centred.map(1))
            return {
                "sum and count": Answering(lambda: centred(shifted) / max(rows(held), 1) + MIDDLE, spent),
                "resized": Answering(resized, EPSILON),
            }
        case _:
            found = {}
            for step in (0.1, 0.01):
                candidates = np.linspace(LOW, HIGH, round((HIGH - LOW) / step) + 1).tolist()
                choice = spending(
                    lambda scale, among=candidates: (
                        numbers >> dp.m.then_private_quantile(dp.max_divergence(), among, 0.5, scale)
                    ),
                    EPSILON,
                )
                found[f"candidates {step:g} apart"] = answering(choice, held)
            return found


def with_pydp(work: str, people: People) -> dict[str, Answering]:
    """PyDP's ways: Google's library.

    Raises:
        ImportError: it is not installed.
    """
    from pydp.algorithms import laplacian

    held = people.pressure.tolist()
    bounds = {"lower_bound": LOW, "upper_bound": HIGH, "dtype": "float"}
    if work == "count":
        return {"": Answering(lambda: laplacian.Count(epsilon=EPSILON, dtype="float").quick_result(held), EPSILON)}
    if work == "histogram":  # a person is in one cell, so that each may have the whole of epsilon
        cells = [np.flatnonzero(people.ward == cell).tolist() for cell in range(CELLS)]
        return {
            "": Answering(
                lambda: [laplacian.Count(epsilon=EPSILON, dtype="int").quick_result(cell) for cell in cells], EPSILON
            )
        }
    kind = {"sum": laplacian.BoundedSum, "mean": laplacian.BoundedMean, "median": laplacian.Median}[work]
    return {"": Answering(lambda: kind(epsilon=EPSILON, **bounds).quick_result(held), EPSILON)}


def _list(people: People) -> list[int]:
    return [int(cell) for cell in people.ward]


# --- rows -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Measured:
    """A row, and the errors behind it: shape (populations, repetitions)."""

    row: Row
    errors: Array

    @property
    def name(self) -> str:
        """``opendp resized``."""
        return " ".join(part for part in (self.row["system"], self.row["variant"]) if part)


def error_row(
    work: str, system: str, variant: str, ways: Sequence[Answering], asked: Sequence[People], repetitions: int
) -> Measured:
    """``repetitions`` answers about each population: their mean absolute error, and its standard error."""
    progress(f"error: {work}, {system} {variant}")
    found = np.array(
        [
            [np.mean(np.abs(np.asarray(way.answer(), dtype=np.float64) - exact)) for _ in range(repetitions)]
            for way, exact in ((way, people.exact(work)) for way, people in zip(ways, asked, strict=True))
        ]
    )
    figures = row(
        work,
        system,
        variant,
        error=float(found.mean()),
        error_se=_standard_error(found),
        repetitions=found.size,
        epsilon=max(way.epsilon for way in ways),
        noise=ways[0].noise or None,
        delta=DELTA if system == "stead" else None,
    )
    return Measured(figures, found)


def _standard_error(found: Array) -> float:
    """Of the mean over populations that are fixed."""
    populations, repetitions = found.shape
    return float(np.sqrt(found.var(axis=1, ddof=1).sum() / repetitions) / populations)


def beside(measured: Measured, peers: Sequence[Measured]) -> Row:
    """Our row with its ratio to the best of the peers' rows."""
    if not peers:
        return measured.row
    best = min(peers, key=lambda each: float(each.row["error"]))
    ratio = measured.row["error"] / best.row["error"]
    spread = ratio * math.hypot(*(each.row["error_se"] / each.row["error"] for each in (measured, best)))
    worst = float(np.max(measured.errors.mean(axis=1) / best.errors.mean(axis=1)))
    return measured.row | {"baseline": best.name, "ratio": ratio, "ratio_se": spread, "ratio_worst": worst}


def measured_ways(
    work: str, system: str, ways: Callable[[str, People], dict[str, Answering]], asked: Sequence[People], each: int
) -> list[Measured]:
    """A row of every way that a system has.

    Raises:
        ImportError: the system is not installed.
    """
    found = [ways(work, people) for people in asked]
    return [error_row(work, system, name, [own[name] for own in found], asked, each) for name in found[0]]


def error_rows(repetitions: int, people: Sequence[People] | None = None) -> list[Row]:
    """The errors of all five works by all three; ``repetitions`` are shared out among the populations."""
    asked = people or made_up()
    each = -(-repetitions // len(asked))
    rows: list[Row] = []
    for work in (*SIMPLE, "median"):
        peers: list[Measured] = []
        for system, ways in (("opendp", with_opendp), ("pydp", with_pydp)):
            try:
                peers += measured_ways(work, system, ways, asked, each)
            except ImportError as error:
                rows.append(skipped(work, system, str(error)))
        found = measured_ways(work, "stead", ours, asked, each)
        own = [beside(way, peers) for way in sorted(found, key=lambda way: float(way.row["error"]))]
        if peers:
            kept = own[0]["ratio"] - STANDARD_ERRORS * own[0]["ratio_se"] <= 1.0
            own[0] |= {"limit": 1.0, "within": "yes" if kept else "no"}
        rows += [*(peer.row for peer in peers), *own]
    return rows

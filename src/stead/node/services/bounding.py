"""How much of one person a question sees: the first rows of the first groups.

Of each person the first ``most_groups`` different groups count, in the order of the person's rows, and in each of them
the first ``most_rows`` rows. Both orders are those in which rows are stored, so one person's rows alone decide which of
them are kept: with a person added or taken away, nobody else's rows change. Changing one row of a person can change
which others of the same person are kept, never how many there may be.

Timing: not constant-time, as the question over these rows is not.

References: Amin, Kulesza, Munoz Medina, Vassilvitskii, "Bounding User Contributions: A Bias-Variance Trade-off in
    Differential Privacy" (2019); Wilson et al., "Differentially Private SQL with Bounded User Contribution" (2020),
    section 3. Derivation: ``docs/theory/contribution-bounds.md``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from stead.errors import NodeError, UsageError

try:  # by name, because a compiled module is no room of the house: it stands beside all of them
    _native: Any = import_module("stead._native")
except ImportError:  # built without a compiler: NumPy keeps the same rows, more slowly
    _native = None

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_MOST = 1 << 62
_NO_SUCH_ROWS = "the rows of one person do not stand together, or a group or cell is none."


def native_built() -> bool:
    """Whether the native kernel is there; without it NumPy keeps the same rows."""
    return _native is not None


def bounded(
    person: NDArray[np.int64], group: NDArray[np.int64], most_groups: int, most_rows: int, *, native: bool = True
) -> NDArray[np.bool_]:
    """Which rows are kept of each person.

    Args:
        person: shape (n,); the person of each row, the rows of one person one after another, in the order of rank.
        group: shape (n,); the group of each row, -1 for none: such a row is never kept and takes no group.
        most_groups: at most so many groups of one person, 1 or more.
        most_rows: at most so many rows of one person in one group, 1 or more.
        native: False takes the NumPy reference; the rows are the same.

    Returns:
        Shape (n,); at most ``most_groups * most_rows`` rows of one person are kept.

    Raises:
        UsageError: a bound below 1.
        NodeError: a person's rows do not stand together, or the arrays are not of one length.
    """
    if most_groups < 1 or most_rows < 1:
        raise UsageError(f"a person has at least 1 group and 1 row; got {most_groups} groups and {most_rows} rows.")
    if person.shape != group.shape or person.ndim != 1:
        raise NodeError("each row needs one person and one group.")
    people = np.ascontiguousarray(person, dtype=np.int64)
    groups = np.ascontiguousarray(group, dtype=np.int64)
    most_groups, most_rows = min(most_groups, _MOST), min(most_rows, _MOST)
    mask: NDArray[np.bool_] | None
    if native and _native is not None:
        mask = np.empty(len(people), dtype=np.bool_)
        mask = mask if _native.bounded(people, groups, most_groups, most_rows, mask) else None
    else:
        mask = _reference(people, groups, most_groups, most_rows)
    if mask is None:
        raise NodeError("the rows of one person do not stand together.")
    return mask


class Wanted(msgspec.Struct, frozen=True):
    """What is added up of the kept rows, in each of ``groups`` groups.

    Attributes:
        groups: rows are in one each, from 0 on.
        sums: how many columns of values there are, each added up.
        widths: of each column of cells behind them, how many cells there are, from 0 on; rows are counted in them.
    """

    groups: int
    sums: int
    widths: tuple[int, ...]

    @property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """Of the results, all by group: kept rows, people who have one, each column's sums, each column's cells."""
        return ((self.groups, 1),) * (2 + self.sums) + tuple((self.groups, width) for width in self.widths)


def bounded_sums(
    person: NDArray[np.int32],
    group: NDArray[np.uint8] | NDArray[np.int32],
    values: Sequence[NDArray[np.int32]],
    bounds: tuple[int, int],
    wanted: Wanted,
) -> list[NDArray[np.int64]]:
    """What the kept rows of ``bounded`` add up to: the reference of ``streamed_sums``.

    Args:
        person: shape (n,), rising: the rows of one person one after another, in the order of rank.
        group: shape (n,).
        values: the wanted columns, each of shape (n,); the magnitudes of a column of values add up to less than 2^63.
        bounds: the most groups of one person, and the most rows of one person in one group.
        wanted: what is added up.

    Returns:
        An array for each of ``wanted.shapes``.

    Raises:
        UsageError: a bound below 1.
        NodeError: persons do not rise, a group or cell is none, or the arrays are not of one length.
    """
    if any(column.shape != person.shape for column in (group, *values)) or person.ndim != 1:
        raise NodeError("each row needs one person, one group and its values.")
    mask = bounded(person.astype(np.int64), group.astype(np.int64), *bounds, native=False)
    limits = [(group, wanted.groups), *zip(values[wanted.sums :], wanted.widths, strict=True)]
    if person.size and (np.any(np.diff(person) < 0) or any(c.min() < 0 or c.max() >= most for c, most in limits)):
        raise NodeError(_NO_SUCH_ROWS)
    totals = [np.zeros(shape, dtype=np.int64) for shape in wanted.shapes]
    np.add.at(totals[0][:, 0], group[mask], 1)
    pairs = np.unique(np.stack([group[mask].astype(np.int64), person[mask]]), axis=1)
    totals[1][:, 0] = np.bincount(pairs[0], minlength=wanted.groups)
    for place, (total, column) in enumerate(zip(totals[2:], values, strict=True)):
        if place < wanted.sums:
            np.add.at(total[:, 0], group[mask], column[mask])
        else:
            np.add.at(total, (group[mask], column[mask]), 1)
    return totals


def streamed_sums(stream: object, bounds: tuple[int, int], wanted: Wanted) -> list[NDArray[np.int64]]:
    """``bounded_sums`` of rows that an engine hands over batch by batch, by the kernel: no row is kept.

    Args:
        stream: a capsule of the Arrow C stream interface, which is used up; its columns are the person (int32), the
            group (uint8 or int32) and the wanted columns (int32), with nothing missing.
        bounds: the most groups of one person, and the most rows of one person in one group.
        wanted: what is added up.

    Returns:
        As ``bounded_sums``.

    Raises:
        UsageError: a bound below 1.
        NodeError: the rows are not such rows, the engine failed, or there is no kernel (see ``native_built``).

    References: https://arrow.apache.org/docs/format/CStreamInterface.html
    """
    most_groups, most_rows = bounds
    if min(bounds) < 1:
        raise UsageError(f"a person has at least 1 group and 1 row; got {most_groups} groups and {most_rows} rows.")
    if _native is None:
        raise NodeError("built without a compiler: there is no kernel.")
    ends = np.cumsum([rows * columns for rows, columns in wanted.shapes])
    totals = np.zeros(ends[-1], dtype=np.int64)
    most = min(most_groups, _MOST), min(most_rows, _MOST)
    done = _native.bounded_sums(stream, *most, wanted.groups, wanted.sums, list(wanted.widths), totals)
    if done < 0:
        raise NodeError("the table engine failed while handing over rows.")
    if not done:
        raise NodeError(_NO_SUCH_ROWS)
    return [flat.reshape(shape) for flat, shape in zip(np.split(totals, ends[:-1]), wanted.shapes, strict=True)]


def _reference(
    person: NDArray[np.int64], group: NDArray[np.int64], most_groups: int, most_rows: int
) -> NDArray[np.bool_] | None:
    """The definition, by sorting; ``None`` if a person comes again after another."""
    is_first = np.ones(len(person), dtype=np.bool_)
    is_first[1:] = person[1:] != person[:-1]
    starts = np.flatnonzero(is_first)
    if len(np.unique(person[starts])) != len(starts):
        return None
    run = np.cumsum(is_first) - 1
    mask = np.zeros(len(person), dtype=np.bool_)
    rows = np.flatnonzero(group >= 0)
    rows = rows[np.lexsort((rows, group[rows], run[rows]))]  # by person, in it by group, in it by rank
    pair, pair_starts = _numbered(run[rows], group[rows])
    within = np.arange(len(rows)) - pair_starts[pair]
    # Groups of a person in the order of their first rows: rows come by person already.
    order = np.argsort(rows[pair_starts])
    owner, owner_starts = _numbered(run[rows[pair_starts]][order])
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order)) - owner_starts[owner]
    mask[rows] = (within < most_rows) & (place[pair] < most_groups)
    return mask


def _numbered(*keys: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For sorted keys: the number of each row's run of equal keys, and where each run starts."""
    changes = np.ones(len(keys[0]), dtype=np.bool_)
    changes[1:] = np.logical_or.reduce([key[1:] != key[:-1] for key in keys])
    return np.cumsum(changes) - 1, np.flatnonzero(changes)

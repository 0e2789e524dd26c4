"""Which picture an answer's numbers make: bars, steps or points, always with their error bars."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stead.adapters.plots import Bars, Panel, Points, Steps
from stead.client.render import number
from stead.client.tables import AnswerColumn, Answered, Grid, grids, group_labels, terms_of
from stead.plans.analysis import asked_schema
from stead.plans.decode import top_order
from stead.plans.query import Quantile, Survival, TopK


def panels(answer: Answered, people: Sequence[AnswerColumn] = ()) -> list[Panel]:
    """One panel for each aggregate, and one for the people of private keys."""
    labels = group_labels(answer)
    first: list[Panel] = [Bars(column.label, labels, column.values, _errors(column), "people") for column in people]
    return first + [_panel(answer, grid, labels) for grid in grids(answer)]


def _panel(answer: Answered, grid: Grid, labels: tuple[str, ...]) -> Panel:
    aggregate = grid.aggregate
    if isinstance(aggregate, Survival):
        return _log_rank(grid, labels) if aggregate.show == "log-rank" else _curve(answer, aggregate, grid, labels)
    if terms_of(grid):
        return _coefficients(grid, labels)
    if isinstance(aggregate, TopK):
        return _top(aggregate, grid, labels)
    names = tuple(" ".join(filter(None, (label, cell))) for label in labels for cell in grid.cells)
    unit = _unit(answer, getattr(aggregate, "column", None)) if grid.is_date or _has_unit(grid) else ""
    kind = Points if isinstance(aggregate, Quantile) else Bars
    return kind(aggregate.name, names, grid.values.reshape(-1), grid.errors.reshape(-1), unit)


def _curve(answer: Answered, aggregate: Survival, grid: Grid, labels: tuple[str, ...]) -> Panel:
    falls = aggregate.show == "kaplan-meier"
    start = np.full((len(labels), 1), 1.0 if falls else 0.0)
    low, high = grid.values - grid.errors, grid.values + grid.errors
    if falls:
        low, high = np.clip(low, 0.0, 1.0), np.clip(high, 0.0, 1.0)
    unit = _unit(answer, aggregate.time)
    return Steps(
        aggregate.name,
        np.array(aggregate.edges),
        np.concatenate([start, grid.values], axis=1),
        np.concatenate([start, np.maximum(low, 0.0)], axis=1),
        np.concatenate([start, high], axis=1),
        labels,
        f"{aggregate.time} ({unit})" if unit else aggregate.time,
    )


def _coefficients(grid: Grid, labels: tuple[str, ...]) -> Panel:
    """Coefficients in standard errors of their own, which makes them comparable: ± is of the noise alone."""
    terms = [term for term in terms_of(grid) if term != "intercept"]
    place = {cell: index for index, cell in enumerate(grid.cells)}
    names, values, errors = [], [], []
    for g, label in enumerate(labels):
        for term in terms:
            spread = grid.values[g, place[f"{term} se"]]
            scale = spread if spread > 0 else 1.0
            names.append(" ".join(filter(None, (label, term))))
            values.append(grid.values[g, place[term]] / scale)
            errors.append(grid.errors[g, place[term]] / scale)
    return Points(grid.aggregate.name, tuple(names), np.array(values), np.array(errors), "standard errors from 0")


def _log_rank(grid: Grid, labels: tuple[str, ...]) -> Panel:
    names = tuple(f"{label} {what}" for label in labels for what in ("observed", "expected"))
    title = f"{grid.aggregate.name}: χ² {number(grid.values[0, 2], 3)}, p {grid.values[0, 3]:.2g}"
    return Bars(title, names, grid.values[:, :2].reshape(-1), grid.errors[:, :2].reshape(-1), "events")


def _top(aggregate: TopK, grid: Grid, labels: tuple[str, ...]) -> Panel:
    order = top_order(aggregate, grid.values)
    values, errors = (np.take_along_axis(held, order, axis=1).reshape(-1) for held in (grid.values, grid.errors))
    names = tuple(
        " ".join(filter(None, (label, grid.cells[place])))
        for label, places in zip(labels, order.tolist(), strict=True)
        for place in places
    )
    return Bars(aggregate.name, names, values, errors, "rows")


def _has_unit(grid: Grid) -> bool:
    return grid.aggregate.__struct_config__.tag in ("sum", "mean", "quantile")


def _unit(answer: Answered, name: str | None) -> str:
    if name is None:
        return ""
    column = asked_schema(answer.query, answer.schema).column(name)
    return "days since 1970-01-01" if column.kind == "date" else column.unit


def _errors(column: AnswerColumn) -> np.ndarray:
    return np.zeros(len(column.values)) if column.errors is None else column.errors

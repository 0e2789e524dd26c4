"""Pictures of results: a matplotlib figure where matplotlib is installed, else an SVG drawn here.

Error bars are never left out: a number with noise and no error bar is a wrong picture.
"""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

WIDTH = 640
PANEL = 240
MARGIN = 56
BLUE = "#4477aa"
COLOURS = (BLUE, "#cc6677", "#228833", "#aa8800", "#aa3377", "#66ccee")
"""Told apart by people who see few colours (Tol's bright scheme)."""
DASHES = ("", "6 3", "2 3", "8 3 2 3")
"""And by those who see none."""


@dataclass(frozen=True)
class Bars:
    """One panel of bars.

    Attributes:
        title: what is shown.
        labels: one for each bar.
        values: heights, shape (bars,).
        errors: half-widths, shape (bars,).
        unit: of the values; may be empty.
    """

    title: str
    labels: tuple[str, ...]
    values: np.ndarray
    errors: np.ndarray
    unit: str = ""


@dataclass(frozen=True)
class Points:
    """One panel of points on lines of their own, one below the other, with error bars.

    Attributes:
        title: what is shown.
        labels: one for each point.
        values: places, shape (points,).
        errors: half-widths, shape (points,).
        unit: of the values; may be empty.
    """

    title: str
    labels: tuple[str, ...]
    values: np.ndarray
    errors: np.ndarray
    unit: str = ""


@dataclass(frozen=True)
class Steps:
    """One panel of step curves with bands: each stays as it is from one edge to the next.

    Attributes:
        title: what is shown.
        edges: where they step, ascending, shape (edges,).
        values: at the edges, shape (curves, edges).
        low: the bands' lower ends, of the same shape.
        high: the bands' upper ends.
        labels: one for each curve; empty ones are not shown.
        x_label: of the edges.
    """

    title: str
    edges: np.ndarray
    values: np.ndarray
    low: np.ndarray
    high: np.ndarray
    labels: tuple[str, ...]
    x_label: str


@dataclass(frozen=True)
class Curve:
    """One panel with a curve: ``x`` and ``y`` of shape (points,)."""

    title: str
    x: np.ndarray
    y: np.ndarray
    x_label: str
    y_label: str = ""


@dataclass(frozen=True)
class SvgPicture:
    """A drawing that a notebook shows as it is. It has no script and takes its colours from the page."""

    svg: str

    def _repr_svg_(self) -> str:
        return self.svg

    def _repr_html_(self) -> str:
        return self.svg

    def save(self, path: str | Path) -> None:
        """Write it to an ``.svg`` file."""
        Path(path).write_text(self.svg, encoding="utf-8")

    def __repr__(self) -> str:
        return f"SvgPicture({len(self.svg):,} characters; .save('picture.svg') keeps it)"


Panel = Bars | Points | Steps
Picture = Any
"""A matplotlib figure, or an ``SvgPicture``."""


def picture(title: str, panels: Sequence[Panel]) -> Picture:
    """Panels side by side (below one another in an SVG), each with its error bars.

    Returns:
        A ``matplotlib.figure.Figure``, or an ``SvgPicture`` without matplotlib.
    """
    figure = _figure(title, len(panels))
    if figure is None:
        return SvgPicture(_stack(title, [_svg(panel) for panel in panels]))
    for axes, panel in zip(figure.axes, panels, strict=True):
        _draw(axes, panel)
        axes.set_title(panel.title)
    return figure


def bars(title: str, panels: Sequence[Bars]) -> Picture:
    """Bars with error bars, panels side by side; see ``picture``."""
    return picture(title, panels)


def curves(title: str, panels: Sequence[Curve]) -> Any:
    """Curves, panels side by side.

    Returns:
        A ``matplotlib.figure.Figure``, or an ``SvgPicture`` without matplotlib.
    """
    figure = _figure(title, len(panels))
    if figure is None:
        return SvgPicture(_stack(title, [_curve_svg(panel) for panel in panels]))
    for axes, panel in zip(figure.axes, panels, strict=True):
        axes.plot(panel.x, panel.y, color=BLUE, marker="." if len(panel.x) < 60 else None)
        axes.set_title(panel.title)
        axes.set_xlabel(panel.x_label)
        axes.set_ylabel(panel.y_label)
    return figure


def _draw(axes: Any, panel: Panel) -> None:
    """One panel on matplotlib's axes."""
    if isinstance(panel, Steps):
        for i, (values, low, high, label) in enumerate(_each_curve(panel)):
            colour, dash = COLOURS[i % len(COLOURS)], ("-", "--", ":", "-.")[i % 4]
            axes.step(panel.edges, values, where="post", color=colour, linestyle=dash, label=label or None)
            axes.fill_between(panel.edges, low, high, step="post", color=colour, alpha=0.2, linewidth=0)
        if any(panel.labels):
            axes.legend()
        axes.set_xlabel(panel.x_label)
        return
    places = np.arange(len(panel.labels))
    if isinstance(panel, Points):
        axes.errorbar(panel.values, places, xerr=_drawable(panel.errors), fmt="o", color=BLUE, capsize=4)
        axes.set_yticks(places, panel.labels)
        axes.set_ylim(len(places) - 0.5, -0.5)
        axes.set_xlabel(panel.unit)
        if "from 0" in panel.unit:
            axes.axvline(0.0, color="0.6", linewidth=0.8)
        return
    axes.bar(places, panel.values, color=BLUE, yerr=_drawable(panel.errors), capsize=4)
    axes.set_xticks(places, panel.labels, rotation=0 if sum(map(len, panel.labels)) <= 30 else 60)
    axes.set_ylabel(panel.unit)


def _each_curve(panel: Steps) -> list[tuple[np.ndarray, np.ndarray, np.ndarray, str]]:
    return list(zip(panel.values, panel.low, panel.high, panel.labels, strict=True))


def _svg(panel: Panel) -> str:
    if isinstance(panel, Steps):
        return _steps_svg(panel)
    return _points_svg(panel) if isinstance(panel, Points) else _bars_svg(panel)


def _figure(title: str, panels: int) -> Any:
    """A figure with a row of axes that no global state of pyplot knows of; ``None`` without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return None
    figure = Figure(figsize=(max(6.4, 4.2 * panels), 3.6), layout="constrained")
    figure.subplots(1, max(1, panels))
    figure.suptitle(title, fontsize="medium")
    return figure


def _drawable(errors: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(errors), errors, 0.0)


def _stack(title: str, panels: Sequence[str]) -> str:
    height = 28 + PANEL * len(panels)
    placed = "".join(f'<g transform="translate(0 {28 + PANEL * i})">{panel}</g>' for i, panel in enumerate(panels))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" role="img" '
        f'font-family="sans-serif" font-size="12" fill="currentColor"><title>{html.escape(title)}</title>'
        f'<text x="8" y="18" font-weight="bold">{html.escape(title)}</text>{placed}</svg>'
    )


def _bars_svg(panel: Bars) -> str:
    if not len(panel.labels):
        return _axes(panel.title, panel.unit, _scale(0.0, 1.0))
    errors = _drawable(panel.errors)
    values = np.where(np.isfinite(panel.values), panel.values, 0.0)
    y = _scale(min(0.0, float((values - errors).min())), float((values + errors).max()))
    slot = (WIDTH - 2 * MARGIN) / len(values)
    shapes = [_axes(panel.title, panel.unit, y)]
    for i, (label, value, error) in enumerate(zip(panel.labels, values, errors, strict=True)):
        middle = MARGIN + slot * (i + 0.5)
        top, zero = y.at(value), y.at(0.0)
        shapes.append(
            f'<rect x="{middle - slot * 0.35:.1f}" y="{min(top, zero):.1f}" width="{slot * 0.7:.1f}" '
            f'height="{abs(zero - top):.1f}" fill="{BLUE}" fill-opacity=".75"/>'
            f'<path d="M{middle:.1f} {y.at(value - error):.1f}V{y.at(value + error):.1f}" stroke="currentColor"/>'
            f'<text x="{middle:.1f}" y="{PANEL - 18}" text-anchor="middle">{html.escape(label)}</text>'
        )
    return "".join(shapes)


def _points_svg(panel: Points) -> str:
    errors = _drawable(panel.errors)
    values = np.where(np.isfinite(panel.values), panel.values, 0.0)
    if not len(values):
        return _axes(panel.title, panel.unit, _scale(0.0, 1.0))
    x = _scale(float((values - errors).min()), float((values + errors).max()))
    left, right = 3 * MARGIN, WIDTH - MARGIN

    def across(value: float) -> float:
        return left + (value - x.low) / (x.high - x.low) * (right - left)

    slot = (PANEL - 76) / len(values)
    caption = f"{panel.title} ({panel.unit})" if panel.unit else panel.title
    shapes = [f'<text x="{MARGIN}" y="20">{html.escape(caption)}</text>']
    shapes += [
        f'<path d="M{across(tick):.1f} 32V{PANEL - 36}" stroke="currentColor" stroke-opacity=".2"/>'
        f'<text x="{across(tick):.1f}" y="{PANEL - 18}" text-anchor="middle">{tick:g}</text>'
        for tick in np.linspace(x.low, x.high, 5)
    ]
    for i, (label, value, error) in enumerate(zip(panel.labels, values, errors, strict=True)):
        middle = 40 + slot * (i + 0.5)
        shapes.append(
            f'<path d="M{across(value - error):.1f} {middle:.1f}H{across(value + error):.1f}" stroke="currentColor"/>'
            f'<circle cx="{across(value):.1f}" cy="{middle:.1f}" r="4" fill="{BLUE}"/>'
            f'<text x="{left - 8}" y="{middle + 4:.1f}" text-anchor="end">{html.escape(label)}</text>'
        )
    return "".join(shapes)


def _steps_svg(panel: Steps) -> str:
    y = _scale(min(0.0, float(panel.low.min())), float(panel.high.max())) if panel.values.size else _scale(0.0, 1.0)
    least, most = float(panel.edges[0]), float(panel.edges[-1])
    across = (WIDTH - 2 * MARGIN) / max(most - least, 1e-12)
    shapes = [_axes(panel.title, "", y)]
    for i, (values, low, high, label) in enumerate(_each_curve(panel)):
        colour, dash = COLOURS[i % len(COLOURS)], DASHES[i % len(DASHES)]
        corners = [_corners(panel.edges, line) for line in (values, low, high)]
        line, under, over = (
            [f"{MARGIN + (x - least) * across:.1f},{y.at(value):.1f}" for x, value in each] for each in corners
        )
        shapes.append(
            f'<polygon points="{" ".join(over + under[::-1])}" fill="{colour}" fill-opacity=".2"/>'
            f'<polyline points="{" ".join(line)}" fill="none" stroke="{colour}" stroke-width="2" '
            f'stroke-dasharray="{dash}"/>'
        )
        if label:
            place = 20 + 16 * i
            shapes.append(
                f'<path d="M{WIDTH - 190} {place - 4}h24" stroke="{colour}" stroke-width="2" '
                f'stroke-dasharray="{dash}"/><text x="{WIDTH - 160}" y="{place}">{html.escape(label)}</text>'
            )
    shapes.append(
        f'<text x="{MARGIN}" y="{PANEL - 18}">{least:g}</text>'
        f'<text x="{WIDTH - MARGIN}" y="{PANEL - 18}" text-anchor="end">{most:g}</text>'
        f'<text x="{WIDTH / 2}" y="{PANEL - 18}" text-anchor="middle">{html.escape(panel.x_label)}</text>'
    )
    return "".join(shapes)


def _corners(edges: np.ndarray, values: np.ndarray) -> list[tuple[float, float]]:
    """The corners of a step line, which holds its value from each edge to the next."""
    found = [(float(edges[0]), float(values[0]))]
    for i in range(1, len(edges)):
        found += [(float(edges[i]), float(values[i - 1])), (float(edges[i]), float(values[i]))]
    return found


def _curve_svg(panel: Curve) -> str:
    known = np.isfinite(panel.y)
    if not known.any():
        return _axes(panel.title, panel.y_label, _scale(0.0, 1.0))
    y = _scale(float(panel.y[known].min()), float(panel.y[known].max()))
    least, most = float(panel.x.min()), float(panel.x.max())
    across = (WIDTH - 2 * MARGIN) / max(most - least, 1e-12)
    points = " ".join(
        f"{MARGIN + (x - least) * across:.1f},{y.at(value):.1f}"
        for x, value in zip(panel.x[known], panel.y[known], strict=True)
    )
    ends = (
        f'<text x="{MARGIN}" y="{PANEL - 18}">{least:g}</text>'
        f'<text x="{WIDTH - MARGIN}" y="{PANEL - 18}" text-anchor="end">{most:g}</text>'
        f'<text x="{WIDTH / 2}" y="{PANEL - 18}" text-anchor="middle">{html.escape(panel.x_label)}</text>'
    )
    line = f'<polyline points="{points}" fill="none" stroke="{BLUE}" stroke-width="2"/>'
    return _axes(panel.title, panel.y_label, y) + ends + line


@dataclass(frozen=True)
class _Scale:
    low: float
    high: float

    def at(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return PANEL - 40 - share * (PANEL - 72)


def _scale(low: float, high: float) -> _Scale:
    if not high > low:
        low, high = low - 0.5, low + 0.5
    step = 10 ** math.floor(math.log10(high - low)) / 2
    return _Scale(math.floor(low / step) * step, math.ceil(high / step) * step)


def _axes(title: str, unit: str, y: _Scale) -> str:
    ticks = np.linspace(y.low, y.high, 5)
    lines = "".join(
        f'<path d="M{MARGIN} {y.at(tick):.1f}H{WIDTH - MARGIN}" stroke="currentColor" stroke-opacity=".2"/>'
        f'<text x="{MARGIN - 6}" y="{y.at(tick) + 4:.1f}" text-anchor="end">{tick:g}</text>'
        for tick in ticks
    )
    caption = f"{title} ({unit})" if unit else title
    return f'<text x="{MARGIN}" y="20">{html.escape(caption)}</text>{lines}'

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


def bars(title: str, panels: Sequence[Bars]) -> Any:
    """Bars with error bars, panels side by side.

    Returns:
        A ``matplotlib.figure.Figure``, or an ``SvgPicture`` without matplotlib.
    """
    figure = _figure(title, len(panels))
    if figure is None:
        return SvgPicture(_stack(title, [_bars_svg(panel) for panel in panels]))
    for axes, panel in zip(figure.axes, panels, strict=True):
        places = np.arange(len(panel.labels))
        axes.bar(places, panel.values, color=BLUE, yerr=_drawable(panel.errors), capsize=4)
        axes.set_xticks(places, panel.labels, rotation=0 if len(panel.labels) <= 6 else 60)
        axes.set_title(panel.title)
        axes.set_ylabel(panel.unit)
    return figure


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


def _figure(title: str, panels: int) -> Any:
    """A figure with a row of axes that no global state of pyplot knows of; ``None`` without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return None
    figure = Figure(figsize=(4.2 * panels, 3.4), layout="constrained")
    figure.subplots(1, panels)
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

"""The report's pictures: SVG that takes its colours from the page, each with a title for those who cannot see it."""

from __future__ import annotations

import html
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

BLUE: Final = "#3b7dd8"
ORANGE: Final = "#d9772b"
GREEN: Final = "#2f9e74"
GREY: Final = "#8795a5"
_WIDTH: Final = 760


@dataclass(frozen=True)
class Dot:
    """One row of a dot plot."""

    label: str
    value: float
    colour: str
    note: str = ""


@dataclass(frozen=True)
class Line:
    """One line of a chart: y by x, with a name that stands at its end."""

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    colour: str


@dataclass(frozen=True)
class Interval:
    """One row with a value and the half-width of its error."""

    label: str
    value: float
    error: float
    colour: str


def dots(title: str, rows: Sequence[Dot], *, low: float, high: float, axis: str) -> str:
    """A dot plot: values on one scale from ``low`` to ``high``, a row each."""
    left, right, step = 210, 130, 34
    height = 62 + step * len(rows)
    scale = _Scale(low, high, left, _WIDTH - right)
    parts = [
        _grid(scale, top=18, bottom=height - 44),
        _text(scale.middle, height - 4, axis, anchor="middle", soft=True),
    ]
    for index, row in enumerate(rows):
        y = 34 + step * index
        parts += [
            _text(left - 14, y + 5, row.label, anchor="end"),
            f'<path d="M{left} {y}H{scale.at(row.value):.1f}" stroke="{row.colour}" opacity=".35" stroke-width="3"/>',
            f'<circle cx="{scale.at(row.value):.1f}" cy="{y}" r="7" fill="{row.colour}"/>',
            _text(_WIDTH - right + 14, y + 5, f"{row.value:.3f}", bold=True),
            _text(_WIDTH - right + 62, y + 5, row.note, soft=True, size=12),
        ]
    return _svg(title, height, parts)


def lines(title: str, drawn: Sequence[Line], *, axes: tuple[str, str], low: float, high: float) -> str:
    """A line chart. ``axes`` are the captions of x and y; ``low`` and ``high`` the range of y."""
    left, right, top, bottom = 56, 150, 30, 254
    last = max(max(line.x) for line in drawn)
    across, up = _Scale(0.0, last, left, _WIDTH - right), _Scale(low, high, bottom, top)
    parts = []
    for tick in up.ticks():
        parts += [
            f'<path d="M{left} {up.at(tick):.1f}H{_WIDTH - right}" stroke="currentColor" stroke-opacity=".15"/>',
            _text(left - 8, up.at(tick) + 4, f"{tick:g}", anchor="end", soft=True, size=12),
        ]
    for tick in across.ticks():
        parts.append(_text(across.at(tick), bottom + 18, f"{tick:g}", anchor="middle", soft=True, size=12))
    ends = _apart([up.at(line.y[-1]) for line in drawn], least=17)
    for line, end in zip(drawn, ends, strict=True):
        points = " ".join(f"{across.at(x):.1f},{up.at(y):.1f}" for x, y in zip(line.x, line.y, strict=True))
        parts += [
            f'<polyline points="{points}" fill="none" stroke="{line.colour}" stroke-width="2.5"/>',
            f'<circle cx="{across.at(line.x[-1]):.1f}" cy="{up.at(line.y[-1]):.1f}" r="4" fill="{line.colour}"/>',
            _text(across.at(line.x[-1]) + 10, end + 4, line.name, size=13, colour=line.colour),
        ]
    parts.append(_text((left + _WIDTH - right) / 2, bottom + 40, axes[0], anchor="middle", soft=True))
    parts.append(_text(4, 12, axes[1], soft=True))
    return _svg(title, bottom + 48, parts)


def intervals(title: str, rows: Sequence[Interval], *, unit: str) -> str:
    """Values with their 95 % error bars, a row each."""
    left, right, step = 210, 150, 32
    height = 62 + step * len(rows)
    high = max(row.value + row.error for row in rows) * 1.05
    low = min(0.0, *(row.value - row.error for row in rows))
    scale = _Scale(low, high, left, _WIDTH - right)
    parts = [
        _grid(scale, top=16, bottom=height - 44),
        _text(scale.middle, height - 4, unit, anchor="middle", soft=True),
    ]
    for index, row in enumerate(rows):
        y, start, end = 32 + step * index, scale.at(row.value - row.error), scale.at(row.value + row.error)
        parts += [
            _text(left - 14, y + 5, row.label, anchor="end"),
            f'<g stroke="{row.colour}" stroke-width="2"><path d="M{start:.1f} {y}H{end:.1f}"/>',
            f'<path d="M{start:.1f} {y - 6}v12M{end:.1f} {y - 6}v12"/></g>',
            f'<circle cx="{scale.at(row.value):.1f}" cy="{y}" r="6" fill="{row.colour}"/>',
            _text(_WIDTH - right + 14, y + 5, f"{_short(row.value)} ± {_short(row.error)}"),
        ]
    return _svg(title, height, parts)


@dataclass(frozen=True)
class _Scale:
    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return self.start + min(max(share, 0.0), 1.0) * (self.end - self.start)

    @property
    def middle(self) -> float:
        return (self.start + self.end) / 2

    def ticks(self) -> list[float]:
        """Four to nine round numbers inside the range."""
        span = self.high - self.low
        steps = (scale * factor for scale in (10.0**power for power in range(-8, 12)) for factor in (1, 2, 5))
        size = next((step for step in steps if span / step <= 8), span)
        first = -int(-self.low // size)
        return [round(number * size, 10) for number in range(first, int(self.high // size) + 1)]


def _apart(places: Sequence[float], *, least: float) -> list[float]:
    """Move labels down until no two are closer than ``least``."""
    order = sorted(range(len(places)), key=places.__getitem__)
    moved = list(places)
    for before, after in itertools.pairwise(order):
        moved[after] = max(moved[after], moved[before] + least)
    return moved


def _grid(scale: _Scale, *, top: float, bottom: float) -> str:
    return "".join(
        f'<path d="M{scale.at(tick):.1f} {top}V{bottom}" stroke="currentColor" stroke-opacity=".15"/>'
        + _text(scale.at(tick), bottom + 14, f"{tick:g}", anchor="middle", soft=True, size=12)
        for tick in scale.ticks()
    )


def _text(  # noqa: PLR0913 (a text has so many properties)
    x: float,
    y: float,
    words: str,
    *,
    anchor: str = "start",
    soft: bool = False,
    bold: bool = False,
    size: int = 14,
    colour: str = "currentColor",
) -> str:
    weight = ' font-weight="600"' if bold else ""
    faint = ' fill-opacity=".7"' if soft else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" fill="{colour}"{weight}{faint}>'
        f"{html.escape(words)}</text>"
    )


def _svg(title: str, height: float, parts: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {_WIDTH} {height:.0f}" width="{_WIDTH}" role="img" font-family="inherit">'
        f"<title>{html.escape(title)}</title>{''.join(parts)}</svg>"
    )


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2f}"

"""How the client's objects show themselves: short text for terminals, plain HTML for notebooks.

The HTML has no script and no colour of its own (it inherits the notebook's theme); every text in it is escaped.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence

_CELL = "padding:.15em .7em;text-align:right;border:0"
_RULE = "border-bottom:1px solid;opacity:.75"


def bar(fraction: float, width: int = 18) -> str:
    """A bar of block characters for a share between 0 and 1; what is left is dark."""
    full = round(min(max(fraction, 0.0), 1.0) * width)
    return "▇" * full + "░" * (width - full)


def number(value: float, digits: int = 4) -> str:
    """A number for people: thousands separated, ``digits`` significant digits, no trailing zeros."""
    if not math.isfinite(value):
        return "∞" if value > 0 else "–∞" if value < 0 else "unknown"
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    places = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:,.{places}f}"


def with_error(value: float, error: float) -> str:
    """``128.43 ± 0.41``: the error to two significant digits, the value to the same decimals."""
    if not math.isfinite(value):
        return "unknown"
    if not math.isfinite(error):
        return f"{number(value)} ± unknown"
    if error == 0:
        return f"{number(value)} ± 0"
    places = max(0, 1 - math.floor(math.log10(error)))
    return f"{value:,.{places}f} ± {error:,.{places}f}"


def size(size_bytes: int) -> str:
    """A number of bytes for people."""
    for unit, scale in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size_bytes >= scale:
            return f"{size_bytes / scale:.1f} {unit}"
    return f"{size_bytes} B"


def plain(text: str) -> str:
    """A text from outside with nothing in it that a terminal would act on."""
    return "".join(c if c.isprintable() else " " for c in text)


def facts(title: str, pairs: Iterable[tuple[str, str]]) -> str:
    """A title line and aligned ``name  value`` lines; lines with an empty value are left out."""
    kept = [(plain(name), plain(value)) for name, value in pairs if value]
    width = max((len(name) for name, _ in kept), default=0)
    return "\n".join([plain(title), *(f"{name:<{width}}  {value}" for name, value in kept)])


def table(header: Sequence[str], rows: Sequence[Sequence[str]], *, most_rows: int = 20) -> str:
    """An aligned text table; long ones are cut with a line that says so."""
    shown = [[plain(cell) for cell in row] for row in (header, *rows[:most_rows])]
    widths = [max(len(row[column]) for row in shown) for column in range(len(header))]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in shown]
    if len(rows) > most_rows:
        lines.append(f"… {len(rows) - most_rows} more rows")
    return "\n".join(line.rstrip() for line in lines)


def facts_html(title: str, pairs: Iterable[tuple[str, str]], *, after: str = "") -> str:
    """A titled two-column table; ``after`` is HTML that follows it."""
    lines = "".join(
        f'<tr><th scope="row" style="{_CELL};text-align:left">{html.escape(name)}</th>'
        f'<td style="{_CELL};text-align:left">{html.escape(value)}</td></tr>'
        for name, value in pairs
        if value
    )
    head = f"<div><strong>{html.escape(title)}</strong></div>"
    return f'<div>{head}<table style="border-collapse:collapse">{lines}</table>{after}</div>'


def table_html(header: Sequence[str], rows: Sequence[Sequence[str]], *, caption: str = "", most_rows: int = 50) -> str:
    """A plain table with a caption."""
    head = "".join(f'<th scope="col" style="{_CELL};{_RULE}">{html.escape(cell)}</th>' for cell in header)
    body = "".join(
        "<tr>" + "".join(f'<td style="{_CELL}">{html.escape(cell)}</td>' for cell in row) + "</tr>"
        for row in rows[:most_rows]
    )
    if len(rows) > most_rows:
        body += f'<tr><td colspan="{len(header)}" style="{_CELL}">… {len(rows) - most_rows} more rows</td></tr>'
    title = f'<caption style="caption-side:top;text-align:left">{html.escape(caption)}</caption>' if caption else ""
    return f'<table style="border-collapse:collapse">{title}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def short_hex(data: bytes) -> str:
    """The first eight hex digits, as people compare them."""
    return data.hex()[:8]

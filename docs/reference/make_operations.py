"""Writes docs/reference/operations.md from the table: ``python docs/reference/make_operations.py``."""

from __future__ import annotations

from pathlib import Path

from stead.plans.ops import OPERATIONS
from stead.plans.ops.operation import Operation

PAGE = Path(__file__).parent / "operations.md"

_HEAD = """\
# The operations of a Program

Made from the table in `stead.plans.ops` by `docs/reference/make_operations.py`; {count} operations, and no others.

A Program's step names one of them, the earlier values it reads, its attributes (all are needed, none may be added) and
the types of what it gives, which are derived again before anything runs. Types are `float32`, `float64`, `int64` and
`bool` with a fixed shape; operands of one step have one type, and shapes broadcast by NumPy's rule where the meaning
is element by element. Axes count from 0. No operation fails because of a value; *whatever the values* says what comes
out instead.
"""

_TITLES = {
    "creation": "Making values",
    "elementwise": "Element by element",
    "reduction": "Folding axes",
    "shape": "Moving elements",
    "linear": "Matrix products",
    "window": "Windows",
    "index": "Places given by values",
}


def page() -> str:
    """The text of the page."""
    parts = [_HEAD.format(count=len(OPERATIONS))]
    for family, title in _TITLES.items():
        parts += [f"\n## {title}\n", "| operation | inputs | attributes | meaning | whatever the values | ATen |"]
        parts.append("|---|---|---|---|---|---|")
        parts += [_row(row) for row in OPERATIONS.values() if row.family == family]
    return "\n".join(parts) + "\n"


def _row(row: Operation) -> str:
    attributes = ", ".join(f"{name}: {kind}" for name, kind in row.attributes.items()) or "–"
    inputs = "1 or more" if row.arity is None else str(row.arity)
    return f"| `{row.name}` | {inputs} | {attributes} | {row.meaning} | {row.totality} | `{row.aten}` |"


if __name__ == "__main__":
    PAGE.write_text(page())

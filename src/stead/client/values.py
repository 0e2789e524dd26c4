"""What a notebook may hand over by mistake, refused in words before a library beneath would refuse it in its own."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import Any

from stead.errors import UsageError


def plain_number(value: Any, what: str) -> float:
    """``value`` as a float.

    Args:
        value: what was given.
        what: how the error names it: ``within``, ``an edge``.

    Raises:
        UsageError: it is a text, or no number.
    """
    try:
        if isinstance(value, str | bytes | bool):
            raise TypeError
        return float(value)
    except (TypeError, ValueError):
        raise UsageError(f"{what} is a number; got {_shown(value)}.") from None


def whole_number(value: Any, what: str) -> int:
    """``value`` as an integer.

    Raises:
        UsageError: it is none.
    """
    try:
        if isinstance(value, bool):
            raise TypeError
        return operator.index(value)
    except TypeError:
        raise UsageError(f"{what} is a whole number; got {_shown(value)}.") from None


def several(values: Any, what: str, hint: str) -> tuple[Any, ...]:
    """``values`` as a tuple: a list or array of them, never one text cut into letters.

    Raises:
        UsageError: it is one value.
    """
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise UsageError(f"{what} is a list; got {_shown(values)}.", hint=hint)
    return tuple(values)


def _shown(value: object) -> str:
    text = repr(value) if isinstance(value, str | bytes | int | float | None) else f"a {type(value).__name__}"
    return text if len(text) <= 40 else text[:39] + "…"

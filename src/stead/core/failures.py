"""Errors as they travel: from an error of the tree to a ``Failure``, and back on the other side."""

from __future__ import annotations

from typing import Final

from stead.core.messages import Failure
from stead.errors import NodeError, SteadError, by_code

MAX_TEXT_CHARS: Final = 2000


def to_failure(error: SteadError) -> Failure:
    """The message that carries ``error``; its texts hold nothing private, as all of the tree's."""
    return Failure(error=error.code(), what=error.what, hint=error.hint, reference=error.reference)


def from_failure(failure: Failure) -> SteadError:
    """The error that another side reports; raise it.

    A name that this version does not know becomes a ``NodeError``. The texts come from outside and end up in a
    terminal, so control characters are taken out and the length is bounded.
    """
    kind = by_code(failure.error)
    if kind is SteadError:
        kind = NodeError
    return kind(_plain(failure.what), hint=_plain(failure.hint), reference=_plain(failure.reference))


def _plain(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text[:MAX_TEXT_CHARS])

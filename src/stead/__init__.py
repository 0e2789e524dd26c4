"""stead: compute on data that stays with its owner.

Importing it loads nothing heavy; each name below is fetched when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stead.client import ask as ask
    from stead.client import compute as compute
    from stead.client import connect as connect
    from stead.client import epsilon as epsilon
    from stead.client import fit as fit
    from stead.client import party as party
    from stead.client import when as when
    from stead.errors import SteadError as SteadError
    from stead.mpc.session import local_session as local_session

__version__ = "0.1.0"

_HOMES = {
    "SteadError": "stead.errors",
    "ask": "stead.client",
    "compute": "stead.client",
    "connect": "stead.client",
    "demo": "stead.cli.demo",
    "epsilon": "stead.client",
    "fit": "stead.client",
    "local_session": "stead.mpc.session",
    "party": "stead.client",
    "when": "stead.client",
}
_ROOMS = ("errors", "testing")

__all__ = [
    "SteadError", "__version__", "ask", "compute", "connect", "demo", "epsilon", "errors", "fit", "local_session",
    "party", "testing", "when",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return importlib.import_module(f"stead.{name}")
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'stead' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)

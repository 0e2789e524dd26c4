"""What a scientist uses in a notebook: connect, ask, fit. Loaded name by name, so that importing it costs little."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stead.client.cases import when as when
    from stead.client.computing import compute as compute
    from stead.client.fitting import fit as fit
    from stead.client.joint import JointQuestion as JointQuestion
    from stead.client.joint import ask as ask
    from stead.client.parties import party as party
    from stead.client.stead import Stead as Stead
    from stead.client.stead import attach as attach
    from stead.client.stead import connect as connect
    from stead.client.training_plan import epsilon as epsilon

_HOMES = {
    "JointQuestion": "stead.client.joint",
    "Stead": "stead.client.stead",
    "ask": "stead.client.joint",
    "attach": "stead.client.stead",
    "compute": "stead.client.computing",
    "connect": "stead.client.stead",
    "epsilon": "stead.client.training_plan",
    "fit": "stead.client.fitting",
    "party": "stead.client.parties",
    "when": "stead.client.cases",
}

__all__ = ["JointQuestion", "Stead", "ask", "attach", "compute", "connect", "epsilon", "fit", "party", "when"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        found = getattr(importlib.import_module(_HOMES[name]), name)
        # `stead.client.fitting` is a module as well; the function takes its place once it has been asked for.
        globals()[name] = found
        return found
    raise AttributeError(f"module 'stead.client' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)

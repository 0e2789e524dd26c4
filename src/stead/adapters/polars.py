"""Results as Polars data frames."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from stead.errors import MissingExtra


def polars_frame(columns: Mapping[str, Any]) -> Any:
    """A ``polars.DataFrame`` of columns of one length.

    Args:
        columns: name to one-dimensional values.

    Raises:
        MissingExtra: Polars is not installed.
    """
    try:
        polars = importlib.import_module("polars")
    except ImportError:
        hint = "pip install 'stead[polars]', or use to_dict() or to_numpy()"
        raise MissingExtra("to_polars() needs Polars, which is not installed.", hint=hint) from None
    return polars.DataFrame(dict(columns), strict=False)

"""Results as pandas data frames."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from stead.errors import MissingExtra


def data_frame(columns: Mapping[str, Any]) -> Any:
    """A ``pandas.DataFrame`` of columns of one length.

    Args:
        columns: name to one-dimensional values.

    Raises:
        MissingExtra: pandas is not installed.
    """
    try:
        pandas = importlib.import_module("pandas")
    except ImportError:
        hint = "pip install pandas, or use to_dict() or to_numpy()"
        raise MissingExtra("to_pandas() needs pandas, which is not installed.", hint=hint) from None
    return pandas.DataFrame(dict(columns))

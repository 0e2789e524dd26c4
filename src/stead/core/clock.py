"""Time, passed in."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Where a component takes the time from."""

    def now(self) -> float:
        """Seconds since the Unix epoch."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> float:
        """Seconds since the Unix epoch."""
        return time.time()

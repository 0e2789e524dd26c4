"""What a running node writes about itself: one JSON line for each event, of listed keys only.

All of the process's log records come through here, whoever makes them. A line can carry no value of a row, because
of a record it carries nothing but its level, its logger, its fixed text and the keys below: arguments of a foreign
library's texts, tracebacks and unlisted keys are left out.
"""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any, Final, TextIO

import structlog

ALLOWED: Final = frozenset({"event", "level", "timestamp", "logger", "reference", "doing", "error", "port", "version"})


def journal(stream: TextIO) -> logging.StreamHandler[TextIO]:
    """A destination for log records: JSON lines on ``stream``."""
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.stdlib.ExtraAdder(),
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _fixed_text,
        ],
        processors=[_listed_only, structlog.processors.JSONRenderer()],
    )
    destination = logging.StreamHandler(stream)
    destination.setFormatter(formatter)
    return destination


def keep_journal(path: Path) -> None:
    """Send all log records of this process to the file ``path``, readable by its owner alone, and nowhere else."""
    path.touch(mode=0o600, exist_ok=True)
    root = logging.getLogger()
    root.handlers[:] = [journal(path.open("a", buffering=1, encoding="utf-8"))]
    root.setLevel(logging.INFO)


def _fixed_text(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The text as it stands in the program, without what was to be filled in."""
    record = event["_record"]
    event["event"] = record.msg if isinstance(record.msg, str) else type(record.msg).__name__
    return event


def _listed_only(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return {name: value for name, value in event.items() if name in ALLOWED}

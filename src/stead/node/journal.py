"""What a running node writes about itself: one JSON line for each event, of listed keys only.

All of the process's log records come through here, whoever makes them. A line can carry no value of a row. Of our own
records it carries the fixed text and the keys below. Other libraries also log texts that they have filled in already
(``asyncio`` quotes the error of a task that nobody awaited): of their records it carries the level, the logger, the
place in their code, and the text only where what was to be filled in stands apart from it and can be left out.
"""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any, Final, TextIO

import structlog

ALLOWED: Final = frozenset({"event", "level", "timestamp", "logger", "reference", "doing", "error", "port", "version"})
_OWN: Final = "stead"


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
        pass_foreign_args=True,
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
    record: logging.LogRecord = event["_record"]
    place = f"{record.filename}:{record.lineno}"
    if record.name.partition(".")[0] == _OWN:
        event["event"] = record.msg if isinstance(record.msg, str) else place
        return event
    template = isinstance(record.msg, str) and bool(event.get("positional_args"))
    failed = record.exc_info[0] if record.exc_info else None
    return {
        "event": record.msg if template else place,
        "level": record.levelname.lower(),
        "logger": record.name,
        "timestamp": event["timestamp"],
        **({"error": failed.__name__} if failed else {}),
    }


def _listed_only(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return {name: value for name, value in event.items() if name in ALLOWED}

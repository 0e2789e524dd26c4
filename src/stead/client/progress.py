"""How a training shows itself while it runs: a live line in a terminal, plain lines in a pipe, or nothing."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, TextIO

from stead.client import render


@dataclass(frozen=True)
class RoundRecord:
    """What is known after a round; all of it public.

    Attributes:
        number: from 1.
        size_bytes: frames to and from all sites in this round.
        epsilon: what the rounds so far come to (on mock rows: would come to); infinite without differential privacy.
        seconds: of this round.
        score: of the model after it, on the scientist's own or mock rows; NaN without.
    """

    number: int
    size_bytes: int
    epsilon: float
    seconds: float
    score: float


class Show(Protocol):
    """Where records are shown as they come."""

    def __call__(self, record: RoundRecord) -> None:
        """Show one record."""
        ...


@contextmanager
def shown(what: str, rounds: int, score: str, *, silent: bool, stream: TextIO | None = None) -> Iterator[Show]:
    """A place to show a run's records: narration goes to ``stream`` (standard error).

    Args:
        what: the run's title.
        rounds: how many there will be.
        score: the score's name; empty without one.
        silent: show nothing.
        stream: a terminal gets a live line, anything else plain lines.
    """
    out = sys.stderr if stream is None else stream
    if silent:
        yield lambda _: None
    elif out.isatty():
        with _live(what, rounds, score, out) as show:
            yield show
    else:

        def line(record: RoundRecord) -> None:
            out.write(f"{what}: round {record.number}/{rounds} · {record_text(record, score)}\n")
            out.flush()

        yield line


def record_text(record: RoundRecord, score: str) -> str:
    """A record in one line."""
    parts = [
        render.size(record.size_bytes),
        f"{record.seconds:.1f} s",
        f"ε {record.epsilon:.2f}" if record.epsilon < float("inf") else "no differential privacy",
    ]
    if score and record.score == record.score:
        parts.append(f"{score} {record.score:.3f}")
    return " · ".join(parts)


@contextmanager
def _live(what: str, rounds: int, score: str, out: TextIO) -> Iterator[Show]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"))
    with Progress(*columns, TextColumn("{task.fields[last]}"), console=Console(file=out)) as progress:
        task = progress.add_task(what, total=rounds, last="")

        def show(record: RoundRecord) -> None:
            progress.update(task, completed=record.number, last=record_text(record, score))

        yield show

"""What a run has cost, or would, step by step: ``Profile`` (measured) and ``CostReport`` (from shapes), as tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from stead.mpc.cost import Cost

_COLUMN_GAP = "  "
_MOST_ROWS = 60


@dataclass(frozen=True)
class StepRecord:
    """One step of a run.

    Attributes:
        name: the operation, and the parameter that it reads, if one.
        step: its number in the Program; -1 for what is not in it.
        shape: of its first result.
        seconds: at this party, waiting included.
        rounds: exchanges with the other parties.
        sent_bytes: by this party.
        received_bytes: by this party.
    """

    name: str
    step: int
    shape: tuple[int, ...]
    seconds: float
    rounds: int
    sent_bytes: int
    received_bytes: int


@dataclass(frozen=True)
class Profile:
    """What a run cost at one party, step by step."""

    steps: tuple[StepRecord, ...] = ()

    @property
    def seconds(self) -> float:
        """In all."""
        return sum(step.seconds for step in self.steps)

    @property
    def rounds(self) -> int:
        """In all."""
        return sum(step.rounds for step in self.steps)

    @property
    def sent_bytes(self) -> int:
        """In all, by this party."""
        return sum(step.sent_bytes for step in self.steps)

    def by_operation(self) -> Profile:
        """The steps of each operation as one, the slowest first."""
        names = dict.fromkeys(step.name.split(" ", 1)[0] for step in self.steps)
        rows = [_merged(name, [s for s in self.steps if s.name.split(" ", 1)[0] == name]) for name in names]
        return Profile(tuple(sorted(rows, key=lambda row: -row.seconds)))

    def __add__(self, other: Profile) -> Profile:
        """One run after the other."""
        return Profile(self.steps + other.steps)

    def __str__(self) -> str:
        rows = [
            (step.name, _dims(step.shape), f"{1e3 * step.seconds:,.1f}", f"{step.rounds:,}", f"{step.sent_bytes:,}")
            for step in self.steps
        ]
        total = ("all", "", f"{1e3 * self.seconds:,.1f}", f"{self.rounds:,}", f"{self.sent_bytes:,}")
        return table(("step", "shape", "ms", "rounds", "bytes sent"), rows, total)

    __repr__ = __str__


def _merged(name: str, steps: Sequence[StepRecord]) -> StepRecord:
    return StepRecord(
        f"{name} ({len(steps)})",
        -1,
        (),
        sum(step.seconds for step in steps),
        sum(step.rounds for step in steps),
        sum(step.sent_bytes for step in steps),
        sum(step.received_bytes for step in steps),
    )


@dataclass(frozen=True)
class StepCost:
    """One step before a run.

    Attributes:
        name: the operation, and the parameter that it reads, if one.
        shape: of its first result.
        cost: rounds and bytes.
        macs: ring multiply-adds of its product.
    """

    name: str
    shape: tuple[int, ...]
    cost: Cost
    macs: int


@dataclass(frozen=True)
class CostReport:
    """What a computation on shares will cost, exact but for the memory.

    Attributes:
        protocol: which protocol.
        steps: in order: sharing the inputs, the Program's steps, opening the outputs.
        peak_bytes: an estimate of the most memory that one party needs at once for shares.
    """

    protocol: str
    steps: tuple[StepCost, ...]
    peak_bytes: int

    @property
    def cost(self) -> Cost:
        """In all."""
        return sum((step.cost for step in self.steps), Cost())

    @property
    def rounds(self) -> int:
        """In all."""
        return self.cost.rounds

    @property
    def sent_bytes(self) -> tuple[int, ...]:
        """By place, while running."""
        return self.cost.sent

    @property
    def dealt_bytes(self) -> int:
        """Of all parties, while preparing."""
        return sum(self.cost.dealt)

    @property
    def macs(self) -> int:
        """Ring multiply-adds of the products; each party makes one to three such products."""
        return sum(step.macs for step in self.steps)

    def __str__(self) -> str:
        senders = [place for place, count in enumerate(self.cost.sent) if count]
        rows = [
            (step.name, _dims(step.shape), f"{step.cost.rounds:,}", *_bytes(step.cost, senders), f"{step.macs:,}")
            for step in self.steps
            if step.cost.rounds or step.macs or step.cost.total_bytes
        ]
        total = ("all", "", f"{self.rounds:,}", *_bytes(self.cost, senders), f"{self.macs:,}")
        text = table(("step", "shape", "rounds", "bytes by party", "bytes dealt", "multiply-adds"), rows, total)
        by = " + ".join(f"p{place}" for place in senders)
        who = f"; bytes by party: {by}, dealt: while preparing" if senders else ""
        return f"{text}\n{self.protocol}; about {_size(self.peak_bytes)} of shares at a party{who}"

    __repr__ = __str__


def _bytes(cost: Cost, senders: Sequence[int]) -> tuple[str, str]:
    sent = (cost.sent[place] if place < len(cost.sent) else 0 for place in senders)
    return " + ".join(f"{count:,}" for count in sent) or "0", f"{sum(cost.dealt):,}"


def _size(count: int) -> str:
    return f"{count / 1e6:,.1f} MB" if count >= 1e6 else f"{count / 1e3:,.1f} kB"


def _dims(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))


def table(head: Sequence[str], rows: Iterable[Sequence[str]], total: Sequence[str]) -> str:
    """Columns of text, numbers to the right; the middle of a long table is left out."""
    body = list(rows)
    if len(body) > _MOST_ROWS:
        gap = (f"... {len(body) - _MOST_ROWS + 1} more steps", *("",) * (len(head) - 1))
        body = [*body[: _MOST_ROWS // 2], gap, *body[len(body) - _MOST_ROWS // 2 + 1 :]]
    every = [head, *body, total]
    widths = [max(len(row[column]) for row in every) for column in range(len(head))]

    def line(row: Sequence[str]) -> str:
        sized = enumerate(zip(row, widths, strict=True))
        cells = [cell.ljust(width) if at < 2 else cell.rjust(width) for at, (cell, width) in sized]
        return _COLUMN_GAP.join(cells).rstrip()

    rule = "-" * len(line(head))
    return "\n".join([line(head), rule, *map(line, body), rule, line(total)])


Timer = Callable[[], float]
"""Seconds of a clock that only goes forward."""

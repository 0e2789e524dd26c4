"""A mutation fuzzer for every parser of bytes from outside (see ``targets.py``).

``python tests/fuzz/messages.py --seconds 600`` takes the targets in turn. An input that brings out an answer not seen
before (another error, another text without its numbers) joins the corpus and is mutated further: the answers stand in
for coverage. An input on which anything but an error of the tree comes out is written as ``crash-*.bin`` and ends the
run with status 1. The test run replays the corpus, crashes that were mended included, and adds a short random run.
"""

import argparse
import hashlib
import random
import re
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parent))

from targets import TARGETS as COMMON_TARGETS
from targets import Parser, Target
from witness_targets import WITNESS_TARGETS

from stead.errors import SteadError

TARGETS = (*COMMON_TARGETS, *WITNESS_TARGETS)
CORPUS = Path(__file__).parent / "corpus"
MAX_INPUT_BYTES = 1 << 16
MAX_KEPT_BYTES = 2048
BATCH = 200

# msgpack heads with extreme claims, extreme numbers, and what text formats are made of.
TOKENS = tuple(
    bytes.fromhex(text)
    for line in (
        "dd40000000 df40000000 c640000000 db40000000 ddffffffff dcffff deffff c4ff c5ffff d9ff daffff c1 c0 c2 c3",
        "cb7ff8000000000000 cb7ff0000000000000 cbfff0000000000000 cb8000000000000000 cfffffffffffffffff",
        "d38000000000000000 d3ffffffffffffffff cf8000000000000000 ca7fc00000 d4ff00 c70500 00 7f ff 80 90 a0 e0",
        "0a 0a0a 20 2b 3d e28094 e2809420 eda080 c0af 30 2d31 7b 7d 5b 5d 22 5c75643830",
    )
    for text in line.split()
)


class Find(NamedTuple):
    """An input on which a parser did what it must not do."""

    target: str
    data: bytes
    trace: str


def answer(parse: Parser, data: bytes) -> str:
    """What the parser says to ``data``, without numbers and places; raises what it must not raise."""
    try:
        parse(data)
    except SteadError as error:
        text = error.what.partition(" - at ")[0]
        return re.sub(r"[0-9a-f-]{12,}|\d+", "#", f"{type(error).__name__}: {text}")
    return "accepted"


def mutate(data: bytes, others: list[bytes], chance: random.Random) -> bytes:
    """``data`` with one to four changes."""
    mutated = bytearray(data)
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        CHANGES[chance.randrange(len(CHANGES))](mutated, others, chance)
    return bytes(mutated[:MAX_INPUT_BYTES])


def _flip(data: bytearray, _: list[bytes], chance: random.Random) -> None:
    if data:
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def _overwrite(data: bytearray, _: list[bytes], chance: random.Random) -> None:
    if data:
        data[chance.randrange(len(data))] = chance.randrange(256)


def _add(data: bytearray, _: list[bytes], chance: random.Random) -> None:
    if data:
        place = chance.randrange(len(data))
        data[place] = (data[place] + chance.choice((-2, -1, 1, 2))) % 256


def _token(data: bytearray, _: list[bytes], chance: random.Random) -> None:
    place, token = chance.randint(0, len(data)), chance.choice(TOKENS)
    data[place : place + chance.choice((0, 1, len(token)))] = token


def _delete(data: bytearray, _: list[bytes], chance: random.Random) -> None:
    place = chance.randint(0, len(data))
    del data[place : place + chance.choice((1, 2, 8, 64))]


def _truncate(data: bytearray, _: list[bytes], chance: random.Random) -> None:
    del data[chance.randint(0, len(data)) :]


def _repeat(data: bytearray, _: list[bytes], chance: random.Random) -> None:
    place = chance.randint(0, len(data))
    data[place:place] = data[place : place + chance.choice((1, 2, 8, 64))] * chance.choice((1, 2, 100, 5000))


def _splice(data: bytearray, others: list[bytes], chance: random.Random) -> None:
    other = chance.choice(others)
    start = chance.randint(0, len(other))
    place = chance.randint(0, len(data))
    data[place : place + chance.choice((0, 8, len(data)))] = other[start : start + chance.choice((4, 32, len(other)))]


Change = Callable[[bytearray, list[bytes], random.Random], None]
CHANGES: tuple[Change, ...] = (_flip, _overwrite, _add, _token, _token, _delete, _truncate, _repeat, _splice, _splice)


class Campaign:
    """One target under mutation: its pool of inputs and the answers it has given."""

    def __init__(self, target: Target, parse: Parser, chance: random.Random) -> None:
        self.name = target.name
        self.parse = parse
        self.chance = chance
        self.seeds = list(target.seeds())
        self.pool = [*self.seeds, *(path.read_bytes() for path in corpus_files(target.name))]
        self.answers = {answer(parse, data) for data in self.pool}
        self.runs = 0

    def step(self, runs: int, *, keep: bool) -> Find | None:
        """Try ``runs`` mutations; ``keep`` writes inputs with new answers to the corpus."""
        for _ in range(runs):
            data = mutate(self.chance.choice(self.pool), self.pool, self.chance)
            self.runs += 1
            try:
                said = answer(self.parse, data)
            except Exception:  # noqa: BLE001 (any other exception is what is looked for)
                return Find(self.name, data, traceback.format_exc())
            if said not in self.answers:
                self.answers.add(said)
                self.pool.append(data)
                if keep and len(data) <= MAX_KEPT_BYTES:
                    write(self.name, data, "")
        return None


def corpus_files(name: str) -> list[Path]:
    """The stored inputs of a target."""
    return sorted((CORPUS / name).glob("*.bin"))


def write(name: str, data: bytes, prefix: str) -> Path:
    """Store an input under its hash."""
    path = CORPUS / name / f"{prefix}{hashlib.sha256(data).hexdigest()[:16]}.bin"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def campaigns(seed: int, only: str = "") -> list[Campaign]:
    """A campaign for each target that is installed."""
    found = []
    for target in TARGETS:
        parse = target.load() if only in ("", target.name) else None
        if parse is not None:
            found.append(Campaign(target, parse, random.Random(f"{seed}/{target.name}")))
    return found


def main(arguments: list[str]) -> int:
    """Fuzz until the time is over or something is found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--target", default="")
    options = parser.parse_args(arguments)
    seed = options.seed if options.seed is not None else time.time_ns()
    sys.stdout.write(f"seed {seed}\n")
    running = campaigns(seed, options.target)
    end = time.monotonic() + options.seconds
    while time.monotonic() < end and running:
        for campaign in running:
            find = campaign.step(BATCH, keep=True)
            if find is not None:
                path = write(find.target, find.data, "crash-")
                sys.stdout.write(f"{find.target}: {path}\n{find.trace}\n")
                return 1
    for campaign in running:
        sys.stdout.write(f"{campaign.name}: {campaign.runs} inputs, {len(campaign.answers)} answers\n")
    return 0 if running else 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

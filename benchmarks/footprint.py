"""How light stead is: seconds to import it in a fresh process, megabytes of an environment with its core alone.

Targets: ``import stead`` in 0.3 s, a core environment of 250 MB (without pip, with byte code).
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import venv
from pathlib import Path

import report

ROOT = Path(__file__).resolve().parents[1]
IMPORT_LIMIT_S = 0.3
SIZE_LIMIT_MB = 250
INSTALLERS = ("pip", "setuptools", "wheel", "distutils-precedence", "_distutils_hack")
STATEMENTS = {
    "import stead": "stead",
    "import stead.client": "stead",
    "import stead.node.app": "stead",
    "import numpy": "numpy",
    "import torch": "torch",
    "import flwr": "flower",
}
TIMED = "import time; start = time.perf_counter(); {statement}; print(time.perf_counter() - start)"


def import_row(statement: str, system: str, runs: int) -> report.Row:
    """Seconds that a statement takes in fresh processes, byte code and disk cache warm."""
    command = [sys.executable, "-c", TIMED.format(statement=statement)]
    first = subprocess.run(command, capture_output=True, text=True, check=False)
    if first.returncode:
        return report.skipped(statement, system, first.stderr)
    seconds = [float(subprocess.run(command, capture_output=True, text=True, check=True).stdout) for _ in range(runs)]
    return report.timing_row(statement, system, "fresh process", report.Timing(tuple(seconds)))


def start_row(runs: int) -> report.Row:
    """Seconds of the whole process ``stead --version``."""
    command = [str(Path(sys.executable).with_name("stead")), "--version"]
    timing = report.timed(lambda: subprocess.run(command, capture_output=True, check=True), runs=runs)
    # Of this process's own processor seconds none were spent on the work.
    return report.timing_row("stead --version", "stead", "whole process", report.Timing(timing.seconds))


def megabytes(files: list[Path]) -> float:
    """The sum of the files' sizes, in 10^6 bytes."""
    return sum(path.stat().st_size for path in files) / 1e6


def size_row() -> report.Row:
    """Megabytes of a fresh environment after ``pip install stead`` without extras."""
    with tempfile.TemporaryDirectory() as place:
        venv.create(place, with_pip=True)
        command = [Path(place) / "bin" / "python", "-m", "pip", "install", "--quiet", "--constraint"]
        done = subprocess.run([*command, ROOT / "constraints.txt", ROOT], capture_output=True, text=True, check=False)
        if done.returncode:
            return report.skipped("core environment", "stead", done.stderr)
        (packages,) = Path(place).glob("lib/python*/site-packages")
        files = [
            path
            for path in packages.rglob("*")
            if path.is_file() and not path.relative_to(packages).parts[0].startswith(INSTALLERS)
        ]
        source = [path for path in files if path.suffix != ".pyc"]
        largest = sorted(
            {path.relative_to(packages).parts[0] for path in files}, key=lambda name: -of(files, packages, name)
        )
        return report.row(
            "core environment",
            "stead",
            "no extras",
            size_mb=round(megabytes(files), 1),
            size_without_byte_code_mb=round(megabytes(source), 1),
            limit_mb=SIZE_LIMIT_MB,
            packages=len({path.parent for path in files if path.name == "METADATA"}),
            largest={name: round(of(files, packages, name), 1) for name in largest[:5]},
        )


def of(files: list[Path], packages: Path, name: str) -> float:
    """Megabytes of one top-level package."""
    return megabytes([path for path in files if path.relative_to(packages).parts[0] == name])


def main() -> None:
    """Measure, compare, print."""
    chosen = report.arguments(__doc__ or "")
    runs = 5 if chosen.quick else 21
    report.progress("importing in fresh processes")
    rows = [import_row(statement, system, runs) for statement, system in STATEMENTS.items()]
    rows[0]["limit_seconds"] = IMPORT_LIMIT_S
    numpy = next(row for row in rows if row["system"] == "numpy")
    rows = [row if row is numpy or "seconds" not in row else report.compared(row, numpy) for row in rows]
    rows.append(start_row(runs))
    report.progress("installing the core into an empty environment")
    rows.append(size_row())
    source = "measured apart from this run: flwr 1.41.0, Python 3.11, two cores"
    rows.append(report.quoted("import flwr", "flower", source, seconds=0.9))
    rows.append(report.quoted("core environment", "flower", source, size_mb=238.0, packages=53))
    report.emit("footprint", rows, as_json=chosen.json)


if __name__ == "__main__":
    main()

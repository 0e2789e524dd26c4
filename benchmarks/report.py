"""What all benchmarks share: timing, the machine, and one way of reporting.

A benchmark prints one object, ``{"benchmark", "commit", "machine", "rows"}``. A row has ``work``, ``system`` and
``variant``; for a timing ``seconds`` (median), ``seconds_min``, ``seconds_max``, ``runs`` and ``cpu_seconds``; and
where two systems are compared ``baseline`` and ``ratio``, both measured in the same run.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Row = dict[str, Any]


@dataclass(frozen=True)
class Timing:
    """Seconds of several runs of the same work, and the processor seconds of the median run."""

    seconds: tuple[float, ...]
    cpu_seconds: float = 0.0

    @property
    def median(self) -> float:
        """The median of the runs, in seconds."""
        return statistics.median(self.seconds)

    def figures(self) -> Row:
        """As a row shows it."""
        shown = {
            "seconds": self.median,
            "seconds_min": min(self.seconds),
            "seconds_max": max(self.seconds),
            "runs": len(self.seconds),
        }
        return shown | ({"cpu_seconds": self.cpu_seconds} if self.cpu_seconds else {})


def timed(work: Callable[[], object], *, runs: int, warm_ups: int = 1) -> Timing:
    """Run ``work`` ``warm_ups`` times unmeasured, then ``runs`` times measured, in this process."""
    for _ in range(warm_ups):
        work()
    seconds, processor = [], []
    for _ in range(runs):
        cpu, start = time.process_time(), time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
        processor.append(time.process_time() - cpu)
    return Timing(tuple(seconds), statistics.median(processor))


def row(work: str, system: str, variant: str = "", **figures: object) -> Row:
    """One row; figures that are None are left out."""
    named: Row = {"work": work, "system": system, "variant": variant}
    return named | {name: value for name, value in figures.items() if value is not None}


def timing_row(work: str, system: str, variant: str, timing: Timing, **figures: object) -> Row:
    """One row with the figures of a timing."""
    return row(work, system, variant, **timing.figures(), **figures)


def compared(measured: Row, baseline: Row) -> Row:
    """``measured`` with its ratio to ``baseline``: above one means slower than the baseline."""
    name = " ".join(part for part in (baseline["system"], baseline["variant"]) if part)
    return measured | {"baseline": name, "ratio": measured["seconds"] / baseline["seconds"]}


def skipped(work: str, system: str, error: str) -> Row:
    """A peer that could not run here: its own error, never a made-up number."""
    return row(work, system, skipped=error.strip().splitlines()[-1] if error.strip() else "no message")


def quoted(work: str, system: str, source: str, **figures: object) -> Row:
    """A figure taken from elsewhere, with its source."""
    return row(work, system, quoted=source, **figures)


def machine() -> Row:
    """Where this runs."""
    model = ""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    except OSError:
        model = platform.processor()
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return {
        "processor": model,
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(memory_gb, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
    }


def commit() -> str:
    """The commit measured; ends with ``+`` when files differ from it."""
    here = Path(__file__).parent
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--abbrev=12", "--dirty=+", "--exclude=*"],
            cwd=here, capture_output=True, text=True, check=True,
        )  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return found.stdout.strip()


def arguments(description: str) -> argparse.Namespace:
    """``--json`` and ``--quick``, which every benchmark has."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout instead of a table")
    parser.add_argument("--quick", action="store_true", help="smaller sizes and fewer runs")
    return parser.parse_args()


def emit(benchmark: str, rows: Iterable[Row], *, as_json: bool) -> None:
    """Print the report: one JSON object, or a table with one line for each row."""
    report = {"benchmark": benchmark, "commit": commit(), "machine": machine(), "rows": list(rows)}
    if as_json:
        print(json.dumps(report, indent=2))
        return
    where = report["machine"]
    print(f"{benchmark} · {report['commit']} · {where['cores']} cores, {where['processor']}, Python {where['python']}")
    for line in report["rows"]:
        named = [str(line[name]) for name in ("work", "system", "variant") if line.get(name)]
        figures = [
            f"{name} {_shown(value)}" for name, value in line.items() if name not in {"work", "system", "variant"}
        ]
        print(f"  {' · '.join(named)}: {', '.join(figures)}")


def _shown(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def progress(text: str) -> None:
    """Narrate on stderr."""
    print(text, file=sys.stderr, flush=True)

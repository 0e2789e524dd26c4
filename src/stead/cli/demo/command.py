"""The command ``stead demo``: the story told on stderr, one table or one JSON object on stdout, a report in a file."""

from __future__ import annotations

import contextlib
import math
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click

from stead.cli.style import emit_json, emit_table, say

if TYPE_CHECKING:
    from stead.cli.demo.story import Stage, Story


@click.command(
    epilog="""\b
Examples:
  stead demo                  a table, and report.html
  stead demo --json           one JSON object
  stead demo --keep           leaves the hospitals up, and says what to try next
"""
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout, and no narration.")
@click.option(
    "--report",
    type=click.Path(path_type=Path, dir_okay=False),
    default="report.html",
    show_default=True,
    help="Where the report goes.",
)
@click.option(
    "--seed", default=0, show_default=True, help="Of the split and the models' first weights; noise is always fresh."
)
@click.option("--keep", is_flag=True, help="Leave the hospitals running, and print what to try next.")
@click.option(
    "--stop",
    "stopped",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Stop the hospitals that --keep left in this directory, and remove it.",
)
def command(as_json: bool, report: Path, seed: int, keep: bool, stopped: Path | None) -> None:
    """Three hospitals on this machine: one question, one model, nothing leaves.

    Starts three nodes with real patients' rows (flchain, from scikit-survival), asks a private question of one and of
    all, is refused once, trains a model four ways, and verifies every log from outside with the nodes stopped.
    """
    if stopped is not None:
        from stead.cli.demo.hospitals import stop_left

        say("stopped " + ", ".join(stop_left(stopped)))
        shutil.rmtree(stopped, ignore_errors=True)
        return
    with _ending_tidily():
        _run(as_json=as_json, report=report, seed=seed, keep=keep)


def _run(*, as_json: bool, report: Path, seed: int, keep: bool) -> None:
    from stead.cli.demo import story as stories
    from stead.cli.demo.hospitals import leave_running, running
    from stead.cli.demo.report import write_report

    tell: Callable[[str], None] = (lambda _: None) if as_json else say
    directory = Path(tempfile.mkdtemp(prefix="stead-demo-"))
    kept = False
    try:
        began = time.monotonic()
        stage = stories.set_up(directory, seed=seed, say=tell)
        story = stories.Story(rows={name: len(rows) for name, rows in stage.patients.items()})
        with running(stage.hospitals):
            stories.play(stage, story, seed=seed, say=tell)
            exports = stories.fetch_exports(stage)
        stories.verify(stage, story, exports, say=tell)
        story.seconds = time.monotonic() - began
        write_report(report, story)
        if as_json:
            emit_json(story.findings())
        else:
            _print_table(story)
            say(f"report: {report.absolute()}")
        if keep:
            leave_running(directory, stage.hospitals)
            kept = True
            say(_what_next(stage))
    finally:
        if not kept:
            shutil.rmtree(directory, ignore_errors=True)


def _print_table(story: Story) -> None:
    rows = [
        (
            f"{name} alone",
            f"{run.score:.3f}",
            "none: disclosed",
            f"{run.size_bytes:,}",
            f"{run.seconds:.1f}",
        )
        for name, run in story.alone.items()
    ]
    if story.federated is not None and story.private is not None:
        runs = (("federated", story.federated), ("federated, private", story.private))
        for label, run in runs:
            price = max(run.epsilon.values())
            shown = f"{price:.2f} at each site" if math.isfinite(price) else "none: disclosed"
            rows.append((label, f"{run.score:.3f}", shown, f"{run.size_bytes:,}", f"{run.seconds:.1f}"))
    rows.append(("centralised (reference)", f"{story.central:.3f}", "rows in one place", "", ""))
    click.echo()
    emit_table(
        ("model", "AUC", "epsilon", "bytes", "seconds"),
        rows,
        title="Death before the end of the study, on held-out patients",
    )
    spent = ", ".join(f"{name} {epsilon:.2f}" for name, epsilon in story.spent.items())
    say(
        f"\nepsilon charged in all, with the questions: {spent}; disclosures beside it: "
        + ", ".join(f"{name} {count}" for name, count in story.disclosures.items())
    )
    say(f"{len(story.reports)} logs verified with the nodes stopped; {story.seconds:.0f} s in all")


def _what_next(stage: Stage) -> str:
    first = stage.hospitals[0]
    node = first.home.path
    python = f'stead.connect("{first.url}", project="light-chains")["flchain"]'
    return "\n".join(
        [
            "\nthe hospitals are up:",
            *(
                f"  {hospital.name:<10} {hospital.url}   stead budget show --node {hospital.home.path}"
                for hospital in stage.hospitals
            ),
            "\ntry next, as the scientist:",
            f"  export STEAD_HOME={stage.scientist}",
            f"  python -c 'import stead; print({python})'",
            "as the owner:",
            f"  stead requests ls --all --node {node}",
            f"  stead audit export log.jsonl --full --node {node}",
            "and at the end:",
            f"  stead demo --stop {stage.directory}",
        ]
    )


@contextlib.contextmanager
def _ending_tidily() -> Iterator[None]:
    """Make a polite kill end the story as Ctrl-C does: with everything stopped and removed."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        sys.stderr.flush()

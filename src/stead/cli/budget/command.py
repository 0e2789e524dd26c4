"""The group of ``stead budget``."""

from __future__ import annotations

import click

from stead.cli.budget.accounts import set_, show
from stead.cli.budget.forecast import forecast
from stead.cli.budget.history import history


@click.group(
    epilog="""\b
Examples:
  stead budget show
  stead budget history
  stead budget forecast
  stead budget set "project/risk-2026@north patients" --epsilon 3
"""
)
def command() -> None:
    """What may be spent, what is spent, on what, and until when."""


for each in (show, set_, history, forecast):
    command.add_command(each)

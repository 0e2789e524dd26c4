"""``stead budget``: what may be spent, what is spent, on what, and until when."""

from stead.cli.budget.command import command

__all__ = ["command"]

"""``stead demo``: three hospitals on this machine, one question, one model, nothing leaves."""

from stead.cli.demo.command import command
from stead.cli.demo.story import Findings, demo

__all__ = ["Findings", "command", "demo"]

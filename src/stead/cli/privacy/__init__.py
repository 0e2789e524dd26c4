"""``stead privacy``: the product attacked from outside, and what its promises mean."""

from stead.cli.privacy.command import command

__all__ = ["command"]

"""Faults of the node: a reference for whoever asked, the class of the error for the owner, a value for nobody."""

from __future__ import annotations

import logging

from stead.core.entropy import Entropy
from stead.errors import NodeError

_log = logging.getLogger("stead.node")


def fault(entropy: Entropy, doing: str, failed: str) -> NodeError:
    """The error to raise in place of one whose text may hold what rows held.

    Raise it outside of the ``except`` block, so that the first error does not travel along as its context.

    Args:
        entropy: names the reference.
        doing: what the node did, for its own log.
        failed: the class of the error that happened; its text is not kept anywhere.
    """
    text = entropy.take(4).hex()
    reference = f"{text[:4]}-{text[4:]}"
    _log.error("fault", extra={"reference": reference, "doing": doing, "error": failed})
    return NodeError(
        "the node could not finish this; what was charged stays charged.",
        hint="send the same request again: it is not charged twice",
        reference=reference,
    )

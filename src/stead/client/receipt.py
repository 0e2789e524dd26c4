"""``Receipt``: the proof that a node's log records what was asked, kept with the answer."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from stead.client import render
from stead.client.files import write_file
from stead.core import messages
from stead.core.codec import decode, encode
from stead.core.cosign import other_signatures
from stead.core.notes import log_origin
from stead.core.receipts import verify_receipt
from stead.errors import BadProof

if TYPE_CHECKING:
    from stead.core.leaves import Leaf


@dataclass(frozen=True)
class Receipt:
    """One node's receipt.

    Attributes:
        node: the node's name.
        node_key: the key that was pinned for it, against which everything is checked.
        raw: the receipt as it came.
    """

    node: str
    node_key: bytes
    raw: messages.Receipt

    def verify(self) -> Leaf:
        """Check the signature of the log's head and the way from this entry to it.

        Returns:
            The log entry.

        Raises:
            BadProof: the receipt is of another node, or does not verify.
        """
        if self.raw.node_key != self.node_key:
            raise BadProof(f"the receipt is signed by another key than the one pinned for {self.node}.")
        return verify_receipt(self.raw, self.node_key, log_origin(self.node_key))

    def save(self, path: str | Path) -> None:
        """Write it to a file that ``stead audit verify`` reads."""
        write_file(Path(path), encode(self.raw))

    @classmethod
    def load(cls, path: str | Path, node_key: bytes, node: str = "") -> Receipt:
        """Read a receipt that was saved; it is not checked before ``verify``."""
        return cls(node or node_key.hex()[:16], node_key, decode(Path(path).read_bytes(), messages.Receipt))

    def _witnesses(self) -> str:
        """Receipts are made with the entry, so their head is mostly younger than what a witness has signed."""
        others = other_signatures(self.raw.checkpoint, log_origin(self.node_key))
        return f"{others} other signatures under this head (not checked)" if others else "none has signed this head"

    def __repr__(self) -> str:
        return render.facts(f"Receipt · {self.node}", self._pairs())

    def _repr_html_(self) -> str:
        return render.facts_html(f"Receipt · {self.node}", self._pairs())

    def _pairs(self) -> list[tuple[str, str]]:
        leaf = self.verify()
        when = dt.datetime.fromtimestamp(leaf.at, tz=dt.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        entry = type(leaf).__struct_config__.tag
        pairs = [
            ("Entry", f"{self.raw.index:,} ({entry}), recorded {when}"),
            ("Proof", "verified against the pinned key"),
            ("Witnesses", self._witnesses()),
        ]
        shown = ("dataset", "project", "outlet", "why", "outcome", "rounds", "reason")
        fields = msgspec.structs.asdict(leaf)
        pairs += [(name.capitalize(), str(fields[name])) for name in shown if fields.get(name) not in (None, "")]
        if "release" in fields:
            pairs.append(("Release", fields["release"].hex()))
        return pairs

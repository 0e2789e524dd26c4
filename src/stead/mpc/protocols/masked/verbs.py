"""What the dealer and the online parties agree on for each verb: its line in the trace, and what it accepts."""

from __future__ import annotations

from collections.abc import Sequence

from stead.errors import UsageError
from stead.mpc.forms import Form
from stead.mpc.protocol import HEADROOM_BITS
from stead.mpc.protocols.masked.material import DEALER, FIRST, SECOND
from stead.mpc.shares import WORD, Bits, Share

Shape = tuple[int, ...]


def _text(shape: Shape) -> str:
    return "x".join(map(str, shape)) or "one"


def share(shape: Shape, owner: int) -> str:
    """The step of ``Protocol.share``."""
    if owner not in {DEALER, FIRST, SECOND}:
        raise UsageError(f"there is no place {owner}: the owner is 0, 1 or 2.")
    return f"share {_text(shape)} of {owner}"


def places(to: Sequence[int] | None) -> tuple[int, ...]:
    """To whom a value is revealed."""
    chosen = (FIRST, SECOND) if to is None else tuple(sorted(set(to)))
    if not set(chosen) <= {DEALER, FIRST, SECOND}:
        raise UsageError(f"a value cannot be revealed to the places {list(chosen)}: there are 0, 1 and 2.")
    return chosen


def check_online(to: tuple[int, ...], *, interactive: bool) -> None:
    """Party 0 learns results only where it runs along."""
    if DEALER in to and not interactive:
        raise UsageError(
            "place 0 has prepared and is not there when the value is revealed.",
            hint="reveal to 1 or 2, or run with place 0 as a session (preparation.along)",
        )


def reveal(shape: Shape, to: tuple[int, ...]) -> str:
    """The step of ``Protocol.reveal``."""
    return f"reveal {_text(shape)} to {' '.join(map(str, to))}"


def product(form: Form, a: Shape, b: Shape) -> str:
    """The step of ``Protocol.product``."""
    return f"product {form.name}{form.detail} {_text(a)} {_text(b)} = {_text(form.result(a, b))}"


def truncate(shape: Shape, bits: int) -> str:
    """The step of ``Protocol.truncate``."""
    return f"truncate {_text(shape)} by {bits}"


def negative(shape: Shape, bits: int) -> str:
    """The step of ``Protocol.negative``."""
    return f"negative {_text(shape)} in {bits}"


def zero(shape: Shape) -> str:
    """The step of ``Protocol.zero``."""
    return f"zero {_text(shape)}"


def select(shape: Shape, truncate: int) -> str:
    """The step of ``Protocol.select``."""
    return f"select {_text(shape)} by {truncate}"


def decompose(shape: Shape, bits: int) -> str:
    """The step of ``Protocol.decompose``."""
    return f"decompose {_text(shape)} in {bits}"


def conjunction(shape: Shape, width: int) -> str:
    """The step of ``Protocol.conjunction``."""
    return f"conjunction {_text(shape)} of {width}"


def arithmetic(shape: Shape, width: int) -> str:
    """The step of ``Protocol.arithmetic``."""
    return f"arithmetic {_text(shape)} of {width}"


def check_shift(bits: int) -> None:
    """A truncation keeps something."""
    if not 0 <= bits <= HEADROOM_BITS:
        raise ValueError(f"a value is truncated by 0 to {HEADROOM_BITS} bits, not {bits}")


def check_bits(bits: int) -> None:
    """As many bits as a ring element has, at most."""
    if not 0 < bits <= WORD:
        raise ValueError(f"a ring element has 1 to {WORD} bits, not {bits}")


def check_choice(b: Bits, x: Share) -> None:
    """One bit for each value."""
    if b.shape != x.shape or b.width != 1:
        raise ValueError(f"{b.width} bits of shape {list(b.shape)} cannot choose from shape {list(x.shape)}")


def check_same(a: Bits, b: Bits) -> None:
    """Bits that are taken together."""
    if a.shape != b.shape or a.width != b.width:
        raise ValueError(f"no conjunction of {a.width} bits of {list(a.shape)} and {b.width} of {list(b.shape)}")

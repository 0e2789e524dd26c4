"""Fixed-point numbers in the ring: ``Secret``, a share with its scale, and how real numbers enter and leave."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

import numpy as np
import numpy.typing as npt

from stead.errors import UsageError
from stead.mpc.shares import RingArray, Share

FRACTION = 16
"""Fraction bits of a number that is neither a product nor a whole number."""

LARGEST = 62
"""A number times 2^scale stays below 2^62 in magnitude, so that it can be truncated and compared."""


@dataclass(frozen=True, repr=False, eq=False)
class Secret:
    """A secret array of numbers: integer / 2^scale.

    Attributes:
        share: this party's part.
        scale: fraction bits. A product of two has the sum of theirs until it is truncated.
    """

    share: Share
    scale: int

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the array."""
        return self.share.shape

    def __repr__(self) -> str:
        return f"Secret(shape={self.shape}, scale={self.scale}, value=<redacted>)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret cannot be pickled")


def encode(values: npt.ArrayLike, scale: int = FRACTION) -> RingArray:
    """Real numbers as ring elements: round(x * 2^scale), halves to even.

    Raises:
        UsageError: a number is not finite, or too large for the ring.
    """
    scaled = np.asarray(values, dtype=np.float64) * float(1 << scale)
    if not np.all(np.abs(scaled) < 2.0**LARGEST):
        raise UsageError(
            f"a number is not finite, or its magnitude is not below 2^{LARGEST - scale}: it does not fit.",
            hint="scale the inputs, or remove what is not a number",
        )
    return np.rint(scaled).astype(np.int64).view(np.uint64)


def decode(values: RingArray, scale: int) -> npt.NDArray[np.float64]:
    """Ring elements, read as signed, divided by 2^scale: correctly rounded to float64."""
    return np.ldexp(values.view(np.int64).astype(np.float64), -scale)

"""Fixed-point numbers in the ring: ``Secret``, a share with its scale, and how real numbers enter and leave."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

import numpy as np
import numpy.typing as npt

from stead.errors import UsageError
from stead.mpc.kernels import fixed as kernels
from stead.mpc.kernels.fixed import LARGEST
from stead.mpc.shares import RingArray, Share

FRACTION = 16
"""Fraction bits of a number that is neither a product nor a whole number."""


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


def encode(values: npt.ArrayLike, scale: int = FRACTION, *, threads: int = 1) -> RingArray:
    """Real numbers as ring elements: round(x * 2^scale), halves to even.

    Raises:
        UsageError: a number is not finite, or too large for the ring.
    """
    given = np.asarray(values)
    reals = given if given.dtype == np.float32 else given.astype(np.float64, copy=False)
    encoded = kernels.encode(reals, scale, threads=threads)
    if encoded is None:
        raise UsageError(
            f"a number is not finite, or its magnitude is not below 2^{LARGEST - scale}: it does not fit.",
            hint="scale the inputs, or remove what is not a number",
        )
    return encoded


def decode(values: RingArray, scale: int, *, threads: int = 1) -> npt.NDArray[np.float64]:
    """Ring elements, read as signed, divided by 2^scale: correctly rounded to float64."""
    return kernels.decode(values, scale, np.float64, threads=threads)


def decode_single(values: RingArray, scale: int, *, threads: int = 1) -> npt.NDArray[np.float32]:
    """Ring elements, read as signed, divided by 2^scale: correctly rounded to float32, once."""
    return kernels.decode(values, scale, np.float32, threads=threads)

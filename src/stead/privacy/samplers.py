"""Integer noise, exactly distributed: discrete Gaussian and discrete Laplace vectors from a keystream.

=========== ===============================================================================================
symbol      meaning
=========== ===============================================================================================
k = 2^b     length of a block of magnitudes; b = 0 below 32 steps, else so that the noise is 16 to 32 blocks wide
x, y        block number and place in the block: the magnitude is m = k x + y
w(x)        the block's weight, that of its first place: exp(-(k x)^2 / (2 sigma^2)) or exp(-k x / scale)
gamma       what the place adds: y (2 k x + y) / (2 sigma^2) or y / scale
=========== ===============================================================================================

A candidate reads three words of 64 bits. The first chooses x by inverting the distribution function of w; the second
gives the sign and y; the third accepts with probability exp(-gamma) (96 % and more are accepted). Blocks of length one
weigh both signs in the table and need neither y nor acceptance: two words. A word stands for the first 64 bits of a
uniform real number: thresholds are compared as exact integers, exp(-gamma) as a double with a band of 2^-40 around it.
Only when a word falls on a threshold or into the band (about once in 10^12) is the question settled in integers of any
length, drawing further bits if the first 64 do not decide. So the distribution is *exactly* the one that the float
``sigma`` or ``scale`` names: no statistical distance is added to delta.

Three implementations share this meaning and give the same integers from the same keystream: the native kernel, NumPy,
and ``Sampler.settle``, one candidate in exact arithmetic, which settles doubtful candidates for both.

Timing: **not constant-time.** Table lookups and the scan behind them depend on the noise drawn. The number of rejected
candidates does not reveal the accepted values (trials are independent), and no branch or address depends on the values
that the noise is added to. Do not let an adversary time single draws.

References: Canonne, Kamath, Steinke, "The Discrete Gaussian for Differential Privacy" (2020), definition 1 and
    section 5; Knuth, Yao, "The complexity of nonuniform random number generation" (1976), for the lazily drawn bits;
    Ducas et al., "Lattice Signatures and Bimodal Gaussians" (2013), for the decomposition into blocks.
    Derivation: ``docs/theory/discrete-samplers.md``.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from stead.core.entropy import Keystream
from stead.errors import UsageError
from stead.privacy.fixed_point import cumulative_thresholds, floor_exp_minus

try:  # by name, because a compiled module is no room of the house: it stands beside all of them
    _native: Any = import_module("stead._native")
except ImportError:  # built without a compiler: NumPy draws the same integers, more slowly
    _native = None

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from stead.core.entropy import Entropy

SMALLEST = 0.25
"""The smallest ``sigma`` and ``scale``, in steps: below it the noise would be zero nearly always."""

LARGEST = 2.0**40
"""The largest ``sigma`` and ``scale``, in steps: magnitudes stay below 2^47 except with probability below 2^-1000."""

_WORD_BITS = 64
_LARGEST_TABLE_SCALE = 32
_BLOCKS = 16
_GUIDE_BITS = 12
_BAND = 2.0**-40
_CHUNK = 8192
_TAYLOR_DEGREE = 17


def native_built() -> bool:
    """Whether the native kernel is there; without it NumPy draws the same integers."""
    return _native is not None


def discrete_gaussian(size: int, sigma: float, entropy: Entropy, *, native: bool = True) -> NDArray[np.int64]:
    """Independent discrete Gaussian integers, ``Pr[z] ~ exp(-z^2 / (2 sigma^2))``.

    Args:
        size: how many.
        sigma: the parameter, from 0.25 to 2^40 steps; the standard deviation is slightly below it when it is small.
        entropy: gives the key of the keystream.
        native: False takes the NumPy reference; the integers are the same.

    Raises:
        UsageError: ``sigma`` is out of its range, or ``size`` negative.
    """
    return _ready("gaussian", sigma).draw(size, entropy, native=native)


def discrete_laplace(size: int, scale: float, entropy: Entropy, *, native: bool = True) -> NDArray[np.int64]:
    """Independent discrete Laplace integers, ``Pr[z] ~ exp(-|z| / scale)``.

    Args:
        size: how many.
        scale: the parameter, from 0.25 to 2^40 steps.
        entropy: gives the key of the keystream.
        native: False takes the NumPy reference; the integers are the same.

    Raises:
        UsageError: ``scale`` is out of its range, or ``size`` negative.
    """
    return _ready("laplace", scale).draw(size, entropy, native=native)


@lru_cache(maxsize=128)
def _ready(family: Literal["gaussian", "laplace"], width: float) -> Sampler:
    """A sampler, remembered: a question of many parts with equal noise makes its table once."""
    return Sampler.gaussian(width) if family == "gaussian" else Sampler.laplace(width)


@dataclass(frozen=True)
class Sampler:
    """One distribution, made ready: its blocks and its table.

    Attributes:
        family: which of the two.
        rate: 1 / (2 sigma^2) or 1 / scale, exactly.
        low_bits: b, the number of bits of y.
        thresholds: ``floor(2^64 F(x))``; the last is 2^64 - 1.
        guide: for each of the 4096 leading patterns of a word, the first block that it can fall into.
    """

    family: Literal["gaussian", "laplace"]
    rate: Fraction
    low_bits: int
    thresholds: NDArray[np.uint64] = field(repr=False)
    guide: NDArray[np.uint16] = field(repr=False)

    @classmethod
    def gaussian(cls, sigma: float) -> Sampler:
        """A discrete Gaussian."""
        low_bits = _low_bits("sigma", sigma)
        return cls._made("gaussian", 1 / (2 * Fraction(sigma) ** 2), low_bits)

    @classmethod
    def laplace(cls, scale: float) -> Sampler:
        """A discrete Laplace distribution."""
        low_bits = _low_bits("scale", scale)
        return cls._made("laplace", 1 / Fraction(scale), low_bits)

    @classmethod
    def _made(cls, family: Literal["gaussian", "laplace"], rate: Fraction, low_bits: int) -> Sampler:
        bare = cls(family, rate, low_bits, np.empty(0, np.uint64), np.empty(0, np.uint16))
        thresholds = np.array(bare.table(_WORD_BITS), np.uint64)
        patterns = np.arange(1 << _GUIDE_BITS, dtype=np.uint64) << np.uint64(_WORD_BITS - _GUIDE_BITS)
        return replace(bare, thresholds=thresholds, guide=np.searchsorted(thresholds, patterns).astype(np.uint16))

    @property
    def words(self) -> int:
        """How many words a candidate reads."""
        return 3 if self.low_bits else 2

    def table(self, bits: int) -> list[int]:
        """``floor(2^bits F(x))`` for the block numbers x, up to the first that is ``2^bits - 1``."""
        block = 1 << self.low_bits
        doubled = self.low_bits == 0
        if self.family == "laplace":
            return cumulative_thresholds(block * self.rate, Fraction(0), doubled=doubled, bits=bits)
        return cumulative_thresholds(block**2 * self.rate, 2 * block**2 * self.rate, doubled=doubled, bits=bits)

    def exponent(self, x: int, y: int) -> Fraction:
        """Gamma: the candidate at place y of block x is accepted with probability ``exp(-gamma)``."""
        if self.family == "laplace":
            return y * self.rate
        return y * ((x << self.low_bits + 1) + y) * self.rate

    def draw(self, size: int, entropy: Entropy, *, native: bool = True) -> NDArray[np.int64]:
        """``size`` independent integers, under a fresh key from ``entropy``."""
        if size < 0:
            raise UsageError(f"a noise vector has a length, not {size}.")
        stream = Keystream.fresh(entropy)
        fill = _native_fill if native and _native is not None else _numpy_fill
        out = np.empty(size, np.int64)
        done = 0
        while done < size:
            candidates = min(_CHUNK, size - done + (size - done) // 16 + 4)
            done += fill(self, stream.take(8 * self.words * candidates), out[done:], entropy)
        return out

    def settle(self, words: Sequence[int], entropy: Entropy) -> int | None:
        """One candidate in exact arithmetic.

        Args:
            words: the candidate's words.
            entropy: gives further bits when the words do not decide.

        Returns:
            The integer, or None when the candidate is rejected.
        """
        x = self._settle_block(words[0], entropy)
        sign, y = self._sign_and_place(words[1])
        magnitude = (x << self.low_bits) + y
        if self.low_bits:
            second_zero = magnitude == 0 and sign
            if second_zero or not _settle_accept(self.exponent(x, y), words[2], entropy):
                return None
        return -magnitude if sign else magnitude

    def _settle_block(self, word: int, entropy: Entropy) -> int:
        bits, table = _WORD_BITS, self.thresholds.tolist()
        while table[x := bisect_left(table, word)] == word:
            bits += _WORD_BITS
            word = word << _WORD_BITS | _another_word(entropy)
            table = self.table(bits)
        return x

    def _sign_and_place(self, word: int) -> tuple[int, int]:
        return word >> 63, (word >> 63 - self.low_bits) & ((1 << self.low_bits) - 1)


def _settle_accept(exponent: Fraction, word: int, entropy: Entropy) -> bool:
    if exponent == 0:
        return True
    bits = _WORD_BITS
    while (threshold := floor_exp_minus(exponent, bits)) == word:
        bits += _WORD_BITS
        word = word << _WORD_BITS | _another_word(entropy)
    return word < threshold


def _another_word(entropy: Entropy) -> int:
    return int.from_bytes(entropy.take(8), "little")


def _low_bits(name: str, width: float) -> int:
    if not SMALLEST <= width <= LARGEST:
        raise UsageError(
            f"{name} is {width} steps of the lattice; noise is drawn from {SMALLEST} to 2^40 steps.",
            hint="choose a finer lattice for less noise, a coarser one for more",
        )
    return 0 if width < _LARGEST_TABLE_SCALE else math.frexp(width / _BLOCKS)[1] - 1


def _numpy_fill(sampler: Sampler, keystream: bytes, out: NDArray[np.int64], entropy: Entropy) -> int:
    """The reference: all candidates at once. Returns how many integers it wrote."""
    words = np.frombuffer(keystream, "<u8").reshape(-1, sampler.words)
    x = np.searchsorted(sampler.thresholds, words[:, 0])
    doubtful = sampler.thresholds[x] == words[:, 0]
    low_bits = np.uint64(sampler.low_bits)
    sign = words[:, 1] >> np.uint64(63)
    y = (words[:, 1] >> np.uint64(63) - low_bits & (np.uint64(1) << low_bits) - np.uint64(1)).astype(np.int64)
    magnitude = (x << sampler.low_bits) + y
    accepted = np.ones(len(x), bool)
    if sampler.low_bits:
        rate = float(sampler.rate)
        gamma = y * np.float64(rate)
        if sampler.family == "gaussian":
            gamma = y.astype(np.float64) * ((x << sampler.low_bits + 1) + y) * rate
        uniform = words[:, 2] * 2.0**-64
        likely = _exp_minus(gamma)
        accepted = (uniform < likely) & ~((magnitude == 0) & (sign == 1))
        doubtful |= ~(np.abs(uniform - likely) > _BAND) | ~(gamma <= 1)
    values = np.where(sign == 1, -magnitude, magnitude)
    for index in np.flatnonzero(doubtful).tolist():
        if np.count_nonzero(accepted[:index]) >= len(out):
            break
        settled = sampler.settle(words[index].tolist(), entropy)
        accepted[index] = settled is not None
        values[index] = settled or 0
    kept = values[accepted][: len(out)]
    out[: len(kept)] = kept
    return len(kept)


def _native_fill(sampler: Sampler, keystream: bytes, out: NDArray[np.int64], entropy: Entropy) -> int:
    """The kernel, stopping at each doubtful candidate. Returns how many integers it wrote."""
    size_bytes = 8 * sampler.words
    mode = 0 if sampler.low_bits == 0 else 1 if sampler.family == "laplace" else 2
    done: int = 0
    first: int = 0
    while True:
        wrote, first, asks = _native.fill_discrete(
            mode,
            keystream,
            first,
            out[done:],
            (sampler.thresholds, sampler.guide),
            (sampler.low_bits, float(sampler.rate)),
        )
        done += wrote
        if not asks:
            return done
        words = np.frombuffer(keystream, "<u8", sampler.words, first * size_bytes).tolist()
        settled = sampler.settle(words, entropy)
        first += 1
        if settled is not None:
            out[done] = settled
            done += 1


def _exp_minus(gamma: NDArray[np.float64]) -> NDArray[np.float64]:
    """exp(-gamma) for gamma up to 1 within 2^-48: Taylor's series, so that nothing rests on a library's rounding."""
    value = np.ones_like(gamma)
    for degree in range(_TAYLOR_DEGREE, 0, -1):
        value = 1 - value * gamma / degree
    return value

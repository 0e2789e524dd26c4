"""Choices with exact probabilities: uniform numbers drawn bit by bit, compared with reals that no float holds.

A uniform real U in [0, 1) is known by its first 64 bits, one word. A real p is a function that gives an interval of
integers around ``p 2^bits`` for any number of bits. Nearly always the word decides ``U < p``; if not, U gets 64 further
bits and the interval is computed again. No float takes part, so a choice has *exactly* the probability that is named.

How many words are read depends on the sizes alone, but for ties, which happen about once in 2^64 words, and for
rejected integers of ``uniform_below``, whose number says nothing about those that are kept.

References: Knuth, Yao, "The complexity of nonuniform random number generation" (1976); Canonne, Kamath, Steinke, "The
    Discrete Gaussian for Differential Privacy" (2020), section 5, for why chance must be exact.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from stead.core.entropy import Keystream
from stead.errors import UsageError
from stead.privacy.fixed_point import Interval, exp_minus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from stead.core.entropy import Entropy

Real = Callable[[int], Interval]
"""Gives integers ``(low, high)`` with ``low <= p 2^bits <= high``, a few units apart or soon so for more bits."""

_WORD = 64
_ONE = 1 << _WORD


def exponential_of(exponent: Fraction) -> Real:
    """The real ``exp(-exponent)`` for a rational that is not negative."""
    return lambda bits: exp_minus(exponent, bits)


def words_of(size: int, entropy: Entropy) -> NDArray[np.uint64]:
    """``size`` uniform words, under a fresh key from ``entropy``."""
    return np.frombuffer(Keystream.fresh(entropy).take(8 * size), "<u8")


def below(words: NDArray[np.uint64], real: Real, entropy: Entropy) -> NDArray[np.bool_]:
    """Whether each uniform number, known by its first word, lies below a real.

    Args:
        words: uniform, each used for nothing else.
        real: a probability.
        entropy: gives further bits when a word does not decide.
    """
    low, high = real(_WORD)
    if low >= _ONE:
        return np.ones(words.shape, np.bool_)
    decided = words < np.uint64(max(low, 0))
    for index in np.flatnonzero(~decided & (words < np.uint64(min(high, _ONE - 1)))).tolist():
        decided[index] = settle(int(words[index]), real, entropy)
    if high >= _ONE:  # the last word of all, which no uint64 lies above
        for index in np.flatnonzero(~decided & (words == np.uint64(_ONE - 1))).tolist():
            decided[index] = settle(int(words[index]), real, entropy)
    return decided


def below_each(
    words: NDArray[np.uint64], which: NDArray[np.intp], reals: Sequence[Real], entropy: Entropy
) -> NDArray[np.bool_]:
    """Whether each uniform number lies below its own real, ``reals[which[i]]``.

    Args:
        words: uniform, each used for nothing else, shape (size,).
        which: index of each number's real, shape (size,).
        reals: probabilities.
        entropy: gives further bits when a word does not decide.
    """
    decided = np.empty(len(words), np.bool_)
    grouped = np.argsort(which, kind="stable")
    ends = np.cumsum(np.bincount(which, minlength=len(reals))).tolist()
    for real, start, end in zip(reals, [0, *ends], ends, strict=False):
        group = grouped[start:end]
        decided[group] = below(words[group], real, entropy)
    return decided


def settle(word: int, real: Real, entropy: Entropy) -> bool:
    """Whether one uniform number, known by its first word, lies below a real; draws further bits as long as needed."""
    bits = _WORD
    while True:
        low, high = real(bits)
        if word + 1 <= low:
            return True
        if word >= high:
            return False
        bits += _WORD
        word = word << _WORD | another_word(entropy)


def another_word(entropy: Entropy) -> int:
    """64 further bits."""
    return int.from_bytes(entropy.take(8), "little")


def uniform_below(bound: int, size: int, entropy: Entropy) -> NDArray[np.int64]:
    """``size`` independent integers, uniform on 0 .. bound - 1.

    Raises:
        UsageError: the bound is not in [1, 2^63].
    """
    if not 1 <= bound <= 2**63:
        raise UsageError(f"a uniform integer lies below a bound from 1 to 2^63, not {bound}.")
    stream = Keystream.fresh(entropy)
    last = np.uint64(_ONE - _ONE % bound - 1)  # words up to here fall evenly on the integers
    out = np.empty(size, np.int64)
    done = 0
    while done < size:
        words = np.frombuffer(stream.take(8 * (size - done + 2)), "<u8")
        kept = words[words <= last][: size - done]
        out[done : done + len(kept)] = kept % np.uint64(bound)
        done += len(kept)
    return out


def weighted_choice(weights: Sequence[Real], times: Sequence[int], entropy: Entropy) -> int:
    """An index, drawn in proportion to ``times[i] weights[i]``, by inverting the distribution function.

    Args:
        weights: reals, not all zero.
        times: how often each weight counts, positive.
        entropy: gives the uniform number.
    """
    bits, spare = _WORD, _WORD
    word = another_word(entropy)
    while True:
        pairs = [weight(bits + spare) for weight in weights]
        scaled = [(low * many, high * many) for (low, high), many in zip(pairs, times, strict=True)]
        total_low, total_high = sum(low for low, _ in scaled), sum(high for _, high in scaled)
        found = _first_above(word, bits, scaled, (total_low, total_high))
        if found is not None:
            return found
        bits += _WORD
        word = word << _WORD | another_word(entropy)


def _first_above(word: int, bits: int, weights: Sequence[Interval], total: Interval) -> int | None:
    """The first index whose cumulative weight exceeds the uniform number; None if its bits do not decide."""
    low = high = 0
    for index, (least, most) in enumerate(weights):
        low, high = low + least, high + most
        if index == len(weights) - 1 or (word + 1) * total[1] <= low << bits:
            return index
        if word * total[0] < high << bits:
            return None
    return None

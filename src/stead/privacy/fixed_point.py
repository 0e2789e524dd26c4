"""Exact comparisons with numbers that no float holds: intervals of integers around powers of e.

A real r is held as ``(low, high)`` with ``low <= r 2^bits <= high``. Whoever needs ``floor(r 2^bits)`` computes with
spare bits until both ends agree. They always do in the end: r is a quotient of sums of powers of e, never a fraction.
"""

from __future__ import annotations

from fractions import Fraction

Interval = tuple[int, int]

_SPARE_BITS = 48


def exp_minus(exponent: Fraction, bits: int) -> Interval:
    """An interval around ``exp(-exponent)``, a few units wide.

    Args:
        exponent: not negative.
        bits: the scale.
    """
    if exponent == 0:
        return 1 << bits, 1 << bits
    if exponent > bits:
        return 0, 1
    halvings = max(0, exponent.numerator.bit_length() - exponent.denominator.bit_length() + 5)
    work = bits + halvings + 16
    small = (exponent.numerator << work) // (exponent.denominator << halvings)
    # Taylor's series at a point below 1/8. Each term is off by less than two units, what is left out by less than one.
    value, term, count = 1 << work, 1 << work, 0
    while term:
        count += 1
        term = (term * small >> work) // count
        value += term if count % 2 == 0 else -term
    error = 2 * count + 2
    low, high = value - error, value + error
    for _ in range(halvings):
        low, high = low * low >> work, (high * high >> work) + 1
    spare = work - bits
    return low >> spare, (high >> spare) + 1


def floor_exp_minus(exponent: Fraction, bits: int) -> int:
    """``floor(2^bits exp(-exponent))``, exactly."""
    spare = _SPARE_BITS
    while True:
        low, high = exp_minus(exponent, bits + spare)
        if low >> spare == high >> spare:
            return low >> spare
        spare *= 2


def cumulative_thresholds(first: Fraction, growth: Fraction, *, doubled: bool, bits: int) -> list[int]:
    """``floor(2^bits F(x))`` for x = 0, 1, ..., up to the first that is ``2^bits - 1``; F is a distribution function.

    Its weights are w(0) = 1 and w(x+1) = w(x) exp(-(first + growth x)), twice that for x >= 1 where ``doubled``: a
    geometric magnitude for growth 0, a Gaussian one for first = c, growth = 2c.

    Args:
        first: the first exponent, positive.
        growth: what each next exponent adds, not negative.
        doubled: count each magnitude above zero twice, once for each sign.
        bits: the scale.
    """
    spare = _SPARE_BITS
    while True:
        thresholds = _try_thresholds((first, growth), doubled=doubled, bits=bits, spare=spare)
        if thresholds is not None:
            return thresholds
        spare *= 2


def _try_thresholds(exponents: tuple[Fraction, Fraction], *, doubled: bool, bits: int, spare: int) -> list[int] | None:
    work = bits + spare
    lows, highs = _weights(exponents, work, doubled=doubled)
    total_low, total_high = sum(lows), sum(highs)
    thresholds: list[int] = []
    above_low, above_high = total_low, total_high
    for low, high in zip(lows, highs, strict=True):
        # The probability above x lies in (0, 1): its ceiling is at least one.
        above_low, above_high = above_low - low, above_high - high
        least = max(1, -(-(above_low << bits) // total_high))
        most = -(-(above_high << bits) // total_low)
        if least != max(1, most):
            return None
        thresholds.append((1 << bits) - least)
        if least == 1 and above_high << bits <= total_low:
            return thresholds
    return None


def _weights(exponents: tuple[Fraction, Fraction], work: int, *, doubled: bool) -> tuple[list[int], list[int]]:
    """Lower and upper ends of the weights; the last upper end holds the whole rest of the distribution."""
    one = 1 << work
    ratio = exp_minus(exponents[0], work)
    change = exp_minus(exponents[1], work)
    weight, times = (one, one), 2 if doubled else 1
    lows, highs = [one], [one]
    while True:
        weight = _product(weight, ratio, work)
        if weight[1] <= 1 << 8:
            # The ratios only shrink: what follows is below a geometric series.
            lows.append(0)
            highs.append(times * (-(-(weight[1] << work) // (one - ratio[1])) + 1))
            return lows, highs
        ratio = _product(ratio, change, work)
        lows.append(times * weight[0])
        highs.append(times * weight[1])


def _product(left: Interval, right: Interval, work: int) -> Interval:
    return left[0] * right[0] >> work, (left[1] * right[1] >> work) + 1

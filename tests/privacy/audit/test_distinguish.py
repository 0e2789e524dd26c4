"""What the attacks see, on worlds made by hand; binary digits against exact fractions."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stead.errors import UsageError
from stead.privacy.audit.distinguish import ATTACKS, binary_digit, distinguish, off_lattice

MISS = 1e-6
RUNS = 4000


def finest(number):
    """V of an odd multiple of 2^v, by exact division."""
    fraction, digit = Fraction(number), 0
    while fraction.denominator > 1:
        fraction, digit = fraction * 2, digit - 1
    while fraction.numerator % 2 == 0:
        fraction, digit = fraction / 2, digit + 1
    return digit


@given(st.lists(st.floats(-1e12, 1e12, allow_subnormal=False).filter(bool), min_size=1, max_size=20))
def test_the_finest_digit_of_floats(numbers):
    numbers = [number for number in numbers if abs(number) > 1e-200] or [1.0]
    assert binary_digit(np.array(numbers)).tolist() == [finest(number) for number in numbers]


@given(st.lists(st.integers(-(2**52), 2**52).filter(bool), min_size=1, max_size=20))
def test_the_finest_digit_of_integers(numbers):
    assert binary_digit(np.array(numbers)).tolist() == [finest(number) for number in numbers]


def test_numbers_off_a_lattice_are_counted():
    assert off_lattice(np.array([0.0, 0.5, 1.0, -3.0, 0.25, math.nan]), 0.5) == 1
    assert off_lattice(np.array([[4, 8], [6, 0]]), 4.0) == 1


def halves(first, second):
    """A world whose runs alternate, so that choosing and counting halves hold the same."""
    return np.repeat([first, second], 2)[np.arange(RUNS) % 4]


@pytest.mark.parametrize("attack", ATTACKS)
def test_worlds_without_a_difference_prove_nothing(attack):
    world = halves(3, 8)
    assert distinguish(world, world.copy(), 0.0, attack=attack, miss=MISS) == 0.0


def test_each_attack_sees_its_own_fault():
    moved = (halves(0, 4), halves(8, 16))
    spread = (halves(-8, 8), halves(-8, 24) // 8 * 0 + halves(0, 0))
    finer = (halves(0.5, -0.5), halves(1.0, -1.0))
    assert distinguish(*moved, 0.0, attack="shift", miss=MISS) > 3
    assert distinguish(*spread, 0.0, attack="outcomes", miss=MISS) > 3
    assert distinguish(*spread, 0.0, attack="shift", miss=MISS) < 1
    assert distinguish(*finer, 0.0, attack="lattice", miss=MISS) > 3
    assert distinguish(halves(1, 1), halves(-1, -1), 0.0, attack="sign", miss=MISS) > 3


def test_both_directions_are_tried():
    here, there = halves(1, 1), halves(1, 0)
    assert distinguish(here, there, 0.0, attack="outcomes", miss=MISS) > 3
    assert distinguish(there, here, 0.0, attack="outcomes", miss=MISS) > 3


def test_delta_is_given_away_first():
    """An event of probability 1/2 against one of 0 is nothing at delta 1/2."""
    here, there = halves(1, 0), halves(0, 0)
    assert distinguish(here, there, 0.0, attack="outcomes", miss=MISS) > 3
    assert distinguish(here, there, 0.5, attack="outcomes", miss=MISS) == 0.0


def test_noise_that_coordinates_share_cancels():
    noise = np.arange(RUNS) * 7919 % 1009
    present, absent = np.stack([noise + 1, noise], 1), np.stack([noise, noise], 1)
    assert distinguish(present, absent, 0.0, attack="shift", miss=MISS) > 3


def test_worlds_of_different_sizes_are_refused():
    with pytest.raises(UsageError, match="as many results"):
        distinguish(np.zeros(8), np.zeros(9), 0.0, attack="shift", miss=MISS)
    with pytest.raises(UsageError, match="four or more"):
        distinguish(np.zeros(2), np.zeros(2), 0.0, attack="shift", miss=MISS)

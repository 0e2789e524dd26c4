"""The coefficients are those that their fits give, and the fits are as near as the page says."""

from itertools import pairwise

import numpy as np
import pytest
from fits import BROKEN, WHOLE, pieces, written

from stead.mpc.functions import coefficients
from stead.mpc.functions.polynomial import room


def test_they_are_what_the_fits_give():
    names = [name for name in vars(coefficients) if name.isupper()]
    derived = {}
    exec(written().replace("from __future__ import annotations", ""), derived)
    for name in names:
        ours, theirs = np.array(getattr(coefficients, name)), np.array(derived[name])
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=3e-12)


@pytest.mark.parametrize("name", [*WHOLE, *BROKEN])
def test_their_polynomials_fit_into_the_ring(name):
    """The sum of magnitudes bounds the polynomial on [-1, 1]; 61 bits hold it with its fraction bits and 30 of u."""
    found = getattr(coefficients, name)
    for piece in found if isinstance(found[0], tuple) else (found,):
        assert sum(abs(c) for c in piece) * 1.001 * 2 ** (30 + room(piece)) <= 2**61
        assert room(piece) >= 26


@pytest.mark.parametrize("name", BROKEN)
def test_pieces_meet_where_u_is_one(name):
    _, _, bound, count, degree = BROKEN[name]
    slope, found = pieces(*BROKEN[name][1:])
    half = 2**14 / slope
    assert abs(half * 2 * count - bound) < 1e-3
    assert len(found) == 2 * count
    assert all(len(piece) == degree + 1 for piece in found)
    for left, right in pairwise(found):
        assert abs(np.polyval(left[::-1], 1) - np.polyval(right[::-1], -1)) < 2e-4

"""Calibrated noise is just enough; joint error bars hold jointly."""

import math

import numpy as np
import pytest
from scipy import stats

from stead.errors import UsageError
from stead.privacy.accounts import DEFAULT_ORDERS, Target, allows, amounts
from stead.privacy.calibrate import joint_half_width, joint_multiplier, laplace_half_width, sigma_for
from stead.privacy.events import Gaussian, Repeated, Sampled, SumOfDiscreteGaussians

RUN = {"rate": 0.1, "steps": 200, "shares": 2, "dimension": 1000, "l2_steps": 2.0**14}


@pytest.mark.parametrize("epsilon", [0.5, 1.0, 4.0, 10.0])
def test_the_noise_is_enough_and_hardly_more(epsilon):
    sigma = sigma_for(epsilon, 1e-6, **RUN)
    target = Target(epsilon, 0.9e-6)  # a tenth of delta is the account's reserve

    def paid(multiplier):
        event = SumOfDiscreteGaussians(multiplier * 2.0**14 / math.sqrt(2), 2, 2.0**14, 1000)
        charge = amounts(Repeated(Sampled(0.1, event), 200), DEFAULT_ORDERS)
        return allows(target, (0,) * len(DEFAULT_ORDERS), charge)

    assert paid(sigma)
    assert not paid(sigma * (1 - 2**-15))


def test_a_fine_lattice_needs_the_noise_of_the_continuous_gaussian():
    sigma = sigma_for(4.0, 1e-6, **RUN)
    ideal = amounts(Repeated(Sampled(0.1, Gaussian(sigma * (1 - 2**-15), 1.0)), 200), DEFAULT_ORDERS)
    assert not allows(Target(4.0, 0.9e-6), (0,) * len(DEFAULT_ORDERS), ideal)


def test_a_stricter_run_needs_more_noise():
    base = sigma_for(4.0, 1e-6, **RUN)
    assert sigma_for(2.0, 1e-6, **RUN) > base
    assert sigma_for(4.0, 1e-9, **RUN) > base
    assert sigma_for(4.0, 1e-6, **RUN | {"steps": 400}) > base
    assert sigma_for(4.0, 1e-6, **RUN | {"rate": 0.2}) > base


def test_a_run_that_no_noise_makes_private_is_refused():
    with pytest.raises(UsageError, match="no noise"):
        sigma_for(1.0, 1e-6, **RUN | {"l2_steps": 1e-10})


@pytest.mark.parametrize(("confidence", "expected"), [(0.95, 1.959964), (0.99, 2.575829)])
def test_one_bar_is_that_of_the_normal_tables(confidence, expected):
    assert joint_multiplier(1, confidence) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("cells", [1, 7, 1000, 10**9])
def test_all_bars_hold_together_as_often_as_promised(cells):
    outside = 2 * stats.norm.sf(joint_multiplier(cells, 0.9))
    assert math.exp(cells * math.log1p(-outside)) == pytest.approx(0.9, abs=1e-6)


def test_half_widths_follow_their_sigmas():
    widths = joint_half_width([1.0, 2.0, 0.0])
    assert widths == pytest.approx(np.array([1.0, 2.0, 0.0]) * joint_multiplier(3))


@pytest.mark.parametrize(("cells", "confidence"), [(0, 0.95), (3, 0.0), (3, 1.0), (3, math.nan)])
def test_error_bars_without_meaning_are_refused(cells, confidence):
    with pytest.raises(UsageError):
        joint_multiplier(cells, confidence)


@pytest.mark.parametrize("scale", [0.2, 1.0, 7.3, 400.0])
@pytest.mark.parametrize(("cells", "confidence"), [(1, 0.5), (1, 0.95), (30, 0.95), (1000, 0.99)])
def test_the_laplace_s_bars_are_the_least_that_hold_together(scale, cells, confidence):
    z = np.arange(-int(45 * scale) - 45, int(45 * scale) + 46)
    weights = np.exp(-np.abs(z) / scale)
    width = laplace_half_width(scale, cells, confidence)

    def together(half):
        return (weights[np.abs(z) <= half].sum() / weights.sum()) ** cells

    assert together(width) >= confidence
    assert width == 0 or together(width - 1) < confidence


@pytest.mark.parametrize(
    ("scale", "cells", "confidence"), [(1.0, 0, 0.9), (1.0, 1, 1.0), (0.0, 1, 0.9), (math.inf, 1, 0.9)]
)
def test_laplace_bars_without_meaning_are_refused(scale, cells, confidence):
    with pytest.raises(UsageError):
        laplace_half_width(scale, cells, confidence)

"""A mechanism adds the noise that its event names."""

import numpy as np
import pytest

from stead.core.entropy import SeededEntropy
from stead.errors import TooFewParties
from stead.privacy.events import DiscreteGaussian, DiscreteLaplace
from stead.privacy.mechanisms import GaussianMechanism, LaplaceMechanism, noise_share
from stead.privacy.samplers import discrete_gaussian, discrete_laplace


def test_events_name_the_noise():
    assert GaussianMechanism(4.0).event(2.0) == DiscreteGaussian(4.0, 2.0)
    assert LaplaceMechanism(4.0).event(2) == DiscreteLaplace(4.0, 2)


@pytest.mark.parametrize(
    ("mechanism", "draw"), [(GaussianMechanism(50.0), discrete_gaussian), (LaplaceMechanism(50.0), discrete_laplace)]
)
def test_a_mechanism_adds_fresh_noise_in_any_shape(mechanism, draw):
    values = np.arange(60, dtype=np.int64).reshape(3, 4, 5)
    noisy = mechanism.add(values, SeededEntropy(1))
    assert noisy.shape == values.shape
    assert noisy.dtype == np.int64
    assert np.array_equal((noisy - values).ravel(), draw(60, 50.0, SeededEntropy(1)))
    assert np.array_equal(values.ravel(), np.arange(60))


def test_a_sum_at_the_edge_wraps_and_does_not_fail():
    edge = np.full(1000, np.iinfo(np.int64).max)
    noisy = GaussianMechanism(50.0).add(edge, SeededEntropy(1))
    assert (noisy < 0).any()
    assert np.array_equal(noisy - edge, discrete_gaussian(1000, 50.0, SeededEntropy(1)))


@pytest.mark.parametrize(("sites", "colluders"), [(2, 0), (3, 1), (10, 4), (1, 0)])
def test_the_honest_shares_alone_have_the_whole_variance(sites, colluders):
    share = noise_share(12.0, sites, colluders)
    assert (sites - colluders) * share**2 == pytest.approx(144.0)


@pytest.mark.parametrize(("sites", "colluders"), [(1, 1), (3, 3), (3, 4), (3, -1)])
def test_noise_needs_an_honest_site(sites, colluders):
    with pytest.raises(TooFewParties):
        noise_share(1.0, sites, colluders)

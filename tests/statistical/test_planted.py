"""Broken mechanisms, planted: each is caught by the audit that passes the honest one.

Error rates: an honest mechanism would be accused in one audit of 10,000 (``ERROR_RATE``), so a planted one that is
accused is no accident; seeds are fixed. Each fault stands beside the claim of the mechanism that it pretends to be.
"""

import numpy as np
import pytest

from stead.core.entropy import SeededEntropy
from stead.privacy.audit.mechanisms import (
    SharedNoise,
    adding,
    choosing,
    reporting,
    selecting,
    showing,
    streaming,
)
from stead.privacy.audit.trial import Trial, audit
from stead.privacy.choices import ExponentialMechanism, NoisyMaxMechanism, PermuteAndFlipMechanism
from stead.privacy.events import Composed, DiscreteGaussian, DiscreteLaplace, Sampled, SumOfDiscreteGaussians
from stead.privacy.keys import (
    PartitionSelectionMechanism,
    ThresholdedGaussianMechanism,
    ThresholdedLaplaceMechanism,
)
from stead.privacy.mechanisms import GaussianMechanism, LaplaceMechanism
from stead.privacy.randomised_response import RandomisedResponseMechanism
from stead.privacy.sparse_vector import SparseVectorMechanism

SCORES = ((1, -1), (0, 0))


def caught(trial, share=1.0):
    return [verdict for verdict in audit([trial], SeededEntropy(8), share=share) if verdict.exceeded]


class NoNoise:
    def add(self, values, _):
        return values


class FloatNoise:
    """Noise by inverting the distribution function in floats, as libraries did (Mironov 2012)."""

    def __init__(self, scale):
        self.scale = scale

    def add(self, values, entropy):
        words = np.frombuffer(entropy.take(8 * len(values)), dtype="<u8")
        uniform = (words >> 11) * 2.0**-53 - 0.5
        return values - self.scale * np.sign(uniform) * np.log1p(-2 * np.abs(uniform))


class RoundedFloatNoise(FloatNoise):
    """The same, hidden on a lattice that is finer than the declared one."""

    def add(self, values, entropy):
        return np.round(super().add(values, entropy) * 4) / 4


NOISES = {
    "Gaussian": (GaussianMechanism(1.0), DiscreteGaussian(2.0, 1.0), 1, 1.0),
    "Laplace": (LaplaceMechanism(1.5), DiscreteLaplace(3.0, 3), 3, 1.0),
    "shares": (SharedNoise(GaussianMechanism(20.0), 2), SumOfDiscreteGaussians(40.0, 2, 40.0, 1), 40, 1.0),
    "sampled": (GaussianMechanism(0.5), Sampled(0.3, DiscreteGaussian(1.0, 1.0)), 1, 0.3),
}


@pytest.mark.parametrize("noise", NOISES)
def test_half_the_noise_is_caught(noise):
    mechanism, event, moved, rate = NOISES[noise]
    assert caught(adding(noise, mechanism, event, moved, rate=rate))


def test_noise_that_is_left_out_is_caught():
    assert caught(adding("nothing", NoNoise(), DiscreteGaussian(2.0, 1.0), 1), share=0.01)


def test_a_share_that_a_colluder_can_take_off_is_caught():
    """Three sites of which one colludes were to add two honest shares; one of them was left out."""
    one_short = SharedNoise(GaussianMechanism(40.0), 1)
    assert caught(adding("shares", one_short, SumOfDiscreteGaussians(40.0, 2, 40.0, 1), 40))


def test_rows_of_a_person_that_are_not_counted_are_caught():
    """Three rows of one person each move a sum by one; the event says one."""
    assert caught(adding("sum", GaussianMechanism(3.0), DiscreteGaussian(3.0, 1.0), 3))


def test_a_value_that_is_not_clipped_is_caught():
    assert caught(adding("sum", LaplaceMechanism(10.0), DiscreteLaplace(10.0, 10), 1000), share=0.05)


@pytest.mark.parametrize("scale", [1.0, 10.0])
def test_noise_off_the_lattice_is_caught_by_its_lattice_alone(scale):
    """No number left the declared lattice as far as the audit was told; the finest digit gives the float away."""
    honest = adding("float noise", FloatNoise(scale), DiscreteLaplace(scale, 1), 1, deltas=(0.0,))
    told_nothing = Trial(honest.name, honest.event, honest.draw, honest.runs, honest.deltas, step=0.0)
    attacks = {verdict.attack for verdict in caught(told_nothing)}
    assert attacks == {"lattice"}
    assert all(verdict.off_lattice for verdict in caught(honest, share=0.01))


def test_a_finer_lattice_than_the_declared_one_is_caught():
    found = caught(adding("quarters", RoundedFloatNoise(3.0), DiscreteLaplace(3.0, 3), 3), share=0.01)
    assert found
    assert all(verdict.off_lattice > 0 for verdict in found)


@pytest.mark.parametrize("mechanism", [ExponentialMechanism, PermuteAndFlipMechanism, NoisyMaxMechanism])
def test_a_choice_with_half_the_noise_is_caught(mechanism):
    assert caught(choosing("choice", mechanism(1.0), mechanism(2.0).event(2), ((2, -1), (1, 0))))


@pytest.mark.parametrize("mechanism", [ExponentialMechanism, PermuteAndFlipMechanism, NoisyMaxMechanism])
def test_a_choice_charged_as_if_scores_moved_together_is_caught(mechanism):
    """The spread is 2 and the event says 1."""
    assert caught(choosing("choice", mechanism(2.0), mechanism(2.0).event(1), ((2, -1), (1, 0))))


def test_permute_and_flip_priced_as_exponential_is_caught():
    """opendp/opendp#2911: a quarter of the true concentrated cost was charged."""
    flip, exponential = PermuteAndFlipMechanism(2.0), ExponentialMechanism(2.0)
    assert caught(choosing("flip", flip, exponential.event(2), SCORES))
    assert not caught(choosing("flip", flip, flip.event(2), SCORES))


class Unshifted(SparseVectorMechanism):
    """Thresholds without noise: one of the published variants that are not private."""

    def start(self, entropy):
        stream = super().start(entropy)
        stream._shift = 0
        return stream


def test_a_stream_whose_threshold_has_no_noise_is_caught():
    quiet = Unshifted(10.0, 2 / 0.9, 1)
    assert caught(streaming("stream", quiet, quiet.event(1, 2), ((1,) * 10, (0,) * 10), 2))


def test_a_stream_with_half_the_noise_is_caught():
    honest = SparseVectorMechanism(10 / 3, 2 / 0.7, 1)  # 0.3 for the thresholds, 0.7 for the positive
    quiet = SparseVectorMechanism(10 / 6, 1 / 0.7, 1)
    assert caught(streaming("stream", quiet, honest.event(1, 2), ((1, 1, 1, 0), (0, 0, 0, 1)), 1))


@pytest.mark.parametrize(("epsilon", "options"), [(0.3, 2), (1.0, 5)])
def test_reports_that_are_true_too_often_are_caught(epsilon, options):
    loud, honest = (RandomisedResponseMechanism(factor * epsilon, options) for factor in (1.25, 1.0))
    assert caught(reporting("report", loud, honest.event()))


def test_selections_with_a_wrong_delta_or_epsilon_are_caught():
    honest = PartitionSelectionMechanism(1.0, 1e-3).event(1)
    assert caught(selecting("delta", PartitionSelectionMechanism(1.0, 3e-3).shown, honest, 0))
    assert caught(selecting("epsilon", PartitionSelectionMechanism(2.0, 1e-3).shown, honest, 3))


def test_a_selection_that_counts_rows_in_place_of_people_is_caught():
    """One person with five rows looks like five people."""
    selection = PartitionSelectionMechanism(1.0, 1e-3)
    assert caught(selecting("rows", selection.shown, selection.event(1), 0, rows=5))


@pytest.mark.parametrize(
    ("mechanism", "width"), [(ThresholdedGaussianMechanism, 4.0), (ThresholdedLaplaceMechanism, 2.0)]
)
def test_a_threshold_too_low_or_less_noise_is_caught(mechanism, width):
    honest = mechanism.of(width, 5e-4, 1, 1)
    low, quiet = mechanism(width, honest.threshold - 6), mechanism(width / 4, honest.threshold)
    assert caught(showing("low", low, honest.event(1, 1), 0))
    assert caught(showing("quiet", quiet, honest.event(1, 1), honest.threshold))


def test_noise_that_two_results_share_is_caught():
    """Each alone is right; their difference has no noise at all."""

    def draw(runs, entropy):
        worlds = []
        for person in (1, 0):
            noise = GaussianMechanism(5.0).add(np.zeros(runs, np.int64), entropy)
            worlds.append(np.stack([noise + person, noise], axis=1))
        return tuple(worlds)

    claim = Composed((DiscreteGaussian(5.0, 1.0), DiscreteGaussian(5.0, 1.0)))
    attacks = {verdict.attack for verdict in caught(Trial("shared", claim, draw, 4000, (0.01,)))}
    assert {"shift", "outcomes"} <= attacks

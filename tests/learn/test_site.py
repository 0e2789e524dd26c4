"""What sites add, driven through the real frames, against sums computed beside them."""

import math

import msgspec
import numpy as np
import pytest

from stead.core.entropy import SeededEntropy, SystemEntropy
from stead.errors import BadMessage, UsageError
from stead.learn.gradients import Examples, weights_to_payload
from stead.learn.header import Header, model_hash
from stead.learn.optimiser import Moments, step
from stead.learn.pipeline import Lattice
from stead.learn.secure_sum import SumCoordinator
from stead.learn.simulation import local_session
from stead.learn.site import QuerySite, TrainingSite, check_training, noise_steps, vector_length
from stead.plans.engine import NumpyEngine
from stead.plans.training import LocalSteps, Optimiser, Privacy, Sampler

# A quarter of a step of a lattice with 4096 steps in the clip: the least that is drawn.
QUIET = 2.0**-14


def site_examples(rows, seed, *, features=6):
    generator = np.random.default_rng(seed)
    return Examples(
        x=generator.normal(size=(rows, features)).astype(np.float32),
        y=generator.integers(0, 3, rows),
        person=np.arange(rows),
    )


def header_of(training, payload, *, rounds=None, **changes):
    def build(cohort):
        facts = {
            "release": bytes(16),
            "plan_hash": bytes(32),
            "cohort": cohort,
            "length": vector_length(training),
            "ring_bits": training.ring_bits,
            "rounds": rounds or training.rounds,
            "colluders": training.privacy.colluders if training.privacy else 0,
            "model_hash": model_hash(payload),
            "outlet": "join" if training.privacy else "disclose",
            "minimum": len(cohort),
        }
        return Header(**(facts | changes))

    return build


def coordinator_of(training, datasets, payload, *, seed=0, rows_at_most=1000, entropy=None, tap=None):
    sites = {
        f"site-{n}": lambda seat, data=data: TrainingSite(
            seat, training, engine=NumpyEngine(), examples=data, rows_at_most=rows_at_most
        )
        for n, data in enumerate(datasets)
    }
    header, channel = local_session(
        sites, header_of(training, payload), entropy=entropy or SeededEntropy(seed), tap=tap
    )
    coordinator = SumCoordinator(header, channel)
    coordinator.open()
    return coordinator


def flat(model, seed=0):
    return np.concatenate([part.ravel() for part in model.parameters(seed)])


def exact_sum(model, weights, datasets, privacy):
    """The plaintext: every row's gradient by formula, clipped and truncated."""
    lattice = Lattice(privacy.clip, privacy.lattice)
    rows = [model.gradient(weights, x, y) for data in datasets for x, y in zip(data.x, data.y, strict=True)]
    return lattice.quantise(np.array(rows)).sum(axis=0)


def test_private_sum_is_the_clipped_sum_and_noise_of_the_declared_size(model):
    """Noise: 3 sites of which 1 is not counted on, so 3/2 of sigma^2. Six standard deviations, false alarm 2e-9."""
    training = model.training()
    datasets = [site_examples(rows, seed) for seed, rows in enumerate((50, 3, 120))]
    weights = flat(model)
    payload = weights_to_payload(weights)
    expected = exact_sum(model, weights, datasets, training.privacy)
    noise = []
    coordinator = coordinator_of(training, datasets, payload)
    noise = np.concatenate([coordinator.round(number, payload) - expected for number in range(1, 21)])
    sigma = noise_steps(training)
    assert sigma == 4096.0
    ratio = (noise / sigma).var() / 1.5
    assert abs(ratio - 1) < 6 * math.sqrt(2 / noise.size)
    assert abs(noise.mean()) < 6 * sigma * math.sqrt(1.5 / noise.size)


def test_without_noise_the_sum_is_exact_to_the_rounding_of_the_gradient(model):
    """The least noise there is (a share of a quarter step): what is left is where float32 crosses a lattice point."""
    privacy = Privacy(clip=1.0, lattice=2.0**-12, sigma=QUIET * math.sqrt(2), colluders=1, sites=3, steps=20)
    training = model.training(privacy=privacy)
    datasets = [site_examples(rows, seed) for seed, rows in enumerate((40, 0, 70))]
    weights = flat(model)
    payload = weights_to_payload(weights)
    got = coordinator_of(training, datasets, payload).round(1, payload)
    difference = got - exact_sum(model, weights, datasets, privacy)
    assert np.abs(difference).max() <= 3
    assert (difference == 0).mean() > 0.8


def test_one_person_is_bounded_whatever_the_model_and_the_rows_hold(model):
    privacy = Privacy(clip=1.0, lattice=2.0**-12, sigma=QUIET, colluders=1, sites=2, steps=20)
    training = model.training(privacy=privacy)
    bad = site_examples(8, 1)
    bad.x[0] = np.nan
    bad.x[1] = np.inf
    bad.x[2] = 3e38
    bad.x[3] = -3e38
    datasets = [bad, site_examples(0, 2)]
    for weights in (flat(model), flat(model) * np.float32(1e30), np.full(model.length, np.nan, dtype=np.float32)):
        payload = weights_to_payload(weights)
        total = coordinator_of(training, datasets, payload).round(1, payload)
        assert math.sqrt(sum(int(value) ** 2 for value in total)) <= 8 * 4096 + math.sqrt(model.length) * 2


def test_people_are_sampled(model):
    """Sites of 400 one-row people with equal rows at rate 0.25: the sum counts them; six standard deviations."""
    privacy = Privacy(clip=1.0, lattice=2.0**-12, sigma=QUIET, colluders=1, sites=2, steps=20)
    training = model.training(privacy=privacy, sampler=Sampler(rate=0.25))
    one = site_examples(1, 3)
    same = Examples(x=np.repeat(one.x, 400, axis=0), y=np.repeat(one.y, 400), person=np.arange(400))
    payload = weights_to_payload(flat(model))
    single = exact_sum(model, flat(model), [one], privacy)
    place = int(np.abs(single).argmax())
    coordinator = coordinator_of(training, [same, same], payload, seed=9)
    counts = [coordinator.round(number, payload)[place] / single[place] for number in (1, 2, 3)]
    assert len({round(count) for count in counts}) > 1
    for count in counts:
        assert abs(count - 200) < 6 * math.sqrt(800 * 0.25 * 0.75)


@pytest.mark.parametrize("ring_bits", [32, 64])
def test_average_without_privacy_is_the_weighted_mean_of_local_training(model, ring_bits):
    local = LocalSteps(epochs=2, batch=1000, optimiser=Optimiser(name="sgd", rate=0.5, momentum=0.9))
    training = model.training(private=False, local=local, ring_bits=ring_bits)
    datasets = [site_examples(rows, seed) for seed, rows in enumerate((50, 0, 120))]
    weights = flat(model)
    payload = weights_to_payload(weights)
    total = coordinator_of(training, datasets, payload, rows_at_most=200).round(1, payload)
    assert total[-1] == 170
    changes = []
    for data in datasets:
        moved, moments = weights, Moments.zero(model.length)
        for _ in range(2):
            if len(data.x):
                slope = np.mean([model.gradient(moved, x, y) for x, y in zip(data.x, data.y, strict=True)], axis=0)
                moved, moments = step(local.optimiser, moved, slope, moments)
        changes.append(len(data.x) * (moved.astype(float) - weights))
    np.testing.assert_allclose(total[:-1] * training.lattice / 170, sum(changes) / 170, atol=2.0**-16)


def test_local_minibatches_learn(model):
    data = site_examples(200, 1)
    data.y[:] = (data.x[:, 0] > 0).astype(int)
    training = model.training(private=False)
    training = msgspec.structs.replace(
        training, local=LocalSteps(epochs=5, batch=16, optimiser=Optimiser(name="adam", rate=0.01, momentum=0.9))
    )
    weights = flat(model)
    payload = weights_to_payload(weights)
    total = coordinator_of(training, [data], payload).round(1, payload)
    assert total[-1] == 200
    moved = weights + total[:-1] * training.lattice / 200
    assert (model.scores(moved, data.x).argmax(axis=1) == data.y).mean() > 0.9


def test_a_training_that_diverges_counts_for_nothing(model):
    local = LocalSteps(epochs=3, batch=8, optimiser=Optimiser(name="sgd", rate=1e60))
    training = model.training(private=False, local=local)
    payload = weights_to_payload(flat(model))
    wild, tame = site_examples(40, 1), site_examples(0, 2)
    assert not coordinator_of(training, [wild, tame], payload).round(1, payload).any()


def test_a_ring_too_narrow_for_an_average_is_refused_from_public_numbers(model):
    training = model.training(private=False, ring_bits=32)
    payload = weights_to_payload(flat(model))
    with pytest.raises(UsageError, match="32 bits"):
        coordinator_of(training, [site_examples(1, 1)] * 2, payload, rows_at_most=1 << 20)


@pytest.mark.parametrize(
    "change",
    [
        {"length": 3},
        {"ring_bits": 32},
        {"rounds": 21},
        {"colluders": 0},
        {"outlet": "disclose"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_header_for_another_sum_is_refused(model, change):
    training = model.training()
    cohort = tuple((f"s{n}", bytes([n + 2]) * 32) for n in range(3))
    good = header_of(training, b"")(cohort)
    check_training(good, training)
    with pytest.raises(BadMessage):
        check_training(msgspec.structs.replace(good, **change), training)
    with pytest.raises(BadMessage, match="sites"):
        check_training(header_of(training, b"")(cohort[:2]), training)


def test_privacy_and_local_steps_exclude_each_other(model):
    both = msgspec.structs.replace(model.training(), local=model.training(private=False).local)
    neither = msgspec.structs.replace(model.training(), privacy=None)
    header = header_of(model.training(), b"")(tuple((f"s{n}", bytes([n + 2]) * 32) for n in range(3)))
    for training in (both, neither):
        with pytest.raises(UsageError, match="either"):
            check_training(header, training)


def question(vectors, sigmas, lengths, *, entropy=None, **changes):
    def build(cohort):
        facts = {
            "release": bytes(16),
            "plan_hash": bytes(32),
            "cohort": cohort,
            "length": sum(lengths),
            "ring_bits": 64,
            "rounds": 1,
            "colluders": 1,
            "model_hash": model_hash(b""),
            "outlet": "join",
            "minimum": len(cohort),
        }
        return Header(**(facts | changes))

    sites = {
        f"site-{n}": lambda seat, row=row: QuerySite(seat, row, sigmas=sigmas, lengths=lengths)
        for n, row in enumerate(vectors)
    }
    header, channel = local_session(sites, build, entropy=entropy or SystemEntropy())
    coordinator = SumCoordinator(header, channel)
    coordinator.open()
    return coordinator


def test_a_joint_question_has_the_noise_of_each_part():
    """4 sites, 1 not counted on: 4/3 of each part's sigma^2. Six standard deviations, false alarm 2e-9 each."""
    vectors = np.random.default_rng(0).integers(0, 10**6, (4, 30_000))
    total = question(vectors, (20.0, 500.0), (20_000, 10_000), entropy=SeededEntropy(11)).round(1)
    noise = total - vectors.sum(axis=0)
    for part, sigma in ((noise[:20_000], 20.0), (noise[20_000:], 500.0)):
        assert abs((part / sigma).var() / (4 / 3) - 1) < 6 * math.sqrt(2 / part.size)


def test_a_disclosed_question_is_exact():
    vectors = np.arange(12).reshape(3, 4)
    assert question(vectors, (5.0,), (4,), outlet="disclose", colluders=0).round(1).tolist() == [12, 15, 18, 21]


@pytest.mark.parametrize("change", [{"rounds": 2}, {"model_hash": model_hash(b"x")}, {"length": 5}], ids=str)
def test_a_question_is_one_round_of_its_own_length(change):
    with pytest.raises(BadMessage):
        question(np.zeros((2, 4), dtype=np.int64), (5.0,), (4,), **change)


def test_a_question_is_asked_once():
    coordinator = question(np.zeros((2, 4), dtype=np.int64), (5.0,), (4,))
    coordinator.round(1)
    with pytest.raises(BadMessage, match="over"):
        coordinator.round(2)

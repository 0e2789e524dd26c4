"""Noise inside the shares: what is opened, how it is distributed for whom, what it takes, and what it costs."""

import numpy as np
import pytest
from scipy import stats
from verbs import drawn

from stead.core.entropy import SeededEntropy
from stead.errors import TooFewParties, UsageError
from stead.mpc.costing import Costing, costs_of
from stead.mpc.engine import traffic
from stead.mpc.fixed import Secret
from stead.mpc.local import together
from stead.mpc.noise import NoiseOnShares, clamp, reveal_noisy, with_noise
from stead.mpc.party import Party, agree
from stead.mpc.protocols.additive.protocol import Additive
from stead.mpc.session import local_session
from stead.net.local import local_mesh
from stead.privacy.accounts import Target, amounts, epsilon_spent

PROTOCOLS = ["masked", "replicated"]
SIGMA, COUNT = 3.0, 30_000
ERROR_RATE = 1e-9


class Watched:
    """A protocol that keeps what this party enters."""

    def __init__(self, protocol):
        self.protocol, self.entered = protocol, []

    def __getattr__(self, name):
        return getattr(self.protocol, name)

    def share(self, values, shape, owner):
        if owner == self.party.place:
            self.entered.append(np.asarray(values).view(np.int64).copy())
        return self.protocol.share(values, shape, owner)


def noisy_run(protocol, noise, values, seed=1):
    """What is opened, and each party's part of the noise."""

    def computation(p):
        watched = Watched(p)
        x = Secret(p.share(values.view(np.uint64) if p.party.place == 1 else None, values.shape, 1), 0)
        opened = p.reveal(with_noise(watched, x, noise).share, [2])
        (part,) = watched.entered
        return opened, part

    results = together(protocol, computation, entropy=SeededEntropy(seed))
    assert results[0][0] is None
    assert results[1][0] is None
    return results[2][0].view(np.int64), [part for _, part in results]


def gaussian_weights(sigma):
    """Exact weights of one discrete Gaussian, far into the tails."""
    reach = np.arange(-int(40 * sigma), int(40 * sigma) + 1)
    weights = np.exp(-(reach.astype(float) ** 2) / (2 * sigma**2))
    return weights / weights.sum()


def fits(noise, weights):
    """The p-value of integers under symmetric weights around zero; the tails are pooled."""
    reach = (len(weights) - 1) // 2
    keep = weights * len(noise) >= 20
    counts = np.bincount(np.clip(noise, -reach, reach) + reach, minlength=len(weights))
    seen = np.append(counts[keep], counts[~keep].sum())
    expected = np.append(weights[keep], weights[~keep].sum()) * len(noise)
    return stats.chisquare(seen, expected * seen.sum() / expected.sum()).pvalue


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_is_opened_is_the_value_and_the_sum_of_all_parts(protocol):
    values = drawn((200,), 3).view(np.int64)
    opened, parts = noisy_run(protocol, NoiseOnShares(SIGMA, 1.0), values)
    np.testing.assert_array_equal(opened, values + sum(parts))
    assert all(part.any() for part in parts)
    assert not any(np.array_equal(parts[a], parts[b]) for a, b in [(0, 1), (0, 2), (1, 2)])


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_distribution_that_is_paid_for_is_left_when_a_party_takes_off_its_part(protocol):
    """Exact weights of the convolution of n - c discrete Gaussians; each p-value is below 1e-9 once in 10^9 seeds."""
    values = np.zeros(COUNT, dtype=np.int64)
    opened, parts = noisy_run(protocol, NoiseOnShares(SIGMA, 1.0), values, seed=5)
    each = gaussian_weights(SIGMA / np.sqrt(2))
    two = np.convolve(each, each)
    for part in parts:
        assert fits(part, each) > ERROR_RATE
        assert fits(opened - part, two) > ERROR_RATE
    assert fits(opened, np.convolve(two, each)) > ERROR_RATE
    assert fits(opened, two) < ERROR_RATE, "this test can fail"


def test_without_colluders_the_whole_noise_is_no_more_than_asked_for():
    opened, _ = noisy_run("masked", NoiseOnShares(SIGMA, 1.0, colluders=0), np.zeros(COUNT, dtype=np.int64), seed=6)
    each = gaussian_weights(SIGMA / np.sqrt(3))
    assert fits(opened, np.convolve(np.convolve(each, each), each)) > ERROR_RATE


def test_any_number_of_parties_on_additive_shares():
    """Four parties, three of them colluders: one part alone is the whole noise."""
    names, mesh = ("a", "b", "c", "d"), local_mesh(("a", "b", "c", "d"))
    noise = NoiseOnShares(SIGMA, 2.0, colluders=3)

    def computation(place):
        channel, entropy = mesh[names[place]], SeededEntropy(40 + place)
        streams = agree(place, names, channel, entropy)
        p = Watched(Additive(Party(place, names, channel, entropy, 1, streams)))
        x = Secret(p.share(np.full(9, 5, np.uint64) if place == 0 else None, (9,), 0), 0)
        p.entered.clear()
        opened = p.reveal(with_noise(p, x, noise).share, [3])
        return opened, p.entered[0], noise.event(p, x)

    results = _in_threads(computation, 4)
    np.testing.assert_array_equal(results[3][0].view(np.int64), 5 + sum(part for _, part, _ in results))
    event = results[0][2]
    assert (event.sigma_share, event.shares, event.l2, event.dimension) == (SIGMA, 1, 2.0, 9)


def _in_threads(work, count):
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(work, range(count)))


@pytest.mark.parametrize(
    ("protocol", "rounds", "sent", "dealt"),
    [
        ("masked", 2, (0, 8 * 35, 8 * 35), 8 * 35),
        ("replicated", 3, (8 * 35,) * 3, 0),
    ],
)
def test_the_cost_is_one_input_of_each_party(protocol, rounds, sent, dealt):
    """As the docstring says, from shapes alone; and what is sent is as much."""
    noise = NoiseOnShares(SIGMA, 1.0)
    costing = Costing(costs_of(protocol))
    with_noise(costing, Secret(costing.outline_of((5, 7)), 0), noise)
    assert costing.total.rounds == rounds
    assert costing.total.sent == sent
    assert sum(costing.total.dealt) == dealt

    def computation(p):
        x = Secret(p.share(np.zeros((5, 7), np.uint64) if p.party.place == 1 else None, (5, 7), 1), 0)
        before = traffic(p)
        with_noise(p, x, noise)
        return traffic(p).since(before).total_sent_bytes

    assert tuple(together(protocol, computation)) == sent


@pytest.mark.parametrize("protocol", ["cleartext", *PROTOCOLS])
def test_a_clamp_is_total(protocol):
    """Every ring element comes out within the bounds, what lies within them unchanged; far from the ends it clips."""
    values, bound = drawn((300,), 8).view(np.int64), 1 << 40
    values[20:120] >>= np.int64(22)

    def computation(p):
        owner = min(1, len(p.party.names) - 1)
        given = values.view(np.uint64) if p.party.place == owner else None
        return p.reveal(clamp(p, Secret(p.share(given, values.shape, owner), 0), bound).share)

    held = next(told for told in together(protocol, computation) if told is not None).view(np.int64)
    assert np.abs(held).max() <= bound
    inside = np.abs(values.astype(object)) < (1 << 63) - bound
    np.testing.assert_array_equal(held[inside], np.clip(values[inside], -bound, bound))
    assert (~inside).any()
    assert (np.abs(values) <= bound).sum() > 20


@pytest.mark.parametrize("bound", [-1, (1 << 61) + 1])
def test_a_bound_that_would_wrap_is_refused(bound):
    def computation(p):
        return clamp(p, Secret(p.share(np.zeros(1, np.uint64), (1,), 0), 0), bound)

    with pytest.raises(UsageError, match="2\\^61"):
        together("cleartext", computation)


def test_an_array_is_opened_with_noise_at_its_own_scale():
    values = np.array([[1.5, -2.0], [30.25, 4.0]])
    with local_session("masked", parties=("dealer", "clinic", "lab")) as session:
        x = session.share(values, owner="clinic")
        opening = reveal_noisy(x, NoiseOnShares(0.01, 0.5), to="lab")
        product = reveal_noisy(x * x, NoiseOnShares(0.01, 0.5), to="lab")
    assert np.abs(opening.values - values).max() < 0.2  # 16 standard deviations
    assert not np.array_equal(opening.values, values)
    event = opening.event
    assert event.l2 == 0.5 * 2**16
    assert event.sigma_share == pytest.approx(0.01 * 2**16 / np.sqrt(2))
    assert (event.shares, event.dimension) == (2, 4)
    assert product.event.l2 == 0.5 * 2**32, "a product is not truncated before it is opened"
    assert np.abs(product.values - values**2).max() < 0.2


def test_the_price_is_that_of_the_parts_that_are_counted():
    """A Gaussian of sigma = sensitivity: at order a the divergence is a / 2 (Mironov 2017, corollary 3)."""
    with local_session("replicated") as session:
        x = session.share(np.zeros(5, dtype=np.int64), owner="p0")
        event = reveal_noisy(x, NoiseOnShares(100.0, 100.0)).event
    target = Target(8.0, 1e-6, (4, 7, 12))
    spent = amounts(event, target.orders)
    assert [amount / 2**40 for amount in spent] == pytest.approx([2.0, 3.5, 6.0], rel=1e-9)
    assert 5 < epsilon_spent(target, spent) < 6


def test_a_limit_bounds_what_is_opened_and_truths_count():
    with local_session("masked") as session:
        x = session.share(np.array([1e6, -3.0, 0.5, -1e9]), owner="p1")
        opening = reveal_noisy(x, NoiseOnShares(0.001, 4.0), limit=1.0)
        truth = reveal_noisy(x > 0, NoiseOnShares(0.4, 1.0))
        none = reveal_noisy(session.share(np.zeros((0, 3)), owner="p2"), NoiseOnShares(1.0, 1.0))
    np.testing.assert_allclose(opening.values, [1.0, -1.0, 0.5, -1.0], atol=0.02)
    assert truth.values.dtype == np.int64
    assert np.abs(truth.values - [1, 0, 1, 0]).max() < 8
    assert none.values.shape == (0, 3)


def test_all_parties_as_colluders_leave_no_noise_that_counts():
    with local_session("cleartext") as session:
        x = session.share(np.zeros(3), owner="clear")
        assert reveal_noisy(x, NoiseOnShares(1.0, 1.0)).event.shares == 1
        with pytest.raises(TooFewParties, match="leave nobody"):
            reveal_noisy(x, NoiseOnShares(1.0, 1.0, colluders=1))


@pytest.mark.parametrize(("sigma", "sensitivity", "colluders"), [(0.0, 1.0, 1), (1.0, np.inf, 1), (1.0, 1.0, -1)])
def test_noise_that_means_nothing_is_refused(sigma, sensitivity, colluders):
    with pytest.raises(UsageError):
        NoiseOnShares(sigma, sensitivity, colluders)


def test_wrong_usage_leaves_the_session_alive():
    with local_session("masked") as session:
        x = session.share(np.zeros(3), owner="p1")
        with pytest.raises(UsageError, match="2\\^40"):
            reveal_noisy(x, NoiseOnShares(1e9, 1.0))
        with pytest.raises(UsageError, match="NoiseOnShares"):
            reveal_noisy(x, 3.0)
        with pytest.raises(UsageError, match="limit"):
            reveal_noisy(x, NoiseOnShares(1.0, 1.0), limit=np.nan)
        with pytest.raises(UsageError, match="none of the parties"):
            reveal_noisy(x, NoiseOnShares(1.0, 1.0), to="nobody")
        assert np.abs(reveal_noisy(x, NoiseOnShares(0.01, 1.0), to="p2").values).max() < 1

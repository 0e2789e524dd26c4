"""What must hold between charges, whatever they are: on both databases, and with eight writers at once."""

import math
import multiprocessing
from itertools import pairwise

import pytest
from gate_world import CARD, SCHEMA, new_world, open_world
from paying import WARDS, affords, bill, limits, pay

from stead.node.services.payers import Period
from stead.privacy.accounts import Target
from stead.privacy.events import (
    Composed,
    DiscreteGaussian,
    DiscreteLaplace,
    ExponentialChoice,
    PartitionSelection,
    Repeated,
    Sampled,
    SumOfDiscreteGaussians,
    ThresholdedLaplace,
)
from stead.privacy.reserve import Reserved

WRITERS = 8
SIGMA = 25.5
TIGHT = Reserved(Target(1.0, 1e-6, (24,)), 0.0)
TERMS = limits(orders=(4, 7, 12, 24, 48, 65536), reserve=1e-7)
MAKERS = {
    "gaussian": lambda width: DiscreteGaussian(width, 3.0),
    "laplace": lambda width: DiscreteLaplace(width, 3),
    "choice": lambda width: ExponentialChoice(width, 3),
    "training": lambda width: Repeated(Sampled(0.1, SumOfDiscreteGaussians(width, 3, 9.0, 50)), 20),
    "selection": lambda width: PartitionSelection(1 / width, 1e-9, 3),
    "thresholded": lambda width: ThresholdedLaplace(width, 60 * math.ceil(width), 1, 3),
}


@pytest.fixture
def world(store_url, tmp_path):
    made = new_world(store_url, tmp_path)
    yield made
    made.close()


def balances(world):
    return {account: (b.spent, b.slack) for account, b in world.books.ledger.replay().items()}


def paid_by(world, name, events, **whose):
    """What a project of its own has spent on these events."""
    for event in events:
        pay(world, bill(event, TERMS, project=name, scientist=name, **whose))
    return balances(world)[f"project/{name}@{SCHEMA.population}"]


def at_most(one, other):
    """No more at any order, nor slack."""
    return all(a <= b for a, b in zip(one[0], other[0], strict=True)) and one[1] <= other[1]


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_more_noise_never_costs_more(world, make):
    widths = [2.0, 2.5, 10.0, 99.0, 1000.0]
    costs = [paid_by(world, f"w{place}", [make(width)]) for place, width in enumerate(widths)]
    assert all(at_most(noisier, quieter) for quieter, noisier in pairwise(costs))
    assert costs[0] != costs[-1]
    world.books.ledger.verify()


def test_the_order_of_charges_does_not_matter(world):
    events = [make(width) for make in MAKERS.values() for width in (3.0, 40.0)]
    orders = [events, events[::-1], events[5:] + events[:5], events[::2] + events[1::2]]
    found = {paid_by(world, f"p{place}", order) for place, order in enumerate(orders)}
    assert len(found) == 1
    world.books.ledger.verify()


def test_splitting_a_plan_is_never_cheaper(world):
    run = MAKERS["training"](30.0)
    [step, times] = [run.event, run.times]
    whole = paid_by(world, "whole", [run])
    for cut in (1, 7, 19):
        parts = paid_by(world, f"cut{cut}", [Repeated(step, cut), Repeated(step, times - cut)])
        assert at_most(whole, parts)
    vector = paid_by(world, "vector", [DiscreteGaussian(20.0, 5.0)])
    apart = paid_by(world, "apart", [DiscreteGaussian(20.0, 3.0), DiscreteGaussian(20.0, 4.0)])
    # 3, 4, 5: the squares add up; each part is rounded up by one part in 2^30 and one unit.
    assert all(a <= b + b / 2**29 + 1 for a, b in zip(vector[0], apart[0], strict=True))
    keys = paid_by(world, "keys", [PartitionSelection(0.1, 1e-9, 5)])
    fewer = paid_by(world, "fewer", [PartitionSelection(0.1, 1e-9, 2), PartitionSelection(0.1, 1e-9, 3)])
    assert keys[1] <= fewer[1]
    both = paid_by(world, "both", [Composed((step, DiscreteLaplace(9.0, 1)))])
    assert at_most(both, paid_by(world, "each", [step, DiscreteLaplace(9.0, 1)]))


def test_questions_to_several_cells_cost_the_most_of_any_and_not_their_sum(world):
    one, other = DiscreteGaussian(20.0, 1.0), DiscreteGaussian(10.0, 1.0)
    pay(world, bill(one, TERMS, schema=WARDS, cells=("a",)))
    pay(world, bill(other, TERMS, schema=WARDS, cells=("b",)))
    apart = balances(world)
    worst, _ = world.books.ledger.quote(bill(one, TERMS, schema=WARDS), owner=True)
    dearer = apart["population/heart patients#ward=b"]
    assert at_most(apart["population/heart patients#ward=a"], dearer)
    assert {view.account.partition("#")[2] for view in worst} == {"ward=b"}
    # As one that asked the dearer question alone.
    pay(world, bill(other, TERMS, schema=WARDS, cells=("c",), project="alone", scientist="Bob"))
    assert balances(world)["project/alone@heart patients#ward=c"] == dearer
    # What reads all cells adds to each.
    pay(world, bill(one, TERMS, schema=WARDS))
    after = balances(world)
    cheaper = apart["population/heart patients#ward=a"][0]
    assert after["population/heart patients#ward=a"][0] == tuple(2 * amount for amount in cheaper)
    assert not at_most(after["population/heart patients#ward=b"], dearer)


def test_one_file_under_two_names_is_the_same_people(world):
    twice = [type(CARD)(name=name, schema=CARD.schema) for name in ("heart", "the same people again")]
    for card in twice:
        pay(world, bill(DiscreteGaussian(SIGMA, 1.0), TERMS, schema=card.schema))
    both = balances(world)["population/heart patients"]
    assert both == paid_by(world, "other", [DiscreteGaussian(SIGMA, 1.0)] * 2)


def affordable(sigma, *, order=24, epsilon=1.0, delta=1e-6):
    """As in test_ledger: an account's room at its order over the cost of one count."""
    room = epsilon - math.log((order - 1) / order) + (math.log(delta) + math.log(order)) / (order - 1)
    return math.floor(room / (order / (2 * sigma**2)))


def spend_until_refused(url, directory, terms, writer, results):
    """Each writer is a scientist with a project, and asks of all the cells, of one, or of keys, in turn."""
    world = open_world(url, directory)
    granted = 0
    count, keys = DiscreteGaussian(SIGMA, 1.0), PartitionSelection(1e-5, 1e-8, 1)
    whose = {"scientist": f"s{writer}", "project": f"p{writer}", "schema": WARDS}
    while affords(world, bill(count, terms, **whose)):
        granted += 1
    shown = 0
    while affords(world, bill(keys, terms, **whose, cells=("c",))):
        shown += 1
    results.put((granted, shown))
    world.close()


def run_writers(store_url, tmp_path, terms):
    new_world(store_url, tmp_path).close()
    fork = multiprocessing.get_context("fork")
    results = fork.Queue()
    writers = [
        fork.Process(target=spend_until_refused, args=(store_url, tmp_path, terms, writer, results))
        for writer in range(WRITERS)
    ]
    for writer in writers:
        writer.start()
    found = [results.get(timeout=120) for _ in writers]
    for writer in writers:
        writer.join()
    return sum(counts for counts, _ in found), sum(keys for _, keys in found)


@pytest.mark.parametrize("poor", ["population", "period"])
def test_eight_writers_are_granted_exactly_what_the_shared_cells_allow(store_url, tmp_path, poor):
    period = Period(TIGHT if poor == "period" else TERMS.project, 30)
    terms = limits(period=period) if poor == "period" else limits(population=TIGHT, period=period)
    granted, _ = run_writers(store_url, tmp_path, terms)
    assert granted == affordable(SIGMA) == 31
    world = open_world(store_url, tmp_path)
    world.books.ledger.verify()
    assert len({balance.spent for account, balance in world.books.ledger.replay().items() if poor in account}) == 1
    world.close()


def test_eight_writers_are_granted_exactly_the_slack_that_a_reserve_holds(store_url, tmp_path):
    """20.5 selections of slack 1e-8: far from a whole number, so that rounding cannot decide."""
    # A project's epsilon is used up by counts, at a margin that selections of epsilon 1e-5 fit into.
    few = Reserved(Target(0.5, 1e-6, (24,)), 5e-7)
    terms = limits(population=Reserved(Target(1e6, 1e-6, (24,)), 2.05e-7), reserve=5e-7, project=few)
    _, shown = run_writers(store_url, tmp_path, terms)
    assert shown == math.floor(2.05e-7 / 1e-8) == 20
    world = open_world(store_url, tmp_path)
    world.books.ledger.verify()
    world.close()

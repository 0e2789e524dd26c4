"""What an auditor finds in the whole log of a node that signs whatever its operator wants.

The leaves are those of a real node, with one thing changed; the log over them is in order, signed and all.
"""

import importlib
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace

from stead.client.verify import check_releases, recompute_accounts
from stead.core import codec
from stead.core.leaves import AccountSet, Charged, DatasetAdded, Leaf, ResultStored
from stead.errors import BadProof

sys.path.insert(0, str(Path(__file__).parents[1] / "node"))
gate_world = importlib.import_module("gate_world")
from gate_world import ALICE, ask, opening  # noqa: E402 - found by the line above

PEOPLE = "population/heart patients"


@pytest.fixture(scope="module")
def honest(tmp_path_factory):
    """The leaves of a node that has answered twice and disclosed once, with its dataset."""
    directory = tmp_path_factory.mktemp("node")
    world = gate_world.new_world(directory / "stead.db", directory)
    for number in (1, 2):
        world.gate.answer(ALICE, ask(bytes([number]) * 16, sigma=10.0))
    world.gate.disclose(ALICE, opening(b"\x03" * 16, outlet="disclose", colluders=0))
    leaves = [codec.decode(body, Leaf) for body, _, _ in world.books.log.leaves()]
    world.close()
    added = DatasetAdded(at=1.0, dataset="heart", population="heart patients", card_hash=bytes(32))
    return [leaves[0], added, *leaves[1:]]


def place(leaves, kind, release=b"\x02" * 16):
    return next(at for at, leaf in enumerate(leaves) if isinstance(leaf, kind) and leaf.release == release)


def check(leaves):
    check_releases(leaves)
    return recompute_accounts(leaves)


def test_an_honest_log_passes(honest):
    assert {report.account: report.charges for report in check(honest)}[PEOPLE] == 2


def test_a_result_that_left_before_its_charge(honest):
    result = honest[place(honest, ResultStored)]
    with pytest.raises(BadProof, match="before it was charged"):
        check([*honest[: place(honest, Charged)], result])
    with pytest.raises(BadProof, match="before it was charged"):
        check([leaf for leaf in honest if not isinstance(leaf, Charged)])


def test_a_second_result_under_one_charge(honest):
    again = replace(honest[place(honest, ResultStored)], result_hash=b"\x01" * 32)
    with pytest.raises(BadProof, match="left twice"):
        check([*honest, again])


def test_a_release_charged_twice(honest):
    with pytest.raises(BadProof, match="charged twice"):
        check([*honest, honest[place(honest, Charged)]])


def test_a_charge_that_spares_the_people_it_is_about(honest):
    leaves, at = list(honest), place(honest, Charged)
    others = tuple(charge for charge in leaves[at].charges if charge.account != PEOPLE)
    leaves[at] = replace(leaves[at], charges=others)
    with pytest.raises(BadProof, match="not charged to 'population/heart patients'"):
        check(leaves)


def test_spending_beyond_a_limit(honest):
    spent = next(report.epsilon_spent for report in check(honest) if report.account == PEOPLE)
    at = next(at for at, leaf in enumerate(honest) if isinstance(leaf, AccountSet) and leaf.account == PEOPLE)
    leaves = list(honest)
    leaves[at] = replace(leaves[at], epsilon=spent * 0.9)  # enough for the first question, not for both
    with pytest.raises(BadProof, match="beyond the limit that it had then"):
        check(leaves)
    # A limit that was lowered afterwards makes no earlier charge wrong.
    check([*honest, replace(honest[at], epsilon=spent * 0.9)])

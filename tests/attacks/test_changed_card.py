"""A release that was charged under one card is not run under another whose people can move it further.

A node stops after the charge and before the result; its owner adds the data again under wider bounds; the scientist
sends the same request again. What was paid then is not the price of what would be released now.
"""

import pytest

from stead.core import codec, leaves
from stead.core.entropy import SystemEntropy
from stead.core.keys import Key
from stead.core.leaves import Charged, Refused, ResultStored
from stead.core.messages import AskAnswer, OpenSession
from stead.core.schema import Bounds, Column, DatasetCard, Schema
from stead.errors import NodeError, PolicyDenied
from stead.learn.header import Header, model_hash
from stead.node.assembly import open_node
from stead.node.home import Home, Settings
from stead.node.services.policy import Budget, Budgets, Joining, PolicyRules, Rule
from stead.plans.plan import encode_plan, plan_hash
from stead.plans.query import Query, Sum

SCIENTIST, PEERS = Key.from_bytes(b"a" * 32).public.raw, [Key.from_bytes(b * 32).public.raw for b in (b"n", b"s")]
WIDE = Budget(epsilon=200.0)
RULES = PolicyRules(
    rules=tuple(Rule(outlet=outlet, decision="allow", reason="a test") for outlet in ("answer", "join")),
    budgets=Budgets(WIDE, WIDE, WIDE),
    joining=Joining(least_sites=3, least_colluders=1),
)
PLAN = encode_plan(Query("heart", (), (), (Sum("total", "visits"),), (400.0,)))


def card(most):
    columns = (Column("patient", "text"), Column("visits", "integer", bounds=Bounds(0, most)))
    return DatasetCard("heart", Schema("heart patients", "patient", columns, (10, 1000), person="patient"))


@pytest.fixture
def file(tmp_path):
    file = tmp_path / "heart.csv"
    file.write_text("patient,visits\n" + "".join(f"p{number},{number * 7}\n" for number in range(100)))
    return file


@pytest.fixture
def node(tmp_path, file):
    home = Home.create(tmp_path / "north", Settings(name="north", port=0, threads=1), SystemEntropy())
    node = open_node(home)
    node.registry.add(file, card(10))
    node.books.policies.set(RULES)
    node.books.people.enrol(SCIENTIST, "ines", role="scientist", project="risk")
    for name, key in zip(("south", "east"), PEERS, strict=True):
        node.books.people.enrol(key, name, role="site")
    yield node
    node.close()


def leaves_of(node, kind):
    found = [codec.decode(body, leaves.Leaf) for body, _, _ in node.books.log.leaves()]
    return [leaf for leaf in found if isinstance(leaf, kind)]


def ask(release):
    return AskAnswer(release=release, project="risk", plan=PLAN, why="Table 1")


def opening(node, release):
    cohort = (("north", node.home.key.public.raw), ("south", PEERS[0]), ("east", PEERS[1]))
    header = Header(
        release=release,
        plan_hash=plan_hash(PLAN),
        cohort=cohort,
        length=1,
        ring_bits=64,
        rounds=1,
        colluders=1,
        model_hash=model_hash(b""),
        outlet="join",
        minimum=3,
    )
    return OpenSession(
        release=release, project="risk", plan=PLAN, header=header.to_bytes(), outlet="join", why="Table 2"
    )


def charged_without_result(node, release):
    """Charge an answer that the node then cannot finish: its file of rows has gone."""
    node.registry.close()
    for path in node.home.data.glob("*.duckdb"):
        path.rename(path.with_suffix(".gone"))
    with pytest.raises(NodeError, match="stays charged"):
        node.gate.answer(SCIENTIST, ask(release))
    assert len(leaves_of(node, Charged)) == 1


def test_an_answer_charged_under_narrow_bounds_does_not_run_under_wide_ones(node, file):
    charged_without_result(node, b"r" * 16)
    node.registry.add(file, card(1000))
    with pytest.raises(PolicyDenied, match="another card"):
        node.gate.answer(SCIENTIST, ask(b"r" * 16))
    assert not leaves_of(node, ResultStored)
    assert leaves_of(node, Refused)[-1].release == b"r" * 16
    node.gate.answer(SCIENTIST, ask(b"s" * 16))  # a new id pays the new price
    narrow, wide = (leaf.charges[0].amounts[0] for leaf in leaves_of(node, Charged))
    assert wide > 9000 * narrow


def test_an_answer_goes_on_under_a_card_that_costs_no_more(node, file):
    charged_without_result(node, b"r" * 16)
    node.registry.add(file, card(5))
    assert node.gate.answer(SCIENTIST, ask(b"r" * 16)).release == b"r" * 16
    assert len(leaves_of(node, Charged)) == 1


def test_a_card_replaced_between_the_decision_and_the_run_stops_the_run(node, file, monkeypatch):
    table = node.registry.table

    def replaced(name):
        monkeypatch.setattr(node.registry, "table", table)
        node.registry.add(file, card(1000))
        return table(name)

    monkeypatch.setattr(node.registry, "table", replaced)
    with pytest.raises(NodeError):
        node.gate.answer(SCIENTIST, ask(b"r" * 16))
    assert not leaves_of(node, ResultStored)


def test_a_session_charged_under_narrow_bounds_does_not_begin_under_wide_ones(node, file, monkeypatch):
    def stopped(_release):
        raise NodeError("the process ends here.")

    monkeypatch.setattr(node.sessions, "begin", stopped)
    with pytest.raises(NodeError):
        node.gate.join(SCIENTIST, opening(node, b"r" * 16))
    monkeypatch.undo()
    node.registry.add(file, card(1000))
    with pytest.raises(PolicyDenied, match="another card"):
        node.gate.join(SCIENTIST, opening(node, b"r" * 16))

"""One question to several sites."""

import numpy as np
import pytest

from stead.client import JointQuestion, ask
from stead.client.joint import JointPending
from stead.core.leaves import Charged, SessionEnded
from stead.errors import BadProof, BudgetExceeded, PartyTimedOut, PurposeMissing, TooFewParties, UsageError


@pytest.fixture
def by_sex(three):
    heart = three[1][0]
    return heart.filter(heart.age > 40).group_by("sex").agg(patients=heart.count(), pressure=heart.pressure.mean())


def truth(nodes, sex):
    keep = [(node.rows["age"] > 40) & (node.rows["sex"] == sex) for node in nodes]
    pressure = np.concatenate([node.rows["pressure"][kept] for node, kept in zip(nodes, keep, strict=True)])
    return sum(kept.sum() for kept in keep), np.nanmean(pressure)


def test_one_answer_over_all_rows_within_its_error_bars(three, by_sex):
    """Bars hold in 95 of 100 runs; twice their width, which is asked for here, in all but one of 100,000."""
    nodes, sites = three
    answer = ask(by_sex, sites, within=0.15, why="Table 1")
    for row, sex in enumerate(("F", "M")):
        count, mean = truth(nodes, sex)
        assert abs(answer["patients"][row] - count) <= 2 * answer.errors["patients"][row]
        assert abs(answer["pressure"][row] - mean) <= 2 * answer.errors["pressure"][row]
    assert 0 < answer.errors["patients"][0] <= 0.15 * (300 + 500 + 200)
    assert answer.title == "heart · North, South, East"
    assert answer.size_bytes > 0


def test_every_site_charges_what_was_previewed_and_proves_it(three, by_sex):
    nodes, sites = three
    preview = JointQuestion(by_sex, tuple(sites)).preview(within=0.15)
    assert [node.tree.size for node in nodes] == [2, 2, 2]
    answer = ask(by_sex, sites, within=0.15, why="Table 1")
    for site in sites:
        assert site.budget[0].epsilon_spent == pytest.approx(preview.epsilon)
    kinds = [type(receipt.verify()) for receipt in answer.receipts]
    assert kinds == [Charged] * 3 + [SessionEnded] * 3
    assert {receipt.verify().why for receipt in answer.receipts[:3]} == {"Table 1"}
    assert {receipt.node for receipt in answer.receipts} == {"North", "South", "East"}


def test_what_travels_shows_no_sites_own_sum(three, by_sex):
    """Each masked vector looks uniform: it is far from the site's true integers, and so is the sum of two."""
    from stead.learn.frames import Masked, unpack
    from stead.plans.sums import run_reference

    nodes, sites = three
    seen = []
    for node in nodes:

        def tapped(message, sender, real=node.SessionFrame, node=node):
            reply = real(message, sender)
            frame = unpack(reply.frame)
            if isinstance(frame, Masked):
                seen.append((node, np.frombuffer(frame.vector, dtype="<i8")))
            return reply

        node.SessionFrame = tapped
    ask(by_sex, sites, within=0.15, why="Table 1")
    assert len(seen) == 3
    for node, masked in seen:
        exact = run_reference(by_sex.plan(), node.schema, node.rows)
        assert np.abs((masked - exact).astype(float)).min() > 2.0**40


def test_waiting_for_one_owner_charges_nobody(three, by_sex):
    nodes, sites = three
    nodes[0].decision, nodes[0].approvers = "ask", ("Dr Chen",)
    pending = ask(by_sex, sites, within=0.15, why="Table 1")
    assert isinstance(pending, JointPending)
    assert pending.waiting == ("North",)
    assert "Dr Chen" in repr(pending)
    assert [len(node.sessions) for node in nodes] == [0, 0, 0]
    with pytest.raises(PartyTimedOut):
        pending.wait(timeout_s=3)
    nodes[0].decision = "allow"
    answer = pending.wait(timeout_s=3)
    assert abs(answer["patients"][0] - truth(nodes, "F")[0]) <= 2 * answer.errors["patients"][0]


def test_a_site_that_refuses_when_it_comes_to_it_ends_it_for_all(three, by_sex):
    nodes, sites = three

    def broke(message, sender):
        raise BudgetExceeded("this query costs epsilon 0.80; 0.31 is left")

    nodes[2].OpenSession = broke
    with pytest.raises(BudgetExceeded, match=r"0\.31 is left"):
        ask(by_sex, sites, within=0.15, why="Table 1")
    assert all(site.rounds_sent == 0 for node in nodes for site, _ in node.sessions.values())
    assert [type(node.sessions) for node in nodes[:2]] == [dict, dict]
    assert nodes[0].leaves[-1][0].find(b"aborted") > 0


def test_a_receipt_of_another_session_is_refused(three, by_sex):
    nodes, sites = three
    ask(by_sex, sites, within=0.15, why="first")
    real = nodes[1].OpenSession

    def old_receipt(message, sender):
        reply = real(message, sender)
        first = next(iter(nodes[1].sessions.values()))[1]
        return type(reply)(reply.release, reply.frame, nodes[1].receipt(first))

    nodes[1].OpenSession = old_receipt
    with pytest.raises(BadProof, match="another session"):
        ask(by_sex, sites, within=0.15, why="second")


def test_sites_must_agree_on_what_is_asked(three, by_sex, make_node, scientist):
    from msgspec.structs import replace

    from stead.client.stead import attach
    from stead.core.schema import Bounds

    sites = three[1]
    other = make_node("West", seed=77)
    columns = list(other.schema.columns)
    columns[2] = replace(columns[2], bounds=Bounds(60, 200))
    other.schema = replace(other.schema, columns=tuple(columns))
    west = attach(other, scientist, url="local://west", project="risk")["heart"]
    with pytest.raises(UsageError, match="North and West differ in column 'pressure'"):
        ask(by_sex, [sites[0], west], within=0.15, why="w")
    with pytest.raises(TooFewParties):
        ask(by_sex, sites[:1], within=0.15, why="w")
    with pytest.raises(PurposeMissing):
        ask(by_sex, sites, within=0.15, why="")
    with pytest.raises(UsageError, match="colluders"):
        ask(by_sex, sites, within=0.15, why="w", colluders=3)
    with pytest.raises(UsageError, match="North is among the sites twice"):
        ask(by_sex, [sites[0], sites[0]], within=0.15, why="w", colluders=0)


def test_more_colluders_cost_more_budget_for_the_same_error_bars(three, by_sex):
    sites = three[1]
    none, one = (JointQuestion(by_sex, tuple(sites), c).preview(within=0.15) for c in (0, 1))
    assert one.epsilon > none.epsilon
    assert max(one.errors["patients"]) == pytest.approx(max(none.errors["patients"]), rel=0.02)


def pooled(nodes, plan):
    """The exact answer over the rows of all nodes together, whose people are different ones."""
    from stead.plans.decode import decode_answer
    from stead.plans.sums import run_exact

    total = 0
    for node in nodes:
        schema, rows = node.asked(plan)
        total = total + run_exact(plan, schema, rows).vector
    return decode_answer(plan, schema, total)


def test_every_aggregate_that_adds_up_is_that_of_all_rows(clinics):
    nodes, sites = clinics
    visits = sites[0]["visits"]
    frame = visits.join(sites[0]["lab"], columns=["ldl"], how="left")
    frame = frame.with_columns(
        bmi=(frame.weight / frame.height**2).clip(10, 60), days=(frame.left - frame.admitted).clip(0, 366)
    ).limit(rows=2)
    asked = frame.agg(
        n=frame.count(),
        people=frame.people(),
        bmi=frame.bmi.mean(),
        spread=frame.ldl.std(),
        both=frame.bmi.corr(frame.age),
        cells=frame.age.histogram([18, 50, 100]),
        middle=frame.age.median(depth=2),
        top=frame.sex.top_k(1),
        curve=frame.kaplan_meier(time="days", event="ill", edges=[0, 100, 200, 366]),
        fit=frame.linear(target="bmi", features=["age"]),
    )
    answer = ask(asked, [site["visits"] for site in sites], epsilon=40.0, why="everything")
    exact = pooled(nodes, answer.query)
    for name, value in exact.items():
        assert np.all(np.abs(answer[name] - value) <= 2 * answer.errors[name] + 1e-9), name
    assert "lab" in [join.dataset for join in answer.query.joins]
    assert 0 < answer.errors["n"] < 0.2 * answer["n"]


def test_what_does_not_add_up_is_refused_before_anything_is_sent(clinics):
    nodes, sites = clinics
    visits, everywhere = sites[0]["visits"], [site["visits"] for site in sites]
    with pytest.raises(UsageError, match="sites cannot add theirs"):
        ask(visits.diagnosis.n_unique(), everywhere, why="w")
    private = visits.limit(groups=1).group_by_private("diagnosis")
    with pytest.raises(UsageError, match="found at one site"):
        ask(private.agg(n=visits.count()), everywhere, why="w")
    with pytest.raises(UsageError, match="Gaussian"):
        ask(visits.count(), everywhere, noise="laplace", why="w")
    assert all(node.heard == [] for node in nodes)


def test_joined_datasets_must_agree_too(clinics):
    from msgspec.structs import replace

    from stead.core.schema import Bounds

    nodes, sites = clinics
    frame = sites[0]["visits"].join(sites[0]["lab"], columns=["ldl"])
    schema, rows = nodes[1].others["lab"]
    columns = (schema.columns[0], replace(schema.columns[1], bounds=Bounds(0, 20)), schema.columns[2])
    nodes[1].others["lab"] = (replace(schema, columns=columns), rows)
    everywhere = [site["visits"] for site in sites]
    with pytest.raises(UsageError, match="North and South differ in column 'ldl'"):
        ask(frame.agg(n=frame.count()), everywhere, why="w")

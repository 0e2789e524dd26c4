"""Asking one node: previews, answers, waiting, retries."""

import numpy as np
import pytest

from stead.client.answer import Answer
from stead.client.pending import Pending
from stead.client.stead import attach
from stead.core.leaves import ResultStored
from stead.errors import (
    BadProof,
    PartyTimedOut,
    PolicyDenied,
    PurposeMissing,
    UnboundedContribution,
    UnknownColumn,
    UsageError,
)


@pytest.fixture
def by_sex(heart):
    return heart.filter(heart.age > 40).group_by("sex").agg(patients=heart.count(), pressure=heart.pressure.mean())


def truth(node):
    rows, found = node.rows, {}
    for sex in ("F", "M"):
        keep = (rows["age"] > 40) & (rows["sex"] == sex)
        found[sex] = keep.sum(), np.nanmean(rows["pressure"][keep])
    return found


def test_an_answer_is_the_truth_within_its_error_bars(node, by_sex):
    """The node's noise is seeded, so this holds always or never; a wrong noise or decoding misses by far."""
    answer = by_sex.answer(within=0.2, why="Table 1")
    assert isinstance(answer, Answer)
    for row, (sex, (count, mean)) in enumerate(truth(node).items()):
        assert answer.groups[row] == (sex,)
        assert abs(answer["patients"][row] - count) <= answer.errors["patients"][row]
        assert abs(answer["pressure"][row] - mean) <= answer.errors["pressure"][row]
    assert 0 < answer.errors["patients"][0] <= 0.2 * 400
    assert 0 < answer.errors["pressure"][0] <= 160


def test_an_answer_proves_itself(by_sex, north):
    answer = by_sex.answer(within=0.2, why="Table 1")
    assert isinstance(answer.receipt.verify(), ResultStored)
    assert answer.receipt.node_key == north.key
    text = repr(answer)
    assert "±" in text
    assert "1 receipt verified" in text
    assert "<script" not in answer._repr_html_()


def test_a_preview_spends_nothing_and_tells_the_price(node, by_sex, north):
    size = node.tree.size
    preview = by_sex.preview(within=0.1)
    assert node.tree.size == size
    assert node.heard == []
    assert preview.decision == "allow"
    wider = by_sex.preview(within=0.2)
    assert 0 < wider.epsilon < preview.epsilon
    by_sex.answer(within=0.1, why="check the price")
    spent = north["heart"].budget[0].epsilon_spent
    assert spent == pytest.approx(preview.epsilon)
    assert preview.quotes[north.name].accounts_after[0].epsilon_spent == pytest.approx(spent)
    assert "ε 8.00 →" in repr(preview)
    assert max(preview.errors["patients"]) <= 0.1 * 400


def test_the_noise_can_be_given_itself(by_sex):
    preview = by_sex.preview(sigmas=(50.0, 5_000_000.0, 50.0))
    assert preview.sigmas == (50.0, 5_000_000.0, 50.0)
    with pytest.raises(UsageError, match="not both"):
        by_sex.preview(within=0.1, sigmas=(50.0, 5_000_000.0, 50.0))


def test_a_spend_needs_a_purpose(by_sex, node):
    with pytest.raises(PurposeMissing, match="purpose"):
        by_sex.answer(within=0.1, why=" ")
    assert node.heard == []


def test_a_lost_reply_costs_one_charge(by_sex, node, north, scientist):
    node.lose_replies = 1
    answer = by_sex.answer(within=0.2, why="Table 1")
    assert [message.release for message in node.heard] == [node.heard[0].release] * 2
    assert len(node.answers) == 1
    assert isinstance(answer, Answer)
    assert scientist.naps == [0.5]


def test_a_crash_before_the_reply_is_made_good_after_a_restart(by_sex, node, north, scientist):
    node.lose_replies = 3
    with pytest.raises(PartyTimedOut):
        by_sex.answer(within=0.2, why="Table 1")
    later = attach(node, scientist, url="local://north", project="risk")
    (name,) = later.requests
    assert later.requests[name].status == "sent"
    assert isinstance(later.requests[name].refresh(), Answer)
    assert len(node.answers) == 1
    assert later.requests[name].status == "answered"


def test_waiting_is_a_state_and_survives_a_restart(by_sex, node, scientist):
    node.decision, node.approvers, node.reason = "ask", ("Dr Chen",), "means need a person"
    pending = by_sex.answer(within=0.2, why="Table 1")
    assert isinstance(pending, Pending)
    assert pending.status == "waiting"
    assert "Dr Chen" in repr(pending)
    again = attach(node, scientist, url="local://north", project="risk").requests[pending.name]
    with pytest.raises(PartyTimedOut, match="has not decided"):
        again.wait(timeout_s=5)
    assert sum(scientist.naps) == 5
    node.decision = "allow"
    answer = again.wait(timeout_s=5)
    assert abs(answer["patients"][0] - truth(node)["F"][0]) <= answer.errors["patients"][0]
    assert len(node.answers) == 1
    found = attach(node, scientist, url="local://north", project="risk").requests
    assert found["7f3a-22c1"].name == pending.name


def test_a_denial_carries_the_owners_reason(by_sex, node, north):
    node.decision, node.reason = "deny", "no means about small groups"
    with pytest.raises(PolicyDenied, match="small groups"):
        by_sex.answer(within=0.2, why="Table 1")
    assert [north.requests[name].status for name in north.requests] == ["refused"]
    with pytest.raises(UsageError, match="0 requests"):
        north.requests["r-nothing"]


def test_a_receipt_for_another_release_is_refused(by_sex, node):
    by_sex.answer(within=0.2, why="first")
    real = node.AskAnswer

    def swapped(message, sender):
        real(message, sender)
        body, _ = node.answers[message.release]
        first_index = next(iter(node.answers.values()))[1]
        return type(real(message, sender))(message.release, body, node.receipt(first_index))

    node.AskAnswer = swapped
    with pytest.raises(BadProof, match="another release"):
        by_sex.answer(within=0.2, why="second")


def test_a_result_that_was_changed_after_logging_is_refused(by_sex, node):
    real = node.AskAnswer

    def changed(message, sender):
        reply = real(message, sender)
        flipped = reply.body[:-1] + bytes([reply.body[-1] ^ 1])
        return type(reply)(reply.release, flipped, reply.receipt)

    node.AskAnswer = changed
    with pytest.raises(BadProof, match="another release"):
        by_sex.answer(within=0.2, why="Table 1")


def test_a_result_that_was_charged_and_never_logged_is_refused(by_sex, node):
    real = node.AskAnswer

    def charge_only(message, sender):
        reply = real(message, sender)
        return type(reply)(reply.release, reply.body, node.receipt(reply.receipt.index - 1))

    node.AskAnswer = charge_only
    with pytest.raises(BadProof, match="no result"):
        by_sex.answer(within=0.2, why="Table 1")


def test_on_mock_rows_everything_is_free_and_marked(node, by_sex, heart):
    node.heard.clear()
    mock = by_sex.on_mock()
    assert mock.mock
    assert mock.receipts == ()
    assert "Mock answer" in repr(mock)
    rows = heart.mock
    keep = (rows["age"] > 40) & (rows["sex"] == "F")
    assert by_sex.on_mock(rows)["patients"][0] == keep.sum()
    assert node.heard == []


def test_a_histogram_and_a_lone_aggregate(heart, node):
    answer = heart.age.histogram([18, 40, 60, 100]).answer(within=0.2, why="ages")
    cells = np.histogram(node.rows["age"], [18, 40, 60, 100])[0]
    assert np.all(np.abs(answer["age_histogram"].reshape(-1) - cells) <= answer.errors["age_histogram"].reshape(-1))
    assert [column.label for column in answer.columns] == [
        "age_histogram [18, 40)",
        "age_histogram [40, 60)",
        "age_histogram [60, 100]",
    ]
    assert heart.sex.histogram().on_mock().columns[0].label == "sex_histogram F"
    assert heart.age.mean().preview(within=0.1).epsilon > 0


def test_tables_for_other_tools(by_sex):
    pd = pytest.importorskip("pandas")
    answer = by_sex.answer(within=0.2, why="Table 1")
    assert list(answer.to_dict()) == ["sex", "patients", "patients ±", "pressure", "pressure ±"]
    frame = answer.to_pandas()
    assert isinstance(frame, pd.DataFrame)
    assert frame["sex"].tolist() == ["F", "M"]
    assert answer.to_numpy().shape == (2, 2)
    np.testing.assert_array_equal(answer.to_numpy()[:, 0], frame["patients"])


@pytest.mark.parametrize(
    ("ask", "error", "text"),
    [
        (lambda h: h.presure, UnknownColumn, 'did you mean "pressure"'),
        (lambda h: h["zzz"], UnknownColumn, "columns: age"),
        (lambda h: h.age > "forty", UsageError, "finite number"),
        (lambda h: h.age > h.sex, UsageError, "no number to reckon with"),
        (lambda h: h.sex == "Female", UsageError, 'did you mean "F"'),
        (lambda h: h.sex > "F", UsageError, "no order"),
        (lambda h: 40 < h.age < 60, UsageError, "join conditions with & | ~"),
        (lambda h: h.note.mean(), UsageError, "text"),
        (lambda h: h.note == " ", UsageError, "text of 1 to 256"),
        (lambda h: h.note > "x", UsageError, "no order"),
        (lambda h: h.sex.mean(), UsageError, "has no mean"),
        (lambda h: h.age.histogram([]), UsageError, "two edges"),
        (lambda h: h.sex.histogram([1, 2]), UsageError, "takes no edges"),
        (lambda h: h.group_by("age"), UsageError, "histogram"),
        (lambda h: h.group_by("sex").filter(h.age > 1), UsageError, "before group_by"),
        (lambda h: h.filter("age > 40"), UsageError, "expected a condition"),
        (lambda h: h.agg(), UsageError, "at least one"),
        (lambda h: h.agg(n=3), UsageError, "not an aggregate"),
        (lambda h: h.agg(n=h.filter(h.age > 40).count()), UsageError, "other rows"),
        (lambda h: h.clip("age", 200, 300).agg(m=h.age.mean()), UnboundedContribution, "leaves nothing"),
        (lambda h: h.select("sex").agg(m=h.age.mean()), UsageError, "left out"),
    ],
)
def test_mistakes_are_told_where_they_are_made(heart, ask, error, text):
    with pytest.raises(error) as caught:
        ask(heart)
    assert text in str(caught.value)


def test_conditions_mean_what_they_say(heart, node):
    rows = node.rows
    cases = [
        ((heart.age > 40) & (heart.sex == "F"), (rows["age"] > 40) & (rows["sex"] == "F")),
        ((heart.age > 40) | ~heart.disease, (rows["age"] > 40) | (rows["disease"] == False)),  # noqa: E712
        (~(heart.age > 40), ~(rows["age"] > 40)),
        (heart.pressure.is_null(), np.isnan(rows["pressure"])),
        (heart.sex.is_in(["M"]), rows["sex"] == "M"),
        (heart.disease, rows["disease"] == True),  # noqa: E712
        (heart.age != np.int64(50), rows["age"] != 50),
    ]
    for condition, keep in cases:
        question = heart.filter(condition).agg(n=heart.count())
        from stead.client.mock import MockRows

        assert question.on_mock(MockRows("heart", rows))["n"] == keep.sum()


def test_a_question_prints_its_plan(by_sex, heart):
    text = by_sex.explain()
    assert "age is above 40" in text
    assert "can move" in text
    frame = heart.filter(heart.age > 40).clip("pressure", 80, 200)
    assert "age > 40" in repr(frame)
    assert "clip pressure 80–200" in frame.explain()
    assert "age" in dir(frame)

"""Golden files: the bytes of each message and each leaf, for this version and every other implementation of it."""

import typing
from pathlib import Path

import msgspec
import pytest

from stead.core import leaves, messages
from stead.core.codec import decode, encode
from stead.core.schema import Bounds, Column, DatasetCard, Schema

VECTORS = Path(__file__).parents[1] / "vectors"
KEY = bytes(range(32))
RELEASE = bytes(range(16))
HASH = bytes(range(64, 96))

SCHEMA = Schema(
    population="heart patients",
    unit="patient",
    columns=(
        Column(name="patient", kind="text"),
        Column(name="age", kind="integer", bounds=Bounds(low=18, high=110), unit="years"),
        Column(name="pressure", kind="real", bounds=Bounds(low=60.0, high=220.0), missing_rate=0.125),
        Column(name="sex", kind="category", categories=("female", "male", "other")),
        Column(name="disease", kind="boolean", description="diagnosed within a year"),
    ),
    people=(1000, 4000),
    person="patient",
    rows_per_person=3,
)
CARD = DatasetCard(name="heart", schema=SCHEMA, purpose="research", contact="dpo@north.example")
ACCOUNT = messages.AccountView(
    account="heart patients/risk-2026", epsilon_limit=2.0, epsilon_spent=0.5, delta=1e-6, disclosures=1
)
RECEIPT = messages.Receipt(
    leaf=b"\x80", salt=bytes(32), index=5, proof=(HASH, KEY), checkpoint="stead.log/00\n6\nAAAA\n", node_key=KEY
)

MESSAGES = (
    messages.ListDatasets(project="risk-2026"),
    messages.Datasets(
        node="north",
        project="risk-2026",
        views=(messages.DatasetView(card=CARD, accounts=(ACCOUNT,), rules=("answers: ask",)),),
    ),
    messages.Preview(project="risk-2026", plan=b"\x81\xa1a\x01", outlet="answer", sites=3),
    messages.Quote(
        epsilon=float("inf"),
        delta=0.0,
        accounts=(ACCOUNT,),
        accounts_after=(ACCOUNT,),
        decision="ask",
        reason="disclosures need two approvals",
        approvers=("steward", "dpo"),
        flops=1 << 40,
        size_bytes=65_536,
        rounds=1,
    ),
    messages.AskAnswer(release=RELEASE, project="risk-2026", plan=b"\x80", why="Table 1 ± error"),
    messages.Waiting(request="7f3a", approvers=("steward",), reason="first question of this project"),
    messages.Released(release=RELEASE, body=b"\x93\x01\x02\x03", receipt=RECEIPT),
    messages.OpenSession(
        release=RELEASE, project="risk-2026", plan=b"\x80", header=b"\x81\xa1b\xc0", outlet="join", why="a model"
    ),
    messages.SessionOpened(release=RELEASE, frame=b"\x00\x01", receipt=RECEIPT),
    messages.SessionFrame(release=RELEASE, frame=bytes(300)),
    messages.CloseSession(release=RELEASE, reason="done"),
    messages.SessionClosed(release=RELEASE, receipt=RECEIPT),
    messages.Failure(error="budget-exceeded", what="over by 0.5.", hint="ask for less", reference="7f3a-22"),
)

LEAVES = (
    leaves.NodeMade(at=1.7e9, name="north", key=KEY, testing=False),
    leaves.PersonEnrolled(at=1.7e9, name="ada", key=KEY, role="scientist", project="risk-2026"),
    leaves.PersonRevoked(at=1.7e9, key=KEY),
    leaves.DatasetAdded(at=1.7e9, dataset="heart", population="heart patients", card_hash=HASH),
    leaves.PolicySet(at=1.7e9, policy_hash=HASH),
    leaves.AccountSet(at=1.7e9, account="heart patients/risk-2026", epsilon=2.0, delta=1e-6, orders=(2, 3, 64)),
    leaves.Asked(
        at=1.7e9, release=RELEASE, requester=KEY, plan_hash=HASH, outlet="disclose", why="Table 1", reason="two people"
    ),
    leaves.Decided(at=1.7e9, release=RELEASE, approver="steward", decision="approve", reason="agreed"),
    leaves.Refused(
        at=1.7e9,
        release=RELEASE,
        requester=KEY,
        plan_hash=HASH,
        outlet="answer",
        error="budget-exceeded",
        reason="over by 0.5.",
    ),
    leaves.Charged(
        at=1.7e9,
        release=RELEASE,
        requester=KEY,
        project="risk-2026",
        dataset="heart",
        plan_hash=HASH,
        outlet="answer",
        why="Table 1",
        event=b"\x80",
        charges=(leaves.Charge(account="heart patients", amounts=(1, 1 << 40)),),
        approvers=(),
    ),
    leaves.ResultStored(at=1.7e9, release=RELEASE, result_hash=HASH),
    leaves.Helping(
        at=1.7e9,
        release=RELEASE,
        requester=KEY,
        project="risk-2026",
        plan_hash=HASH,
        why="Table 3",
        approvers=("steward",),
    ),
    leaves.Opened(at=1.7e9, release=RELEASE, receiver=KEY, opening="disclose", shares_hash=HASH),
    leaves.SessionEnded(at=1.7e9, release=RELEASE, outcome="done", rounds=20, reason=""),
    leaves.WitnessAdded(at=1.7e9, key=KEY, url="https://city.example:8440"),
    leaves.WitnessRemoved(at=1.7e9, key=KEY),
    leaves.CosigningBegun(at=1.7e9, name="city", key=KEY),
    leaves.CosigningEnded(at=1.7e9, key=KEY),
)

CASES = [("messages", messages.Message, value) for value in MESSAGES] + [("leaves", leaves.Leaf, v) for v in LEAVES]


def _tag(kind: type) -> str:
    return msgspec.inspect.type_info(kind).tag


def _golden(folder: str, kind: type) -> bytes:
    return bytes.fromhex((VECTORS / folder / f"{_tag(kind)}.hex").read_text())


@pytest.mark.parametrize(("folder", "union", "value"), CASES, ids=[_tag(type(case[2])) for case in CASES])
def test_a_golden_file_holds_the_value(folder, union, value):
    golden = _golden(folder, type(value))
    assert decode(golden, union) == value
    assert encode(value) == golden


@pytest.mark.parametrize(("folder", "union"), [("messages", messages.Message), ("leaves", leaves.Leaf)])
def test_every_member_has_its_golden_file_and_no_file_is_left_over(folder, union):
    members = {_tag(kind) for kind in typing.get_args(union)}
    assert members == {_tag(type(case[2])) for case in CASES if case[0] == folder}
    assert members == {path.stem for path in (VECTORS / folder).glob("*.hex")}


@pytest.mark.parametrize(("folder", "union", "value"), CASES, ids=[_tag(type(case[2])) for case in CASES])
def test_nothing_that_is_cut_short_is_read(folder, union, value):
    golden = _golden(folder, type(value))
    step = max(1, len(golden) // 50)
    for size in range(0, len(golden), step):
        with pytest.raises(Exception, match="cut short"):
            decode(golden[:size], union)


def test_each_request_and_each_reply_is_a_message():
    members = set(typing.get_args(messages.Message))
    assert set(typing.get_args(messages.Request)) | set(typing.get_args(messages.Reply)) == members


def test_every_member_is_frozen_and_strict():
    for union in (messages.Message, leaves.Leaf):
        for kind in typing.get_args(union):
            config = kind.__struct_config__
            assert config.frozen
            assert config.forbid_unknown_fields
            assert config.tag_field == ("type" if union is messages.Message else "leaf")

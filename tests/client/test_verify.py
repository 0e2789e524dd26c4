"""Checking a log from outside, with the node switched off."""

import json

import pytest
from msgspec.structs import replace

from stead.client.receipt import Receipt
from stead.client.verify import check_releases, recompute_accounts, verify_log_export, verify_receipt_file
from stead.core import codec
from stead.core.cosign import cosign, witness_name
from stead.core.keys import Key
from stead.core.leaves import AccountSet, Charge, Charged, DatasetAdded, Leaf, ResultStored
from stead.errors import BadProof, UsageError
from stead.privacy.events import PartitionSelection
from stead.privacy.reserve import price


@pytest.fixture
def used(node, heart):
    """A node that has answered twice; the answers, and a head from between."""
    first = heart.count().answer(within=0.2, why="first")
    between = node.checkpoint()
    second = heart.age.mean().answer(within=0.2, why="second")
    return node, (first, second), between


def test_a_public_export_proves_order_receipts_and_history(used):
    node, answers, between = used
    receipts = [answer.receipt.raw for answer in answers]
    report = verify_log_export(node.export(full=False), node.key.public.raw, receipts=receipts, older=[between])
    assert (report.size, report.root) == (node.tree.size, node.tree.root())
    assert report.receipts == 2
    assert report.older == (4,)
    assert report.leaves == ()
    assert report.accounts == ()


def test_witnesses_must_have_signed_one_of_the_heads(used):
    node, _, between = used
    city, hill = (Key.from_bytes(bytes([n]) * 32) for n in (1, 2))
    text = between.partition("\n\n")[0] + "\n"
    line = cosign(text, name=witness_name(city.public.raw), key=city, time_s=1_700_000_000)
    export, key = node.export(full=False), node.key.public.raw
    report = verify_log_export(export, key, older=[between + line], witnesses=[city.public.raw])
    assert [(one.key, one.size, one.time_s) for one in report.witnessed] == [(city.public.raw, 4, 1_700_000_000)]
    assert "signed the first 4 entries, 2023-11-14 22:13 UTC" in repr(report)
    assert verify_log_export(node.export(full=True), key, older=[between + line], witnesses=[city.public.raw]).witnessed
    assert "no witness has signed it" in repr(verify_log_export(export, key))
    with pytest.raises(BadProof, match="has signed none of the 2 heads"):
        verify_log_export(export, key, older=[between + line], witnesses=[hill.public.raw])
    with pytest.raises(BadProof, match="none of the 1 heads"):
        verify_log_export(export, key, witnesses=[city.public.raw])
    with pytest.raises(BadProof, match="does not verify"):
        verify_log_export(export, key, older=[node.checkpoint(3) + line], witnesses=[city.public.raw])


def test_a_public_export_tells_nothing_of_the_questions(used):
    node, _, _ = used
    public, full = node.export(full=False), node.export(full=True)
    assert b"salt" not in public
    for row in full.splitlines()[1:]:
        assert json.loads(row)["body"].encode() not in public


def test_a_full_export_lets_the_privacy_spent_be_computed_again(used, heart):
    node, _, _ = used
    report = verify_log_export(node.export(full=True), node.key.public.raw)
    (account,) = report.accounts
    assert account.account == "project/risk"
    assert account.charges == 2
    assert account.epsilon_spent == pytest.approx(heart.budget[0].epsilon_spent)
    assert report.disclosures == 0
    assert report.testing is True
    assert [type(leaf) for leaf in report.leaves[2:]] == [Charged, ResultStored] * 2
    assert "ε" in repr(report)


def test_it_can_be_read_from_a_file(used, tmp_path):
    node, answers, _ = used
    path = tmp_path / "north.log"
    path.write_bytes(node.export(full=True))
    assert verify_log_export(path, node.key.public.raw).size == node.tree.size
    answers[0].receipt.save(tmp_path / "a.receipt")
    assert isinstance(verify_receipt_file(tmp_path / "a.receipt", node.key.public.raw), ResultStored)
    loaded = Receipt.load(tmp_path / "a.receipt", node.key.public.raw)
    assert loaded.verify() == answers[0].receipt.verify()
    assert "result-stored" in repr(loaded)
    with pytest.raises(UsageError, match="no file"):
        verify_log_export(tmp_path / "none.log", node.key.public.raw)


def lines_of(data):
    head, *rows = data.splitlines(keepends=True)
    return head, rows


@pytest.mark.parametrize("full", [True, False])
@pytest.mark.parametrize(
    "tamper",
    [
        lambda head, rows: (head, rows[:-1]),
        lambda head, rows: (head, rows[:1] + rows[2:]),
        lambda head, rows: (head, [rows[1], rows[0], *rows[2:]]),
        lambda head, rows: (head, [*rows, rows[-1]]),
        lambda head, rows: (head, [rows[0].replace(b'"index":0', b'"index":1'), *rows[1:]]),
        lambda head, rows: (head, [*rows[:-1], rows[-1][:-9] + b"\n"]),
        lambda head, rows: (head, [*rows[:-1], rows[-1].rstrip(b"\n")]),
        lambda head, rows: (head, [b"[]\n", *rows[1:]]),
        lambda *_: (b"", []),
    ],
    ids=["cut", "hole", "swapped", "more", "renumbered", "broken", "unfinished", "no row", "empty"],
)
def test_a_changed_export_is_refused(used, tamper, full):
    node, _, _ = used
    head, rows = tamper(*lines_of(node.export(full=full)))
    with pytest.raises(BadProof):
        verify_log_export(head + b"".join(rows), node.key.public.raw)


def test_another_nodes_export_is_refused(used, make_node):
    node, answers, _ = used
    other = make_node(seed=55)
    with pytest.raises(BadProof, match="another node"):
        verify_log_export(node.export(full=False), other.key.public.raw)
    with pytest.raises(BadProof):
        verify_log_export(other.export(full=False), other.key.public.raw, receipts=[answers[0].receipt.raw])


def test_a_changed_body_is_refused_although_the_hashes_hold(used):
    node, _, _ = used
    body, salt, hashed = node.leaves[2]
    leaf = codec.decode(body, Leaf)
    node.leaves[2] = (codec.encode(replace(leaf, why="something harmless")), salt, hashed)
    with pytest.raises(BadProof, match="entry 2 does not have the hash"):
        verify_log_export(node.export(full=True), node.key.public.raw)


def test_a_rewritten_history_is_refused_by_an_older_head(used, make_node, heart):
    node, answers, between = used
    forged = make_node(seed=7)
    forged.key = node.key
    for body, _, _ in node.leaves[2:]:
        forged.log(codec.decode(body, Leaf))
    with pytest.raises(BadProof, match="are not those"):
        verify_log_export(forged.export(full=True), node.key.public.raw, older=[between])
    with pytest.raises(BadProof, match="does not stand"):
        verify_log_export(forged.export(full=True), node.key.public.raw, receipts=[answers[0].receipt.raw])


def test_a_log_that_lost_entries_is_refused_by_an_older_head(used, make_node):
    node, _, _ = used
    young = make_node(seed=7)
    young.key = node.key
    with pytest.raises(BadProof, match="had signed a log of 6 entries"):
        verify_log_export(young.export(full=False), node.key.public.raw, older=[node.checkpoint()])


def charged_leaves(node):
    return [codec.decode(body, Leaf) for body, _, _ in node.leaves]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (
            lambda leaf: replace(leaf, charges=(replace(leaf.charges[0], amounts=(1, 1, 1, 1, 1, 1)),)),
            "less than its event",
        ),
        (lambda leaf: replace(leaf, charges=()), "to no account"),
        (lambda leaf: replace(leaf, charges=(replace(leaf.charges[0], account="nobody"),)), "never made"),
        (lambda leaf: replace(leaf, event=b"\x00"), "no event"),
        (lambda leaf: replace(leaf, outlet="disclose"), "hide what it is"),
    ],
)
def test_a_charge_below_its_price_is_found(used, change, text):
    leaves = charged_leaves(used[0])
    leaves[2] = change(leaves[2])
    with pytest.raises(BadProof, match=text):
        recompute_accounts(leaves)


def test_changed_orders_are_found(used):
    leaves = charged_leaves(used[0])
    changed = AccountSet(at=1.0, account="project/risk", epsilon=8.0, delta=1e-6, orders=(7,))
    with pytest.raises(BadProof, match="orders"):
        recompute_accounts([*leaves, changed])


def made(account="population/p", reserve=None):
    return AccountSet(at=1.0, account=account, epsilon=3.0, delta=1e-6, orders=(24,), reserve=reserve)


def showing_keys(release, slack, account="population/p"):
    """A charge for a selection of keys, with a slack of 5e-8."""
    event = PartitionSelection(0.01, 1e-8, 5)
    [amount] = price(event, (24,)).amounts
    return Charged(
        at=2.0, release=release * 16, requester=b"", project="", dataset="d", plan_hash=b"", outlet="answer", why="",
        event=codec.encode(event), charges=(Charge(account, (amount,), slack),), approvers=(),
    )  # fmt: skip


def test_slack_is_checked_against_its_event_and_the_reserve():
    slack = price(PartitionSelection(0.01, 1e-8, 5), (24,)).slack
    three = [showing_keys(bytes([n]), slack) for n in range(3)]
    (report,) = recompute_accounts([made(reserve=1.6e-7), *three])
    assert report.charges == 3
    for reserve in (1.4e-7, None):
        with pytest.raises(BadProof, match="beyond the limit"):
            recompute_accounts([made(reserve=reserve), *three])
    with pytest.raises(BadProof, match="less than its event"):
        recompute_accounts([made(reserve=1.6e-7), showing_keys(b"a", slack // 2)])


def test_a_release_about_partitioned_people_is_charged_to_one_of_their_cells():
    dataset = DatasetAdded(at=0.0, dataset="d", population="p", card_hash=b"", partition=("ward", "a", "b"))
    check_releases([dataset, showing_keys(b"a", 1, "population/p#ward=b")])
    for other in ("population/p", "population/p#ward=c", "project/p@p#ward=a"):
        with pytest.raises(BadProof, match="was not charged to 'population/p#ward=a' or"):
            check_releases([dataset, showing_keys(b"a", 1, other)])

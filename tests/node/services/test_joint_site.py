"""A party of a joint computation: exact results, exact costs, and every frame that does not come next refused."""

import importlib
import pickle
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest

from stead.core.entropy import SeededEntropy
from stead.errors import BadMessage, BadSignature, CheaterDetected, PartyUnreachable
from stead.mpc.local import together
from stead.node.services.joint_site import JointTerms
from stead.node.services.joint_work import joint_cost, quotients
from stead.plans.joint import QUOTIENT_BITS
from stead.plans.joint_frames import JointRoster, Parcel, Parcels, make_hello, pack_joint, unpack_joint
from stead.plans.query import Count, Mean, Query
from stead.plans.sums import run_reference

sys.path.insert(0, str(Path(__file__).parents[2]))
joint = importlib.import_module("joint")
MEANS = Query("heart", (), ("sex",), (Mean("age", "age"), Count("n"), Mean("pressure", "pressure")), ())


def inputs(query, places):
    return {
        place: run_reference(query, joint.schema(), joint.rows(name, 150 + place))
        for place, name in enumerate(joint.NAMES)
        if place in places
    }


@pytest.mark.parametrize("owners", [(0, 1), (0, 2), (1, 2), (0, 1, 2)])
def test_sums_are_exact_and_cost_what_was_priced(owners):
    plan = joint.plan(entered=300, owners=owners)
    chance = np.random.default_rng(2)
    mine = {place: chance.integers(-(1 << 62), 1 << 62, 300) for place in owners}
    parties = joint.Parties(plan, mine)
    with np.errstate(over="ignore"):
        assert np.array_equal(parties.run(), sum(mine.values()))
    for place, site in enumerate(parties.sites):
        assert site._channel.traffic.total_sent_bytes == parties.cost.sent[place]
        assert site.rounds_sent <= parties.cost.rounds
    parties.close()


@pytest.mark.parametrize("owners", [(0, 1), (0, 2), (0, 1, 2)])
def test_means_are_divided_exactly_and_cost_what_was_priced(owners):
    plan = joint.plan(MEANS, "disclose", owners=owners)
    mine = inputs(MEANS, owners)
    parties = joint.Parties(plan, mine)
    opened, total = parties.run(), [int(value) for value in sum(mine.values())]
    expected = []
    for block in plan.layout.blocks:
        for index in range(block.start, block.start + block.size):
            if hasattr(block, "shift"):
                count = total[index + block.size] or 1
                expected.append(((total[index] + block.per_row * count) << block.shift) // count)
            else:
                expected.append(total[index])
    assert opened.tolist() == expected
    sent = tuple(site._channel.traffic.total_sent_bytes for site in parties.sites)
    assert sent == parties.cost.sent == joint_cost(plan).sent
    parties.close()


def test_quotients_at_the_ends_of_their_range():
    """By integers of Python: counts up to 2^38, sums from -h N to h N, no rows at all."""
    chance = np.random.default_rng(4)
    counts = [0, 1, 1, 1, 3, (1 << 38) - 1, (1 << 38) - 1, *(int(n) for n in chance.integers(1, 1 << 38, 40))]
    steps = [1, 1 << 20, 1 << 20, 7, 120, 1 << 20, 3, *(int(n) for n in chance.integers(1, 1 << 20, 40))]
    shifts = [max(0, 20 - step.bit_length()) for step in steps]
    shares = [0, 1, -1, 1, -1, 1, -1, *chance.uniform(-1, 1, 40)]
    sums = [int(share * step * count) for share, step, count in zip(shares, steps, counts, strict=True)]
    expected = [((s + h * (n or 1)) << f) // (n or 1) for s, h, n, f in zip(sums, steps, counts, shifts, strict=True)]
    public = np.array(steps, dtype=np.uint64), np.array(shifts, dtype=np.uint64)

    def work(verbs):
        size = (len(sums),)
        first = verbs.share(np.array(sums, dtype=np.int64).view(np.uint64), size, 0)
        second = verbs.share(np.array(counts, dtype=np.uint64), size, 1)
        return verbs.reveal(quotients(verbs, first, second, public))

    found = together("replicated", work, entropy=SeededEntropy(3))
    assert all(result.tolist() == expected for result in found)
    assert max(expected) < 1 << QUOTIENT_BITS


def test_what_is_opened_are_fresh_summands():
    """The same inputs and masks of the inputs aside, each run's summands look new: none equals an input's mask."""
    plan = joint.plan(entered=64)
    mine = {0: np.zeros(64, dtype=np.int64), 1: np.zeros(64, dtype=np.int64)}
    summands = []
    for seed in (1, 2):
        parties = joint.Parties(plan, mine, seed=seed)
        assert not parties.run().any()
        summands += [np.frombuffer(parties.openings[place].own, "<u8") for place in range(3)]
        parties.close()
    values = np.concatenate(summands)
    assert len(np.unique(values)) == len(values)


def started(plan=None, **more):
    plan = plan or joint.plan(entered=8)
    parties = joint.Parties(plan, {0: np.arange(8), 1: np.arange(8)}, **more)
    roster = JointRoster(tuple(unpack_joint(site.hello()) for site in parties.sites))
    return parties, roster


def test_frames_come_in_their_order():
    parties, roster = started()
    site = parties.sites[0]
    with pytest.raises(BadMessage, match="does not come next"):
        site.on_frame(pack_joint(Parcels(parties.session, 1, ())))
    site.on_frame(pack_joint(roster))
    for frame, text in (
        (pack_joint(roster), "does not come next"),
        (site.hello(), "does not come next"),
        (pack_joint(Parcels(bytes(32), 1, ())), "step 1"),
        (pack_joint(Parcels(parties.session, 2, ())), "step 1"),
        (b"\x81", "cut short"),
    ):
        with pytest.raises(BadMessage, match=text):
            site.on_frame(frame)
    site.close()
    with pytest.raises(BadMessage, match="over"):
        site.on_frame(pack_joint(Parcels(parties.session, 1, ())))


def test_a_roster_of_somebody_else_is_refused():
    parties, roster = started()
    stranger = make_hello(joint.KEYS[2], parties.session, 1, bytes(range(32)))
    moved = make_hello(joint.KEYS[1], bytes(32), 1, bytes(range(32)))
    for hello in (stranger, moved, msgspec.structs.replace(roster.hellos[1], key=bytes(range(32)))):
        changed = JointRoster((roster.hellos[0], hello, roster.hellos[2]))
        with pytest.raises(BadSignature, match="'south' is not signed"):
            parties.sites[0].on_frame(pack_joint(changed))
    own = make_hello(joint.KEYS[0], parties.session, 0, bytes(range(32)))
    with pytest.raises(BadSignature, match="another key for this party"):
        parties.sites[0].on_frame(pack_joint(JointRoster((own, *roster.hellos[1:]))))
    with pytest.raises(BadMessage, match="in order"):
        parties.sites[0].on_frame(pack_joint(JointRoster(roster.hellos[::-1])))


def test_a_party_that_enters_another_number_of_integers_is_named():
    parties, _ = started()
    longer = joint.plan(entered=9)
    seat = parties.sites[0]._seat
    object.__setattr__(seat, "terms", JointTerms(longer, 0, joint_cost(longer)))
    parties.sites[0]._own = np.arange(9)
    with pytest.raises(CheaterDetected, match="north sent a message of 72 bytes where this round has one of 64"):
        parties.run()
    parties.close()


def test_parcels_come_from_the_others():
    parties, roster = started()
    for site in parties.sites:
        site.on_frame(pack_joint(roster))
    for place in (0, 2):
        frame = Parcels(parties.session, 1, (Parcel(0 if place == 0 else 2, b"x" * 48),))
        with pytest.raises(BadMessage):
            parties.sites[place].on_frame(pack_joint(frame))


def test_a_closed_party_ends_its_thread_and_forgets():
    parties, _ = started(tamper=lambda step, *carried: carried[-1] if step < 4 else None)
    with pytest.raises(AssertionError):
        parties.run()
    site = parties.sites[0]
    channel = site._channel
    parties.close()
    parties.close()
    with channel._turn:
        assert channel._turn.wait_for(lambda: channel.finished, timeout=20)
    assert isinstance(channel._failed, PartyUnreachable)
    assert site._own is None
    assert site._share is None
    assert not site._pairs


def test_secrets_are_redacted_and_cannot_be_pickled():
    parties, roster = started()
    parties.sites[0].on_frame(pack_joint(roster))
    for secret in (parties.sites[0], *parties.sites[0]._pairs.values()):
        assert "<redacted>" in repr(secret)
        with pytest.raises(TypeError):
            pickle.dumps(secret)

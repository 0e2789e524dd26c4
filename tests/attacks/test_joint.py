"""Joint computations under attack: by who relays, by a party, by a requester; what they see, and what they get."""

import contextlib
import importlib
import sys
import threading
from pathlib import Path

import msgspec
import numpy as np
import pytest

from stead.client.computing import computation
from stead.client.relay import Relay
from stead.core.codec import decode
from stead.core.entropy import SystemEntropy
from stead.core.keys import Key
from stead.core.leaves import Charged, Helping, Leaf, Opened, Refused, SessionEnded
from stead.core.messages import CloseSession, Failure, OpenSession, SessionFrame, SessionOpened
from stead.core.signed import MemoryReplayGuard, nonce_of, seal, unseal
from stead.errors import (
    BadMessage,
    CheaterDetected,
    NodeError,
    PartyTimedOut,
    PartyUnreachable,
    PolicyDenied,
    SteadError,
)
from stead.errors import (
    Refused as RefusedError,
)
from stead.mpc.party import RingStream
from stead.node.services.policy import DEFAULT_RULES, Joining, PolicyRules, Rule
from stead.plans.joint import Layout, recombine
from stead.plans.joint_frames import JointRoster, Parcel, Parcels, make_hello, pack_joint, session_digest, unpack_joint
from stead.plans.plan import encode_plan, plan_hash
from stead.plans.query import Mean, Query

sys.path.insert(0, str(Path(__file__).parents[1]))
joint = importlib.import_module("joint")

# Chi-square of 255 degrees of freedom above this: probability 1e-9 for uniform bytes (scipy.stats.chi2.isf(1e-9, 255)).
CHI_SQUARE_LIMIT = 414.6
LENGTH = 4096
MEAN = Query("heart", (), (), (Mean("age", "age"),), ())


def canaries(place):
    """Integers as large as sums are, the same in each run."""
    return np.random.default_rng([23, place]).integers(1 << 40, 1 << 50, LENGTH)


def chi_square(data):
    counts = np.bincount(np.frombuffer(data, dtype=np.uint8), minlength=256)
    expected = len(data) / 256
    return float(((counts - expected) ** 2 / expected).sum())


def windows(data):
    """Every 8 consecutive bytes, as numbers."""
    shifted = (np.frombuffer(data, "<u8", count=(len(data) - start) // 8, offset=start) for start in range(8))
    return np.concatenate(list(shifted))


def leaks(seen, secrets):
    """What is wrong with what somebody saw: bytes that do not look uniform, or that hold a secret; empty if nothing is.

    False alarms: 1e-9 for the first; below 1e-6 for the second (fewer than 10^13 pairs against 2^64).
    """
    found = ["not uniform"] if chi_square(seen) > CHI_SQUARE_LIMIT else []
    coded = [secret.astype(kind).tobytes() for secret in secrets for kind in ("<i8", ">i8", "<f8", ">f8")]
    return found + ["an input"] * bool(np.isin(windows(seen), windows(b"".join(coded))).any())


def computed(seed=1, **more):
    plan = joint.plan(entered=LENGTH)
    mine = {place: canaries(place) for place in (0, 1)}
    parties = joint.Parties(plan, mine, seed=seed, **more)
    assert np.array_equal(parties.run(), mine[0] + mine[1])
    parties.close()
    return parties, mine


# What is seen.


def test_who_relays_sees_sealed_bytes_only():
    parties, mine = computed()
    sealed = b"".join(data[16:] for *_, data in parties.carried)
    assert len(sealed) > 100_000
    assert not leaks(sealed, [*mine.values(), mine[0] + mine[1]])


def test_a_party_sees_masked_numbers_only():
    """The helper, and each owner for what is not its own: every message that it can open, dumped and searched."""
    parties, mine = computed()
    for place in range(3):
        secrets = [values for owner, values in mine.items() if owner != place] + [mine[0] + mine[1]]
        assert not leaks(b"".join(parties.seen[place]), secrets), place


def test_what_the_receiver_gets_tells_the_sum_alone():
    """Its summands are uniform one by one, whatever was entered; their sum is the result."""
    parties, mine = computed()
    for opening in parties.openings.values():
        assert not leaks(opening.own, [*mine.values(), mine[0] + mine[1]])


def test_the_views_of_a_division_look_uniform_too():
    groups = 1024  # many means at once, so that there are bytes enough to test
    query = Query("heart", (), (), (Mean("age", "age"),), ())
    plan = joint.plan(query, "disclose")
    block = msgspec.structs.replace(plan.layout.blocks[0], size=groups)
    plan = msgspec.structs.replace(plan, layout=Layout(2 * groups, (block,)))
    counts = np.random.default_rng(5).integers(1, 1 << 20, (2, groups))
    sums = np.random.default_rng(6).integers(-60, 60, (2, groups)) * counts
    mine = {place: np.concatenate([sums[place], counts[place]]) for place in (0, 1)}
    parties = joint.Parties(plan, mine)
    parties.run()
    parties.close()
    large = [values[abs(values) > 1 << 18] for values in mine.values()]
    for place in range(3):
        others = [values for owner, values in enumerate(large) if owner != place]
        assert not leaks(b"".join(parties.seen[place]), others), place


def test_a_planted_fault_is_found(monkeypatch):
    """Masks that are zero: the tests above would see it."""
    monkeypatch.setattr(RingStream, "ring", lambda _, shape: np.zeros(shape, dtype=np.uint64))
    monkeypatch.setattr(RingStream, "taken_from", lambda _, values: values)
    parties, mine = computed()
    assert any(leaks(b"".join(parties.seen[place]), [mine[0]]) for place in (1, 2))


# Lies and replays inside a session.


@pytest.mark.parametrize("change", ["flip", "cut", "empty", "garbage", "swap", "earlier"])
@pytest.mark.parametrize("at", [1, 2, 3])
def test_what_a_relay_changes_ends_the_computation(change, at):
    earlier = {}

    def tamper(step, source, target, sealed):
        if step != at or target != 1:
            earlier.setdefault((source, target), sealed)
            return sealed
        return {
            "flip": sealed[:-1] + bytes([sealed[-1] ^ 1]),
            "cut": sealed[:-1],
            "empty": b"",
            "garbage": bytes(len(sealed)),
            "swap": earlier.get((0, 2), b"x" * len(sealed)),
            "earlier": earlier.get((source, target), b"y" * len(sealed)),
        }[change]

    parties = joint.Parties(joint.plan(entered=8), {0: np.arange(8), 1: np.arange(8)}, tamper=tamper)
    with pytest.raises((BadMessage, CheaterDetected)):
        parties.run()
    assert not parties.openings
    parties.close()


def test_the_parcels_of_another_session_do_not_open():
    first, _ = computed()
    old = {(source, target, step): sealed for step, source, target, sealed in first.carried}

    def replayed(step, source, target, sealed):
        return old.get((source, target, step), sealed)

    plan, mine = joint.plan(entered=LENGTH), {0: canaries(0), 1: canaries(1)}
    second = joint.Parties(plan, mine, seed=2, release=b"q" * 16, tamper=replayed)
    with pytest.raises(BadMessage):
        second.run()
    assert not second.openings
    second.close()


def test_a_lie_at_the_opening_is_found():
    parties, _ = computed()
    opened = [(np.frombuffer(o.own, "<i8"), np.frombuffer(o.after, "<i8")) for _, o in sorted(parties.openings.items())]
    changed = [*opened[:1], (opened[1][0] + 1, opened[1][1]), *opened[2:]]
    with pytest.raises(CheaterDetected, match="north and south"):
        recombine(changed, joint.NAMES)


# Whole nodes.


@pytest.fixture
def network():
    with joint.network() as made:
        yield made


def leaves_of(node, kind):
    found = [decode(body, Leaf) for body, _, _ in node.books.log.leaves()]
    return [leaf for leaf in found if isinstance(leaf, kind)]


def asked(network, *, disclose=False):
    owners = network.datasets("heart")
    return computation(owners[0].age.mean(), owners, helper=network["east"], disclose=disclose)


def opening_of(network, plan, name, *, release=b"r" * 16, outlet="join"):
    return OpenSession(
        release=release, project="testing", plan=encode_plan(plan), header=b"", outlet=outlet, why="an attack"
    )


def open_all(network, plan, *, disclose=False, release=b"r" * 16):
    replies = {}
    for name in joint.NAMES:
        outlet = "disclose" if disclose and name in joint.SIZES else "join"
        replies[name] = network[name].site.send(opening_of(network, plan, name, release=release, outlet=outlet))
    return replies


def only(network, name, rules):
    network.nodes[name].books.policies.set(rules)


NO_DISCLOSURE = PolicyRules(
    rules=(Rule(outlet="join", decision="allow", reason="agreed"),), joining=Joining(least_sites=2, least_colluders=0)
)


def test_a_disclosure_is_off_by_default(network):
    only(network, "south", msgspec.structs.replace(DEFAULT_RULES, joining=Joining(2, 1)))
    with pytest.raises(PolicyDenied, match="nothing leaves here without differential privacy"):
        asked(network, disclose=True).start(why="curious")
    assert not any(leaves_of(node, Charged | Opened) for node in network.nodes.values())


def test_nothing_opens_at_an_owner_who_refused(network):
    """A requester who skips the previews: the owner's node takes no part, and nobody can take its place."""
    only(network, "south", NO_DISCLOSURE)
    plan = asked(network, disclose=True).plan()
    replies = open_all(network, plan, disclose=True)
    assert isinstance(replies["south"], Failure)
    assert leaves_of(network.nodes["south"], Refused)[-1].error == "policy-denied"
    assert not leaves_of(network.nodes["south"], Charged | Opened)
    session = session_digest(b"r" * 16, plan_hash(encode_plan(plan)))
    hellos = [unpack_joint(replies[name].frame) for name in ("north", "east")]
    forged = make_hello(Key.generate(SystemEntropy()), session, 1, bytes(range(32)))
    roster = pack_joint(JointRoster((hellos[0], forged, hellos[1])))
    reply = network["north"].site.send(SessionFrame(release=b"r" * 16, frame=roster))
    assert isinstance(reply, Failure)
    assert reply.error == "bad-signature"
    assert leaves_of(network.nodes["north"], SessionEnded)[-1].outcome == "aborted"
    assert not leaves_of(network.nodes["north"], Opened)


def test_a_result_opens_to_nobody_but_its_requester(network):
    plan = msgspec.structs.replace(asked(network).plan(), receiver=Key.generate(SystemEntropy()).public.raw)
    for reply in open_all(network, plan).values():
        assert isinstance(reply, Failure)
        assert reply.error == "policy-denied"
        assert "somebody else" in reply.what
    assert not any(leaves_of(node, Charged | Helping) for node in network.nodes.values())


def test_another_person_cannot_take_part_in_the_frames(network):
    other = Key.generate(SystemEntropy())
    node = network.nodes["north"]
    node.books.people.enrol(other.public.raw, "mallory", role="scientist", project="testing")
    replies = open_all(network, asked(network).plan())
    assert all(isinstance(reply, SessionOpened) for reply in replies.values())
    site = network["north"].site
    for message in (SessionFrame(release=b"r" * 16, frame=b"x"), CloseSession(release=b"r" * 16)):
        clock, entropy = site.scientist.clock, SystemEntropy()
        sealed = seal(message, key=other, recipient=site.node_key, clock=clock, entropy=entropy)
        data = network.transports["north"].post("/v1/messages", sealed)
        opened = unseal(
            data,
            recipient=other,
            known=lambda sender: sender == site.node_key,
            replay=MemoryReplayGuard(clock),
            clock=clock,
            reply_to=nonce_of(sealed),
        )
        assert opened.message.error == "bad-message"
    assert not leaves_of(node, SessionEnded)


def test_an_owner_s_opening_is_in_its_log_before_it_leaves(network, monkeypatch):
    node, opened = network.nodes["south"], asked(network, disclose=True)
    noted = type(node.sessions)._note_rounds
    left = []

    def failing(sessions, session):
        if session.opening is not None and sessions is node.sessions and not left:
            left.append(leaves_of(node, Opened))
            raise NodeError("the node's database was busy.")
        noted(sessions, session)

    monkeypatch.setattr(type(node.sessions), "_note_rounds", failing)
    with pytest.raises(NodeError, match="busy"):
        opened.start(why="Table 1")
    assert left == [[]]
    monkeypatch.undo()
    answer = opened.start(why="Table 1")
    assert answer.disclosed
    for name in joint.NAMES:
        (leaf,) = leaves_of(network.nodes[name], Opened)[-1:]
        assert leaf.receiver == network[name].site.scientist.key.public.raw
        assert leaf.opening == "disclose"


def test_the_price_is_paid_before_a_share_leaves_and_whatever_happens_then(network):
    """Killed in every state: never a first frame without a charge, and the same request again is charged once."""

    class Killed(BaseException):
        pass

    node = network.nodes["north"]
    states = ["received", "decided", "charging", "charged", "running", "ran", "sending"]
    for number, state in enumerate(states):
        release = bytes([number]) * 16
        plan = asked(network).plan()

        def at(reached, state=state):
            if reached == state:
                raise Killed

        node.gate._at = node.gate._admission._at = at
        caller = network["north"].site.scientist.key.public.raw
        with pytest.raises(Killed):
            node.gate.join(caller, opening_of(network, plan, "north", release=release))
        charged = [leaf for leaf in leaves_of(node, Charged) if leaf.release == release]
        assert len(charged) == (states.index(state) > states.index("charging"))
        node.gate._at = node.gate._admission._at = lambda _: None
        with contextlib.suppress(PolicyDenied):  # it has begun, and its keys are gone
            node.gate.join(caller, opening_of(network, plan, "north", release=release))
        assert len([leaf for leaf in leaves_of(node, Charged) if leaf.release == release]) == 1
        node.books.ledger.verify()


def test_a_release_is_one_computation(network):
    first = asked(network).plan()
    assert isinstance(open_all(network, first)["north"], SessionOpened)
    other = asked(network).plan(within=0.2)
    assert open_all(network, other)["north"].error == "policy-denied"
    site = network["north"].site
    site.send(CloseSession(release=b"r" * 16))
    assert open_all(network, first)["north"].error == "policy-denied"
    assert len(leaves_of(network.nodes["north"], Charged)) == 1


def test_keys_that_are_not_enrolled_take_no_part(network):
    plan = asked(network).plan()
    stranger = msgspec.structs.replace(plan.parties[2], key=Key.generate(SystemEntropy()).public.raw)
    changed = msgspec.structs.replace(plan, parties=(*plan.parties[:2], stranger))
    for name in joint.SIZES:
        reply = network[name].site.send(opening_of(network, changed, name))
        assert reply.error == "bad-signature"
    node = network.nodes["north"]
    second = Key.generate(SystemEntropy()).public.raw
    node.books.people.enrol(second, "south", role="site")
    twins = (plan.parties[0], plan.parties[1], msgspec.structs.replace(plan.parties[2], key=second))
    reply = network["north"].site.send(opening_of(network, msgspec.structs.replace(plan, parties=twins), "north"))
    assert reply.error == "policy-denied"
    assert "one site" in reply.what


def test_a_plan_whose_layout_is_not_the_owner_s_is_refused(network):
    plan = asked(network, disclose=True).plan()
    (block,) = plan.layout.blocks
    for wrong in (msgspec.structs.replace(block, per_row=1), msgspec.structs.replace(block, shift=0)):
        changed = msgspec.structs.replace(plan, layout=Layout(plan.layout.entered, (wrong,)))
        reply = network["north"].site.send(opening_of(network, changed, "north", outlet="disclose"))
        assert reply.error == "usage-error"
        assert "layout" in reply.what


def test_an_owner_cannot_be_made_to_disclose_through_join(network):
    plan = asked(network, disclose=True).plan()
    reply = network["north"].site.send(opening_of(network, plan, "north", outlet="join"))
    assert reply.error == "usage-error"
    assert not leaves_of(network.nodes["north"], Charged)


# Nodes that die, stall, or send garbage.


class Broken:
    """A way to a node that does something else from some frame on."""

    def __init__(self, inner, after, what):
        self.inner, self.left, self.what = inner, after, what

    def __call__(self, name, frame):
        self.left -= 1
        return self.inner(name, frame) if self.left >= 0 else self.what(self.inner, name, frame)


def broken_run(network, monkeypatch, who, after, what, timeout_s=20.0):
    """Start a computation in which ``who`` stops doing its part after so many frames."""
    carry_over = importlib.import_module("stead.client.computing").carry_over

    def carrying(sites, release):
        inner = carry_over(sites, release)
        broken = Broken(inner, after, what)
        return lambda name, frame: (broken if name == who else inner)(name, frame)

    monkeypatch.setattr("stead.client.computing.carry_over", carrying)
    asked(network, disclose=True).start(why="Table 1", timeout_s=timeout_s)


def dead(inner, name, frame):
    raise PartyUnreachable(f"{name} cannot be reached.")


@pytest.mark.parametrize("who", joint.NAMES)
@pytest.mark.parametrize("after", [0, 1, 3, 30])
def test_a_node_that_dies_is_named_and_the_others_end(network, monkeypatch, who, after):
    with pytest.raises(PartyUnreachable, match=who):
        broken_run(network, monkeypatch, who, after, dead)
    for name in joint.NAMES:
        node = network.nodes[name]
        assert leaves_of(node, SessionEnded)[-1].outcome == "aborted"
        assert len(leaves_of(node, Charged | Helping)) == 1, "a site that has begun stays charged"
        assert not leaves_of(node, Opened)
        assert not node.sessions._open


def test_a_node_that_stalls_is_named(network, monkeypatch):
    stop = threading.Event()
    with pytest.raises(PartyTimedOut, match="south did not answer within"):
        broken_run(network, monkeypatch, "south", 4, lambda *_: stop.wait(30), timeout_s=0.5)
    stop.set()
    assert leaves_of(network.nodes["north"], SessionEnded)[-1].outcome == "aborted"
    assert "south" in leaves_of(network.nodes["north"], SessionEnded)[-1].reason


@pytest.mark.parametrize(
    "garbage",
    [b"", b"\xc1", b"\x80", bytes(100), pack_joint(Parcels(bytes(32), 4, ()))],
    ids=["", "c1", "80", "0", "else"],
)
def test_a_node_that_sends_garbage_is_an_error_for_all(network, monkeypatch, garbage):
    with pytest.raises(BadMessage):
        broken_run(network, monkeypatch, "east", 4, lambda *_: garbage)
    for name in joint.NAMES:
        assert leaves_of(network.nodes[name], SessionEnded)[-1].outcome == "aborted"


def test_a_node_that_sends_nothing_keeps_nobody_waiting(network, monkeypatch):
    def silent(inner, name, frame):
        got = unpack_joint(frame)
        return pack_joint(Parcels(got.session, got.step, ()))

    with pytest.raises(PartyTimedOut, match="nobody sends anything, and north, south, east opened no result"):
        broken_run(network, monkeypatch, "east", 5, silent)


def test_a_node_that_sends_made_up_parcels_is_named_by_its_victim(network, monkeypatch):
    def lying(inner, name, frame):
        said = unpack_joint(inner(name, frame))
        made_up = tuple(Parcel(item.place, bytes(len(item.sealed))) for item in said.items)
        return pack_joint(Parcels(said.session, said.step, made_up))

    with pytest.raises(BadMessage, match="from east"):
        broken_run(network, monkeypatch, "east", 5, lying)
    ends = {name: leaves_of(network.nodes[name], SessionEnded)[-1].reason for name in joint.NAMES}
    assert "refused a frame: bad-message" in ends.values()
    assert all(ends.values())


def test_a_relay_that_goes_away_is_forgotten():
    clock = importlib.import_module("stead.testing").StillClock()
    with joint.network(clock=clock) as network:
        assert isinstance(open_all(network, asked(network).plan())["north"], SessionOpened)
        node = network.nodes["north"]
        clock.move(3601)
        assert node.sessions.end_idle() == 1
        assert not node.sessions._open


def test_frames_beyond_the_plan_are_refused(network):
    plan = asked(network).plan()
    open_all(network, plan)
    site = network["north"].site
    reply = site.send(SessionFrame(release=b"r" * 16, frame=bytes(1 << 20)))
    assert isinstance(reply, Failure)
    assert leaves_of(network.nodes["north"], SessionEnded)[-1].outcome == "aborted"


def test_errors_are_of_the_tree_and_a_relay_s_own_bug_is_one_too():
    plan = joint.plan(entered=8)
    parties = joint.Parties(plan, {0: np.arange(8), 1: np.arange(8)})

    def carry(name, frame):
        raise ValueError(name)

    relay = Relay(plan, parties.session, carry, rounds=4, timeout_s=20)
    with pytest.raises(SteadError, match="ValueError"):
        relay.run([site.hello() for site in parties.sites])
    with pytest.raises(BadMessage):
        relay.run([b"\x80"] * 3)
    parties.close()


def test_expensive_plans_are_refused_before_they_run(network):
    ceilings = msgspec.structs.replace(NO_DISCLOSURE.ceilings, rounds=3)
    only(network, "east", msgspec.structs.replace(NO_DISCLOSURE, ceilings=ceilings))
    with pytest.raises(RefusedError, match="rounds"):
        asked(network).start(why="Table 1")
    assert not any(leaves_of(node, Charged) for node in network.nodes.values())

"""Connecting: pins, enrolment, and a log that may only grow."""

import pytest

from stead.client.identity import enrol_command, home_directory, key_path, load_key, new_key
from stead.client.known_nodes import KnownNode, KnownNodes
from stead.client.stead import attach
from stead.core.cosign import cosign, witness_name
from stead.core.entropy import SeededEntropy
from stead.core.keys import Key
from stead.core.merkle import MemoryNodes, MerkleLog
from stead.core.messages import ListDatasets
from stead.core.notes import Checkpoint, log_origin, sign_checkpoint
from stead.errors import BadMessage, BadProof, BadSignature, KeyChanged, PartyUnreachable, UsageError


def test_a_connected_node_shows_itself(north, scientist):
    assert north.name == "North Hospital"
    assert list(north.datasets) == ["heart"]
    text = repr(north)
    assert "heart" in text
    assert north.site.project == "risk"
    assert repr(north.datasets).startswith("dataset")
    for shown in (north, north.datasets, north.requests):
        assert "<script" not in shown._repr_html_()


def test_the_only_project_is_found_when_none_is_named(node, scientist):
    assert attach(node, scientist, url="local://north").site.project == "risk"


def test_a_stranger_learns_the_command_that_enrols(node, scientist, tmp_path):
    node.enrolled.clear()
    with pytest.raises(BadSignature) as caught:
        attach(node, scientist, url="local://north", project="risk")
    public = scientist.key.public.raw
    assert f"stead people add NAME {public.hex()} --project risk" in str(caught.value)
    assert enrol_command(public, "risk") in caught.value.hint
    assert KnownNodes(scientist.home).get("local://north") is None


def test_a_wrong_clock_is_not_mistaken_for_a_stranger(node, scientist):
    class Late:
        def now(self):
            return 1_900_000_000.0

    node.clock = Late()
    with pytest.raises(BadSignature, match="set the clocks"):
        attach(node, scientist, url="local://north", project="risk")


def test_another_key_at_a_known_address_is_refused_before_anything_is_sent(north, make_node, scientist):
    other = make_node("North Hospital", seed=99)
    with pytest.raises(KeyChanged, match="pinned at first contact"):
        attach(other, scientist, url="local://north", project="risk")
    assert other.tree.size == 2
    KnownNodes(scientist.home).forget("local://north")
    assert attach(other, scientist, url="local://north", project="risk").name == "North Hospital"


@pytest.mark.parametrize("form", ["hex", "bytes", "fingerprint"])
def test_an_invitation_pins_before_first_contact(node, make_node, scientist, form):
    raw = node.key.public.raw
    pin = {"hex": raw.hex(), "bytes": raw, "fingerprint": node.key.public.fingerprint()}[form]
    assert attach(node, scientist, url="local://north", pin=pin).key == raw
    with pytest.raises(KeyChanged, match="not the one in the invitation"):
        attach(make_node(seed=98), scientist, url="local://other", pin=pin)
    with pytest.raises(UsageError, match="a pin is"):
        attach(node, scientist, url="local://third", pin="1234")


def test_a_node_that_does_not_hold_its_key_is_refused(node, make_node, scientist):
    impostor = make_node(seed=97)
    honest_identity = node.get("/v1/identity")
    impostor.get = lambda path: honest_identity if path == "/v1/identity" else node.get(path)
    with pytest.raises(BadSignature):
        attach(impostor, scientist, url="local://north", project="risk")
    assert KnownNodes(scientist.home).all() == ()


def test_a_reply_of_the_wrong_kind_is_refused(node, north, heart):
    node.Preview = lambda _, sender: node.ListDatasets(ListDatasets("risk"), sender)
    with pytest.raises(BadMessage, match="does not fit the request"):
        heart.count().preview(within=0.1)


def test_a_replayed_reply_is_refused(node, north, heart):
    real, kept = node.post, []

    def replay(path, body):
        kept.append(real(path, body))
        return kept[0]

    node.post = replay
    heart.count().preview(within=0.1)
    with pytest.raises(BadSignature, match="does not answer"):
        heart.count().preview(within=0.1)


def test_the_log_may_grow(node, north, heart):
    before = north.verify()
    heart.count().answer(within=0.2, why="w")
    after = north.verify()
    assert after.size > before.size
    assert after.seen_before is not None
    assert "contains the" in repr(after)
    assert "no witness" in repr(after)


def cosigned(node, key, clock, size=None, *, ahead_s=0):
    """The node's head with the line of a witness."""
    note = node.checkpoint(size)
    text = note.partition("\n\n")[0] + "\n"
    return note + cosign(text, name=witness_name(key.public.raw), key=key, time_s=int(clock.now()) + ahead_s)


def shows(node, **pages):
    """Let the node show other pages."""
    real = node.get
    node.get = lambda path: pages[path.rpartition("/")[2]].encode() if path.rpartition("/")[2] in pages else real(path)


def test_signatures_of_known_witnesses_are_counted(node, scientist, clock):
    city, hill = (Key.from_bytes(bytes([n]) * 32) for n in (1, 2))
    head = cosigned(node, city, clock)
    shows(node, checkpoint=head, witnessed=head)
    unknown = attach(node, scientist, url="local://north", project="risk").verify()
    assert (unknown.witnesses, unknown.unknown) == ((), 1)
    assert "1 other signatures (not checked" in repr(unknown)
    keys = [city.public.raw, hill.public.raw.hex()]
    north = attach(node, scientist, url="local://north", project="risk", witnesses=keys)
    state = north.verify(least_witnesses=1)
    assert [one.key for one in state.witnesses] == [city.public.raw]
    assert (state.witnessed, state.unknown) == (state.size, 0)
    assert "1 known witness has signed it" in repr(state)
    with pytest.raises(BadProof, match=r"1 of the witnesses .* you want 2"):
        north.verify(least_witnesses=2)
    again = attach(node, scientist, url="local://north", project="risk")
    assert len(again.verify().witnesses) == 1, "named once, known ever after"
    nobody = attach(node, scientist, url="local://north", project="risk", witnesses=[])
    assert nobody.verify().witnesses == ()


def test_a_log_ahead_of_its_witness(node, heart, scientist, clock):
    """The head of now is signed by nobody; the newest one that was must be contained in it."""
    city = Key.from_bytes(bytes([1]) * 32)
    earlier = cosigned(node, city, clock)
    heart.count().answer(within=0.2, why="w")
    shows(node, witnessed=earlier)
    north = attach(node, scientist, url="local://north", project="risk", witnesses=[city.public.raw])
    state = north.verify(least_witnesses=1)
    assert (state.witnessed, state.size) == (2, 4)
    assert "signed its first 2 entries" in repr(state)
    fork = Checkpoint(log_origin(node.key.public.raw), 2, bytes(32))
    text = f"{fork.origin}\n2\n{'A' * 43}=\n"
    line = cosign(text, name=witness_name(city.public.raw), key=city, time_s=int(clock.now()))
    shows(node, witnessed=sign_checkpoint(fork, node.key) + line)
    with pytest.raises(BadProof):
        north.verify()


def test_a_line_of_a_known_witness_that_does_not_verify(node, scientist, clock):
    city = Key.from_bytes(bytes([1]) * 32)
    other = cosigned(node, city, clock, 1).splitlines(keepends=True)[-1]
    shows(node, checkpoint=node.checkpoint() + other)
    with pytest.raises(BadProof, match="does not verify"):
        attach(node, scientist, url="local://north", project="risk", witnesses=[city.public.raw])


def test_a_signature_of_the_future_counts_for_nothing(node, scientist, clock):
    city = Key.from_bytes(bytes([1]) * 32)
    head = cosigned(node, city, clock, ahead_s=3600)
    shows(node, checkpoint=head, witnessed="")
    north = attach(node, scientist, url="local://north", project="risk", witnesses=[city.public.raw])
    assert north.verify().witnesses == ()


def test_what_is_no_witness(node, scientist):
    for witness in ("12", b"12", node.key.public.raw, node.key.public.raw.hex(), "Z" * 64):
        with pytest.raises(UsageError, match="a witness is named"):
            attach(node, scientist, url="local://north", project="risk", witnesses=[witness])


def test_a_shrunken_log_is_refused_even_after_a_restart(node, north, heart, scientist):
    heart.count().answer(within=0.2, why="w")
    old = MerkleLog(MemoryNodes())
    for _, _, hashed in node.leaves[:2]:
        old.append(hashed)
    node.tree, node.leaves = old, node.leaves[:2]
    with pytest.raises(BadProof, match="shrunk"):
        north.verify()
    with pytest.raises(BadProof, match="shrunk"):
        attach(node, scientist, url="local://north", project="risk")


def test_a_rewritten_log_is_refused(node, north, heart):
    heart.count().answer(within=0.2, why="w")
    forged = MerkleLog(MemoryNodes())
    for _ in range(node.tree.size + 3):
        forged.append(bytes(32))
    node.tree = forged
    with pytest.raises(BadProof, match="does not begin"):
        north.verify()


def test_two_logs_of_one_size_are_refused(node, north):
    forged = MerkleLog(MemoryNodes())
    for _ in range(node.tree.size):
        forged.append(bytes(32))
    node.tree = forged
    with pytest.raises(BadProof, match="two different logs"):
        north.verify()


def test_an_older_head_in_a_receipt_is_fine_when_the_log_contains_it(node, north, heart):
    heart.count().answer(within=0.2, why="first")
    index = next(iter(node.answers.values()))[1]
    kept = node.receipt(index)
    heart.count().answer(within=0.2, why="second")
    assert north.site.receipt(kept).verify().release == next(iter(node.answers))


def test_an_unreachable_node_is_tried_three_times(node, north, heart, scientist):
    tried = []

    def down(path, body):
        tried.append(path)
        raise PartyUnreachable("nobody there")

    node.post = down
    with pytest.raises(PartyUnreachable, match="nobody there"):
        heart.count().preview(within=0.1)
    assert len(tried) == 3
    assert scientist.naps == [0.5, 1.0]


def test_keys_are_made_once_and_readable_by_their_owner_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("STEAD_HOME", str(tmp_path / "mine"))
    assert home_directory() == tmp_path / "mine"
    with pytest.raises(UsageError, match="stead keys new"):
        load_key()
    key = new_key(entropy=SeededEntropy(3))
    assert load_key().public == key.public
    assert key_path().stat().st_mode & 0o777 == 0o600
    with pytest.raises(UsageError, match="already"):
        new_key()
    monkeypatch.delenv("STEAD_HOME")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    assert home_directory() == tmp_path / "config" / "stead"


def test_known_nodes_are_kept_by_address(tmp_path):
    nodes = KnownNodes(tmp_path)
    key = Key.generate(SeededEntropy(5)).public
    first = KnownNode("https://a", "A", key.raw.hex(), key.fingerprint(), 1.0)
    nodes.pin(first)
    nodes.pin(KnownNode("https://b", "B", key.raw.hex(), key.fingerprint(), 2.0))
    assert [node.url for node in nodes.all()] == ["https://a", "https://b"]
    assert nodes.pin(first) == first
    path = next((tmp_path / "known_nodes").glob("*.json"))
    path.write_text("{}")
    with pytest.raises(BadMessage, match="known-nodes file"):
        nodes.all()

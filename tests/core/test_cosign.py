"""Cosignatures: the published form, an independent computation, and everything that is no witness's word."""

import base64
import hashlib
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from stead.core import cosign
from stead.core.keys import Key
from stead.core.notes import Checkpoint, log_origin, open_checkpoint, sign_checkpoint, split_note
from stead.errors import BadMessage, BadProof, UsageError

PUBLISHED = json.loads((Path(__file__).parents[1] / "vectors/published/cosignature.json").read_text())
LOG = Key.from_bytes(bytes(range(32)))
# RFC 8032, section 7.1, test 1.
SEED = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
PUBLIC = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
WITNESS = Key.from_bytes(SEED)
OTHER = Key.from_bytes(bytes(range(64, 96)))
ORIGIN = log_origin(LOG.public.raw)
NOTE = sign_checkpoint(Checkpoint(ORIGIN, 7, bytes(range(32))), LOG)
TEXT = split_note(NOTE)[0]
NAME = cosign.witness_name(PUBLIC)
NOW = 1_700_000_000


def line(text=TEXT, *, key=WITNESS, time_s=NOW, name=None):
    return cosign.cosign(text, name=name or cosign.witness_name(key.public.raw), key=key, time_s=time_s)


def by_hand(text, time_s, name=NAME):
    """The line as the specification says it, from the primitives."""
    key_id = hashlib.sha256(name.encode() + b"\x0a\x04" + PUBLIC).digest()[:4]
    message = f"cosignature/v1\ntime {time_s}\n{text}".encode()
    signature = Ed25519PrivateKey.from_private_bytes(SEED).sign(message)
    return f"\u2014 {name} {base64.b64encode(key_id + time_s.to_bytes(8, 'big') + signature).decode()}\n"


@pytest.mark.parametrize("time_s", [0, 1, NOW, 2**63 - 1])
def test_a_line_is_what_the_specification_says(time_s):
    assert line(time_s=time_s) == by_hand(TEXT, time_s)
    assert cosign.cosigned_at(NOTE + by_hand(TEXT, time_s), name=NAME, public_key=WITNESS.public) == time_s


def test_the_published_example_has_this_form():
    """Its key is not published, so its signature cannot be checked; its parts can."""
    text, lines = split_note(PUBLISHED["note"])
    assert f"cosignature/v1\ntime {PUBLISHED['time']}\n{text}" == PUBLISHED["message"]
    assert [name for name, _ in lines] == ["example.com/behind-the-sofa", PUBLISHED["name"]]
    raw = lines[1].raw
    assert (raw[:4].hex(), int.from_bytes(raw[4:12], "big"), len(raw)) == (PUBLISHED["key_id"], PUBLISHED["time"], 76)
    # Nobody whom we know has signed it: it is passed over.
    assert cosign.cosigned_at(PUBLISHED["note"], name=PUBLISHED["name"], public_key=WITNESS.public) is None


def test_lines_stand_beside_the_log_s_own():
    both = NOTE + line() + line(key=OTHER, time_s=NOW + 5)
    assert open_checkpoint(both, ORIGIN, LOG.public).size == 7
    keys = OTHER.public.raw, PUBLIC, OTHER.public.raw
    assert cosign.cosignatures(both, keys) == (
        cosign.Cosignature(OTHER.public.raw, NOW + 5),
        cosign.Cosignature(PUBLIC, NOW),
    )
    assert cosign.cosignatures(both, []) == ()
    assert cosign.other_signatures(both, ORIGIN) == 2
    assert cosign.other_signatures(both, ORIGIN, [PUBLIC]) == 1
    assert cosign.own_note(both, ORIGIN) == NOTE


def test_the_latest_of_several_lines_counts():
    note = NOTE + line(time_s=NOW) + line(time_s=NOW + 9) + line(time_s=NOW + 3)
    assert cosign.cosigned_at(note, name=NAME, public_key=WITNESS.public) == NOW + 9


def test_a_line_of_another_head_or_time_does_not_verify():
    elsewhere = split_note(sign_checkpoint(Checkpoint(ORIGIN, 8, bytes(32)), LOG))[0]
    raw = bytearray(split_note(NOTE + line())[1][1].raw)
    raw[11] ^= 1
    later = f"\u2014 {NAME} {base64.b64encode(raw).decode()}\n"
    short = f"\u2014 {NAME} {base64.b64encode(bytes(raw[:-1])).decode()}\n"
    never = base64.b64encode(bytes(raw[:4]) + bytes([255]) * 8 + bytes(raw[12:])).decode()
    far = f"\u2014 {NAME} {never}\n"
    for broken in (line(elsewhere), later, short, far):
        with pytest.raises(BadProof):
            cosign.cosignatures(NOTE + broken, [PUBLIC])
        with pytest.raises(BadProof):
            cosign.pick_line(NOTE, broken, name=NAME, public_key=WITNESS.public)


def test_the_name_and_the_id_say_whose_line_it_is():
    """Another's signature under this witness's name has another id; this witness's under another name too."""
    for foreign in (line(key=OTHER, name=NAME), line(name=cosign.witness_name(OTHER.public.raw))):
        assert cosign.cosignatures(NOTE + foreign, [PUBLIC]) == ()
        with pytest.raises(BadProof, match="no signature by witness"):
            cosign.pick_line(NOTE, foreign, name=NAME, public_key=WITNESS.public)


def test_a_note_signature_is_no_cosignature():
    """A plain signature of the witness (type 0x01) under its name is not counted."""
    plain = sign_checkpoint(Checkpoint(ORIGIN, 7, bytes(range(32))), WITNESS).rpartition("\n\n")[2]
    renamed = plain.replace(ORIGIN, NAME)
    assert cosign.cosignatures(NOTE + renamed, [PUBLIC]) == ()


def test_what_is_picked_is_the_witness_s_own_line_alone():
    answer = line(key=OTHER) + line(time_s=NOW) + line(time_s=NOW + 2)
    assert cosign.pick_line(NOTE, answer, name=NAME, public_key=WITNESS.public) == (line(time_s=NOW + 2), NOW + 2)


@pytest.mark.parametrize(
    "answer", ["", "\n", "x", "x\n", "\n" + line(), line() + "\n", line()[:-1], "old 3\n\n" + line()]
)
def test_an_answer_that_is_no_list_of_lines(answer):
    with pytest.raises(BadProof):
        cosign.pick_line(NOTE, answer, name=NAME, public_key=WITNESS.public)


def test_an_answer_cannot_move_the_end_of_the_text():
    """Were note and answer read as one, the text would end later and the witness would sign something of its own."""
    text = NOTE + "more\n"
    answer = "more\n\n" + line(text)
    with pytest.raises(BadProof):
        cosign.pick_line(NOTE, answer, name=NAME, public_key=WITNESS.public)


def test_what_cannot_be_said():
    for time_s in (-1, 2**63):
        with pytest.raises(UsageError):
            line(time_s=time_s)
    with pytest.raises(UsageError):
        line(name="two words")
    with pytest.raises(BadMessage):
        cosign.cosignatures(NOTE, [bytes(32)])


@given(st.data())
def test_one_changed_character_is_noticed(data):
    whole = NOTE + line()
    place = data.draw(st.integers(0, len(whole) - 1))
    other = data.draw(st.characters(max_codepoint=0x2FF))
    changed = whole[:place] + other + whole[place + 1 :]
    try:
        found = cosign.cosignatures(changed, [PUBLIC])
    except BadProof:
        return
    # What the witness signed is the text; the log's own line, between the two, is not looked at here.
    assert not found or changed == whole or len(TEXT) < place < len(NOTE)

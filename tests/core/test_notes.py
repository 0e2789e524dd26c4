"""Signed notes and checkpoints: published notes, other people's lines, and everything that is no note."""

import base64
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stead.core.keys import Key, PublicKey
from stead.core.notes import (
    MAX_SIGNATURES,
    Checkpoint,
    key_id,
    log_origin,
    open_checkpoint,
    open_note,
    sign_checkpoint,
    sign_note,
    verifier_key,
)
from stead.errors import BadProof, UsageError

PUBLISHED = json.loads((Path(__file__).parents[1] / "vectors/published/notes.json").read_text())
SUMDB, C2SP = PUBLISHED["sumdb"], PUBLISHED["c2sp"]

KEY = Key.from_bytes(bytes(range(32)))
OTHER = Key.from_bytes(bytes(range(1, 33)))
ORIGIN = log_origin(KEY.public.raw)
CHECKPOINT = Checkpoint(origin=ORIGIN, size=1234, root=bytes(range(100, 132)))
SIGNED = sign_checkpoint(CHECKPOINT, KEY)


def _public(text: str) -> PublicKey:
    return PublicKey(base64.b64decode(text.split("+", 2)[2])[1:])


PETER, ENOCH = _public(SUMDB["verifier_key"]), _public(SUMDB["second_verifier_key"])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (SUMDB["name"], SUMDB["verifier_key"]),
        (SUMDB["second_name"], SUMDB["second_verifier_key"]),
        (C2SP["name"], C2SP["verifier_key"]),
    ],
)
def test_published_key_ids(name, text):
    assert key_id(name, _public(text)).hex() == text.split("+")[1]
    assert verifier_key(name, _public(text)) == text


def test_the_published_note_is_opened():
    note = SUMDB["text"] + "\n" + SUMDB["line"]
    assert open_note(note, name=SUMDB["name"], public_key=PETER) == SUMDB["text"]
    assert open_note(C2SP["text"] + "\n" + C2SP["line"], name=C2SP["name"], public_key=_public(C2SP["verifier_key"]))


def test_the_published_note_is_signed():
    seed = base64.b64decode(SUMDB["signer_key"].split("+", 4)[4])[1:]
    assert sign_note(SUMDB["text"], name=SUMDB["name"], key=Key.from_bytes(seed)) == (
        SUMDB["text"] + "\n" + SUMDB["line"]
    )


@pytest.mark.parametrize(("first", "second"), [("line", "second_line"), ("second_line", "line")])
def test_lines_of_others_stand_beside(first, second):
    note = SUMDB["text"] + "\n" + SUMDB[first] + SUMDB[second]
    assert open_note(note, name="PeterNeumann", public_key=PETER) == SUMDB["text"]
    assert open_note(note, name="EnochRoot", public_key=ENOCH) == SUMDB["text"]


def test_a_witness_line_of_another_kind_stands_beside():
    witness = base64.b64encode(b"\x01\x02\x03\x04" + bytes(72)).decode()  # a timestamped cosignature is 4 + 8 + 64
    assert open_checkpoint(SIGNED + f"— witness.example/w1 {witness}\n", ORIGIN, KEY.public) == CHECKPOINT


def test_our_name_with_another_key_id_is_somebody_elses():
    other = sign_note(SIGNED.partition("\n\n")[0] + "\n", name=ORIGIN, key=OTHER).partition("\n\n")[2]
    assert open_checkpoint(SIGNED + other, ORIGIN, KEY.public) == CHECKPOINT


def test_one_false_line_of_ours_spoils_the_note():
    line = SIGNED.partition("\n\n")[2]
    raw = bytearray(base64.b64decode(line.split(" ")[2]))
    raw[-1] ^= 1
    forged = f"— {ORIGIN} {base64.b64encode(raw).decode()}\n"
    for note in (SIGNED + forged, SIGNED.replace(line, forged + line)):
        with pytest.raises(BadProof, match="does not verify"):
            open_checkpoint(note, ORIGIN, KEY.public)


def test_a_checkpoint_is_read_as_it_was_signed():
    assert open_checkpoint(SIGNED, ORIGIN, KEY.public) == CHECKPOINT
    root = base64.b64encode(CHECKPOINT.root).decode()
    assert SIGNED.startswith(f"{ORIGIN}\n1234\n{root}\n\n— {ORIGIN} ")
    assert "stead.log/" + KEY.public.raw.hex() == ORIGIN


def test_extension_lines_are_passed_over():
    text = SIGNED.partition("\n\n")[0] + "\nan extension\n"
    assert open_checkpoint(sign_note(text, name=ORIGIN, key=KEY), ORIGIN, KEY.public) == CHECKPOINT


def test_another_key_or_log_is_refused():
    with pytest.raises(BadProof, match="no signature"):
        open_checkpoint(SIGNED, ORIGIN, OTHER.public)
    with pytest.raises(BadProof):
        open_checkpoint(SIGNED, log_origin(OTHER.public.raw), KEY.public)
    foreign = sign_note(f"other.log\n1\n{base64.b64encode(bytes(32)).decode()}\n", name=ORIGIN, key=KEY)
    with pytest.raises(BadProof, match="another log"):
        open_checkpoint(foreign, ORIGIN, KEY.public)


@pytest.mark.parametrize(
    "lines",
    [
        ["1"],
        ["01", "{root}"],
        ["-1", "{root}"],
        ["+1", "{root}"],
        ["1 ", "{root}"],
        ["1_0", "{root}"],
        ["\u0661", "{root}"],  # ARABIC-INDIC DIGIT ONE
        ["", "{root}"],
        ["9" * 19, "{root}"],
        ["9" * 5000, "{root}"],
        ["1", "AAAA"],
        ["1", "{root}="],
        ["1", "{root}", ""],
        ["1", ""],
    ],
)
def test_signed_text_that_is_no_checkpoint_is_refused(lines):
    root = base64.b64encode(bytes(32)).decode()
    text = "\n".join([ORIGIN, *lines, ""]).replace("{root}", root)
    with pytest.raises(BadProof):
        open_checkpoint(sign_note(text, name=ORIGIN, key=KEY), ORIGIN, KEY.public)


BODY, _, LINE = SIGNED.partition("\n\n")


@pytest.mark.parametrize(
    "note",
    [
        "",
        "\n",
        "\n\n",
        BODY + "\n",
        BODY + "\n\n",
        BODY + "\n\n" + LINE[:-1],
        BODY + "\n\n" + LINE + "\n",
        BODY + "\n" + LINE,
        BODY + "\n\n" + LINE.replace("— ", "- "),
        BODY + "\n\n" + LINE.replace("— ", "—  "),
        BODY + "\n\n" + LINE.replace("=", ""),
        BODY + "\n\n" + LINE + "— nobody\n",
        BODY + "\n\n" + LINE + "— nobody AAAA\n",
        BODY + "\n\n" + LINE + "— no+body AAAAAAAA\n",
        BODY + "\n\n" + "— nobody AAAAAAAA\n" * MAX_SIGNATURES + LINE,
        BODY + "\r\n\n" + LINE,
        "\n" + BODY + "\n\n" + LINE,
        BODY + "\ud800\n\n" + LINE,
        BODY + "\x00\n\n" + LINE,
        "x" * 100_000,
    ],
)
def test_what_is_no_note_is_refused(note):
    with pytest.raises(BadProof):
        open_checkpoint(note, ORIGIN, KEY.public)


def test_base64_has_one_spelling():
    encoded = LINE.split(" ")[2].rstrip("\n")  # 68 bytes end in "x=": two bits of the last letter are not used
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    last = alphabet[alphabet.index(encoded[-2]) ^ 1]
    second = encoded[:-2] + last + "="
    assert base64.b64decode(second) == base64.b64decode(encoded)
    with pytest.raises(BadProof, match="spelling"):
        open_checkpoint(SIGNED.replace(encoded, second), ORIGIN, KEY.public)


@given(st.integers(0, len(SIGNED) - 1), st.characters())
@settings(deadline=None, max_examples=300)
def test_no_changed_character_goes_unseen(place, character):
    altered = SIGNED[:place] + character + SIGNED[place + 1 :]
    if altered != SIGNED:
        with pytest.raises(BadProof):
            open_checkpoint(altered, ORIGIN, KEY.public)


@pytest.mark.parametrize(
    "checkpoint",
    [
        Checkpoint(origin="", size=1, root=bytes(32)),
        Checkpoint(origin="a b", size=1, root=bytes(32)),
        Checkpoint(origin="a+b", size=1, root=bytes(32)),
        Checkpoint(origin="a\nb", size=1, root=bytes(32)),
        Checkpoint(origin="a", size=-1, root=bytes(32)),
        Checkpoint(origin="a", size=1, root=bytes(31)),
    ],
)
def test_what_could_not_be_read_is_not_signed(checkpoint):
    with pytest.raises(UsageError):
        sign_checkpoint(checkpoint, KEY)


@pytest.mark.parametrize("text", ["", "no newline", "\n", "a\x00\n", "a\tb\n"])
def test_what_is_no_text_is_not_signed(text):
    with pytest.raises(UsageError):
        sign_note(text, name="n", key=KEY)

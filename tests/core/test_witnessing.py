"""What a log says to a witness, by the published example, and everything that is no such request."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stead.core.notes import split_note
from stead.core.witnessing import MAX_REQUEST_BYTES, AddCheckpoint, read_request, write_request
from stead.errors import BadMessage

PUBLISHED = json.loads((Path(__file__).parents[1] / "vectors/published/cosignature.json").read_text())
HASH = "PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw="


def test_the_published_request():
    request = read_request(PUBLISHED["request"].encode())
    assert (request.old_size, len(request.proof)) == (20852014, 4)
    assert {len(each) for each in request.proof} == {32}
    text, lines = split_note(request.note)
    assert text.startswith("example.com/behind-the-sofa\n20852163\n")
    assert len(lines) == 2
    assert write_request(request) == PUBLISHED["request"].encode()


@given(st.integers(0, 2**62), st.lists(st.binary(min_size=32, max_size=32), max_size=63), st.text(max_size=50))
def test_what_is_written_is_read(old_size, proof, note):
    request = AddCheckpoint(old_size, tuple(proof), note.encode("utf-8", "replace").decode())
    assert read_request(write_request(request)) == request


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "an old size"),
        (b"old 1\n", "an old size"),
        (b"new 1\n\nnote", "an old size"),
        (b"old\n\nnote", "an old size"),
        (b"old 01\n\nnote", "decimal"),
        (b"old -1\n\nnote", "decimal"),
        (b"old \n\nnote", "decimal"),
        ("old ٣\n\nnote".encode(), "decimal"),
        (b"old 4611686018427387905\n\nnote", "decimal"),
        (b"old " + b"9" * 5000 + b"\n\nnote", "decimal"),
        (f"old 1\n{HASH[:-2]}\n\nnote".encode(), "base64"),
        (f"old 1\n{HASH.replace('=', '')}\n\nnote".encode(), "base64"),
        (b"old 1\nAAAA\n\nnote", "32 bytes"),
        (f"old 1\n{(HASH + chr(10)) * 64}\nnote".encode(), "63 lines, not 64"),
        (b"old 1\n\n\xff", "UTF-8"),
        (b"old 1\n\n" + b"n" * MAX_REQUEST_BYTES, "at most"),
    ],
)
def test_what_is_no_request(data, message):
    with pytest.raises(BadMessage, match=message):
        read_request(data)

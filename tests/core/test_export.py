"""A log as a file: what it holds, and what is no export."""

import io

import msgspec
import pytest

from stead.core.export import MAX_LINE_BYTES, LeafRow, LogHead, export_lines, read_export
from stead.errors import BadProof

HEAD = LogHead(name="north", node_key=bytes(32), checkpoint="note", full=True)
ROWS = tuple(LeafRow(index=n, hash=bytes([n] * 32), salt=bytes(32), body=b"body") for n in range(3))
FULL = b"".join(export_lines(HEAD, ROWS))
PUBLIC = b"".join(export_lines(msgspec.structs.replace(HEAD, full=False), ROWS))
LINES = FULL.splitlines(keepends=True)


def test_a_full_export_is_read_as_it_was_written():
    export = read_export(io.BytesIO(FULL))
    assert export.head == HEAD
    assert export.leaves == ROWS
    assert export.kind == "full"


def test_a_public_export_holds_hashes_only():
    export = read_export(io.BytesIO(PUBLIC))
    assert export.kind == "public"
    assert export.leaves == tuple(LeafRow(index=row.index, hash=row.hash) for row in ROWS)
    assert b"salt" not in PUBLIC
    assert b"body" not in PUBLIC


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n",
        b"{}\n",
        b"[" * 100_000 + b"\n",
        b"\xff\n",
        b"x" * (MAX_LINE_BYTES + 2),
        FULL[:-1],
        FULL + b"\n",
        LINES[1],
        LINES[0] + LINES[2],
        LINES[0] + LINES[1] + LINES[1],
        PUBLIC.splitlines(keepends=True)[0] + LINES[1],
        LINES[0] + PUBLIC.splitlines(keepends=True)[1],
        FULL.replace(b"stead-log-1", b"stead-log-2"),
        FULL.replace(b'"index":0', b'"index":"0"'),
        FULL.replace(b'"index":0', b'"index":0,"more":1'),
    ],
)
def test_what_is_no_export_is_refused(data):
    with pytest.raises(BadProof):
        read_export(io.BytesIO(data))

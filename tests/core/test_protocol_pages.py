"""The pages of docs/protocol say what the code does: every tag, every field in its order, every limit."""

import re
import typing
from pathlib import Path

import msgspec
import pytest

from stead.core import codec, leaves, messages, schema, signed
from stead.core.export import MAX_LINE_BYTES, LeafRow, LogHead
from stead.net.certificates import Identity

PAGES = Path(__file__).parents[2] / "docs/protocol"
VECTORS = Path(__file__).parents[1] / "vectors"
MESSAGES = (PAGES / "messages.md").read_text()
SIGNED = (PAGES / "signed.md").read_text()
LOG = (PAGES / "log.md").read_text()


def _rows(text: str) -> list[str]:
    """The first cells of the first table in ``text`` that hold a field in code style."""
    table = text[text.index("|---") :].partition("\n\n")[0]
    return re.findall(r"^\| `([a-z_]+)` \|", table, re.MULTILINE)


@pytest.mark.parametrize("kind", typing.get_args(messages.Message), ids=lambda kind: kind.__name__)
def test_every_message_lists_its_fields_in_order(kind):
    tag = msgspec.inspect.type_info(kind).tag
    section = MESSAGES.partition(f"### `{tag}`\n")[2]
    assert _rows(section) == list(kind.__struct_fields__)


@pytest.mark.parametrize(
    ("heading", "kind"),
    [
        ("*Dataset view*:", messages.DatasetView),
        ("*Account view*:", messages.AccountView),
        ("*Card* (defaults left out):", schema.DatasetCard),
        ("*Schema* (defaults left out):", schema.Schema),
        ("*Column* (defaults left out):", schema.Column),
        ("*Receipt*:", messages.Receipt),
    ],
)
def test_every_part_lists_its_fields_in_order(heading, kind):
    assert _rows(MESSAGES.partition(heading)[2]) == list(kind.__struct_fields__)
    assert kind.__struct_config__.omit_defaults == ("left out" in heading)


@pytest.mark.parametrize("kind", typing.get_args(leaves.Leaf), ids=lambda kind: kind.__name__)
def test_every_leaf_lists_its_fields_in_order(kind):
    tag = msgspec.inspect.type_info(kind).tag
    row = re.search(rf"^\| `{tag}` \| (.*) \|$", LOG, re.MULTILINE)
    fields = [re.match(r"`([a-z_]+)`", part).group(1) for part in row.group(1).split(" · ")]
    assert ["at", *fields] == list(kind.__struct_fields__)


def test_the_envelope_and_the_identity_list_their_fields_in_order():
    envelope = re.findall(r"^\| \d \| `([a-z_]+)` \|", SIGNED, re.MULTILINE)
    assert envelope == list(signed.Signed.__struct_fields__)
    assert _rows(SIGNED.partition("The identity is a JSON object:")[2]) == list(Identity.__struct_fields__)


@pytest.mark.parametrize(("line", "kind"), [("head", LogHead), ("leaf", LeafRow)])
def test_the_lines_of_an_export_list_their_fields_in_order(line, kind):
    row = re.search(rf"^\| {line} \| (.*) \|$", LOG.partition("## Export")[2], re.MULTILINE).group(1)
    fields = [name for name in re.findall(r"`([a-z_]+)`", row) if name != "format"]
    assert fields == list(kind.__struct_fields__)


def test_the_limits_are_the_codes():
    assert codec.MAX_MESSAGE_BYTES == 64 << 20
    assert "64 MiB" in MESSAGES
    assert codec.MAX_ITEMS == 1 << 20
    assert "2^20 values" in MESSAGES
    assert f"{codec.MAX_DEPTH} levels" in MESSAGES
    assert signed.MAX_LIFETIME_S == 600
    assert "600 000" in SIGNED
    assert signed.CLOCK_SKEW_S == 60
    assert "60 000 ≤ now" in SIGNED
    assert f"`{signed.DOMAIN}`" in SIGNED
    assert MAX_LINE_BYTES == 2 << 20
    assert "2 MiB to a line" in LOG


def test_every_vector_that_is_named_exists_and_every_link_leads_somewhere():
    for page in PAGES.glob("*.md"):
        text = page.read_text()
        for name in re.findall(r"`((?:messages|leaves|signed|published)/[^`<]+)`", text):
            assert (VECTORS / name).exists(), name
        for target in re.findall(r"\]\(([a-z]+\.md)\)", text):
            assert (PAGES / target).exists(), target

"""The page on computing on shares runs as it stands, on three nodes in this process."""

import importlib
import re
import sys
from pathlib import Path

import pytest

import stead
from stead.node.services.joint_work import DIGIT_BITS
from stead.plans.joint import MAX_INTEGERS, MAX_MEANS, QUOTIENT_BITS, Divided, Joint, JointParty, Layout
from stead.plans.joint_frames import JointHello, JointRoster, Opening, Parcel, Parcels

sys.path.insert(0, str(Path(__file__).parents[1]))
joint = importlib.import_module("joint")

DOCS = Path(__file__).parents[2] / "docs"


def test_the_guide(monkeypatch):
    snippets = re.findall(
        r"^```python\n(.*?)^```", (DOCS / "guides/computing.md").read_text(), re.DOTALL | re.MULTILINE
    )
    assert len(snippets) == 3
    with joint.network() as made:
        monkeypatch.setattr(stead, "connect", lambda url: made[url.removeprefix("https://").removesuffix(".example")])
        notebook = {}
        for snippet in snippets:
            exec(compile(snippet, "computing.md", "exec"), notebook)
    ages = [age for name in joint.SIZES for age in joint.rows(name)["age"]]
    assert notebook["exact"]["age_mean"] == pytest.approx(sum(ages) / len(ages), abs=1e-4)


def test_the_protocol_page_lists_the_fields_and_limits_of_the_code():
    page = (DOCS / "protocol/joint.md").read_text()
    rows = re.findall(r"^\| `([a-z_]+)` \|", page.partition("## Plan")[2].partition("\n\n")[2], re.MULTILINE)
    assert tuple(rows[1 : 1 + len(Joint.__struct_fields__)]) == Joint.__struct_fields__
    for kind in (JointHello, JointRoster, Parcels, Opening, Parcel, JointParty, Layout, Divided):
        missing = [name for name in kind.__struct_fields__ if f"`{name}`" not in page]
        assert not missing, kind
    assert f"1 to {MAX_INTEGERS:,}".replace(",", " ") in page
    assert f"at most {MAX_MEANS} in all" in page
    top = (QUOTIENT_BITS - 1) // DIGIT_BITS * DIGIT_BITS
    assert f"from bit {top} down" in page
    assert f"at bit {top}: 1 … {(1 << (QUOTIENT_BITS - top)) - 1}" in page

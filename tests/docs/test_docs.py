"""The documentation is held by tests: links lead somewhere, references are complete, generated pages are up to date."""

import importlib.util
import re
import tomllib
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from stead.cli.main import COMMANDS
from stead.node.home import Settings

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)


def name_of(path):
    return str(path.relative_to(ROOT))


def anchors(page):
    """GitHub's anchors of a page's headings."""
    headings = re.findall(r"^#+ (.*)$", FENCE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def script(path):
    """A script of the documentation, loaded as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_leads_somewhere(page):
    for target in LINK.findall(FENCE.sub("", page.read_text(encoding="utf-8"))):
        if target.startswith(("https://", "http://", "mailto:")):
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), target
        assert not anchor or anchor in anchors(found), target


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_named_file_exists(page):
    """`tests/...`, `src/...`, `docs/...` and `benchmarks/...` in the text are places of this repository."""
    named = re.findall(r"`((?:tests|src|docs|benchmarks|native|examples)/[\w./-]*)`", page.read_text(encoding="utf-8"))
    assert [place for place in named if not (ROOT / place).exists()] == []


@pytest.mark.parametrize("page", [page for page in PAGES if page.parent != ROOT], ids=name_of)
def test_every_page_can_be_reached(page):
    """From the README, by following links."""
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        current = waiting.pop()
        if current.is_dir():  # a folder's own list of files
            waiting.extend(current.glob("*.md"))
        elif current.suffix == ".md" and current not in reached and current.exists():
            reached.add(current)
            targets = LINK.findall(FENCE.sub("", current.read_text(encoding="utf-8")))
            local = [target.partition("#")[0] for target in targets if not target.startswith(("http", "mailto:", "#"))]
            waiting.extend((current.parent / target).resolve() for target in local)
    assert page in reached


def test_the_commands_page_is_what_the_commands_say():
    written = script(ROOT / "docs/reference/write_commands.py").page()
    assert (ROOT / "docs/reference/commands.md").read_text(encoding="utf-8") == written, "run `make docs`"
    for name in COMMANDS:
        assert f"## `stead {name}" in written


def test_every_setting_is_documented_with_its_default():
    text = (ROOT / "docs/reference/settings.md").read_text(encoding="utf-8")
    rows = {row[0]: row[1] for row in re.findall(r"^\| `(\w+)` \| ([^|]*) \|", text, re.MULTILINE)}
    assert set(Settings.__struct_fields__) <= set(rows)
    defaults = {name: getattr(Settings("x"), name) for name in ("bind", "port", "threads", "memory_mb")}
    assert [name for name, default in defaults.items() if f"`{default}`" not in rows[name]] == []


def test_every_variable_of_the_environment_is_documented():
    text = (ROOT / "docs/reference/settings.md").read_text(encoding="utf-8")
    used = set()
    for path in (ROOT / "src").rglob("*.py"):
        used |= set(re.findall(r"\bSTEAD_[A-Z]+\b", path.read_text(encoding="utf-8")))
    assert {"STEAD_HOME", "STEAD_TRACEBACK"} <= used
    assert [name for name in used if f"`{name}`" not in text] == []


def test_the_picture_is_as_drawn_and_can_be_read_aloud():
    drawn = script(ROOT / "docs/pictures/draw.py").picture()
    assert (ROOT / "docs/pictures/overview.svg").read_text(encoding="utf-8") == drawn, "run `make docs`"
    picture = ET.fromstring(drawn)
    names = {child.tag.rpartition("}")[2]: child.text for child in picture}
    assert names["title"]
    assert len(names["desc"]) > 100
    assert "prefers-color-scheme: dark" in names["style"]


def test_the_readme_says_what_matters():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) < 120
    assert text.count("```python") == 1
    assert text.count("![") == 1
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"\$ make (\w+)", text):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)


def test_the_constraints_pin_what_is_declared():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    pins = dict(re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE))
    pinned = {name.lower().replace("_", "-") for name in pins}
    wanted = [*settings["project"]["dependencies"], *settings["project"]["optional-dependencies"]["dev"]]
    names = {re.split(r"[\[<>=]", line)[0].lower().replace("_", "-") for line in wanted} - {"stead"}
    assert names <= pinned
    assert pins["torch"] == "2.13.0"
    assert not any(mark in pin for pin in pins.values() for mark in ("+", "/", "@"))

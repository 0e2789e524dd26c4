"""The owner's guide runs as it stands: its files are written, its commands run, its question is asked; in order."""

import contextlib
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import stead
from stead.cli.main import main
from stead.client.identity import new_key
from stead.client.pending import Pending
from stead.client.site import Scientist
from stead.client.stead import attach
from stead.core.entropy import SeededEntropy
from stead.core.keys import Key
from stead.node.assembly import open_node
from stead.node.home import Home
from stead.node.services.policy import DEFAULT_RULES, PolicyRules, Rule, read_rules
from stead.testing import LocalTransport

DOCS = Path(__file__).parents[2] / "docs"
BLOCK = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.DOTALL | re.MULTILINE)


class Guide:
    """A reader who does what the page says, in one directory."""

    def __init__(self, capsys, monkeypatch):
        self.capsys, self.monkeypatch = capsys, monkeypatch
        self.key = new_key()
        self.words = {"ADA": self.key.public.raw.hex(), "CITY": Key.generate(SeededEntropy(1)).public.raw.hex()}
        self.ran = []

    def console(self, text):
        commands = [line[2:] for line in text.splitlines() if line.startswith("$ ")]
        assert commands
        for command in commands:
            if command == "stead serve":
                self.serve(text)
                continue
            words = shlex.split(re.sub(r"\$([A-Z]+)", lambda found: self.words[found[1]], command))
            assert words[0] == "stead"
            target = Path(words.pop()) if ">" in words else None
            arguments = [word for word in words[1:] if word != ">"]
            self.capsys.readouterr()
            ended = main(arguments)
            out, err = self.capsys.readouterr()
            assert ended == 0, (command, out, err)
            self.ran.append(command)
            if target:
                target.write_text(out)
            if arguments == ["keys", "node"]:
                self.words["NORTH"] = out.strip()

    def serve(self, text):
        address = text.splitlines()[1]
        command = [sys.executable, "-m", "stead.cli.main", "serve", "--port", "0"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
            try:
                told = process.stdout.readline().strip()
            finally:
                process.terminate()
        assert process.returncode == 0
        assert re.sub(r"\d+$", "", told) == re.sub(r"\d+$", "", address)
        self.ran.append("stead serve")

    def python(self, text):
        with contextlib.closing(open_node(Home.open(Path("stead-node")))) as node:
            node.start()
            scientist = Scientist(self.key, Path("ada"))
            self.monkeypatch.setattr(
                stead, "connect", lambda url, project: attach(LocalTransport(node), scientist, url=url, project=project)
            )
            names = {}
            exec(compile(text, "owner.md", "exec"), names)
            (pending,) = names["north"].requests.values()
            assert isinstance(pending, Pending)
            self.words["REQUEST"] = pending.name


def test_the_owner_s_guide(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("STEAD_NODE", raising=False)
    guide = Guide(capsys, monkeypatch)
    for kind, name, text in BLOCK.findall((DOCS / "guides/owner.md").read_text(encoding="utf-8")):
        if name:
            Path(name).write_text(text, encoding="utf-8")
        else:
            getattr(guide, kind)(text)
    assert len(guide.ran) > 20
    assert "seen twice" not in "".join(path.read_text() for path in tmp_path.glob("*.jsonl"))


def test_the_policy_page_has_every_key_and_its_example_is_a_policy():
    text = (DOCS / "reference/policy.md").read_text(encoding="utf-8")
    ((_, _, example),) = BLOCK.findall(text)
    rules = read_rules(example)
    assert (rules.joining.least_sites, rules.budgets.population.delta) == (4, 1e-7)
    parts = [Rule, PolicyRules, *(type(getattr(DEFAULT_RULES, name)) for name in ("ceilings", "joining"))]
    keys = {key for part in parts for key in part.__struct_fields__} | {"orders", "delta"}
    assert [key for key in keys - {"rules", "budgets", "ceilings", "joining"} if f"`{key}`" not in text] == []
    for name in ("rules", "ceilings", "joining", "budgets.population"):
        assert f"[{name}]" in text


@pytest.mark.parametrize("page", ["operator.md", "auditor.md"])
def test_commands_on_the_other_pages_exist(page, capsys):
    text = (DOCS / "guides" / page).read_text(encoding="utf-8")
    found = set(re.findall(r"(?:^|`|bin/)stead ([a-z]+)(?: ([a-z]+))?", text, re.MULTILINE))
    assert len(found) > 3
    for noun, verb in found:
        nouns = ("audit", "data", "keys", "requests", "budget", "people", "policy")
        assert main([noun, *([verb] if verb and noun in nouns else []), "--help"]) == 0, (noun, verb)

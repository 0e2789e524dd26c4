"""The guide to questions runs, and its card loads."""

import re
from pathlib import Path

from stead.node.services.datafiles import load_card

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "questions.md"


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", GUIDE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def test_snippets_run(capsys):
    names = {}
    for block in blocks("python"):
        exec(compile(block, str(GUIDE), "exec"), names)
    assert "keep the rows where age is above 40" in capsys.readouterr().out


def test_card_loads(tmp_path):
    (card,) = blocks("toml")
    (tmp_path / "card.toml").write_text(card, encoding="utf-8")
    assert load_card(tmp_path / "card.toml").schema.column("sex").categories == ("f", "m")

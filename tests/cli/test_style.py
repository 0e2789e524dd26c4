"""How commands speak."""

import io
import json
import sys

import msgspec
import pytest

from stead.cli.style import emit_json, emit_table, say


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_narration_goes_to_stderr(capsys):
    say("done")
    assert capsys.readouterr() == ("", "done\n")


def test_json_is_one_document_on_stdout(capsys):
    class Row(msgspec.Struct):
        name: str
        epsilon: float

    emit_json({"rows": [Row("north", 0.5)]})
    shown = capsys.readouterr()
    assert json.loads(shown.out) == {"rows": [{"name": "north", "epsilon": 0.5}]}
    assert shown.err == ""


def test_a_table_in_a_pipe_is_aligned_and_never_cut(capsys):
    emit_table(("name", "what"), [("a", "x" * 500), ("longer", "y")])
    assert capsys.readouterr().out.splitlines() == ["name    what", "a       " + "x" * 500, "longer  y"]


def test_an_empty_table_is_its_header(capsys):
    emit_table(("name", "what"), [])
    assert capsys.readouterr().out == "name  what\n"


def test_a_terminal_shows_names_as_they_are(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    emit_table(("name",), [("[red]north[/red]",)])
    assert "[red]north[/red]" in terminal.getvalue()


def test_ragged_rows_are_a_fault(capsys):
    with pytest.raises(ValueError, match="zip"):
        emit_table(("a", "b"), [("only one",)])


@pytest.mark.parametrize(("no_color", "escapes"), [("1", False), ("", True)])
def test_no_color_means_no_escape_codes_at_all(monkeypatch, no_color, escapes):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("NO_COLOR", no_color)
    monkeypatch.setenv("TERM", "xterm-256color")
    emit_table(("name",), [("north",)])
    assert ("\x1b" in terminal.getvalue()) is escapes

"""`stead help`: the reference of errors and the tree of errors agree."""

import json

import pytest

from stead import errors
from stead.cli.help import first_sentence, reference_text, sections
from stead.cli.main import main


def tree(root=errors.SteadError):
    return {root.code(): root} | {code: cls for child in root.__subclasses__() for code, cls in tree(child).items()}


KNOWN = {code: cls for code, cls in tree().items() if cls.__module__ == "stead.errors"}


def test_every_error_has_a_section_and_every_section_an_error():
    assert set(sections(reference_text())) == set(KNOWN)


@pytest.mark.parametrize("code", KNOWN)
def test_a_section_says_something(code):
    section = sections(reference_text())[code]
    assert len(section) > 80
    assert len(first_sentence(section)) < 140


@pytest.mark.parametrize("code", KNOWN)
def test_the_printed_tree_names_every_error(code):
    assert KNOWN[code].__name__ in errors.__doc__


@pytest.mark.parametrize("name", ["budget-exceeded", "BudgetExceeded"])
def test_an_error_is_found_by_either_name(name, capsys):
    assert main(["help", name]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("budget-exceeded\n")
    assert "cannot pay" in shown
    assert "policy-denied" not in shown


def test_without_a_name_all_are_listed(capsys):
    assert main(["help", "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)) == set(KNOWN)


def test_a_slip_of_the_pen_is_answered_with_the_near_one(capsys):
    assert main(["help", "bugdet-exceeded"]) == 2
    assert "did you mean `stead help budget-exceeded`?" in capsys.readouterr().err


def test_a_section_ends_where_the_next_begins():
    text = "# Errors\n\n## `a-b`\n\nOne. Two.\n\n## `c`\n\nThree.\n"
    assert sections(text) == {"a-b": "One. Two.", "c": "Three."}

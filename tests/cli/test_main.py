"""The root of the command line: which exit code, which stream, which text."""

import importlib
import subprocess
import sys
import types

import click
import pytest

import stead
from stead import errors
from stead.cli.main import COMMANDS, Entry, main


@pytest.fixture
def failing(monkeypatch):
    """A subcommand `fail` that raises what it is given."""

    def install(error):
        @click.command("fail")
        def command():
            click.echo("data")
            raise error

        module = types.ModuleType("failing_command")
        module.command = command
        monkeypatch.setitem(sys.modules, "failing_command", module)
        monkeypatch.setitem(COMMANDS, "fail", Entry("failing_command:command", "Fails."))

    return install


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.BudgetExceeded("x"), 3),
        (errors.PolicyDenied("x"), 3),
        (errors.UnknownColumn("x"), 2),
        (errors.MissingExtra("x"), 2),
        (errors.BadProof("x"), 4),
        (errors.KeyChanged("x"), 4),
        (errors.PartyUnreachable("x"), 1),
        (errors.NodeError("x"), 1),
        (click.UsageError("x"), 2),
        (KeyboardInterrupt(), 130),
        (ValueError("x"), 1),
    ],
)
def test_each_branch_of_the_tree_has_its_exit_code(failing, capsys, error, code):
    failing(error)
    assert main(["fail"]) == code
    shown = capsys.readouterr()
    assert shown.out == "data\n"
    assert shown.err


def test_an_error_prints_as_the_house_prints_errors(failing, capsys):
    what = 'this query costs epsilon 0.80; project "risk-2026" has epsilon 0.31 left at North Hospital.'
    failing(errors.BudgetExceeded(what, hint="`within=0.03` costs epsilon 0.27", reference="7f3a-22"))
    main(["fail"])
    assert capsys.readouterr().err == (
        'BudgetExceeded: this query costs epsilon 0.80; project "risk-2026" has epsilon 0.31 left at North Hospital.\n'
        "\n"
        "  hint: `within=0.03` costs epsilon 0.27\n"
        "  more: stead help budget-exceeded · ref 7f3a-22\n"
    )


def test_a_fault_of_ours_shows_neither_its_text_nor_a_traceback(failing, capsys):
    failing(ValueError("could not convert 'CANARY-4242' to float"))
    main(["fail"])
    shown = capsys.readouterr().err
    assert "NodeError" in shown
    assert "ValueError at test_main.py:" in shown
    assert "CANARY" not in shown
    assert "Traceback" not in shown


def test_a_traceback_is_printed_when_it_is_asked_for(failing, capsys, monkeypatch):
    monkeypatch.setenv("STEAD_TRACEBACK", "1")
    failing(ValueError("CANARY-4242"))
    main(["fail"])
    assert "CANARY-4242" in capsys.readouterr().err


def test_the_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"stead, version {stead.__version__}\n"


def test_an_unknown_command_is_a_usage_error(capsys):
    assert main(["frobnicate"]) == 2
    assert "No such command 'frobnicate'" in capsys.readouterr().err


def test_help_lists_every_command(capsys):
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    for name, entry in COMMANDS.items():
        assert name in shown
        assert entry.summary.split()[0] in shown


@pytest.mark.parametrize("name", COMMANDS)
def test_every_listed_command_exists_and_explains_itself(name, capsys):
    module, _, attribute = COMMANDS[name].target.partition(":")
    assert isinstance(getattr(importlib.import_module(module), attribute), click.Command)
    assert main([name, "--help"]) == 0
    assert len(capsys.readouterr().out.splitlines()) > 3


def test_a_reader_that_goes_away_is_no_fault_of_ours():
    line = "from stead.cli.main import main; import sys; sys.exit(main(['help']))"
    writer = subprocess.Popen(
        [sys.executable, "-c", line], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=0
    )
    writer.stdout.close()
    assert "Traceback" not in writer.stderr.read()
    writer.stderr.close()
    writer.wait()

"""`stead doctor` finds what is wrong, and says nothing is wrong only when nothing is."""

import json
import os
import shutil
import sys
import time
from collections import namedtuple

import pytest

from stead.cli import doctor
from stead.cli.main import main


@pytest.fixture
def node(tmp_path):
    directory = tmp_path / "north"
    directory.mkdir(mode=0o700)
    key = directory / "node.key"
    key.write_text("secret")
    key.chmod(0o600)
    return directory


def state(checks, name):
    return next(check for check in checks if check.name == name).state


def test_a_healthy_machine(node, capsys):
    assert main(["doctor", "--node", str(node), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["healthy"] is True
    assert {"stead", "python", "native kernels", "clock", "disk", "entropy", "node directory"} <= {
        check["name"] for check in shown["checks"]
    }


def test_without_native_kernels_numpy_runs_and_that_is_no_fault(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "stead._native", None)
    assert main(["doctor"]) == 0
    shown = capsys.readouterr()
    assert "absent: NumPy runs" in shown.out
    assert "compiler" in shown.err


def test_a_single_kernel_may_be_absent(monkeypatch):
    monkeypatch.setitem(sys.modules, "stead._ring", None)
    found = next(check for check in doctor.examine(None) if check.name == "native kernels")
    assert found.state == "note"
    assert "_ring" in found.found.partition("absent: NumPy runs")[2]


def test_a_directory_open_to_others_is_bad(node, capsys):
    node.chmod(0o755)
    assert main(["doctor", "--node", str(node)]) == 1
    shown = capsys.readouterr()
    assert "open to others (mode 0755)" in shown.out
    assert f"chmod 700 {node}" in shown.err


def test_a_key_that_others_can_read_is_bad(node):
    (node / "node.key").chmod(0o644)
    assert state(doctor.examine(node), "key file") == "bad"


def test_a_missing_directory_is_bad(tmp_path):
    assert state(doctor.examine(tmp_path / "nowhere"), "node directory") == "bad"


def test_a_clock_before_the_installation_is_bad(monkeypatch):
    monkeypatch.setattr(time, "time", lambda: 1_000_000_000.0)
    assert state(doctor.examine(None), "clock") == "bad"


def test_a_jumping_clock_is_bad(monkeypatch):
    start = time.time()
    readings = iter([start, start + 60])
    monkeypatch.setattr(time, "time", lambda: next(readings))
    assert state(doctor.examine(None), "clock") == "bad"


def test_a_full_disk_is_bad(monkeypatch):
    usage = namedtuple("usage", "total used free")  # noqa: PYI024 - as shutil returns it
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9, 0))
    assert state(doctor.examine(None), "disk") == "bad"


@pytest.mark.parametrize("answer", [bytes(32), BlockingIOError()])
def test_a_generator_that_repeats_or_is_not_seeded_is_bad(monkeypatch, answer):
    def getrandom(size, flags):
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(os, "getrandom", getrandom)
    assert state(doctor.examine(None), "entropy") == "bad"


def test_an_absent_extra_is_a_note_that_names_the_command(monkeypatch):
    monkeypatch.setitem(doctor.EXTRAS, "torch", "no_such_package_anywhere")
    check = next(check for check in doctor.examine(None) if check.name == "extra torch")
    assert (check.state, check.hint) == ("note", "pip install 'stead[torch]'")

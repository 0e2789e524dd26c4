"""The walk-through of parties on machines of their own, with three processes on this one."""

import re
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from stead.cli.main import main

PAGE = Path(__file__).parents[2] / "docs" / "guides" / "parties.md"
NAMES = ("helper", "clinic", "lab")
EXPECTED = np.mean(np.array([68.0, 59.5, 91.0]) / np.array([1.71, 1.64, 1.80]) ** 2)


@pytest.fixture
def machines(tmp_path, monkeypatch, capsys):
    """Keys, `parties.toml` and the page's script, in one folder."""
    monkeypatch.chdir(tmp_path)
    taken = [socket.create_server(("127.0.0.1", 0)) for _ in NAMES]
    for name, port in zip(NAMES, taken, strict=True):
        assert main(["mpc", "keys", name, "--address", f"127.0.0.1:{port.getsockname()[1]}"]) == 0
        port.close()
    Path("parties.toml").write_text(capsys.readouterr().out)
    script, preparing = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    Path("index.py").write_text(script)
    Path("preparing.py").write_text(preparing)
    return tmp_path


def start(*command):
    return subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ends(running):
    """What each prints; all must succeed."""
    found = {}
    for name, process in running.items():
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        found[name] = out.strip()
    return found


def test_the_walk_through(machines):
    found = ends({name: start("index.py", name) for name in NAMES})
    assert abs(float(found["lab"]) - EXPECTED) < 2e-3
    assert abs(EXPECTED - 24.49) < 5e-3  # what the page says
    assert found["helper"] == found["clinic"] == "None"

    ends({"helper": start("preparing.py")})
    found = ends({name: start("index.py", name, f"{name}.material") for name in NAMES[1:]})
    assert abs(float(found["lab"]) - EXPECTED) < 2e-3
    assert not list(machines.glob("*.material"))


def test_the_doctors_of_the_walk_through(machines):
    doctors = {name: start("-m", "stead.cli.main", "mpc", "doctor", "parties.toml", "--as", name) for name in NAMES}
    if any(process.wait(60) for process in doctors.values()):
        pytest.fail(doctors["lab"].stderr.read())
    assert "all parties reach each other" in doctors["clinic"].stderr.read()

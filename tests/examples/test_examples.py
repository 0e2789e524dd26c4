"""The examples run, and what they find is right."""

import importlib.util
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from stead.cli.main import main

pytest.importorskip("torch")

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def example(monkeypatch):
    """An example as a module."""
    monkeypatch.syspath_prepend(str(EXAMPLES))

    def load(name):
        spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)
        return module

    return load


def test_gradients_are_summed_by_two_and_by_three(example, capsys):
    module = example("aggregate_gradients")
    assert module.main() <= module.CLIENTS * 2.0**-17  # each client rounds by half a unit of 2^-16
    out = capsys.readouterr().out
    assert "2 aggregators" in out
    assert "3 aggregators" in out


def test_digits_are_read_privately(example, capsys):
    pytest.importorskip("sklearn")
    assert example("private_digits").main() == 1.0  # of 100 images, none of which is a near tie in the clear
    out = capsys.readouterr().out
    assert "masked; about" in out  # the cost, before
    assert "bytes sent" in out  # the profile, after


def test_a_small_resnet_runs_privately(example, capsys):
    found = example("private_resnet18").main(["--size", "128", "--images", "2"])
    assert found.error <= 1e-2
    assert found.agree[~found.near_ties].all()
    assert "largest error of a logit" in capsys.readouterr().out


@pytest.mark.slow
def test_a_small_resnet_runs_between_three_processes(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = ("helper", "clinic", "lab")
    taken = [socket.create_server(("127.0.0.1", 0)) for _ in names]
    for name, port in zip(names, taken, strict=True):
        assert main(["mpc", "keys", name, "--address", f"127.0.0.1:{port.getsockname()[1]}"]) == 0
        port.close()
    Path("parties.toml").write_text(capsys.readouterr().out)
    command = [sys.executable, str(EXAMPLES / "private_resnet18.py"), "--size", "128", "--as"]
    running = {name: subprocess.Popen([*command, name], stdout=subprocess.PIPE, text=True) for name in names}
    shown = {name: process.communicate(timeout=200)[0] for name, process in running.items()}
    assert all(process.returncode == 0 for process in running.values())
    assert {name for name in names if "largest error of a logit" in shown[name]} == {"clinic"}


def test_near_ties_are_counted_apart(example):
    module = example("private_resnet18")
    plain = module.np.array([[1.0, 0.99, 0.0], [0.0, 2.0, 1.0], [3.0, 0.0, 2.0]])
    private = module.np.array([[0.99, 1.0, 0.0], [0.0, 2.0, 1.0], [1.0, 0.0, 2.0]])
    found = module.Agreement(plain, private)
    assert found.near_ties.tolist() == [True, False, False]
    assert found.agree.tolist() == [False, True, False]
    assert "3 images of 2 classes: 1 of 2 agree; near ties 0 of 1" in str(found)


def test_every_example_says_how_to_run_it_and_is_in_the_documentation():
    guides = "".join(page.read_text(encoding="utf-8") for page in (EXAMPLES.parent / "docs").rglob("*.md"))
    for path in EXAMPLES.glob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert "main()" not in text or f"python examples/{path.name}" in text
        assert f"`examples/{path.name}`" in guides, path.name

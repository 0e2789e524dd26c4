"""The floors of the house: what may import what, held by import-linter from the contracts in pyproject.toml."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from stead.cli.doctor import EXTRAS

ROOT = Path(__file__).parents[2]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
CONTRACTS = {contract["id"]: contract for contract in SETTINGS["tool"]["importlinter"]["contracts"]}
ROOMS = sorted(
    f"stead.{path.stem}"
    for path in (ROOT / "src" / "stead").iterdir()
    if (path.is_dir() and any(path.rglob("*.py"))) or (path.suffix == ".py" and path.stem != "__init__")
)
# A checkout's own finder would answer before the copy under test: leave it out.
RUN = """
import sys
sys.meta_path[:] = [finder for finder in sys.meta_path if "editable" not in type(finder).__module__]
sys.path.insert(0, "src")
from importlinter.cli import lint_imports
sys.exit(lint_imports(config_filename="pyproject.toml", no_cache=True, no_logo=True))
"""


def lint(directory):
    surroundings = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "NO_COLOR": "1", "COLUMNS": "200"}
    command = [sys.executable, "-c", RUN]
    return subprocess.run(command, cwd=directory, env=surroundings, capture_output=True, text=True, check=False)


def test_every_contract_holds():
    result = lint(ROOT)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("contract", "module", "line"),
    [
        ("floors", "core/clock.py", "import stead.node"),
        ("floors", "client/__init__.py", "import stead.node"),
        ("node", "node/store/__init__.py", "import stead.node.services"),
        ("pure", "plans/query.py", "import socket"),
        ("extras", "client/__init__.py", "import torch"),
        ("acyclic", "core/clock.py", "import stead.core.messages"),
    ],
)
def test_a_contract_finds_what_it_forbids(contract, module, line, tmp_path):
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    changed = tmp_path / "src" / "stead" / module
    changed.write_text(changed.read_text(encoding="utf-8") + f"\n{line}\n", encoding="utf-8")
    if contract == "acyclic":
        other = tmp_path / "src/stead/core/messages.py"
        other.write_text(other.read_text(encoding="utf-8") + "\nimport stead.core.clock\n", encoding="utf-8")
    result = lint(tmp_path)
    assert result.returncode != 0
    assert f"{CONTRACTS[contract]['name']} BROKEN" in result.stdout


def test_every_room_stands_on_a_floor():
    named = {
        name.strip(" ()") for layer in CONTRACTS["floors"]["layers"] for name in layer.replace(":", "|").split("|")
    }
    assert {room.removeprefix("stead.") for room in ROOMS} <= named


def test_only_adapters_may_import_an_optional_package():
    assert set(CONTRACTS["extras"]["source_modules"]) == {room for room in ROOMS if room != "stead.adapters"}


def test_every_extra_is_guarded_and_probed():
    declared = set(SETTINGS["project"]["optional-dependencies"]) - {"dev"}
    assert declared == set(EXTRAS)
    # The PostgreSQL driver is named in a URL and loaded by SQLAlchemy; nothing imports it.
    assert set(EXTRAS.values()) - {"psycopg"} <= set(CONTRACTS["extras"]["forbidden_modules"])


def test_the_pure_rooms_are_all_listed():
    pure = {"stead.core", "stead.privacy", "stead.plans", "stead.mpc", "stead.learn"}
    assert set(CONTRACTS["pure"]["source_modules"]) == pure & set(ROOMS)


def test_no_room_is_empty():
    """An empty package promises something that is not there."""
    packages = [path.parent for path in (ROOT / "src" / "stead").rglob("__init__.py")]
    assert [
        package for package in packages if len(list(package.glob("*.py"))) == 1 and not list(package.glob("*/"))
    ] == []

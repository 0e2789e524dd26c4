"""What every test stands on: repeatable property tests, no colours, nobody's real keys."""

import shutil
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("stead", deadline=None, derandomize=True, database=None, print_blob=True)
settings.load_profile("stead")


@pytest.fixture(autouse=True)
def own_surroundings(monkeypatch, tmp_path_factory):
    """Each test has an empty home of its own, and prints plainly."""
    monkeypatch.setenv("STEAD_HOME", str(tmp_path_factory.mktemp("home")))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.delenv("STEAD_TRACEBACK", raising=False)


def pytest_collection_modifyitems(items):
    """Without PostgreSQL's programs its tests are skipped, and say so."""
    if shutil.which("initdb") or any(Path("/usr/lib/postgresql").glob("*/bin/initdb")):
        return
    for item in items:
        if item.get_closest_marker("postgres"):
            item.add_marker(pytest.mark.skip(reason="PostgreSQL's initdb is not installed"))

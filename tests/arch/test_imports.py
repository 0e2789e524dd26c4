"""What importing does: nothing heavy for `import stead`, and no effect for any module."""

import subprocess
import sys

import pytest

HEAVY = {
    "alembic", "anyio", "asyncio", "cryptography", "duckdb", "fsspec", "httpx", "jax", "jinja2", "keras", "litestar",
    "matplotlib", "msgspec", "numpy", "pandas", "pyarrow", "rich", "safetensors", "scipy", "sklearn", "socket",
    "sqlalchemy", "ssl", "structlog", "torch", "uvicorn",
}  # fmt: skip

LOADED = "import sys; {statement}; print(*sorted({{name.partition('.')[0] for name in sys.modules}}))"

# Imports every module of stead, noting what each one does that an import should not: an effect counts when the
# innermost frame outside the standard library belongs to stead.
EFFECTS = """
import importlib, os, pkgutil, sys, threading

import stead

HOME = os.path.dirname(stead.__file__)
THIRD = (os.sep + "site-packages" + os.sep,)
WATCHED = ("socket.bind", "socket.connect", "subprocess.Popen", "os.mkdir", "os.remove", "os.rename", "os.system",
           "os.fork")
seen = []

def writes(event, arguments):
    return event == "open" and len(arguments) > 2 and isinstance(arguments[2], int) and (
        arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))

def hook(event, arguments):
    if event not in WATCHED and not writes(event, arguments):
        return
    frame = sys._getframe(1)
    while frame is not None:
        name = frame.f_code.co_filename
        if name.startswith("<frozen importlib") or "importlib" in name:
            return  # a bytecode cache, or another package's own import
        if name.startswith(HOME):
            seen.append(f"{name}:{frame.f_lineno} {event}")
            return
        if any(part in name for part in THIRD):
            return
        frame = frame.f_back

sys.addaudithook(hook)
# Alembic's scripts are read by Alembic, inside a migration.
names = [m.name for m in pkgutil.walk_packages(stead.__path__, "stead.") if ".migrations" not in m.name]
before = threading.active_count()
for name in names:
    if not name.endswith("__main__"):
        importlib.import_module(name)
started = [t.name for t in threading.enumerate()][before:]
print(len(names), "modules")
print("effects", seen, started)
"""


def run(code):
    result = subprocess.run([sys.executable, "-B", "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.parametrize("statement", ["import stead", "import stead.errors"])
def test_importing_stead_loads_nothing_heavy(statement):
    loaded = set(run(LOADED.format(statement=statement)).split())
    assert "stead" in loaded
    assert loaded & HEAVY == set()


def test_the_command_line_starts_without_the_heavy_rooms():
    loaded = set(run(LOADED.format(statement="import stead.cli.main")).split())
    assert loaded & {"duckdb", "httpx", "litestar", "numpy", "sqlalchemy", "torch", "uvicorn", "rich"} == set()


def test_the_measure_sees_what_is_loaded():
    assert {"numpy", "msgspec"} <= set(run(LOADED.format(statement="import numpy, msgspec")).split())


def test_importing_any_module_has_no_effect():
    shown = run(EFFECTS)
    assert int(shown.split()[0]) > 30
    assert "effects [] []" in shown, shown

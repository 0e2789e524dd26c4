"""What is published installs and runs in a clean environment, with a compiler on the machine and without one."""

import json
import os
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

# Draws through the public sampler: native where it was built, NumPy where it was not, the same integers in both.
DRAW = """
from stead.core.entropy import SeededEntropy
from stead.privacy import samplers
print(samplers.native_built(), *samplers.discrete_gaussian(64, 3.5, SeededEntropy(11)))
"""


def run(*command, **changes):
    surroundings = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "STEAD_"))}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=changes.pop("cwd", None),
        env=surroundings | changes,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def sdist(tmp_path_factory):
    """The source archive, as built from this checkout."""
    out = tmp_path_factory.mktemp("sdist")
    run(sys.executable, "-m", "build", "--sdist", "--no-isolation", "--outdir", out, ROOT)
    (archive,) = out.glob("*.tar.gz")
    return archive


def build_wheel(sdist, place, **changes):
    """A wheel of what is published (not of this checkout), built in a directory where nothing was built before."""
    with tarfile.open(sdist) as archive:
        archive.extractall(place, filter="data")
    (source,) = place.iterdir()
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", place / "dist", source, **changes)
    (wheel,) = (place / "dist").iterdir()
    return wheel


@pytest.fixture(scope="module")
def native_wheel(sdist, tmp_path_factory):
    """The wheel of a machine with a compiler."""
    return build_wheel(sdist, tmp_path_factory.mktemp("native"))


@pytest.fixture(scope="module")
def plain_wheel(sdist, tmp_path_factory):
    """The wheel of a machine where no compiler can be found, nor one that is named be run."""
    path = str(Path(sys.executable).parent)
    return build_wheel(sdist, tmp_path_factory.mktemp("plain"), PATH=path, CC="/bin/false", CXX="/bin/false")


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """An environment of its own with nothing in it; ``put`` installs a wheel there."""
    directory = tmp_path_factory.mktemp("clean") / "venv"
    venv.create(directory, with_pip=True)
    python = directory / "bin" / "python"
    assert "numpy" not in run(python, "-m", "pip", "list")

    def put(wheel):
        run(python, "-m", "pip", "uninstall", "--quiet", "--yes", "stead")
        run(python, "-m", "pip", "install", "--quiet", "--constraint", ROOT / "constraints.txt", wheel)
        return directory / "bin"

    return put


def test_the_source_archive_holds_what_a_build_needs_and_no_more(sdist):
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "CMakeLists.txt", "LICENSE", "README.md", "src/stead/__init__.py"} <= names
    assert any(name.startswith("native/") for name in names)
    assert not [name for name in names if name.startswith((".venv", "build/", ".git/", ".ci"))]
    assert sdist.stat().st_size < 5_000_000


def test_a_wheel_holds_the_package_alone(native_wheel, plain_wheel):
    for wheel in (native_wheel, plain_wheel):
        names = zipfile.ZipFile(wheel).namelist()
        assert {name.partition("/")[0] for name in names} == {"stead", wheel.name.rsplit("-", 3)[0] + ".dist-info"}
        assert {"stead/py.typed", "stead/cli/errors.md"} <= set(names)
    assert any("_native" in name for name in zipfile.ZipFile(native_wheel).namelist())
    assert not any("_native" in name for name in zipfile.ZipFile(plain_wheel).namelist())
    assert plain_wheel.name.endswith("-py3-none-any.whl")


def smoke(binaries, place):
    """What a newcomer does first, in an empty directory; returns what the doctor says of the kernels, and a draw."""
    python, stead = binaries / "python", binaries / "stead"
    run(python, "-c", "import stead; assert 'site-packages' in stead.__file__", cwd=place)
    assert run(stead, "--version", cwd=place).startswith("stead, version ")
    assert "cannot pay" in run(stead, "help", "budget-exceeded", cwd=place)
    report = json.loads(run(stead, "doctor", "--json", cwd=place))
    assert report["healthy"]
    kernels = next(check["found"] for check in report["checks"] if check["name"] == "native kernels")
    built, *draw = run(python, "-c", DRAW, cwd=place).split()
    return kernels, built == "True", draw


def test_it_runs_alike_with_and_without_a_compiler(environment, native_wheel, plain_wheel, tmp_path):
    kernels, built, native_draw = smoke(environment(native_wheel), tmp_path)
    assert kernels.startswith("built")
    assert built
    kernels, built, plain_draw = smoke(environment(plain_wheel), tmp_path)
    assert kernels == "absent: NumPy runs"
    assert not built
    assert native_draw == plain_draw
    assert len(set(plain_draw)) > 5

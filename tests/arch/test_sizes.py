"""The sizes and names of the house: a file is one noun, a function is one thought."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "src" / "stead").rglob("*.py"))
SCRIPTS = sorted((ROOT / "benchmarks").rglob("*.py")) + sorted((ROOT / "examples").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
KERNELS = sorted(path for path in (ROOT / "native").rglob("*") if path.suffix in {".cpp", ".hpp", ".h"})

MOST_LINES_IN_FILE = 600
MOST_LINES_IN_FUNCTION = 80
MOST_METHODS = 20
MOST_PARAMETERS = 6
# Words that say what a thing is for its author, not what it is.
EMPTY_WORDS = re.compile(r"(Manager|Helpers?|Utils?|Utilities|Base|Handler|Mixin|Wrapper|Misc)(?![a-z])")
EMPTY_MODULES = {"utils", "util", "helpers", "helper", "misc", "common", "base", "manager", "handlers"}
WITHOUT_UNIT = {"timeout", "duration", "delay", "lifetime", "interval"}


def functions(tree):
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def parameters(function):
    named = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    return [argument.arg for argument in named if argument.arg not in {"self", "cls"}]


def complaints(source):
    """What is wrong with the sizes and names in one module."""
    tree, text = ast.parse(source), source.splitlines()
    for function in functions(tree):
        lines = function.end_lineno - function.lineno + 1
        if lines > MOST_LINES_IN_FUNCTION:
            yield f"{function.name} has {lines} lines"
        names = parameters(function)
        # With a reason, as the test below wants; for a whole file where another library fixes the parameters.
        excused = "noqa: PLR0913" in text[function.lineno - 1] or re.search(r"# ruff: noqa:.*PLR0913", source)
        if len(names) > MOST_PARAMETERS and not excused:
            yield f"{function.name} has {len(names)} parameters"
        yield from (f"{function.name}({name}) has no unit" for name in names if name in WITHOUT_UNIT)
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            methods = len(
                [member for member in node.body if isinstance(member, ast.FunctionDef | ast.AsyncFunctionDef)]
            )
            if methods > MOST_METHODS:
                yield f"{node.name} has {methods} methods"
            if EMPTY_WORDS.search(node.name):
                yield f"the name {node.name} says nothing"
        if isinstance(node, ast.Name) and not node.id.isascii():
            yield f"the name {node.id} is not written in words"


@pytest.mark.parametrize("path", [*SOURCES, *SCRIPTS, *TESTS, *KERNELS], ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_is_one_noun(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MOST_LINES_IN_FILE


@pytest.mark.parametrize("path", [*SOURCES, *SCRIPTS], ids=lambda path: str(path.relative_to(ROOT)))
def test_functions_and_classes_are_small_and_well_named(path):
    assert list(complaints(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_exception_gives_its_reason(path):
    silenced = re.compile(r"#\s*noqa(?::\s*[A-Z]+\d+(?:,\s*[A-Z]+\d+)*)?(?P<reason>.*)")
    for line in path.read_text(encoding="utf-8").splitlines():
        found = silenced.search(line)
        assert found is None or len(found["reason"].strip(" -(#")) > 5, line


def test_modules_are_named_for_what_they_hold():
    assert [path for path in SOURCES if path.stem in EMPTY_MODULES] == []


def test_the_facade_is_short():
    assert len((ROOT / "src/stead/__init__.py").read_text(encoding="utf-8").splitlines()) < 60


def test_the_gate_is_short():
    """The heart stays small enough to be read in one sitting."""
    gate = ROOT / "src/stead/node/services/gate.py"
    assert len(gate.read_text(encoding="utf-8").splitlines()) < 200


@pytest.mark.parametrize(
    ("source", "word"),
    [
        ("class DataManager: pass", "says nothing"),
        ("class RowBase: pass", "says nothing"),
        ("def send(timeout): pass", "no unit"),
        ("def add(a, b, c, d, e, *, f, g): pass", "7 parameters"),
        ("ε = 1", "not written in words"),
        ("def long():\n" + "    pass\n" * 80, "81 lines"),
        ("class Wide:\n" + "".join(f"    def m{n}(self): pass\n" for n in range(21)), "21 methods"),
    ],
)
def test_the_rules_find_what_they_forbid(source, word):
    assert any(word in complaint for complaint in complaints(source))


@pytest.mark.parametrize("source", ["class Database: pass", "class Baseline: pass", "def send(timeout_s): pass"])
def test_the_rules_leave_good_names_alone(source):
    assert list(complaints(source)) == []

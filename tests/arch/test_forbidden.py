"""Things no module may do: run what arrives, draw from a generator that repeats, ask the machine for time or chance."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "stead"
MODULES = sorted(SOURCE.rglob("*.py"))

# Each can run code that arrives as data (invariant 5).
LOADERS = {
    "pickle",
    "cPickle",
    "_pickle",
    "dill",
    "cloudpickle",
    "joblib",
    "marshal",
    "shelve",
    "code",
    "codeop",
    "yaml",
}
CALLS = {"eval", "exec", "compile", "__import__"}
DOTTED_CALLS = {"torch.load", "torch.jit.load", "torch.hub.load", "torch.package.PackageImporter", "torch.export.load"}

# A release draws from the Entropy that was passed in, and a message is dated by the Clock (invariant 7).
NUMPY_CHANCE = {"np.random", "numpy.random", "torch.rand", "torch.randn", "torch.normal", "torch.manual_seed"}
MACHINE = {
    "os.urandom", "os.getrandom", "time.time", "time.time_ns", "datetime.now", "datetime.utcnow", "datetime.today",
    "datetime.datetime.now", "date.today", "uuid.uuid1", "uuid.uuid4",
}  # fmt: skip
# Mock rows are made from the schema alone and a public seed; they hide nobody, so they may use NumPy's generator.
# The demo's patients are public: they are dealt to its hospitals, and the models trained on them for comparison start,
# from public seeds.
CHANCE_ALLOWED = {"plans/mock.py", "plans/simulation.py", "adapters/flchain.py", "adapters/flchain_model.py"}
MACHINE_ALLOWED = {"core/clock.py", "core/entropy.py", "cli/doctor.py"}


def dotted(node):
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        inside = dotted(node.value)
        return f"{inside}.{node.attr}" if inside else ""
    return ""


def imported(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def runs_what_arrives(tree):
    """Imports and calls through which bytes could become running code."""
    yield from (name for name in imported(tree) if name.partition(".")[0] in LOADERS)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = dotted(node.func)
            if name in CALLS or name in DOTTED_CALLS:
                yield name
            yield from (
                f"{name}(allow_pickle)"
                for keyword in node.keywords
                if keyword.arg == "allow_pickle"
                and not (isinstance(keyword.value, ast.Constant) and not keyword.value.value)
            )


def draws_chance(tree):
    """Generators that somebody else could repeat."""
    yield from (name for name in imported(tree) if name.partition(".")[0] in {"random", "secrets"})
    yield from (name for name in imported(tree) if name.startswith("numpy.random"))
    yield from (
        dotted(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute) and dotted(node) in NUMPY_CHANCE
    )


def asks_the_machine(tree):
    """Time and chance that were not passed in."""
    yield from (dotted(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute) and dotted(node) in MACHINE)
    yield from (name for name in imported(tree) if name in MACHINE)


def keeps_state(tree):
    """A ``global`` statement is module-level state that changes."""
    yield from (", ".join(node.names) for node in ast.walk(tree) if isinstance(node, ast.Global))


def parse(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def found(rule, allowed=frozenset()):
    paths = {str(path.relative_to(SOURCE)): path for path in MODULES}
    places = {name: list(rule(parse(path))) for name, path in paths.items() if name not in allowed}
    return {name: what for name, what in places.items() if what}


def test_nothing_runs_what_arrives():
    assert found(runs_what_arrives) == {}


def test_no_release_draws_from_a_generator_that_repeats():
    assert found(draws_chance, CHANCE_ALLOWED) == {}


def test_time_and_chance_are_passed_in():
    assert found(asks_the_machine, MACHINE_ALLOWED) == {}


def test_no_module_keeps_state():
    assert found(keeps_state) == {}


def public_definitions(body, inside=""):
    """Names of public functions, classes and methods, with whether they are described."""
    for node in body:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) or node.name.startswith("_"):
            continue
        if any(dotted(decorator).endswith(("overload", ".setter")) for decorator in node.decorator_list):
            continue
        yield inside + node.name, bool(ast.get_docstring(node))
        if isinstance(node, ast.ClassDef):
            yield from public_definitions(node.body, f"{node.name}.")


def test_everything_public_is_described():
    missing = []
    for path in MODULES:
        tree = parse(path)
        place = str(path.relative_to(SOURCE))
        if path.name != "__init__.py" and not ast.get_docstring(tree):
            missing.append(place)
        missing += [f"{place} {name}" for name, described in public_definitions(tree.body) if not described]
    assert missing == []


@pytest.mark.parametrize(
    ("rule", "source"),
    [
        (runs_what_arrives, "import pickle"),
        (runs_what_arrives, "from joblib import load"),
        (runs_what_arrives, "torch.load(path)"),
        (runs_what_arrives, "eval(text)"),
        (runs_what_arrives, "np.load(path, allow_pickle=True)"),
        (draws_chance, "import random"),
        (draws_chance, "np.random.default_rng()"),
        (draws_chance, "from numpy.random import default_rng"),
        (asks_the_machine, "now = time.time()"),
        (asks_the_machine, "from os import urandom"),
        (keeps_state, "def f():\n    global seen\n"),
    ],
)
def test_the_rules_find_what_they_forbid(rule, source):
    assert list(rule(ast.parse(source)))

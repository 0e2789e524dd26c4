"""The runner, and that nobody else touches rows (invariant 1)."""

import ast
import importlib
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest

import stead
from stead.errors import UsageError
from stead.node.services.releases import Claim
from stead.plans.analysis import parts
from stead.plans.plan import encode_plan
from stead.plans.query import Mean, Query, Sum
from stead.plans.sums import run_reference
from stead.testing import local_network

sys.path.insert(0, str(Path(__file__).parents[2]))
sites = importlib.import_module("sites")

SOURCE = Path(stead.__file__).parent
# Where a table may be opened or made; what it gives is then the runner's.
MAY_IMPORT = {"node/services/tables.py", "node/services/registry.py", "node/services/runner.py"}
MAY_CALL = {"node/services/runner.py"}
# The engine below the table: only the table, its loading, and the reading of owners' files know it.
MAY_KNOW_DUCKDB = {
    "node/services/duck.py",
    "node/services/table_groups.py",
    "node/services/table_run.py",
    "node/services/tables.py",
    "node/services/table_load.py",
    "node/services/table_sql.py",
    "node/services/datafiles.py",
}


def touches(tree):
    """How a module could reach rows: names of ``services.tables`` it imports, ``….table(…)`` it calls, DuckDB."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.endswith("services.tables"):
            found |= {"import" for alias in node.names if alias.name in ("Table", "JoinedTables", "TrainingRows", "load", "*")}
        if isinstance(node, ast.ImportFrom | ast.Import):
            names = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
            found |= {"import" for name in names if name.endswith("services.tables") and isinstance(node, ast.Import)}
            found |= {"duckdb" for name in names if name.partition(".")[0] == "duckdb"}
        registry = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("table", "joined")
        if registry and "registry" in ast.unparse(node.func.value).lower():
            found.add("call")
    return found


def test_only_the_runner_touches_rows():
    seen = {}
    for path in sorted(SOURCE.rglob("*.py")):
        name = path.relative_to(SOURCE).as_posix()
        for kind in touches(ast.parse(path.read_text(encoding="utf-8"))):
            seen.setdefault(kind, set()).add(name)
    assert "node/services/runner.py" in seen["call"], "the search finds the runner itself"
    assert seen["call"] <= MAY_CALL
    assert seen["import"] <= MAY_IMPORT
    # `stead doctor` tells DuckDB's version; nothing else outside knows it.
    assert {name for name in seen["duckdb"] if not name.startswith("cli/doctor")} <= MAY_KNOW_DUCKDB


@pytest.mark.parametrize(
    "text",
    [
        "def page(node):\n    return node.registry.table('heart').columns(['age'])",
        "class A:\n    def f(self):\n        return self._registry.table(x).run(q)",
        "from stead.node.services.tables import Table",
        "import stead.node.services.tables as t",
        "import duckdb",
        "from duckdb import connect",
    ],
)
def test_a_planted_look_at_rows_is_found(text):
    assert touches(ast.parse(text))


@pytest.fixture(scope="module")
def world():
    with local_network(["north", "valley"], rules=sites.RULES) as network:
        for name in network:
            network.add(sites.card(name), sites.rows(name), at=name)
        yield network


@pytest.fixture
def runner(world):
    return world.nodes["north"].gate._runner


def test_it_gives_the_exact_integers(runner):
    """Against the definition in NumPy, on the same rows."""
    card = sites.card("north")
    query = Query("heart", (), ("sex",), (Mean("age", "age"), Sum("marker", "marker")), (1.0, 1.0, 1.0))
    held = {
        column: np.array(values, dtype=float if column in ("age", "marker", "code") else object)
        for column, values in sites.rows("north").items()
    }
    exact = runner.run(query, card).vector
    assert exact.tolist() == run_reference(query, card.schema, held).tolist()
    assert exact.shape == (sum(part.size for part in parts(query, card.schema)),)


def test_it_does_not_run_under_another_card_than_was_priced(runner):
    with pytest.raises(UsageError, match="replaced"):
        runner.run(sites.count_query(), sites.card("north", people=(10, 500)))


def appraised(world, plan, **changes):
    """What the gate hands over for a session of this plan at north."""
    run = sites.session([world[name].site for name in world], plan, **changes)
    terms = run.channel._terms
    key = world._scientist.public.raw
    claim = Claim(terms.release, key, "testing", "join", terms.plan, "why", header=run.header.to_bytes())
    return world.nodes["north"].appraiser.appraise(claim)


@pytest.mark.parametrize("plan", [sites.count_query(), sites.training(sites=2)], ids=["question", "training"])
def test_a_participant_shows_nothing_of_its_rows(world, runner, plan):
    changes = {} if hasattr(plan, "gradient") else {"length": 2}
    participant = runner.participate(appraised(world, plan, **changes))
    assert participant.rounds_sent == 0
    assert participant.hello() == participant.hello()
    assert len(participant.hello()) < 200
    with pytest.raises(TypeError):
        pickle.dumps(participant)
    participant.close()


def test_a_claim_without_a_header_is_no_session(world, runner):
    key = world._scientist.public.raw
    claim = Claim(bytes(16), key, "testing", "answer", encode_plan(sites.count_query()), "why")
    found = world.nodes["north"].appraiser.appraise(claim)
    with pytest.raises(UsageError, match="a session has a header"):
        runner.participate(found)

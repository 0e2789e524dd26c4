"""Canaries: values planted in rows, looked for in every byte that leaves a node and in every file outside its data.

A rare number, a rare integer, a name and a note, how many rows there are, and the exact integers of each question that
is asked. The one place where numbers and notes may be is the node's ``data`` directory; names are kept nowhere.
"""

import base64
import contextlib
import hashlib
import importlib
import io
import logging
import os
import re
import struct
import sys
from pathlib import Path

import numpy as np
import pytest

import stead
from stead.client import connect
from stead.client.site import Scientist, Site
from stead.core.entropy import SystemEntropy
from stead.core.keys import Key
from stead.core.messages import AskAnswer, CloseSession, ListDatasets, OpenSession, SessionFrame
from stead.errors import NodeError, SteadError
from stead.node.journal import journal
from stead.node.services import table_run
from stead.node.services.table_sql import Statement
from stead.node.services.tables import Table
from stead.plans.engine import NumpyEngine
from stead.plans.exact import Exact
from stead.plans.plan import encode_plan
from stead.plans.query import Histogram, Query
from stead.privacy.mechanisms import GaussianMechanism
from stead.testing import local_network

sys.path.insert(0, str(Path(__file__).parents[1]))
sites = importlib.import_module("sites")

NUMBER = 987654.321
INTEGER = 618_033_988
NAME = "CANARY-7d1f-patient"
NOTE = "CANARY-7d1f-note"
COUNT = 13_577
ALL = f"{NUMBER} {INTEGER} {NAME} {NOTE} {COUNT}"
# So much noise that none of the dozen answers below is exact by chance, but once in 20,000 runs.
LOUD = 1e5


def planted():
    columns = sites.rows("north", COUNT)
    for name, value in (("marker", NUMBER), ("code", INTEGER), ("patient", NAME), ("note", NOTE)):
        columns[name][17] = value
    return columns


@pytest.fixture(scope="module")
def columns():
    return planted()


def described(at="alice"):
    return sites.card(at, people=(10_000, 20_000))


def queries():
    """Questions whose exact integers are large enough to be looked for."""
    edges = tuple(np.linspace(0, 1_000_000, 9).tolist())
    return [
        sites.count_query(sigma=LOUD),
        sites.mean_query((1e12, LOUD), column="marker"),
        sites.mean_query((1e12, LOUD), column="code"),
        Query("heart", (), (), (Histogram("cells", "marker", edges),), (LOUD,)),
    ]


def number_forms():
    scaled = NUMBER / 500_000 - 1
    texts = [str(NUMBER), "987,654.32", "987654,321", str(INTEGER), f"{INTEGER:,}", f"{INTEGER:x}", f"{COUNT:,}"]
    raw = [text.encode() for text in texts]
    for value in (NUMBER, scaled):
        raw += [struct.pack(kind, value) for kind in ("<d", ">d", "<f", ">f")]
    for value, widths in ((INTEGER, (4, 8)), (COUNT, (8,))):
        raw += [value.to_bytes(width, order) for width in widths for order in ("little", "big")]
    return raw


def text_forms(*texts):
    raw = []
    for text in (text.encode() for text in texts):
        raw += [text, text.hex().encode(), base64.b64encode(text)[:20]]
        raw += [hashlib.sha256(text).digest(), hashlib.sha256(text).hexdigest().encode()]
    return raw


def exact_forms(exact):
    large = [int(value) for value in exact if abs(int(value)) >= 1000]
    return [struct.pack(order, value) for value in large for order in ("<q", ">q")] + [
        str(value).encode() for value in large if abs(value) >= 10**7
    ]


def leaks(outside, exact=(), *, values=True):
    """Which canaries stand where; ``outside`` maps a place to its bytes. Without ``values``: names alone."""
    forms = text_forms(NAME) + (text_forms(NOTE) + number_forms() + exact_forms(exact) if values else [])
    found = [(place, form) for place, data in outside.items() for form in forms if form in data]
    # As a word: five digits alone stand in any long number by chance.
    word = re.compile(rb"(?<![0-9A-Za-z.])%d(?![0-9A-Za-z])" % COUNT)
    return found + [(place, COUNT) for place, data in outside.items() if values and word.search(data)]


class Outside:
    """What somebody outside has come to see."""

    def __init__(self):
        self.seen = {}
        self.refused = []

    def hear(self, place, data):
        self.seen[place] = self.seen.get(place, b"") + b"\n" + data

    def tap(self, transport, place):
        """Listen to all replies of a transport."""
        for name in ("post", "get"):
            really = getattr(transport, name)

            def listening(*words, really=really):
                reply = really(*words)
                self.hear(place, reply)
                return reply

            with contextlib.suppress(AttributeError):
                setattr(transport, name, listening)
        return transport

    def expect(self, error, call):
        """A call that fails: its error is heard, with all that hangs on it."""
        with pytest.raises(error) as failed:
            call()
        self.refused.append(type(failed.value).__name__)
        self.hear("errors", sites.texts_of(failed.value).encode())


class Tapped:
    """A transport that is listened to."""

    def __init__(self, transport, outside):
        self.transport, self.outside = transport, outside

    def post(self, path, body):
        return self._heard(self.transport.post(path, body))

    def get(self, path):
        return self._heard(self.transport.get(path))

    def _heard(self, reply):
        self.outside.hear("replies", reply)
        return reply


def ask(site, query, why="Table 1"):
    return site.ask(AskAnswer(os.urandom(16), site.project, encode_plan(query), why), object)


def opened(site, plan, **changes):
    """The message that opens a session at one site."""
    run = sites.session([site, Elsewhere], plan, **changes)
    return OpenSession(run.header.release, site.project, encode_plan(plan), run.header.to_bytes(), "join", "a test")


class Elsewhere:
    """A site that nobody knows."""

    name, node_key = "elsewhere", Key.from_bytes(b"e" * 32).public.raw


def requests(site, outside):
    """All kinds of requests to one site, good and bad."""
    for query in queries():
        reply = ask(site, query)
        outside.hear("answers", repr(reply).encode())
    site.ask(ListDatasets(project=""), object)
    for path in ("/v1/log/checkpoint", "/v1/log/export", "/v1/identity"):
        site.transport.get(path)
    bad = sites.training(gradient=b"\x00" * 40)
    for message in (
        AskAnswer(os.urandom(16), site.project, b"\xc1 nonsense", "why"),
        AskAnswer(os.urandom(16), site.project, encode_plan(queries()[0]), " "),
        AskAnswer(os.urandom(16), "another project", encode_plan(queries()[0]), "why"),
        AskAnswer(os.urandom(16), site.project, encode_plan(sites.count_query(dataset="no such")), "why"),
        AskAnswer(os.urandom(16), site.project, encode_plan(sites.mean_query(column="salary")), "why"),
        AskAnswer(os.urandom(16), site.project, encode_plan(sites.mean_query(column="note")), "why"),
        AskAnswer(os.urandom(16), site.project, encode_plan(sites.count_query(sigma=0.31)), "why"),
        OpenSession(os.urandom(16), site.project, b"", b"", "join", "why"),
        OpenSession(os.urandom(16), site.project, encode_plan(sites.training(sites=2)), b"no header", "join", "why"),
        opened(site, sites.training(sites=2)),
        SessionFrame(os.urandom(16), b"frame"),
        CloseSession(os.urandom(16)),
    ):
        outside.expect(SteadError, lambda message=message: site.ask(message, int))
    with contextlib.suppress(SteadError):
        encode_plan(bad)
    for data in (b"", b"\x99\x01" + b"x" * 90, os.urandom(300)):
        outside.expect(SteadError, lambda data=data: site.transport.post("/v1/messages", data))


def exact_integers(node):
    table = node.registry.table("heart")
    return np.concatenate([table.run(query).vector for query in queries()])


@pytest.fixture
def said():
    """The node's journal, as ``stead serve`` keeps it."""
    stream = io.StringIO()
    handler, root = journal(stream), logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield stream
    root.removeHandler(handler)
    root.setLevel(level)


@pytest.fixture
def world(columns, tmp_path, said):
    outside = Outside()
    with local_network(["alice", "bob"], directory=tmp_path / "network") as network:
        for name in network:
            network.add(described(name), columns, at=name)
            outside.tap(network.transports[name], "replies")
        yield network, outside


def everything(world, said, tmp_path):
    """All that is outside of the nodes' data directories."""
    network, outside = world
    for node in network.nodes.values():
        outside.hear(
            "full export", importlib.import_module("stead.node.services.export").export_log(node.books, full=True)
        )
        outside.hear("requests", repr(node.requests.all(None)).encode())
        outside.hear("reprs", repr((node, network, node.registry.table("heart"))).encode())
    return outside.seen | {"journal": said.getvalue().encode()} | sites.every_byte(tmp_path, but=("data",))


def test_the_search_finds_each_canary(world, columns, tmp_path):
    """What is looked for would be seen: in a file of rows, in a text, in bytes, in an exact answer."""
    file = sites.to_csv(tmp_path / "rows.csv", columns).read_bytes()
    forms = {form for _, form in leaks({"csv": file})}
    assert {str(NUMBER).encode(), str(INTEGER).encode(), NAME.encode(), NOTE.encode()} <= forms
    assert leaks({"text": f"{COUNT} rows".encode()}) == [("text", COUNT)]
    assert leaks({"bytes": np.array([3.0, NUMBER]).tobytes()})
    exact = exact_integers(world[0].nodes["alice"])
    assert COUNT in exact
    assert len(exact_forms(exact)) >= 2 * len(exact)
    assert leaks({"vector": exact.astype("<i8").tobytes()}, exact)


def test_all_kinds_of_requests(world, said, tmp_path, capfd):
    network, outside = world
    for name in network:
        requests(network[name].site, outside)
    heart = network["alice"]["heart"]
    by_sex = heart.group_by("sex").agg(patients=heart.count())
    answer = stead.ask(by_sex, network.datasets("heart"), within=0.9, why="joint")
    outside.hear("answers", repr(answer).encode())
    trap = sites.linear_gradient(trap=lambda b, x: b.add("div", x, b.add("sub", x, x)))
    for gradient in (None, trap):
        run = sites.session([network[name].site for name in network], sites.training(sites=2, gradient=gradient))
        run.train([(10_000, 20_000)] * 2)
    exact = exact_integers(network.nodes["alice"])
    found = everything(world, said, tmp_path)
    found |= {"stdout and stderr": "".join(capfd.readouterr()).encode()}
    assert {"BadMessage", "PurposeMissing", "PolicyDenied", "UnknownColumn", "BudgetExceeded"} <= set(outside.refused)
    assert any(name.endswith("store.db") for name in found)
    assert any(name.endswith("checkpoint.txt") for name in found)
    assert any("seen_logs" in name for name in found)
    assert leaks(found, exact) == []
    assert leaks(sites.every_byte(tmp_path), values=False) == []


def test_an_answer_without_its_noise_is_caught(world, said, tmp_path, monkeypatch):
    """The planted fault: the same search over a node that forgets its noise."""
    monkeypatch.setattr(GaussianMechanism, "add", lambda _self, values, _entropy: values)
    network, _ = world
    ask(network["alice"].site, queries()[1])
    places = {place for place, _ in leaks(everything(world, said, tmp_path), exact_integers(network.nodes["alice"]))}
    assert "replies" in places
    assert any("store.db" in place for place in places)


def faulty_run(monkeypatch):
    monkeypatch.setattr(Table, "run", lambda *_: (_ for _ in ()).throw(RuntimeError(ALL)))


def faulty_columns(monkeypatch):
    monkeypatch.setattr(Table, "columns", lambda *_: (_ for _ in ()).throw(ValueError(ALL)))


def faulty_engine(monkeypatch):
    def fail(*_):
        try:
            raise KeyError(ALL)
        except KeyError as error:
            raise SteadError(f"caught {error}") from error

    for engine in (NumpyEngine, importlib.import_module("stead.adapters.torch").TorchEngine):
        monkeypatch.setattr(engine, "run_per_example", fail)


def faulty_statement(monkeypatch):
    """DuckDB's own error, which quotes the value that it cannot read."""
    place = [column.name for column in sites.COLUMNS].index("marker")
    text = f"SELECT CAST('row ' || c{place} AS INTEGER) FROM stored.main.rows WHERE c{place} = {NUMBER}"
    monkeypatch.setattr(table_run, "statements", lambda *_: [Statement(text, (), ((0, 0),))])


def faulty_vector(monkeypatch):
    """An array of the wrong shape, full of what nobody may see."""
    monkeypatch.setattr(Table, "run", lambda *_: Exact(np.full(3, INTEGER)))


@pytest.mark.parametrize(
    "fault",
    [faulty_run, faulty_columns, faulty_engine, faulty_statement, faulty_vector],
    ids=lambda fault: fault.__name__,
)
def test_a_fault_with_canaries_in_its_text(world, said, tmp_path, monkeypatch, capfd, fault):
    network, outside = world
    fault(monkeypatch)
    parties = [network[name].site for name in network]
    training = fault in (faulty_columns, faulty_engine)
    if training:
        run = sites.session(parties, sites.training(sites=2))
        outside.expect(NodeError, lambda: run.train([(10_000, 20_000)] * 2))
    else:
        outside.expect(NodeError, lambda: ask(parties[0], queries()[1]))
        run = sites.session(parties, sites.count_query(sigma=LOUD), length=2)
        outside.expect(NodeError, run.ask)
    monkeypatch.undo()
    lines = said.getvalue()
    assert '"fault"' in lines, "the owner has a line to look up the reference"
    for reference in re.findall(rb"ref ([0-9a-f]{4}-[0-9a-f]{4})", outside.seen["errors"]):
        assert reference.decode() in lines
    found = everything(world, said, tmp_path) | {"stdout and stderr": "".join(capfd.readouterr()).encode()}
    assert leaks(found) == []


def test_duckdb_really_quotes_the_value(world):
    """Else the test above shows nothing."""
    network, _ = world
    table = network.nodes["alice"].registry.table("heart")
    place = [column.name for column in sites.COLUMNS].index("marker")
    with pytest.raises(Exception, match=re.escape(str(NUMBER))), table._connection.cursor() as cursor:
        cursor.execute(f"SELECT CAST('row ' || c{place} AS INTEGER) FROM stored.main.rows WHERE c{place} = {NUMBER}")


def test_a_served_node(columns, tmp_path):
    """The same over HTTPS: what travels, what the process prints, what lies in its home and in the scientist's."""
    key, outside = Key.generate(SystemEntropy()), Outside()
    directory = tmp_path / "network"
    directory.mkdir()
    node = sites.found(directory, "north", key.public.raw, columns=columns, described=described("north"))
    home = tmp_path / "scientist"
    with sites.running([node]):
        steady = connect(node.url, key=key, home=home, pin=node.key)
        tapped = Tapped(steady.site.transport, outside)
        site = Site(tapped, node.key, Scientist(key, home), url=node.url, project=sites.PROJECT)
        site.refresh()
        requests(site, outside)
        for path in ("/health", "/schema/openapi.json", f"/v1/log/consistency?old=1&new={10**30}", "/no/such/page"):
            with contextlib.suppress(SteadError):
                tapped.get(path)
        outside.hear("answers", repr(steady["heart"].count().answer(sigmas=[LOUD], why="client's files")).encode())
    with sites.owner(node.home) as owner:
        exact = exact_integers(owner)
    found = outside.seen | sites.every_byte(tmp_path, but=("data",))
    assert any(name.endswith("node.log") for name in found)
    assert any(name.endswith("serve.err") for name in found)
    assert any(name.endswith(".request") for name in found)
    assert leaks(found, exact) == []
    assert leaks(sites.every_byte(tmp_path), values=False) == []


def test_the_owners_commands_keep_counts_to_the_terminal(columns, tmp_path):
    """``stead data add`` tells the owner how many rows there are, and writes that down nowhere."""
    home = tmp_path / "node"
    assert sites.command("init", home, "--name", "north").returncode == 0
    file = sites.to_csv(tmp_path / "rows.csv", columns)
    (tmp_path / "card.toml").write_text(sites.to_toml(described("north")))
    added = sites.command("data", "add", file, "--card", tmp_path / "card.toml", "--node", home)
    assert added.returncode == 0, added.stderr
    assert str(COUNT) in added.stderr
    assert leaks({"stdout": added.stdout.encode()}) == []
    assert leaks(sites.every_byte(home, but=("data",))) == []
    assert leaks(sites.every_byte(home), values=False) == []

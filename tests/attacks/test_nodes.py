"""What must be refused, against whole nodes: over HTTPS at a served one, and with real rows at local ones."""

import importlib
import os
import pickle
import shutil
import socket
import ssl
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest

from stead.core import codec
from stead.core.clock import SystemClock
from stead.core.entropy import SeededEntropy, SystemEntropy
from stead.core.keys import Key
from stead.core.leaves import Charged, Leaf, Refused
from stead.core.messages import AskAnswer, Datasets, Failure, ListDatasets, Message, OpenSession
from stead.core.schema import Bounds, Column
from stead.core.signed import open_envelope
from stead.errors import BudgetExceeded, SteadError, UsageError
from stead.learn.pipeline import NoiseShare
from stead.net.https import PinnedConnection
from stead.node.assembly import open_node
from stead.node.home import Home, Settings
from stead.plans.analysis import parts
from stead.plans.builder import ProgramBuilder
from stead.plans.plan import plan_hash
from stead.plans.program import Program, TensorType
from stead.plans.query import Compare, Count, Filter, Mean, Query, Sum
from stead.testing import StillClock, local_network

sys.path.insert(0, str(Path(__file__).parents[1]))
sites = importlib.import_module("sites")

GIBIBYTE = 1 << 30
MIB = 1 << 20
PICKLED = Path(__file__).with_name("a-pickle-ran")


# Messages at the HTTPS address of a served node.


@pytest.fixture(scope="module")
def key():
    return Key.generate(SystemEntropy())


@pytest.fixture(scope="module")
def served(tmp_path_factory, key):
    node = sites.found(tmp_path_factory.mktemp("served"), "north", key.public.raw)
    with sites.running([node]):
        yield node


@pytest.fixture
def post(served, key):
    with PinnedConnection(served.url, served.key) as connection:
        yield sites.Post(lambda data: connection.post("/v1/messages", data), served.key, key, SystemClock())


@pytest.fixture
def log_size(served):
    def size():
        with sites.owner(served.home) as opened:
            return opened.books.log.size()

    return size


def outcome(post, data):
    """The class of error that these bytes meet with, whoever the reply is for; the message if they are taken."""
    try:
        reply = codec.decode(open_envelope(post.send(data)).body, Message)
    except SteadError as error:
        return type(error).code()
    return reply.error if isinstance(reply, Failure) else reply


HELLO = ListDatasets(project="")


def test_a_good_message_is_answered(post):
    assert isinstance(post.ask(HELLO), Datasets)


def test_a_replayed_message(post, log_size):
    sealed, before = post.seal(HELLO), log_size()
    assert isinstance(post.open(post.send(sealed), sealed), Datasets)
    again = post.open(post.send(sealed), sealed)
    assert (again.error, log_size()) == ("bad-signature", before)


def test_a_replay_is_refused_after_a_restart(tmp_path, key):
    """Nonces are in the store: a node that was restarted knows what it has answered."""
    home = sites.found(tmp_path, "north", key.public.raw).home
    clock, replies = StillClock(), []
    for _ in range(2):
        node = open_node(home, clock=clock)
        post = sites.Post(node.reception.receive, home.key.public.raw, key, clock)
        sealed = replies[0] if replies else post.seal(HELLO)
        replies.append(sealed)
        found = outcome(post, sealed)
        node.close()
    assert found == "bad-signature"


def test_altered_messages(post, log_size):
    sealed, before = post.seal(HELLO), log_size()
    for place in range(0, len(sealed), 7):
        altered = sealed[:place] + bytes([sealed[place] ^ 0x20]) + sealed[place + 1 :]
        assert outcome(post, altered) in ("bad-signature", "bad-message", "version-mismatch")
    assert log_size() == before
    assert isinstance(outcome(post, sealed), Datasets), "an altered copy used up the nonce"


def test_misdirected_expired_early_and_unknown(post, served):
    now = SystemClock().now()
    stranger = Key.generate(SystemEntropy())
    for changes in (
        {"recipient": stranger.public.raw},
        {"clock": StillClock(now - 600)},
        {"clock": StillClock(now + 600)},
        {"key": stranger},
        {"reply_to": bytes(16)},
    ):
        assert outcome(post, post.seal(HELLO, **changes)) == "bad-signature"
    assert outcome(post, post.seal(Datasets(node="north", project="", views=()))) == "bad-message"


def test_a_peer_site_is_no_scientist(tmp_path, key):
    """A key that is enrolled as a site may take part in sums; it may not ask."""
    home = sites.found(tmp_path, "north", key.public.raw).home
    with sites.owner(home) as node:
        peer = Key.generate(SystemEntropy())
        node.books.people.enrol(peer.public.raw, "valley", role="site")
        post = sites.Post(node.reception.receive, home.key.public.raw, peer, SystemClock())
        ask = AskAnswer(os.urandom(16), "risk", codec.encode(sites.count_query()), "why")
        assert outcome(post, post.seal(ask)) == "policy-denied"


def peak_bytes(served):
    words = Path(f"/proc/{served.process_id}/status").read_text().split()
    return int(words[words.index("VmHWM:") + 1]) * 1024


def raw_exchange(served, head, pieces=()):
    """The status line that raw bytes are answered with, over TLS."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    address = ("127.0.0.1", int(served.url.rpartition(":")[2]))
    with socket.create_connection(address, timeout=30) as plain, context.wrap_socket(plain) as channel:
        channel.sendall(head)
        try:
            for piece in pieces:
                channel.sendall(piece)
        except (ConnectionError, ssl.SSLError):
            pass  # it has hung up, having answered
        return channel.recv(64).split(b"\r\n")[0]


def test_a_length_of_a_gibibyte(served, post):
    """Announced, in pieces, or inside of the message: refused at the cost of the limit, not of the claim."""
    before = peak_bytes(served)
    line = b"POST /v1/messages HTTP/1.1\r\nHost: localhost\r\n"
    announced = raw_exchange(served, line + b"Content-Length: %d\r\n\r\n" % GIBIBYTE)
    assert announced.split()[1] == b"413"
    assert peak_bytes(served) - before < 16 * MIB
    for head in (b"\xc6", b"\xdb", b"\xdd", b"\xdf", b"\x99\x01\xc6"):
        claim = head + GIBIBYTE.to_bytes(4, "big") + b"x" * 200
        assert outcome(post, claim) == "bad-message"
    sealed = post.seal(HELLO)
    assert outcome(post, sealed[:2] + b"\xc6" + GIBIBYTE.to_bytes(4, "big") + sealed[4:]) == "bad-message"
    assert peak_bytes(served) - before < 16 * MIB
    piece = b"%x\r\n" % MIB + bytes(MIB) + b"\r\n"
    in_pieces = raw_exchange(served, line + b"Transfer-Encoding: chunked\r\n\r\n", (piece for _ in range(256)))
    assert in_pieces.split()[1] == b"413"
    assert peak_bytes(served) - before < 220 * MIB
    assert isinstance(post.ask(HELLO), Datasets)


# Plans, sessions and rows at local nodes.


@pytest.fixture(scope="module")
def network():
    with local_network(["north", "valley"], rules=sites.RULES) as made:
        for name in made:
            made.add(sites.card(name), sites.rows(name), at=name)
        yield made


def leaves(node, kind):
    decoded = [codec.decode(body, Leaf) for body, _, _ in node.books.log.leaves()]
    return [leaf for leaf in decoded if isinstance(leaf, kind)]


def refused(node, site, message):
    """The error that a request meets with; it is logged as refused and nothing is charged."""
    charged, told = len(leaves(node, Charged)), len(leaves(node, Refused))
    with pytest.raises(SteadError) as failed:
        site.ask(message, object)
    assert len(leaves(node, Charged)) == charged
    assert len(leaves(node, Refused)) == told + 1
    assert leaves(node, Refused)[-1].error == type(failed.value).code()
    return type(failed.value).__name__, str(failed.value)


def asked(plan):
    return AskAnswer(os.urandom(16), "testing", codec.encode(plan), "an attack")


@pytest.mark.parametrize(
    ("plan", "error"),
    [
        (sites.mean_query(column="salary"), "UnknownColumn"),
        (sites.mean_query(column="note"), "UsageError"),
        (sites.mean_query(column="patient"), "UsageError"),
        (Query("heart", (), ("patient",), (Count("n"),), (40.0,)), "UsageError"),
        (Query("heart", (), (), (Sum("total", "sex"),), (40.0,)), "UnboundedContribution|UsageError"),
        (Query("heart", (Filter(Compare("age", "==", "1' OR '1'='1")),), (), (Count("n"),), (40.0,)), "UsageError"),
        (Query('heart"; DROP TABLE rows; --', (), (), (Count("n"),), (40.0,)), "UsageError"),
        (Query("heart", (), (), (Count("n"),), (0.0,)), "UsageError"),
        (Query("heart", (), (), (Count("n"),), ()), "UsageError"),
    ],
)
def test_questions_that_cannot_be_asked(network, plan, error):
    name, _ = refused(network.nodes["north"], network["north"].site, asked(plan))
    assert name in error.split("|")


def encoded_program(change):
    program = codec.decode(sites.linear_gradient(), Program)
    return msgspec.structs.replace(program, **change(program))


def unknown_operation():
    return encoded_program(
        lambda found: {"steps": (msgspec.structs.replace(found.steps[0], op="os.system"), *found.steps[1:])}
    )


def lying_shape():
    def change(found):
        step = found.steps[0]
        return {"steps": (msgspec.structs.replace(step, outputs=(TensorType("float32", (1,)),)), *found.steps[1:])}

    return encoded_program(change)


def flop_bomb():
    """Two thousand products of matrices of two thousand rows for each example."""
    b = ProgramBuilder()
    w = b.input("w", "parameter", TensorType("float32", (sites.WIDTH,)))
    x = b.input("x", "x", TensorType("float32", (sites.WIDTH,)))
    y = b.input("y", "y", TensorType("int64", ()))
    square = b.add("expand", b.view(b.sum(x, (0,), keep=True), (1, 1)), shape=(2000, 2000))
    for _ in range(2000):
        square = b.add("mm", square, square)
    loss = b.add("mul", b.sum(square, (0, 1), keep=False), b.cast(y, "float32"))
    return b.build({"loss": loss, "d_w": b.add("mul", w, x)})


class Evil:
    """What a pickle can do."""

    def __reduce__(self):
        return (Path.touch, (PICKLED,))


def pickled_constants():
    return encoded_program(lambda _: {"constants": pickle.dumps(Evil())})


def pickled_zip():
    return encoded_program(lambda _: {"constants": b"PK\x03\x04" + pickle.dumps(Evil())})


@pytest.mark.parametrize(
    ("program", "error"),
    [
        (unknown_operation, "UnsupportedOperation"),
        (lying_shape, "BadMessage"),
        (flop_bomb, "TooExpensive"),
        (pickled_constants, "BadMessage"),
        (pickled_zip, "BadMessage"),
    ],
)
def test_a_training_that_holds_a_bad_program(network, program, error):
    node, site = network.nodes["north"], network["north"].site
    parties = [network[name].site for name in network]
    training = sites.training(sites=2, gradient=codec.encode(program()))
    good = sites.session(parties, sites.training(sites=2))
    data = codec.encode(training)
    header = msgspec.structs.replace(good.header, plan_hash=plan_hash(data))
    opening = OpenSession(header.release, "testing", data, header.to_bytes(), "join", "an attack")
    name, text = refused(node, site, opening)
    assert name == error, text
    assert not PICKLED.exists()


def test_a_gradient_that_is_a_pickle(network):
    training = sites.training(sites=2, gradient=pickle.dumps(Evil()))
    data = codec.encode(training)
    good = sites.session([network[name].site for name in network], sites.training(sites=2))
    header = msgspec.structs.replace(good.header, plan_hash=plan_hash(data))
    opening = OpenSession(header.release, "testing", data, header.to_bytes(), "join", "an attack")
    assert refused(network.nodes["north"], network["north"].site, opening)[0] == "BadMessage"
    assert not PICKLED.exists()


def opening(network, *, cohort=None, twice=False, **changes):
    """A request to north to open a session, with a header of the attacker's making."""
    run = sites.session([network[name].site for name in network], sites.training(sites=2), **changes)
    header = msgspec.to_builtins(run.header, builtin_types=(bytes,))
    if cohort is not None:
        header["cohort"] = cohort
    if twice:
        header["cohort"] = [header["cohort"][0]] * 2
    data = msgspec.msgpack.encode(header)
    plan = run.channel._terms.plan
    return OpenSession(run.header.release, "testing", plan, data, "join", "an attack")


def test_headers_of_an_attackers_making(network):
    node, site = network.nodes["north"], network["north"].site
    own = site.node_key
    stranger = Key.generate(SystemEntropy()).public.raw
    scientist = site.scientist.key.public.raw
    valley = network["valley"].site.node_key
    for message, error in (
        (opening(network, cohort=[["north", own], ["valley", stranger]]), "BadSignature"),
        (opening(network, cohort=[["north", own], ["me", scientist]]), "BadSignature"),
        (opening(network, cohort=[["me", scientist], ["valley", valley]]), "BadSignature"),
        (opening(network, twice=True), "BadMessage"),
        (opening(network, cohort=[["north", own], ["again", own]]), "BadMessage"),
        (opening(network, cohort=[["north", own]]), "BadMessage"),
        (opening(network, length=5), "BadMessage"),
        (opening(network, rounds=3), "UsageError"),
        (opening(network, ring_bits=64), "UsageError"),
        (opening(network, colluders=0), "UsageError"),
        (opening(network, plan_hash=bytes(32)), "BadMessage"),
        (opening(network, release=os.urandom(16), outlet="disclose"), "BadMessage"),
    ):
        name, text = refused(node, site, message)
        assert name == error, text


def test_a_joint_question_of_another_length_is_refused_before_it_is_charged(network):
    run = sites.session([network[name].site for name in network], sites.count_query(), length=3)
    plan = run.channel._terms.plan
    message = OpenSession(run.header.release, "testing", plan, run.header.to_bytes(), "join", "an attack")
    assert refused(network.nodes["north"], network["north"].site, message)[0] == "BadMessage"


def run_with(columns, query, described=None):
    """The exact integers of a query over these rows, from the runner of a node."""
    with local_network(["north"]) as network:
        network.add(described or sites.card("north"), columns, at="north")
        return network.nodes["north"].gate._runner.run(query, network.nodes["north"].registry.card("heart")).vector


def with_row(columns, **values):
    """The columns with one more person."""
    return {name: [*column, values.get(name, column[0])] for name, column in columns.items()}


@pytest.mark.parametrize("value", [1e300, -1e300, "inf", "-inf", "nan", None, 1_000_000, 0, 1e-320])
def test_rows_out_of_bounds_move_no_answer_further_than_the_bound(value):
    schema = sites.card("north").schema
    query = Query("heart", (), (), (Sum("total", "marker"), Mean("mean", "marker"), Count("n")), (1.0,) * 4)
    columns = sites.rows("north")
    without = run_with(columns, query)
    added = run_with(with_row(columns, patient="one more", marker=value), query)
    bounds = np.concatenate([np.full(part.size, part.per_row) for part in parts(query, schema)])
    assert (np.abs(added - without) <= bounds).all()
    assert added[-1] == without[-1] + 1
    if value in (1e300, "inf"):
        assert added[0] - without[0] == bounds[0], "a value beyond the bound counts as the bound"
    if value in ("nan", None):
        assert added[0] == without[0]


def trap(kind):
    """A model that breaks for the person whose age is 99, and for nobody else: nobody else is above 94."""

    def built(b, x):
        age = b.add("slice", x, axis=0, start=0, end=1, step=1)
        past = b.add("relu", b.add("sub", age, b.like(age, 0.93)))
        if kind == "overflow":
            huge = b.add("exp", b.add("mul", past, b.like(past, 1e6)))
            return b.add("mul", x, b.add("expand", huge, shape=(sites.WIDTH,)))
        # The logarithm of one for everybody else, and of a negative number for the chosen one.
        poison = b.add("log", b.add("sub", b.like(past, 1.0), b.add("mul", past, b.like(past, 1e3))))
        return b.add("add", x, b.add("expand", poison, shape=(sites.WIDTH,)))

    return built


def site_vectors(columns, gradient, monkeypatch, *, seed=11):
    """The exact integers of both sites before noise, by site, of a training over these rows at north."""
    exact = []
    really = NoiseShare.add

    def recording(share, values, entropy):
        exact.append(values.copy())
        return really(share, values, entropy)

    with local_network(["north", "valley"], rules=sites.RULES, seed=seed) as network, monkeypatch.context() as patch:
        patch.setattr(NoiseShare, "add", recording)
        network.add(sites.card("north"), columns, at="north")
        network.add(sites.card("valley"), sites.rows("valley"), at="valley")
        plan = sites.training(sites=2, rounds=1, gradient=gradient)
        sites.session([network[name].site for name in network], plan).train([(50, 200)] * 2)
    return sorted(exact, key=tuple)


@pytest.mark.parametrize("kind", ["overflow", "nan"])
def test_a_model_that_breaks_for_one_person_changes_nothing_but_that_persons_part(monkeypatch, kind):
    """With and without the person: the sums of integers differ by that person's vector, which is zero."""
    columns = sites.rows("north")
    gradient = sites.linear_gradient(trap=trap(kind))
    chosen = with_row(columns, patient="chosen", age=99)
    without, with_chosen = (site_vectors(each, gradient, monkeypatch) for each in (columns, chosen))
    assert [vector.tolist() for vector in with_chosen] == [vector.tolist() for vector in without]
    # And the trap is one: for a person of ordinary age the same row counts, by no more than the clip.
    ordinary = site_vectors(with_row(columns, patient="chosen", age=60), gradient, monkeypatch)
    moved = np.concatenate(ordinary) - np.concatenate(without)
    assert 0 < np.linalg.norm(moved) <= 2.0**10


def test_the_same_people_under_a_second_name_share_one_budget(tmp_path):
    with local_network(["north"], directory=tmp_path) as network:
        network.add(sites.card("north"), sites.rows("north"), at="north")
        network.add(sites.card("north", name="lungs"), sites.rows("north"), at="north")
        network["north"]["heart"].count().answer(sigmas=[1.0], why="first")
        assert (
            network["north"]["lungs"].budget[0].epsilon_spent == network["north"]["heart"].budget[0].epsilon_spent > 5
        )
        with pytest.raises(BudgetExceeded):
            [network["north"]["lungs"].count().answer(sigmas=[1.0], why="again") for _ in range(4)]
        with pytest.raises(UsageError, match="the same people have one budget"):
            network.add(sites.card("north", name="new", population="other people"), sites.rows("north"), at="north")
        with pytest.raises(UsageError, match="the same people have one budget"):
            network.add(sites.card("north", population="other people"), sites.rows("valley"), at="north")
        assert [card.name for card in network.nodes["north"].registry.cards()] == ["heart", "lungs"]
        assert not list(tmp_path.glob("*-rows.csv"))


HOSTILE = ('"; DROP TABLE rows; --', "x' UNION SELECT 1 --", "a]b[c", "select", "ä\u202e", "{0}%s$1?:p")


def test_names_that_look_like_sql_are_names():
    columns = (
        *(Column(name, "integer", bounds=Bounds(0, 10)) for name in HOSTILE),
        Column("'kind'", "category", categories=("'); DELETE FROM rows; --", '"', "\\")),
    )
    size = 90
    values = {name: [(row + place) % 11 for row in range(size)] for place, name in enumerate(HOSTILE)}
    values["'kind'"] = [columns[-1].categories[row % 3] for row in range(size)]
    name = "heart'; DROP TABLE datasets; --"
    schema = msgspec.structs.replace(
        sites.card("north").schema, columns=columns, person=None, population='"pop"; --', people=(50, 100)
    )
    described = msgspec.structs.replace(sites.card("north"), name=name, schema=schema)
    with local_network(["north"]) as network:
        network.add(described, values, at="north")
        heart = network["north"][name]
        runner = network.nodes["north"].gate._runner
        for place, column in enumerate(HOSTILE):
            kept = Filter(Compare(column, ">=", 5))
            query = Query(name, (kept,), ("'kind'",), (Count("n"), Sum('s"', column)), (1.0, 1.0))
            rows = [(values["'kind'"][row], values[column][row]) for row in range(size) if values[column][row] >= 5]
            groups = [[value for kind, value in rows if kind == one] for one in columns[-1].categories]
            exact = runner.run(query, described).vector
            assert exact[:3].tolist() == [len(group) for group in groups], place
            loud = msgspec.structs.replace(query, sigmas=(1e3, 1e9))
            assert network["north"].site.ask(asked(loud), object).body
        assert heart.group_by("'kind'").agg(n=heart.count()).on_mock()["n"].shape == (3,)
        assert network.nodes["north"].registry.cards()[0].name == name


# The node's own home.


def test_an_older_store_is_not_served(tmp_path, key):
    """A restored backup would give spent budget back."""
    home = sites.found(tmp_path, "north", key.public.raw).home
    names = [path.name for path in home.path.glob("store.db*")]
    for name in names:
        shutil.copy(home.path / name, tmp_path / name)
    with sites.owner(home) as node:
        node.books.people.enrol(Key.generate(SystemEntropy()).public.raw, "later", role="scientist", project="risk")
    for path in home.path.glob("store.db*"):
        path.unlink()
    for name in names:
        shutil.copy(tmp_path / name, home.path / name)
    ended = sites.command("serve", "--node", home.path, "--port", "0")
    assert ended.returncode == 4
    assert ended.stdout == ""
    assert "this store is older than it was" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_anothers_store_is_not_served(tmp_path, key):
    one, other = (sites.found(tmp_path, name, key.public.raw).home for name in ("north", "valley"))
    for path in one.path.glob("store.db*"):
        path.unlink()
    for path in other.path.glob("store.db*"):
        shutil.copy(path, one.path / path.name)
    ended = sites.command("serve", "--node", one.path, "--port", "0")
    assert ended.returncode == 4
    assert "another key" in ended.stderr


def test_seeded_entropy_is_refused_in_a_node_that_is_not_for_testing(tmp_path, monkeypatch):
    path = tmp_path / "node"
    home = Home.create(path, Settings(name="north"), SystemEntropy())
    with pytest.raises(UsageError, match="randomness from the system"):
        open_node(home, entropy=SeededEntropy(1))
    open_node(home).close()
    monkeypatch.setenv("STEAD_TESTING", "true")
    with pytest.raises(UsageError, match="randomness from the system"):
        open_node(Home.open(path), entropy=SeededEntropy(1))
    with (path / "stead.toml").open("a") as settings:
        settings.write("testing = true\n")
    with pytest.raises(UsageError, match="made for testing"):
        open_node(Home.open(path), entropy=SeededEntropy(1))

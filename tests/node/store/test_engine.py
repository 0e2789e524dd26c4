"""The store: one writer's turn, locks in one order, versions, and rows that are never rewritten."""

import multiprocessing
import stat
import subprocess
import sys
import threading

import pytest
import sqlalchemy as sa
from gate_world import ALICE, StillClock, ask, new_world, open_world, release_id
from sqlalchemy import exc

from stead.errors import NodeError, UsageError, VersionMismatch
from stead.node.services.nonces import StoredReplayGuard
from stead.node.store import Lock, Transaction, open_store, tables
from stead.node.store.upgrade import upgrade


@pytest.fixture
def store(store_url):
    opened = open_store(store_url)
    yield opened
    opened.close()


def nonces(store):
    with store.read() as connection:
        return connection.execute(sa.select(sa.func.count()).select_from(tables.nonces)).scalar_one()


def put(write, number=1):
    row = {"sender": b"s", "nonce": bytes([number]), "expires": 0.0}
    return write.insert_if_absent(tables.nonces, row)


def test_a_write_is_all_or_nothing(store):
    with store.write() as write:
        assert put(write, 1)
        assert not put(write, 1)

    def fail():
        with store.write() as write:
            put(write, 2)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert nonces(store) == 1


def test_what_is_to_be_done_after_a_commit_is_done_after_it_and_once(store):
    seen = []

    def note():
        seen.append(nonces(store))

    with store.write() as write:
        put(write)
        write.after_commit(note)
        write.after_commit(note)
        assert seen == []
    assert seen == [1]

    def fail():
        with store.write() as write:
            write.after_commit(note)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert seen == [1]


def test_a_reader_sees_one_state(store):
    with store.read() as connection:
        count = sa.select(sa.func.count()).select_from(tables.nonces)
        assert connection.execute(count).scalar_one() == 0
        with store.write() as write:
            put(write)
        assert connection.execute(count).scalar_one() == 0
    assert nonces(store) == 1


@pytest.mark.parametrize(
    "steps",
    [
        (Lock.ACCOUNTS, Lock.RELEASE),
        (Lock.HEAD, Lock.ACCOUNTS),
        (Lock.HEAD, Lock.RELEASE),
        (Lock.ACCOUNTS, Lock.ACCOUNTS),
    ],
)
def test_locks_out_of_order_are_refused(store, steps):
    def take(write, lock):
        if lock is Lock.RELEASE:
            write.lock_release(b"r" * 16)
        elif lock is Lock.ACCOUNTS:
            write.lock_accounts(["a"])
        else:
            write.lock_head()

    def wrong():
        with store.write() as write:
            for lock in steps:
                take(write, lock)

    with pytest.raises(NodeError, match=r"locks are taken in the order|locks its accounts once"):
        wrong()
    with store.write() as write:
        for lock in (Lock.RELEASE, Lock.RELEASE, Lock.ACCOUNTS, Lock.HEAD, Lock.HEAD):
            take(write, lock)


def test_the_gate_takes_its_locks_in_order(store_url, tmp_path, monkeypatch):
    taken = []
    original = Transaction._take
    monkeypatch.setattr(Transaction, "_take", lambda self, lock: (taken.append(lock), original(self, lock)))
    world = new_world(store_url, tmp_path)
    taken.clear()
    world.gate.answer(ALICE, ask())
    # three new accounts, charged | stored
    charge = [Lock.RELEASE, Lock.ACCOUNTS, *[Lock.HEAD] * 4]
    assert taken == [*charge, Lock.RELEASE, Lock.HEAD]
    world.close()


def test_accounts_are_locked_in_the_order_of_their_ids(store_url):
    """Two writers that name the same accounts in opposite orders both finish."""
    store = open_store(store_url)
    with store.write() as write:
        for name in "ab":
            row = {"id": name, "epsilon": 1.0, "delta": 0.1, "orders": (2,), "spent": (0,), "disclosures": 0}
            write.insert_if_absent(tables.accounts, row)
    failures = []

    def work(names):
        try:
            for _ in range(15):
                with store.write() as write:
                    rows = write.lock_accounts(names)
                    assert list(rows) == ["a", "b"]
                    for name in names:
                        change = tables.accounts.update().where(tables.accounts.c.id == name)
                        write.connection.execute(change.values(disclosures=rows[name]["disclosures"] + 1))
        except Exception as error:  # noqa: BLE001 - shown below
            failures.append(error)

    threads = [threading.Thread(target=work, args=(names,)) for names in (["a", "b"], ["b", "a"])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    with store.read() as connection:
        assert connection.execute(sa.select(tables.accounts.c.disclosures)).scalars().all() == [30, 30]
    store.close()


def test_a_busy_database_is_waited_for_and_then_given_up(tmp_path):
    url = tmp_path / "stead.db"
    holder, hurried = open_store(url), open_store(url, busy_timeout_s=0.05)
    with holder.write() as held:
        put(held)

        def wait_in_vain():
            with hurried.write():
                pass

        with pytest.raises(NodeError, match=r"busy for 0\.05 s"):
            wait_in_vain()
    patient = open_store(url, busy_timeout_s=20.0)
    let_go = threading.Event()

    def hold():
        with holder.write() as held:
            put(held, 2)
            started.set()
            let_go.wait(10)

    started = threading.Event()
    thread = threading.Thread(target=hold)
    thread.start()
    started.wait(10)
    threading.Timer(0.2, let_go.set).start()
    with patient.write() as write:
        assert not put(write, 2)  # it waited for the holder's commit
    thread.join()
    for opened in (holder, hurried, patient):
        opened.close()


def test_a_store_in_memory_or_of_another_kind_is_refused():
    for url in ("sqlite://", "sqlite:///:memory:", "mysql://localhost/x"):
        with pytest.raises(UsageError):
            open_store(url)


def test_a_file_that_is_no_database_is_refused(tmp_path):
    (tmp_path / "stead.db").write_text("not a database, but long enough to be looked at as one" * 40)
    with pytest.raises(NodeError, match="cannot be opened"):
        open_store(tmp_path / "stead.db")


def test_the_file_is_its_owners_alone(tmp_path):
    store = open_store(tmp_path / "stead.db")
    with store.write() as write:
        put(write)
        for path in tmp_path.iterdir():
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path.name
    store.close()


def test_commits_are_durable_by_setting(store, store_url):
    with store.read() as connection:
        if "postgres" in store_url:
            assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "on"
        else:
            settings = {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in PRAGMAS}
            assert settings == PRAGMAS


PRAGMAS = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


def open_in_process(url, results):
    store = open_store(url)
    StoredReplayGuard(store, StillClock()).claim(b"s", b"n", 0.0) if results.get() else None
    store.close()


def test_processes_that_make_the_store_at_once_make_one(store_url):
    fork = multiprocessing.get_context("fork")
    results = fork.Queue()
    makers = [fork.Process(target=open_in_process, args=(store_url, results)) for _ in range(4)]
    for number, maker in enumerate(makers):
        results.put(number == 0)
        maker.start()
    for maker in makers:
        maker.join()
    assert [maker.exitcode for maker in makers] == [0] * 4
    store = open_store(store_url)
    assert nonces(store) == 1
    store.close()


def shape(store):
    """Every table's columns, keys and indexes, and every trigger, as the database tells them."""
    with store.read() as connection:
        inspector = sa.inspect(connection)
        found = {}
        for table in sorted(set(inspector.get_table_names()) - {"alembic_version"}):
            columns = [(c["name"], str(c["type"]), c["nullable"]) for c in inspector.get_columns(table)]
            keys = inspector.get_pk_constraint(table)["constrained_columns"]
            references = inspector.get_foreign_keys(table)
            foreign = sorted((key["constrained_columns"], key["referred_table"]) for key in references)
            indexes = sorted((i["name"], i["column_names"]) for i in inspector.get_indexes(table))
            found[table] = (columns, keys, foreign, indexes)
        triggers = {
            "sqlite": "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' ORDER BY name",
            "postgresql": "SELECT tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1",
        }[connection.dialect.name]
        found["triggers"] = [tuple(row) for row in connection.exec_driver_sql(triggers)]
    return found


def test_the_migrations_make_what_a_new_store_is(store, store_url, tmp_path):
    fresh = shape(store)
    with store.write() as write:
        connection = write.connection
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql("DROP SCHEMA public CASCADE")
            connection.exec_driver_sql("CREATE SCHEMA public")
        else:
            connection.exec_driver_sql("PRAGMA defer_foreign_keys = ON")
            tables.metadata.drop_all(connection)
        upgrade(connection)
    assert shape(store) == fresh
    store.close()
    world = new_world(store_url, tmp_path)
    world.gate.answer(ALICE, ask())
    world.close()


def test_a_store_before_its_first_migration_is_upgraded_when_it_is_opened(tmp_path):
    store = open_store(tmp_path / "a.db")
    fresh = shape(store)
    with store.write() as write:
        tables.metadata.drop_all(write.connection)
        tables.alembic_version.create(write.connection)
    store.close()
    store = open_store(tmp_path / "a.db")
    assert shape(store) == fresh
    with store.read() as connection:
        assert connection.execute(sa.select(tables.alembic_version)).scalars().all() == [tables.SCHEMA_VERSIONS[-1]]
    store.close()


def test_a_store_that_must_not_be_changed(tmp_path):
    with pytest.raises(VersionMismatch, match="'none'"):
        open_store(tmp_path / "a.db", change=False)
    open_store(tmp_path / "a.db").close()
    open_store(tmp_path / "a.db", change=False).close()


def test_a_newer_store_is_refused(store, store_url):
    with store.write() as write:
        write.connection.execute(tables.alembic_version.update().values(version_num="9999"))
    with pytest.raises(VersionMismatch, match="9999"):
        open_store(store_url)


def test_opening_a_store_loads_no_alembic(tmp_path):
    code = (
        "import sys; from stead.node.store import open_store; "
        "open_store(sys.argv[1]).close(); open_store(sys.argv[1]).close(); print('alembic' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "a.db"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


REWRITES = [
    "UPDATE entries SET amounts = '[0]'",
    "DELETE FROM entries",
    "UPDATE leaves SET body = salt",
    "DELETE FROM leaves",
    "UPDATE log_nodes SET hash = hash",
    "DELETE FROM log_nodes",
    "UPDATE policies SET body = hash",
    "DELETE FROM policies",
    "UPDATE node SET testing = testing",
    "DELETE FROM node",
    "DELETE FROM accounts",
    "UPDATE accounts SET orders = '[2]'",
    "DELETE FROM releases",
    "UPDATE releases SET plan = header",
    "UPDATE releases SET requester = plan",
    "UPDATE releases SET result = plan",
    "UPDATE releases SET result = NULL",
    "DELETE FROM sessions",
]


@pytest.fixture
def written(store_url, tmp_path):
    from gate_world import opening

    world = new_world(store_url, tmp_path)
    world.gate.answer(ALICE, ask(release_id("written")))
    world.gate.join(ALICE, opening())
    yield world
    world.close()


def test_what_is_recorded_is_not_rewritten(written, store_url):
    def rewrite(statement):
        with written.books.store.write() as write:
            write.connection.exec_driver_sql(statement)

    statements = list(REWRITES)
    if "postgres" in store_url:
        statements += [f"TRUNCATE {table} CASCADE" for table in ("entries", "leaves", "accounts", "releases")]
    for statement in statements:
        with pytest.raises(exc.IntegrityError, match="append-only"):
            rewrite(statement)
    written.books.ledger.verify()


def test_a_replacing_insert_does_not_rewrite_either(written, store_url):
    if "postgres" in store_url:
        statement = (
            "INSERT INTO leaves (position, body, salt, hash) VALUES (0, 'x', 'x', 'x') "
            "ON CONFLICT (position) DO UPDATE SET body = EXCLUDED.body"
        )
    else:
        statement = "INSERT OR REPLACE INTO leaves (position, body, salt, hash) VALUES (0, 'x', 'x', 'x')"

    def replace():
        with written.books.store.write() as write:
            write.connection.exec_driver_sql(statement)

    with pytest.raises(exc.IntegrityError, match="append-only"):
        replace()


def test_sums_beyond_64_bits_are_kept(store):
    huge = (2**80, 0)
    row = {"id": "a", "epsilon": 1.0, "delta": 0.1, "orders": (2, 3), "spent": huge, "disclosures": 0}
    with store.write() as write:
        write.insert_if_absent(tables.accounts, row)
    with store.read() as connection:
        assert connection.execute(sa.select(tables.accounts.c.spent)).scalar_one() == huge


def test_a_second_world_sees_the_first_ones_writes(store_url, tmp_path):
    first = new_world(store_url, tmp_path)
    second = open_world(store_url, tmp_path)
    request = ask()
    assert first.gate.answer(ALICE, request).body == second.gate.answer(ALICE, request).body
    first.close()
    second.close()

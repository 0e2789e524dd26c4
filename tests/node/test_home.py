"""A node's directory: made once, opened again, private to its owner."""

import stat

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stead.core.entropy import SeededEntropy, SystemEntropy
from stead.errors import UsageError
from stead.node.home import Home, Settings


@pytest.fixture
def path(tmp_path):
    return tmp_path / "node"


def make(path, **changes):
    return Home.create(path, Settings(**{"name": "North Hospital"} | changes), SystemEntropy())


def test_what_was_made_is_what_is_opened(path):
    made = make(path, port=9443, hosts=("north.example", "10.0.0.7"), threads=3, memory_mb=512)
    opened = Home.open(path)
    assert opened.settings == made.settings
    assert opened.key.public == made.key.public
    assert opened.store_url == f"sqlite:///{path / 'store.db'}"


@given(
    name=st.text(st.characters(categories=("L", "N", "P", "S", "Zs")), min_size=1, max_size=30).filter(str.isprintable),
    host=st.from_regex(r"[a-z][a-z0-9.-]{0,20}[a-z0-9]", fullmatch=True),
)
@settings(max_examples=40)
def test_any_name_survives_the_settings_file(tmp_path_factory, name, host):
    path = tmp_path_factory.mktemp("home") / "node"
    made = Home.create(path, Settings(name=name, hosts=(host,), bind=host), SeededEntropy(1))
    assert Home.open(path).settings == made.settings


def test_nobody_else_can_read_it(path):
    make(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert stat.S_IMODE((path / "node.key").stat().st_mode) == 0o600
    assert {stat.S_IMODE((path / part).stat().st_mode) for part in ("data", "tls")} == {0o700}


def test_the_person_secret_is_made_once_and_kept(path):
    made = make(path)
    secret = made.person_secret(SystemEntropy())
    assert len(secret) == 32
    assert stat.S_IMODE((path / "person.secret").stat().st_mode) == 0o600
    assert Home.open(path).person_secret(SystemEntropy()) == secret
    (path / "person.secret").unlink()  # as in a home of an earlier version
    again = Home.open(path).person_secret(SystemEntropy())
    assert again != secret
    assert Home.open(path).person_secret(SystemEntropy()) == again
    assert sorted(file.name for file in path.iterdir()) == ["data", "node.key", "person.secret", "stead.toml", "tls"]


def test_of_two_processes_that_make_the_secret_one_wins(path):
    """The other one was between looking and writing; it reads what is there."""
    home = make(path)
    (path / "person.secret").unlink()

    class Slow(SeededEntropy):
        def take(self, size_bytes):
            (path / "person.secret").write_bytes(bytes(range(32)))
            (path / "person.secret").chmod(0o600)
            return super().take(size_bytes)

    assert home.person_secret(Slow(1)) == bytes(range(32))


def test_a_person_secret_that_is_not_one(path):
    home = make(path)
    (path / "person.secret").write_bytes(bytes(31))
    with pytest.raises(UsageError, match="holds 31 bytes, not 32"):
        home.person_secret(SystemEntropy())
    (path / "person.secret").chmod(0o644)
    with pytest.raises(UsageError, match="open to others"):
        home.person_secret(SystemEntropy())


def test_a_directory_that_is_taken_is_left_as_it_is(path):
    first = make(path)
    with pytest.raises(UsageError, match="there is a node already"):
        make(path, name="another")
    assert Home.open(path).key.public == first.key.public
    other = path.parent / "other"
    other.mkdir()
    (other / "thesis.txt").write_text("years of work")
    with pytest.raises(UsageError, match="not empty"):
        make(other)
    assert [file.name for file in other.iterdir()] == ["thesis.txt"]


def test_an_empty_directory_is_taken_and_closed_to_others(path):
    path.mkdir(mode=0o755)
    make(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o700


def test_no_node_there(path):
    with pytest.raises(UsageError, match="no node at") as failed:
        Home.open(path)
    assert "stead init" in failed.value.hint


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("port = 70000", "port is 0 to 65535"),
        ('port = "many"', "port"),
        ("threads = 0", "threads is at least 1"),
        ("memory_mb = 8", "memory_mb at least 64"),
        ("colour = 3", "colour"),
        ('name = ""', "1 to 100 printable"),
        ('name = "two\\nlines"', "1 to 100 printable"),
        ("port = = 3", "not (valid )?TOML"),
    ],
)
def test_settings_that_cannot_be(path, line, told):
    make(path)
    file = path / "stead.toml"
    key = line.partition(" ")[0]
    kept = [text for text in file.read_text().splitlines() if not text.startswith(f"{key} ")]
    file.write_text("\n".join([*kept, line]) + "\n")
    with pytest.raises(UsageError, match=told):
        Home.open(path)


def test_the_environment_wins_over_the_file(path, monkeypatch):
    make(path, port=1000)
    monkeypatch.setenv("STEAD_PORT", "2000")
    monkeypatch.setenv("STEAD_HOSTS", "a.example,b.example")
    monkeypatch.setenv("STEAD_STORE", "postgresql://db/stead")
    opened = Home.open(path)
    assert (opened.settings.port, opened.settings.hosts) == (2000, ("a.example", "b.example"))
    assert opened.store_url == "postgresql://db/stead"
    monkeypatch.setenv("STEAD_PORT", "lots")
    with pytest.raises(UsageError, match="port"):
        Home.open(path)


def test_no_environment_makes_a_testing_node(path, monkeypatch):
    make(path)
    monkeypatch.setenv("STEAD_TESTING", "true")
    assert not Home.open(path).settings.testing
    assert "testing" not in (path / "stead.toml").read_text()


def test_a_home_prints_its_name_and_no_key(path):
    assert repr(make(path)) == "Home('North Hospital')"

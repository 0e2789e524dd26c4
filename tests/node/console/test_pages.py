"""The front page: true, escaped, and asking nothing of anybody else."""

import html
import re

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from stead.core.entropy import SystemEntropy
from stead.core.keys import PublicKey
from stead.core.notes import log_origin, open_checkpoint
from stead.node.assembly import open_node
from stead.node.console.pages import pages
from stead.node.home import Home, Settings

HOSTILE = 'North <script>alert(1)</script> & "Sons"'


@pytest.fixture
def node(tmp_path):
    node = open_node(Home.create(tmp_path / "node", Settings(name=HOSTILE), SystemEntropy()))
    yield node
    node.close()


@pytest.fixture
def client(node):
    with TestClient(Litestar(pages(node.books), openapi_config=None)) as client:
        yield client


def test_the_page_says_who_the_node_is_and_where_its_log_stands(client, node):
    page = html.unescape(client.get("/").text)
    head = open_checkpoint(node.books.log.checkpoint(), log_origin(node.books.log.node_key), node.home.key.public)
    assert HOSTILE in page
    assert node.home.key.public.raw.hex() in page
    assert node.home.key.public.fingerprint() in page
    assert head.root.hex() in page


def test_a_hostile_name_is_text(client):
    assert "<script" not in client.get("/").text


def test_the_json_twin_says_the_same(client, node):
    facts = client.get("/index.json").json()
    assert facts["name"] == HOSTILE
    assert PublicKey(bytes.fromhex(facts["key"])) == node.home.key.public
    assert facts["entries"] == node.books.log.size() == 1
    page = html.unescape(client.get("/").text)
    for value in (facts["fingerprint"], facts["root"], facts["version"]):
        assert value in page


def test_the_page_may_load_nothing_and_loads_nothing(client):
    reply = client.get("/")
    assert reply.headers["content-security-policy"].startswith("default-src 'none'")
    assert not re.search(r"<(script|img|iframe|link|form)|src=|url\(|@import", reply.text)
    assert all(target.startswith("/") for target in re.findall(r'href="([^"]*)"', reply.text))


def test_a_testing_node_says_so(tmp_path, client):
    assert "For testing" not in client.get("/").text
    node = open_node(Home.create(tmp_path / "testing", Settings(name="alice", testing=True), SystemEntropy()))
    with TestClient(Litestar(pages(node.books), openapi_config=None)) as other:
        assert "For testing" in other.get("/").text
    node.close()

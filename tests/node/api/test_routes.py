"""The node's public pages, and how it says no outside of sealed messages."""

import importlib
import json
import sys
from pathlib import Path

import pytest
from litestar.testing import TestClient

from stead.client.verify import verify_log_export
from stead.core.keys import PublicKey
from stead.core.merkle import verify_consistency
from stead.core.messages import PROTOCOL
from stead.core.notes import log_origin, open_checkpoint
from stead.errors import by_code
from stead.net.certificates import read_identity
from stead.node.api import routes
from stead.node.app import make_app
from stead.node.services.reception import Reception
from stead.testing import local_network

sys.path.insert(0, str(Path(__file__).parents[2]))
sites = importlib.import_module("sites")

SECRET = "an-echo-7d1f"


@pytest.fixture(scope="module")
def node():
    with local_network(["north"]) as network:
        network.add(sites.card("north"), sites.rows("north"), at="north")
        yield network.nodes["north"]


@pytest.fixture(scope="module")
def client(node):
    with TestClient(make_app(node)) as made:
        yield made


def failure(response, status):
    """The ``Failure`` of a page, which repeats nothing of what was asked and keeps to the error tree."""
    assert response.status_code == status
    assert response.headers["content-type"] == "application/json"
    found = response.json()
    assert set(found) == {"type", "error", "what", "hint", "reference"}
    assert found["type"] == "failure"
    assert by_code(found["error"]).code() == found["error"]
    assert SECRET not in response.text + repr(response.headers)
    assert "Traceback" not in response.text
    return found


def test_health(client):
    found = client.get("/health")
    assert found.status_code == 200
    assert (found.json()["status"], found.json()["protocol"]) == ("ok", PROTOCOL)


def test_identity(client, node):
    found = read_identity(client.get("/v1/identity").content)
    assert (found.name, found.public_key) == ("north", node.home.key.public)


def test_checkpoint_and_its_growth(client, node):
    key = node.home.key.public
    origin = log_origin(key.raw)
    old = open_checkpoint(client.get("/v1/log/checkpoint").text, origin, key)
    node.books.people.enrol(bytes([1]) * 32, "later", role="scientist", project="risk")
    new = open_checkpoint(client.get("/v1/log/checkpoint").text, origin, PublicKey(key.raw))
    page = client.get(f"/v1/log/consistency?old={old.size}&new={new.size}").text
    verify_consistency(old.size, old.root, new.size, new.root, tuple(map(bytes.fromhex, page.split())))
    assert new.size == old.size + 1


def test_the_public_export_verifies_and_holds_hashes_only(client, node):
    page = client.get("/v1/log/export")
    assert page.headers["content-type"].startswith("application/x-ndjson")
    assert verify_log_export(page.content, node.home.key.public.raw).size == node.books.log.size()
    assert all(set(json.loads(line)) == {"index", "hash"} for line in page.text.splitlines()[1:])


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"/{SECRET}", 404),
        (f"/v1/log/{SECRET}", 404),
        (f"/v1/identity/{SECRET}", 404),
        (f"/v1/log/consistency?old={SECRET}&new=3", 400),
        (f"/v1/log/consistency?new={SECRET}", 400),
        ("/v1/log/consistency?old=3&new=1", 400),
        ("/v1/log/consistency?old=-1&new=1", 400),
        (f"/v1/log/consistency?old=1&new={10**40}", 400),
        ("/v1/messages", 405),
    ],
)
def test_what_is_not_served(client, path, status):
    assert failure(client.get(path), status)["error"] == "usage-error"


def test_wrong_verbs(client):
    for verb in ("post", "put", "delete", "patch"):
        assert failure(getattr(client, verb)("/v1/identity"), 405)


@pytest.mark.parametrize("body", [b"", SECRET.encode(), b"\x99\x01" + bytes(300), b"\xc6\x40\x00\x00\x00"])
def test_bytes_that_are_no_message(client, body):
    found = failure(client.post("/v1/messages", content=body), 400)
    assert found["error"] == "bad-message"


def test_a_body_over_the_limit(client, monkeypatch):
    monkeypatch.setattr(Reception, "receive", lambda *_: pytest.fail("it was read"))
    too_long = {"content-length": str(routes.MOST_BODY_BYTES + 1)}
    assert failure(client.post("/v1/messages", content=b"x", headers=too_long), 413)


def test_a_fault_of_ours_says_nothing_but_a_reference(client, monkeypatch, caplog):
    def fail(*_):
        raise RuntimeError(SECRET)

    monkeypatch.setattr(Reception, "receive", fail)
    with TestClient(client.app, raise_server_exceptions=False) as calm:
        found = failure(calm.post("/v1/messages", content=b"x"), 500)
    assert found["error"] == "node-error"
    (record,) = [record for record in caplog.records if record.name == "stead.node"]
    assert (record.reference, record.error, record.doing) == (found["reference"], "RuntimeError", "page")


@pytest.fixture(scope="module")
def described(client):
    return client.get("/schema/openapi.json").json()


def test_the_description_names_every_page(client, described):
    served = {
        (path, method.lower())
        for route in client.app.routes
        for path in [route.path]
        for method in getattr(route, "methods", ())
        if method in ("GET", "POST") and not path.startswith("/schema")
    }
    told = {(path, method) for path, methods in described["paths"].items() for method in methods}
    assert ("/v1/messages", "post") in told
    assert {place for place in served if place[0].startswith(("/v1", "/health"))} <= told
    assert told <= served


def test_the_description_is_true(client, described):
    """Each page without parameters answers with a status and media type that stand in the description."""
    for path, methods in described["paths"].items():
        if "get" not in methods or "{" in path or methods["get"].get("parameters"):
            continue
        page = client.get(path)
        content = methods["get"]["responses"][str(page.status_code)]["content"]
        assert page.headers["content-type"].partition(";")[0] in content, path


def test_the_description_says_what_a_message_is_and_how_it_fails(described):
    post = described["paths"]["/v1/messages"]["post"]
    assert post["requestBody"]["required"]
    assert list(post["requestBody"]["content"]) == [routes.MESSAGE_TYPE]
    assert set(post["responses"]) == {"200", "400", "413", "500"}
    for status in ("400", "413", "500"):
        (content,) = post["responses"][status]["content"].values()
        assert content["schema"]["$ref"].rpartition("/")[2].endswith("Failure")
    assert set(described["components"]["schemas"]) >= {"Failure", "Health", "Identity"}
    refused = described["paths"]["/v1/log/consistency"]["get"]["responses"]["400"]["content"]["application/json"]
    assert refused["schema"]["$ref"].endswith("Failure")


def test_no_page_of_the_description_loads_anything_from_elsewhere(client):
    for path in ("/schema", "/schema/", "/schema/openapi.json", "/schema/swagger", "/schema/redoc", "/schema/elements"):
        page = client.get(path)
        assert "<script" not in page.text, path
        assert "cdn" not in page.text, path

"""The log as a file: hashes for everybody, everything for whom the owner chooses."""

import importlib
import sys
from io import BytesIO
from pathlib import Path

import pytest

from stead.client.verify import verify_log_export
from stead.core import codec
from stead.core.export import read_export
from stead.core.leaves import Charged, Leaf
from stead.errors import BadProof
from stead.node.services.export import export_log
from stead.testing import local_network

sys.path.insert(0, str(Path(__file__).parents[2]))
sites = importlib.import_module("sites")


@pytest.fixture(scope="module")
def world():
    with local_network(["north"]) as network:
        network.add(sites.card("north"), sites.rows("north"), at="north")
        network["north"]["heart"].count().answer(sigmas=[2.0], why="a purpose-7d1f")
        yield network


def test_the_public_file_shows_no_question_and_no_person(world):
    books = world.nodes["north"].books
    data = export_log(books)
    assert b"purpose" not in data
    assert b"tester" not in data
    report = verify_log_export(data, books.identity.public)
    assert report.size == books.log.size()
    assert report.name == "north"


def test_the_full_file_proves_what_each_account_has_spent(world):
    books = world.nodes["north"].books
    report = verify_log_export(export_log(books, full=True), books.identity.public)
    assert report.testing
    assert report.accounts
    heart = world["north"]["heart"]
    spent = {account.account: account.epsilon_spent for account in report.accounts}
    for account in heart.budget:
        assert spent[account.account] == pytest.approx(account.epsilon_spent, rel=1e-9)


def test_a_line_left_out_or_changed_is_found(world):
    books = world.nodes["north"].books
    for full in (False, True):
        lines = export_log(books, full=full).splitlines(keepends=True)
        other = lines[2].replace(b'"hash":"', b'"hash":"AAAA', 1)[: len(lines[2])]
        for spoiled in (lines[:-1], lines[:3] + lines[4:], [*lines[:2], other, *lines[3:]], lines[1:]):
            with pytest.raises(BadProof):
                verify_log_export(b"".join(spoiled), books.identity.public)


def test_the_full_file_holds_each_decision(world):
    books = world.nodes["north"].books
    export = read_export(BytesIO(export_log(books, full=True)))
    decoded = [codec.decode(row.body, Leaf) for row in export.leaves]
    (charged,) = [leaf for leaf in decoded if isinstance(leaf, Charged)]
    assert charged.why == "a purpose-7d1f"
    assert export.kind == "full"

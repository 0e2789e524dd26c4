"""The corpus is replayed and a short random run made: only errors of the tree may come out of a parser."""

import importlib.util
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent


def _load():
    spec = importlib.util.spec_from_file_location("stead_fuzz", FOLDER / "messages.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


fuzz = _load()
TARGETS = {target.name: target for target in fuzz.TARGETS}


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_are_accepted(name):
    parse = TARGETS[name].load()
    if parse is None:
        pytest.skip("not installed")
    for data in TARGETS[name].seeds():
        assert fuzz.answer(parse, data) == "accepted"


@pytest.mark.parametrize("name", TARGETS)
def test_the_corpus_brings_out_errors_of_the_tree_only(name):
    parse = TARGETS[name].load()
    if parse is None:
        pytest.skip("not installed")
    for path in fuzz.corpus_files(name):
        fuzz.answer(parse, path.read_bytes())


def test_a_short_random_run_finds_nothing():
    for campaign in fuzz.campaigns(seed=20240229):
        find = campaign.step(400, keep=False)
        assert find is None, f"{find.target} {find.data.hex()}\n{find.trace}"


def test_every_folder_of_the_corpus_has_its_target():
    assert {path.name for path in (FOLDER / "corpus").iterdir()} <= set(TARGETS)


@pytest.mark.parametrize("wrong", [KeyError("x"), RecursionError(), MemoryError(), AssertionError()])
def test_the_fuzzer_finds_what_it_looks_for(wrong):
    def parse(data: bytes) -> None:
        if b"\xdd\xff" in data:
            raise wrong

    target = fuzz.Target("planted", lambda: parse, lambda: [b"\xdd\x00\x00"])
    campaign = fuzz.Campaign(target, parse, fuzz.random.Random(1))
    find = campaign.step(20_000, keep=False)
    assert find is not None
    assert b"\xdd\xff" in find.data

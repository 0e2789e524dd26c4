"""The log's tree against published vectors, against the definitions written out, and against tampering."""

import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stead.core.merkle import (
    EMPTY_ROOT,
    MAX_SIZE,
    MemoryNodes,
    MerkleLog,
    hash_leaf_input,
    leaf_hash,
    verify_consistency,
    verify_inclusion,
)
from stead.errors import BadProof, NodeError, UsageError

SIZES = 70
PUBLISHED = json.loads((Path(__file__).parents[1] / "vectors/published/merkle.json").read_text())
INPUTS = [bytes.fromhex(text) for text in PUBLISHED["leaf_inputs"]]
ROOTS = [bytes.fromhex(text) for text in PUBLISHED["roots"]]


def naive_root(inputs: list[bytes]) -> bytes:
    """MTH of RFC 9162, section 2.1.1, as it is written there."""
    if not inputs:
        return hashlib.sha256(b"").digest()
    if len(inputs) == 1:
        return hashlib.sha256(b"\x00" + inputs[0]).digest()
    k = naive_split(len(inputs))
    return hashlib.sha256(b"\x01" + naive_root(inputs[:k]) + naive_root(inputs[k:])).digest()


def naive_path(m: int, inputs: list[bytes]) -> list[bytes]:
    """PATH of RFC 9162, section 2.1.3.1, as it is written there."""
    if len(inputs) == 1:
        return []
    k = naive_split(len(inputs))
    if m < k:
        return [*naive_path(m, inputs[:k]), naive_root(inputs[k:])]
    return [*naive_path(m - k, inputs[k:]), naive_root(inputs[:k])]


def naive_subproof(m: int, inputs: list[bytes], *, whole: bool) -> list[bytes]:
    """SUBPROOF of RFC 9162, section 2.1.4.1, as it is written there."""
    n = len(inputs)
    if m == n:
        return [] if whole else [naive_root(inputs)]
    k = naive_split(n)
    if m <= k:
        return [*naive_subproof(m, inputs[:k], whole=whole), naive_root(inputs[k:])]
    return [*naive_subproof(m - k, inputs[k:], whole=False), naive_root(inputs[:k])]


def naive_split(n: int) -> int:
    k = 1
    while 2 * k < n:
        k *= 2
    return k


class CountingNodes:
    """A store that counts, and holds every node to being put once."""

    def __init__(self) -> None:
        self.nodes: dict[tuple[int, int], bytes] = {}
        self.gets = 0
        self.puts = 0

    def get(self, level: int, index: int) -> bytes:
        self.gets += 1
        return self.nodes[level, index]

    def put(self, level: int, index: int, node_hash: bytes) -> None:
        assert (level, index) not in self.nodes
        self.puts += 1
        self.nodes[level, index] = node_hash


def make_log(inputs: list[bytes]) -> MerkleLog:
    log = MerkleLog(MemoryNodes())
    for index, data in enumerate(inputs):
        assert log.append(hash_leaf_input(data)) == index
    return log


MANY = [b"leaf %d" % index for index in range(SIZES)]
LOG = make_log(MANY)


def test_published_roots():
    log = make_log(INPUTS)
    assert [log.root(size) for size in range(len(INPUTS) + 1)] == ROOTS
    assert ROOTS[0] == EMPTY_ROOT


@pytest.mark.parametrize("case", PUBLISHED["inclusion"])
def test_published_inclusion_proofs(case):
    index, size, proof = case["index"], case["size"], tuple(map(bytes.fromhex, case["proof"]))
    assert make_log(INPUTS).inclusion(index, size) == proof
    verify_inclusion(hash_leaf_input(INPUTS[index]), index, size, proof, ROOTS[size])


@pytest.mark.parametrize("case", PUBLISHED["consistency"])
def test_published_consistency_proofs(case):
    old, new, proof = case["old"], case["new"], tuple(map(bytes.fromhex, case["proof"]))
    assert make_log(INPUTS).consistency(old, new) == proof
    verify_consistency(old, ROOTS[old], new, ROOTS[new], proof)


@pytest.mark.parametrize("size", range(SIZES + 1))
def test_roots_and_proofs_of_every_size_are_the_definitions(size):
    inputs = MANY[:size]
    root = naive_root(inputs)
    assert LOG.root(size) == root
    for index in range(size):
        proof = LOG.inclusion(index, size)
        assert list(proof) == naive_path(index, inputs)
        verify_inclusion(hash_leaf_input(inputs[index]), index, size, proof, root)
    for old in range(1, size + 1):
        proof = LOG.consistency(old, size)
        assert list(proof) == naive_subproof(old, inputs, whole=True)
        verify_consistency(old, LOG.root(old), size, root, proof)
    verify_consistency(0, EMPTY_ROOT, size, root, LOG.consistency(0, size))


@given(st.integers(1, SIZES), st.data())
@settings(deadline=None, max_examples=150)
def test_no_altered_inclusion_proof_holds(size, data):
    index = data.draw(st.integers(0, size - 1))
    leaf, proof, root = hash_leaf_input(MANY[index]), LOG.inclusion(index, size), LOG.root(size)
    for other in range(size + 2):
        if other != index:
            with pytest.raises(BadProof):
                verify_inclusion(leaf, other, size, proof, root)
    altered = [
        (hash_leaf_input(b"other"), index, size, proof, root),
        (leaf, index, size, proof, hash_leaf_input(b"other")),
        (leaf, index, size, (*proof, root), root),
        (leaf, -1, size, proof, root),
        (leaf, index, 0, proof, root),
    ]
    for place in range(len(proof)):
        flipped = bytes([proof[place][0] ^ 1]) + proof[place][1:]
        altered.append((leaf, index, size, (*proof[:place], flipped, *proof[place + 1 :]), root))
        altered.append((leaf, index, size, (*proof[:place], *proof[place + 1 :]), root))
        altered.append((leaf, index, size, (*proof[:place], proof[place][:-1], *proof[place + 1 :]), root))
    for case in altered:
        with pytest.raises(BadProof):
            verify_inclusion(*case)


@given(st.integers(1, SIZES), st.data())
@settings(deadline=None, max_examples=150)
def test_no_altered_consistency_proof_holds(new, data):
    old = data.draw(st.integers(1, new))
    proof, old_root, new_root = LOG.consistency(old, new), LOG.root(old), LOG.root(new)
    other = hash_leaf_input(b"other")
    altered = [
        (old, other, new, new_root, proof),
        (old, old_root, new, other, proof),
        (old, old_root, new, new_root, (*proof, other)),
        (new + 1, old_root, new, new_root, proof),
        (-1, old_root, new, new_root, proof),
    ]
    for place in range(len(proof)):
        altered.append((old, old_root, new, new_root, (*proof[:place], other, *proof[place + 1 :])))
        altered.append((old, old_root, new, new_root, (*proof[:place], *proof[place + 1 :])))
    for case in altered:
        with pytest.raises(BadProof):
            verify_consistency(*case)


@given(st.integers(2, 40), st.data())
@settings(deadline=None, max_examples=60)
def test_a_rewritten_history_has_no_consistency_proof(size, data):
    old = data.draw(st.integers(1, size))
    changed = data.draw(st.integers(0, old - 1))
    forged = make_log([b"forged" if index == changed else item for index, item in enumerate(MANY[:size])])
    with pytest.raises(BadProof):
        verify_consistency(old, LOG.root(old), size, forged.root(), forged.consistency(old))


def test_the_empty_tree_has_one_root():
    with pytest.raises(BadProof):
        verify_consistency(0, bytes(32), 3, LOG.root(3), ())
    with pytest.raises(BadProof):
        verify_consistency(0, EMPTY_ROOT, 3, LOG.root(3), (bytes(32),))


def test_hashes_of_another_length_are_refused_as_such():
    short = bytes(31)
    for attempt in (
        lambda: verify_inclusion(short, 0, 1, (), short),
        lambda: verify_inclusion(bytes(32), 0, 2, (short,), bytes(32)),
        lambda: verify_consistency(1, short, 1, short, ()),
        lambda: verify_consistency(1, bytes(32), 2, bytes(32), (short,)),
    ):
        with pytest.raises(BadProof, match="32 bytes"):
            attempt()


def test_sizes_beyond_reason_are_refused():
    with pytest.raises(BadProof):
        verify_inclusion(bytes(32), 0, MAX_SIZE + 1, (), bytes(32))
    with pytest.raises(BadProof):
        verify_consistency(1, bytes(32), MAX_SIZE + 1, bytes(32), ())


def test_a_proof_of_a_million_hashes_is_refused_by_its_length():
    with pytest.raises(BadProof):
        verify_inclusion(bytes(32), 0, 2, [bytes(32)] * 1_000_000, bytes(32))
    with pytest.raises(BadProof):
        verify_consistency(1, bytes(32), 3, bytes(32), [bytes(32)] * 1_000_000)


def test_a_leaf_is_hashed_with_its_salt():
    salt = bytes(range(32))
    assert leaf_hash(salt, b"body") == hashlib.sha256(b"\x00" + salt + b"body").digest()
    for size in (0, 31, 33):
        with pytest.raises(BadProof):
            leaf_hash(bytes(size), b"body")


def test_appends_and_proofs_cost_the_logarithm():
    nodes = CountingNodes()
    log = MerkleLog(nodes)
    for index in range(4096):
        log.append(hash_leaf_input(b"%d" % index))
    assert nodes.puts == 2 * 4096 - 1
    nodes.gets = 0
    log.inclusion(1234, 4095)
    assert nodes.gets <= 2 * 12
    nodes.gets = 0
    log.consistency(2001, 4095)
    assert nodes.gets <= 3 * 12


def test_a_log_goes_on_from_its_store():
    nodes = MemoryNodes()
    log = MerkleLog(nodes)
    for data in MANY[:37]:
        log.append(hash_leaf_input(data))
    again = MerkleLog(nodes, size=37)
    again.append(hash_leaf_input(MANY[37]))
    assert again.root() == naive_root(MANY[:38])
    assert again.size == 38


def test_what_is_not_there_is_not_proved():
    for attempt in (
        lambda: LOG.root(SIZES + 1),
        lambda: LOG.root(-1),
        lambda: LOG.inclusion(3, 3),
        lambda: LOG.inclusion(-1, 3),
        lambda: LOG.consistency(4, 3),
        lambda: LOG.consistency(-1, 3),
        lambda: MerkleLog(MemoryNodes(), size=-1),
    ):
        with pytest.raises(UsageError):
            attempt()
    with pytest.raises(BadProof):
        make_log([]).append(b"short")
    with pytest.raises(NodeError):
        MerkleLog(MemoryNodes(), size=1).root()

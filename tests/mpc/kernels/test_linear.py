"""Matrix products over rings: every variant gives the residues of the exact product."""

import sys
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stead.errors import UsageError
from stead.mpc.kernels import linear, linear_reference

RINGS = [np.uint64, np.uint32]
VARIANTS = linear.variants()
EVERY = [(ring, variant) for ring in RINGS for variant in VARIANTS]
every = pytest.mark.parametrize(("ring", "variant"), EVERY, ids=[f"{r.__name__}-{v}" for r, v in EVERY])
seeds = st.integers(0, 2**32 - 1)


def numbers(generator, ring, *shape):
    """Ring elements over the whole range."""
    return generator.integers(0, np.iinfo(ring).max, shape, ring, endpoint=True)


def laid_out(array, layout):
    """The same matrix with other strides."""
    if layout == "columns first":
        return np.asfortranarray(array)
    if layout == "every other":
        wide = np.zeros((*array.shape[:-2], 2 * array.shape[-2], 3 * array.shape[-1]), array.dtype)
        wide[..., ::2, ::3] = array
        return wide[..., ::2, ::3]
    if layout == "backwards":
        return array[..., ::-1, ::-1].copy()[..., ::-1, ::-1]
    if layout == "unaligned":
        packed = np.zeros(array.shape, np.dtype([("tag", "u1"), ("value", array.dtype)]))
        packed["value"] = array
        return packed["value"]
    return array


LAYOUTS = ["rows first", "columns first", "every other", "backwards", "unaligned"]
layouts = st.sampled_from(LAYOUTS)


@pytest.mark.parametrize("ring", RINGS)
def test_the_reference_is_the_exact_product_modulo_the_ring(ring):
    generator = np.random.default_rng(1)
    a, b = numbers(generator, ring, 5, 7), numbers(generator, ring, 7, 4)
    exact = a.astype(object) @ b.astype(object)
    assert linear_reference.matmul(a, b).tolist() == (exact % (int(np.iinfo(ring).max) + 1)).tolist()


@every
@settings(max_examples=40)
@given(
    sizes=st.tuples(st.integers(0, 40), st.integers(0, 70), st.integers(0, 90)),
    layout=st.tuples(layouts, layouts, layouts, layouts),
    added=st.tuples(st.booleans(), st.booleans()),
    accumulate=st.booleans(),
    seed=seeds,
)
def test_every_variant_multiplies(ring, variant, sizes, layout, added, accumulate, seed):
    generator = np.random.default_rng(seed)
    m, k, n = sizes
    a, add_a = numbers(generator, ring, m, k), numbers(generator, ring, m, k)
    b, add_b = numbers(generator, ring, k, n), numbers(generator, ring, k, n)
    before = numbers(generator, ring, m, n)
    wanted = linear_reference.matmul(a + add_a if added[0] else a, b + add_b if added[1] else b)
    out = before.copy()
    found = linear.matmul(
        laid_out(a, layout[0]),
        laid_out(b, layout[1]),
        add_a=laid_out(add_a, layout[2]) if added[0] else None,
        add_b=laid_out(add_b, layout[3]) if added[1] else None,
        out=out,
        accumulate=accumulate,
        variant=variant,
    )
    assert found is out
    np.testing.assert_array_equal(found, before + wanted if accumulate else wanted)


@every
@pytest.mark.parametrize(
    ("left", "right"),
    [
        ((3, 5, 4), (3, 4, 6)),
        ((3, 5, 4), (4, 6)),
        ((5, 4), (3, 4, 6)),
        ((2, 1, 5, 4), (3, 4, 6)),
        ((2, 3, 5, 4), (2, 3, 4, 6)),
        ((1, 5, 4), (7, 4, 1)),
        ((0, 5, 4), (4, 6)),
        ((2, 3, 1, 4), (4, 6)),
        ((4,), (4,)),
        ((4,), (4, 6)),
        ((5, 4), (4,)),
        ((4,), (3, 4, 6)),
        ((3, 5, 4), (4,)),
        ((0,), (0,)),
        ((5, 0), (0, 6)),
        ((1, 33), (33, 1)),
    ],
)
def test_batches_and_vectors_are_as_in_numpy(ring, variant, left, right):
    generator = np.random.default_rng(2)
    a, add_a, b, add_b = (numbers(generator, ring, *shape) for shape in (left, left, right, right))
    found = linear.matmul(a, b, add_a=add_a, add_b=add_b, variant=variant)
    wanted = np.asarray(np.matmul(a + add_a, b + add_b))
    assert found.shape == wanted.shape
    assert found.dtype == ring
    np.testing.assert_array_equal(found, wanted)


@every
@pytest.mark.parametrize(
    "sizes",
    [(130, 1100, 75), (1, 700, 2100), (2100, 700, 1), (2, 300, 500), (500, 300, 2), (9, 5000, 49), (2060, 17, 100)],
)
@pytest.mark.parametrize("threads", [1, 2, 5])
def test_blocks_and_threads_leave_no_trace(ring, variant, sizes, threads):
    """Sizes beyond every block, and enough of them for several threads."""
    generator = np.random.default_rng(3)
    m, k, n = sizes
    a, b = numbers(generator, ring, m, k), numbers(generator, ring, n, k).T
    before = numbers(generator, ring, m, n)
    wanted = before + linear_reference.matmul(a, b)
    linear.matmul(a, b, out=before, accumulate=True, threads=threads, variant=variant)
    np.testing.assert_array_equal(before, wanted)
    np.testing.assert_array_equal(
        linear.matmul(a, np.ascontiguousarray(b), threads=threads, variant=variant), linear_reference.matmul(a, b)
    )


@every
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("accumulate", [False, True])
def test_the_result_goes_where_it_is_wanted(ring, variant, layout, accumulate):
    generator = np.random.default_rng(4)
    a, b, before = numbers(generator, ring, 9, 6), numbers(generator, ring, 6, 11), numbers(generator, ring, 9, 11)
    out = laid_out(before, layout)
    out = out if out.flags.writeable else out.copy()
    wanted = a @ b + (before if accumulate else 0)
    assert linear.matmul(a, b, out=out, accumulate=accumulate, variant=variant) is out
    np.testing.assert_array_equal(out, wanted)


@every
def test_an_operand_may_be_the_result(ring, variant):
    a = numbers(np.random.default_rng(5), ring, 30, 30)
    wanted = a @ (a + a)
    linear.matmul(a, a, add_b=a, out=a, variant=variant)
    np.testing.assert_array_equal(a, wanted)


@every
def test_operands_may_be_read_only_and_broadcast(ring, variant):
    generator = np.random.default_rng(6)
    a = numbers(generator, ring, 4, 5)
    a.flags.writeable = False
    b = np.broadcast_to(numbers(generator, ring, 5, 1), (3, 5, 7))
    np.testing.assert_array_equal(linear.matmul(a, b, variant=variant), a @ b)


@every
def test_many_small_products_share_the_threads(ring, variant):
    generator = np.random.default_rng(7)
    a, b = numbers(generator, ring, 9, 70, 40), numbers(generator, ring, 9, 40, 60)
    np.testing.assert_array_equal(linear.matmul(a, b, threads=3, variant=variant), a @ b)


def test_the_fastest_variant_is_the_first():
    assert VARIANTS[-1] == "numpy"
    assert linear.supported() == VARIANTS[0]
    assert set(VARIANTS) <= {"avx512", "avx2", "portable", "numpy"}


def test_without_a_compiler_numpy_gives_the_same(monkeypatch):
    a = numbers(np.random.default_rng(8), np.uint64, 20, 20)
    native = linear.matmul(a, a, add_b=a)
    monkeypatch.setattr(linear, "_ring", None)
    assert linear.variants() == ("numpy",)
    np.testing.assert_array_equal(linear.matmul(a, a, add_b=a), native)


@pytest.mark.skipif(linear.supported() == "numpy", reason="the native kernels are not built")
def test_other_threads_run_meanwhile():
    """With a switch interval beyond the test, another thread runs only if the kernel lets the interpreter go."""
    a = np.ones((200, 200), np.uint64)
    gate, passed = threading.Lock(), []
    gate.acquire()
    waiting = threading.Thread(target=lambda: (gate.acquire(), passed.append(True)))
    interval = sys.getswitchinterval()
    waiting.start()
    try:
        sys.setswitchinterval(1000)
        gate.release()
        for _ in range(2000):
            linear.matmul(a, a)
            if passed:
                break
        assert passed
    finally:
        sys.setswitchinterval(interval)
        waiting.join()


A = np.ones((3, 4), np.uint64)
READ_ONLY = np.zeros((3, 3), np.uint64)
READ_ONLY.flags.writeable = False


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: linear.matmul(A, A), "4 columns meet 3 rows"),
        (lambda: linear.matmul(A, A.T.astype(np.uint32)), "uint32, uint64"),
        (lambda: linear.matmul(A.astype(np.int64), A.T), "int64, uint64"),
        (lambda: linear.matmul(A.astype(">u8"), A.T), ">u8"),
        (lambda: linear.matmul(A, A.T, add_a=A.T), "shape (4, 3)"),
        (lambda: linear.matmul(A, A.T, add_b=A.T.astype(np.int64)), "int64"),
        (lambda: linear.matmul(A[0, 0, None][0:1].reshape(()), A), "one axis or more"),
        (lambda: linear.matmul(np.ones((2, 3, 4), np.uint64), np.ones((3, 4, 2), np.uint64)), "broadcast"),
        (lambda: linear.matmul(A, A.T, out=np.zeros((3, 4), np.uint64)), "(3, 4)"),
        (lambda: linear.matmul(A, A.T, out=np.zeros((3, 3), np.uint32)), "uint32"),
        (lambda: linear.matmul(A, A.T, out=READ_ONLY), "read-only"),
        (lambda: linear.matmul(A, A.T, accumulate=True), "there is none"),
        (lambda: linear.matmul(A, A.T, threads=0), "not 0"),
        (lambda: linear.matmul(A, A.T, variant="fpga"), "fpga"),
    ],
)
def test_what_does_not_fit_is_refused(call, words):
    with pytest.raises(UsageError) as refused:
        call()
    assert words in str(refused.value)

"""Convolutions over rings and both their gradients: every variant against the definition."""

import itertools

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from stead.errors import UnsupportedOperation, UsageError
from stead.mpc.kernels import linear, linear_reference
from stead.mpc.kernels.linear import Window

RINGS = [np.uint64, np.uint32]
EVERY = [(ring, variant) for ring in RINGS for variant in linear.variants()]
every = pytest.mark.parametrize(("ring", "variant"), EVERY, ids=[f"{r.__name__}-{v}" for r, v in EVERY])


def numbers(generator, ring, *shape):
    """Ring elements over the whole range."""
    return generator.integers(0, np.iinfo(ring).max, shape, ring, endpoint=True)


def defined(x, w, window):
    """A convolution as a sum of Python's integers, one product after the other."""
    (n_images, channels, height, width), (outputs, part, *kernel) = x.shape, w.shape
    places = window.places((height, width), tuple(kernel))
    modulus = int(np.iinfo(x.dtype).max) + 1
    out = np.zeros((n_images, outputs, *places), object)
    for n, o, p, q in np.ndindex(*out.shape):
        group = o * window.groups // outputs
        for c, i, j in itertools.product(range(part), range(kernel[0]), range(kernel[1])):
            y = p * window.stride[0] + i * window.dilation[0] - window.padding[0]
            z = q * window.stride[1] + j * window.dilation[1] - window.padding[1]
            if 0 <= y < height and 0 <= z < width:
                out[n, o, p, q] += int(x[n, group * channels // window.groups + c, y, z]) * int(w[o, c, i, j])
    return (out % modulus).astype(x.dtype)


pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))


@st.composite
def convolutions(draw):
    """A window, and shapes of images and weights that it fits."""
    groups = draw(st.integers(1, 3))
    paddings = st.tuples(st.integers(0, 4), st.integers(0, 4))
    window = Window(draw(pairs), draw(paddings), draw(pairs), groups)
    images = (draw(st.integers(0, 3)), groups * draw(st.integers(1, 5)), *draw(st.tuples(*[st.integers(1, 17)] * 2)))
    kernel = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    weights = (groups * draw(st.integers(1, 10)), images[1] // groups, *kernel)
    rows = zip(images[2:], kernel, window.padding, window.dilation, strict=True)
    assume(all(n + 2 * pad > gap * (k - 1) for n, k, pad, gap in rows))
    return window, images, weights


EXAMPLES = [
    (Window((1, 1), (1, 1), (1, 1)), (2, 3, 6, 5), (4, 3, 3, 3)),
    (Window((2, 3), (2, 0), (1, 2), 2), (2, 4, 9, 8), (6, 2, 3, 2)),
    (Window((3, 2), (1, 3), (2, 1), 3), (1, 3, 7, 7), (3, 1, 2, 4)),
]


@pytest.mark.parametrize("ring", RINGS)
@pytest.mark.parametrize(("window", "images", "weights"), EXAMPLES)
def test_the_reference_is_the_definition(ring, window, images, weights):
    generator = np.random.default_rng(1)
    x, w = numbers(generator, ring, *images), numbers(generator, ring, *weights)
    np.testing.assert_array_equal(linear_reference.conv2d(x, w, window), defined(x, w, window))


@pytest.mark.parametrize("ring", RINGS)
@pytest.mark.parametrize(("window", "images", "weights"), EXAMPLES)
def test_the_references_gradients_are_transposes(ring, window, images, weights):
    """Column by column of the matrix that ``defined`` is, in the images and in the weights."""
    generator = np.random.default_rng(2)
    x, w = numbers(generator, ring, *images), numbers(generator, ring, *weights)
    g = numbers(generator, ring, *linear_reference.conv2d(x, w, window).shape)
    by_images = linear_reference.conv2d_input_grad(g, w, window, images[2:])
    by_weights = linear_reference.conv2d_weight_grad(x, g, window, weights[2:])
    for index in itertools.islice(np.ndindex(*images), 0, None, 7):
        one = np.zeros(images, ring)
        one[index] = 1
        assert by_images[index] == (g * defined(one, w, window)).sum(dtype=ring)
    for index in itertools.islice(np.ndindex(*weights), 0, None, 5):
        one = np.zeros(weights, ring)
        one[index] = 1
        assert by_weights[index] == (g * defined(x, one, window)).sum(dtype=ring)


def plus(array, addend):
    return array if addend is None else array + addend


@every
@settings(max_examples=40)
@given(
    case=convolutions(),
    added=st.tuples(st.booleans(), st.booleans(), st.booleans()),
    accumulate=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_every_variant_convolves(ring, variant, case, added, accumulate, seed):
    window, images, weights = case
    generator = np.random.default_rng(seed)
    results = (images[0], weights[0], *window.places(images[2:], weights[2:]))
    x, w, g = (numbers(generator, ring, *shape) for shape in (images, weights, results))
    add_x, add_w, add_g = (
        numbers(generator, ring, *part.shape) if wanted else None for part, wanted in zip((x, w, g), added, strict=True)
    )
    all_x, all_w, all_g = plus(x, add_x), plus(w, add_w), plus(g, add_g)
    cases = [
        (
            results,
            linear_reference.conv2d(all_x, all_w, window),
            lambda **how: linear.conv2d(x, w, window, add_x=add_x, add_w=add_w, **how),
        ),
        (
            images,
            linear_reference.conv2d_input_grad(all_g, all_w, window, images[2:]),
            lambda **how: linear.conv2d_input_grad(g, w, window, images[2:], add_g=add_g, add_w=add_w, **how),
        ),
        (
            weights,
            linear_reference.conv2d_weight_grad(all_x, all_g, window, weights[2:]),
            lambda **how: linear.conv2d_weight_grad(x, g, window, weights[2:], add_x=add_x, add_g=add_g, **how),
        ),
    ]
    for shape, wanted, compute in cases:
        before = numbers(generator, ring, *shape)
        out = before.copy()
        assert compute(out=out, accumulate=accumulate, variant=variant) is out
        np.testing.assert_array_equal(out, before + wanted if accumulate else wanted)


LARGER = [
    (Window((1, 1), (1, 1), (1, 1)), (2, 24, 30, 31), (40, 24, 3, 3)),
    (Window((2, 2), (3, 3), (1, 1)), (2, 3, 60, 60), (33, 3, 7, 7)),
    (Window((1, 1), (0, 0), (1, 1)), (3, 40, 21, 20), (64, 40, 1, 1)),
    (Window((2, 2), (0, 0), (1, 1)), (3, 40, 21, 20), (64, 40, 1, 1)),
    (Window((1, 1), (1, 1), (1, 1), 64), (2, 64, 40, 40), (64, 1, 3, 3)),
    (Window((1, 1), (1, 1), (1, 1)), (1, 130, 7, 7), (200, 130, 3, 3)),
]


@every
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize(("window", "images", "weights"), LARGER)
def test_layers_of_networks(ring, variant, window, images, weights, threads):
    generator = np.random.default_rng(3)
    results = (images[0], weights[0], *window.places(images[2:], weights[2:]))
    x, w, g = (numbers(generator, ring, *shape) for shape in (images, weights, results))
    how = {"threads": threads, "variant": variant}
    np.testing.assert_array_equal(linear.conv2d(x, w, window, **how), linear_reference.conv2d(x, w, window))
    np.testing.assert_array_equal(
        linear.conv2d_input_grad(g, w, window, images[2:], **how),
        linear_reference.conv2d_input_grad(g, w, window, images[2:]),
    )
    np.testing.assert_array_equal(
        linear.conv2d_weight_grad(x, g, window, weights[2:], **how),
        linear_reference.conv2d_weight_grad(x, g, window, weights[2:]),
    )


@every
def test_images_beyond_the_copy_are_taken_a_few_at_a_time(ring, variant):
    """Twelve images of more than a MiB each, so that no chunk holds them all."""
    window = Window((1, 1), (1, 1), (1, 1))
    generator = np.random.default_rng(4)
    x, w = numbers(generator, ring, 12, 2, 400, 410), numbers(generator, ring, 3, 2, 3, 3)
    g = numbers(generator, ring, 12, 3, 400, 410)
    np.testing.assert_array_equal(linear.conv2d(x, w, window, variant=variant), linear_reference.conv2d(x, w, window))
    np.testing.assert_array_equal(
        linear.conv2d_input_grad(g, w, window, (400, 410), variant=variant),
        linear_reference.conv2d_input_grad(g, w, window, (400, 410)),
    )
    np.testing.assert_array_equal(
        linear.conv2d_weight_grad(x, g, window, (3, 3), variant=variant),
        linear_reference.conv2d_weight_grad(x, g, window, (3, 3)),
    )


@every
def test_any_strides_will_do(ring, variant):
    generator = np.random.default_rng(5)
    window = Window((2, 1), (1, 2), (1, 1))
    x = numbers(generator, ring, 9, 8, 3, 2).transpose(3, 2, 0, 1)
    add_x = numbers(generator, ring, 2, 3, 18, 16)[:, :, ::2, ::-2]
    w = numbers(generator, ring, 3, 3, 3, 4).T
    out = numbers(generator, ring, 2, 4, 5, 20)[..., ::2]
    wanted = linear_reference.conv2d(x + add_x, w, window)
    assert linear.conv2d(x, w, window, add_x=add_x, out=out, variant=variant) is out
    np.testing.assert_array_equal(out, wanted)


@every
def test_one_spatial_axis(ring, variant):
    generator = np.random.default_rng(6)
    window = Window((2,), (1,), (2,), 2)
    x, w = numbers(generator, ring, 3, 4, 15), numbers(generator, ring, 6, 2, 3)
    found = linear.conv2d(x, w, window, variant=variant)
    wanted = linear_reference.conv2d(x[:, :, None], w[:, :, None], window.flat())
    np.testing.assert_array_equal(found, wanted[:, :, 0])
    g = numbers(generator, ring, *found.shape)
    np.testing.assert_array_equal(
        linear.conv2d_input_grad(g, w, window, (15,), variant=variant),
        linear_reference.conv2d_input_grad(g[:, :, None], w[:, :, None], window.flat(), (1, 15))[:, :, 0],
    )
    np.testing.assert_array_equal(
        linear.conv2d_weight_grad(x, g, window, (3,), variant=variant),
        linear_reference.conv2d_weight_grad(x[:, :, None], g[:, :, None], window.flat(), (1, 3))[:, :, 0],
    )


X, W = np.ones((2, 4, 5, 5), np.uint64), np.ones((6, 4, 3, 3), np.uint64)
G = np.ones((2, 6, 3, 3), np.uint64)
PLAIN = Window((1, 1), (0, 0), (1, 1))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: linear.conv2d(X[0], W, PLAIN), "images of 4 axes"),
        (lambda: linear.conv2d(X, W[0], PLAIN), "weights of 4 axes"),
        (lambda: linear.conv2d(X, W[:, :3], PLAIN), "do not fit"),
        (lambda: linear.conv2d(X, W, Window((1, 1), (0, 0), (1, 1), 2)), "2 groups"),
        (lambda: linear.conv2d(X, W, Window((1, 1), (0, 0), (3, 3))), "does not fit into"),
        (lambda: linear.conv2d(X, W, Window((1,), (0,), (1,))), "images of 3 axes"),
        (lambda: linear.conv2d(X, W.astype(np.uint32), PLAIN), "uint32, uint64"),
        (lambda: linear.conv2d(X, W, PLAIN, add_x=X[:1]), "(1, 4, 5, 5)"),
        (lambda: linear.conv2d(X, W, PLAIN, out=np.zeros((2, 6, 3, 4), np.uint64)), "(2, 6, 3, 4)"),
        (lambda: linear.conv2d_input_grad(G, W, PLAIN, (5,)), "input_hw"),
        (lambda: linear.conv2d_input_grad(G, W, PLAIN, (6, 5)), "(2, 6, 4, 3)"),
        (lambda: linear.conv2d_weight_grad(X, G, PLAIN, (2, 3)), "(2, 6, 4, 3)"),
        (lambda: linear.conv2d_weight_grad(X, G[:1], PLAIN, (3, 3)), "(2, 6, 3, 3)"),
        (lambda: Window((1, 1), (0,), (1, 1)), "each spatial axis"),
        (lambda: Window((0, 1), (0, 0), (1, 1)), "1 or more"),
        (lambda: Window((1, 1), (-1, 0), (1, 1)), "0 or more"),
        (lambda: Window((1, 1), (0, 0), (1, 2**31)), "2^31"),
    ],
)
def test_what_does_not_fit_is_refused(call, words):
    with pytest.raises(UsageError) as refused:
        call()
    assert words in str(refused.value)


def test_three_spatial_axes_are_not_there():
    with pytest.raises(UnsupportedOperation, match="not 3"):
        Window((1, 1, 1), (0, 0, 0), (1, 1, 1))


@pytest.mark.parametrize("variant", [name for name in linear.variants() if name != "numpy"])
def test_an_image_larger_than_any_memory_is_refused(variant):
    window = Window((2**29, 2**29), (2**30, 2**30), (1, 1))
    with pytest.raises(ValueError, match="too large"):
        linear.conv2d(X, W, window, variant=variant)

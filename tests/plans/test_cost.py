"""Flops, bytes and memory, against counts made by hand."""

import pytest

from stead.plans.builder import ProgramBuilder
from stead.plans.cost import cost, last_uses
from stead.plans.program import Input, Program, Step, TensorType


def kind(*shape, dtype="float32"):
    return TensorType(dtype, shape)


def test_a_linear_layer():
    """2 x 3 by 3 x 4: 24 multiplications, as many additions; 8 for the bias."""
    b = ProgramBuilder()
    x, w, c = (b.input(name, "x", shape) for name, shape in (("x", kind(2, 3)), ("w", kind(3, 4)), ("c", kind(4))))
    found = cost(b.build({"y": b.add("add", b.add("mm", x, w), c)}))
    assert found.flops == 48 + 8
    assert found.size_bytes == 4 * (6 + 12 + 4 + 8)
    assert found.peak_bytes == 4 * (6 + 12 + 4 + 8 + 8)


@pytest.mark.parametrize(
    ("op", "second", "attributes", "wanted"),
    [
        # 4 x 4 x 4 results, each of 3 x 2 x 2 products.
        ("convolution", kind(4, 3, 2, 2), {"groups": 1}, 2 * 64 * 12),
        # 3 channels of 5 x 5, each element spread over 2 x 2 places in 4 channels.
        ("convolution_transpose", kind(3, 4, 2, 2), {"groups": 1, "extra": (0, 0)}, 2 * 75 * 16),
        # 4 x 3 x 2 x 2 weights, each a sum over 4 x 4 places.
        ("convolution_weight_grad", kind(1, 4, 4, 4), {"groups": 1, "size": (2, 2)}, 2 * 48 * 16),
    ],
)
def test_convolutions(op, second, attributes, wanted):
    b = ProgramBuilder()
    x, w = b.input("x", "x", kind(1, 3, 5, 5)), b.input("w", "parameter", second)
    made = b.add(op, x, w, stride=(1, 1), padding=(0, 0), dilation=(1, 1), **attributes)
    assert cost(b.build({"y": made})).flops == wanted


def test_views_are_free_and_pooling_counts_its_window():
    b = ProgramBuilder()
    x = b.input("x", "x", kind(1, 2, 4, 4))
    pooled = b.add("avg_pool2d", x, size=(2, 2), stride=(2, 2), padding=(0, 0))
    assert cost(b.build({"y": b.view(pooled, (8,))})).flops == 8 * 4


def test_memory_is_given_back_after_the_last_use():
    b = ProgramBuilder()
    value = x = b.input("x", "x", kind(1000))
    for _ in range(50):
        value = b.add("exp", value)
    program = b.build({"y": value})
    assert cost(program).peak_bytes == 3 * 4000
    ends = last_uses(program, 1)
    assert ends[0] == []
    assert ends[1:] == [[at] for at in range(1, 50)]
    assert x.number == 0


def test_a_windows_copy_is_counted():
    """Padding that is far larger than the result: the work space, not the result, is what it costs."""
    b = ProgramBuilder()
    x = b.input("x", "x", kind(1, 1, 2, 2))
    w = b.input("w", "parameter", kind(1, 1, 1, 1))
    wide = (1 << 20, 1 << 20)
    made = b.add("convolution", x, w, stride=wide, padding=wide, dilation=(1, 1), groups=1)
    assert made.type.elements == 9
    assert cost(b.build({"y": made})).peak_bytes > 4 * (2 << 20) ** 2


def test_sums_of_sizes_do_not_overflow():
    big = TensorType("float64", (1 << 40,))
    program = Program(
        inputs=(Input("x", "x", big),),
        constants=b"",
        steps=tuple(Step("exp", (at,), {}, (big,)) for at in range(64)),
        outputs=(64,),
        output_names=("y",),
    )
    assert cost(program).flops == 64 << 40
    assert cost(program).peak_bytes == 3 << 43

"""``Form``: a bilinear map of two ring arrays. A protocol multiplies secrets by forms and knows no more of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from stead.mpc.kernels import linear
from stead.mpc.kernels.linear import Window
from stead.mpc.shares import RingArray

Shape: TypeAlias = tuple[int, ...]
Half: TypeAlias = tuple[tuple[slice, ...], tuple[slice, ...], tuple[slice, ...]]


@dataclass(frozen=True)
class Form:
    """A bilinear map (a, b) -> c over Z_2^64.

    Attributes:
        name: for profiles and errors.
        kernel: ``kernel(a, b, add_a=, add_b=, threads=)`` computes the form of ``a + add_a`` and ``b + add_b``, which
            are added while packing.
        result: the shape of c from those of a and b; raises ``ValueError`` where there is none.
        macs: multiply-adds from the shapes of a, b and c.
        halves: two index triples (of c, of a, of b) whose forms make up c, or none where it cannot be cut in two.
        detail: what tells it from others of its name: part of what a preparation is for.
    """

    name: str
    kernel: Callable[..., RingArray]
    result: Callable[[Shape, Shape], Shape]
    macs: Callable[[Shape, Shape, Shape], int]
    halves: Callable[[Shape, Shape], tuple[Half, Half] | None]
    detail: str = ""

    def __call__(
        self,
        a: RingArray,
        b: RingArray,
        *,
        add_a: RingArray | None = None,
        add_b: RingArray | None = None,
        threads: int = 1,
    ) -> RingArray:
        """The form of (a + add_a, b + add_b)."""
        return self.kernel(a, b, add_a=add_a, add_b=add_b, threads=threads)

    def half(self, which: int, a: RingArray, b: RingArray, *, threads: int = 1) -> tuple[tuple[slice, ...], RingArray]:
        """One of two parts of the form: where it stands in c, and its values.

        A form that cannot be cut in two has all of it in part 0 and an empty part 1.
        """
        cut = self.halves(a.shape, b.shape)
        if cut is None:
            if which == 0:
                return (slice(None),) * len(self.result(a.shape, b.shape)), self(a, b, threads=threads)
            return (slice(0, 0),), np.zeros((0, *self.result(a.shape, b.shape)[1:]), dtype=np.uint64)
        at, of_a, of_b = cut[which]
        return at, self(a[of_a], b[of_b], threads=threads)


def _mul(a: RingArray, b: RingArray, **more: Any) -> RingArray:
    left = a if more.get("add_a") is None else a + more["add_a"]
    right = b if more.get("add_b") is None else b + more["add_b"]
    return np.multiply(left, right)  # NumPy warns of overflow where "*" meets scalars


MUL = Form(
    "mul",
    _mul,
    np.broadcast_shapes,
    lambda _a, _b, c: math.prod(c),
    lambda _a, _b: None,
)
"""Element by element, broadcast as NumPy does."""


def _matmul_shape(a: Shape, b: Shape) -> Shape:
    if len(a) < 2 or len(b) < 2 or a[-1] != b[-2]:
        raise ValueError(f"no matrix product of {list(a)} and {list(b)}")
    return (*np.broadcast_shapes(a[:-2], b[:-2]), a[-2], b[-1])


def _matmul_halves(a: Shape, b: Shape) -> tuple[Half, Half] | None:
    rows, columns, lead = a[-2], b[-1], len(_matmul_shape(a, b)) - 2
    whole = (slice(None),)

    def ends(axis_length: int) -> tuple[slice, slice]:
        return slice(0, axis_length // 2), slice(axis_length // 2, axis_length)

    if rows >= 2 and rows >= columns // 8:
        first, second = ends(rows)
        of_a = whole * (len(a) - 2)
        return tuple((whole * lead + (cut,), (*of_a, cut), whole) for cut in (first, second))  # type: ignore[return-value]
    if columns >= 2:
        first, second = ends(columns)
        of_b = whole * (len(b) - 1)
        return tuple((whole * (lead + 1) + (cut,), whole, (*of_b, cut)) for cut in (first, second))  # type: ignore[return-value]
    return None


MATMUL = Form("matmul", linear.matmul, _matmul_shape, lambda a, _b, c: math.prod(c) * a[-1], _matmul_halves)
"""Matrix products of the last two axes; the others broadcast. Both have two axes at least."""


def conv2d(window: Window) -> Form:
    """Convolution of images (N, C, H, W) with weights (O, C/groups, kh, kw)."""

    def kernel(a: RingArray, b: RingArray, **more: Any) -> RingArray:
        return linear.conv2d(a, b, window, add_x=more.get("add_a"), add_w=more.get("add_b"), threads=more["threads"])

    def result(a: Shape, b: Shape) -> Shape:
        return (a[0], b[0], *window.places(a[2:], b[2:]))

    def halves(a: Shape, b: Shape) -> tuple[Half, Half] | None:
        whole = slice(None)
        if a[0] >= 2:
            cut = a[0] // 2
            return ((slice(0, cut),), (slice(0, cut),), (whole,)), ((slice(cut, None),), (slice(cut, None),), (whole,))
        if window.groups == 1 and b[0] >= 2:
            cut = b[0] // 2
            return (
                ((whole, slice(0, cut)), (whole,), (slice(0, cut),)),
                ((whole, slice(cut, None)), (whole,), (slice(cut, None),)),
            )
        return None

    return Form("conv2d", kernel, result, lambda _a, b, c: math.prod(c) * math.prod(b[1:]), halves, str(window))


def conv2d_input_grad(window: Window, input_hw: tuple[int, int]) -> Form:
    """The gradient of a convolution's images (N, C, H, W) from that of its result and its weights."""

    def kernel(a: RingArray, b: RingArray, **more: Any) -> RingArray:
        adds: dict[str, Any] = {"add_g": more.get("add_a"), "add_w": more.get("add_b")}
        return linear.conv2d_input_grad(a, b, window, input_hw, **adds, threads=more["threads"])

    return Form(
        "conv2d_input_grad",
        kernel,
        lambda a, b: (a[0], b[1] * window.groups, *input_hw),
        lambda a, b, _c: math.prod(a) * math.prod(b[1:]),
        lambda _a, _b: None,
        str(window),
    )


def conv2d_weight_grad(window: Window, kernel_hw: tuple[int, int]) -> Form:
    """The gradient of a convolution's weights (O, C/groups, kh, kw) from its images and that of its result."""

    def kernel(a: RingArray, b: RingArray, **more: Any) -> RingArray:
        adds: dict[str, Any] = {"add_x": more.get("add_a"), "add_g": more.get("add_b")}
        return linear.conv2d_weight_grad(a, b, window, kernel_hw, **adds, threads=more["threads"])

    return Form(
        "conv2d_weight_grad",
        kernel,
        lambda a, b: (b[1], a[1] // window.groups, *kernel_hw),
        lambda a, b, _c: math.prod(b) * (a[1] // window.groups) * math.prod(kernel_hw),
        lambda _a, _b: None,
        str(window),
    )

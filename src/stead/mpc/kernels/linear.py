"""Products and convolutions over Z_2^64 (``uint64``) and Z_2^32 (``uint32``), with additions on the way.

What a party computes most: products of its parts of shares, such as ``(m_x + l_x) @ (m_w + l_w)``. The sums in the
factors are formed while the operands are brought into the cache, and never stored.

The native kernels (``native/ring_*.cpp``) have a variant for each instruction set; without them NumPy computes the same
numbers, more slowly. All release the interpreter's lock. Every number is the residue of an exact one, so variants,
threads and orders of summation cannot be told apart by their results.

Timing: addresses, branches and the number of instructions depend on shapes, never on values.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final, Literal, Protocol, TypeAlias

import numpy as np

from stead.errors import UsageError
from stead.mpc.kernels import linear_reference
from stead.mpc.kernels.window import Window
from stead.plans.ops.operation import Array

try:  # by name, because a compiled module is no room of the house: it stands beside all of them
    _ring: Any = import_module("stead._ring")
except ImportError:  # built without a compiler: NumPy computes the same numbers
    _ring = None

__all__ = ["Variant", "Window", "conv2d", "conv2d_input_grad", "conv2d_weight_grad", "matmul", "supported", "variants"]

Variant = Literal["fastest", "avx512", "avx2", "portable", "numpy"]

_RINGS: Final = (np.dtype(np.uint64), np.dtype(np.uint32))
_Terms: TypeAlias = tuple[Array, Array | None]
"""An operand and what is added to it."""


class _Compute(Protocol):
    """Writes a result into ``target``, or adds it."""

    def __call__(self, target: Array, *, add: bool) -> None: ...


def variants() -> tuple[Variant, ...]:
    """The variants that run on this machine, the fastest first; ``numpy`` always does."""
    return (*(_ring.variants() if _ring is not None else ()), "numpy")


def supported() -> Variant:
    """The variant that runs unless another is asked for."""
    return variants()[0]


def matmul(  # noqa: PLR0913 - the operands' addends and the result's place belong to the call
    a: Array,
    b: Array,
    *,
    add_a: Array | None = None,
    add_b: Array | None = None,
    threads: int = 1,
    out: Array | None = None,
    accumulate: bool = False,
    variant: Variant = "fastest",
) -> Array:
    """``(a + add_a) @ (b + add_b)`` modulo 2^64 or 2^32.

    Args:
        a: (..., m, k), or (k,); any strides.
        b: (..., k, n), or (k,), of the same ring; batches are broadcast as NumPy does.
        add_a: added to ``a``; of its shape.
        add_b: added to ``b``; of its shape.
        threads: at most so many; small products take one.
        out: where the result goes, of its shape; a fresh array by default.
        accumulate: add the result to ``out`` instead of replacing it.
        variant: which implementation; tests name them.

    Returns:
        ``out``, or the fresh array.

    Raises:
        UsageError: shapes, rings or ``out`` do not fit.
    """
    call = _Call(_ring_of((a, add_a), (b, add_b)), threads, out, accumulate, variant)
    if a.ndim < 1 or b.ndim < 1:
        raise UsageError(f"matmul needs one axis or more; got shapes {a.shape} and {b.shape}.")
    left: _Terms = (a, add_a) if a.ndim > 1 else (a[None], None if add_a is None else add_a[None])
    right: _Terms = (b, add_b) if b.ndim > 1 else (b[:, None], None if add_b is None else add_b[:, None])
    rows, depth = left[0].shape[-2:]
    if right[0].shape[-2] != depth:
        raise UsageError(f"matmul of {a.shape} and {b.shape}: {depth} columns meet {right[0].shape[-2]} rows.")
    try:
        batch = np.broadcast_shapes(left[0].shape[:-2], right[0].shape[:-2])
    except ValueError as error:
        raise UsageError(f"matmul cannot broadcast the batches of {a.shape} and {b.shape}.") from error
    matrices = (*batch, rows, right[0].shape[-1])
    shape = batch + (matrices[-2:-1] if a.ndim > 1 else ()) + (matrices[-1:] if b.ndim > 1 else ())

    def compute(target: Array, *, add: bool) -> None:
        if call.reference or depth == 0 or target.size == 0:
            _put(target, linear_reference.matmul(_sum(left), _sum(right)).reshape(shape), add=add)
        else:
            _matrices(_strided(left), _strided(right), target.reshape(matrices), call.how(add=add))

    return call.run(shape, (*left, *right), compute)


def conv2d(  # noqa: PLR0913 - as matmul
    x: Array,
    w: Array,
    window: Window,
    *,
    add_x: Array | None = None,
    add_w: Array | None = None,
    threads: int = 1,
    out: Array | None = None,
    accumulate: bool = False,
    variant: Variant = "fastest",
) -> Array:
    """The convolution of ``x + add_x`` with ``w + add_w``; padding is zero in the sum.

    Args:
        x: images (N, C, H, W), or (N, C, L) with a window of one axis.
        w: weights (O, C / groups, kh, kw), or (O, C / groups, k).
        window: how windows lie.
        add_x: added to ``x``; of its shape.
        add_w: added to ``w``; of its shape.
        threads: as in ``matmul``; so are ``out``, ``accumulate`` and ``variant``.
        out: (N, O, *places).
        accumulate: as in ``matmul``.
        variant: as in ``matmul``.

    Returns:
        ``out``, or a fresh array (N, O, *places).

    Raises:
        UsageError: shapes, rings or ``out`` do not fit.
    """
    call = _Call(_ring_of((x, add_x), (w, add_w)), threads, out, accumulate, variant)
    _need_axes(window, images=x, weights=w)
    places = window.places(x.shape[2:], w.shape[2:])
    _need_channels(window, x.shape[1], w.shape)
    shape, flat = (x.shape[0], w.shape[0], *places), window.flat()
    images, weights = _planes((x, add_x)), _planes((w, add_w))

    def compute(target: Array, *, add: bool) -> None:
        if call.reference:
            _put(target, linear_reference.conv2d(_sum(images), _sum(weights), flat).reshape(shape), add=add)
        else:
            _ring.conv2d(images, weights, _plane(target), _numbers(flat), call.how(add=add))

    return call.run(shape, (*images, *weights), compute)


def conv2d_input_grad(  # noqa: PLR0913 - as matmul
    g: Array,
    w: Array,
    window: Window,
    input_hw: tuple[int, ...],
    *,
    add_g: Array | None = None,
    add_w: Array | None = None,
    threads: int = 1,
    out: Array | None = None,
    accumulate: bool = False,
    variant: Variant = "fastest",
) -> Array:
    """What transposes ``conv2d`` in its images: the gradient of ``x`` from that of the result.

    Args:
        g: (N, O, *places), the gradient of the result.
        w: weights (O, C / groups, kh, kw), or with one spatial axis.
        window: how windows lie.
        input_hw: the spatial shape of the images.
        add_g: added to ``g``; of its shape.
        add_w: added to ``w``; of its shape.
        threads: as in ``matmul``.
        out: (N, C, *input_hw).
        accumulate: as in ``matmul``.
        variant: as in ``matmul``.

    Returns:
        ``out``, or a fresh array (N, C, *input_hw).

    Raises:
        UsageError: shapes, rings or ``out`` do not fit.
    """
    call = _Call(_ring_of((g, add_g), (w, add_w)), threads, out, accumulate, variant)
    _need_axes(window, results=g, weights=w)
    _need_sides("input_hw", window, input_hw)
    channels = w.shape[1] * window.groups
    _need_channels(window, channels, w.shape)
    _need_results(g, (g.shape[0], w.shape[0], *window.places(input_hw, w.shape[2:])))
    shape, flat = (g.shape[0], channels, *input_hw), window.flat()
    results, weights = _planes((g, add_g)), _planes((w, add_w))

    def compute(target: Array, *, add: bool) -> None:
        if call.reference:
            plane = _plane(target).shape[2:]
            gradient = linear_reference.conv2d_input_grad(_sum(results), _sum(weights), flat, plane)
            _put(target, gradient.reshape(shape), add=add)
        else:
            _ring.conv2d_input_grad(results, weights, _plane(target), _numbers(flat), call.how(add=add))

    return call.run(shape, (*results, *weights), compute)


def conv2d_weight_grad(  # noqa: PLR0913 - as matmul
    x: Array,
    g: Array,
    window: Window,
    kernel_hw: tuple[int, ...],
    *,
    add_x: Array | None = None,
    add_g: Array | None = None,
    threads: int = 1,
    out: Array | None = None,
    accumulate: bool = False,
    variant: Variant = "fastest",
) -> Array:
    """What transposes ``conv2d`` in its weights: their gradient from that of the result, summed over the images.

    Args:
        x: images (N, C, H, W), or with one spatial axis.
        g: (N, O, *places), the gradient of the result.
        window: how windows lie.
        kernel_hw: the spatial shape of a window.
        add_x: added to ``x``; of its shape.
        add_g: added to ``g``; of its shape.
        threads: as in ``matmul``.
        out: (O, C / groups, *kernel_hw).
        accumulate: as in ``matmul``.
        variant: as in ``matmul``.

    Returns:
        ``out``, or a fresh array (O, C / groups, *kernel_hw).

    Raises:
        UsageError: shapes, rings or ``out`` do not fit.
    """
    call = _Call(_ring_of((x, add_x), (g, add_g)), threads, out, accumulate, variant)
    _need_axes(window, images=x, results=g)
    _need_sides("kernel_hw", window, kernel_hw)
    shape, flat = (g.shape[1], x.shape[1] // window.groups, *kernel_hw), window.flat()
    _need_channels(window, x.shape[1], shape)
    _need_results(g, (x.shape[0], g.shape[1], *window.places(x.shape[2:], kernel_hw)))
    images, results = _planes((x, add_x)), _planes((g, add_g))

    def compute(target: Array, *, add: bool) -> None:
        if call.reference:
            plane = _plane(target).shape[2:]
            gradient = linear_reference.conv2d_weight_grad(_sum(images), _sum(results), flat, plane)
            _put(target, gradient.reshape(shape), add=add)
        else:
            _ring.conv2d_weight_grad(images, results, _plane(target), _numbers(flat), call.how(add=add))

    return call.run(shape, (*images, *results), compute)


@dataclass(frozen=True)
class _Call:
    """What all kernels take beside their operands."""

    ring: np.dtype[Any]
    threads: int
    out: Array | None
    accumulate: bool
    variant: Variant

    def __post_init__(self) -> None:
        if self.variant != "fastest" and self.variant not in variants():
            raise UsageError(f"the variant {self.variant!r} does not run here; these do: {', '.join(variants())}.")
        if self.threads < 1:
            raise UsageError(f"a kernel runs on 1 thread or more, not {self.threads}.")
        if self.accumulate and self.out is None:
            raise UsageError("accumulate=True adds to `out`, and there is none.", hint="pass out=")

    @property
    def reference(self) -> bool:
        """Whether NumPy computes."""
        return _ring is None or self.variant == "numpy"

    def how(self, *, add: bool) -> tuple[str, int, bool]:
        """As the native kernels take it."""
        return ("" if self.variant == "fastest" else self.variant, self.threads, add)

    def run(self, shape: tuple[int, ...], operands: tuple[Array | None, ...], compute: _Compute) -> Array:
        """Have ``compute`` write (or add) into ``out``, or into a C-contiguous array of its own where it must."""
        out = self.out
        if out is None:
            out = np.empty(shape, self.ring)
            compute(out, add=False)
            return out
        if out.shape != shape or out.dtype != self.ring:
            raise UsageError(f"the result is {self.ring} of shape {shape}; `out` is {out.dtype} of shape {out.shape}.")
        if not out.flags.writeable:
            raise UsageError("`out` is read-only.")
        apart = not any(part is not None and np.may_share_memory(out, part) for part in operands)
        if apart and out.flags.c_contiguous and out.flags.aligned:
            compute(out, add=self.accumulate)
            return out
        fresh = np.empty(shape, self.ring)
        compute(fresh, add=False)
        _put(out, fresh, add=self.accumulate)
        return out


def _ring_of(*operands: _Terms) -> np.dtype[Any]:
    ring = operands[0][0].dtype
    for array, addend in operands:
        if array.dtype not in _RINGS or array.dtype != ring or (addend is not None and addend.dtype != ring):
            found = sorted({str(part.dtype) for pair in operands for part in pair if part is not None})
            raise UsageError(f"operands are all uint64 or all uint32; got {', '.join(found)}.")
        if addend is not None and addend.shape != array.shape:
            raise UsageError(f"an addend of shape {addend.shape} does not fit an operand of shape {array.shape}.")
    return ring


def _need_axes(window: Window, **arrays: Array) -> None:
    for name, array in arrays.items():
        if array.ndim != window.axes + 2:
            raise UsageError(
                f"windows over {window.axes} axes need {name} of {window.axes + 2} axes; got shape {array.shape}."
            )


def _need_sides(name: str, window: Window, sides: tuple[int, ...]) -> None:
    if len(sides) != window.axes:
        raise UsageError(f"{name} has one number for each of {window.axes} spatial axes; got {sides}.")


def _need_channels(window: Window, channels: int, weights: tuple[int, ...]) -> None:
    if channels % window.groups or weights[0] % window.groups or weights[1] * window.groups != channels:
        raise UsageError(f"{channels} channels, weights {weights} and {window.groups} groups do not fit.")


def _need_results(g: Array, shape: tuple[int, ...]) -> None:
    if g.shape != shape:
        raise UsageError(f"the gradient of a result of shape {shape} has that shape; got {g.shape}.")


def _sum(terms: _Terms) -> Array:
    array, addend = terms
    return array if addend is None else np.asarray(array + addend)


def _put(target: Array, value: Array, *, add: bool) -> None:
    if add:
        target += value
    else:
        target[...] = value


def _plane(array: Array) -> Array:
    """(N, C, L) as (N, C, 1, L)."""
    return array if array.ndim == 4 else array.reshape(*array.shape[:2], 1, array.shape[2])


def _planes(terms: _Terms) -> _Terms:
    array, addend = terms
    return _plane(np.ascontiguousarray(array)), None if addend is None else _plane(np.ascontiguousarray(addend))


def _numbers(window: Window) -> tuple[int, ...]:
    return (*window.stride, *window.padding, *window.dilation, window.groups)


def _strided(terms: _Terms) -> _Terms:
    """With strides that the kernels can follow, the addend's being the operand's."""
    array, addend = terms
    if not _can_follow(array):
        array = np.ascontiguousarray(array)
    if addend is not None and (not _can_follow(addend) or _steps(addend) != _steps(array)):
        return np.ascontiguousarray(array), np.ascontiguousarray(addend)
    return array, addend


def _can_follow(array: Array) -> bool:
    return array.flags.aligned and all(stride % array.itemsize == 0 for stride in array.strides)


def _steps(array: Array) -> tuple[int, ...]:
    return tuple(stride for stride, size in zip(array.strides, array.shape, strict=True) if size > 1)


def _matrices(left: _Terms, right: _Terms, target: Array, how: tuple[str, int, bool]) -> None:
    """All matrices of a batch; a batch times one matrix is one tall matrix where memory allows."""
    flags = [part.flags.c_contiguous for part in left if part is not None]
    if left[0].ndim > right[0].ndim == 2 and all(flags):
        left = _each(left, lambda part: part.reshape(-1, part.shape[-1]))
        target = target.reshape(-1, target.shape[-1])
    batch = target.shape[:-2]
    if not batch:
        _ring.matmul(_at(left, (None,)), _at(right, (None,)), target[None], how)
        return
    left = _each(left, lambda part: np.broadcast_to(part, (*batch, *part.shape[-2:])))
    right = _each(right, lambda part: np.broadcast_to(part, (*batch, *part.shape[-2:])))
    for index in np.ndindex(batch[:-1]):
        _ring.matmul(_at(left, index), _at(right, index), target[index], how)


def _at(terms: _Terms, index: tuple[int | None, ...]) -> _Terms:
    return _each(terms, lambda part: part[index])


def _each(terms: _Terms, change: Callable[[Array], Array]) -> _Terms:
    array, addend = terms
    return change(array), None if addend is None else change(addend)

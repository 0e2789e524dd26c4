"""Products and convolutions over Z_2^64 and Z_2^32 in NumPy: what the native kernels are held against.

Arrays of unsigned integers wrap around in NumPy, which is arithmetic modulo 2^64 and 2^32. Convolutions have two
spatial axes here; each is a sum over the elements of a window, written as it is defined.

Symbols: n images, c channels, o outputs, y and x rows and columns, i and j rows and columns of a window.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from stead.mpc.kernels.window import Pair, Window
from stead.plans.ops.operation import Array

_Slices = tuple[slice, slice]


def matmul(a: Array, b: Array) -> Array:
    """``a @ b``, with NumPy's broadcasting of batches."""
    return np.asarray(np.matmul(a, b))


def conv2d(x: Array, w: Array, window: Window) -> Array:
    """Images (n, c, y, x) and weights (o, c / groups, i, j) to (n, o, *places)."""
    height, width = window.places(x.shape[2:], w.shape[2:])
    places = height, width
    padded = _padded(x, window)
    out = np.zeros((x.shape[0], w.shape[0], *places), x.dtype)
    for images, outputs in _groups(window.groups, x.shape[1], w.shape[0]):
        for (i, j), seen in _window_elements(w.shape[2:], places, window):
            part = padded[:, images][:, :, seen[0], seen[1]]
            out[:, outputs] += np.einsum("ncyx,oc->noyx", part, w[outputs, :, i, j])
    return out


def conv2d_input_grad(g: Array, w: Array, window: Window, input_hw: Pair) -> Array:
    """What transposes ``conv2d`` in its images: results (n, o, *places) to (n, c, *input_hw)."""
    channels = w.shape[1] * window.groups
    padded = _padded(np.zeros((g.shape[0], channels, *input_hw), g.dtype), window)
    for images, outputs in _groups(window.groups, channels, w.shape[0]):
        for (i, j), seen in _window_elements(w.shape[2:], g.shape[2:], window):
            padded[:, images, seen[0], seen[1]] += np.einsum("noyx,oc->ncyx", g[:, outputs], w[outputs, :, i, j])
    (top, left), (height, width) = window.padding, input_hw
    return padded[:, :, top : top + height, left : left + width].copy()


def conv2d_weight_grad(x: Array, g: Array, window: Window, kernel_hw: Pair) -> Array:
    """What transposes ``conv2d`` in its weights: images and results (n, o, *places) to (o, c / groups, *kernel_hw)."""
    padded = _padded(x, window)
    out = np.zeros((g.shape[1], x.shape[1] // window.groups, *kernel_hw), x.dtype)
    for images, outputs in _groups(window.groups, x.shape[1], g.shape[1]):
        for (i, j), seen in _window_elements(kernel_hw, g.shape[2:], window):
            part = padded[:, images][:, :, seen[0], seen[1]]
            out[outputs, :, i, j] = np.einsum("noyx,ncyx->oc", g[:, outputs], part)
    return out


def _padded(x: Array, window: Window) -> Array:
    return np.pad(x, [(0, 0), (0, 0), *((pad, pad) for pad in window.padding)])


def _groups(groups: int, channels: int, outputs: int) -> Iterator[_Slices]:
    """Which channels and which outputs belong together."""
    for group in range(groups):
        images = slice(group * channels // groups, (group + 1) * channels // groups)
        yield images, slice(group * outputs // groups, (group + 1) * outputs // groups)


def _window_elements(kernel: Pair, places: Pair, window: Window) -> Iterator[tuple[Pair, _Slices]]:
    """Each element of a window, and where all windows have it in the padded image."""
    for i, j in np.ndindex(*kernel):
        starts = (i * window.dilation[0], j * window.dilation[1])
        rows = zip(starts, places, window.stride, strict=True)
        down, across = (slice(start, start + (count - 1) * step + 1, step) for start, count, step in rows)
        yield (i, j), (down, across)

"""NumPy kernels over sliding windows, for any number of spatial axes.

Symbols: B examples, N images, C channels in, O channels out, G groups, P window places, K elements of a window.
Every function takes and gives a leading axis of examples (of size 1 where there is one example).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stead.plans.ops.operation import Array


@dataclass(frozen=True)
class Window:
    """How windows lie over the spatial axes; each field has one entry for each axis."""

    size: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]

    def places(self, spatial: tuple[int, ...]) -> tuple[int, ...]:
        """How many windows fit along each axis; may be below 1."""
        rows = zip(spatial, self.size, self.stride, self.padding, self.dilation, strict=True)
        return tuple((n + 2 * pad - gap * (k - 1) - 1) // step + 1 for n, k, step, pad, gap in rows)

    def spread(self, places: tuple[int, ...], extra: tuple[int, ...]) -> tuple[int, ...]:
        """The spatial shape that a transposed convolution writes from so many places."""
        rows = zip(places, self.size, self.stride, self.padding, self.dilation, extra, strict=True)
        return tuple((n - 1) * step - 2 * pad + gap * (k - 1) + 1 + more for n, k, step, pad, gap, more in rows)


def cut(images: Array, window: Window, fill: float) -> Array:
    """Windows of ``images`` (…, *spatial): shape (…, *places, *window.size), a read-only view of a padded copy."""
    axes = len(window.size)
    lead = images.ndim - axes
    padded = np.pad(images, [(0, 0)] * lead + [(pad, pad) for pad in window.padding], constant_values=fill)
    extent = tuple(gap * (k - 1) + 1 for k, gap in zip(window.size, window.dilation, strict=True))
    views = np.lib.stride_tricks.sliding_window_view(padded, extent, axis=tuple(range(lead, lead + axes)))
    every = (slice(None),) * lead
    return views[every + tuple(slice(None, None, s) for s in (*window.stride, *window.dilation))]


def _columns(images: Array, window: Window, groups: int) -> tuple[Array, tuple[int, ...]]:
    """Windows as matrices (B, G, N·P, C/G·K), and the places."""
    axes = len(window.size)
    views = cut(images, window, 0.0)
    examples, count, channels = views.shape[:3]
    places = views.shape[3 : 3 + axes]
    split = views.reshape(examples, count, groups, channels // groups, *views.shape[3:])
    place_axes, window_axes = range(4, 4 + axes), range(4 + axes, 4 + 2 * axes)
    ordered = split.transpose(0, 2, 1, *place_axes, 3, *window_axes)
    return ordered.reshape(examples, groups, count * int(np.prod(places)), -1), places


def convolve(images: Array, weight: Array, window: Window, groups: int) -> Array:
    """(B, N, C, *spatial) with weight (O, C/G, *K) to (B, N, O, *places)."""
    examples, count = images.shape[:2]
    columns, places = _columns(images, window, groups)
    kernels = weight.reshape(groups, weight.shape[0] // groups, -1).transpose(0, 2, 1)
    product = columns @ kernels  # (B, G, N·P, O/G)
    split = product.reshape(examples, groups, count, -1, product.shape[-1]).transpose(0, 2, 1, 4, 3)
    return split.reshape(examples, count, weight.shape[0], *places)


def weight_gradient(images: Array, gradient: Array, window: Window, groups: int) -> Array:
    """(B, N, C, *spatial) and (B, N, O, *places) to (B, O, C/G, *K)."""
    examples, count, outputs = gradient.shape[:3]
    columns, _ = _columns(images, window, groups)
    split = gradient.reshape(examples, count, groups, outputs // groups, -1).transpose(0, 2, 3, 1, 4)
    rows = split.reshape(examples, groups, outputs // groups, -1)  # (B, G, O/G, N·P)
    return (rows @ columns).reshape(examples, outputs, images.shape[2] // groups, *window.size)


def convolve_transposed(images: Array, weight: Array, window: Window, extra: tuple[int, ...], groups: int) -> Array:
    """(B, N, C, *places) with weight (C, O/G, *K) to (B, N, O, *spatial), the spread of the places plus ``extra``."""
    examples, count, channels = images.shape[:3]
    places = images.shape[3:]
    kernels = weight.reshape(groups, channels // groups, -1).transpose(0, 2, 1)  # (G, O/G·K, C/G)
    rows = images.reshape(examples * count, groups, channels // groups, -1)
    parts = (kernels @ rows).reshape(examples * count, groups * weight.shape[1], *window.size, *places)
    spatial = window.spread(places, extra)
    padded_shape = tuple(n + 2 * pad for n, pad in zip(spatial, window.padding, strict=True))
    padded = np.zeros((*parts.shape[:2], *padded_shape), dtype=images.dtype)
    for offset in np.ndindex(*window.size):
        starts = tuple(o * gap for o, gap in zip(offset, window.dilation, strict=True))
        rows_at = zip(starts, places, window.stride, strict=True)
        spots = tuple(slice(start, start + (n - 1) * step + 1, step) for start, n, step in rows_at)
        padded[(slice(None), slice(None), *spots)] += parts[(slice(None), slice(None), *offset)]
    inner = tuple(slice(pad, pad + n) for n, pad in zip(spatial, window.padding, strict=True))
    return padded[(slice(None), slice(None), *inner)].reshape(examples, count, -1, *spatial)


def largest(images: Array, window: Window) -> tuple[Array, Array]:
    """The largest element of each window of (…, H, W), and where it stands in row-major H·W order."""
    height, width = images.shape[-2:]
    views = cut(images, window, -np.inf)
    flat = views.reshape(*views.shape[:-2], -1)
    best = flat.argmax(axis=-1)
    values = np.take_along_axis(flat, best[..., None], axis=-1)[..., 0]
    rows, columns = np.divmod(best, window.size[1])
    tops = np.arange(views.shape[-4])[:, None] * window.stride[0] - window.padding[0]
    lefts = np.arange(views.shape[-3])[None, :] * window.stride[1] - window.padding[1]
    down = np.clip(tops + rows * window.dilation[0], 0, height - 1)
    across = np.clip(lefts + columns * window.dilation[1], 0, width - 1)
    return values, (down * width + across).astype(np.int64)

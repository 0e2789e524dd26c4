"""How a convolution's windows lie: what the products over rings and their reference share."""

from __future__ import annotations

from dataclasses import dataclass

from stead.errors import UnsupportedOperation, UsageError

Pair = tuple[int, int]

_MOST_NUMBER = 2**31


@dataclass(frozen=True)
class Window:
    """Windows over one or two spatial axes, as the attributes of the operation ``convolution`` describe them.

    Attributes:
        stride: steps from one window to the next, one number for each spatial axis.
        padding: rows of zeros on either side, likewise.
        dilation: steps from one element of a window to the next, likewise.
        groups: into how many parts of their own the channels fall.

    Raises:
        UnsupportedOperation: more than two spatial axes.
        UsageError: a number is out of its range, or the axes do not agree.
    """

    stride: tuple[int, ...] = (1, 1)
    padding: tuple[int, ...] = (0, 0)
    dilation: tuple[int, ...] = (1, 1)
    groups: int = 1

    def __post_init__(self) -> None:
        axes = len(self.stride)
        if axes > 2:
            raise UnsupportedOperation(f"convolutions over shares have 1 or 2 spatial axes, not {axes}.")
        if axes < 1 or len(self.padding) != axes or len(self.dilation) != axes:
            raise UsageError(f"{self} needs one number for each spatial axis in stride, padding and dilation.")
        if min((*self.stride, *self.dilation, self.groups)) < 1 or min(self.padding) < 0:
            raise UsageError(f"{self}: stride, dilation and groups are 1 or more, padding is 0 or more.")
        if max((*self.stride, *self.dilation, *self.padding, self.groups)) >= _MOST_NUMBER:
            raise UsageError(f"{self}: a number of a window is below 2^31.")

    @property
    def axes(self) -> int:
        """How many spatial axes: 1 or 2."""
        return len(self.stride)

    def flat(self) -> Window:
        """The same over two axes: a single axis gets one of length 1 before it."""
        if self.axes == 2:
            return self
        return Window((1, *self.stride), (0, *self.padding), (1, *self.dilation), self.groups)

    def places(self, spatial: tuple[int, ...], kernel: tuple[int, ...]) -> tuple[int, ...]:
        """How many windows of this size fit along each axis.

        Raises:
            UsageError: none fits.
        """
        rows = zip(spatial, kernel, self.stride, self.padding, self.dilation, strict=True)
        found = tuple((n + 2 * pad - gap * (k - 1) - 1) // step + 1 for n, k, step, pad, gap in rows)
        if min(found) < 1 or min(*spatial, *kernel) < 1:
            raise UsageError(f"a window of {list(kernel)} does not fit into {list(spatial)} with {self}.")
        return found

"""How fast products and convolutions over Z_2^64 and Z_2^32 are: one thread, each variant, beside torch.

Rows ``matmul`` carry the shape and ``products_per_second`` (multiplications with their additions). Rows ``conv2d`` are
the layers of ResNet-18 on one image of 224 by 224, each once, with ``layers``, how many of this shape the network has;
the row ``resnet18`` sums them, the fully-connected layer with them. Where torch can be imported its float32 product is
the baseline of the ratios, and its int64 product, which wraps around as Z_2^64 does, has rows of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from report import Row, arguments, compared, emit, progress, row, skipped, timed, timing_row

from stead.mpc.kernels import linear

RINGS = (np.uint64, np.uint32)


@dataclass(frozen=True)
class Layer:
    """A convolution of ResNet-18: side of the square image, channels, outputs, side of the window, and how often."""

    side: int
    channels: int
    outputs: int
    kernel: int
    stride: int
    layers: int

    @property
    def window(self) -> linear.Window:
        """Padded so that the image is divided by the stride alone."""
        pad = self.kernel // 2
        return linear.Window((self.stride, self.stride), (pad, pad), (1, 1))

    @property
    def products(self) -> int:
        """Multiplications of one such layer."""
        return (self.side // self.stride) ** 2 * self.outputs * self.channels * self.kernel**2

    def __str__(self) -> str:
        """As a row names it."""
        return f"{self.channels}x{self.side}x{self.side} to {self.outputs}, {self.kernel}x{self.kernel}/{self.stride}"


RESNET18 = (
    Layer(224, 3, 64, 7, 2, 1),
    Layer(56, 64, 64, 3, 1, 4),
    Layer(56, 64, 128, 3, 2, 1),
    Layer(28, 128, 128, 3, 1, 3),
    Layer(56, 64, 128, 1, 2, 1),
    Layer(28, 128, 256, 3, 2, 1),
    Layer(14, 256, 256, 3, 1, 3),
    Layer(28, 128, 256, 1, 2, 1),
    Layer(14, 256, 512, 3, 2, 1),
    Layer(7, 512, 512, 3, 1, 3),
    Layer(14, 256, 512, 1, 2, 1),
)
FULLY_CONNECTED = (1, 512, 1000)


def torch_here() -> Any:
    """The module, on one thread as the kernels are, or None."""
    with suppress(ImportError):
        import torch

        torch.set_num_threads(1)
        return torch
    return None


def numbers(generator: np.random.Generator, ring: type, *shape: int) -> Any:
    """Ring elements over the whole range."""
    return generator.integers(0, 2 ** (8 * np.dtype(ring).itemsize), shape, ring)


def ring_name(ring: type) -> str:
    """``Z_2^64`` or ``Z_2^32``."""
    return f"Z_2^{8 * np.dtype(ring).itemsize}"


def measured(work: str, named: tuple[str, str], compute: Callable[[], object], products: int, runs: int) -> Row:
    """One row."""
    timing = timed(compute, runs=runs, warm_ups=2)
    best = min(timing.seconds)
    return timing_row(work, *named, timing, products=products, products_per_second=products / best)


def matmul_rows(shape: tuple[int, int, int], chosen: list[linear.Variant], runs: int) -> list[Row]:
    """All systems at one shape (m, k, n)."""
    m, k, n = shape
    work, products, generator = f"matmul {m}x{k}x{n}", m * k * n, np.random.default_rng(1)
    torch, rows, baseline = torch_here(), [], None
    if torch is None:
        rows.append(skipped(work, "torch", "torch cannot be imported"))
    else:
        left, right = torch.randn(m, k), torch.randn(k, n)
        baseline = measured(work, ("torch", "float32"), lambda: left @ right, products, runs)
        integers = (torch.randint(-(2**63), 2**63 - 1, size) for size in ((m, k), (k, n)))
        wide, tall = integers
        peer = measured(work, ("torch", "int64"), lambda: wide @ tall, products, runs)
        rows += [baseline, compared(peer, baseline)]
    for ring in RINGS:
        a, b, plus = numbers(generator, ring, m, k), numbers(generator, ring, k, n), numbers(generator, ring, m, k)
        for variant in chosen:
            named = ("stead", f"{ring_name(ring)} {variant}")

            def compute(variant: linear.Variant = variant, a: Any = a, b: Any = b) -> object:
                return linear.matmul(a, b, variant=variant)

            found = measured(work, named, compute, products, runs)
            rows.append(found if baseline is None else compared(found, baseline))
        fused = measured(
            f"{work}, one factor a sum",
            ("stead", f"{ring_name(ring)} {chosen[0]}"),
            lambda a=a, b=b, plus=plus: linear.matmul(a, b, add_a=plus, variant=chosen[0]),
            products,
            runs,
        )
        rows.append(fused)
    return rows


def layer_rows(layer: Layer, variant: linear.Variant, runs: int) -> list[Row]:
    """One convolution in both rings, beside torch."""
    generator, rows, baseline = np.random.default_rng(1), [], None
    image = (1, layer.channels, layer.side, layer.side)
    weights = (layer.outputs, layer.channels, layer.kernel, layer.kernel)
    torch = torch_here()
    if torch is not None:
        x, w = torch.randn(*image), torch.randn(*weights)
        work = {"stride": layer.stride, "padding": layer.kernel // 2}
        compute = lambda: torch.nn.functional.conv2d(x, w, **work)  # noqa: E731 - one expression
        with torch.inference_mode():
            baseline = measured(f"conv2d {layer}", ("torch", "float32"), compute, layer.products, runs)
        rows.append(baseline | {"layers": layer.layers})
    for ring in RINGS:
        a, b = numbers(generator, ring, *image), numbers(generator, ring, *weights)
        found = measured(
            f"conv2d {layer}",
            ("stead", f"{ring_name(ring)} {variant}"),
            lambda a=a, b=b: linear.conv2d(a, b, layer.window, variant=variant),
            layer.products,
            runs,
        )
        rows.append((found if baseline is None else compared(found, baseline)) | {"layers": layer.layers})
    return rows


def dense_rows(variant: linear.Variant, runs: int) -> list[Row]:
    """The fully-connected layer: one row times a matrix as torch stores it."""
    m, k, n = FULLY_CONNECTED
    generator, rows = np.random.default_rng(1), []
    for ring in RINGS:
        a, b = numbers(generator, ring, m, k), numbers(generator, ring, n, k).T
        found = measured(
            "fully connected 512 to 1000",
            ("stead", f"{ring_name(ring)} {variant}"),
            lambda a=a, b=b: linear.matmul(a, b, variant=variant),
            m * k * n,
            runs,
        )
        rows.append(found | {"layers": 1})
    return rows


def summed(rows: list[Row]) -> list[Row]:
    """The whole network, of the layers' medians and of their best runs."""
    sums = []
    for system, variant in dict.fromkeys((line["system"], line["variant"]) for line in rows):
        mine = [line for line in rows if (line["system"], line["variant"]) == (system, variant)]
        seconds, best, products = (
            math.fsum(line[name] * line["layers"] for line in mine) for name in ("seconds", "seconds_min", "products")
        )
        rate = products / best
        sums.append(
            row(
                "resnet18, all layers",
                system,
                variant,
                seconds=seconds,
                seconds_min=best,
                products=products,
                products_per_second=rate,
            )
        )
    baseline = next((line for line in sums if line["system"] == "torch"), None)
    return sums if baseline is None else [line if line is baseline else compared(line, baseline) for line in sums]


def main() -> None:
    """Measure and report."""
    asked = arguments(__doc__.splitlines()[0])
    runs = 5 if asked.quick else 15
    chosen = [variant for variant in linear.variants() if variant != "numpy"] or ["numpy"]
    rows: list[Row] = []
    for shape in [(256, 256, 256)] if asked.quick else [(1000, 1000, 1000), (256, 256, 256), (1, 512, 1000)]:
        progress(f"matmul {shape}")
        rows += matmul_rows(shape, chosen, runs)
    layers: list[Row] = []
    for layer in RESNET18:
        progress(f"conv2d {layer}")
        layers += layer_rows(layer, chosen[0], runs)
    layers += dense_rows(chosen[0], runs)
    emit("ring kernels", [*rows, *layers, *summed(layers)], as_json=asked.json)


if __name__ == "__main__":
    main()

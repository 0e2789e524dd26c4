"""The same works in the clear by torch, in this process: the baseline of every ratio."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from report import Row, row, timed

CLIENTS, LENGTH = 10, 1_000_000


def plain_rows(model: Any, image: torch.Tensor, *, runs: int) -> dict[tuple[str, int], Row]:
    """Rows by work and threads: 1 and 2 of them."""
    torch.manual_seed(1)
    a, b = torch.randn(1000, 1000), torch.randn(1000, 1000)
    values, table = torch.randn(LENGTH), torch.randn(1000, 10)
    vectors = [torch.randn(LENGTH) for _ in range(CLIENTS)]

    def added() -> torch.Tensor:
        total = vectors[0].clone()
        for vector in vectors[1:]:
            total += vector
        return total

    works: dict[str, Callable[[], object]] = {
        "matmul 1000x1000": lambda: a @ b,
        "relu 1M": lambda: torch.relu(values),
        "softmax 1000x10": lambda: table.softmax(1),
        "resnet18": lambda: model(image),
        "sum of 10 x 1M": added,
    }
    found = {}
    before = torch.get_num_threads()
    with torch.inference_mode():
        for threads in (1, 2):
            torch.set_num_threads(threads)
            for name, work in works.items():
                timing = timed(work, runs=runs, warm_ups=3)
                found[name, threads] = row(name, "torch", f"{threads} threads", **timing.figures())
    torch.set_num_threads(before)
    return found

"""Which adapter speaks a model's language: found by asking the installed adapters, never by a list kept here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.metadata import entry_points
from typing import Any, Literal, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from stead.errors import UnsupportedOperation
from stead.plans.program import Program

GROUP = "stead.adapters"

Array = NDArray[Any]
Loss = Callable[[Any, Any], Any]
Task = Literal["classification", "regression"]


class Framework(Protocol):
    """What an adapter module for a training framework offers.

    Cost: tracing runs the model a few times on one example.
    Security: the model is the scientist's own; nothing here touches private rows.
    """

    def accepts(self, model: object) -> bool:
        """Whether ``model`` is one of this framework. Must not load the framework for a model that cannot be its."""
        ...

    def default_loss(self, task: Task, outputs: int) -> Loss:
        """The usual loss of a task for a model with so many outputs."""
        ...

    def trace(self, model: Any, example_x: Array) -> Program:
        """The forward pass on one example."""
        ...

    def trace_gradient(self, model: Any, loss: Loss, example_x: Array, example_y: Array) -> Program:
        """The loss and its gradients on one example."""
        ...

    def bind_buffers(self, program: Program, model: Any) -> Program:
        """The Program with the model's fixed tensors as constants."""
        ...

    def parameters(self, model: Any) -> list[Array]:
        """Copies of the trained parameters, in the Program's order."""
        ...

    def load(self, model: Any, values: Sequence[Array]) -> None:
        """Write parameters into a model."""
        ...


def framework_of(model: object) -> Framework:
    """The adapter whose ``accepts`` takes ``model``.

    Raises:
        UnsupportedOperation: no installed adapter knows such a model; names its type.
    """
    names = []
    for entry in entry_points(group=GROUP):
        adapter = entry.load()
        if not hasattr(adapter, "accepts"):
            continue
        names.append(entry.name)
        if adapter.accepts(model):
            return cast("Framework", adapter)
    kind = type(model)
    raise UnsupportedOperation(
        f"no adapter takes a model of type {kind.__module__}.{kind.__qualname__}.",
        hint=f"adapters installed here: {', '.join(names) or 'none'}; for PyTorch give an nn.Module",
    )


def copy_parameters(flat: NDArray[np.float32], like: Sequence[Array]) -> list[Array]:
    """A flat weight vector, cut into arrays of the shapes and types of ``like``."""
    ends = np.cumsum([part.size for part in like])[:-1]
    parts = np.split(flat, ends)
    return [part.reshape(shape.shape).astype(shape.dtype) for part, shape in zip(parts, like, strict=True)]

"""PyTorch: modules become Programs, and Programs run on torch.

::

    program = trace_gradient(module, torch.nn.functional.cross_entropy, x[0], y[0])
    loss, *gradients = TorchEngine().run_per_example(program, parameters(module), [x, y])

torch is loaded by the first call, not by importing this module.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np

from stead.adapters._torch_ops import table
from stead.adapters._torch_trace import Argument, load_torch, trace_function
from stead.errors import UnsupportedOperation, UsageError
from stead.plans.builder import bind
from stead.plans.check import load_constants
from stead.plans.cost import last_uses
from stead.plans.engine import check_inputs, fitting_examples
from stead.plans.ops.operation import Array
from stead.plans.program import Program

if TYPE_CHECKING:
    import torch

Example: TypeAlias = "torch.Tensor | Array"
Loss: TypeAlias = "Callable[[torch.Tensor, torch.Tensor], torch.Tensor]"


def trace(module: torch.nn.Module, example_x: Example) -> Program:
    """A module's forward pass on one example, as a Program.

    Args:
        module: in the mode in which it is to run (``module.eval()`` for dropout and batch norm).
        example_x: one example without a batch axis; only its shape and dtype matter. The module sees a batch of one.

    Returns:
        A Program with inputs ``(*parameters, *buffers, x)``, named as in the module, and the module's results
        without the batch axis: ``output``, or ``output.0`` … where it gives several. Unused buffers are left out.

    Raises:
        UnsupportedOperation: the module does something that a Program cannot hold; names it.
        MissingExtra: torch is not installed.
    """
    from torch.func import functional_call

    arguments, names = _arguments(module)
    arguments.append(Argument("x", "x", _tensor(example_x)))
    found: list[int] = []

    def forward(*tensors: Any) -> list[Any]:
        state = dict(zip(names, tensors, strict=False))
        result = functional_call(module, state, (tensors[-1].unsqueeze(0),))
        parts = list(result) if isinstance(result, (tuple, list)) else [result]
        found.append(len(parts) if isinstance(result, (tuple, list)) else 0)
        return [part[0] for part in parts]

    tensors = [argument.tensor for argument in arguments]
    torch_ = load_torch()
    with torch_.no_grad():
        forward(*tensors)
    many = found[0]
    return trace_function(forward, arguments, [f"output.{at}" for at in range(many)] if many else ["output"])


def trace_gradient(module: torch.nn.Module, loss: Loss, example_x: Example, example_y: Example) -> Program:
    """The gradient of a loss of one example, as a Program.

    Args:
        module: in the mode in which it is to be trained; dropout and batch norm need ``module.eval()``.
        loss: takes the module's result for a batch of one and the target with a batch axis of one; gives a number.
        example_x: one example without a batch axis; only its shape and dtype matter.
        example_y: its target, likewise.

    Returns:
        A Program with inputs ``(*parameters, *buffers, x, y)`` and outputs ``loss`` and ``gradient.<parameter>`` for
        each parameter, in order. Parameters that need no gradient count as buffers; unused buffers are left out.
        ``bind_buffers`` turns buffers into constants.

    Raises:
        UnsupportedOperation: the module or loss does something that a Program cannot hold; names it.
        MissingExtra: torch is not installed.
    """
    load_torch()
    from torch.func import functional_call, grad_and_value

    arguments, names = _arguments(module)
    count = sum(argument.role == "parameter" for argument in arguments)
    if not count:
        raise UsageError("the module has no parameter to train.")

    def gradient(*tensors: Any) -> list[Any]:
        fixed = dict(zip(names[count:], tensors[count:], strict=False))
        x, y = (tensor.unsqueeze(0) for tensor in tensors[-2:])

        def value(trained: list[Any], fixed: dict[str, Any]) -> Any:
            result = functional_call(module, {**dict(zip(names, trained, strict=False)), **fixed}, (x,))
            return loss(result, y).reshape(())

        gradients, number = grad_and_value(value)(list(tensors[:count]), fixed)
        return [number, *gradients]

    arguments += [Argument("x", "x", _tensor(example_x)), Argument("y", "y", _tensor(example_y))]
    return trace_function(gradient, arguments, ["loss", *(f"gradient.{name}" for name in names[:count])])


def bind_buffers(program: Program, module: torch.nn.Module) -> Program:
    """The Program with the module's buffers and fixed parameters as constants, so that a Training can hold it."""
    state = {name: tensor.detach().cpu().numpy() for name, tensor in module.state_dict(keep_vars=True).items()}
    names = [item.name for item in program.of_role("buffer")]
    return bind(program, {name: state[name] for name in names}) if names else program


def parameters(module: torch.nn.Module) -> list[Array]:
    """Copies of a module's trained parameters, in the order of the traced inputs."""
    return [tensor.detach().cpu().numpy().copy() for _, tensor in _trained(module)]


def load(module: torch.nn.Module, values: Sequence[Array]) -> None:
    """Write parameters into a module.

    Raises:
        UsageError: their number or a shape is not the module's; nothing is written then.
    """
    torch_, targets = load_torch(), _trained(module)
    if [tuple(tensor.shape) for _, tensor in targets] != [tuple(value.shape) for value in values]:
        raise UsageError(f"the module has {len(targets)} parameters, of other shapes than the {len(values)} given.")
    with torch_.no_grad():
        for (_, tensor), value in zip(targets, values, strict=True):
            tensor.copy_(torch_.from_numpy(np.array(value)))


def accepts(model: object) -> bool:
    """Whether ``model`` is a torch module; torch is not loaded to find out, for whoever has one has loaded it."""
    loaded = sys.modules.get("torch")
    return loaded is not None and isinstance(model, loaded.nn.Module)


def default_loss(task: str, outputs: int) -> Loss:
    """The usual loss of a task.

    Args:
        task: ``classification`` or ``regression``.
        outputs: how many numbers the module gives for one example.

    Returns:
        Squared error for a regression; for a classification cross-entropy, of one logit where there is one output.
    """
    functional = load_torch().nn.functional

    def squared(result: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = functional.mse_loss(result.reshape(y.shape), y)
        return found

    def one_logit(result: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        logits = result.reshape(y.shape)
        found: torch.Tensor = functional.binary_cross_entropy_with_logits(logits, y.to(logits.dtype))
        return found

    if task == "regression":
        return squared
    return one_logit if outputs == 1 else cast("Loss", functional.cross_entropy)


def _trained(module: torch.nn.Module) -> list[tuple[str, torch.Tensor]]:
    return [(name, tensor) for name, tensor in module.named_parameters() if tensor.requires_grad]


def _arguments(module: torch.nn.Module) -> tuple[list[Argument], list[str]]:
    """The module's parameters, then its fixed parameters and buffers, as inputs; and their names."""
    torch_ = load_torch()
    if not isinstance(module, torch_.nn.Module):
        raise UsageError(f"a torch.nn.Module is needed; got {type(module).__name__}.")
    _refuse_modes(module, torch_)
    found = [Argument(name, "parameter", tensor.detach()) for name, tensor in _trained(module)]
    fixed = [(name, tensor) for name, tensor in module.named_parameters() if not tensor.requires_grad]
    fixed += list(module.named_buffers())
    found += [Argument(name, "buffer", tensor.detach()) for name, tensor in fixed]
    return found, [argument.name for argument in found]


def _refuse_modes(module: torch.nn.Module, torch_: Any) -> None:
    norms, drops = torch_.nn.modules.batchnorm._BatchNorm, torch_.nn.modules.dropout._DropoutNd  # noqa: SLF001  # no public name covers 1 to 3 axes
    for name, part in module.named_modules():
        kind = type(part).__name__
        if isinstance(part, norms) and (part.training or not part.track_running_stats):
            raise UnsupportedOperation(
                f"{kind} {name!r} in training mode mixes examples.",
                hint="trace after module.eval(), or use GroupNorm or LayerNorm",
            )
        if part.training and (getattr(part, "dropout", 0.0) or 0.0 if not isinstance(part, drops) else part.p):
            _refuse_dropout(kind, name, part, drops)


def _refuse_dropout(kind: str, name: str, part: Any, drops: Any) -> None:
    rate = part.p if isinstance(part, drops) else part.dropout
    if isinstance(rate, float) and rate > 0:
        raise UnsupportedOperation(
            f"{kind} {name!r} draws a dropout mask in training mode; a Program draws no random numbers.",
            hint="trace after module.eval(), or make the mask an input of the module",
        )


def _tensor(example: Example) -> Any:
    torch_ = load_torch()
    if isinstance(example, (np.ndarray, np.generic)):
        return torch_.from_numpy(np.array(example))
    if not isinstance(example, torch_.Tensor):
        raise UsageError(f"an example is a tensor or array; got {type(example).__name__}.")
    return example.detach()


class TorchEngine:
    """Runs Programs on torch; examples are mapped by ``torch.func.vmap``.

    Args:
        chunk: the most examples mapped at once; ``None``: as many as fit.
        memory_bytes: what to stay below, roughly, by the Program's price; one example is always run.
    """

    def __init__(self, *, chunk: int | None = None, memory_bytes: int = 1 << 29) -> None:
        self._torch = load_torch()
        self._functions = table(self._torch)
        self._chunk = chunk
        self._memory_bytes = memory_bytes

    def run(self, program: Program, inputs: Sequence[Array]) -> list[Array]:
        """See ``plans.engine.Engine.run``."""
        check_inputs(program, inputs, ())
        with self._torch.no_grad():
            return [_array(item) for item in self._callable(program)(*map(self._given, inputs))]

    def run_per_example(self, program: Program, shared: Sequence[Array], examples: Sequence[Array]) -> list[Array]:
        """See ``plans.engine.Engine.run_per_example``."""
        count = check_inputs(program, shared, examples)
        if not examples:
            raise UsageError("run_per_example needs an input that the examples differ in.")
        chunk = min(self._chunk or count, fitting_examples(program, self._memory_bytes))
        axes = (None,) * len(shared) + (0,) * len(examples)
        mapped = self._torch.func.vmap(self._callable(program), in_dims=axes, chunk_size=min(chunk, count))
        with self._torch.no_grad():
            return [_array(item) for item in mapped(*map(self._given, (*shared, *examples)))]

    def _given(self, array: Array) -> Any:
        return self._torch.from_numpy(array if array.flags.writeable and array.flags.c_contiguous else np.array(array))

    def _callable(self, program: Program) -> Callable[..., tuple[Any, ...]]:
        """The Program as a function of torch tensors."""
        constants = [self._given(array) for array in load_constants(program)]
        first = len(program.inputs) + len(constants)
        plan = [
            (self._functions[step.op], step, ends)
            for step, ends in zip(program.steps, last_uses(program, first), strict=True)
        ]

        def call(*inputs: Any) -> tuple[Any, ...]:
            values: dict[int, Any] = dict(enumerate((*inputs, *constants)))
            number = first
            for function, step, ends in plan:
                found = function([values[value] for value in step.inputs], step.attributes, step.outputs)
                for result in found if isinstance(found, tuple) else (found,):
                    values[number] = result
                    number += 1
                for value in ends:
                    del values[value]
            return tuple(values[value] for value in program.outputs)

        return call


def _array(tensor: Any) -> Array:
    found: Array = tensor.contiguous().numpy()
    return found

"""Writes docs/reference/models.md and the stored traces: ``python docs/reference/make_models.py``.

tests/adapters/test_models.py calls ``examine`` on each model and holds the page against what it finds.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent))
from model_zoo import MODELS, REFUSED, Model

from stead.adapters.torch import TorchEngine, bind_buffers, load, parameters, trace, trace_gradient
from stead.errors import SteadError
from stead.plans.check import check_program
from stead.plans.engine import NumpyEngine
from stead.plans.plan import encode_plan, plan_hash
from stead.plans.program import Program

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/reference/models.md"
TRACES = ROOT / "tests/vectors/traces"
AGREES = 2e-5
"""How far two results may be apart, absolutely and relatively: float32 sums in another order."""

_HEAD = """\
# Models that train

Made by `docs/reference/make_models.py` and held by `tests/adapters/test_models.py`; torch {version}.

*traces*: `trace` gives a Program of the forward pass and `trace_gradient` one of the gradient of one example, of so
many steps of the [table](operations.md). *NumPy agrees*: the reference engine gives the module's own results.
*gradients agree*: mapped over examples, both engines give what `backward` gives for each example by itself. *trains*:
the loss falls by a third or more under plain gradient steps.

| model | traces (steps forward, gradient) | operations | flops of one gradient | NumPy agrees | gradients agree | trains |
|---|---|---|---|---|---|---|
"""

_REFUSED = """
## What is refused, and what the refusal says

| model | error |
|---|---|
"""


@dataclass(frozen=True)
class Found:
    """What a model showed."""

    forward: Program
    gradient: Program
    flops: int
    numpy_agrees: bool
    gradients_agree: bool
    trains: bool


def examine(model: Model) -> Found:
    """Trace a model, run it on both engines, compare with torch, train it."""
    torch.manual_seed(7)
    module = model.module()
    x = model.x(model.examples)
    y = model.y(x)
    forward = bind_buffers(trace(module, x[0]), module)
    gradient = bind_buffers(trace_gradient(module, model.loss, x[0], y[0]), module)
    few = slice(0, 3)
    return Found(
        forward=forward,
        gradient=gradient,
        flops=check_program(gradient).flops,
        numpy_agrees=_forward_agrees(module, forward, x[few]),
        gradients_agree=_gradients_agree(model, module, gradient, x[few], y[few]),
        trains=_trains(model, module, gradient, x, y),
    )


def _close(found: Any, wanted: Any) -> bool:
    return bool(np.allclose(found, wanted, rtol=AGREES, atol=AGREES))


def _forward_agrees(module: Any, program: Program, x: torch.Tensor) -> bool:
    with torch.no_grad():
        wanted = module(x).numpy()
    (found,) = NumpyEngine().run_per_example(program, parameters(module), [x.numpy()])
    single = [NumpyEngine().run(program, [*parameters(module), row])[0] for row in x.numpy()]
    return _close(found, wanted) and _close(np.stack(single), wanted)


def _gradients_agree(model: Model, module: Any, program: Program, x: torch.Tensor, y: torch.Tensor) -> bool:
    rows = []
    for at in range(len(x)):
        module.zero_grad()
        value = model.loss(module(x[at : at + 1]), y[at : at + 1])
        value.backward()
        rows.append([value.detach().reshape(()).numpy(), *(p.grad.numpy().copy() for p in module.parameters())])
    wanted = [np.stack(column) for column in zip(*rows, strict=True)]
    for engine in (TorchEngine(), NumpyEngine(), TorchEngine(chunk=2), NumpyEngine(chunk=2)):
        found = engine.run_per_example(program, parameters(module), [x.numpy(), y.numpy()])
        if not all(_close(a, b) for a, b in zip(found, wanted, strict=True)):
            return False
    return True


def _trains(model: Model, module: Any, program: Program, x: torch.Tensor, y: torch.Tensor) -> bool:
    engine, first = TorchEngine(), None
    for _ in range(60):
        values = parameters(module)
        losses, *gradients = engine.run_per_example(program, values, [x.numpy(), y.numpy()])
        first = losses.mean() if first is None else first
        if losses.mean() < 2 / 3 * first:
            return True
        load(module, [v - np.float32(model.rate) * g.mean(axis=0) for v, g in zip(values, gradients, strict=True)])
    return False


def refusal(model: Model) -> str:
    """The first line of the error with which a model is refused, and its hint."""
    torch.manual_seed(7)
    x = model.x(2)
    try:
        trace_gradient(model.module(), model.loss, x[0], model.y(x)[0])
    except SteadError as error:
        return f"`{type(error).__name__}: {error.what}` hint: {error.hint}"
    return "traces"


def file_name(model: Model) -> str:
    """The stored trace of a model."""
    return "".join(c if c.isalnum() else "-" for c in model.name.lower()) + ".json"


def stored_trace(found: Found) -> dict[str, Any]:
    """What is kept of a trace: its hash, and how often each operation stands in it."""
    return {
        name: {"hash": plan_hash(encode_plan(program)).hex(), "operations": dict(sorted(_counts(program).items()))}
        for name, program in (("forward", found.forward), ("gradient", found.gradient))
    }


def _counts(program: Program) -> Counter[str]:
    return Counter(step.op for step in program.steps)


def row(model: Model, found: Found) -> str:
    """A model's line of the table."""
    steps = f"{len(found.forward.steps)}, {len(found.gradient.steps)}"
    marks = [("yes" if good else "NO") for good in (found.numpy_agrees, found.gradients_agree, found.trains)]
    cells = [model.name, steps, str(len(_counts(found.gradient))), f"{found.flops:,}", *marks]
    return "| " + " | ".join(cells) + " |"


def refused_row(model: Model) -> str:
    """A refused model's line."""
    return f"| {model.name} | {refusal(model)} |"


def head() -> str:
    """What stands above the table."""
    return _HEAD.format(version=torch.__version__.split("+")[0])


def main() -> None:
    """Write the page and the traces."""
    torch.set_num_threads(1)
    TRACES.mkdir(parents=True, exist_ok=True)
    lines = []
    for model in MODELS:
        found = examine(model)
        lines.append(row(model, found))
        text = json.dumps(stored_trace(found), indent=1)
        (TRACES / file_name(model)).write_text(text + "\n")
        print(lines[-1])
    refused = [refused_row(model) for model in REFUSED]
    print(*refused, sep="\n")
    PAGE.write_text(head() + "\n".join(lines) + "\n" + _REFUSED + "\n".join(refused) + "\n")


if __name__ == "__main__":
    main()

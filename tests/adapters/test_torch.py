"""Tracing: names, order, determinism, and what is refused; the engine against torch.func."""

import builtins
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call, grad_and_value, vmap
from torch.nn import functional

from stead.adapters.torch import TorchEngine, bind_buffers, load, parameters, trace, trace_gradient
from stead.errors import MissingExtra, UnsupportedOperation, UsageError
from stead.plans.check import check_program
from stead.plans.engine import NumpyEngine
from stead.plans.ops import OPERATIONS
from stead.plans.plan import decode_plan, encode_plan, plan_hash
from stead.plans.program import TensorType

X, Y = torch.zeros(4), torch.tensor(0)
CROSS = functional.cross_entropy


class Function(nn.Module):
    """A linear layer, then a function of its result; nothing mixes a batch."""

    def __init__(self, function, width=4):
        super().__init__()
        torch.manual_seed(3)
        self.layer = nn.Linear(4, width)
        self.function = function

    def forward(self, x):
        return self.function(self.layer(x))


def agree(module, loss, x, y, tolerance=2e-6):
    """Per-example gradients of both engines against ``backward`` on each example by itself."""
    program = bind_buffers(trace_gradient(module, loss, x[0], y[0]), module)
    values = [[] for _ in range(1 + len(parameters(module)))]
    for at in range(len(x)):
        module.zero_grad()
        value = loss(module(x[at : at + 1]), y[at : at + 1])
        value.backward()
        grads = [p.grad if p.grad is not None else torch.zeros_like(p) for p in module.parameters() if p.requires_grad]
        for column, item in zip(values, [value.detach().reshape(()), *grads], strict=True):
            column.append(item.numpy().copy())
    for engine in (TorchEngine(), NumpyEngine()):
        found = engine.run_per_example(program, parameters(module), [x.numpy(), y.numpy()])
        for a, b in zip(found, values, strict=True):
            np.testing.assert_allclose(a, np.stack(b), rtol=1e-5, atol=tolerance)
    return program


def test_names_roles_and_order():
    module = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 2)).eval()
    program = trace_gradient(module, CROSS, X, Y)
    assert [(item.name, item.role) for item in program.inputs] == [
        ("0.weight", "parameter"), ("0.bias", "parameter"), ("1.weight", "parameter"), ("1.bias", "parameter"),
        ("2.weight", "parameter"), ("2.bias", "parameter"), ("1.running_mean", "buffer"), ("1.running_var", "buffer"),
        ("x", "x"), ("y", "y"),
    ]  # fmt: skip
    assert program.output_names == ("loss", *(f"gradient.{name}" for name, _ in module.named_parameters()))
    bound = bind_buffers(program, module)
    assert {item.role for item in bound.inputs} == {"parameter", "x", "y"}
    check_program(bound)


def test_a_forward_pass_with_several_results():
    class Two(nn.Linear):
        def forward(self, x):
            y = super().forward(x)
            return y, y.argmax(dim=1)

    module = Two(4, 3)
    program = trace(module, X)
    assert program.output_names == ("output.0", "output.1")
    x = torch.randn(5, 4)
    found = TorchEngine().run_per_example(program, parameters(module), [x.numpy()])
    for a, b in zip(found, module(x), strict=True):
        np.testing.assert_allclose(a, b.detach().numpy(), rtol=1e-5, atol=1e-6)


def test_frozen_parameters_are_buffers():
    module = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))
    module[0].requires_grad_(requires_grad=False)
    program = agree(module, CROSS, torch.randn(3, 4), torch.tensor([0, 1, 0]))
    assert [item.name for item in program.of_role("parameter")] == ["1.weight", "1.bias"]
    assert len(parameters(module)) == 2


def test_shared_parameters_are_one_input():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Embedding(7, 5)
            self.head = nn.Linear(5, 7, bias=False)
            self.head.weight = self.table.weight

        def forward(self, x):
            return self.head(self.table(x).sum(1))

    program = agree(Tied(), CROSS, torch.randint(0, 7, (4, 3)), torch.randint(0, 7, (4,)), 1e-5)
    assert len(program.of_role("parameter")) == 1


def test_the_same_module_gives_the_same_bytes_in_another_process():
    """Other weights, another example, another process: one plan."""
    code = (
        "import torch; from stead.adapters.torch import trace_gradient; from stead.plans.plan import *\n"
        "torch.manual_seed(1); m = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.GELU(), torch.nn.Linear(8, 2))\n"
        "print(plan_hash(encode_plan(trace_gradient(m, torch.nn.functional.cross_entropy, torch.randn(4),"
        " torch.tensor(1)))).hex())"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    module = nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.Linear(8, 2))
    assert found.stdout.strip() == plan_hash(encode_plan(trace_gradient(module, CROSS, X, Y))).hex()


def test_per_example_gradients_are_torch_funcs():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 10))
    x, y = torch.randn(300, 20), torch.randint(0, 10, (300,))
    state = {name: value.detach() for name, value in module.named_parameters()}

    def loss(state, row, label):
        return CROSS(functional_call(module, state, (row[None],)), label[None])

    grads, losses = vmap(grad_and_value(loss), in_dims=(None, 0, 0))(state, x, y)
    program = trace_gradient(module, CROSS, x[0], y[0])
    for engine in (TorchEngine(), TorchEngine(chunk=64), NumpyEngine(chunk=77)):
        found = engine.run_per_example(program, parameters(module), [x.numpy(), y.numpy()])
        np.testing.assert_allclose(found[0], losses, rtol=1e-5, atol=1e-6)
        for a, b in zip(found[1:], grads.values(), strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-6)


FUNCTIONS = {
    "slices": lambda y: y[:, 1::3] * 2 - y[:, :2].flip(1),
    "select": lambda y: torch.stack([y[:, 3], y[:, -1] * y[:, 0]], dim=1),
    "split": lambda y: torch.cat([part.exp() for part in y.split(2, dim=1)], dim=1),
    "chunk": lambda y: torch.cat(y.chunk(2, dim=1)[::-1], dim=1),
    "clamp": lambda y: y.clamp(-0.3, 0.4),
    "hardtanh": functional.hardtanh,
    "leaky": lambda y: functional.leaky_relu(y, 0.2),
    "elu": functional.elu,
    "selu": functional.selu,
    "softplus": functional.softplus,
    "mish": functional.mish,
    "gelu tanh": lambda y: functional.gelu(y, approximate="tanh"),
    "hardsigmoid": functional.hardsigmoid,
    "silu": functional.silu,
    "powers": lambda y: (y.abs() + 0.5) ** 1.7 + y**3 + 2.0 ** (y * 0.1),
    "roots": lambda y: (y.abs() + 1).sqrt() + (y.abs() + 1).rsqrt() + 1 / (y.abs() + 1),
    "trigonometry": lambda y: torch.sin(y) + torch.cos(y) * torch.tanh(y),
    "logs": lambda y: torch.log1p(y.abs()) + torch.expm1(y * 0.1) + (y.abs() + 1).log2(),
    "softmax": lambda y: functional.softmax(y, dim=1),
    "softmin": lambda y: functional.softmin(y, dim=-1),
    "logsumexp": lambda y: y - torch.logsumexp(y, dim=1, keepdim=True),
    "variance": lambda y: (y - y.mean(1, keepdim=True)) / (y.var(1, keepdim=True) + 0.1),
    "deviation": lambda y: y / (y.std(dim=1, keepdim=True, correction=0) + 0.1),
    "norm": functional.normalize,
    "amax": lambda y: y - y.amax(1, keepdim=True) + y.amin(1, keepdim=True),
    "max": lambda y: y * y.max(dim=1, keepdim=True).values,
    "where": lambda y: torch.where(y > 0.1, y * 2, y.exp()),
    "mask": lambda y: y.masked_fill(y < 0, -1.0),
    "maximum": lambda y: torch.maximum(y, -y * 0.5) + torch.minimum(y, y.square()),
    "pad": lambda y: functional.pad(y, (1, 2), value=0.5)[:, 1:-1],
    "crop": lambda y: functional.pad(y, (-1, -2)),
    "repeat": lambda y: y.repeat(1, 2) * y.repeat_interleave(2, dim=1),
    "expand": lambda y: (y[:, :, None].expand(-1, -1, 3) * torch.arange(3)).sum(2),
    "roll": lambda y: y + y.roll(1, dims=1),
    "index": lambda y: y[:, torch.tensor([2, 0, -1, 2])],
    "index select": lambda y: y.index_select(1, torch.tensor([1, 1, 0])),
    "gather": lambda y: y.gather(1, torch.tensor([[3, 0, 3]])),
    "einsum": lambda y: torch.einsum("bi,bj->bij", y, y).flatten(1),
    "batched products": lambda y: torch.bmm(y[:, :, None], y[:, None, :]).sum(2),
    "triangle": lambda y: (y[:, :, None] * y[:, None, :]).tril().sum(1),
    "comparisons": lambda y: y * ((y >= 0) & ~(y > 1) | (y < -1)).float() + (y != 0).float(),
    "integers": lambda y: y * (torch.arange(y.shape[1]) + 1).float() / 7,
    "constant": lambda y: y @ torch.linspace(-1, 1, 2 * y.shape[1]).reshape(y.shape[1], 2),
    "attention": lambda y: functional.scaled_dot_product_attention(
        y.view(1, 1, -1, 2), y.view(1, 1, -1, 2), y.view(1, 1, -1, 2), is_causal=True
    ).flatten(1),
    "abs": lambda y: y.abs() + y.sign() * 0.1,
    "l1": lambda y: functional.smooth_l1_loss(y, torch.zeros_like(y), reduction="none"),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_people_write(name):
    torch.manual_seed(11)
    module = Function(FUNCTIONS[name], width=6)
    agree(module, lambda out, y: (out * torch.linspace(0.5, 1.5, out.shape[1])).sum() * y.float().mean(),
          torch.randn(4, 4), torch.tensor([1, 2, 3, 1]), 1e-5)  # fmt: skip


LOSSES = {
    "smoothed": (lambda out, y: CROSS(out, y, label_smoothing=0.1), torch.tensor([0, 1, 2])),
    "weighted": (lambda out, y: CROSS(out, y, weight=torch.tensor([1.0, 2.0, 3.0])), torch.tensor([0, 1, 2])),
    "summed": (lambda out, y: CROSS(out, y, reduction="sum"), torch.tensor([0, 1, 2])),
    "nll": (lambda out, y: functional.nll_loss(functional.log_softmax(out, 1), y), torch.tensor([0, 1, 2])),
    "huber": (lambda out, y: functional.huber_loss(out[:, 0], y), torch.tensor([0.0, 1.0, 5.0])),
    "l1": (lambda out, y: functional.l1_loss(out[:, 0], y), torch.tensor([0.0, 1.0, 5.0])),
    "mse": (lambda out, y: functional.mse_loss(out[:, 0], y), torch.tensor([0.0, 1.0, 5.0])),
    "poisson": (lambda out, y: functional.poisson_nll_loss(out[:, 0], y), torch.tensor([0.0, 1.0, 2.0])),
    "binary": (lambda out, y: functional.binary_cross_entropy_with_logits(out[:, 0], y), torch.tensor([0.0, 1.0, 1.0])),
    "positive weight": (
        lambda out, y: functional.binary_cross_entropy_with_logits(out[:, 0], y, pos_weight=torch.tensor(2.0)),
        torch.tensor([0.0, 1.0, 1.0]),
    ),
    "probability": (
        lambda out, y: functional.binary_cross_entropy(out[:, 0].sigmoid(), y),
        torch.tensor([0.0, 1.0, 1.0]),
    ),
}


@pytest.mark.parametrize("name", LOSSES)
def test_losses(name):
    loss, y = LOSSES[name]
    torch.manual_seed(5)
    agree(nn.Linear(4, 3), loss, torch.randn(3, 4), y)


LAYERS = {
    "average with padding": lambda: nn.AvgPool2d(3, 2, 1),
    "average without padding": lambda: nn.AvgPool2d(3, 2, 1, count_include_pad=False),
    "max, dilated": lambda: nn.MaxPool2d(2, 2, dilation=2),
    "max, overlapping": lambda: nn.MaxPool2d(3, 1, 1),
    "adaptive": lambda: nn.AdaptiveAvgPool2d((4, 2)),
    "batch norm": lambda: nn.BatchNorm2d(2).eval(),
    "group norm": lambda: nn.GroupNorm(1, 2),
    "transposed": lambda: nn.ConvTranspose2d(2, 4, 3, 2, 1, output_padding=1, groups=2),
    "transposed, dilated": lambda: nn.ConvTranspose2d(2, 3, 2, dilation=3),
    "circular": lambda: nn.Conv2d(2, 3, 3, padding="same"),
    "strided and cropped": lambda: nn.Conv2d(2, 3, 3, stride=3, bias=False),
    "upsample": lambda: nn.Sequential(nn.Unflatten(2, (8, 1)), nn.Flatten(2, 3), nn.PixelShuffle(1)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers_on_images(name):
    torch.manual_seed(9)
    module = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), LAYERS[name]())
    weights = torch.linspace(-1, 2, 2000)
    agree(module, lambda out, y: (out.flatten() * weights[: out.numel()]).sum() * y, torch.randn(2, 1, 8, 8),
          torch.tensor([1.0, -0.5]), 2e-5)  # fmt: skip


REFUSED = {
    "sort": (lambda y: y.sort(dim=1).values, r"aten\.sort"),
    "topk": (lambda y: y.topk(2, dim=1).values, r"aten\.topk"),
    "item": (lambda y: y * y.sum().item(), "decided by the data"),
    "branch": (lambda y: y if y.sum() > 0 else -y, "decided by the data"),
    "mask index": (lambda y: y[y > 0][None], "decided by the data"),
    "nonzero": (lambda y: y + y.nonzero().float().sum(), "decided by the data"),
    "random": (lambda y: y + torch.randn(1, 6), r"aten\.randn.* random"),
    "random like": (lambda y: y * torch.rand_like(y), "random"),
    "double": (lambda y: y.double() * 2, "float64"),
    "half": (lambda y: y.half().float(), "float16"),
    "complex": (lambda y: torch.fft.rfft(y).abs(), "complex64|fft"),
    "int32": (lambda y: y * y.int(), "int32"),
    "rounding division": (lambda y: y + torch.div(y.detach(), 2, rounding_mode="floor"), "rounds|floor"),
    "several indices": (lambda y: y.view(1, 2, 3)[:, torch.tensor([0, 1]), torch.tensor([2, 0])], "several tensors"),
    "inverse": (
        lambda y: torch.linalg.inv(y.view(1, 6, 1) @ y.view(1, 1, 6) + torch.eye(6)).flatten(1),
        "uint8|linalg",
    ),
    "instance norm": (lambda y: functional.instance_norm(y.view(1, 2, 3)).flatten(1), "mixes examples"),
    "ceil pooling": (lambda y: functional.max_pool2d(y.view(1, 1, 2, 3), 2, ceil_mode=True).flatten(1), "ceil_mode"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_program_cannot_hold_is_refused_by_name(name):
    function, words = REFUSED[name]
    with pytest.raises(UnsupportedOperation, match=words) as caught:
        trace_gradient(Function(function, width=6), lambda out, y: out.float().sum() * y.float().mean(), X, Y)
    assert caught.value.hint or "table" in caught.value.what or "gives" in caught.value.what


def test_modes_that_mix_examples_or_draw_are_refused():
    for module, words in (
        (nn.Sequential(nn.Linear(4, 3), nn.Dropout(0.1)), "Dropout '1'"),
        (nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)), "BatchNorm1d '1'"),
        (nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3, track_running_stats=False)).eval(), "mixes examples"),
        (nn.TransformerEncoderLayer(4, 2, 8, dropout=0.3), "dropout mask"),
    ):
        with pytest.raises(UnsupportedOperation, match=words) as caught:
            trace_gradient(module, CROSS, X, Y)
        assert "module.eval()" in caught.value.hint
    trace_gradient(nn.Sequential(nn.Linear(4, 3), nn.Dropout(0.0)), CROSS, X, Y)
    trace_gradient(nn.Sequential(nn.Linear(4, 3), nn.Dropout(0.5)).eval(), CROSS, X, Y)


def test_tracing_leaves_torch_and_the_module_as_they_were():
    module = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)).eval()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    settings = (
        torch.backends.mkldnn.is_available(),
        torch.backends.mha.get_fastpath_enabled(),
        torch.is_grad_enabled(),
    )
    trace_gradient(module, CROSS, X, Y)
    trace(module, X)
    assert settings == (torch.backends.mkldnn.is_available(), torch.backends.mha.get_fastpath_enabled(),
                        torch.is_grad_enabled())  # fmt: skip
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())
    assert all(value.grad is None for value in module.parameters())
    assert not module.training


def test_a_missing_target_gives_the_zero_gradient_of_a_cross_entropy():
    program = trace_gradient(nn.Linear(4, 3), CROSS, X, Y)
    w, c = np.ones((3, 4), dtype=np.float32), np.zeros(3, dtype=np.float32)
    x = np.ones((2, 4), dtype=np.float32)
    for engine in (TorchEngine(), NumpyEngine()):
        loss, *gradients = engine.run_per_example(program, [w, c], [x, np.array([-1, 1])])
        assert np.isnan(loss[0])
        assert np.isfinite(loss[1])
        for gradient in gradients:
            assert not gradient[0].any()
            assert gradient[1].any()


def test_parameters_go_out_and_in():
    one, two = nn.Linear(4, 3), nn.Linear(4, 3)
    values = parameters(one)
    load(two, values)
    assert torch.equal(one.weight, two.weight)
    values[0][:] = 0
    assert one.weight.abs().sum() > 0
    with pytest.raises(UsageError, match="other shapes"):
        load(two, values[:1])
    with pytest.raises(UsageError, match="other shapes"):
        load(two, [values[0].T, values[1]])


def test_examples_may_be_arrays():
    program = trace_gradient(nn.Linear(4, 3), CROSS, np.zeros(4, dtype=np.float32), np.int64(0))
    assert program.inputs[-2].type == TensorType("float32", (4,))
    assert program.inputs[-1].type == TensorType("int64", ())
    with pytest.raises(UnsupportedOperation, match="float64"):
        trace_gradient(nn.Linear(4, 3), CROSS, np.zeros(4), np.int64(0))
    with pytest.raises(UsageError, match="list"):
        trace(nn.Linear(4, 3), [0.0] * 4)
    with pytest.raises(UsageError, match=r"nn\.Module"):
        trace(lambda x: x, X)
    with pytest.raises(UsageError, match="no parameter"):
        trace_gradient(nn.ReLU(), CROSS, X, Y)


def test_a_trace_travels_as_a_plan():
    program = trace_gradient(nn.Linear(4, 3), CROSS, X, Y)
    assert decode_plan(encode_plan(program)) == program


def test_the_engine_knows_the_whole_table():
    assert set(TorchEngine()._functions) == set(OPERATIONS)


def test_importing_the_adapter_loads_no_torch_and_its_absence_has_a_name(monkeypatch):
    code = "import sys, stead.adapters.torch; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
    real = builtins.__import__

    def without(name, *rest, **more):
        if name == "torch":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    for call in (lambda: trace(None, X), lambda: trace_gradient(None, CROSS, X, Y), TorchEngine):
        with pytest.raises(MissingExtra, match="PyTorch") as caught:
            call()
        assert "stead[torch]" in caught.value.hint

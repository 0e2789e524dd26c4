"""The thirteen models of docs/reference/models.md on shares, in evaluation mode, against torch; folding and widths."""

import numpy as np
import pytest
from on_shares import near, run, session

torch = pytest.importorskip("torch")

import sys  # noqa: E402
from pathlib import Path  # noqa: E402

sys.path.insert(0, str(Path(__file__).parents[2] / "docs/reference"))
import model_zoo as zoo  # noqa: E402

from stead.adapters.torch import trace  # noqa: E402
from stead.errors import UsageError  # noqa: E402
from stead.mpc.engine import Way  # noqa: E402
from stead.mpc.folding import fold  # noqa: E402
from stead.mpc.ranges import Ranges, calibrate, declared  # noqa: E402
from stead.plans.check import check_program  # noqa: E402
from stead.plans.engine import NumpyEngine  # noqa: E402

SMALL = {"logistic regression", "multilayer perceptron", "CNN with pooling", "embedding and mean"}


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def prepared(model):
    torch.manual_seed(3)
    module = model.module()
    for part in module.modules():
        if isinstance(part, torch.nn.modules.batchnorm._BatchNorm):
            part.running_mean.normal_(std=0.3)
            part.running_var.uniform_(0.5, 2.0)
            torch.nn.init.uniform_(part.weight, 0.5, 1.5)
            torch.nn.init.normal_(part.bias, std=0.2)
    x = model.x(2)
    state = {name: value.detach().numpy() for name, value in module.state_dict().items()}
    with torch.no_grad():
        wanted = module(x).numpy()
    return fold(trace(module, x[0]), state), x.numpy(), wanted


@pytest.mark.parametrize("model", zoo.MODELS, ids=lambda model: model.name)
def test_a_model_predicts_on_shares(model):
    folded, x, wanted = prepared(model)
    check_program(folded.program)
    near(NumpyEngine().run(folded.program, [*folded.parameters, x[0]])[0], wanted[0], 2e-5)
    with session("cleartext") as where:
        (found,) = run(where, folded.program, [*folded.parameters, x[0]])
        near(found, wanted[0], 3e-3)
        way = Way(examples=1)
        (several,) = run(where, folded.program, [*folded.parameters, x], way=way)
        near(several, wanted, 3e-3)


@pytest.mark.parametrize("kind", ["masked", "replicated"])
@pytest.mark.parametrize("model", [m for m in zoo.MODELS if m.name in SMALL], ids=lambda model: model.name)
def test_protocols_predict_alike(kind, model):
    folded, x, wanted = prepared(model)
    with session(kind) as where:
        (found,) = run(where, folded.program, [*folded.parameters, x[0]])
    near(found, wanted[0], 3e-3)


def resnet():
    return next(model for model in zoo.MODELS if model.name.startswith("ResNet"))


def test_batch_norm_is_folded_away():
    folded, _, _ = prepared(resnet())
    operations = [step.op for step in folded.program.steps]
    assert operations.count("convolution") == 20
    assert not {"rsqrt", "sub", "mul"} & set(operations)


def test_folding_wants_every_parameter():
    torch.manual_seed(0)
    module = torch.nn.Linear(2, 1)
    program = trace(module, torch.zeros(2))
    with pytest.raises(UsageError, match="1 of 2 parameters"):
        fold(program, {"weight": module.weight.detach().numpy()})
    with pytest.raises(UsageError, match="'bias' is"):
        fold(program, [np.zeros((1, 2), dtype=np.float32), np.zeros(3, dtype=np.float32)])


def cnn():
    torch.manual_seed(1)
    layers = [
        torch.nn.Conv2d(1, 4, 3),
        torch.nn.ReLU(),
        torch.nn.MaxPool2d(2),
        torch.nn.Flatten(),
        torch.nn.Linear(36, 3),
    ]
    return torch.nn.Sequential(*layers).eval()


def test_narrow_comparisons_need_a_proof_or_the_callers_word():
    module, x = cnn(), torch.rand(1, 8, 8)
    program = trace(module, x)
    state = {name: value.detach().numpy() for name, value in module.state_dict().items()}
    folded = fold(program, state)
    inputs = [*folded.parameters, x.numpy()]
    wanted = module(x[None])[0].detach().numpy()
    proof = declared(folded.program, {item.name: (-1.0, 1.0) for item in folded.program.inputs})
    seen = calibrate(folded.program, [inputs])
    assert (proof.basis, seen.basis, Ranges().basis) == ("proven", "calibrated", "none")
    sent = {}
    with session("masked") as where:
        for ranges in (Ranges(), proof, seen):
            before = where.profile.sent_bytes
            (found,) = run(where, folded.program, inputs, way=Way(ranges=ranges))
            near(found, wanted, 2e-3)
            sent[ranges.basis] = where.profile.sent_bytes - before
    assert sent["calibrated"] <= sent["proven"] < sent["none"]  # a proof knows less than a run shows


def test_ranges_hold_what_a_run_shows():
    """Interval arithmetic against random inputs within the bounds."""
    module = cnn()
    program = trace(module, torch.rand(1, 8, 8))
    bounds = {item.name: (-0.5, 0.5) for item in program.inputs}
    proof = declared(program, bounds)
    chance = np.random.default_rng(2)
    for _ in range(5):
        inputs = [chance.uniform(-0.5, 0.5, item.type.shape).astype(np.float32) for item in program.inputs]
        shown = calibrate(program, [inputs], margin=1.0)
        for number, interval in shown.intervals.items():
            assert interval.largest <= proof.of(number).largest * (1 + 1e-6)


def test_bounds_name_inputs():
    program = trace(cnn(), torch.rand(1, 8, 8))
    with pytest.raises(UsageError, match="'z' with bounds 0 and 1"):
        declared(program, {"z": (0, 1)})
    with pytest.raises(UsageError, match="'x' with bounds 2 and 1"):
        declared(program, {"x": (2, 1)})
    with pytest.raises(UsageError, match="0 examples"):
        calibrate(program, [])

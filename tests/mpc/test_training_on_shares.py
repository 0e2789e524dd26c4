"""Training on shares: gradients of a batch against autograd, and scikit-learn's digits as well as in the clear."""

import numpy as np
import pytest
from on_shares import near, run, session

torch = pytest.importorskip("torch")
datasets = pytest.importorskip("sklearn.datasets")

from torch import nn  # noqa: E402

from stead.adapters.torch import parameters, trace, trace_gradient  # noqa: E402
from stead.errors import UnsupportedOperation, UsageError  # noqa: E402
from stead.mpc.engine import Way, plan  # noqa: E402
from stead.mpc.graph import graph_of  # noqa: E402
from stead.mpc.inputs import enter, entered, opened  # noqa: E402
from stead.mpc.local import together  # noqa: E402
from stead.mpc.training import Schedule, SharesTraining, batches  # noqa: E402
from stead.plans.engine import NumpyEngine  # noqa: E402
from stead.plans.training import Optimiser  # noqa: E402

TRAINED = 1400


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def digits():
    found = datasets.load_digits()
    order = np.random.default_rng(0).permutation(len(found.data))
    return (found.data[order] / 16).astype(np.float32), found.target[order]


def logistic():
    torch.manual_seed(0)
    return nn.Linear(64, 10), (64,)


def cnn():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(128, 10)
    ), (1, 8, 8)  # fmt: skip


def strided():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(4, 6, 3, padding=1), nn.SiLU(),
        nn.MaxPool2d(3, 2, 1), nn.Flatten(), nn.Linear(24, 12), nn.Tanh(), nn.Linear(12, 10),
    ), (1, 8, 8)  # fmt: skip


MODELS = {"logistic": logistic, "cnn": cnn, "strided": strided}


def gradient(name):
    module, shape = MODELS[name]()
    x, y = digits()
    x = x.reshape(-1, *shape)
    return module, trace_gradient(module, nn.functional.cross_entropy, torch.tensor(x[0]), torch.tensor(y[0])), x, y


@pytest.mark.parametrize("kind", ["cleartext", "masked", "replicated"])
@pytest.mark.parametrize("name", MODELS)
def test_the_gradient_of_a_batch_is_autograds(kind, name):
    module, program, x, y = gradient(name)
    count = len(program.of_role("parameter"))
    loss = nn.functional.cross_entropy(module(torch.tensor(x[:7])), torch.tensor(y[:7]), reduction="sum")
    wanted = torch.autograd.grad(loss, list(module.parameters()))
    way = Way(examples=2, outputs=tuple(range(1, 1 + count)), summed=tuple(range(count)))
    with session(kind) as where:
        found = run(where, program, [*parameters(module), x[:7], y[:7]], way=way)
    for one, other in zip(found, wanted, strict=True):
        near(one, other.numpy(), 5e-3)


def test_the_loss_of_each_example_can_be_had_too():
    module, program, x, y = gradient("logistic")
    wanted = nn.functional.cross_entropy(module(torch.tensor(x[:5])), torch.tensor(y[:5]), reduction="none")
    with session("cleartext") as where:
        (found,) = run(where, program, [*parameters(module), x[:5], y[:5]], way=Way(examples=2, outputs=(0,)))
    near(found, wanted.detach().numpy(), 2e-3)


def test_one_product_serves_a_whole_batch():
    _, program, _, _ = gradient("cnn")
    count = len(program.of_role("parameter"))
    way = Way(examples=2, outputs=tuple(range(1, 1 + count)), summed=tuple(range(count)))
    ready = plan(program, [True] * len(program.inputs), way)
    totals = [node.op for node in ready.graph.nodes if node.total]
    assert {"mm", "convolution_weight_grad", "sum"} <= set(totals)
    assert "total" not in totals  # nothing is added up after it was computed for each
    operations = [node.op for node in ready.graph.nodes]
    assert {"max_pool_with_winners", "max_pool_grad", "relu_with_sign", "softmax"} <= set(operations)
    assert not {"le", "scatter_add", "log", "exp", "gather"} & set(operations)
    assert len(graph_of(program).nodes) > len(operations)


def accuracy(module, x, weights):
    program = trace(module, torch.tensor(x[0]))
    (scores,) = NumpyEngine().run_per_example(program, [w.astype(np.float32) for w in weights], [x[TRAINED:]])
    return np.mean(scores.argmax(axis=1) == digits()[1][TRAINED:])


def in_the_clear(module, program, x, y, rate, rows):
    weights = parameters(module)
    for chosen in rows:
        found = NumpyEngine().run_per_example(program, weights, [x[chosen], y[chosen]])[1:]
        weights = [(w - rate * g.mean(axis=0)).astype(np.float32) for w, g in zip(weights, found, strict=True)]
    return weights


def on_shares(kind, module, program, x, y, optimiser, rows):
    def computation(p):
        owner = 0 if kind == "cleartext" else 1
        mine = p.party.place == owner

        def secret(array, what):
            return enter(p, entered(array, what) if mine else None, array.shape, what, owner)

        weights = [secret(array, "float64") for array in parameters(module)]
        training = SharesTraining(p, program, optimiser, bounds={"y": (0, 9)})
        found = training.train(weights, secret(x, "float64"), secret(y, "int64"), rows())
        return [opened(p, value, "float64", None) for value in found]

    return together(kind, computation)[-1]


@pytest.mark.parametrize(
    ("name", "kind", "epochs", "rate"),
    [("logistic", "masked", 3, 0.5), ("cnn", "masked", 2, 0.5), ("cnn", "cleartext", 3, 0.5)],
)
def test_digits_are_learnt_as_well_as_in_the_clear(name, kind, epochs, rate):
    module, program, x, y = gradient(name)

    def rows():
        return batches(TRAINED, 40, epochs, seed=bytes(32))

    plain = accuracy(module, x, in_the_clear(module, program, x, y, rate, rows()))
    optimiser = Optimiser("sgd", rate)
    found = accuracy(module, x, on_shares(kind, module, program, x[:TRAINED], y[:TRAINED], optimiser, rows))
    assert plain > 0.85
    assert abs(found - plain) <= 0.01


def test_momentum_and_decay_are_torchs():
    module, program, x, y = gradient("logistic")
    rows = [np.arange(at, at + 20) for at in range(0, 100, 20)]
    torch_module, _ = logistic()
    optimiser = torch.optim.SGD(torch_module.parameters(), lr=0.3, momentum=0.8, weight_decay=0.01)
    for chosen in rows:
        optimiser.zero_grad()
        nn.functional.cross_entropy(torch_module(torch.tensor(x[chosen])), torch.tensor(y[chosen])).backward()
        optimiser.step()
    plan = Optimiser("sgd", 0.3, momentum=0.8, weight_decay=0.01)
    found = on_shares("cleartext", module, program, x[:100], y[:100], plan, lambda: rows)
    for one, other in zip(found, torch_module.parameters(), strict=True):
        near(one, other.detach().numpy(), 1e-3)


def test_batches_take_each_row_once_an_epoch():
    rows = list(batches(10, 3, 2, seed=bytes(32)))
    assert [len(chosen) for chosen in rows] == [3] * 6
    for epoch in (rows[:3], rows[3:]):
        assert len(set(np.concatenate(epoch))) == 9
    assert not np.array_equal(np.concatenate(rows[:3]), np.concatenate(rows[3:]))
    again = list(batches(10, 3, 2, seed=bytes(32)))
    assert all(np.array_equal(one, other) for one, other in zip(rows, again, strict=True))
    with pytest.raises(UsageError, match="batch of 11 from 10"):
        next(batches(10, 11, 1, seed=bytes(32)))


def test_what_cannot_be_trained_is_refused():
    module, program, x, _ = gradient("logistic")
    forward = trace(module, torch.tensor(x[0]))

    def computation(p):
        with pytest.raises(UnsupportedOperation, match="gradient of one example"):
            SharesTraining(p, forward, Optimiser("sgd", 0.1))
        with pytest.raises(UnsupportedOperation, match="not adam"):
            SharesTraining(p, program, Optimiser("adam", 0.1))
        training = SharesTraining(p, program, Optimiser("sgd", 0.1))
        with pytest.raises(UsageError, match="2 parameters"):
            training.train([], np.zeros(1), np.zeros(1), [])

    together("cleartext", computation)


def test_training_from_a_session():
    module, program, x, y = gradient("logistic")
    with session("masked") as where:
        weights = [where.share(array) for array in parameters(module)]
        secret_x, secret_y = where.share(x[:20], owner="p1"), where.share(y[:20], owner="p2")

        schedule = Schedule(1, 20, Optimiser("sgd", 0.5), {"y": (0, 9)})
        found = [value.reveal() for value in where.train(program, weights, secret_x, secret_y, schedule)]
        assert where.profile.by_operation().rounds > 10
    wanted = in_the_clear(module, program, x, y, 0.5, [np.arange(20)])
    for one, other in zip(found, wanted, strict=True):
        near(one, other, 1e-3)

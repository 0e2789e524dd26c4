"""What ``cost`` says before a run is what the channels count in one, byte for byte; and the tables that it prints."""

import numpy as np
import pytest
from on_shares import ROOT

torch = pytest.importorskip("torch")

import sys  # noqa: E402

sys.path.insert(0, str(ROOT / "docs/reference"))
import model_zoo as zoo  # noqa: E402

from stead.adapters.torch import parameters, trace, trace_gradient  # noqa: E402
from stead.errors import UnsupportedOperation, UsageError  # noqa: E402
from stead.mpc.costing import Costing, costs_of, outline  # noqa: E402
from stead.mpc.engine import SharesEngine, Way  # noqa: E402
from stead.mpc.estimate import cost  # noqa: E402
from stead.mpc.folding import fold  # noqa: E402
from stead.mpc.inputs import enter, entered, opened  # noqa: E402
from stead.mpc.local import together  # noqa: E402
from stead.mpc.ranges import declared  # noqa: E402
from stead.plans.builder import ProgramBuilder  # noqa: E402
from stead.plans.program import TensorType  # noqa: E402

MODELS = ["logistic regression", "multilayer perceptron", "CNN with pooling", "transformer encoder",
          "depthwise CNN, group norm"]  # fmt: skip


MEETING_BYTES = 16
"""In masked sharing both online parties first make sure, in a round of their own, that their material fits."""


def measured(kind, program, arrays, way=None):
    """What each party has sent in a run, and the rounds of one that computes; sharing and opening included."""

    def computation(p):
        start, owner = p.party.channel.traffic, 1
        values = []
        for array in arrays:
            given = "int64" if array.dtype.kind == "i" else "float64"
            ring = entered(array, given) if p.party.place == owner else None
            values.append(enter(p, ring, array.shape, given, owner))
        for value in SharesEngine(p).run_as(program, values, way or Way()):
            opened(p, value, "float64", None)
        spent = p.party.channel.traffic.since(start)
        return spent.total_sent_bytes, spent.rounds

    found = together(kind, computation)
    sent, rounds = tuple(sent for sent, _ in found), max(rounds for _, rounds in found)
    return ((0, sent[1] - MEETING_BYTES, sent[2] - MEETING_BYTES), rounds - 1) if kind == "masked" else (sent, rounds)


def check(report, kind, sent, rounds):
    """Bytes are exact. So are rounds where all online parties take part in all; else some wait in fewer of them."""
    assert (*report.sent_bytes, *(0,) * (3 - len(report.sent_bytes))) == sent
    assert (rounds == report.rounds) if kind == "masked" else (rounds <= report.rounds)


def model(name):
    torch.manual_seed(2)
    found = next(model for model in zoo.MODELS if model.name == name)
    return found, found.module().eval()


@pytest.mark.parametrize("kind", ["masked", "replicated"])
@pytest.mark.parametrize("name", MODELS)
def test_the_cost_of_a_model_is_what_is_sent(kind, name):
    zoo_model, module = model(name)
    x = zoo_model.x(1)
    folded = fold(trace(module, x[0]), {key: value.detach().numpy() for key, value in module.state_dict().items()})
    report = cost(folded.program, kind)
    sent, rounds = measured(kind, folded.program, [*folded.parameters, x[0].numpy()])
    check(report, kind, sent, rounds)
    assert (report.dealt_bytes > 0) == (kind == "masked")


@pytest.mark.parametrize("kind", ["masked", "replicated"])
def test_the_cost_of_a_gradient_is_what_is_sent(kind):
    zoo_model, module = model("CNN with pooling")
    x = zoo_model.x(6)
    y = zoo_model.y(x)
    program = trace_gradient(module, zoo_model.loss, x[0], y[0])
    count = len(program.of_role("parameter"))
    ranges = declared(program, {"y": (0, 2)})
    way = Way(2, tuple(range(1, 1 + count)), tuple(range(count)), ranges)
    report = cost(program, kind, way=way)
    sent, rounds = measured(kind, program, [*parameters(module), x[:1].numpy(), y[:1].numpy()], way)
    check(report, kind, sent, rounds)


def test_nothing_is_computed_and_little_is_held():
    """A matrix product of 30,000 rows: seconds and gigabytes, were it run."""
    builder = ProgramBuilder()
    a = builder.input("a", "x", TensorType("float32", (30_000, 2_000)))
    b = builder.input("b", "parameter", TensorType("float32", (2_000, 2_000)))
    program = builder.build({"c": builder.add("relu", builder.add("mm", a, b))})
    report = cost(program, "masked")
    assert report.macs == 30_000 * 2_000 * 2_000
    assert report.peak_bytes >= 16 * 30_000 * 2_000


def test_a_report_is_a_table():
    zoo_model, module = model("CNN with pooling")
    text = str(cost(trace(module, zoo_model.x(1)[0]), "masked"))
    assert "convolution 0.weight" in text
    assert "multiply-adds" in text
    assert "kB of shares at a party" in text
    assert text.splitlines()[-2].startswith("all")


def test_the_cost_of_a_function():
    def work(p):
        x = p.share(np.zeros(5, dtype=np.uint64), (5,), 1)
        return p.reveal(p.truncate(x, 16))

    assert cost(work, "cleartext").cost.total_bytes == 0
    assert cost(work, "replicated").rounds >= 3


def test_what_cannot_be_priced():
    zoo_model, module = model("logistic regression")
    program = trace(module, zoo_model.x(1)[0])
    with pytest.raises(UsageError, match="'yao' is no protocol"):
        cost(program, "yao")
    with pytest.raises(UsageError, match="'z' is no input"):
        cost(program, public=["z"])
    builder = ProgramBuilder()
    value = builder.input("x", "x", TensorType("float32", (2,)))
    with pytest.raises(UnsupportedOperation, match=r"pow .step 1. raises to the power 70"):
        cost(builder.build({"y": builder.add("pow", value, builder.like(value, 70.0))}))


def test_public_inputs_cost_less():
    zoo_model, module = model("multilayer perceptron")
    program = trace(module, zoo_model.x(1)[0])
    names = [item.name for item in program.of_role("parameter")]
    assert sum(cost(program, public=names).sent_bytes) < sum(cost(program).sent_bytes)


def test_outlines_have_shapes_alone():
    a, b = outline((4, 1, 1000)), outline((3, 1000))
    assert (a + b).shape == (4, 3, 1000)
    assert (a * b).sum(axis=(0, 2)).shape == (3,)
    assert (a + b).sum(axis=1, keepdims=True).shape == (4, 1, 1000)
    assert np.concatenate([a, a], axis=1).shape == (4, 2, 1000)
    assert (a + b).strides == (0, 0, 0)
    assert a.sum().shape == ()


def test_verbs_of_shapes_refuse_what_verbs_refuse():
    p = Costing(costs_of("masked"))
    x = p.share(None, (3,), 1)
    with pytest.raises(ValueError, match="cannot choose"):
        p.select(p.negative(x), p.share(None, (4,), 1))

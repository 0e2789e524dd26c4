"""What a hurried notebook gets wrong with secret arrays is told in stead's words, where it stands; nothing hangs.

Each wrong call is run on one session that all of them share: it must be usable afterwards, with the numbers it had.
"""

import copy
import json
import math
import operator
import pickle
import threading
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from on_shares import module, near, session

import stead
from stead.adapters.torch import parameters, trace_gradient
from stead.errors import SteadError, UnknownAttribute, UnsupportedOperation, UsageError
from stead.mpc.engine import Way
from stead.mpc.estimate import cost
from stead.mpc.local import together
from stead.mpc.ranges import Ranges
from stead.mpc.session import PartySession
from stead.mpc.training import Schedule
from stead.plans.training import Optimiser

WAIT_S = 60


@pytest.fixture(scope="module", params=["cleartext", "masked", "replicated"])
def here(request):
    table = module("tests/plans/test_ops.py")
    program = table.program_of(
        "mm", [table.type_of(np.ones((2, 3), np.float32)), table.type_of(np.ones((3, 2), np.float32))], {}
    )
    linear = torch.nn.Linear(4, 2)
    gradient = trace_gradient(linear, torch.nn.functional.cross_entropy, torch.ones(4), torch.tensor(1))
    with session(request.param) as s, session("cleartext") as other, session("cleartext") as closed:
        gone = closed.share([1.0])
        closed.close()
        yield SimpleNamespace(
            s=s, x=s.share([1.0, 2.0, 3.0]), m=s.share(np.arange(12.0).reshape(3, 4)), i=s.share([1, 2, 3]),
            b=s.share([True, False, True]), none=s.share([]), other=other, y=other.share([1.0, 2.0, 3.0]), gone=gone,
            closed=closed, program=program, gradient=gradient, start=parameters(linear), owner=s.parties[-1],
        )  # fmt: skip


U, O, A = UsageError, UnsupportedOperation, UnknownAttribute
VALUES = {
    "float": (lambda h: float(h.x[0]), U, "float() of a SecretArray"),
    "int": (lambda h: int(h.i[0]), U, ".reveal(to=...)"),
    "a truth": (lambda h: 1 if h.x[0] > 1 else 0, U, "numpy.where(condition, a, b)"),
    "and": (lambda h: (h.x > 0) and (h.x < 1), U, "& | ~ join truths"),
    "not": (lambda h: not h.b, U, "the truth of"),
    "a chain of comparisons": (lambda h: 0 < h.x < 1, U, "& | ~"),
    "iteration": (lambda h: [float(v) for v in h.x], U, "iteration"),
    "unpacking": (lambda h: dict(*h.x), U, "iteration"),
    "builtin sum": (lambda h: sum(h.x), U, "NumPy's functions"),
    "builtin sorted": (lambda h: sorted(h.x), U, "iteration"),
    "builtin max of two": (lambda h: max(h.x, h.x), U, "the truth"),
    "zip": (lambda h: list(zip(h.x, h.x, strict=True)), U, "iteration"),
    "round": (lambda h: round(h.x[0]), U, "open the result"),
    "math.sqrt": (lambda h: math.sqrt(h.x[0]), U, "float()"),
    "a format": (lambda h: f"{h.x[0]:.2f}", U, "the format '.2f'"),
    "percent": (lambda h: "%.2f" % h.x[0], U, "float()"),  # noqa: UP031 - what users write
    "length of one": (lambda h: len(h.x[0]), U, "no length"),
    "in": (lambda h: 1.0 in h.x, U, "`in`"),
    "range": (lambda h: range(h.i[0]), U, "an index"),
    "asarray": (lambda h: np.asarray(h.x), U, "numpy.asarray"),
    "a list of arrays": (lambda h: np.array([h.x, h.x]), U, "numpy.asarray"),
    "torch.tensor": (lambda h: torch.tensor(h.x), U, ".reveal"),
    "tolist": (lambda h: h.x.tolist(), U, "tolist()"),
    "numpy()": (lambda h: h.x.numpy(), A, "no 'numpy'"),
    "a method that is not": (lambda h: h.x.prod(), A, "no 'prod'"),
    "pickle": (lambda h: pickle.dumps(h.x), U, "its shares are for its parties"),
    "deepcopy": (lambda h: copy.deepcopy(h.x), U, "it never changes"),
    "a session pickled": (lambda h: pickle.dumps(h.s), U, "one party's side"),
    "save": (lambda h: np.save("nowhere", h.x), O, "numpy.save"),
}  # fmt: skip
CHANGES = {
    "an element": (lambda h: operator.setitem(h.x, 0, 1.0), U, "not changed in place"),
    "a mask": (lambda h: operator.setitem(h.x, h.x > 1, 0.0), U, "numpy.where(mask, new, a)"),
    "deletion": (lambda h: operator.delitem(h.x, 0), U, "not changed in place"),
    "+=": (lambda h: operator.iadd(h.x, 1), O, "write a = a + b"),
    "*= of a public one": (lambda h: operator.imul(np.ones(3), h.x), O, "write a = a + b"),
    "out=": (lambda h: np.add(h.x, 1, out=np.zeros(3)), O, "out=a"),
    "add.at": (lambda h: np.add.at(h.x, [0], 1), O, "numpy.add.at"),
}  # fmt: skip
OPERANDS = {
    "a text compared": (lambda h: h.x == "abc", U, "got str"),
    "a text added": (lambda h: "abc" + h.x, U, "numbers, truths"),
    "texts": (lambda h: h.x * ["a", "b", "c"], U, "dtype <U1"),
    "None compared": (lambda h: h.x == None, U, "got NoneType"),  # noqa: E711 - what users write
    "None added": (lambda h: h.x + None, U, "got NoneType"),
    "an object": (lambda h: h.x * object(), U, "got object"),
    "a dict": (lambda h: h.x + {}, U, "got dict"),
    "ragged": (lambda h: h.x * [[1], [2, 3]], U, "list is none"),
    "complex": (lambda h: h.x * 1j, U, "complex"),
    "a date": (lambda h: h.x + np.datetime64("2020-01-01"), U, "datetime64"),
    "NaN": (lambda h: h.x + np.nan, U, "1 of 1 public numbers are NaN or infinite"),
    "NaN compared": (lambda h: h.x < [1.0, np.nan, 2.0], U, "1 of 3"),
    "infinity": (lambda h: np.maximum(h.x, -np.inf), U, "-10000"),
    "NaN chosen": (lambda h: np.where(h.b, h.x, np.nan), U, "NaN"),
    "too large": (lambda h: h.x + 1e15, O, "2^46"),
    "a huge whole number": (lambda h: h.i + 2**70, U, "2^63"),
    "an unsigned one": (lambda h: h.i + np.uint64(2**63), U, "2^63"),
    "division by 0": (lambda h: h.x / 0, O, "public 0"),
    "exponents": (lambda h: h.x ** np.array([1, 2, 3]), O, "one exponent"),
    "shapes": (lambda h: h.x + np.ones(4), U, "[3] and [4] do not broadcast"),
    "secret shapes": (lambda h: h.x < h.m, U, "[3] and [3, 4] do not broadcast"),
    "shapes chosen": (lambda h: np.where(h.b, h.m, h.x), U, "do not broadcast"),
    "matrices": (lambda h: h.m @ h.m, U, "no matrix product of [3, 4] and [3, 4]"),
    "a matrix and a number": (lambda h: h.m @ 2, U, "matrix product"),
    "joined shapes": (lambda h: np.concatenate([h.x, h.m]), U, "do not join"),
    "joined along no axis": (lambda h: np.concatenate([h.x, h.x], axis=2), U, "axis 2 of an array with 1 axes"),
    "joined numbers": (lambda h: np.concatenate([h.x[0], h.x[1]]), U, "numpy.stack"),
    "stacked shapes": (lambda h: np.stack([h.x, h.x[:2]]), U, "do not join"),
    "joined texts": (lambda h: np.concatenate([h.x, ["a"]]), U, "numbers, truths"),
    "another session": (lambda h: h.x + h.y, U, "different sessions"),
    "another session's index": (lambda h: h.m[h.other.share([0])], U, "different sessions"),
    "another session's argument": (lambda h: h.s.call(lambda a: a, h.y), U, "another session"),
    "another session's list": (lambda h: h.s.call(lambda a: a[0], [h.y]), U, "another session"),
    "whole numbers joined by &": (lambda h: h.i & h.i, O, "(a > 0) & (b > 0)"),
    "~ of numbers": (lambda h: ~h.x, O, "~(a > 0)"),
}  # fmt: skip
FUNCTIONS = {
    "one without a counterpart": (lambda h: np.prod(h.x), O, "numpy.prod has no counterpart"),
    "isnan": (lambda h: np.isnan(h.x), O, "never NaN"),
    "round": (lambda h: np.round(h.x, 2), O, "open the result"),
    "nonzero": (lambda h: np.nonzero(h.x), O, "would show"),
    "array_equal": (lambda h: np.array_equal(h.x, h.x), O, "numpy.all(a == b)"),
    "norm": (lambda h: np.linalg.norm(h.x), O, "numpy.sqrt(numpy.sum(a * a))"),
    "//": (lambda h: h.x // 2, O, "(a / b).astype(int)"),
    "%": (lambda h: h.x % 2, O, "astype(int)"),
    "sum with dtype": (lambda h: np.sum(h.x, dtype=float), O, "there is: axis=, keepdims="),
    "sum with where": (lambda h: h.x.sum(where=h.b), O, "numpy.sum with where="),
    "weights": (lambda h: np.average(h.x, weights=[1, 2, 3]), O, "weights="),
    "initial": (lambda h: np.max(h.x, initial=0), O, "initial="),
    "a quantile's method": (lambda h: np.quantile(h.x, 0.5, method="lower"), O, "method="),
    "where of one": (lambda h: np.where(h.x > 1), U, "numpy.where(mask, a, b)"),
    "diff twice": (lambda h: np.diff(h.x, n=2), O, "n="),
    "reduce of products": (lambda h: np.multiply.reduce(h.x), O, "multiply.reduce"),
    "a text as shape": (lambda h: h.x.reshape("a"), U, "[3] as a"),
    "another size": (lambda h: h.x.reshape(2, 2), U, "cannot reshape"),
    "column order": (lambda h: np.reshape(h.x, (3, 1), order="F"), O, "row-major"),
    "no such axis": (lambda h: h.x.sum(axis=3), U, "axis 3 of an array with 1 axes"),
    "half an axis": (lambda h: h.x.sum(axis=0.5), U, "whole number; got 0.5"),
    "an axis by name": (lambda h: h.x.sum(axis="rows"), U, "got 'rows'"),
    "an axis twice": (lambda h: h.m.sum(axis=(0, -2)), U, "twice"),
    "argmax of two axes": (lambda h: np.argmax(h.m, axis=(0, 1)), U, "takes one axis"),
    "median of two axes": (lambda h: np.median(h.m, axis=(0, 1)), U, "takes one axis"),
    "a quantile of 2": (lambda h: np.quantile(h.x, 2), U, "from 0 to 1"),
    "a quantile as text": (lambda h: np.quantile(h.x, "a"), U, "from 0 to 1"),
    "the largest of none": (lambda h: np.max(h.none), U, "no elements"),
    "the mean of none": (lambda h: np.mean(h.none), U, "no elements"),
    "the median of none": (lambda h: np.median(h.none), U, "no elements"),
    "a variance of none left": (lambda h: np.var(h.x, ddof=3), U, "ddof=3"),
    "a dtype that is none": (lambda h: h.x.astype("abc"), U, "no dtype"),
    "texts as dtype": (lambda h: h.x.astype(str), O, "float64, int64 or bool"),
}  # fmt: skip
INDICES = {
    "beyond": (lambda h: h.x[5], U, "out of bounds"),
    "beyond the front": (lambda h: h.x[-9], U, "out of bounds"),
    "two for one axis": (lambda h: h.x[0, 0], U, "too many indices"),
    "a name": (lambda h: h.x["a"], U, "only integers"),
    "half": (lambda h: h.x[1.0], U, "only integers"),
    "half a slice": (lambda h: h.x[0.5:], U, "slice"),
    "two ellipses": (lambda h: h.m[..., ...], U, "ellipsis"),
    "a short mask": (lambda h: h.x[np.array([True, False])], U, "boolean"),
    "a list that is beyond": (lambda h: h.m[[0, 9]], U, "out of bounds"),
    "a secret mask": (lambda h: h.x[h.x > 1], U, "numpy.where(mask, a, 0)"),
    "secret and public": (lambda h: h.m[h.i, 0], U, "a secret index"),
    "a secret bound": (lambda h: h.x[: h.i[0]], U, "an index of a SecretArray"),
    "a secret index of a public array": (lambda h: np.arange(3)[h.i], U, "numpy.asarray"),
    "numbers with a fraction": (lambda h: h.m[h.x], U, "whole numbers"),
}  # fmt: skip
SESSIONS = {
    "texts": (lambda h: h.s.share("text"), U, "got str"),
    "nothing": (lambda h: h.s.share(None), U, "got NoneType"),
    "ragged": (lambda h: h.s.share([[1], [2, 3]]), U, "can be shared"),
    "objects": (lambda h: h.s.share([object()]), U, "dtype object"),
    "NaN": (lambda h: h.s.share([np.nan]), U, "not finite"),
    "too large": (lambda h: h.s.share([1e20]), U, "2^46"),
    "too large and whole": (lambda h: h.s.share(np.array([2**63], np.uint64)), U, "2^63"),
    "a tensor with a gradient": (lambda h: h.s.share(torch.ones(2, requires_grad=True)), U, "detach"),
    "twice": (lambda h: h.s.share(h.x), U, "shared already"),
    "an unknown owner": (lambda h: h.s.share([1.0], owner="eve"), U, "'eve' is none of the parties"),
    "an owner's place": (lambda h: h.s.share([1.0], owner=1), U, "none of the parties"),
    "one array for many": (lambda h: h.s.share_all(np.ones(3)), U, "a list of arrays"),
    "no arrays": (lambda h: h.s.share_all([]), U, "a list of arrays"),
    "many with a text": (lambda h: h.s.share_all([[1.0], "a"]), U, "got str"),
    "to nobody known": (lambda h: h.x.reveal(to="eve"), U, "'eve' is none of the parties"),
    "to somebody unknown": (lambda h: h.x.reveal(to=[h.owner, "eve"]), U, "'eve'"),
    "to a place": (lambda h: h.x.reveal(to=1), U, "got 1"),
    "to nobody": (lambda h: h.x.reveal(to=[]), U, "got []"),
    "closed: share": (lambda h: h.closed.share([1.0]), U, "it was closed"),
    "closed: +": (lambda h: h.gone + 1, U, "open another one"),
    "closed: reveal": (lambda h: h.gone.reveal(), U, "it was closed"),
    "no function": (lambda h: h.s.call(h.x), U, "takes a function"),
    "a function that holds an array": (lambda h: h.s.call(lambda: h.x + 1), U, "as an argument"),
    "a function that holds a session": (lambda h: h.s.call(lambda: h.s.share([1.0])), U, "as an argument"),
    "no program": (lambda h: h.s.run(torch.nn.Linear(2, 2), [h.x]), U, "trace(model, example)"),
    "no way": (lambda h: h.s.run(h.program, [h.x, h.x], Ranges()), U, "a Way; got Ranges"),
    "too few inputs": (lambda h: h.s.run(h.program, [h.m]), U, "2 inputs; got 1"),
    "inputs of another shape": (lambda h: h.s.run(h.program, [h.m, h.m]), U, "[2, 3]; got [3, 4]"),
    "a text as input": (lambda h: h.s.run(h.program, [h.m, "a"]), U, "got str"),
    "no gradient": (lambda h: h.s.train(h.program, [], h.x, h.x), O, "trace_gradient"),
    "no weights": (lambda h: h.s.train(h.gradient, [], h.m, h.i, Schedule(batch=2)), U, "2 parameters"),
    "other targets": (lambda h: h.s.train(h.gradient, h.start, h.m, h.i[:2], Schedule(batch=2)), U, "one for each"),
    "one example": (lambda h: h.s.train(h.gradient, h.start, h.x[0], h.i[0], Schedule()), U, "one number"),
    "a large batch": (lambda h: h.s.train(h.gradient, h.start, h.m, h.i, Schedule(batch=9)), U, "take 1 to 3"),
    "half an epoch": (lambda _: Schedule(epochs=0.5), U, "epochs=0.5"),
    "a rate for an optimiser": (lambda _: Schedule(optimiser=0.1), U, 'Optimiser("sgd", 0.1)'),
    "a short seed": (lambda _: Schedule(seed=b"1"), U, "32 bytes"),
    "adam": (
        lambda h: h.s.train(h.gradient, h.start, h.m, h.i, Schedule(batch=2, optimiser=Optimiser("adam", 0.1))),
        O, "not adam",
    ),
    "no such protocol": (lambda _: stead.local_session("yao"), U, "cleartext, masked, replicated"),
    "a list of protocols": (lambda _: stead.local_session(["masked"]), U, "no protocol"),
    "two names": (lambda _: stead.local_session("masked", parties=["a", "b"]), U, "it has 3"),
    "a text of names": (lambda _: stead.local_session("masked", parties="abc"), U, "it has 3"),
    "numbers for names": (lambda _: stead.local_session("masked", parties=[1, 2, 3]), U, "name of its own"),
    "no threads": (lambda _: stead.local_session(threads=0), U, "from 1 on; got 0"),
    "the cost of no protocol": (lambda h: cost(h.program, "yao"), U, "yao"),
    "the cost of a model": (lambda _: cost(torch.nn.Linear(2, 2)), U, "trace(model, example)"),
    "the cost with no such input": (lambda h: cost(h.program, public=["zz"]), U, "'zz' is no input"),
}  # fmt: skip
GROUPS = {
    "values": VALUES, "changes": CHANGES, "operands": OPERANDS, "functions": FUNCTIONS, "indices": INDICES,
    "sessions": SESSIONS,
}  # fmt: skip
CASES = {f"{group}: {name}": case for group, table in GROUPS.items() for name, case in table.items()}


def ends(work):
    """What a call raised; fails where it does not end."""
    found = []

    def run():
        try:
            found.append(work())
        except BaseException as error:  # noqa: BLE001 - looked at by the test
            found.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(WAIT_S)
    assert not thread.is_alive(), "it hangs"
    return found[0]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", CASES)
def test_a_wrong_call(here, name):
    wrong, kind, words = CASES[name]
    found = ends(lambda: wrong(here))
    assert isinstance(found, SteadError), repr(found)
    assert type(found) is kind, repr(found)
    assert words in str(found)
    assert "ended" not in repr(here.s)
    near(here.x.reveal(), [1.0, 2.0, 3.0])


def test_there_are_enough_of_them():
    assert len(CASES) >= 60


def test_what_python_refuses_by_itself(here):
    """These come from Python: no value is near them."""
    for refused in (lambda: json.dumps(here.x), lambda: hash(here.x), lambda: setattr(here.x, "name", 1)):
        with pytest.raises((TypeError, AttributeError)):
            refused()
    assert not hasattr(here.x, "numpy")
    assert hasattr(here.x, "shape")


def test_arrays_in_lists_reach_a_function(here):
    def total(parts, named):
        return sum(parts[1:], parts[0]) + named["x"]

    near(here.s.call(total, [here.x, here.x], {"x": here.x}).reveal(), [3.0, 6.0, 9.0])


def test_bounds_that_are_none(here):
    near(np.clip(here.x, 2, np.inf).reveal(), [2.0, 2.0, 3.0])
    near(np.clip(here.x, min=-np.inf, max=2.0).reveal(), [1.0, 2.0, 2.0])


def test_two_threads_of_a_user_take_turns(here):
    found = {}

    def run(number):
        found[number] = [(here.x * number).reveal() for _ in range(5)]

    threads = [threading.Thread(target=run, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
    for number in range(4):
        for values in found[number]:
            near(values, np.array([1.0, 2.0, 3.0]) * number)


def test_an_interrupted_session_ends():
    """Replies that come later would be taken for those of the next job."""
    where = session("masked")
    x = where.share([1.0])

    class Interrupted:
        def get(self, timeout=None):
            raise KeyboardInterrupt

        def put(self, reply):
            pass

    where._replies = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        x + 1
    with pytest.raises(UsageError, match="it was interrupted"):
        x.reveal()


@pytest.mark.parametrize("kind", ["masked", "replicated"])
def test_an_owner_with_a_wrong_array_ends_all(kind):
    """The error at one party reaches the others at once, not after a timeout."""

    def lines(p):
        here = PartySession(p)
        if p.party.place == 1:
            return here.share([np.nan], owner="p1")
        return here.share(owner="p1", shape=(1,)).reveal()

    found = ends(lambda: together(kind, lines))
    assert isinstance(found, SteadError)


def test_the_way_is_not_lost(here):
    near(here.s.run(here.program, [np.ones((2, 3)), np.ones((3, 2))], Way())[0], np.full((2, 2), 3.0))

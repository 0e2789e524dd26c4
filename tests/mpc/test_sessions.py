"""Sessions: all parties here or one of them, who sees what, and what happens when a party fails."""

import threading

import numpy as np
import pytest
from on_shares import module, near, session

from stead.errors import PartyError, SteadError, UsageError
from stead.mpc.functions.division import divide
from stead.mpc.inputs import enter, entered, opened
from stead.mpc.local import together
from stead.mpc.session import LocalSession, PartySession, local_session

KINDS = ["cleartext", "replicated", "masked"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_function_runs_at_every_party(kind):
    a, b = np.array([1.5, -2.0]), np.array([4.0, 0.25])
    with session(kind) as where:
        total, ratio = where.call(lambda x, y: (x + y, {"ratio": x / y}), where.share(a), where.share(b))
        near(total.reveal(), a + b)
        near(ratio["ratio"].reveal(), a / b)


@pytest.mark.parametrize("kind", KINDS)
def test_one_party_in_a_process_of_its_own(kind):
    """The same lines at each party; only the owner has values, only the receiver gets them."""
    a = np.array([[1.0, 2.0], [3.0, -4.0]])

    def lines(p):
        here = PartySession(p)
        names, owner = here.parties, here.parties[-1]
        mine = p.party.names[p.party.place] == owner
        x = here.share(a, owner=owner) if mine else here.share(owner=owner, shape=a.shape)
        total = here.call(lambda value: (value * value).sum(axis=0), x)
        return total.reveal(to=names[-1]), total.reveal(to=names[-1:])

    results = together(kind, lines)
    for found in results[-1]:
        near(found, (a * a).sum(axis=0))
    assert all(found == (None, None) for found in results[:-1])


def test_a_party_without_values_gives_a_shape():
    def lines(p):
        here = PartySession(p)
        with pytest.raises(UsageError, match="gives values="):
            here.share(owner="p1")
        with pytest.raises(UsageError, match="none of the parties"):
            here.share([1.0], owner="eve")
        return True

    assert together("replicated", lines) == [True] * 3


@pytest.mark.parametrize("kind", ["replicated", "masked"])
@pytest.mark.parametrize("owner", ["p0", "p1", "p2"])
def test_any_party_may_own_an_input(kind, owner):
    with session(kind) as where:
        near(where.share([1.25, -3.0], owner=owner).reveal(to=["p1"]), [1.25, -3.0])


def test_numbers_and_truths_of_all_kinds():
    with session("masked") as where:
        for array in (np.float32(1.5), np.arange(3), np.array([True, False]), [2.5], np.uint8(7), 0.0):
            found = where.share(array).reveal()
            np.testing.assert_array_equal(found, np.asarray(array))
        with pytest.raises(UsageError, match="dtype"):
            where.share("text")
        with pytest.raises(UsageError, match="not finite"):
            where.share([np.nan])


def test_an_error_at_all_parties_leaves_the_session_as_it_was():
    def bad(_x):
        raise UsageError("no such thing.")

    with session("replicated") as where:
        x = where.share([1.0])
        with pytest.raises(UsageError, match="no such thing"):
            where.call(bad, x)
        near(x.reveal(), [1.0])


@pytest.mark.parametrize("error", [RuntimeError, UsageError])
@pytest.mark.parametrize("kind", ["replicated", "masked"])
def test_an_error_at_one_party_reaches_the_caller_and_ends_the_session(kind, error):
    where = session(kind)
    x = where.share([1.0, 2.0])
    places = iter(range(3))
    lock = threading.Lock()

    def fails_once(value):
        with lock:
            first = next(places) == 0
        if first:
            raise error("only here")
        return value * value

    with pytest.raises(error, match="only here"):
        where.call(fails_once, x)
    with pytest.raises(UsageError, match="has ended"):
        x.reveal()
    assert "ended" in repr(where)
    where.close()


def test_closing_ends_all_threads():
    before = threading.active_count()
    where = local_session("masked", parties=["dealer", "ana", "bob"])
    where.share([1.0], owner="ana")
    where.close()
    where.close()
    assert threading.active_count() <= before
    with pytest.raises(UsageError, match="it was closed"):
        where.share([1.0])


def test_arrays_stay_in_their_session():
    with session("cleartext") as one, session("cleartext") as other:
        x, y = one.share([1.0]), other.share([2.0])
        with pytest.raises(UsageError, match="different sessions"):
            x + y
        with pytest.raises(UsageError, match="another session"):
            one.call(lambda a: a, y)


@pytest.mark.parametrize(("kind", "parties"), [("masked", ["a", "b"]), ("yao", []), ("replicated", ["a", "a", "b"])])
def test_sessions_that_cannot_be(kind, parties):
    with pytest.raises(UsageError, match=r"with parties|no protocol"):
        LocalSession(kind, parties=parties)


def test_names_are_checked_before_anything_is_opened():
    with session("masked") as where, pytest.raises(UsageError, match="'eve' is none of the parties"):
        where.share([1.0]).reveal(to="eve")


def test_the_profile_has_every_step():
    with session("masked") as where:
        x = where.share([1.0, 2.0])
        np.maximum(x * x, x).reveal()
        names = [step.name for step in where.profile.steps]
        assert names == ["share", "mul", "maximum", "reveal"]
        assert where.profile.rounds > 5
        assert where.profile.steps[1].sent_bytes == 16
        text = str(where.profile.by_operation())
        assert "bytes sent" in text
        assert "maximum (1)" in text


def test_a_party_that_leaves_is_named():
    def lines(p):
        if p.party.place == 2:
            raise PartyError("p2 has had enough.")
        here = PartySession(p)
        return here.share([1.0] if p.party.place == 0 else None, owner="p0", shape=(1,)).reveal()

    with pytest.raises(SteadError):
        together("replicated", lines)


def test_programs_run_in_a_session():
    table = module("tests/plans/test_ops.py")
    program = table.program_of("mm", [table.type_of(a) for a in (table.floats(2, 3), table.floats(3, 2))], {})
    a, b = table.floats(2, 3), table.floats(3, 2)
    with session("masked") as where:
        (secret,) = where.run(program, [where.share(a), b])
        near(secret.reveal(), a @ b)
        (public,) = where.run(program, [a, b])
        near(public, a @ b)
        with pytest.raises(UsageError, match="got \\[3, 2\\]"):
            where.run(program, [where.share(b), a])
        with pytest.raises(UsageError, match="2 inputs; got 1"):
            where.run(program, [where.share(a)])


ARRAYS = [np.array([[1.5, -2.0]]), np.array([3, 4]), np.float64(0.25), np.array([True, False])]


@pytest.mark.parametrize("kind", KINDS)
def test_several_arrays_enter_in_one_round(kind):
    with session(kind) as where:
        where.share([0.0])  # the first step of a session also reads what the preparing party says of it
        before = where.profile.rounds
        found = where.share_all(ARRAYS[:3], owner=where.parties[-1])
        assert where.profile.rounds - before <= 1
        for secret, array in zip([*found, *where.share_all(ARRAYS[3:])], ARRAYS, strict=True):
            assert secret.shape == array.shape
            np.testing.assert_array_equal(secret.reveal(), array)


def test_one_party_enters_several_arrays():
    def lines(p):
        here = PartySession(p)
        if p.party.place == 2:
            secrets = here.share_all(ARRAYS, owner="p2", dtypes=[array.dtype for array in ARRAYS])
        else:
            shapes, dtypes = [array.shape for array in ARRAYS], [array.dtype for array in ARRAYS]
            secrets = here.share_all(owner="p2", shapes=shapes, dtypes=dtypes)
        return [secret.reveal(to="p1") for secret in secrets]

    found = together("replicated", lines)
    assert found[0] == found[2] == [None] * 4
    for values, array in zip(found[1], ARRAYS, strict=True):
        np.testing.assert_array_equal(values, array)


def test_several_arrays_need_shapes_at_the_others():
    def lines(p):
        here = PartySession(p)
        for wrong, text in (
            ({}, "shapes="),
            ({"arrays": []}, "needs an array"),
            ({"shapes": [(1,)], "arrays": ["a"]}, "got str"),
        ):
            with pytest.raises(UsageError, match=text):
                here.share_all(**wrong, owner="p0")
        if p.party.place:
            with pytest.raises(UsageError, match="2 shapes and 1 dtypes"):
                here.share_all(owner="p0", shapes=[(1,), (2,)], dtypes=[float])
        return True

    assert together("replicated", lines) == [True] * 3


@pytest.mark.parametrize(("one", "two"), [((3, 4), (4,)), ((4,), (3, 4)), ((), (2, 1, 2)), ((2, 1), (3,))])
def test_quotients_broadcast(one, two):
    chance = np.random.default_rng(2)
    a, b = chance.normal(size=one) * 10, chance.uniform(0.5, 3, size=two)

    def lines(p):
        x, y = (enter(p, entered(v, "float64"), np.shape(v), "float64", 0) for v in (a, b))
        return opened(p, divide(p, x, y), "float64", None)

    near(together("masked", lines)[1], a / b)


@pytest.mark.parametrize(
    ("stated", "text"),
    [
        ({"values": [1, 2]}, "all parties must say as what they enter"),
        ({"values": [True]}, "dtype=bool"),
        ({"values": [1.5], "dtype": int}, "dtype= says int64"),
        ({"values": [1.5, 2.0], "shape": (3,)}, "have shape"),
        ({"values": [1.5], "shape": 1}, "a tuple of whole numbers"),
        ({"values": [1.5], "dtype": "abc"}, "no dtype"),
    ],
)
def test_an_owner_states_what_the_others_must_know(stated, text):
    """An owner's whole numbers would be read as units of 2^-16 by parties that expect real ones."""

    def lines(p):
        here = PartySession(p)
        with pytest.raises(UsageError, match=text):
            here.share(**stated, owner="clear")
        return here.share([3], owner="clear", dtype=float).reveal(), here.share(
            [True], owner="clear", dtype=int
        ).reveal()

    ((real, whole),) = together("cleartext", lines)
    assert (real[0], real.dtype.kind, whole[0], whole.dtype.kind) == (3.0, "f", 1, "i")


@pytest.mark.parametrize(
    "uneven",
    [
        lambda v, first: v if first else None,
        lambda v, first: [v] if first else [v, v],
        lambda v, first: {"a": v} if first else {},
        lambda v, first: v[:1] if first else v,
        lambda v, first: (v,) if first else [v],
    ],
)
def test_a_function_gives_the_same_at_all_parties(uneven):
    with session("replicated") as where:
        x = where.share([1.0, 2.0])
        with pytest.raises(UsageError, match="some parties"):
            where.call(lambda v: uneven(v, v.session.protocol.party.place == 0), x)
        near(x.reveal(), [1.0, 2.0])


def test_what_one_party_opens_is_given_back():
    def lists(value):
        found = value.reveal(to="p1")
        return None if found is None else found.tolist()

    with session("masked") as where:
        assert where.call(lists, where.share([1.0, 2.0])) == [1.0, 2.0]

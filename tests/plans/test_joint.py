"""The plan of a joint computation: what it may say, what it opens, what its numbers mean, how it reads."""

import importlib
import sys
from fractions import Fraction
from pathlib import Path

import msgspec
import numpy as np
import pytest

from stead.errors import BadMessage, CheaterDetected, UnboundedContribution, UsageError
from stead.plans.joint import Divided, Kept, Layout, check_joint, decode_disclosed, layout, recombine, rounding
from stead.plans.plan import decode_plan, describe, encode_plan
from stead.plans.query import Count, Histogram, Mean, Query, Sum

sys.path.insert(0, str(Path(__file__).parents[1]))
joint = importlib.import_module("joint")
MEANS = Query("heart", (), ("sex",), (Mean("age", "age"), Count("n"), Mean("pressure", "pressure")), ())


def test_it_travels_and_no_other_bytes_are_it():
    plan = joint.plan(MEANS, "disclose")
    data = encode_plan(plan)
    assert decode_plan(data) == plan
    for at in range(0, len(data), 3):
        changed = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        try:
            assert decode_plan(changed) != plan
        except (BadMessage, UsageError):
            continue


def test_a_mean_is_entered_as_sum_and_count_and_opened_as_a_quotient():
    found = layout(MEANS, joint.schema(), "disclose")
    assert found.entered == 15
    assert found.opened == 9
    assert [type(block) for block in found.blocks] == [Divided, Kept, Divided]
    assert found.blocks[0] == Divided(start=0, size=3, per_row=120, shift=13)  # 60 years in steps of 1/2
    answered = msgspec.structs.replace(MEANS, sigmas=(500.0, 2.0, 2.0, 5e6, 2.0))
    assert layout(answered, joint.schema(), "answer") == Layout(15, (Kept(0, 15),))


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"owners": (0,)}, "2 owners"),
        ({"colluders": 2}, "colluders must be 0 to 1"),
        ({"colluders": -1}, "colluders must be 0 to 1"),
        ({"keys": (joint.KEYS[0],) * 3}, "once"),
        ({"entered": 1 << 17}, "at most 65536"),
    ],
)
def test_what_cannot_be_is_refused(changes, text):
    with pytest.raises(UsageError, match=text):
        check_joint(joint.plan(**changes))


def test_a_disclosure_has_no_noise():
    with pytest.raises(UsageError, match="no noise"):
        check_joint(msgspec.structs.replace(joint.plan(MEANS, "disclose"), colluders=1))
    noisy = msgspec.structs.replace(MEANS, sigmas=(1.0,) * 5)
    with pytest.raises(UsageError, match="no noise"):
        check_joint(msgspec.structs.replace(joint.plan(MEANS, "disclose"), query=noisy))


@pytest.mark.parametrize(
    "blocks",
    [(), (Kept(0, 14),), (Kept(1, 15),), (Kept(0, 15), Kept(15, 0)), (Divided(0, 8, 1, 0),), (Kept(0, 8), Kept(7, 7))],
)
def test_what_is_opened_lies_inside_what_is_entered(blocks):
    plan = msgspec.structs.replace(joint.plan(MEANS, "disclose"), layout=Layout(15, blocks))
    with pytest.raises(UsageError, match="laid out"):
        check_joint(plan)


def test_an_answer_divides_nothing():
    plan = msgspec.structs.replace(joint.plan(), layout=Layout(2, (Divided(0, 1, 1, 0),)))
    with pytest.raises(UsageError, match="divides nothing"):
        check_joint(plan)


def test_rows_beyond_the_ring_are_refused():
    with pytest.raises(UnboundedContribution):
        layout(MEANS, joint.schema(people=(1, 1 << 39)), "disclose")


def test_shares_that_differ_show_that_somebody_lies():
    x = [np.array([n, 3 * n], dtype=np.int64) for n in (5, -7, 1 << 61)]
    sent = [(x[0], x[1]), (x[1], x[2]), (x[2], x[0])]
    assert recombine(sent, joint.NAMES).tolist() == [(1 << 61) - 2, 3 * (1 << 61) - 6]
    for party in range(3):
        for part in range(2):
            lied = [list(pair) for pair in sent]
            lied[party][part] = lied[party][part] + 1
            with pytest.raises(CheaterDetected, match=joint.NAMES[party]):
                recombine(lied, joint.NAMES)


def test_quotients_are_read_within_their_rounding():
    plan, schema = joint.plan(MEANS, "disclose"), joint.schema()
    chance = np.random.default_rng(3)
    ages = [chance.integers(0, 121, size) for size in (7, 400, 0)]
    pressures = [chance.integers(0, 161, size) for size in (9, 3, 0)]  # 60 + n: exact on the lattice
    vector = []
    for values, per_row, unit, low, shift in (
        (ages, 120, 2, 60, 13),
        (None, 0, 0, 0, 0),
        (pressures, 655360, 8192, 80, 0),
    ):
        if values is None:
            vector += [7, 400, 0]
            continue
        for group in values:
            total, count = int(unit * (group - low).sum()), len(group) or 1
            vector.append(((total + per_row * count) << shift) // count)
    found = decode_disclosed(plan, schema, np.array(vector, dtype=np.int64))
    widths = rounding(plan, schema)
    assert found["n"].tolist() == [7, 400, 0]
    for group in range(2):
        exact = Fraction(int(ages[group].sum()), len(ages[group]))
        assert abs(Fraction(float(found["age"][group])) - exact) <= Fraction(float(widths["age"][group]))
        exact = 60 + Fraction(int(pressures[group].sum()), len(pressures[group]))
        assert abs(Fraction(float(found["pressure"][group])) - exact) <= Fraction(float(widths["pressure"][group]))
    assert abs(found["age"][2] - 60) < 1e-4
    assert abs(found["pressure"][2] - 140) < 1e-3


def test_every_kind_of_number_is_decoded():
    query = Query("heart", (), (), (Sum("total", "age"), Histogram("by sex", "sex"), Count("n")), ())
    plan = joint.plan(query, "disclose")
    found = decode_disclosed(plan, joint.schema(), np.array([900, 4, 5, 0, 9], dtype=np.int64))
    assert {name: value.tolist() for name, value in found.items()} == {"total": 900, "by sex": [4, 5, 0], "n": 9}
    with pytest.raises(UsageError, match="opens 5"):
        decode_disclosed(plan, joint.schema(), np.zeros(4, dtype=np.int64))


def test_the_words_say_who_what_to_whom_and_whom_one_has_to_trust():
    disclosed = describe(joint.plan(MEANS, "disclose"), joint.schema())
    assert "Rows of: north, south." in disclosed
    assert "Helping, with no data of its own: east." in disclosed
    assert "Two of the three together could see" in disclosed
    assert joint.RECEIVER.hex() in disclosed
    assert "NOT PRIVATE" in disclosed
    assert "with noise" not in disclosed
    answered = describe(joint.plan(), joint.schema())
    assert "NOT PRIVATE" not in answered
    assert "up to 1 colluding" in answered
    helping = describe(joint.plan(MEANS, "disclose"), None)
    assert "This node enters nothing" in helping


def test_a_name_cannot_write_on_the_owner_s_terminal():
    plan = joint.plan()
    parties = (
        tuple(msgspec.structs.replace(party, name="\u202ered\x1b[1m") for party in plan.parties[:1]) + plan.parties[1:]
    )
    with pytest.raises(UsageError, match="printable"):
        check_joint(msgspec.structs.replace(plan, parties=parties))
    assert "\x1b" not in describe(msgspec.structs.replace(plan, parties=parties), joint.schema())

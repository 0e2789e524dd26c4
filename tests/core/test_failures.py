"""Errors cross the wire by name."""

import pytest

from stead.core.failures import from_failure, to_failure
from stead.core.messages import Failure
from stead.errors import BudgetExceeded, NodeError, SteadError, UnknownColumn


@pytest.mark.parametrize("kind", [BudgetExceeded, UnknownColumn, NodeError])
def test_an_error_arrives_as_it_left(kind):
    error = from_failure(to_failure(kind("what.", hint="hint", reference="ref")))
    assert type(error) is kind
    assert (error.what, error.hint, error.reference) == ("what.", "hint", "ref")


@pytest.mark.parametrize("name", ["no-such-error", "", SteadError.code()])
def test_an_unknown_name_is_a_fault_of_the_node(name):
    assert type(from_failure(Failure(error=name, what="w", hint="", reference=""))) is NodeError


def test_texts_from_outside_hold_no_control_characters_and_end():
    error = from_failure(Failure(error="node-error", what="a\x1b[2J\n\u202eb", hint="h" * 5000, reference=""))
    assert error.what == "a [2J  b"
    assert len(error.hint) == 2000

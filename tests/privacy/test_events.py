"""Events are plain data: they survive the wire and refuse parameters that mean nothing."""

import math

import msgspec
import pytest

from stead.core.codec import decode, encode
from stead.errors import BadMessage
from stead.privacy.events import (
    Composed,
    DiscreteGaussian,
    DiscreteLaplace,
    Gaussian,
    PrivacyEvent,
    Repeated,
    Sampled,
    SumOfDiscreteGaussians,
)

EVENTS = [
    DiscreteGaussian(3.5, math.sqrt(2)),
    DiscreteLaplace(20.0, 3),
    SumOfDiscreteGaussians(40.0, 2, 30.0, 1000),
    Gaussian(1.1, 1.0),
    Repeated(Sampled(0.01, SumOfDiscreteGaussians(40.0, 2, 30.0, 1000)), 100),
    Composed((DiscreteGaussian(1.0, 1.0), Composed(()), DiscreteLaplace(2.0, 1))),
]


@pytest.mark.parametrize("event", EVENTS)
def test_an_event_survives_the_wire(event):
    assert decode(encode(event), PrivacyEvent) == event


@pytest.mark.parametrize(
    "make",
    [
        lambda: DiscreteGaussian(0.0, 1.0),
        lambda: DiscreteGaussian(math.nan, 1.0),
        lambda: DiscreteGaussian(math.inf, 1.0),
        lambda: DiscreteGaussian(1.0, -1.0),
        lambda: DiscreteGaussian(1.0, math.nan),
        lambda: DiscreteLaplace(-1.0, 1),
        lambda: DiscreteLaplace(1.0, -1),
        lambda: SumOfDiscreteGaussians(1.0, 0, 1.0, 1),
        lambda: SumOfDiscreteGaussians(1.0, 1, 1.0, 0),
        lambda: SumOfDiscreteGaussians(1.0, 1, math.inf, 1),
        lambda: Gaussian(0.0, 1.0),
        lambda: Sampled(0.0, DiscreteGaussian(1.0, 1.0)),
        lambda: Sampled(1.5, DiscreteGaussian(1.0, 1.0)),
        lambda: Repeated(DiscreteGaussian(1.0, 1.0), 0),
    ],
)
def test_a_parameter_without_meaning_is_refused(make):
    with pytest.raises(ValueError):
        make()


def test_the_wire_refuses_a_parameter_without_meaning():
    honest = encode(DiscreteGaussian(1.0, 1.0))
    forged = honest.replace(msgspec.msgpack.encode(1.0), msgspec.msgpack.encode(-1.0))
    assert forged != honest
    with pytest.raises(BadMessage):
        decode(forged, PrivacyEvent)

"""Events are plain data: they survive the wire and refuse parameters that mean nothing."""

import math

import msgspec
import pytest

from stead.core.codec import decode, encode
from stead.errors import BadMessage
from stead.privacy.accounts import SATURATED as NEVER
from stead.privacy.accounts import amounts
from stead.privacy.events import (
    AboveThreshold,
    Composed,
    DiscreteGaussian,
    DiscreteLaplace,
    ExponentialChoice,
    Gaussian,
    NoisyMax,
    PartitionSelection,
    PermuteAndFlip,
    PrivacyEvent,
    RandomisedResponse,
    Repeated,
    Sampled,
    SumOfDiscreteGaussians,
    ThresholdedGaussian,
    ThresholdedLaplace,
)

EVENTS = [
    DiscreteGaussian(3.5, math.sqrt(2)),
    DiscreteLaplace(20.0, 3),
    SumOfDiscreteGaussians(40.0, 2, 30.0, 1000),
    Gaussian(1.1, 1.0),
    Repeated(Sampled(0.01, SumOfDiscreteGaussians(40.0, 2, 30.0, 1000)), 100),
    ExponentialChoice(2.5, 2),
    PermuteAndFlip(2.5, 1),
    NoisyMax(2.5, 1),
    AboveThreshold(4.0, 8.0, 1, 2, 3),
    RandomisedResponse(1.0, 5),
    PartitionSelection(0.5, 1e-6, 3),
    ThresholdedGaussian(10.0, 60, 1, 3),
    ThresholdedLaplace(3.0, -5, 1, 3),
    Composed((DiscreteGaussian(1.0, 1.0), Composed(()), DiscreteLaplace(2.0, 1))),
]


# What logs hold and what it cost when it was charged, at orders 4 and 24. Rows are added, never changed.
RECORDS = [
    (
        (
            "83a46b696e64b164697363726574652d676175737369616ea57369676d61cb400c000000000000ab73656e73"
            "69746976697479cb3ff6a09e667f3bcd"
        ),
        (359024205323, 2154145231935),
    ),
    (
        "83a46b696e64b064697363726574652d6c61706c616365a57363616c65cb4034000000000000ab73656e736974697669747903",
        (45476931885, 133255304596),
    ),
    (
        (
            "85a46b696e64b973756d2d6f662d64697363726574652d676175737369616e73ab7369676d615f7368617265"
            "cb4044000000000000a673686172657302a26c32cb403e000000000000a964696d656e73696f6ecd03e8"
        ),
        (618475291200, 3710851747200),
    ),
    (
        "83a46b696e64a8676175737369616ea57369676d61cb3ff199999999999aab73656e7369746976697479cb3ff0000000000000",
        (1817374593058, 10904247558348),
    ),
    (
        (
            "83a46b696e64a87265706561746564a56576656e7483a46b696e64a773616d706c6564a472617465cb3f847a"
            "e147ae147ba56576656e7485a46b696e64b973756d2d6f662d64697363726574652d676175737369616e73ab"
            "7369676d615f7368617265cb4044000000000000a673686172657302a26c32cb403e000000000000a964696d"
            "656e73696f6ecd03e8a574696d657364"
        ),
        (7193188400, 46640475600),
    ),
    (
        "83a46b696e64b26578706f6e656e7469616c2d63686f696365a57363616c65cb4004000000000000a673707265616402",
        (317433355023, 709409341197),
    ),
    (
        "83a46b696e64b07065726d7574652d616e642d666c6970a57363616c65cb4004000000000000a673707265616401",
        (273418332594, 415280032901),
    ),
    ("83a46b696e64a96e6f6973792d6d6178a57363616c65cb4004000000000000a673707265616401", (273418332594, 415280032901)),
    (
        (
            "86a46b696e64af61626f76652d7468726573686f6c64af7468726573686f6c645f7363616c65cb4010000000"
            "000000ac616e737765725f7363616c65cb4020000000000000ab73656e736974697669747901a67370726561"
            "6402a9706f7369746976657303"
        ),
        (985034062028, 1084536199745),
    ),
    (
        "83a46b696e64b372616e646f6d697365642d726573706f6e7365a7657073696c6f6ecb3ff0000000000000a76f7074696f6e7305",
        (787808152954, 1056256246562),
    ),
    (
        (
            "84a46b696e64b3706172746974696f6e2d73656c656374696f6ea7657073696c6f6ecb3fe0000000000000a5"
            "64656c7461cb3eb0c6f7a0b5ed8da46b65797303"
        ),
        (NEVER, NEVER),
    ),
    (
        (
            "85a46b696e64b47468726573686f6c6465642d676175737369616ea57369676d61cb4024000000000000a974"
            "68726573686f6c643ca46561636801a46b65797303"
        ),
        (NEVER, NEVER),
    ),
    (
        (
            "85a46b696e64b37468726573686f6c6465642d6c61706c616365a57363616c65cb4008000000000000a97468"
            "726573686f6c64fba46561636801a46b65797303"
        ),
        (NEVER, NEVER),
    ),
    (
        (
            "82a46b696e64a8636f6d706f736564a66576656e74739383a46b696e64b164697363726574652d6761757373"
            "69616ea57369676d61cb3ff0000000000000ab73656e7369746976697479cb3ff000000000000082a46b696e"
            "64a8636f6d706f736564a66576656e74739083a46b696e64b064697363726574652d6c61706c616365a57363"
            "616c65cb4000000000000000ab73656e736974697669747901"
        ),
        (2585931663267, 13721232179262),
    ),
]


@pytest.mark.parametrize("event", EVENTS)
def test_an_event_survives_the_wire(event):
    assert decode(encode(event), PrivacyEvent) == event


@pytest.mark.parametrize(("event", "record"), list(zip(EVENTS, RECORDS, strict=True)))
def test_the_meaning_of_a_stored_event_never_changes(event, record):
    stored, paid = record
    assert encode(event).hex() == stored
    # A C library's last digit may differ from another's; a unit is 2^-40 nat.
    assert amounts(decode(bytes.fromhex(stored), PrivacyEvent), (4, 24)) == pytest.approx(paid, rel=1e-11, abs=1)


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
        lambda: ExponentialChoice(0.0, 1),
        lambda: PermuteAndFlip(1.0, -1),
        lambda: NoisyMax(math.inf, 1),
        lambda: NoisyMax(1.0, 2**63),
        lambda: AboveThreshold(1.0, 0.0, 1, 2, 1),
        lambda: AboveThreshold(0.0, 1.0, 1, 2, 1),
        lambda: AboveThreshold(1.0, 1.0, 1, 2, 0),
        lambda: AboveThreshold(1.0, 1.0, 2, 1, 1),
        lambda: RandomisedResponse(0.0, 2),
        lambda: RandomisedResponse(math.nan, 2),
        lambda: RandomisedResponse(1.0, 1),
        lambda: PartitionSelection(0.0, 1e-6, 1),
        lambda: PartitionSelection(1.0, 0.0, 1),
        lambda: PartitionSelection(1.0, 1.0, 1),
        lambda: PartitionSelection(1.0, 1e-6, 0),
        lambda: ThresholdedGaussian(0.0, 5, 1, 1),
        lambda: ThresholdedGaussian(1.0, 5, 0, 1),
        lambda: ThresholdedLaplace(1.0, 2**63, 1, 1),
        lambda: ThresholdedLaplace(1.0, 5, 1, 0),
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

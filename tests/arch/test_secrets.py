"""Secrets print as `<redacted>`, cannot be pickled and cannot be copied (invariant 6)."""

import copy
import pickle

import numpy as np
import pytest

from stead.core.entropy import Keystream, SeededEntropy
from stead.core.keys import Key
from stead.learn.gradients import Examples
from stead.net.frames import Opener, Sealer
from stead.net.noise import StaticKey

RAW = bytes(range(7, 39))


def examples():
    rows = np.full((3, 2), 4242.5, dtype=np.float32)
    return Examples(x=rows, y=np.array([4242, 4243, 4244], dtype=np.int64), person=np.array([42421, 42422, 42423]))


SECRETS = {
    "a private key": (lambda: Key.from_bytes(RAW), [RAW.hex(), repr(RAW)]),
    "a party's key": (lambda: StaticKey.from_bytes(RAW), [RAW.hex(), repr(RAW)]),
    "a sealer of frames": (lambda: Sealer(RAW), [RAW.hex(), repr(RAW)]),
    "an opener of frames": (lambda: Opener(RAW), [RAW.hex(), repr(RAW)]),
    "a keystream": (lambda: Keystream(RAW), [RAW.hex(), repr(RAW)]),
    "a site's rows": (examples, ["4242"]),
}
# A seed is no secret (it is for tests), but a copied stream would give the same bytes twice.
UNCOPIABLE = {**SECRETS, "a seeded stream": (lambda: SeededEntropy(7), [])}


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_prints_redacted(name):
    make, traces = SECRETS[name]
    secret = make()
    for text in (repr(secret), str(secret), f"{secret}", f"{[secret]}"):
        assert "<redacted>" in text
        assert not any(trace in text for trace in traces)


@pytest.mark.parametrize("name", UNCOPIABLE)
@pytest.mark.parametrize("take", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_secret_cannot_be_pickled_or_copied(name, take):
    make, _ = UNCOPIABLE[name]
    with pytest.raises(TypeError):
        take(make())

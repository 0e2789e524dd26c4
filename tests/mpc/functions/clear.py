"""Running functions in the clear, with a truncation that is one unit above the floor as often as a test likes."""

import numpy as np

from stead.core.entropy import SeededEntropy
from stead.mpc.fixed import FRACTION, Secret, decode, encode
from stead.mpc.party import Party
from stead.mpc.protocols.cleartext.protocol import Cleartext
from stead.mpc.shares import Share


class Dithered(Cleartext):
    """Adds 0 or 1 to the floor at random, as protocols may; refuses what no protocol promises."""

    def __init__(self, party, seed, chance):
        super().__init__(party)
        self._draws, self._chance = np.random.default_rng(seed), chance

    def truncate(self, x, bits):
        floor = super().truncate(x, bits)
        more = (self._draws.random(x.shape) < self._chance).astype(np.uint64)
        return Share((floor.parts[0] + more,))


def clear(seed=None, chance=0.5):
    party = Party(0, ("clear",), None, SeededEntropy(0))
    return Cleartext(party) if seed is None else Dithered(party, seed, chance)


def secret(values, scale=FRACTION):
    return Secret(Share((encode(np.asarray(values), scale),)), scale)


def opened(x):
    return decode(x.share.parts[0], x.scale)


def on_grid(values, scale=FRACTION):
    """The numbers that the ring holds, nearest to these."""
    return np.rint(np.asarray(values, dtype=np.float64) * 2.0**scale) / 2.0**scale

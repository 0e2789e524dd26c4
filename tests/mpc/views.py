"""What a party sees, as columns of bits, and whether two views can be told apart.

A computation runs once on N equal inputs, each with randomness of its own: N samples of a party's view. The view is
its parts of the inputs, its keystreams, and all that it receives (what is revealed to it included) and sends. Of each
number bits 0, 1, 16 and 63 are columns; of packed bits every plane is one. Two runs on different inputs are compared by
the two-sample chi-squared statistic over the joint values of several columns: all pairs of columns, or 600 of them, and
random sets of up to ten. The figure returned is the least p-value. There are at most 900 comparisons for each of fewer
than 100 views, so an honest protocol gives a figure below ``MISS`` once in 10^7 choices of the seeds, which are fixed.
"""

import itertools
import threading
from dataclasses import dataclass, field

import numpy as np
from scipy import stats

from stead.core.entropy import SeededEntropy
from stead.mpc.kernels.bits import unpack
from stead.mpc.party import Party, RingStream
from stead.mpc.shares import Bits, Share, words
from stead.net.local import local_mesh

SAMPLES = 1 << 15
MISS = 1e-12
JOINT = 10
SETS = 60


@dataclass(frozen=True, repr=False, eq=False)
class Recorded(Party):
    """A party that keeps what it sends and receives."""

    seen: list = field(default_factory=list)

    def exchange(self, outgoing, expect):
        self.seen.extend(array.copy() for arrays in outgoing.values() for array in arrays)
        received = super().exchange(outgoing, expect)
        self.seen.extend(array.copy() for arrays in received.values() for array in arrays)
        return received


class RecordedStream(RingStream):
    """A keystream that keeps what is drawn."""

    def __init__(self, key, seen):
        super().__init__(key)
        self.seen = seen

    def ring(self, shape):
        drawn = super().ring(shape)
        self.seen.append(drawn.copy())
        return drawn

    def taken_from(self, values):
        return values - self.ring(values.shape)

    def xored_with(self, planes):
        return planes ^ self.ring(planes.shape)


class Repeating(RecordedStream):
    """A planted fault: every draw starts anew, so masks are used twice."""

    def __init__(self, key, seen):
        super().__init__(key, seen)
        self.key = key

    def ring(self, shape):
        drawn = RingStream(self.key).ring(shape)
        self.seen.append(drawn.copy())
        return drawn


def parts_of(values, rng, count=3, *, xor=False):
    """Uniform summands of the values, one for each place."""
    summands = [rng.integers(0, 2**64, values.shape, dtype=np.uint64) for _ in range(count - 1)]
    rest = values.copy()
    for summand in summands:
        rest = rest ^ summand if xor else rest - summand
    return [*summands, rest]


def numbers(value):
    """SAMPLES times one number."""
    return np.full(SAMPLES, value % 2**64, dtype=np.uint64)


def bit(value):
    """SAMPLES times one bit, packed."""
    return np.full((1, words((SAMPLES,))), (2**64 - 1) * value, dtype=np.uint64)


def replicated(summands, place):
    """The two summands of a place of three."""
    return summands[place], summands[(place + 1) % 3]


def views(make, verb, inputs, seed, stream=RecordedStream):
    """The views of three parties: for each a list of arrays.

    Args:
        make: the protocol of a party.
        verb: ``verb(protocol, *shares)``.
        inputs: arrays of one axis are numbers, of two axes packed bits.
        seed: of everything that is drawn.
        stream: the keystreams' class.
    """
    names, rng = ("p0", "p1", "p2"), np.random.default_rng(seed)
    mesh, found, failures = local_mesh(names), {}, []
    summands = [parts_of(values, rng, xor=values.ndim == 2) for values in inputs]
    keys = {pair: rng.bytes(32) for pair in ((0, 1), (0, 2), (1, 2))}

    def one(place):
        seen, shares = [], []
        streams = {at: stream(keys[tuple(sorted((place, at)))], seen) for at in range(3) if at != place}
        party = Recorded(place, names, mesh[names[place]], SeededEntropy(seed + place), 1, streams, seen)
        for values, pieces in zip(inputs, summands, strict=True):
            parts = replicated(pieces, place)
            seen.extend(parts)
            shares.append(Share(parts) if values.ndim == 1 else Bits((SAMPLES,), len(values), parts))
        try:
            verb(make(party), *shares)
        except Exception as error:  # noqa: BLE001 - raised below, in the test's thread
            failures.append(error)
            mesh[names[place]].abort("failed")
        found[place] = seen

    threads = [threading.Thread(target=one, args=(place,)) for place in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return [found[place] for place in range(3)]


def columns(view):
    """Columns of bits, each with the kind of bit that it is."""
    found = []
    for array in view:
        if array.ndim == 2 and array.shape[1] == words((SAMPLES,)):
            found += [("plane", unpack(row, SAMPLES)) for row in array]
        else:
            width_bytes = array.size * 8 // SAMPLES
            lanes = array.reshape(-1).view(f"u{width_bytes}")
            top = 8 * width_bytes - 1
            for kind, at in (("low", 0), ("low", 1), ("middle", 16), ("top", top)):
                if at <= top:
                    found.append((kind, (lanes >> lanes.dtype.type(at)) & lanes.dtype.type(1)))
    return [(kind, column.astype(np.uint16)) for kind, column in found]


def compared(first, second):
    """The p-value that two samples of small integers have one distribution."""
    size = max(first.max(), second.max()) + 1
    a, b = np.bincount(first, minlength=size), np.bincount(second, minlength=size)
    there = a + b > 0
    a, b = a[there], b[there]
    return float(stats.chi2.sf(((a - b) ** 2 / (a + b)).sum(), max(len(a) - 1, 1)))


def told_apart(first, second, seed=0):
    """The least p-value over sets of columns of two views of one party."""
    one, other = columns(first), columns(second)
    assert [kind for kind, _ in one] == [kind for kind, _ in other]
    rng, count = np.random.default_rng(seed), len(one)
    sets = list(itertools.combinations(range(count), 2))
    if len(sets) > 600:
        sets = [sets[at] for at in rng.choice(len(sets), 600, replace=False)]
    kinds = {kind: [at for at, (name, _) in enumerate(one) if name == kind] for kind in ("low", "top", "plane")}
    for group in [*kinds.values(), list(range(count))]:
        if len(group) <= JOINT:
            sets.append(tuple(group))
        else:
            sets += [tuple(rng.choice(group, JOINT, replace=False)) for _ in range(SETS)]
    least = 1.0
    for chosen in sets:
        if chosen:
            joint = [sum(view[at][1] << np.uint16(k) for k, at in enumerate(chosen)) for view in (one, other)]
            least = min(least, compared(*joint))
    return least

"""``Exact``: a query's integers before their noise, and how they become the bytes that are released.

The one place where a query's noise is drawn at a single site. With private keys, the number of people of each key that
occurs gets noise first, and what is below the plan's threshold is dropped before anything else is looked at.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np
import numpy.typing as npt

from stead.core import codec
from stead.core.entropy import Entropy
from stead.core.schema import Schema
from stead.errors import BadMessage, NodeError
from stead.plans.analysis import parts
from stead.plans.layout import Part
from stead.plans.query import Query
from stead.plans.values import Constant
from stead.privacy.events import DiscreteGaussian, DiscreteLaplace
from stead.privacy.keys import ThresholdedGaussianMechanism, ThresholdedLaplaceMechanism
from stead.privacy.mechanisms import GaussianMechanism, LaplaceMechanism

Integers = npt.NDArray[np.int64]
Sampler = Callable[[DiscreteGaussian | DiscreteLaplace, Integers], Integers]
"""Integers with fresh noise of an event, by somebody else's sampler with randomness of its own."""

VECTOR_LIMIT_BYTES = 1 << 26


class Exact(msgspec.Struct, frozen=True):
    """What an engine has computed. Private: prints as ``<redacted>``.

    Attributes:
        vector: int64, the flat vector of ``plans.analysis.parts``; with private keys, one after another of ``keys``.
        keys: the private keys that occur, in their own order; ``None`` without private keys.
        people: how many people have each of them.
    """

    vector: Integers
    keys: tuple[Constant, ...] | None = None
    people: Integers | None = None

    def __repr__(self) -> str:
        return "Exact(<redacted>)"

    def __reduce__(self) -> str:
        raise TypeError("exact integers cannot be pickled")


class Keyed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The released keys, their noisy numbers of people, and for each the integers: int64, little-endian."""

    keys: tuple[Constant, ...]
    people: bytes
    vector: bytes


class Revealed(msgspec.Struct, frozen=True):
    """What was released, as the client reads it; ``keys`` and ``people`` are ``None`` without private keys."""

    vector: Integers
    keys: tuple[Constant, ...] | None = None
    people: Integers | None = None


def release(query: Query, schema: Schema, exact: Exact, entropy: Entropy, *, sampler: Sampler | None = None) -> bytes:
    """The released bytes: the exact integers with fresh noise, and of private keys only those that reach the threshold.

    Args:
        query: the question with its noise.
        schema: the public description of the rows that were asked.
        exact: what they add up to.
        entropy: gives the noise.
        sampler: adds it in place of our own mechanisms.

    Raises:
        NodeError: the integers are not those of this question.
    """
    layout = parts(query, schema)
    size = sum(part.size for part in layout)
    if query.private_keys is None:
        if exact.keys is not None or exact.vector.dtype != np.int64 or exact.vector.shape != (size,):
            raise NodeError("the engine computed integers of another shape than the question's.")
        return codec.encode(_bytes(_noisy(query, layout, exact.vector[None, :], entropy, sampler)))
    keys, people = exact.keys, exact.people
    if keys is None or people is None or exact.vector.shape != (len(keys) * size,):
        raise NodeError("the engine computed integers of another shape than the question's.")
    shown, numbers = _select(query, people, entropy, sampler)
    kept = exact.vector.reshape(len(keys), size)[shown]
    noisy = _noisy(query, layout, kept, entropy, sampler)
    chosen = tuple(key for key, is_shown in zip(keys, shown.tolist(), strict=True) if is_shown)
    return codec.encode(Keyed(keys=chosen, people=_bytes(numbers), vector=_bytes(noisy)))


def read_released(query: Query, body: bytes) -> Revealed:
    """The released integers of a query from their bytes.

    Raises:
        BadMessage: they are not the canonical bytes of such a release.
    """
    if query.private_keys is None:
        return Revealed(_integers(codec.decode(body, bytes, limit_bytes=VECTOR_LIMIT_BYTES)))
    keyed = codec.decode(body, Keyed, limit_bytes=VECTOR_LIMIT_BYTES)
    people, vector = _integers(keyed.people), _integers(keyed.vector)
    if people.size != len(keyed.keys) or len(set(keyed.keys)) != len(keyed.keys):
        raise BadMessage("a release by private keys has one number of people for each key.")
    if (vector.size % max(1, len(keyed.keys))) or (vector.size and not keyed.keys):
        raise BadMessage("a release by private keys has the same numbers for each key.")
    return Revealed(vector, keyed.keys, people)


def _select(
    query: Query, people: Integers, entropy: Entropy, sampler: Sampler | None
) -> tuple[npt.NDArray[np.bool_], Integers]:
    chosen = query.private_keys
    assert chosen is not None  # noqa: S101 - asked by its caller
    if sampler is not None:
        noisy = sampler(_drawn(query, chosen.sigma), people) if people.size else people
        shown = noisy >= chosen.threshold
        return shown, noisy[shown]
    kind = ThresholdedLaplaceMechanism if query.noise == "laplace" else ThresholdedGaussianMechanism
    return kind(chosen.sigma, chosen.threshold).release(people, entropy)


def _drawn(query: Query, sigma: float) -> DiscreteGaussian | DiscreteLaplace:
    """The noise of a part, for a sampler; how far one person moves it does not matter to what is drawn."""
    return DiscreteLaplace(sigma, 0) if query.noise == "laplace" else DiscreteGaussian(sigma, 0.0)


def _noisy(
    query: Query, layout: tuple[Part, ...], rows: Integers, entropy: Entropy, sampler: Sampler | None
) -> Integers:
    """Integers (keys, size) with fresh noise of the plan's sigmas, block by block."""
    if not layout:  # keys alone were asked for
        return rows
    blocks = np.split(rows, np.cumsum([part.size for part in layout])[:-1], axis=1)
    kind = LaplaceMechanism if query.noise == "laplace" else GaussianMechanism
    pairs = [(sigma, block) for sigma, block in zip(query.sigmas, blocks, strict=True) if block.size]
    if sampler is None:
        noisy = [kind(sigma).add(block, entropy) for sigma, block in pairs]
    else:
        noisy = [sampler(_drawn(query, sigma), block) for sigma, block in pairs]
    return np.concatenate(noisy, axis=1) if noisy else rows  # no key, no noise


def _bytes(integers: Integers) -> bytes:
    return integers.astype("<i8").tobytes()


def _integers(raw: bytes) -> Integers:
    if len(raw) % 8:
        raise BadMessage("a released vector is a whole number of 64-bit integers.")
    return np.frombuffer(raw, dtype="<i8").astype(np.int64)

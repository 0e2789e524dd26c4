"""What a site computes in a session: ``TrainingSite`` for a federated training, ``QuerySite`` for a joint question."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stead.core.entropy import Entropy, Keystream
from stead.errors import BadMessage, UsageError
from stead.learn.gradients import (
    Examples,
    GradientMap,
    PersonGradients,
    model_length,
    weights_from_payload,
)
from stead.learn.header import Header, model_hash
from stead.learn.masks import IntVector
from stead.learn.optimiser import Floats, Moments, Weights, step
from stead.learn.pipeline import Lattice, NoiseShare, poisson_sample, random_lanes
from stead.learn.secure_sum import Seat, SumSite, Work
from stead.plans.engine import Engine
from stead.plans.training import LocalSteps, Training

# The least range of one weight's change that a disclosed average must be able to hold.
_LEAST_RANGE = 1.0


def vector_length(training: Training) -> int:
    """How many integers a site adds in a round: one for each weight, and the count where an average is disclosed."""
    return model_length(training) + (0 if training.privacy else 1)


def check_training(header: Header, training: Training) -> None:
    """Whether a header is one for this training: nothing else may be summed under it.

    Raises:
        BadMessage: the header's vector, ring, rounds, sites, colluders or outlet are not the plan's.
        UsageError: the plan sets both or neither of ``privacy`` and ``local``.
    """
    privacy = training.privacy
    if (privacy is None) == (training.local is None):
        raise UsageError("a training has either privacy (FedSGD) or local steps (FedAvg).")
    pairs: list[tuple[str, object, object]] = [
        ("vector length", header.length, vector_length(training)),
        ("ring width", header.ring_bits, training.ring_bits),
        ("outlet", header.outlet, "join" if privacy else "disclose"),
        ("number of colluders", header.colluders, privacy.colluders if privacy else 0),
    ]
    if privacy:
        pairs.append(("number of sites", len(header.cohort), privacy.sites))
    for what, stated, planned in pairs:
        if stated != planned:
            raise BadMessage(f"the session header's {what} is {stated}; the plan's is {planned}.")
    most = min(training.rounds, privacy.steps) if privacy else training.rounds
    if header.rounds > most:
        raise BadMessage(f"the session header asks for {header.rounds} rounds; the plan allows {most}.")


def check_question(header: Header, *, length: int) -> None:
    """Whether a header is one for a joint question whose answer holds ``length`` integers.

    Raises:
        BadMessage: it is not.
    """
    if header.rounds != 1 or header.model_hash != model_hash(b"") or header.length != length:
        raise BadMessage("a joint question is one round, without a model, of the query's own length.")


class GradientSums:
    """The work of FedSGD with differential privacy: one noisy sum of clipped gradients a round.

    Security:
        One person moves the sum, in one round, by an integer vector of L2 norm at most clip / lattice, whatever the
        person's rows and the model hold; the site's noise share is drawn afresh each round.

    References:
        Kairouz, Liu, Steinke 2021 (ICML), "The distributed discrete Gaussian mechanism", section 3 (without rotation).
    """

    def __init__(self, training: Training, gradients: PersonGradients, noise: NoiseShare, entropy: Entropy) -> None:
        if training.privacy is None:
            raise UsageError("a sum of gradients needs the plan's privacy.")
        self._lattice = Lattice(training.privacy.clip, training.privacy.lattice)
        self._rate = training.sampler.rate
        self._gradients = gradients
        self._noise = noise
        self._entropy = entropy

    def vector(self, number: int, payload: bytes) -> IntVector:
        """Sample people, clip and quantise the gradient of each, add them up, add this site's noise."""
        length = sum(self._noise.lengths)
        weights = weights_from_payload(payload, length=length)
        taking_part = poisson_sample(self._gradients.people, self._rate, self._entropy)
        total = np.zeros(length, dtype=np.int64)
        lanes = random_lanes(taking_part, self._gradients.lanes, self._entropy)
        for gradients in self._gradients.of(weights, lanes):
            total += self._lattice.quantise(gradients).sum(axis=0)
        return self._noise.add(total, self._entropy)


class LocalAverages:
    """The work of FedAvg, which has no differential privacy: train at the site, add the weighted change and the count.

    The vector is ``(count * change / lattice for each weight, count)``; both stay hidden inside the masked sum. A
    training that ends in numbers that are not finite adds nothing, and counts as nothing.

    References:
        McMahan et al. 2017 (AISTATS), algorithm 1.
    """

    def __init__(self, seat: Seat, training: Training, engine: Engine, examples: Examples, rows_at_most: int) -> None:
        if training.local is None:
            raise UsageError("an average of local steps needs the plan's local steps.")
        self._local: LocalSteps = training.local
        self._training = training
        self._map = GradientMap(training, engine)
        self._map.check(examples)
        self._examples = examples
        self._entropy = seat.entropy
        self._rows_at_most = rows_at_most
        self._range = ((1 << (seat.header.ring_bits - 1)) - 1) // len(seat.header.cohort) // rows_at_most
        if self._range * training.lattice < _LEAST_RANGE:
            raise UsageError(
                f"the ring of {seat.header.ring_bits} bits cannot hold the average of so many rows.",
                hint="ring_bits=64, or a coarser lattice",
            )

    def vector(self, number: int, payload: bytes) -> IntVector:
        """Train from the received model, and return the weighted change and the count as integers."""
        start = weights_from_payload(payload, length=self._map.length)
        total = np.zeros(self._map.length + 1, dtype=np.int64)
        rows = self._rows()
        if not len(rows):
            return total
        with np.errstate(all="ignore"):
            steps = (self._train(start, rows).astype(np.float64) - start) / self._training.lattice
        if np.isfinite(steps).all():
            limit = min(self._range, 1 << 52)
            total[:-1] = np.rint(np.clip(steps, -limit, limit)).astype(np.int64)
            total[-1] = 1
            total *= len(rows)
        return total

    def _rows(self) -> NDArray[np.int64]:
        """The rows of the people who take part, no more than the public bound."""
        _, person = np.unique(self._examples.person, return_inverse=True)
        people = int(person.max()) + 1 if len(person) else 0
        taking_part = poisson_sample(people, self._training.sampler.rate, self._entropy)
        return np.flatnonzero(taking_part[person])[: self._rows_at_most]

    def _train(self, weights: Weights, rows: NDArray[np.int64]) -> Weights:
        moments = Moments.zero(len(weights))
        for _ in range(self._local.epochs):
            draws = np.frombuffer(Keystream.fresh(self._entropy).take(8 * len(rows)), dtype="<u8")
            shuffled = rows[np.argsort(draws, kind="stable")]
            for start in range(0, len(rows), self._local.batch):
                gradient = self._mean(weights, shuffled[start : start + self._local.batch])
                weights, moments = step(self._local.optimiser, weights, gradient, moments)
        return weights

    def _mean(self, weights: Weights, rows: NDArray[np.int64]) -> Floats:
        total = np.zeros(len(weights))
        for start in range(0, len(rows), self._map.lanes):
            batch = np.full(self._map.lanes, -1, dtype=np.int64)
            part = rows[start : start + self._map.lanes]
            batch[: len(part)] = part
            gradients = self._map.batch(weights, self._examples, batch)
            finite = np.isfinite(gradients).all(axis=1)
            total += gradients[finite].sum(axis=0, dtype=np.float64)
        return total / len(rows)


class TrainingSite:
    """A site's participant in a federated training (``Participant``).

    Args:
        seat: the site's place in the session.
        training: the plan; ``check_training`` must hold.
        engine: what runs the gradient Program.
        examples: the site's rows as tensors.
        rows_at_most: the most rows that the owner's schema allows, a public number.
    """

    def __init__(
        self, seat: Seat, training: Training, *, engine: Engine, examples: Examples, rows_at_most: int
    ) -> None:
        check_training(seat.header, training)
        work: Work
        if training.privacy is None:
            work = LocalAverages(seat, training, engine, examples, rows_at_most)
        else:
            noise = NoiseShare(
                sigmas=(noise_steps(training),),
                lengths=(seat.header.length,),
                sites=len(seat.header.cohort),
                colluders=seat.header.colluders,
            )
            gradients = PersonGradients(GradientMap(training, engine), examples)
            work = GradientSums(training, gradients, noise, seat.entropy)
        self._site = SumSite(seat, work)

    @property
    def rounds_sent(self) -> int:
        """Rounds for which a masked vector was computed."""
        return self._site.rounds_sent

    def hello(self) -> bytes:
        """The site's signed session key."""
        return self._site.hello()

    def on_frame(self, frame: bytes) -> bytes:
        """The reply to one frame of the coordinator; see ``SumSite.on_frame``."""
        return self._site.on_frame(frame)

    def close(self) -> None:
        """Erase the session's keys."""
        self._site.close()


class QuerySite:
    """A site's participant in one joint question: its exact integers and noise shares, in one round.

    Args:
        seat: the site's place in the session.
        vector: the site's exact integer sums, in the flat order of the query's parts.
        sigmas: standard deviation of the whole noise of each part, in steps (``Query.sigmas``).
        lengths: integers in each part.

    Raises:
        BadMessage: the header is not for one round on an empty payload, or for another length.
    """

    def __init__(self, seat: Seat, vector: IntVector, *, sigmas: tuple[float, ...], lengths: tuple[int, ...]) -> None:
        header = seat.header
        check_question(header, length=sum(lengths))
        noise = NoiseShare(sigmas=sigmas, lengths=lengths, sites=len(header.cohort), colluders=header.colluders)
        self._vector = vector
        self._noise = noise if header.outlet == "join" else None
        self._entropy = seat.entropy
        self._site = SumSite(seat, self)

    def __repr__(self) -> str:
        return "QuerySite(<redacted>)"

    def __reduce__(self) -> str:
        raise TypeError("a site's session cannot be pickled")

    def vector(self, number: int, payload: bytes) -> IntVector:
        """The exact integers plus this site's noise share (none where the sum is disclosed)."""
        if payload:
            raise BadMessage("a joint question carries no model.")
        return self._noise.add(self._vector, self._entropy) if self._noise else self._vector

    @property
    def rounds_sent(self) -> int:
        """Rounds for which a masked vector was computed: 0 or 1."""
        return self._site.rounds_sent

    def hello(self) -> bytes:
        """The site's signed session key."""
        return self._site.hello()

    def on_frame(self, frame: bytes) -> bytes:
        """The reply to one frame of the coordinator; see ``SumSite.on_frame``."""
        return self._site.on_frame(frame)

    def close(self) -> None:
        """Erase the session's keys."""
        self._site.close()


def noise_steps(training: Training) -> float:
    """The standard deviation of the whole noise of a private training, in lattice steps.

    Raises:
        UsageError: the training has no privacy.
    """
    if training.privacy is None:
        raise UsageError("a training without privacy has no noise.")
    return training.privacy.sigma * training.privacy.clip / training.privacy.lattice

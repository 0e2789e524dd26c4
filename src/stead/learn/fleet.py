"""``Fleet``: a training over the sites of a channel, the same in simulation and over the network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from stead.core.clock import Clock
from stead.learn.header import Header
from stead.learn.masks import IntVector
from stead.learn.secure_sum import SiteChannel, SumCoordinator
from stead.learn.strategy import ModelState, Strategy


@dataclass(frozen=True)
class RoundDone:
    """What the coordinator knows after a round; all of it public.

    Attributes:
        number: from 1.
        rounds: of the session.
        bytes_up: frames from all sites so far, the opening included.
        bytes_down: frames to all sites so far.
        seconds: of this round, by the clock that was passed in.
        state: the model after it.
    """

    number: int
    rounds: int
    bytes_up: int
    bytes_down: int
    seconds: float
    state: ModelState


class Fleet:
    """Sites that compute together, reached through a channel that is passed in.

    Args:
        channel: to the sites; its peers are the cohort of every header.
        clock: for the seconds of a round.
    """

    def __init__(self, channel: SiteChannel, *, clock: Clock) -> None:
        self._channel = channel
        self._clock = clock

    def train(
        self,
        header: Header,
        strategy: Strategy,
        state: ModelState,
        *,
        on_round: Callable[[RoundDone], bool | None] = lambda _: None,
    ) -> ModelState:
        """Open the session, do its rounds, close it.

        Args:
            header: agreed by all sites; its ``model_hash`` is that of the first payload.
            strategy: what a round carries and what its sum does.
            state: the model to start from.
            on_round: told after each round; ``False`` ends the training early, an exception aborts it.

        Returns:
            The model after the last round.

        Raises:
            PartyError: a site is gone or late; the other sites are told. Rounds already folded are lost to the
                caller only if ``on_round`` did not keep their states.
            SteadError: what a site refuses with.
        """
        coordinator = SumCoordinator(header, self._channel)
        coordinator.open()
        reason = "the coordinator stopped"
        try:
            for number in range(1, header.rounds + 1):
                began = self._clock.now()
                state = strategy.fold(state, coordinator.round(number, strategy.plan_round(state)))
                done = RoundDone(
                    number=number,
                    rounds=header.rounds,
                    bytes_up=coordinator.bytes_up,
                    bytes_down=coordinator.bytes_down,
                    seconds=self._clock.now() - began,
                    state=state,
                )
                if on_round(done) is False:
                    break
            reason = ""
        finally:
            coordinator.close(reason)
        return state

    def ask(self, header: Header) -> IntVector:
        """One sum without a model: a joint question.

        Returns:
            The sum of the sites' vectors, int64, shape (length,).
        """
        coordinator = SumCoordinator(header, self._channel)
        coordinator.open()
        total = coordinator.round(1)
        coordinator.close()
        return total

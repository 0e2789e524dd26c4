"""The largest of several secret numbers: a tournament, each round one comparison and one choice for half of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

import numpy as np

from stead.mpc.protocol import Protocol
from stead.mpc.shares import Bits, Share, concatenate


@dataclass(frozen=True, repr=False)
class Round:
    """One round: for each pair whether its second entrant won; the last of an odd number goes on without a game."""

    won: Bits
    pairs: int

    def __repr__(self) -> str:
        return f"Round({self.pairs} pairs, <redacted>)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a share cannot be pickled")


def champion(p: Protocol, entrants: Share, bits: int = 64) -> tuple[Share, list[Round]]:
    """The largest along the first axis, and the games; of equal ones the first wins.

    Cost:
        ceil(log2(n)) times the rounds of a comparison and a choice; n - 1 of them for each element.
    """
    rounds: list[Round] = []
    while entrants.shape[0] > 1:
        pairs = entrants.shape[0] // 2
        first, second = entrants[0 : 2 * pairs : 2], entrants[1 : 2 * pairs : 2]
        difference = second - first
        won = p.negative(-difference, bits)
        winners = first + p.select(won, difference)
        rounds.append(Round(won, pairs))
        odd = entrants.shape[0] % 2
        entrants = concatenate([winners, entrants[2 * pairs :]]) if odd else winners
    return entrants[0], rounds


def carried(p: Protocol, rounds: list[Round], labels: Share) -> Share:
    """The label of each champion, from labels along the first axis, of the entrants' shape.

    Cost:
        As many rounds as games were played; one choice for each.
    """
    share = labels
    for game in rounds:
        first, second = share[0 : 2 * game.pairs : 2], share[1 : 2 * game.pairs : 2]
        winners = first + p.select(game.won, second - first)
        odd = share.shape[0] % 2
        share = concatenate([winners, share[2 * game.pairs :]]) if odd else winners
    return share[0]


def returned(p: Protocol, rounds: list[Round], gains: Share) -> Share:
    """What each champion gains, given back to the entrant that it was; the others get 0.

    Cost:
        As many rounds as games were played; one choice for each.
    """
    share = gains.map(lambda part: part[None])
    for game in reversed(rounds):
        top, rest = share[: game.pairs], share[game.pairs :]
        second = p.select(game.won, top)
        share = _between(top - second, second, rest)
    return share


def _between(first: Share, second: Share, rest: Share) -> Share:
    parts = []
    for one, two, three in zip(first.parts, second.parts, rest.parts, strict=True):
        out = np.empty((2 * len(one) + len(three), *one.shape[1:]), dtype=np.uint64)
        out[0 : 2 * len(one) : 2], out[1 : 2 * len(one) : 2], out[2 * len(one) :] = one, two, three
        parts.append(out)
    return Share(tuple(parts))

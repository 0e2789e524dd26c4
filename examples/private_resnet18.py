"""ResNet-18 on a picture that nobody sees, with weights that nobody sees.

    python examples/private_resnet18.py
    python examples/private_resnet18.py --images 100 --protocol replicated
    python examples/private_resnet18.py --as lab           # one of helper, clinic, lab, as parties.toml has them

The lab owns the network, the clinic the picture; only the clinic learns the logits. Weights are random (seeded) and the
pictures made up: what is shown is that the private network says what the one in the clear says, and what it costs.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from resnet18 import SIZE, images, seeded_resnet18

import stead
from stead.adapters.torch import trace
from stead.mpc.estimate import cost
from stead.mpc.folding import Folded, fold

NAMES = ("helper", "clinic", "lab")
NEAR_TIE = 0.02
"""Where the first and second logit are nearer than this, either may come out first."""
MOST_ERROR = 1e-2


@dataclass(frozen=True)
class Agreement:
    """Private logits beside those of float32 in the clear, each (images, classes)."""

    plain: Any
    private: Any

    @property
    def error(self) -> float:
        """The largest difference of a logit."""
        return float(np.abs(self.private - self.plain).max())

    @property
    def near_ties(self) -> Any:
        """For each image whether the clear logits are nearly tied."""
        second, first = np.sort(self.plain, axis=1)[:, -2:].T
        return first - second < NEAR_TIE

    @property
    def agree(self) -> Any:
        """For each image whether both name the same class."""
        return self.plain.argmax(1) == self.private.argmax(1)

    def __str__(self) -> str:
        clear = ~self.near_ties
        return (
            f"{len(self.plain)} images of {len(set(self.plain.argmax(1)))} classes: {self.agree[clear].sum()} of "
            f"{clear.sum()} agree; near ties {self.agree[~clear].sum()} of {(~clear).sum()}; "
            f"largest error of a logit {self.error:.1e}"
        )


def session_of(me: str | None, protocol: Any) -> AbstractContextManager[Any]:
    """All three parties in this process, a thread each, or one that connects to the two others."""
    return stead.party("parties.toml", me, protocol=protocol) if me else stead.local_session(protocol, parties=NAMES)


def privately(session: Any, folded: Folded, pictures: torch.Tensor) -> Iterator[Any]:
    """The logits of each picture, computed on shares; None at a party that is not to learn them.

    All parties draw the same from the seeds; ``share`` reads values at their owner only.
    """
    weights = [session.share(values, owner="lab") for values in folded.parameters]
    for picture in pictures:
        secret = session.share(picture.numpy(), owner="clinic")
        (logits,) = session.run(folded.program, [*weights, secret])
        yield logits.reveal(to="clinic")


def main(arguments: list[str] | None = None) -> Agreement | None:
    """Predict in the clear and on shares, and compare, where the logits are learnt."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1, help="how many pictures")
    parser.add_argument("--size", type=int, default=SIZE, help="of a side, in pixels")
    parser.add_argument("--protocol", choices=("masked", "replicated"), default="masked")
    parser.add_argument("--as", dest="me", choices=NAMES, help="be this one party; without it all three are here")
    asked = parser.parse_args(arguments)

    model, pictures = seeded_resnet18(size=asked.size), images(asked.images, seed=5, size=asked.size)
    folded = fold(trace(model, pictures[0]), {name: values.numpy() for name, values in model.state_dict().items()})
    before = cost(folded.program, asked.protocol)
    sent, dealt = max(before.sent_bytes), before.dealt_bytes
    print(
        f"One picture under {asked.protocol} takes {before.rounds} rounds; a party sends up to {sent / 1e6:.0f} MB, "
        f"{dealt / 1e6:.0f} MB are dealt; {before.macs / 1e9:.2f} billion multiply-adds."
    )
    start, private = time.perf_counter(), []
    with session_of(asked.me, asked.protocol) as session:
        for logits in privately(session, folded, pictures):
            private.append(logits)
            print(f"{len(private)} done, {time.perf_counter() - start:.1f} s", flush=True)
        print(session.profile.by_operation())
    if private[0] is None:
        return None
    with torch.inference_mode():
        plain = torch.cat([model(picture[None]) for picture in pictures]).numpy()
    found = Agreement(plain, np.stack(private))
    print(found)
    assert found.error <= MOST_ERROR
    return found


if __name__ == "__main__":
    main()

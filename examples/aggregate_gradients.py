"""The sum of several clients' gradients, added up by two or three aggregators of which none sees a gradient.

    python examples/aggregate_gradients.py

Each client splits its gradient into shares that look random, one for each aggregator; all but one are keys of 32 bytes.
The aggregators add up what they get and open the sum. All but one of them may work together and learn nothing but the
sum. The sum itself has no noise: for that see `stead.fit(..., privacy=stead.epsilon(...))`.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch import nn

from stead.core.entropy import SystemEntropy
from stead.mpc.fixed import FRACTION, decode, encode
from stead.mpc.party import Party
from stead.mpc.protocols.additive.aggregation import Aggregator, split
from stead.net.local import local_mesh

CLIENTS, ROWS = 5, 200


def gradients() -> dict[str, Any]:
    """One client's after another, of the same network on rows of its own, as one long vector each."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(30, 64), nn.ReLU(), nn.Linear(64, 2))
    found = {}
    for number in range(CLIENTS):
        x, y = torch.randn(ROWS, 30), torch.randint(2, (ROWS,))
        parts = torch.autograd.grad(nn.functional.cross_entropy(model(x), y), list(model.parameters()))
        found[f"client {number}"] = torch.cat([part.flatten() for part in parts]).double().numpy()
    return found


def summed(vectors: dict[str, Any], names: tuple[str, ...]) -> Any:
    """The sum, opened to the first aggregator; each is a thread here, and a machine of its own elsewhere."""
    entropy, mesh = SystemEntropy(), local_mesh(names)

    # At each client: fixed-point numbers with 16 binary digits, and a share for each aggregator.
    sent = {client: split(encode(vector), len(names), entropy=entropy) for client, vector in vectors.items()}
    size_bytes = sum(len(share) for share in sent["client 0"])

    def aggregator(place: int) -> Any:
        total = Aggregator(Party(place, names, mesh[names[place]], entropy), len(vectors["client 0"]))
        for client, shares in sent.items():
            total.add(client, shares[place])
        return total.reveal(to=[0])

    with ThreadPoolExecutor(len(names)) as pool:
        opened, *others = pool.map(aggregator, range(len(names)))
    assert others == [None] * len(others)
    print(f"{len(names)} aggregators: a client sent {size_bytes:,} bytes for {len(vectors['client 0']):,} numbers.")
    return decode(opened, FRACTION)


def main() -> float:
    """Sum with two and with three aggregators; returns the largest difference from the plain sum."""
    vectors = gradients()
    plain = np.sum(list(vectors.values()), axis=0)
    worst = 0.0
    for names in (("north", "south"), ("north", "south", "east")):
        error = float(np.abs(summed(vectors, names) - plain).max())
        print(f"  largest difference from the plain sum: {error:.1e}")
        worst = max(worst, error)
    return worst


if __name__ == "__main__":
    main()

"""Read handwritten digits that nobody sees, with a network that nobody sees.

    python examples/private_digits.py

The lab has trained a small network, the clinic has images. Both are shared between the parties; only the clinic learns
what its images show. The helper prepares and learns nothing. Here the three run in this process, a thread each; on
machines of their own, each runs the same lines in `with stead.party("parties.toml", "lab") as session:`.
"""

from __future__ import annotations

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn

import stead
from stead.adapters.torch import trace
from stead.mpc.engine import Way
from stead.mpc.estimate import cost
from stead.mpc.folding import fold

IMAGES = 100


def digits() -> tuple[torch.Tensor, torch.Tensor]:
    """1,797 images of 8 x 8 grey values in [0, 1], and what they show."""
    values, labels = load_digits(return_X_y=True)
    return torch.tensor(values.reshape(-1, 1, 8, 8) / 16, dtype=torch.float32), torch.tensor(labels)


def trained(images: torch.Tensor, labels: torch.Tensor) -> nn.Module:
    """The lab's network, trained in the clear on its own images."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(512, 10),
    )  # fmt: skip
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(6):
        for batch in torch.randperm(len(images)).split(100):
            optimiser.zero_grad()
            nn.functional.cross_entropy(model(images[batch]), labels[batch]).backward()
            optimiser.step()
    return model.eval()


def main() -> float:
    """Predict in the clear and on shares; returns the share of images on which both agree."""
    images, labels = digits()
    model = trained(images[:-IMAGES], labels[:-IMAGES])
    images, labels = images[-IMAGES:], labels[-IMAGES:]

    # The lab folds batch norm into its weights. The program, that is the architecture, is known to all.
    weights = {name: values.numpy() for name, values in model.state_dict().items()}
    folded = fold(trace(model, images[0]), weights)
    print("One image will cost:", cost(folded.program, "masked"), sep="\n", end="\n\n")

    with stead.local_session("masked", parties=["helper", "lab", "clinic"]) as session:
        secret_weights = [session.share(values, owner="lab") for values in folded.parameters]
        secret_images = session.share(images.numpy(), owner="clinic")
        (logits,) = session.run(folded.program, [*secret_weights, secret_images], Way(examples=1))
        found = logits.argmax(axis=1).reveal(to="clinic")
        print(f"{IMAGES} images have cost:", session.profile.by_operation(), sep="\n", end="\n\n")

    with torch.no_grad():
        plain = model(images).argmax(1).numpy()
    print("in the clear:", *plain[:20], "...", sep=" ")
    print("on shares:   ", *found[:20], "...", sep=" ")
    agree = float(np.mean(found == plain))
    print(f"{agree:.0%} of {IMAGES} agree; {np.mean(found == labels.numpy()):.0%} are right.")
    return agree


if __name__ == "__main__":
    main()

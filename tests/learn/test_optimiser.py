"""The optimisers against torch's own."""

import numpy as np
import pytest

from stead.learn.optimiser import Moments, step
from stead.plans.training import Optimiser


@pytest.mark.parametrize(
    "optimiser",
    [
        Optimiser(name="sgd", rate=0.1),
        Optimiser(name="sgd", rate=0.05, momentum=0.9, weight_decay=0.01),
        Optimiser(name="adam", rate=0.01, momentum=0.9),
        Optimiser(name="adam", rate=0.02, momentum=0.8, beta2=0.99, weight_decay=0.1),
    ],
    ids=lambda o: f"{o.name}-{o.weight_decay}",
)
def test_ten_steps_as_torch_does_them(optimiser):
    torch = pytest.importorskip("torch")
    generator = np.random.default_rng(0)
    start = generator.normal(size=20).astype(np.float32)
    tensor = torch.nn.Parameter(torch.tensor(start, dtype=torch.float64))
    if optimiser.name == "sgd":
        peer = torch.optim.SGD(
            [tensor], lr=optimiser.rate, momentum=optimiser.momentum, weight_decay=optimiser.weight_decay
        )
    else:
        peer = torch.optim.Adam(
            [tensor],
            lr=optimiser.rate,
            betas=(optimiser.momentum, optimiser.beta2),
            weight_decay=optimiser.weight_decay,
        )
    weights, moments = start, Moments.zero(20)
    for _ in range(10):
        gradient = generator.normal(size=20)
        tensor.grad = torch.tensor(gradient)
        peer.step()
        before = weights.copy()
        moved, moments = step(optimiser, weights, gradient, moments)
        assert (weights == before).all()
        weights = moved
    assert weights.dtype == np.float32
    assert moments.steps == 10
    np.testing.assert_allclose(weights, tensor.detach().numpy(), rtol=1e-4, atol=1e-6)

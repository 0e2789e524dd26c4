"""The models of docs/reference/models.md: small ones, a module, a loss and made-up examples each."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional


@dataclass(frozen=True)
class Model:
    """A row of the table.

    Attributes:
        name: how the table calls it.
        module: makes the module, in the mode in which it is traced.
        loss: of its result and target, each with a batch axis of one.
        x: makes so many examples.
        y: makes the targets of examples.
        rate: the learning rate with which it trains.
        examples: how many examples it trains on.
    """

    name: str
    module: Callable[[], nn.Module]
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    x: Callable[[int], torch.Tensor]
    y: Callable[[torch.Tensor], torch.Tensor]
    rate: float = 0.5
    examples: int = 24


class Block(nn.Module):
    """A residual block of ResNet-18 (He et al. 2016, figure 5, left)."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(after)
        self.short = nn.Sequential()
        if stride != 1 or before != after:
            self.short = nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The block."""
        inner = self.norm2(self.conv2(functional.relu(self.norm1(self.conv1(x)))))
        return functional.relu(inner + self.short(x))


class ResNet18(nn.Module):
    """ResNet-18 (He et al. 2016, table 1) with ``width`` channels in its first stage instead of 64."""

    def __init__(self, width: int = 4, classes: int = 3) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, width, 7, 2, 3, bias=False), nn.BatchNorm2d(width), nn.ReLU(), nn.MaxPool2d(3, 2, 1)
        )
        blocks, before = [], width
        for stage in range(4):
            after = width << stage
            blocks += [Block(before, after, 1 if stage == 0 else 2), Block(after, after, 1)]
            before = after
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(before, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scores of the classes."""
        return self.head(functional.adaptive_avg_pool2d(self.blocks(self.stem(x)), 1).flatten(1))


class Recurrent(nn.Module):
    """A recurrent layer and a linear one on its last state."""

    def __init__(self, cell: Callable[..., nn.Module]) -> None:
        super().__init__()
        self.cell = cell(4, 8, batch_first=True)
        self.head = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scores of the classes."""
        return self.head(self.cell(x)[0][:, -1])


class Words(nn.Module):
    """The mean of the words' vectors, and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(11, 6, padding_idx=0)
        self.head = nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scores of the classes."""
        return self.head(self.table(x).mean(1))


class Bag(nn.Module):
    """As ``Words``, with ``nn.EmbeddingBag``."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.EmbeddingBag(11, 6)
        self.head = nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scores of the classes."""
        return self.head(self.table(x))


class Transformer(nn.Module):
    """Words and places, one encoder layer, the mean, and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(11, 8)
        self.places = nn.Parameter(torch.zeros(6, 8))
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, activation="gelu", batch_first=True)
        self.head = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scores of the classes."""
        return self.head(self.layer(self.words(x) + self.places).mean(1))


class Branch(nn.Module):
    """Decides by the data what it computes."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scores of the classes."""
        return self.head(x) if x.sum() > 0 else self.head(-x)


class _Dropping(nn.Linear):
    def __init__(self) -> None:
        super().__init__(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.dropout(super().forward(x), 0.5, training=True)


class _Counting(nn.Linear):
    def __init__(self) -> None:
        super().__init__(6, 3)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls.add_(1.0)
        return super().forward(x) + self.calls


class _Sorting(nn.Linear):
    def __init__(self) -> None:
        super().__init__(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x.sort(dim=1).values)


def _sequence(*layers: nn.Module) -> Callable[[], nn.Module]:
    """Layers with fresh weights from torch's generator, which whoever calls has seeded."""

    def fresh() -> nn.Module:
        module = copy.deepcopy(nn.Sequential(*layers))
        for part in module.modules():
            if hasattr(part, "reset_parameters"):
                part.reset_parameters()
        return module.eval()

    return fresh


def _numbers(*shape: int) -> Callable[[int], torch.Tensor]:
    return lambda count: torch.randn(count, *shape)


def _waves(count: int) -> torch.Tensor:
    """Images of 8 x 8 that two numbers tell apart."""
    slope, height = torch.randn(2, count, 1, 1, 1)
    return slope * torch.linspace(-1, 1, 8) + height * torch.linspace(-1, 1, 8)[:, None]


def _words(count: int) -> torch.Tensor:
    return torch.randint(0, 11, (count, 6))


def _classes(x: torch.Tensor) -> torch.Tensor:
    """One of three classes, from the values of the first half of an example."""
    flat = x.reshape(len(x), -1).float()
    half = flat[:, : flat.shape[1] // 2].mean(1)
    return (half > half.quantile(1 / 3)).long() + (half > half.quantile(2 / 3)).long()


def _shifted(x: torch.Tensor) -> torch.Tensor:
    """Half of the examples are moved up, in place, and that is their class."""
    y = torch.arange(len(x)) % 2
    x += 2.0 * y.reshape(-1, *(1,) * (x.ndim - 1))
    return y


def _pair(x: torch.Tensor) -> torch.Tensor:
    return (_classes(x) > 0).long()


def _mean(x: torch.Tensor) -> torch.Tensor:
    return x.reshape(len(x), -1).mean(1)


def _itself(x: torch.Tensor) -> torch.Tensor:
    return x


def _binary(scores: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return functional.binary_cross_entropy_with_logits(scores[:, 0], y.float())


def _square(result: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return functional.mse_loss(result.reshape(y.shape), y)


_CNN = (
    nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 6, 3), nn.ReLU(), nn.AvgPool2d(2),
    nn.Flatten(), nn.Linear(6, 3),
)  # fmt: skip
_DEPTHWISE = (
    nn.Conv2d(2, 4, 1), nn.GroupNorm(2, 4), nn.SiLU(), nn.Conv2d(4, 4, 3, stride=2, padding=1, groups=4),
    nn.Hardswish(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3),
)  # fmt: skip
_DILATED = (
    nn.Conv1d(2, 4, 3, dilation=2, padding=2), nn.LeakyReLU(), nn.Conv1d(4, 4, 3, dilation=4, padding=4), nn.ELU(),
    nn.AvgPool1d(4), nn.Flatten(), nn.LayerNorm(12), nn.Linear(12, 3),
)  # fmt: skip
_AUTOENCODER = (
    nn.Conv2d(1, 3, 3, stride=2, padding=1), nn.Tanh(), nn.Conv2d(3, 2, 3, stride=2, padding=1), nn.Tanh(),
    nn.ConvTranspose2d(2, 3, 2, stride=2), nn.Tanh(), nn.ConvTranspose2d(3, 1, 3, 2, padding=1, output_padding=1),
)  # fmt: skip

_ENTROPY = functional.cross_entropy

MODELS = (
    Model("logistic regression", _sequence(nn.Linear(6, 3)), _ENTROPY, _numbers(6), _classes),
    Model("logistic regression, one score", _sequence(nn.Linear(6, 1)), _binary, _numbers(6), _pair),
    Model("linear regression", _sequence(nn.Linear(6, 1)), _square, _numbers(6), _mean, 0.1),
    Model(
        "multilayer perceptron",
        _sequence(nn.Linear(6, 16), nn.GELU(), nn.Dropout(0.5), nn.Linear(16, 8), nn.Tanh(), nn.Linear(8, 3)),
        _ENTROPY, _numbers(6), _classes,
    ),
    Model("CNN with pooling", _sequence(*_CNN), _ENTROPY, _numbers(1, 8, 8), _classes),
    Model("depthwise CNN, group norm", _sequence(*_DEPTHWISE), _ENTROPY, _numbers(2, 8, 8), _shifted, 2.0),
    Model("dilated 1-d CNN, layer norm", _sequence(*_DILATED), _ENTROPY, _numbers(2, 12), _classes, 0.2),
    Model("ResNet-18, batch norm in eval mode", lambda: ResNet18().eval(), _ENTROPY, _numbers(3, 16, 16), _classes,
          0.2, 6),
    Model("convolutional autoencoder", _sequence(*_AUTOENCODER), _square, _waves, _itself),
    Model("LSTM", lambda: Recurrent(nn.LSTM), _ENTROPY, _numbers(5, 4), _classes, 3.0),
    Model("GRU", lambda: Recurrent(nn.GRU), _ENTROPY, _numbers(5, 4), _classes, 2.0),
    Model("transformer encoder", lambda: Transformer().eval(), _ENTROPY, _words, _classes, 0.2),
    Model("embedding and mean", Words, _ENTROPY, _words, _classes),
)  # fmt: skip

REFUSED = (
    Model("dropout in training mode", lambda: nn.Sequential(nn.Linear(6, 3), nn.Dropout(0.5)), _ENTROPY, _numbers(6),
          _classes),
    Model("dropout by function", _Dropping, _ENTROPY, _numbers(6), _classes),
    Model("batch norm in training mode", lambda: nn.Sequential(nn.BatchNorm1d(6), nn.Linear(6, 3)), _ENTROPY,
          _numbers(6), _classes),
    Model("nn.EmbeddingBag", Bag, _ENTROPY, _words, _classes),
    Model("a float64 model", lambda: nn.Linear(6, 3).double(), _ENTROPY, lambda count: _numbers(6)(count).double(),
          _classes),
    Model("a branch on data", Branch, _ENTROPY, _numbers(6), _classes),
    Model("a buffer written to", _Counting, _ENTROPY, _numbers(6), _classes),
    Model("sorting", _Sorting, _ENTROPY, _numbers(6), _classes),
)  # fmt: skip

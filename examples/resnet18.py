"""ResNet-18 (He et al. 2016, table 1) as a plain ``nn.Module``, with seeded weights: what the private examples run."""

from __future__ import annotations

import torch
from torch import nn

CLASSES = 1000
SIZE = 224


class Block(nn.Module):
    """Two 3x3 convolutions and the way around them."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False)
        self.first_norm = nn.BatchNorm2d(channels)
        self.second = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.second_norm = nn.BatchNorm2d(channels)
        self.around: nn.Module = nn.Identity()
        if stride != 1 or channels_in != channels:
            self.around = nn.Sequential(
                nn.Conv2d(channels_in, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Images (N, C, H, W) to images (N, channels, H/stride, W/stride)."""
        inner = torch.relu(self.first_norm(self.first(x)))
        return torch.relu(self.second_norm(self.second(inner)) + self.around(x))


class ResNet18(nn.Module):
    """Images (N, 3, 224, 224) to logits (N, 1000)."""

    def __init__(self, classes: int = CLASSES) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.stem_norm = nn.BatchNorm2d(64)
        self.pool = nn.MaxPool2d(3, 2, 1)
        widths = [(64, 64, 1), (64, 64, 1), (64, 128, 2), (128, 128, 1)]
        widths += [(128, 256, 2), (256, 256, 1), (256, 512, 2), (512, 512, 1)]
        self.blocks = nn.Sequential(*(Block(*width) for width in widths))
        self.head = nn.Linear(512, classes)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """What the last layer sees, (N, 512)."""
        x = self.pool(torch.relu(self.stem_norm(self.stem(x))))
        return self.blocks(x).mean((2, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits."""
        return self.head(self.features(x))


def images(count: int, seed: int, size: int = SIZE) -> torch.Tensor:
    """Made-up pictures: soft patches of random colours with some grain, (count, 3, size, size), about unit variance."""
    random = torch.Generator().manual_seed(seed)
    coarse = torch.randn(count, 3, 7, 7, generator=random)
    soft = nn.functional.interpolate(coarse, size=(size, size), mode="bilinear", align_corners=False)
    return soft + 0.3 * torch.randn(count, 3, size, size, generator=random)


@torch.no_grad()
def seeded_resnet18(seed: int = 0, size: int = SIZE) -> ResNet18:
    """ResNet-18 in evaluation mode: random weights, batch-norm statistics of 64 pictures, logits centred on them."""
    torch.manual_seed(seed)
    model = ResNet18()
    for part in model.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, nonlinearity="relu")
        if isinstance(part, nn.BatchNorm2d):
            part.momentum = None  # the plain average of the batches that it sees
    nn.init.normal_(model.head.weight, std=0.25)  # logits that differ by about one, as a trained network's do
    model.train()
    sample = images(64, seed + 1, size)
    for batch in sample.split(32):
        model(batch)
    model.eval()
    model.head.bias.copy_(-model.head.weight @ torch.cat([model.features(batch) for batch in sample.split(32)]).mean(0))
    return model

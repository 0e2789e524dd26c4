"""CrypTen on the works of this benchmark: ``python peer_crypten.py matmul,relu,softmax,sum,resnet``.

It runs in an environment of CrypTen's own and knows nothing of stead. Two parties, a process and one thread each, speak
through gloo over TCP on the loopback; ``TFP`` is CrypTen's default, in which party 0 deals all masks. A product, ReLU,
softmax or ResNet-18 is timed from shared inputs to shared outputs, a sum from sharing to revealing. ``rounds`` and
``bytes`` are what CrypTen counts at a party. One JSON line for each work; seconds are those of the slower party.

``error`` is that of what CrypTen shows. Its decoder divides negative numbers by 2^16 - 1, so some come out off by one;
``error_of_shares`` is that of the same shares, divided by 2^16.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

PARTIES, RUNS, CLIENTS, LENGTH = 2, 5, 10, 1_000_000
MODEL_OWNER, INPUT_OWNER = 0, 1
SCALE = 2**16
VARIANT = "2 parties, TFP"
WIDTHS = (
    (64, 64, 1),
    (64, 64, 1),
    (64, 128, 2),
    (128, 128, 1),
    (128, 256, 2),
    (256, 256, 1),
    (256, 512, 2),
    (512, 512, 1),
)

Timed = tuple[Callable[[], Any], torch.Tensor]


class Block(torch.nn.Module):
    """Two convolutions, batch norm folded into their biases, and the way around them."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.first = torch.nn.Conv2d(channels_in, channels, 3, stride, 1)
        self.second = torch.nn.Conv2d(channels, channels, 3, 1, 1)
        self.around = torch.nn.Conv2d(channels_in, channels, 1, stride) if channels_in != channels else None

    def forward(self, x: Any) -> Any:
        """On tensors, and on CrypTen's."""
        inner = self.second(self.first(x).relu())
        return (inner + (self.around(x) if self.around is not None else x)).relu()


class ResNet18(torch.nn.Module):
    """ResNet-18 with batch norm folded into the biases."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = torch.nn.Conv2d(3, 64, 7, 2, 3)
        self.blocks = torch.nn.ModuleList(Block(*widths) for widths in WIDTHS)
        self.head = torch.nn.Linear(512, 1000)

    def forward(self, x: Any) -> Any:
        """Images (N, 3, 224, 224) to logits (N, 1000)."""
        return logits(self, x)


def logits(model: Any, x: Any) -> Any:
    """The network, by the layers of ``model``."""
    x = model.stem(x).relu()
    x = torch.nn.functional.max_pool2d(x, 3, 2, 1) if torch.is_tensor(x) else x.max_pool2d(3, stride=2, padding=1)
    for block in model.blocks:
        x = block(x)
    return model.head(x.mean(3).mean(2))


@torch.no_grad()
def random_resnet() -> ResNet18:
    """The same architecture as ``examples/resnet18.py``, with random weights that keep numbers of about one."""
    torch.manual_seed(0)
    model = ResNet18()
    for part in model.modules():
        if isinstance(part, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(part.weight, nonlinearity="relu")
            part.weight.mul_(0.7)
            torch.nn.init.normal_(part.bias, std=0.05)
    return model


class OnShares:
    """A torch module's layers with encrypted weights, called in the same way."""

    def __init__(self, crypten: Any, layer: torch.nn.Module) -> None:
        self._crypten, self._layer = crypten, layer
        self._weight, self._bias = (
            crypten.cryptensor(values.detach(), src=MODEL_OWNER) for values in (layer.weight, layer.bias)
        )

    def __call__(self, x: Any) -> Any:
        """As the layer does."""
        if isinstance(self._layer, torch.nn.Linear):
            return x.matmul(self._weight.t()) + self._bias
        found = x.conv2d(self._weight, stride=self._layer.stride, padding=self._layer.padding)
        return found + self._bias.view(1, -1, 1, 1)


def encrypted(crypten: Any, model: ResNet18) -> Any:
    """The network on shares of its weights."""
    blocks = []
    for block in model.blocks:
        names = [name for name in ("first", "second", "around") if getattr(block, name) is not None]
        layers = {name: OnShares(crypten, getattr(block, name)) for name in names}
        shared = types.SimpleNamespace(**{"around": None, **layers})
        blocks.append(lambda x, shared=shared: Block.forward(shared, x))
    return types.SimpleNamespace(stem=OnShares(crypten, model.stem), blocks=blocks, head=OnShares(crypten, model.head))


def normal(*shape: int, seed: int) -> torch.Tensor:
    """The inputs that ``works.py`` draws, as float32."""
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape)).float()


def matmul(crypten: Any) -> Timed:
    """A product of two matrices, each of another owner."""
    a, b = normal(1000, 1000, seed=1), normal(1000, 1000, seed=2)
    x, y = crypten.cryptensor(a, src=MODEL_OWNER), crypten.cryptensor(b, src=INPUT_OWNER)
    return lambda: x @ y, a @ b


def relu(crypten: Any) -> Timed:
    """A million comparisons and choices."""
    a = normal(LENGTH, seed=3)
    x = crypten.cryptensor(a, src=INPUT_OWNER)
    return x.relu, a.relu()


def softmax(crypten: Any) -> Timed:
    """A thousand rows of ten."""
    a = normal(1000, 10, seed=4)
    x = crypten.cryptensor(a, src=INPUT_OWNER)
    return lambda: x.softmax(1), a.softmax(1)


def summed(crypten: Any) -> Timed:
    """Ten vectors, entered by the two parties in turn, added up and revealed."""
    random = np.random.default_rng(8)
    vectors = [torch.from_numpy(random.standard_normal(LENGTH, dtype=np.float32)) for _ in range(CLIENTS)]

    def work() -> Any:
        total = crypten.cryptensor(vectors[0], src=0)
        for at, vector in enumerate(vectors[1:], 1):
            total = total + crypten.cryptensor(vector, src=at % PARTIES)
        total.get_plain_text()
        return total

    return work, torch.stack(vectors).sum(0)


def resnet(crypten: Any) -> Timed:
    """ResNet-18: weights of one party, an image of the other."""
    model = random_resnet()
    image = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        plain = model(image)
    shared, x = encrypted(crypten, model), crypten.cryptensor(image, src=INPUT_OWNER)
    return lambda: logits(shared, x), plain


WORKS = {
    "matmul": ("matmul 1000x1000", matmul),
    "relu": ("relu 1M", relu),
    "softmax": ("softmax 1000x10", softmax),
    "resnet": ("resnet18", resnet),
    "sum": ("sum of 10 x 1M", summed),
}


def imported() -> Any:
    """CrypTen without its ONNX importer, which does not load beside this torch and is not needed here."""
    absent = types.ModuleType("crypten.nn.onnx_converter")
    absent.from_onnx = absent.from_pytorch = absent.from_tensorflow = None
    absent.TF_AND_TF2ONNX = False
    sys.modules[absent.__name__] = absent
    import crypten

    return crypten


def party(place: int, meeting: str, name: str, pipe: Any) -> None:
    """One party of one work."""
    settings = {"WORLD_SIZE": PARTIES, "RANK": place, "RENDEZVOUS": f"file://{meeting}", "DISTRIBUTED_BACKEND": "gloo"}
    os.environ.update({name: str(value) for name, value in settings.items()}, GLOO_SOCKET_IFNAME="lo")
    torch.set_num_threads(1)
    crypten = imported()
    from crypten.config import cfg

    cfg.mpc.provider = "TFP"
    cfg.communicator.verbose = True
    crypten.init()
    with crypten.no_grad():
        pipe.send(measured(crypten, *WORKS[name][1](crypten)))


def measured(crypten: Any, work: Callable[[], Any], plain: torch.Tensor) -> dict[str, Any]:
    """One warm-up, then the timed runs."""
    others, seconds = crypten.communicator.get(), []
    work()
    others.reset_communication_stats()
    for _ in range(RUNS):
        others.barrier()
        start = time.perf_counter()
        found = work()
        seconds.append(time.perf_counter() - start)
    spent = others.get_communication_stats()
    shown, exact = found.get_plain_text().double(), found.reveal().double() / SCALE
    return {
        "seconds": seconds,
        "rounds": spent["rounds"] // RUNS,
        "bytes": spent["bytes"] // RUNS,
        "peak_mb": peak_mb(),
        "error": float((shown - plain.double()).abs().max()),
        "error_of_shares": float((exact - plain.double()).abs().max()),
    }


def peak_mb() -> float:
    """The most memory that this process has had."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def main() -> None:
    """Start the parties anew for each work, and print its line."""
    start = multiprocessing.get_context("spawn")
    for name in sys.argv[1].split(","):
        pipes = [start.Pipe(duplex=False) for _ in range(PARTIES)]
        with tempfile.TemporaryDirectory() as folder:
            for place, (_, theirs) in enumerate(pipes):
                start.Process(target=party, args=(place, f"{folder}/meeting", name, theirs), daemon=True).start()
                theirs.close()
            print(json.dumps(line(name, [ours.recv() for ours, _ in pipes])), flush=True)


def line(name: str, found: list[dict[str, Any]]) -> dict[str, Any]:
    """The figures of one work over both parties."""
    seconds = [max(several) for several in zip(*(each["seconds"] for each in found), strict=True)]
    return {
        "work": WORKS[name][0],
        "variant": f"{VARIANT}, sharing to revealing" if name == "sum" else VARIANT,
        "seconds": statistics.median(seconds),
        "seconds_min": min(seconds),
        "seconds_max": max(seconds),
        "runs": RUNS,
        **{figure: max(each[figure] for each in found) for figure in found[0] if figure != "seconds"},
    }


if __name__ == "__main__":
    main()

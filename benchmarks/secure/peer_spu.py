"""SPU on the works of this benchmark: ``python peer_spu.py matmul,relu,softmax,sum,resnet``.

It runs in an environment of SPU's own and knows nothing of stead. Three parties under ABY3 over Z_2^64, a process and
one thread each, speak through brpc over TCP on the loopback. A work is timed from shared inputs to shared outputs:
compiled beforehand, all parties at once, the slowest one counts. A sum is timed where vectors are shared and their sum
is opened; carrying shares from there to the parties and back, which SPU leaves to others, is not in it. SPU counts
neither rounds nor bytes. One JSON line for each work.
"""

from __future__ import annotations

import json
import multiprocessing
import socket
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from spu import api, libspu
from spu.utils import frontend

PARTIES, RUNS, CLIENTS, LENGTH = 3, 5, 10, 1_000_000
TIMEOUT_S = 900
VARIANT = "ABY3"
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


@dataclass(frozen=True)
class Work:
    """A JAX function and its secret arguments: arrays in lists."""

    function: Callable[..., Any]
    inputs: tuple[Any, ...]

    @property
    def arrays(self) -> list[Any]:
        """The arguments one by one."""
        return jax.tree_util.tree_leaves(self.inputs)

    @property
    def names(self) -> list[str]:
        """What they are called at the parties."""
        return [f"in{at}" for at in range(len(self.arrays))]

    def compiled(self) -> Any:
        """What the parties run."""
        secret = [libspu.Visibility.VIS_SECRET] * len(self.names)
        executable, _ = frontend.compile(
            frontend.Kind.JAX, self.function, self.inputs, {}, self.names, secret, lambda found: ["out"] * len(found)
        )
        return executable


def normal(*shape: int, seed: int) -> Any:
    """The inputs that ``works.py`` draws, as float32."""
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def vectors() -> tuple[Any, ...]:
    """The clients'."""
    random = np.random.default_rng(8)
    return tuple(random.standard_normal(LENGTH, dtype=np.float32) for _ in range(CLIENTS))


def random_resnet() -> list[tuple[Any, Any]]:
    """Weights (height, width, in, out) and biases of the layers of ``examples/resnet18.py``, batch norm folded in."""
    random = np.random.default_rng(0)
    shapes = [(7, 7, 3, 64)]
    for channels_in, channels, _ in WIDTHS:
        shapes += [(3, 3, channels_in, channels), (3, 3, channels, channels)]
        shapes += [(1, 1, channels_in, channels)] if channels_in != channels else []
    layers = []
    for shape in shapes:
        weight = random.standard_normal(shape) * 0.7 * np.sqrt(2 / np.prod(shape[:3]))
        layers.append((weight.astype(np.float32), (0.05 * random.standard_normal(shape[3])).astype(np.float32)))
    head = (random.standard_normal((512, 1000)) / 23).astype(np.float32), np.zeros(1000, np.float32)
    return [*layers, head]


def resnet(layers: list[tuple[Any, Any]], x: Any) -> Any:
    """Images (N, 224, 224, 3) to logits (N, 1000)."""
    weights = iter(layers)
    x = jnp.maximum(convolved(x, weights, 2, 3), 0)
    x = jax.lax.reduce_window(x, -1e4, jax.lax.max, (1, 3, 3, 1), (1, 2, 2, 1), ((0, 0), (1, 1), (1, 1), (0, 0)))
    for channels_in, channels, stride in WIDTHS:
        inner = jnp.maximum(convolved(x, weights, stride, 1), 0)
        inner = convolved(inner, weights, 1, 1)
        x = jnp.maximum(inner + (convolved(x, weights, stride, 0) if channels_in != channels else x), 0)
    weight, bias = next(weights)
    return jnp.mean(x, (1, 2)) @ weight + bias


def convolved(x: Any, weights: Iterator[tuple[Any, Any]], stride: int, padding: int) -> Any:
    """The next layer."""
    weight, bias = next(weights)
    around = ((padding, padding), (padding, padding))
    layout = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(x, weight, (stride, stride), around, dimension_numbers=layout) + bias


WORKS: dict[str, tuple[str, Callable[[], Work]]] = {
    "matmul": (
        "matmul 1000x1000",
        lambda: Work(jnp.matmul, (normal(1000, 1000, seed=1), normal(1000, 1000, seed=2))),
    ),
    "relu": ("relu 1M", lambda: Work(lambda x: jnp.maximum(x, 0), (normal(LENGTH, seed=3),))),
    "softmax": ("softmax 1000x10", lambda: Work(lambda x: jax.nn.softmax(x, 1), (normal(1000, 10, seed=4),))),
    "resnet": ("resnet18", lambda: Work(resnet, (random_resnet(), normal(1, 224, 224, 3, seed=5)))),
    "sum": ("sum of 10 x 1M", lambda: Work(lambda *several: sum(several[1:], several[0]), vectors())),
}


def settings() -> Any:
    """ABY3 over Z_2^64 as it comes, with one thread."""
    chosen = libspu.RuntimeConfig(protocol=libspu.ProtocolKind.ABY3, field=libspu.FieldType.FM64)
    chosen.max_concurrency = 1
    return chosen


def party(place: int, ports: list[int], name: str, pipe: Any) -> None:
    """One party of one work: it takes shares, runs when it is told to, and gives shares back."""
    links = libspu.link.Desc()
    links.recv_timeout_ms = links.http_timeout_ms = 1000 * TIMEOUT_S
    for at, port in enumerate(ports):
        links.add_party(f"party{at}", f"127.0.0.1:{port}")
    context = libspu.link.create_brpc(links, place)
    executable = WORKS[name][1]().compiled()
    runtime = api.Runtime(context, settings())
    pipe.send("compiled")
    for _ in range(RUNS + 1):
        for variable, share in zip(executable.input_names, pipe.recv(), strict=True):
            runtime.set_var(variable, share)
        pipe.send("ready")
        pipe.recv()
        start = time.perf_counter()
        runtime.run(executable)
        seconds = time.perf_counter() - start
        pipe.send((seconds, runtime.get_var(executable.output_names[0])))
    pipe.send(peak_mb())
    context.stop_link()


def measured(name: str, pipes: list[Any]) -> dict[str, Any]:
    """Share, let the parties run, open: one warm-up, then the timed runs."""
    label, make = WORKS[name]
    work, io = make(), api.Io(PARTIES, settings())
    plain, timed = np.asarray(work.function(*work.inputs)), []
    everyone(pipes)
    for _ in range(RUNS + 1):
        start = time.perf_counter()
        shares = [io.make_shares(np.asarray(array), libspu.Visibility.VIS_SECRET) for array in work.arrays]
        sharing_s = time.perf_counter() - start
        for place, pipe in enumerate(pipes):
            pipe.send([share[place] for share in shares])
        everyone(pipes)
        for pipe in pipes:
            pipe.send("go")
        found = everyone(pipes)
        start = time.perf_counter()
        opened = io.reconstruct([share for _, share in found])
        around_s = sharing_s + time.perf_counter() - start
        timed.append(max(seconds for seconds, _ in found) + (around_s if name == "sum" else 0))
    timed = timed[1:]
    return {
        "work": label,
        "variant": f"{VARIANT}, sharing, adding and opening, without carrying shares" if name == "sum" else VARIANT,
        "seconds": statistics.median(timed),
        "seconds_min": min(timed),
        "seconds_max": max(timed),
        "runs": RUNS,
        "peak_mb": max(everyone(pipes)),
        "error": float(np.abs(np.asarray(opened, np.float64) - plain).max()),
    }


def everyone(pipes: list[Any]) -> list[Any]:
    """What each party says next."""
    return [pipe.recv() for pipe in pipes]


def free_ports() -> list[int]:
    """One for each party."""
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(PARTIES)]
    found = [listener.getsockname()[1] for listener in listeners]
    for listener in listeners:
        listener.close()
    return found


def peak_mb() -> float:
    """The most memory that this process has had."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def main() -> None:
    """Start the parties anew for each work, and print its line."""
    start = multiprocessing.get_context("spawn")
    for name in sys.argv[1].split(","):
        ports, pipes, parties = free_ports(), [start.Pipe() for _ in range(PARTIES)], []
        for place, (_, theirs) in enumerate(pipes):
            parties.append(start.Process(target=party, args=(place, ports, name, theirs), daemon=True))
            parties[-1].start()
            theirs.close()
        print(json.dumps(measured(name, [ours for ours, _ in pipes])), flush=True)
        for one in parties:
            one.join(10)


if __name__ == "__main__":
    main()

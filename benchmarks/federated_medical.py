"""A model of real patients' data, trained alone, federated, federated with differential privacy, and centrally.

scikit-survival's flchain, three sites of uneven size, the same small network, AUC on held-out patients. For each seed
the split and the first weights differ. Trainings run on real nodes (gate, ledger, log, masks) in this process; noise
and keys are the system's. The baseline is the same model trained with the same number of passes on the pooled rows.
"""

from __future__ import annotations

import statistics
import time
from typing import Any

import numpy as np
import report

import stead
from stead.adapters import flchain
from stead.adapters.flchain import FEATURES, TARGET
from stead.adapters.flchain_model import make_model
from stead.cli.demo.story import OPEN_ROUNDS, PRIVATE, PRIVATE_ROUNDS, central_auc
from stead.plans.features import default_encoding, width
from stead.testing import local_network

EPSILON, DELTA = 4.0, 1e-6
WORK = "flchain, death, 3 sites"
FEDERATED_LIMIT, PRIVATE_LIMIT = 0.01, 0.03

Figures = dict[str, float]


def fitted(model: Any, sites: list[Any], score: Any, *, private: bool) -> Figures:
    """One federated training; checks that what was promised is what was charged."""
    began, cpu = time.perf_counter(), time.process_time()
    options: dict[str, Any] = {
        "target": TARGET,
        "features": FEATURES,
        "score": score,
        "silent": True,
        "why": "benchmark",
    }
    if private:
        privacy = stead.epsilon(EPSILON, delta=DELTA)
        run = stead.fit(model, sites, privacy=privacy, rounds=PRIVATE_ROUNDS, **PRIVATE, **options)
    else:
        run = stead.fit(model, sites, privacy=None, rounds=OPEN_ROUNDS, **options)
    epsilon = max(run.epsilon.values())
    assert epsilon <= EPSILON if private else epsilon == float("inf"), epsilon
    return {
        "auc": run.score,
        "seconds": time.perf_counter() - began,
        "cpu_seconds": time.process_time() - cpu,
        "bytes": run.size_bytes,
        "epsilon": epsilon,
    }


def one_seed(seed: int) -> dict[str, list[Figures]]:
    """All trainings of one split."""
    patients, held_out = flchain.split(flchain.load(), seed=seed)
    score = flchain.arrays(held_out)
    with local_network(list(patients)) as network:
        for name, rows in patients.items():
            network.add(flchain.card(name), rows.columns, at=name)
        sites = network.datasets("flchain")
        encoding = default_encoding(sites[0].schema, TARGET, FEATURES)
        model = make_model(width(encoding, sites[0].schema), seed=seed)
        found = {
            "alone": [fitted(model, [site], score, private=False) for site in sites],
            "federated": [fitted(model, sites, score, private=False)],
            "private": [fitted(model, sites, score, private=True)],
        }
    began, cpu = time.perf_counter(), time.process_time()
    auc = central_auc(patients, held_out, seed=seed)
    seconds = time.perf_counter() - began
    return found | {"central": [{"auc": auc, "seconds": seconds, "cpu_seconds": time.process_time() - cpu}]}


def rows_of(found: list[dict[str, list[Figures]]]) -> list[report.Row]:
    """One row for each way of training, over all seeds; ``gap`` is central minus this, mean and worst over seeds."""
    central = [seed["central"][0]["auc"] for seed in found]
    base_seconds = statistics.median(seed["central"][0]["seconds"] for seed in found)
    rows = []
    for variant, limit in (
        ("central", 0.0),
        ("federated", FEDERATED_LIMIT),
        ("private", PRIVATE_LIMIT),
        ("alone", None),
    ):
        runs = [figures for seed in found for figures in seed[variant]]
        means = [float(np.mean([figures["auc"] for figures in seed[variant]])) for seed in found]
        gaps = [whole - mean for whole, mean in zip(central, means, strict=True)]
        seconds = [figures["seconds"] for figures in runs]
        private = variant == "private"
        rows.append(
            report.row(
                WORK,
                "torch" if variant == "central" else "stead",
                variant,
                seconds=statistics.median(seconds),
                seconds_min=min(seconds),
                seconds_max=max(seconds),
                runs=len(runs),
                cpu_seconds=statistics.median(figures["cpu_seconds"] for figures in runs),
                auc=statistics.mean(means),
                auc_by_seed=[round(mean, 4) for mean in means],
                gap=statistics.mean(gaps),
                gap_worst=max(gaps),
                gap_limit=limit,
                epsilon=max(figures["epsilon"] for figures in runs) if private else None,
                delta=DELTA if private else None,
                bytes=statistics.median(figures.get("bytes", 0) for figures in runs) or None,
                baseline="torch central",
                ratio=statistics.median(seconds) / base_seconds,
            )
        )
    return rows


def main() -> None:
    """Five seeds (two with ``--quick``)."""
    chosen = report.arguments(__doc__ or "")
    found = []
    for seed in range(2 if chosen.quick else 5):
        report.progress(f"seed {seed}")
        found.append(one_seed(seed))
    report.emit("federated_medical", rows_of(found), as_json=chosen.json)


if __name__ == "__main__":
    main()

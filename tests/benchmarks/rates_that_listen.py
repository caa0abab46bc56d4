"""Whether rates that cross-validation finds beat a cosine.

    python -m tests.benchmarks.rates_that_listen

From the project's root. Prints a table and writes every number to `results.json`, or where `--out`
says. Every arm is the stage pretrain as it is, on the letters of recipe `quick`; only the schedule
and the number of epochs differ. One seed of an arm gives one network, which is scored on the same
1,000 episodes of each protocol as every other. A difference is taken episode by episode, and the
interval is over the seeds: 95 %, by Student's t.
"""

import argparse
import json
import os
import platform
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import chdir
from csv import DictReader
from pathlib import Path
from typing import Any

import numpy as np
import scipy
import torch
import yaml
from numpy.typing import NDArray

from tasks.artifacts.image_store import ImageStore
from tasks.artifacts.layout import PREPARED, PRETRAINED
from tasks.backbones.build import read_encoder
from tasks.backbones.encoder import embed
from tasks.episodes.sampler import Pool
from tasks.learners.cosine import Cosine
from tasks.learners.scoring import episode_accuracies
from tasks.prepare.stage import prepare
from tasks.pretrain.stage import pretrain
from tasks.progress import untracked
from tests.conftest import ROOT, merged, write_params

EPOCHS = 12
FOLDS = 3
TRAININGS = 1 + 3 * (FOLDS - 1)  # what cross_validation costs, in plain ones
EPISODES = 1000
QUERIES = 5
PROTOCOLS = ((5, 1), (5, 5), (20, 1))
ARMS: dict[str, dict[str, Any]] = {
    "cross_validation": {"schedule": "cross_validation", "epochs": EPOCHS},
    "cosine, as long a training": {"schedule": "cosine", "epochs": EPOCHS},
    "cosine, as much compute": {"schedule": "cosine", "epochs": EPOCHS * TRAININGS},
    "constant, as long a training": {"schedule": "constant", "epochs": EPOCHS},
    "one_cycle, as long a training": {"schedule": "one_cycle", "epochs": EPOCHS},
    "cosine, as long, 3 times the rate": {"schedule": "cosine", "epochs": EPOCHS, "times": 3},
    "cosine, as long, 9 times the rate": {"schedule": "cosine", "epochs": EPOCHS, "times": 9},
}
LISTENS, *OTHERS = ARMS

Accuracies = dict[str, NDArray[np.float64]]


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--learning-rate", type=float, default=0.003)
    parser.add_argument("--out", type=Path, default=Path("results.json"))
    given = parser.parse_args()
    out = given.out.absolute()
    torch.set_num_threads(1)  # networks so small gain nothing from a second
    started = time.monotonic()
    seeds = range(1, given.seeds + 1)
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        prepare(_params(1, {}), untracked)
        runs = [_seed(seed, given.learning_rate) for seed in seeds]
    results = {
        "settings": {
            "epochs": EPOCHS,
            "learning_rate": given.learning_rate,
            "seeds": [*seeds],
            "episodes": EPISODES,
            "queries": QUERIES,
            "threads": torch.get_num_threads(),
            "cores": os.cpu_count(),
            "seconds": round(time.monotonic() - started),
        },
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
        },
        "accuracy": _summary(runs),
        "difference": {other: _differences(runs, other) for other in OTHERS},
        "runs": [
            {arm: {**one, "accuracy": _means(one["accuracy"])} for arm, one in run.items()}
            for run in runs
        ],
    }
    out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    _tell(results)


def _params(seed: int, changes: Mapping[str, Any]) -> Any:
    quick = yaml.safe_load((ROOT / "flows/recipes/quick.yaml").read_text(encoding="utf-8"))
    cross_validation = {"folds": FOLDS, "points": 4, "factor": 3.0, "episodes": 200}
    common = {"seed": seed, "pretrain": {"cross_validation": cross_validation}}
    return write_params(Path(), quick, merged(common, {"pretrain": dict(changes)}))


def _seed(seed: int, learning_rate: float) -> dict[str, dict[str, Any]]:
    """All arms from one seed."""
    found = {}
    for arm, changes in ARMS.items():
        started = time.monotonic()
        settings = {**changes, "learning_rate": learning_rate * changes.get("times", 1)}
        settings.pop("times", None)
        pretrain(_params(seed, settings), untracked)
        found[arm] = {
            "seconds": round(time.monotonic() - started, 1),
            "best_epoch": json.loads((PRETRAINED / "model.json").read_text())["best_epoch"],
            "rates": _chosen_rates(),
            "accuracy": _novel(),
        }
        told = ", ".join(f"{rate:.2g}" for rate in found[arm]["rates"])
        print(f"seed {seed}, {arm}: {_means(found[arm]['accuracy'])} {told}", flush=True)
    return found


def _chosen_rates() -> list[float]:
    path = PRETRAINED / "rates.csv"
    rows = DictReader(path.open(encoding="utf-8")) if path.exists() else ()
    return [float(row["rate"]) for row in rows if row["chosen"] == "1"]


def _novel() -> Accuracies:
    """Accuracy of each of the same episodes of the novel classes, by nearest prototype."""
    novel = ImageStore(PREPARED).read("novel")
    embeddings = embed(read_encoder(PRETRAINED, "pretrain"), novel.images)
    pool = Pool(novel.labels)
    return {
        f"{way}-way {shot}-shot": episode_accuracies(
            Cosine(1.0),
            embeddings,
            pool.draw(
                0,
                EPISODES,
                way=way,
                shot=shot,
                queries=QUERIES,
                seed=0,
                purpose="rates that listen",
            ),
        ).numpy()
        for way, shot in PROTOCOLS
    }


def _means(accuracies: Accuracies) -> dict[str, float]:
    return {name: round(float(each.mean()), 5) for name, each in accuracies.items()}


def _summary(runs: Sequence[dict[str, dict[str, Any]]]) -> dict[str, Any]:
    return {
        arm: {
            name: _interval([run[arm]["accuracy"][name].mean() for run in runs])
            for name in runs[0][arm]["accuracy"]
        }
        for arm in ARMS
    }


def _differences(runs: Sequence[dict[str, dict[str, Any]]], other: str) -> dict[str, Any]:
    """What cross-validation is better by, over the same episodes of the same seed."""
    return {
        name: _interval(
            [(run[LISTENS]["accuracy"][name] - run[other]["accuracy"][name]).mean() for run in runs]
        )
        for name in runs[0][LISTENS]["accuracy"]
    }


def _interval(values: Sequence[float]) -> dict[str, Any]:
    """Mean over the seeds, and half of its 95 % interval."""
    count = len(values)
    half = float("nan")
    if count > 1:
        quantile = float(scipy.stats.t.ppf(0.975, count - 1))
        half = float(quantile * np.std(values, ddof=1) / np.sqrt(count))
    return {
        "mean": round(float(np.mean(values)), 5),
        "interval95": round(half, 5),
        "seeds": [round(float(value), 5) for value in values],
    }


def _tell(results: Mapping[str, Any]) -> None:
    for title in ("accuracy", "difference"):
        for arm, protocols in results[title].items():
            told = "  ".join(
                f"{name} {100 * one['mean']:+.2f} ± {100 * one['interval95']:.2f}"
                for name, one in protocols.items()
            )
            print(f"{title:10} {arm:32} {told}")


if __name__ == "__main__":
    main()

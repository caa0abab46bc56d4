"""Stage evaluate of a MAML run with one worker and with two, one thread each, taking turns.

    python -m tests.benchmarks.evaluate_workers

From the project's root. Noise of 28 pixels, `conv4` of four times 32 filters, five inner steps,
5-way 1-shot with 15 queries: every test episode of three arms adapts a network of its own.
"""

import argparse
import json
import tempfile
from contextlib import chdir
from pathlib import Path
from statistics import median
from typing import Any

from tests.benchmarks.scale import NOISE, run_stage, warm_up, write_store

STAGES = ("pretrain", "metatrain")


def changes(episodes: int, workers: int) -> dict[str, Any]:
    few = {"way": 5, "shot": 1, "queries": 4, "episodes": 20}
    return {
        "prepare": NOISE,
        "pretrain": {"conv4_widths": [32] * 4, "epochs": 1, "selection": few},
        "metatrain": {
            **{"learner": "maml", "inner_steps": 5, "inner_network_learning_rate": 0.05},
            **{"way": 5, "queries": 4, "meta_batch": 1, "steps": 2, "checkpoint_every_steps": 2},
            **{"alone": False, "selection": few},
        },
        "evaluate": {
            **{"episodes": episodes, "queries": 15, "workers": workers, "curve": [], "shots": []},
            "protocols": [{"domain": "novel", "way": 5, "shot": 1}],
            "fine_tuning": {"episodes": 20},
        },
    }


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--episodes", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path())
    given = parser.parse_args()
    out = given.out.absolute()
    warm_up()
    rows = []
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        write_store({"classes": 50, "images": 2000})
        for stage in STAGES:
            run_stage(stage, changes(given.episodes, 1))
        for round_ in range(given.rounds):
            for workers in (1, 2) if round_ % 2 == 0 else (2, 1):
                used = run_stage("evaluate", changes(given.episodes, workers))
                rows.append({"workers": workers, **used})
                print(rows[-1], flush=True)
    wall = {one: [row["wall_s"] for row in rows if row["workers"] == one] for one in (1, 2)}
    ratio = median(wall[1]) / median(wall[2])
    print(f"{given.episodes} episodes: wall of one worker over that of two {ratio:.2f}")
    out.mkdir(parents=True, exist_ok=True)
    result = {"episodes": given.episodes, "runs": rows, "ratio_of_medians": round(ratio, 3)}
    (out / "evaluate_workers.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()

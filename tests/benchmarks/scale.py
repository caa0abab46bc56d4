"""How the cost of each stage grows with images, classes, steps and episodes.

    python -m tests.benchmarks.scale --out docs/records/DATE-scale

From the project's root. Every run of a stage is a process of its own with one thread, on noise of
28 pixels and a small network. What counts is processor time, its own and its workers': other
programs on the machine hardly change it, unlike the wall time that stands beside it.
Writes `results.json`; `tests.benchmarks.scale_chart` draws it.
"""

import argparse
import json
import os
import platform
import resource
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import chdir
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

IMAGES = (1_000, 4_000, 16_000, 64_000)
ALL_STAGES_UP_TO = 16_000  # images; beyond, stage prepare alone
CLASSES = (50, 200, 1_000)
STEPS = (5, 20, 80)
EPISODES = (250, 1_000, 4_000)
USUAL = {"images": 4_000, "classes": 50, "steps": 10, "episodes": 250, "curve_episodes": 30}
STAGES = ("prepare", "pretrain", "metatrain", "evaluate", "export")

Sizes = dict[str, int]
Row = dict[str, Any]


def main() -> None:
    """Measure, fit, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path())
    given = parser.parse_args()
    out = given.out.absolute()
    out.mkdir(parents=True, exist_ok=True)
    warm_up()
    started = time.monotonic()
    rows = []
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        os.environ["HEADSTART_CACHE"] = folder
        for series, sizes, stages in _plan():
            for stage in stages:
                row = {
                    "series": series,
                    "stage": stage,
                    **sizes,
                    **run_stage(stage, _changes(sizes)),
                }
                rows.append(row)
                print({key: row[key] for key in row if key != "curve_episodes"}, flush=True)
    results = {
        "machine": {
            "processor": platform.machine(),
            "python": platform.python_version(),
            "cores": os.cpu_count(),
        },
        "seconds": round(time.monotonic() - started),
        "runs": rows,
        "fits": [
            fit(rows, *which)
            for which in (
                *(("images", stage) for stage in STAGES),
                *(("classes", stage) for stage in STAGES),
                ("steps", "metatrain"),
                ("episodes", "evaluate"),
                ("curve_episodes", "evaluate"),
            )
        ],
    }
    (out / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    for one in results["fits"]:
        print(one)


def _plan() -> Iterator[tuple[str, Sizes, Sequence[str]]]:
    """What is run, in an order in which each finds what it reads: series, sizes and stages."""
    for images in IMAGES:
        whole = images <= ALL_STAGES_UP_TO
        yield "images", {**USUAL, "images": images}, STAGES if whole else STAGES[:1]
    for classes in CLASSES:
        changed = {**USUAL, "images": ALL_STAGES_UP_TO, "classes": classes}
        yield "classes", changed, STAGES
    yield "before", USUAL, STAGES[:2]
    for steps in STEPS:
        yield "steps", {**USUAL, "steps": steps}, STAGES[2:3]
    for episodes in EPISODES:
        yield "episodes", {**USUAL, "episodes": episodes}, STAGES[3:4]
    for episodes in EPISODES:
        yield "curve_episodes", {**USUAL, "curve_episodes": episodes}, STAGES[3:4]


def run_stage(stage: str, changes: dict[str, Any]) -> Row:
    """Run one stage in a process of its own, in the working directory.

    Args:
        stage: its name.
        changes: of the committed params.

    Returns:
        Processor seconds of it and its workers, wall seconds, the most memory that any one of
        these processes held, and the bytes of what it wrote.
    """
    from tests.conftest import write_params

    params = write_params(Path.cwd(), changes)
    started = time.monotonic()
    pid = os.fork()
    if pid == 0:
        os._exit(_in_child(_work_of(stage), params))
    _, status, used = os.wait4(pid, 0)
    if status:
        raise SystemExit(f"{stage}: ended with {status}")
    return {
        "cpu_s": round(used.ru_utime + used.ru_stime, 3),
        "wall_s": round(time.monotonic() - started, 3),
        "peak_mib": round(used.ru_maxrss / 1024),
        "bytes": sum(path.stat().st_size for path in Path("outputs").rglob(f"{stage}/*")),
    }


def _in_child(work: Callable[..., None], params: object) -> int:
    from tasks.progress import untracked

    try:
        work(params, untracked)
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", flush=True)
        return 1
    return 0


def _work_of(stage: str) -> Callable[..., None]:
    module = __import__(f"tasks.{stage}.stage", fromlist=[stage])
    work: Callable[..., None] = getattr(module, stage)
    return work


def warm_up() -> None:
    """Load the code of all stages, once for all children; one thread, or a fork would not do."""
    import torch

    torch.set_num_threads(1)
    for stage in STAGES:
        _work_of(stage)


def _changes(sizes: Sizes) -> dict[str, Any]:
    few = {"way": 5, "shot": 1, "queries": 4, "episodes": 50}
    curve = {"domain": "novel", "way": 5, "shot": 1, "episodes": sizes["curve_episodes"]}
    return {
        "prepare": {
            "source": "fake",
            "framing": "crop",
            "domains": [],
            "splits": {"by": "share", "base": [], "validation": [], "novel": []},
            "fake": {"classes": sizes["classes"], "images": sizes["images"], "image_size_px": 28},
        },
        "pretrain": {
            "conv4_widths": [16, 16, 32, 32],
            "epochs": 1,
            "batch_size": 64,
            "selection": few,
        },
        "metatrain": {
            **{"way": 5, "shot": 1, "queries": 4, "alone": False, "selection": few},
            **{"steps": sizes["steps"], "checkpoint_every_steps": sizes["steps"]},
        },
        "evaluate": {
            "episodes": sizes["episodes"],
            "queries": 4,
            "protocols": [{"domain": "novel", "way": 5, "shot": shot} for shot in (1, 5)],
            "curve": [curve],
            "shots": [],
            "fine_tuning": {"episodes": 20},
        },
        "export": {"teach_page": False},
    }


def fit(rows: Sequence[Row], series: str, stage: str) -> Row:
    """Fit `seconds = a + b n` and `seconds ~ n ** e` to one series of one stage.

    Args:
        rows: as measured.
        series: names the number that grows.
        stage: whose seconds.

    Returns:
        Both with half of their 95 % intervals (Student's t over the residuals).
    """
    mine = [row for row in rows if row["series"] == series and row["stage"] == stage]
    number = np.array([row[series] for row in mine], float)
    seconds = np.array([row["cpu_s"] for row in mine])
    line = stats.linregress(number, seconds)
    power = stats.linregress(np.log(number), np.log(seconds))
    half = stats.t.ppf(0.975, len(mine) - 2)
    return {
        "series": series,
        "stage": stage,
        "points": len(mine),
        "fixed_s": float(line.intercept),
        "fixed_s_interval95": float(half * line.intercept_stderr),
        "s_per_thousand": float(1000 * line.slope),
        "s_per_thousand_interval95": float(1000 * half * line.stderr),
        "exponent": float(power.slope),
        "exponent_interval95": float(half * power.stderr),
    }


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    main()

"""How the cost of each stage grows with images, classes, steps, episodes, ways and shots.

    python -m tests.benchmarks.scale --out docs/records/DATE-scale

From the project's root. Every run of a stage is a process of its own with one thread, on noise of
28 pixels and a small network. What counts is processor time, its own and its workers': other
programs on the machine hardly change it, unlike the wall time that stands beside it. All of it is
run `--rounds` times, one round after the other, so that what the machine does meanwhile falls on
all sizes; lines are fitted through every run. `--series` takes some of the series; rows of a record
that is there already stay beside the new ones.

Writes `results.json`; `tests.benchmarks.scale_chart` draws it.
"""

import argparse
import json
import os
import platform
import resource
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import chdir
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from tasks.artifacts.image_store import ImageClass, Part, write_image_store
from tasks.artifacts.layout import BUNDLE, EVALUATED, METATRAINED, PREPARED, PRETRAINED

IMAGES = (1_000, 4_000, 16_000, 64_000)
CLASSES = (50, 200, 1_000)
OF_CLASSES = 16_000  # images, for the series of classes
SIDE_PX = 28
STEPS = (10, 40, 160)
EPISODES = (250, 1_000, 4_000)
WAYS = (5, 10, 20, 40)
SHOTS = (1, 4, 16)
OF_TASKS = {"images": OF_CLASSES, "classes": 200, "episodes": 4_000}  # for ways and shots
USUAL = {
    **{"images": 4_000, "classes": 50, "steps": 10, "episodes": 250, "curve_episodes": 30},
    **{"way": 5, "shot": 1},
}
MADE = {
    "prepare": PREPARED,
    "pretrain": PRETRAINED,
    "metatrain": METATRAINED,
    "evaluate": EVALUATED,
    "export": BUNDLE,
}
STAGES = tuple(MADE)
TRAINED = ("pretrain", "metatrain", "evaluate")

NOISE = {
    "source": "fake",
    "framing": "crop",
    "domains": [],
    "splits": {"by": "share", "base": [], "validation": [], "novel": []},
}

Sizes = dict[str, int]
Row = dict[str, Any]


def main() -> None:
    """Measure, fit, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path())
    names = [one.__name__[1:] for one in SERIES]
    parser.add_argument("--series", nargs="+", choices=names, default=names)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    record = given.out.absolute() / "results.json"
    record.parent.mkdir(parents=True, exist_ok=True)
    warm_up()
    asked = [one for one in SERIES if one.__name__[1:] in given.series]
    for number in range(given.rounds):
        with tempfile.TemporaryDirectory() as folder, chdir(folder):
            os.environ["HEADSTART_CACHE"] = folder  # empty: every round prepares all images anew
            for row in chain.from_iterable(series() for series in asked):
                numbered = {"round": number, **row}
                print(numbered, flush=True)
                _keep(record, numbered)
    for one in json.loads(record.read_text())["fits"]:
        print(one)


def _prepare() -> Iterator[Row]:
    """Stage prepare against images."""
    for images in IMAGES[:3]:
        yield _row("prepare", "images", {**USUAL, "images": images})


def _images() -> Iterator[Row]:
    """Later stages against images, on stores that are written without stage prepare."""
    for images in IMAGES:
        sizes = {**USUAL, "images": images}
        write_store(sizes)
        # Export reads no image but a few: two points show that.
        for stage in (*TRAINED, "export") if images in IMAGES[::2] else TRAINED:
            yield _row(stage, "images", sizes)


def _classes() -> Iterator[Row]:
    """Against classes."""
    for classes in CLASSES:
        sizes = {**USUAL, "images": OF_CLASSES, "classes": classes}
        write_store(sizes)
        for stage in TRAINED:
            yield _row(stage, "classes", sizes)


def _episodes() -> Iterator[Row]:
    """Against steps of meta-training, episodes of a protocol, and episodes of a curve."""
    write_store(USUAL)
    run_stage("pretrain", _changes(USUAL))
    for steps in STEPS:
        yield _row("metatrain", "steps", {**USUAL, "steps": steps})
    for series in ("episodes", "curve_episodes"):
        for episodes in EPISODES:
            yield _row("evaluate", series, {**USUAL, series: episodes})


def _tasks() -> Iterator[Row]:
    """Against ways and shots of a protocol."""
    sizes = {**USUAL, **OF_TASKS}
    write_store(sizes)
    for stage in TRAINED[:2]:
        run_stage(stage, _changes(sizes))
    for series, numbers in (("way", WAYS), ("shot", SHOTS)):
        for number in numbers:
            yield _row("evaluate", series, {**sizes, series: number})


SERIES = (_prepare, _images, _classes, _episodes, _tasks)


def _row(stage: str, series: str, sizes: Sizes) -> Row:
    return {"series": series, "stage": stage, **sizes, **run_stage(stage, _changes(sizes))}


def _keep(record: Path, row: Row) -> None:
    """Add a row to the record, in place of the same one of an earlier run, and fit anew."""

    def same(other: Row) -> bool:
        keys = ("round", "series", "stage", *USUAL)
        return all(row[key] == other.get(key) for key in keys)

    rows = json.loads(record.read_text())["runs"] if record.exists() else []
    rows = [*(one for one in rows if not same(one)), row]
    which = dict.fromkeys((one["series"], one["stage"]) for one in rows)
    found = {
        "machine": {"python": platform.python_version(), "cores": os.cpu_count()},
        "runs": rows,
        "fits": [one for one in (fit(rows, *which_one) for which_one in which) if one],
    }
    record.write_text(json.dumps(found, indent=1) + "\n")


def write_store(sizes: Mapping[str, int]) -> None:
    """Noise as stage prepare would leave it: three parts of the classes for base, one each else."""
    rng = np.random.default_rng(0)
    folder = PREPARED
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    parts = {}
    for name, share in (("base", 0.6), ("validation", 0.2), ("novel", 0.2)):
        classes, images = (round(share * sizes[key]) for key in ("classes", "images"))
        labels = np.arange(images) % classes
        pixels = rng.integers(0, 256, (images, SIDE_PX, SIDE_PX, 1), np.uint8)
        counts = np.bincount(labels).tolist()
        named = tuple(ImageClass(f"{name} {at}", "", one) for at, one in enumerate(counts))
        parts[name] = Part(pixels, labels, named)
    sizes_of = {"image_size_px": SIDE_PX, "channels": 1}
    write_image_store(
        folder, parts, {"source": "fake", "framing": "crop", "seed": 1, **sizes_of}, []
    )


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
        "bytes": sum(path.stat().st_size for path in MADE[stage].rglob("*") if path.is_file()),
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
    torch.optim.SGD([torch.zeros(1)])  # the first optimizer imports torch's compiler: seconds
    for stage in STAGES:
        _work_of(stage)


def _changes(sizes: Sizes) -> dict[str, Any]:
    fake = {key: sizes[key] for key in ("classes", "images")}
    few = {"way": 5, "shot": 1, "queries": 4, "episodes": 50}
    curve = {"domain": "novel", "way": 5, "shot": 1, "episodes": sizes["curve_episodes"]}
    return {
        "prepare": {**NOISE, "fake": {**fake, "image_size_px": SIDE_PX}},
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
            "protocols": [
                {"domain": "novel", "way": sizes["way"], "shot": sizes["shot"]},
                {"domain": "novel", "way": 5, "shot": 5},
            ],
            "curve": [curve],
            "shots": [],
            "fine_tuning": {"episodes": 20},
        },
        "export": {"teach_page": False},
    }


def fit(rows: Sequence[Row], series: str, stage: str) -> Row | None:
    """Fit `seconds = a + b n` and `seconds ~ n ** e` to one series of one stage.

    Args:
        rows: as measured.
        series: names the number that grows.
        stage: whose seconds.

    Returns:
        Both with half of their 95 % intervals (Student's t over the residuals); nothing of fewer
        than three points.
    """
    mine = [row for row in rows if row["series"] == series and row["stage"] == stage]
    if len(mine) < 3:
        return None
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

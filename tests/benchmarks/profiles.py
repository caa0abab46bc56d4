"""Where each stage of the default spends its time, and the floor below that.

    python -m tests.benchmarks.profiles --out docs/records/DATE-profiles

From the project's root, on a machine that has nothing else to do; some twenty minutes. Every stage
runs three times, each time in a process of its own with one thread for torch: as it is; with
torch's operations counted; and under a profiler, torch's own for the stages that train and Python's
for the others. Both look at one thread, and torch's keeps every operation in memory, of which
evaluate has too many. So what a stage gives to other threads and processes is done in its own
there, and the stages that train take fewer steps: their operations are counted over these and
multiplied up, which counts what is done once as often.

The floor is the larger of operations over rate and bytes over bandwidth. Operations are those of
convolutions and matrix products, forward and backward, over the rate of a large matrix product;
export's are not counted. Bytes are what the stage reads of its inputs and writes, each once, over
the rate of a large copy.
"""

import argparse
import cProfile
import json
import os
import pstats
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import nullcontext
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from tasks.artifacts.user_cache import FOLDER_VARIABLE
from tasks.evaluate import fan_out
from tasks.export.teach.runtime import fetch_runtime
from tasks.inputs import declared_stages
from tasks.params_file import load_params
from tasks.prepare import rendering
from tasks.progress import untracked
from tests.benchmarks.turns import taking_turns, timed
from tests.conftest import ROOT

STAGES = {"prepare": False, "pretrain": True, "metatrain": True, "evaluate": False, "export": False}
WAYS = ("counted", "profiled", "plain")  # the last leaves the outputs that the next stage reads
LINES = 12
SHORTER = {"pretrain": {"epochs": 1}, "metatrain": {"steps": 15}}  # than params.yaml has it


def main() -> None:
    """Measure all stages, or, in a child, one of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path())
    parser.add_argument("--stage", choices=STAGES)
    parser.add_argument("--way", choices=WAYS)
    given = parser.parse_args()
    if given.stage:
        print(json.dumps(_one(given.stage, given.way)))
        return
    given.out.mkdir(parents=True, exist_ok=True)
    found: dict[str, Any] = {"machine": _machine(), "stages": {}}
    with tempfile.TemporaryDirectory() as folder:
        for name in ("params.yaml", "dvc.yaml"):
            shutil.copy(ROOT / name, folder)
        for way in WAYS:  # what is kept between runs is there; embeddings are each way's own
            fetch_runtime(Path(folder) / way)
        for stage in STAGES:
            told = {way: _child(stage, way, folder) for way in WAYS}
            row = told["plain"] | told["counted"] | told["profiled"]
            row["imports_s"] = _imports_s(stage)
            row["floor_s"] = max(
                row["operations"] / found["machine"]["operations_a_s"],
                row["bytes"] / found["machine"]["bytes_a_s"],
            )
            found["stages"][stage] = row
            _tell(stage, row)
            (given.out / "profiles.json").write_text(json.dumps(found, indent=1) + "\n")


def _tell(stage: str, row: dict[str, Any]) -> None:
    floor = f"{row['floor_s']:.2f} s ({row['operations']:.3g} operations, {row['bytes']:.3g} bytes)"
    spent = f"{row['wall_s']:.1f} s after {row['imports_s']:.1f} s of imports"
    print(f"{stage}: {spent}, {row['cpu_s']:.1f} s of processor, floor {floor}", flush=True)
    for line in row["profile"]:
        print(f"  {line['share']:6.1%}  {line['calls']:>9,}  {line['name']}")


def _child(stage: str, way: str, folder: str) -> dict[str, Any]:
    words = [sys.executable, "-m", "tests.benchmarks.profiles", "--stage", stage, "--way", way]
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    done = subprocess.run(
        words,
        cwd=folder,
        env=os.environ
        | {"PYTHONPATH": path, "OMP_WAIT_POLICY": "PASSIVE", FOLDER_VARIABLE: f"{folder}/{way}"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def _imports_s(stage: str) -> float:
    """What a process takes to start and to import the stage: the least of three."""
    words = [sys.executable, "-c", f"import tasks.{stage}.stage"]
    return min(timed(lambda: subprocess.run(words, cwd=ROOT, check=True)) for _ in range(3))


def _one(stage: str, way: str) -> dict[str, Any]:
    module = __import__(f"tasks.{stage}.stage", fromlist=[stage])
    params, share = load_params(), 1.0
    if way != "plain":
        rendering.process_pool = lambda *_: _Here()  # type: ignore[assignment, attr-defined]
        fan_out.ThreadPoolExecutor = _Here  # type: ignore[assignment, misc, attr-defined]
        for name, fewer in SHORTER.get(stage, {}).items():
            share = fewer / getattr(getattr(params, stage), name)
            section = getattr(params, stage).model_copy(update={name: fewer})
            params = params.model_copy(update={stage: section})

    def work() -> None:
        getattr(module, stage)(params, untracked)

    if way == "counted":
        return _counted(stage, work, share)
    if way == "profiled":
        return {"profile": _by_torch(work) if STAGES[stage] else _by_python(work)}
    started, before = time.perf_counter(), _processor_s()
    work()
    wall_s, cpu_s = time.perf_counter() - started, _processor_s() - before
    return {"wall_s": wall_s, "cpu_s": cpu_s}


def _counted(stage: str, work: Callable[[], None], share: float) -> dict[str, Any]:
    """Operations of torch, and bytes of files that the stage reads and writes.

    Args:
        stage: its name.
        work: does it, or a share of it, in this thread.
        share: of its steps that are taken.
    """
    counter = FlopCounterMode(display=False)
    # Export traces graphs with symbols for sizes, of which the counter makes no number.
    with nullcontext() if stage == "export" else counter:
        work()
    declared = declared_stages()[stage]
    files = [one for name in (*declared.deps, *declared.outs) for one in _files(Path(name))]
    data = [one for one in files if one.suffix != ".py"]
    return {
        "operations": counter.get_total_flops() / share,
        "bytes": sum(one.stat().st_size for one in data),
    }


def _files(path: Path) -> list[Path]:
    return [one for one in (path, *path.rglob("*")) if one.is_file()]


def _by_torch(work: Callable[[], None]) -> list[dict[str, Any]]:
    """The operations that take most processor time by themselves."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profiler:
        work()
    averages = profiler.key_averages()
    whole = sum(one.self_cpu_time_total for one in averages)
    dearest = sorted(averages, key=lambda one: -one.self_cpu_time_total)[:LINES]
    return [
        {"name": one.key, "calls": one.count, "share": one.self_cpu_time_total / whole}
        for one in dearest
    ]


class _Here:
    """Stands in for a pool of processes or threads: does their work here, where it is seen."""

    def __init__(self, *_: object, **__: object) -> None:
        """Takes what a pool takes, and starts nothing."""

    def __enter__(self) -> "_Here":
        return self

    def __exit__(self, *_: object) -> None:
        """There is nothing to stop."""

    def map(self, work: Callable[..., Any], *items: Any, chunksize: int) -> Iterator[Any]:
        del chunksize
        return map(work, *items)

    def submit(self, work: Callable[..., Any], *items: Any) -> Future[Any]:
        done: Future[Any] = Future()
        done.set_result(work(*items))
        return done

    def shutdown(self, **_: object) -> None:
        """There is nothing to stop."""


def _by_python(work: Callable[[], None]) -> list[dict[str, Any]]:
    """The functions that take most time by themselves, those of workers included."""
    profiler = cProfile.Profile()
    profiler.runcall(work)
    stats: dict[Any, Any] = pstats.Stats(profiler).stats  # type: ignore[attr-defined]
    whole = sum(one[2] for one in stats.values())
    dearest = sorted(stats.items(), key=lambda item: -item[1][2])[:LINES]
    return [
        {"name": f"{Path(file).name} {name}", "calls": one[1], "share": one[2] / whole}
        for (file, _, name), one in dearest
    ]


def _machine() -> dict[str, Any]:
    """What two large and simple pieces of work reach here."""
    one, other = torch.rand(2, 2048, 2048)
    there, here = torch.zeros(2, 2**26)
    (multiplied,) = taking_turns(lambda: one @ other, rounds=9)
    (copied,) = taking_turns(lambda: here.copy_(there), rounds=9)
    return {
        "operations_a_s": 2 * 2048**3 / median(multiplied),
        "bytes_a_s": 2 * here.numel() * here.element_size() / median(copied),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": sys.version.split()[0],
    }


def _processor_s() -> float:
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


if __name__ == "__main__":
    main()

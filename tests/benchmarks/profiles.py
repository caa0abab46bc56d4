"""Where each stage of the default spends its time, and the floor below that.

    python -m tests.benchmarks.profiles --out docs/records/DATE-profiles

From the project's root, on a machine that has nothing else to do; some fifteen minutes. Every stage
runs three times, each time in a process of its own: as it is; with torch's operations counted; and
under a profiler, torch's own for the stages that compute and Python's for the two that do not.
torch's keeps every operation in memory, so that the stages that train take fewer steps under it.

The floor is the larger of operations over rate and bytes over bandwidth. Operations are those of
convolutions and matrix products, forward and backward, over the rate of a large matrix product.
Bytes are what the stage reads of its inputs and writes, each once, over the rate of a large copy.
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
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from tasks.inputs import declared_stages
from tasks.params_file import load_params
from tasks.prepare import rendering
from tasks.progress import untracked
from tests.benchmarks.turns import taking_turns
from tests.conftest import ROOT

STAGES = {"prepare": False, "pretrain": True, "metatrain": True, "evaluate": True, "export": False}
WAYS = ("plain", "counted", "profiled")
LINES = 12
SHORTER = {"pretrain": {"epochs": 1}, "metatrain": {"steps": 15}}


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
    found: dict[str, Any] = {"machine": _machine(), "stages": {}}
    with tempfile.TemporaryDirectory() as folder:
        for name in ("params.yaml", "dvc.yaml"):
            shutil.copy(ROOT / name, folder)
        for stage in STAGES:
            told = {way: _child(stage, way, folder) for way in WAYS}
            row = told["plain"] | told["counted"] | {"profile": told["profiled"]["profile"]}
            row["floor_s"] = max(
                row["operations"] / found["machine"]["operations_a_s"],
                row["bytes"] / found["machine"]["bytes_a_s"],
            )
            found["stages"][stage] = row
            _tell(stage, row)
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "profiles.json").write_text(json.dumps(found, indent=1) + "\n")


def _tell(stage: str, row: dict[str, Any]) -> None:
    floor = f"{row['floor_s']:.2f} s ({row['operations']:.3g} operations, {row['bytes']:.3g} bytes)"
    print(f"{stage}: {row['wall_s']:.1f} s, {row['cpu_s']:.1f} s of processor, floor {floor}")
    for line in row["profile"]:
        print(f"  {line['share']:6.1%}  {line['calls']:>9,}  {line['name']}")


def _child(stage: str, way: str, folder: str) -> dict[str, Any]:
    words = [sys.executable, "-m", "tests.benchmarks.profiles", "--stage", stage, "--way", way]
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    done = subprocess.run(
        words,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": path, "OMP_WAIT_POLICY": "PASSIVE"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def _one(stage: str, way: str) -> dict[str, Any]:
    module = __import__(f"tasks.{stage}.stage", fromlist=[stage])
    params = load_params()

    def work() -> None:
        getattr(module, stage)(params, untracked)

    if way == "counted":
        return _counted(stage, work)
    if way == "profiled":
        shorter = getattr(params, stage).model_copy(update=SHORTER.get(stage, {}))
        params = params.model_copy(update={stage: shorter})
        return {"profile": _by_torch(work) if STAGES[stage] else _by_python(work)}
    started, before = time.perf_counter(), _processor_s()
    work()
    return {"wall_s": time.perf_counter() - started, "cpu_s": _processor_s() - before}


def _counted(stage: str, work: Callable[[], None]) -> dict[str, Any]:
    """Operations of torch in this thread, and bytes of files that the stage reads and writes."""
    with FlopCounterMode(display=False) as counter:
        work()
    declared = declared_stages()[stage]
    files = [one for name in (*declared.deps, *declared.outs) for one in _files(Path(name))]
    data = [one for one in files if one.suffix != ".py"]
    return {
        "operations": counter.get_total_flops(),
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
    """Stands in for a pool of processes: does their work in this one, where it is seen."""

    def __enter__(self) -> "_Here":
        return self

    def __exit__(self, *_: object) -> None:
        """There is nothing to stop."""

    def map(self, work: Callable[..., Any], *items: Any, chunksize: int) -> Iterator[Any]:
        del chunksize
        return map(work, *items)


def _by_python(work: Callable[[], None]) -> list[dict[str, Any]]:
    """The functions that take most time by themselves, those of workers included."""
    rendering.process_pool = lambda *_: _Here()  # type: ignore[assignment, attr-defined]
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

"""Stages that train on several processes: the same model, and nothing left behind."""

import csv
import json
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from safetensors.torch import load_file

from tasks.artifacts.checkpoints import FOLDER
from tasks.launcher import FOLDER as RANKS
from tasks.params import Params
from tests.conftest import ROOT
from tests.integration.test_resume import (
    LONGER,
    outputs,
    start,
    written,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

TIMEOUT_S = 280  # three or more processes start Python and torch on two cores

Project = Callable[..., Params]


def project(tiny_project: Project, changes: dict[str, Any], processes: int = 2) -> None:
    sections = {name: {"processes": processes} for name in ("pretrain", "metatrain")}
    for name, section in changes.items():
        sections[name] |= section
    tiny_project(**sections)
    shutil.copytree(ROOT / "tasks", "tasks", ignore=shutil.ignore_patterns("__pycache__"))


def finish(process: subprocess.Popen[str]) -> str:
    output, _ = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0, output
    return output


def alone() -> None:
    text = Path("params.yaml").read_text()
    Path("params.yaml").write_text(text.replace("processes: 2", "processes: 1"))


def ranks_of(stage: subprocess.Popen[str]) -> list[psutil.Process]:
    """The processes that train, without what multiprocessing keeps beside them."""
    below = psutil.Process(stage.pid).children(recursive=True)
    return [one for one in below if any("spawn_main" in word for word in one.cmdline())]


def wait_for_checkpoint(stage: str, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not written(stage):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline, "no checkpoint was kept in time"
        time.sleep(0.005)


def test_two_processes_make_the_model_of_one(tiny_project: Project) -> None:
    project(tiny_project, {})
    told = [finish(start(stage)) for stage in ("pretrain", "metatrain")]
    assert all("2 processes of 1 thread(s) each" in one for one in told)
    together = weights()
    histories = [accuracies(stage) for stage in ("pretrain", "metatrain")]
    alone()
    for stage in ("pretrain", "metatrain"):
        assert "processes" not in finish(start(stage))
    for name, value in weights().items():
        torch.testing.assert_close(together[name], value, rtol=1e-4, atol=1e-5, msg=name)
    assert histories == [accuracies(stage) for stage in ("pretrain", "metatrain")]


def weights() -> dict[str, torch.Tensor]:
    files = sorted(Path("outputs").glob("*train/**/*.safetensors"))
    return {f"{file}: {key}": one for file in files for key, one in load_file(file).items()}


def accuracies(stage: str) -> list[str]:
    with Path("outputs", stage, "history.csv").open() as file:
        return [row["validation_accuracy"] for row in csv.DictReader(file)]


@pytest.mark.parametrize("stage", list(LONGER))
def test_a_killed_rank_starts_again_from_the_checkpoint(tiny_project: Project, stage: str) -> None:
    project(tiny_project, LONGER[stage])
    if stage == "metatrain":
        finish(start("pretrain"))
    finish(start(stage))
    through = outputs(stage)
    shutil.rmtree(Path("outputs", stage))
    process = start(stage)
    wait_for_checkpoint(stage, process)
    ranks_of(process)[1].send_signal(signal.SIGKILL)
    told = finish(process)
    assert "a process was lost; start 2 of 4" in told
    assert "resumed at" in told
    assert outputs(stage) == through
    assert not (FOLDER / stage).exists()


@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=str)
def test_a_stage_dies_whole_and_goes_on_later(tiny_project: Project, by: signal.Signals) -> None:
    project(tiny_project, {"pretrain": {"epochs": 120}})
    process = start("pretrain")
    wait_for_checkpoint("pretrain", process)
    family = psutil.Process(process.pid).children(recursive=True)
    assert len(ranks_of(process)) == 2
    process.send_signal(by)
    told, _ = process.communicate(timeout=TIMEOUT_S)
    assert "Traceback" not in told
    assert process.returncode == (130 if by == signal.SIGINT else -by)
    assert not psutil.wait_procs(family, timeout=20)[1]
    assert not Path("outputs/pretrain").exists()
    assert "resumed at" in finish(start("pretrain"))
    assert not any(RANKS.iterdir())


def test_a_fault_of_the_user_is_one_line(tiny_project: Project) -> None:
    project(tiny_project, {})
    manifest = Path("outputs/prepare/manifest.json")
    content = json.loads(manifest.read_text())
    manifest.write_text(json.dumps(content | {"format": 99}))
    process = start("pretrain")
    told, _ = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 2, told
    assert "Traceback" not in told and "lost" not in told
    assert told.count("manifest.json") == 1

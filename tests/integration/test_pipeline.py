"""The five real stages, on few letters and small networks, through both doors."""

import json
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest
import yaml

from tasks.run_lock import NOTE_FILE
from tests.integration.conftest import Server, Toy, checkout

pytestmark = pytest.mark.slow

STAGES = ["prepare", "pretrain", "metatrain", "evaluate", "export"]


@dataclass(frozen=True)
class Doors:
    """Two checkouts with caches of their own: one was run by DVC, the other by the flow."""

    bare: Toy
    flow: Toy


@pytest.fixture(scope="module")
def doors(tmp_path_factory: pytest.TempPathFactory, server: Server) -> Iterator[Doors]:
    folder = tmp_path_factory.mktemp("pipeline")
    both = Doors(checkout(folder / "bare", server), checkout(folder / "flow", server))
    code, output = both.bare.run("dvc", "repro")
    assert code == 0, output
    code, output = both.flow.run("headstart", "run")
    assert code == 0, output
    yield both
    both.bare.clean_up()
    both.flow.clean_up()


def stages_run(output: str) -> list[str]:
    lines = [line for line in output.splitlines() if line.startswith("Running stage")]
    return [line.split("'")[1] for line in lines]


def test_both_doors_make_the_same_bytes_from_empty_caches(doors: Doors) -> None:
    assert doors.bare.lock_bytes() == doors.flow.lock_bytes()
    assert list(yaml.safe_load(doors.bare.lock_bytes())["stages"]) == STAGES


def test_the_other_door_finds_nothing_to_do(doors: Doors) -> None:
    _, output = doors.bare.run("headstart", "run")
    assert all(f"{stage}: up to date" in output for stage in STAGES), output
    _, output = doors.flow.run("dvc", "repro")
    assert stages_run(output) == []


def test_prefect_keeps_stages_metrics_and_model_card(doors: Doors, server: Server) -> None:
    with httpx.Client(base_url=server.api, timeout=30) as api:
        kept = api.post("/artifacts/latest/filter", json={}).raise_for_status().json()
    by_key = {one["key"]: one["data"] for one in kept}
    stages = json.loads(by_key["training-stages"])
    assert [row["stage"] for row in stages] == STAGES
    assert {row["state"] for row in stages} <= {"ran", "restored", "up to date"}
    metrics = json.loads(by_key["training-metrics"])
    assert {"episodes of", "start", "accuracy %", "last run %", "change"} <= set(metrics[0])
    assert by_key["model-card"].startswith("# glyphs: learns image classes")
    assert (doors.flow.root / "exports/bundle/MODEL_CARD.md").read_text() in by_key["model-card"]


def test_a_changed_param_of_export_reruns_export_alone(doors: Doors) -> None:
    doors.bare.change_params("name: glyphs", "name: renamed")
    _, output = doors.bare.run("dvc", "repro")
    assert stages_run(output) == ["export"]
    doors.bare.change_params("name: renamed", "name: glyphs")
    code, _ = doors.bare.run("dvc", "repro")
    assert code == 0
    assert doors.bare.lock_bytes() == doors.flow.lock_bytes()


def test_a_folder_that_cannot_be_written_to_is_one_line_and_nothing_is_lost(doors: Doors) -> None:
    exports = doors.flow.root / "exports"
    kept = exports.rename(doors.flow.root / "exports-kept")
    before = {path.name: path.read_bytes() for path in kept.glob("bundle/*")}
    # A folder of the kernel: nobody, not even root, makes files there.
    exports.symlink_to("/sys/kernel")
    code, output = doors.flow.run("python", "-m", "tasks.export")
    exports.unlink()
    kept.rename(exports)
    assert code == 2
    assert "Traceback" not in output
    assert output.splitlines()[-1].startswith("export: exports/")
    assert {path.name: path.read_bytes() for path in exports.glob("bundle/*")} == before


@pytest.mark.parametrize("stage", STAGES)
def test_kill_9_of_a_stage_loses_nothing_and_the_next_run_goes_on(doors: Doors, stage: str) -> None:
    project = doors.bare
    lock = project.lock_bytes()
    outs = {path: path.read_bytes() for path in files(project.root)}
    process = project.start("dvc", "repro", "--force", "--single-item", stage)
    # The note of the run lock: the stage is past its start and at work.
    project.wait_until(lambda: f"tasks.{stage}" in note(project))
    for one in stage_processes(project, stage):
        one.send_signal(signal.SIGKILL)
    code, output = project.finish(process)
    assert code != 0, output
    project.wait_until_alone()
    assert project.lock_bytes() == lock
    code, output = project.run("dvc", "checkout", "--force")
    assert code == 0, output
    assert {path: path.read_bytes() for path in files(project.root)} == outs
    code, output = project.run("dvc", "repro", "--force", "--single-item", stage)
    assert code == 0, output
    assert project.lock_bytes() == lock, "a forced rerun gives the same bytes"


def note(project: Toy) -> str:
    try:
        return (project.root / NOTE_FILE).read_text()
    except OSError:
        return ""


def files(root: Path) -> list[Path]:
    return sorted(
        path
        for folder in ("outputs", "exports")
        for path in (root / folder).rglob("*")
        if path.is_file() and ".partial" not in str(path)
    )


def stage_processes(project: Toy, stage: str) -> list[psutil.Process]:
    return [one for one in project.processes() if f"tasks.{stage}" in " ".join(one.cmdline())]

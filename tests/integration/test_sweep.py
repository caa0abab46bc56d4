"""Sweeps: a clone a trial, stages that no override touches restored, and the winner adopted."""

from __future__ import annotations

import csv
import json
import re
import shutil
import signal
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tasks.params_file import load_params
from tests.conftest import ROOT
from tests.integration.test_recipes import commit
from tests.repository import git

if TYPE_CHECKING:
    from tests.integration.conftest import Toy

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]  # a trial is a process, as slow as any

GRID: dict[str, Any] = {"grid": {"evaluate.queries": [5, 7], "evaluate.episodes": [100, 200]}}
EVALUATE = {
    "cmd": "python toy_evaluate.py",
    "deps": ["toy_evaluate.py", "work_s", "outs/third"],
    "params": ["seed", "evaluate"],
    "outs": ["outputs/evaluate"],
}


@pytest.fixture
def project(toy: Toy) -> Iterator[Toy]:
    """The toy with a stage `evaluate`, everything committed and up to date."""
    shutil.copy(ROOT / "tests/integration/toy_evaluate.py", toy.root)
    (toy.root / "work_s").write_text("0\n")
    with (toy.root / ".gitignore").open("a") as ignored:
        ignored.write("/runs/\n/outputs/\n/starts\n/hold-*\n__pycache__/\n")
    pipeline = yaml.safe_load((toy.root / "dvc.yaml").read_text())
    pipeline["stages"]["evaluate"] = EVALUATE
    (toy.root / "dvc.yaml").write_text(yaml.safe_dump(pipeline, sort_keys=False))
    shutil.copy(ROOT / "params.yaml", toy.root)
    commit(toy)
    code, output = toy.run("headstart", "run")
    assert code == 0, output
    commit(toy)
    (toy.root / "starts").unlink()
    yield toy
    for folder in toy.root.glob("runs/*"):
        type(toy)(folder, toy.env).clean_up()


def ask(project: Toy, asked: dict[str, Any], name: str = "few.yaml") -> None:
    (project.root / name).write_text(yaml.safe_dump(asked, sort_keys=False))


def results(project: Toy, name: str = "few") -> list[dict[str, str]]:
    with (project.root / "outputs" / "sweep" / name / "trials.csv").open() as file:
        return list(csv.DictReader(file))


def reached(project: Toy, name: str = "few") -> dict[str, str]:
    return {row["overrides"]: row["value"] for row in results(project, name)}


def starts(project: Toy) -> int:
    """How many trials really evaluated."""
    return sum(len(one.read_text().split()) for one in project.root.glob("runs/*/starts"))


def test_stages_that_no_override_touches_are_restored_in_every_trial(project: Toy) -> None:
    ask(project, GRID | {"workers": 2})
    commit(project)
    before = (project.root / "params.yaml").read_bytes(), project.lock_bytes()
    code, output = project.run("headstart", "sweep", "few.yaml")
    assert code == 0, output
    rows = results(project)
    assert [row["stages"] for row in rows] == ["3 restored, 1 ran"] * 4
    assert not list(project.root.glob("runs/*/log")), "a stage of training ran"
    assert [row["overrides"] for row in rows] == [
        "evaluate.queries=7 evaluate.episodes=200",
        "evaluate.queries=7 evaluate.episodes=100",
        "evaluate.queries=5 evaluate.episodes=200",
        "evaluate.queries=5 evaluate.episodes=100",
    ]
    assert [float(row["value"]) for row in rows] == pytest.approx([0.2, 0.1, 0.2 / 3, 0.1 / 3])
    assert ((project.root / "params.yaml").read_bytes(), project.lock_bytes()) == before
    assert git(project.root, "status", "--porcelain") == ""
    assert f"best: {rows[0]['trial']}; " in output and "not committed" not in output
    page = (project.root / "outputs/sweep/few/index.html").read_text()
    assert all(row["trial"] in page for row in rows) and page.count("<svg") == 3
    assert not re.search(r"(?:src|href)=", page.replace('href="#', "")), "a page of its own"

    # The same command again runs nothing, and more values run just those that are new.
    code, output = project.run("headstart", "sweep", "few.yaml")
    assert code == 0, output
    assert [row["state"] for row in results(project)] == ["finished before"] * 4
    more = {"grid": {"evaluate.queries": [5, 7], "evaluate.episodes": [100, 200, 300]}}
    ask(project, more)
    code, output = project.run("headstart", "sweep", "few.yaml")
    assert code == 0, output
    assert starts(project) == 6

    # The winner: its overrides and nothing else, all else of params.yaml as it was.
    winner = results(project)[0]["trial"]
    code, output = project.run("headstart", "adopt", winner)
    assert (code, output) == (0, "evaluate.episodes: 300\nevaluate.queries: 7\n")
    assert git(project.root, "diff", "--numstat", "params.yaml").split()[:2] == ["2", "2"]
    params = load_params(project.root / "params.yaml")
    assert (params.evaluate.queries, params.evaluate.episodes) == (7, 300)
    assert project.lock_bytes() == before[1], "adopted more than params"
    code, output = project.run("headstart", "run")
    assert code == 0, output
    assert not (project.root / "starts").exists() and project.starts() == []
    assert "evaluate: restored" in output


def test_a_failed_trial_is_told_and_the_others_go_on(project: Toy) -> None:
    ask(project, {"grid": {"evaluate.queries": [13, 7, 5]}})
    code, output = project.run("headstart", "sweep", "few.yaml")
    assert code == 1, output
    assert "evaluate: thirteen: a fault on purpose" in output
    assert "1 of 3 trials failed; the same command runs those again" in output
    assert "Traceback" not in output
    assert [row["state"] for row in results(project)] == ["finished", "finished", "failed"]
    code, output = project.run("headstart", "sweep", "few.yaml")
    assert code == 1, output
    assert starts(project) == 4, "the two that finished were run again"
    failed = results(project)[2]["trial"]
    code, output = project.run("headstart", "adopt", failed)
    assert code == 2 and f"{failed}: has not reached its end: evaluate: thirteen" in output


def test_what_the_metrics_lack_fails_the_trials_by_name(project: Toy) -> None:
    ask(project, {"grid": {"evaluate.queries": [7]}, "metric": "results.novel.accuracy.mta"})
    code, output = project.run("headstart", "sweep", "few.yaml")
    assert code == 1
    assert "no results.novel.accuracy.mta; results.novel.accuracy holds meta" in output
    # Nothing has to be run again for another metric.
    ask(project, {"grid": {"evaluate.queries": [7]}, "metric": "results.novel.accuracy.meta"})
    code, output = project.run("headstart", "sweep", "few.yaml")
    assert code == 0, output
    assert starts(project) == 1


def test_a_search_that_was_stopped_goes_on_with_the_same_trials(project: Toy) -> None:
    space = {"evaluate.queries": {"low": 2, "high": 12}, "evaluate.episodes": [100, 200]}
    asked = {"search": {"trials": 3, "space": space}}
    (project.root / "work_s").write_text("2\n")
    ask(project, asked)
    ask(project, asked, "whole.yaml")
    commit(project)
    code, output = project.run("headstart", "run")  # with the new work_s
    stopped = project.start("headstart", "sweep", "few.yaml")
    project.wait_until(lambda: starts(project) == 2 or stopped.poll() is not None)
    stopped.send_signal(signal.SIGTERM)
    code, output = project.finish(stopped)
    assert code == 143, output
    for folder in project.root.glob("runs/*"):
        type(project)(folder, project.env).wait_until_alone()
    code, output = project.run("headstart", "sweep", "few.yaml")
    assert code == 0, output
    assert sum(row["state"] == "finished before" for row in results(project)) == 1
    code, output = project.run("headstart", "sweep", "whole.yaml")
    assert code == 0, output
    assert reached(project) == reached(project, "whole")
    assert len(reached(project)) == 3


def test_a_killed_sweep_leaves_no_process_and_no_lock(project: Toy) -> None:
    (project.root / "work_s").write_text("600\n")
    ask(project, GRID | {"workers": 2})
    commit(project)
    killed = project.start("headstart", "sweep", "few.yaml")
    project.wait_until(lambda: starts(project) == 2 or killed.poll() is not None)
    killed.kill()
    project.finish(killed)
    for folder in project.root.glob("runs/*"):
        type(project)(folder, project.env).wait_until_alone()
    (project.root / "work_s").write_text("0\n")
    commit(project)
    code, output = project.run("headstart", "sweep", "few.yaml", "--wait-s", "0")
    assert code == 0, output


def test_a_run_in_a_clone_makes_its_trial_wait_and_say_for_whom(project: Toy) -> None:
    ask(project, {"grid": {"export.name": ["held"]}})
    code, output = project.run("headstart", "sweep", "few.yaml")
    assert code == 0, output
    (name,) = (row["trial"] for row in results(project))
    clone = type(project)(project.root / "runs" / name, project.env)
    held = clone.hold("third")
    one = project.start("headstart", "run", "--set", "export.name=other", "--name", name)
    clone.started.append(one)
    clone.wait_for_start("third", times=2)
    code, output = project.run("headstart", "sweep", "few.yaml", "--wait-s", "0")
    assert code == 1 and f"{name}: failed: the project is busy: flow run" in output
    two = project.start("headstart", "sweep", "few.yaml")
    assert two.stdout is not None
    assert any(f"{name}: waiting for flow run" in line for line in two.stdout)
    held.unlink()
    assert project.finish(one)[0] == 0
    assert project.finish(two)[0] == 0


def test_dask_and_threads_reach_the_same(project: Toy) -> None:
    """A cluster of two worker processes on loopback."""
    pytest.importorskip("prefect_dask")
    space = {"evaluate.queries": {"low": 2, "high": 12}}
    asked = {"search": {"trials": 3, "space": space}, "workers": 2}
    ask(project, asked, "threads.yaml")
    ask(project, asked | {"runner": "dask"}, "dask.yaml")
    for name in ("threads", "dask"):
        code, output = project.run("headstart", "sweep", f"{name}.yaml")
        assert code == 0, output
        assert "Traceback" not in output, output
    assert reached(project, "threads") == reached(project, "dask")
    stages = [row["stages"] for row in results(project, "dask")]
    assert stages.count("3 restored, 1 ran") + stages.count("4 restored") == 3
    note = json.loads(next(project.root.glob("runs/dask-*/.headstart/overrides.json")).read_text())
    assert note["settings"]

"""Runs with overrides: clones that leave the project alone and share what they can with it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tasks.params_file import load_params
from tests.conftest import ROOT
from tests.repository import git

if TYPE_CHECKING:
    from tests.integration.conftest import Toy

pytestmark = pytest.mark.slow

SET = ("--set", "export.name=2024", "--name", "other")


def commit(toy: Toy) -> None:
    git(toy.root, "add", "--all")
    git(toy.root, "commit", "-qm", "Change")


def states(output: str) -> list[str]:
    """The states of the three stages, from the lines `STAGE: STATE, N s`."""
    found = dict(line.split(": ", 1) for line in output.splitlines() if line.count(": ") == 1)
    return [found[name].partition(",")[0] for name in ("first", "second", "third")]


@pytest.fixture
def project(toy: Toy) -> Toy:
    """The toy with everything committed, and every stage up to date."""
    with (toy.root / ".gitignore").open("a") as ignored:
        ignored.write("/runs/\n/hold-*\n__pycache__/\n")
    commit(toy)
    return toy


@pytest.fixture
def clone(project: Toy) -> Iterator[Toy]:
    """The run `other`, as a toy of its own to look into."""
    inside = type(project)(project.root / "runs" / "other", project.env)
    yield inside
    inside.clean_up()


def test_a_run_with_overrides_leaves_the_project_alone_and_the_same_again_is_up_to_date(
    project: Toy, clone: Toy
) -> None:
    outs, lock = project.outputs(), project.lock_bytes()
    inside = project.root / "some" / "folder"
    inside.mkdir(parents=True)
    words = ("sh", "-c", f"cd some/folder && headstart run {' '.join(SET)}")
    code, output = project.finish(_start_anything(project, *words))
    assert code == 0, output
    # The first two need nothing that was overridden, and the project's cache holds them.
    assert states(output) == ["restored", "restored", "ran"]
    assert clone.outputs()["third"] == "source\nfirst 1 glyphs\nsecond 1 glyphs\nthird 1 2024\n"
    assert load_params(clone.root / "params.yaml").export.name == "2024"
    assert git(project.root, "status", "--porcelain") == ""
    assert (project.outputs(), project.lock_bytes()) == (outs, lock)
    # Paths as they are written where the command was given.
    assert "report: ../../runs/other/outputs/evaluate/report.html\n" in output
    assert "bundle: ../../runs/other/exports/bundle\n" in output
    assert "not committed" not in output

    code, output = project.run("headstart", "run", *SET)
    assert code == 0, output
    assert states(output) == ["up to date"] * 3
    assert clone.starts() == ["third"]

    # What a run made, the project has too.
    project.change_params("name: glyphs", 'name: "2024"')
    code, output = project.run("headstart", "run")
    assert states(output) == ["up to date", "up to date", "restored"], output
    assert project.starts() == []
    code, output = project.run("headstart", "runs")
    assert "other" in output and "export.name=2024" in output


def test_a_new_commit_reaches_the_run_and_what_is_not_committed_is_named(
    project: Toy, clone: Toy
) -> None:
    code, output = project.run("headstart", "run", *SET)
    assert code == 0, output
    project.change_source("committed")
    commit(project)
    project.change_source("not committed")
    (project.root / "mine.py").touch()
    code, output = project.run("headstart", "run", *SET)
    assert code == 0, output
    assert "headstart: not part of this run, as not committed: source.txt, mine.py\n" in output
    assert states(output) == ["ran"] * 3
    assert clone.outputs()["first"].startswith("committed\n")
    code, output = project.run("headstart", "run", *SET)
    assert states(output) == ["up to date"] * 3


def test_a_busy_run_is_not_touched_by_a_second_command(project: Toy, clone: Toy) -> None:
    code, output = project.run("headstart", "run", *SET)
    assert code == 0, output
    held = clone.hold("third")
    one = project.start("headstart", "run", "--set", "export.name=held", "--name", "other")
    clone.started.append(one)
    clone.wait_for_start("third", times=2)
    words = ("--set", "export.name=late", "--name", "other", "--wait-s")
    code, output = project.run("headstart", "run", *words, "0")
    assert code == 75
    assert "the project is busy: flow run" in output and f"pid {one.pid} on" in output
    assert load_params(clone.root / "params.yaml").export.name == "held"
    # Another run of the same project has its own lock.
    code, output = project.run("headstart", "run", "--set", "export.name=free", "--wait-s", "0")
    assert code == 0, output
    late = project.start("headstart", "run", *words, "60")
    assert late.stdout is not None
    assert any("waiting for flow run" in line for line in late.stdout)
    held.unlink()
    assert project.finish(one)[0] == 0
    assert project.finish(late)[0] == 0
    assert clone.outputs()["third"].endswith("third 1 late\n")


def test_of_two_same_commands_at_once_one_does_the_work(project: Toy, clone: Toy) -> None:
    both = [project.start("headstart", "run", *SET) for _ in range(2)]
    ends = [project.finish(one) for one in both]
    assert [code for code, _ in ends] == [0, 0], ends
    assert sorted(states(output)[2] for _, output in ends) == ["ran", "up to date"]
    assert sum("cloned from commit" in output for _, output in ends) == 1
    assert clone.starts() == ["third"]


def test_it_is_the_committed_code_that_runs(project: Toy, clone: Toy) -> None:
    for package in ("flows", "tasks"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, project.root / package, ignore=ignored)
    commit(project)
    # The project's own code is what `headstart` starts, as an editable installation does.
    project.env["PYTHONPATH"] = str(project.root)
    project.env["PYTHONSAFEPATH"] = "1"
    # What the flow calls, and what every stage calls; neither is called to set a clone up.
    fault = "raise SystemExit('code of the project')"
    for module, function in (("flows/stages", "run_stage"), ("tasks/terminal", "stage_terminal")):
        with (project.root / f"{module}.py").open("a") as code:
            code.write(f"\n\ndef {function}(*_):\n    {fault}\n")
    result, output = project.run("headstart", "run", *SET)
    assert result == 0, output
    assert "not committed: flows/stages.py, tasks/terminal.py\n" in output
    assert states(output) == ["restored", "restored", "ran"]
    result, output = project.run("python", "toy.py", "first")
    assert result != 0 and "code of the project" in output, "or this test shows nothing"
    result, output = project.run("headstart", "run")
    assert result != 0 and "code of the project" in output, "or this test shows nothing"


def _start_anything(toy: Toy, *words: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        words,
        cwd=toy.root,
        env=toy.env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    toy.started.append(process)
    return process

"""What the command line says about recipes and runs; nothing is started."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from flows.runs import Note, write_note

ROOT = Path(__file__).parents[3]


def headstart(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "flows.cli", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(ROOT / name, tmp_path / name)
    author = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "Start"]):
        subprocess.run(["git", *author, *words], cwd=tmp_path, check=True, timeout=60)
    return tmp_path


def add_run(project: Path, name: str, minute: int, metrics: dict[str, Any] | None) -> None:
    folder = project / "runs" / name / "outputs" / "evaluate"
    folder.mkdir(parents=True)
    started = f"2026-11-23T07:{minute:02}:00+00:00"
    write_note(project / "runs" / name, Note("quick", ["seed=[3]"], "abc", started))
    if metrics:
        (folder / "metrics.json").write_text(json.dumps(metrics))


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("--set", "pretrain.epoch=3"), "--set: pretrain.epoch: unknown key; did you mean epochs?"),
        (("--set", "epochs"), "--set: found 'epochs', needed KEY=VALUE"),
        (("--recipe", "quikc"), "quikc: no such recipe; did you mean quick?"),
        (("--recipe", "image-folder"), "recipe image-folder: prepare: root: empty"),
        (("--name", "../x"), "--name: found '../x'"),
        (("--set", "prepare.root=/a/\udcff"), "--set: prepare.root: found '/a/\\udcff', needed"),
    ],
)
def test_a_fault_in_overrides_is_one_line_and_nothing_is_made(
    project: Path, words: tuple[str, ...], text: str
) -> None:
    before = sorted(project.iterdir())
    done = headstart(project, "run", *words)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"headstart: {text}")
    assert sorted(project.iterdir()) == before


def test_overrides_without_a_commit_are_refused_in_one_line(project: Path) -> None:
    shutil.rmtree(project / ".git")
    done = headstart(project, "run", "--recipe", "quick")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "no git repository begins here" in line


def test_recipes_are_listed_with_what_they_are_and_printed_whole(tmp_path: Path) -> None:
    listed = headstart(tmp_path, "recipes").stdout
    assert any(line.split()[0] == "quick" and len(line) > 20 for line in listed.splitlines())
    file = ROOT / "flows" / "recipes" / "quick.yaml"
    assert headstart(tmp_path, "recipes", "quick").stdout == file.read_text()
    done = headstart(tmp_path, "recipes", "quikc")
    assert done.returncode == 2 and "did you mean quick?" in done.stderr


def test_runs_are_listed_the_last_first_with_their_first_figure(
    project: Path, metrics: dict[str, Any]
) -> None:
    assert "no runs yet" in headstart(project, "runs").stderr
    add_run(project, "first", 1, metrics)
    add_run(project, "second", 2, None)
    (project / "runs" / "foreign").mkdir()
    lines = headstart(project, "runs").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["run", "second", "first"]
    assert "quick seed=[3]" in lines[1] and " - " in lines[1]
    assert "98.50 ±0.20" in lines[2] and "novel 5-way 1-shot" in lines[2]


def test_the_metrics_of_a_run_are_shown_by_its_name(project: Path, metrics: dict[str, Any]) -> None:
    add_run(project, "first", 1, metrics)
    add_run(project, "second", 2, None)
    assert json.loads(headstart(project, "show", "--run", "first", "--json").stdout) == metrics
    done = headstart(project, "show", "--run", "second")
    assert done.returncode == 2 and "runs/second/outputs/evaluate/metrics.json" in done.stderr
    done = headstart(project, "show", "--run", "frist")
    assert done.returncode == 2 and "did you mean first?" in done.stderr

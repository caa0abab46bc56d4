import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]


def headstart(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from flows.cli import main; main()", *words],
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
    return tmp_path


def test_help_imports_nothing_that_takes_long(tmp_path: Path) -> None:
    program = (
        "import sys\nfrom flows.cli import app\n"
        "try:\n    app(['--help'])\nexcept SystemExit:\n    pass\n"
        "slow = {'torch', 'prefect', 'dvc', 'pydantic', 'psutil'}\n"
        "print(slow & set(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stderr.strip() == "set()"
    assert all(command in done.stdout for command in ("run", "show", "serve"))


def test_outside_a_project_it_says_what_is_missing(tmp_path: Path) -> None:
    done = headstart(tmp_path, "run")
    assert done.returncode == 2
    assert "no project here or above" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_half_a_project_says_which_file_is_missing(project: Path) -> None:
    (project / "params.yaml").unlink()
    done = headstart(project, "run")
    assert done.returncode == 2
    assert "holds dvc.yaml but no params.yaml" in done.stderr


def test_show_finds_the_project_above_and_prints_the_metrics(
    project: Path, metrics: dict[str, Any]
) -> None:
    folder = project / "outputs" / "evaluate"
    folder.mkdir(parents=True)
    (folder / "metrics.json").write_text(json.dumps(metrics))
    done = headstart(folder, "show")
    assert "98.50 ±0.20" in done.stdout
    assert "+0.50 ±0.10" in done.stdout
    assert "1000 episodes" in done.stdout
    assert json.loads(headstart(folder, "show", "--json").stdout) == metrics


@pytest.mark.parametrize(
    "content", ["{}", '{"results": {}}', '{"episodes": 9, "results": {"a": {}}}']
)
def test_show_of_a_file_that_holds_something_else_says_so(project: Path, content: str) -> None:
    folder = project / "outputs" / "evaluate"
    folder.mkdir(parents=True)
    (folder / "metrics.json").write_text(content)
    done = headstart(folder, "show")
    assert done.returncode == 2
    assert "holds no results" in done.stderr and "Traceback" not in done.stderr


def test_show_without_a_run_says_what_makes_the_metrics(project: Path) -> None:
    done = headstart(project, "show")
    assert done.returncode == 2
    assert (
        "outputs/evaluate/metrics.json: not found; stage evaluate makes it: `headstart run`"
        in done.stderr
    )


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ((), "exactly one of --cron, --every and --interval"),
        (("--cron", "0 3 * * *", "--every", "1h"), "exactly one of"),
        (("--every", "soon"), "--every: found 'soon', needed a number and s, m, h or d"),
        (("--every", "0m"), "--every: found '0m'"),
    ],
)
def test_serve_needs_one_schedule_that_can_be_read(
    project: Path, words: tuple[str, ...], text: str
) -> None:
    done = headstart(project, "serve", *words)
    assert done.returncode == 2
    assert text in done.stderr
    assert "Traceback" not in done.stderr


def test_a_server_that_does_not_answer_is_told_in_a_line(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    done = headstart(project, "run")
    assert done.returncode == 1
    assert "PREFECT_API_URL: no server of Prefect answers there" in done.stderr
    assert "Traceback" not in done.stderr

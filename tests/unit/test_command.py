import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

STAGE = """
import errno, sys
from tasks.command import stage_command
from tasks.errors import DataError

def work(params, track):
    for _ in track(range(4), "counting"):
        pass
    {body}

stage_command("toy", "Counts.", work)
"""


class Result:
    def __init__(self, code: int, errors: str, marker: str) -> None:
        self.code = code
        self.errors = errors
        self.marker = marker


@pytest.fixture
def project(tmp_path: Path) -> Path:
    shutil.copy(ROOT / "params.yaml", tmp_path / "params.yaml")
    (tmp_path / "dvc.yaml").write_text(
        "stages: {toy: {cmd: toy, deps: [stage.py], params: [seed], outs: [out]}}\n"
    )
    (tmp_path / "stage.py").write_text(STAGE.format(body="pass"))
    return tmp_path


def run(project: Path, body: str = "pass", *words: str, **variables: str) -> Result:
    (project / "stage.py").write_text(STAGE.format(body=body))
    marker = project / "marker"
    done = subprocess.run(
        [sys.executable, "stage.py", *words],
        cwd=project,
        env={**os.environ, "HEADSTART_STAGE_MARKER": str(marker), **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert not words or not done.stderr
    errors = done.stderr or done.stdout
    return Result(done.returncode, errors, marker.read_text() if marker.exists() else "")


def test_a_stage_tells_its_progress_and_its_end_in_plain_lines(project: Path) -> None:
    result = run(project)
    assert result.code == 0
    assert result.errors.splitlines() == [
        "toy: counting 100 % (4/4), 0 s",
        "toy: done in 0 s",
    ]
    assert '"done"' in result.marker


def test_help_says_what_the_stage_is_and_runs_nothing(project: Path) -> None:
    result = run(project, "pass", "--help")
    assert result.code == 0
    assert "Counts." in result.errors
    assert not result.marker


@pytest.mark.parametrize(
    ("body", "code", "line"),
    [
        ("raise DataError('fonts: none found')", 2, "toy: fonts: none found"),
        ("raise KeyboardInterrupt", 130, "toy: stopped from the keyboard"),
        (
            "raise OSError(errno.ENOSPC, 'No space left on device', 'out/images.npy')",
            2,
            "toy: out/images.npy: No space left on device",
        ),
        (
            "raise OSError(errno.EROFS, 'Read-only file system', 'out')",
            2,
            "toy: out: Read-only file system",
        ),
        ("raise MemoryError", 2, "toy: not enough memory; ask for smaller batches"),
    ],
)
def test_a_fault_that_can_be_mended_is_one_line(
    project: Path, body: str, code: int, line: str
) -> None:
    result = run(project, body)
    assert result.code == code
    assert result.errors.splitlines()[1:] == [line]
    assert '"failed"' in result.marker


@pytest.mark.parametrize("fault", ["ValueError", "OSError", "RuntimeError"])
def test_a_fault_of_the_code_keeps_its_traceback(project: Path, fault: str) -> None:
    result = run(project, f"raise {fault}('unforeseen')")
    assert result.code == 1
    assert "Traceback" in result.errors
    assert f'"{fault}: unforeseen"' in result.marker


def test_wrong_params_are_told_before_any_work(project: Path) -> None:
    params = project / "params.yaml"
    params.write_text(params.read_text().replace("seed: 1", "seed: one\nsede: 1"))
    result = run(project)
    assert result.code == 2
    assert "counting" not in result.errors
    assert all(line.startswith("toy: params.yaml: se") for line in result.errors.splitlines())


def test_inputs_that_move_fail_the_stage(project: Path) -> None:
    edit = "; ".join(
        (
            "text = open('params.yaml').read()",
            "open('params.yaml', 'w').write(text.replace('seed: 1', 'seed: 7'))",
        )
    )
    result = run(project, edit)
    assert result.code == 2
    assert "seed: 1 -> 7" in result.errors


def test_progress_of_unknown_length_and_of_steps_in_steps_is_shown(project: Path) -> None:
    body = "[0 for _ in track(iter('ab'), 'outer') for _ in track('xyz', 'inner')]"
    lines = run(project, body).errors.splitlines()
    assert lines[1:-1] == ["toy: outer 2, 0 s"]

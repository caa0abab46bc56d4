from pathlib import Path

import pytest
import yaml

from tasks.export.provenance import provenance, versions
from tasks.params import Params
from tasks.params_file import load_params
from tests.repository import git

ROOT = Path(__file__).parents[3]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    (tmp_path / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    (tmp_path / "data.json").write_text("{}")
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "code.py").write_text("1")
    return tmp_path


def commit() -> str:
    git(Path(), "add", ".")
    git(Path(), "commit", "-m", "a commit")
    return git(Path(), "rev-parse", "HEAD")


def found() -> dict[str, object]:
    return provenance(load_params(), Path("data.json"))


def test_without_git_there_is_no_commit(project: Path) -> None:
    assert (found()["commit"], found()["modified"]) == (None, None)


def test_the_commit_is_the_last_one_that_touched_the_code(project: Path) -> None:
    git(Path(), "init")
    assert (found()["commit"], found()["modified"]) == (None, None)
    code = commit()
    assert (found()["commit"], found()["modified"]) == (code, False)
    (project / "dvc.lock").write_text("results")
    assert found()["modified"] is False
    assert commit() != code
    assert (found()["commit"], found()["modified"]) == (code, False)


@pytest.mark.parametrize("path", ["tasks/code.py", "tasks/new.py"])
def test_code_that_differs_from_the_commit_is_told(project: Path, path: str) -> None:
    git(Path(), "init")
    commit()
    with (project / path).open("a") as file:
        file.write("\n# changed\n")
    assert found()["modified"] is True


def test_params_are_hashed_by_content(project: Path) -> None:
    before = found()["params_sha256"]
    content = yaml.safe_load(Path("params.yaml").read_text())
    Path("params.yaml").write_text("# another comment\n" + yaml.safe_dump(content, sort_keys=True))
    assert found()["params_sha256"] == before
    content["seed"] = 2
    assert provenance(Params.model_validate(content), Path("data.json"))["params_sha256"] != before


def test_versions_name_what_made_the_graphs() -> None:
    assert list(versions()) == ["headstart", "torch", "onnx", "onnxruntime"]

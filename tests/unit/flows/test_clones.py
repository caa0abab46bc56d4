"""Clones of a small repository; nothing is run in them."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from dvc.config import Config
from filelock import FileLock

from flows.cloned_run import plan_run
from flows.clones import Plan, head_commit, set_up_clone, uncommitted, untracked
from flows.runs import (
    PREPARED_VARIABLE,
    RUNS,
    all_runs,
    check_as_prepared,
    find_run,
    fingerprint,
    read_note,
    stands_on,
)
from tasks.errors import BusyError, DataError, HeadstartError, ParametersError
from tasks.params_file import load_params
from tasks.run_lock import LOCK_FILE, hold_run
from tests.repository import git

ROOT = Path(__file__).parents[3]


def commit(folder: Path) -> str:
    git(folder, "add", "--all")
    git(folder, "commit", "-qm", "Change")
    return git(folder, "rev-parse", "HEAD").strip()


def commit_of(folder: Path, name: str) -> str:
    (folder / name).touch()
    git(folder, "add", name)
    git(folder, "commit", "-qm", name)
    return git(folder, "rev-parse", "HEAD").strip()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "a project"
    for name in ("params.yaml", "dvc.yaml", ".gitignore", ".dvc/config"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, root / name)
    (root / "code.py").write_text("first\n")
    git(root, "init", "-q")
    commit(root)
    monkeypatch.chdir(root)
    return root


def plan(project: Path, *settings: str, name: str | None = "one") -> Plan:
    return plan_run(project, project, None, settings, name)


def set_up(project: Path, *settings: str, name: str | None = "one") -> Path:
    planned = plan(project, *settings, name=name)
    set_up_clone(planned, 0, lambda _: None)
    return planned.folder


def refused(action: Callable[[], object], kind: type[HeadstartError] = DataError) -> str:
    with pytest.raises(kind) as told:
        action()
    assert len(str(told.value).splitlines()) == 1
    return str(told.value)


def dvc_settings(folder: Path) -> Config:
    return Config(str(folder / ".dvc"))


def test_the_project_is_left_as_it_is_and_the_clone_has_params_of_its_own(project: Path) -> None:
    before = (project / "params.yaml").read_bytes()
    folder = set_up(project, "pretrain.epochs=3")
    assert folder == project / "runs" / "one"
    assert load_params(folder / "params.yaml").pretrain.epochs == 3
    assert (project / "params.yaml").read_bytes() == before
    assert git(project, "status", "--porcelain") == ""
    assert [path.name for path in (project / RUNS).iterdir()] == ["one"]


def test_without_overrides_the_params_are_the_committed_bytes(project: Path) -> None:
    folder = set_up(project)
    assert (folder / "params.yaml").read_bytes() == (project / "params.yaml").read_bytes()


def test_the_same_overrides_give_the_same_name_and_others_another(project: Path) -> None:
    names = [
        plan(project, *settings, name=None).folder.name
        for settings in (["seed=3", "export.name=a"], ["export.name='a'", "seed=3"], ["seed=4"])
    ]
    assert names[0] == names[1] != names[2]
    assert all(name.startswith("set-") and len(name) == 10 for name in names)
    by_recipe = plan_run(project, project, "quick", [], None).folder.name
    assert by_recipe.startswith("quick-")
    (project / "my own!.yaml").write_text("seed: 3\n")
    assert plan_run(project, project, "my own!.yaml", [], None).folder.name.startswith("my-own-")


def test_the_cache_is_the_projects_wherever_that_is(project: Path) -> None:
    settings = dvc_settings(set_up(project))
    assert settings["cache"]["dir"] == str(project / ".dvc" / "cache")
    (project / ".dvc" / "config.local").write_text("[cache]\n    dir = ../../elsewhere\n")
    (project / ".dvc" / "config").write_text("['remote \"mine\"']\n    url = ../../store\n")
    commit(project)
    settings = dvc_settings(set_up(project))
    assert settings["cache"]["dir"] == str(project.parent / "elsewhere")
    assert settings["remote"]["mine"]["url"] == str(project.parent / "store")


def test_what_is_not_committed_is_left_out_and_named(project: Path) -> None:
    (project / "code.py").write_text("second\n")
    (project / "dvc.lock").write_text("results are no code\n")
    git(project, "add", "--intent-to-add", "dvc.lock")
    assert uncommitted(project) == ["code.py"]
    assert (set_up(project) / "code.py").read_text() == "first\n"


def test_a_new_commit_reaches_the_clone_which_keeps_its_outputs_and_its_record(
    project: Path,
) -> None:
    (project / "dvc.lock").write_text("committed\n")
    commit(project)
    folder = set_up(project, "seed=3")
    (folder / "dvc.lock").write_text("of the clone\n")
    (folder / "outputs").mkdir()
    (folder / "outputs" / "model").write_text("a model")
    (project / "code.py").write_text("second\n")
    now = commit(project)
    said = set_up_clone(plan(project, "seed=3"), 0, lambda _: None)
    assert said == f"brought to commit {now[:7]}"
    assert (folder / "code.py").read_text() == "second\n"
    assert (folder / "dvc.lock").read_text() == "of the clone\n"
    assert (folder / "outputs" / "model").read_text() == "a model"
    assert load_params(folder / "params.yaml").seed == 3
    said = set_up_clone(plan(project, "seed=4"), 0, lambda _: None)
    assert said.endswith("with other params than before")
    assert load_params(folder / "params.yaml").seed == 4


def test_a_clone_that_was_put_on_a_branch_is_taken_off_it_and_the_branch_stays(
    project: Path,
) -> None:
    folder = set_up(project)
    git(folder, "switch", "-q", "-c", "mine")
    mine = commit_of(folder, "mine.py")
    set_up(project)
    assert stands_on(folder) == head_commit(project)
    assert git(folder, "rev-parse", "mine").strip() == mine


def test_a_clone_outlives_commits_that_the_project_forgets(project: Path) -> None:
    folder = set_up(project)
    git(project, "commit", "-q", "--amend", "--allow-empty", "-m", "Another")
    git(project, "reflog", "expire", "--expire=now", "--all")
    git(project, "gc", "-q", "--prune=now")
    assert git(folder, "fsck", "--full") == ""
    set_up(project)
    assert head_commit(folder) == head_commit(project)


def test_code_edited_in_a_clone_is_not_thrown_away(project: Path) -> None:
    folder = set_up(project)
    (folder / "code.py").write_text("edited\n")
    said = refused(lambda: set_up(project))
    assert said.startswith(f"{folder / 'code.py'}: edited there")
    assert (folder / "code.py").read_text() == "edited\n"


def test_a_folder_that_is_no_run_is_left_alone_and_so_is_the_project(project: Path) -> None:
    folder = project / "runs" / "one"
    folder.mkdir(parents=True)
    (folder / "mine").touch()
    (project / "code.py").write_text("edited\n")
    assert "no run of headstart" in refused(lambda: set_up(project))
    assert [path.name for path in folder.iterdir()] == ["mine"]
    assert (project / "code.py").read_text() == "edited\n"


def test_a_busy_clone_is_not_touched(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = set_up(project, "seed=3")
    monkeypatch.chdir(folder)
    with hold_run("flow run of before"):
        monkeypatch.chdir(project)
        said = refused(lambda: set_up(project, "seed=4"), BusyError)
    assert "flow run of before" in said and f"pid {os.getpid()}" in said
    assert load_params(folder / "params.yaml").seed == 3
    set_up(project, "seed=4")
    assert load_params(folder / "params.yaml").seed == 4
    assert Path.cwd() == project, "and the working directory is what it was"
    with FileLock(folder / LOCK_FILE, timeout=0):
        pass


def test_a_run_whose_clone_was_set_up_anew_meanwhile_does_not_start(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned = plan(project, "seed=3")
    expected = fingerprint(planned.commit, planned.params_text)
    monkeypatch.chdir(set_up(project, "seed=3"))
    monkeypatch.setenv(PREPARED_VARIABLE, expected)
    check_as_prepared()
    assert PREPARED_VARIABLE not in os.environ
    check_as_prepared()  # a plain run expects nothing
    set_up(project, "seed=4")
    monkeypatch.setenv(PREPARED_VARIABLE, expected)
    assert "for something else meanwhile" in refused(check_as_prepared, BusyError)


def test_what_a_killed_set_up_left_behind_does_no_harm(project: Path) -> None:
    remains = project / "runs" / ".one.partial"
    remains.mkdir(parents=True)
    (remains / "half").touch()
    assert all_runs(project) == {}
    folder = set_up(project)
    assert not (folder / "half").exists() and not remains.exists()


def test_a_set_up_that_fails_leaves_nothing(project: Path) -> None:
    git(project, "rm", "-rq", "--cached", ".dvc")
    git(project, "commit", "-qm", "Change")
    assert ".dvc: not in commit" in refused(lambda: set_up(project))
    assert list((project / RUNS).iterdir()) == []


def test_variables_that_git_sets_for_hooks_lead_nowhere_else(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = head_commit(project)
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "index"))
    assert head_commit(set_up(project)) == here


def test_no_repository_and_no_commit_are_told(project: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    assert "no git repository begins here" in refused(lambda: head_commit(bare))
    git(bare, "init", "-q")
    assert "nothing is committed yet" in refused(lambda: head_commit(bare))
    inside = project / "inside"
    inside.mkdir()
    assert "no git repository begins here" in refused(lambda: head_commit(inside))


def test_without_git_one_line_says_so(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert refused(lambda: uncommitted(project)).startswith("git: not found")


def test_committed_params_that_the_code_does_not_know_are_one_line(project: Path) -> None:
    params = project / "params.yaml"
    text = params.read_text()
    params.write_text(text.replace("  epochs: ", "  epoch: "))
    commit(project)
    params.write_text(text)
    said = refused(lambda: plan(project, "seed=3"), ParametersError)
    assert "params.yaml of commit" in said and said.endswith("commit first")
    assert not (project / RUNS).exists()


def test_files_that_git_does_not_hold_are_named_unless_ignored(project: Path) -> None:
    (project / "mine.py").touch()
    (project / "dvc.lock").touch()
    (project / "outputs").mkdir()
    (project / "outputs" / "model").touch()
    assert untracked(project) == ["mine.py"]


def test_images_that_are_not_committed_are_read_where_they_are(project: Path) -> None:
    def planned(text: str) -> str:
        settings = ("prepare.domains=[]", "evaluate.protocols=[" + NOVEL + "]")
        edit(text)
        git(project, "commit", "--allow-empty", "-qm", "Change", "--", "params.yaml")
        (project / "now.yaml").write_text(plan(project, *settings).params_text)
        return load_params(project / "now.yaml").prepare.root

    def root(text: str) -> str:
        edit(text)
        commit(project)
        folder = set_up(project, "prepare.domains=[]", "evaluate.protocols=[" + NOVEL + "]")
        return load_params(folder / "params.yaml").prepare.root

    def edit(text: str) -> None:
        edited = (
            (ROOT / "params.yaml").read_text().replace("source: glyphs", "source: image_folder")
        )
        assert '  root: "" ' in edited
        (project / "params.yaml").write_text(edited.replace('  root: "" ', f"  root: {text} "))

    (project / "kept").mkdir()
    (project / "kept" / "image").touch()
    assert root("kept") == "kept"
    assert root("kept/") == "kept/"
    assert root("photos") == str(project / "photos")
    assert root("../photos") == str(project.parent / "photos")
    assert root("/data/photos") == "/data/photos"
    assert root("s3://bucket/photos") == "s3://bucket/photos"
    for name in ("a table", "committed"):
        (project / name).mkdir()
        (project / name / "image").touch()
    (project / "a table" / "table.csv").touch()
    assert root("a table/table.csv") == "a table/table.csv"
    (project / "a table" / "image").write_text("edited")
    assert planned("a table/table.csv") == str(project / "a table/table.csv")
    assert planned("committed") == "committed"
    (project / "committed" / "another").touch()
    assert planned("committed") == str(project / "committed")
    (project / "committed" / ".gitignore").write_text("another\n.gitignore\n")
    assert planned("committed") == str(project / "committed"), "ignored ones count as images too"
    (project / "kept" / "link").symlink_to("image")
    assert root("kept") == str(project / "kept"), "a link may lead out of the clone"


NOVEL = "{domain: novel, way: 5, shot: 1}"


def test_a_run_does_not_start_others_inside_itself(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = set_up(project)
    said = refused(lambda: plan(folder, "seed=3"), ParametersError)
    assert "a run itself" in said and str(project) in said


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".x", "-x", "a b", "x" * 101])
def test_a_name_that_is_no_folder_name_is_told(project: Path, name: str) -> None:
    assert "--name: found" in refused(lambda: plan(project, name=name), ParametersError)


def test_runs_are_found_by_name(project: Path) -> None:
    folder = set_up(project, "seed=3", name="few-steps")
    note = read_note(folder)
    assert note is not None and note.overrides == "seed=3"
    assert find_run("few-steps", project) == folder
    assert "did you mean few-steps?" in refused(lambda: find_run("few-stepz", project))

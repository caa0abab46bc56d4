"""Taking the params of a run over."""

import hashlib
from pathlib import Path

import pytest

from flows.adopting import adopt_run
from flows.cloned_run import plan_run
from flows.clones import set_up_clone
from flows.runs import Ending, write_ending
from tasks.errors import DataError
from tasks.params_file import load_params
from tests.unit.flows.test_clones import commit, project

__all__ = ["project"]


def add_run(root: Path, *settings: str, error: str | None = None) -> Path:
    plan = plan_run(root, root, None, settings, "one")
    set_up_clone(plan, 0, lambda _: None)
    params = hashlib.sha256((plan.folder / "params.yaml").read_bytes()).hexdigest()
    write_ending(Ending(1, params, (), error), plan.folder)
    return plan.folder


def changed_lines(before: str, after: str) -> list[str]:
    old = before.splitlines()
    return [line.strip() for line in after.splitlines() if line not in old]


def test_the_overrides_are_written_and_all_else_stays_byte_by_byte(project: Path) -> None:
    add_run(project, "pretrain.epochs=3", "evaluate.fine_tuning.steps=[5, 9]", "export.name=no")
    before = (project / "params.yaml").read_text()
    adoption = adopt_run("one", project)
    after = (project / "params.yaml").read_text()
    assert adoption.written == {
        "pretrain.epochs": 3,
        "evaluate.fine_tuning.steps": [5, 9],
        "export.name": "no",
    }
    assert adoption.others == ()
    assert changed_lines(before, after) == ["epochs: 3", "steps: [5, 9]", 'name: "no"']
    assert len(before.splitlines()) == len(after.splitlines())
    assert load_params(project / "params.yaml") == load_params(
        project / "runs" / "one" / "params.yaml"
    )


def test_comments_beside_a_value_stay(project: Path) -> None:
    add_run(project, "pretrain.schedule=cosine")
    before = (project / "params.yaml").read_text()
    adopt_run("one", project)
    (line,) = changed_lines(before, (project / "params.yaml").read_text())
    assert line.partition("#")[0] == "schedule: cosine          "
    assert line.endswith("# constant, cosine, one_cycle, exponential, plateau, cross_validation")


def test_what_the_project_says_otherwise_meanwhile_stays_and_is_named(project: Path) -> None:
    add_run(project, "pretrain.epochs=3")
    path = project / "params.yaml"
    path.write_text(path.read_text().replace("seed: 1", "seed: 2  # mine", 1))
    adoption = adopt_run("one", project)
    assert adoption.others == ("seed",)
    assert path.read_text().splitlines()[2] == "seed: 2  # mine"


def test_params_that_are_the_same_already_are_not_touched(project: Path) -> None:
    add_run(project)
    path = project / "params.yaml"
    before = path.read_bytes(), path.stat().st_mtime_ns
    assert adopt_run("one", project).written == {}
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before


@pytest.mark.parametrize("kind", ["failed", "unfinished", "set up anew"])
def test_a_run_that_did_not_reach_its_end_is_refused(project: Path, kind: str) -> None:
    folder = add_run(project, "seed=3", error="evaluate: no" if kind == "failed" else None)
    if kind == "unfinished":
        (folder / ".headstart" / "ending.json").unlink()
    if kind == "set up anew":
        set_up_clone(plan_run(project, project, None, ["seed=4"], "one"), 0, lambda _: None)
    before = (project / "params.yaml").read_bytes()
    with pytest.raises(DataError, match="one: has not reached its end"):
        adopt_run("one", project)
    assert (project / "params.yaml").read_bytes() == before


def test_overrides_of_an_older_commit_are_taken_over_to_the_newer(project: Path) -> None:
    add_run(project, "pretrain.epochs=3")
    path = project / "params.yaml"
    path.write_text(path.read_text().replace("batch_size: 128", "batch_size: 64", 1))
    commit(project)
    adoption = adopt_run("one", project)
    assert adoption.written == {"pretrain.epochs": 3}
    assert adoption.others == ("pretrain.batch_size",)
    assert load_params(path).pretrain.batch_size == 64

"""What a sweep file may say, and what it makes of the params; nothing is run."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from flows.sweep_file import Range, read_sweep
from flows.sweep_plan import SweepPlan, plan_sweep
from tasks.errors import ParametersError
from tasks.params_file import parse_sections

ROOT = Path(__file__).parents[3]
SPACE = "space: {metatrain.learning_rate: {low: 0.001, high: 0.1, log: true}}"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(ROOT / name, tmp_path / name)
    author = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "Start"]):
        subprocess.run(["git", *author, *words], cwd=tmp_path, check=True, timeout=60)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def planned(project: Path, text: str, name: str = "sweep.yaml") -> SweepPlan:
    (project / name).write_text(text)
    return plan_sweep(project, project / name)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("grid: {seed: []}", "grid.seed: found [], needed"),
        ("grid: {seed: 3}", "grid.seed: found 3, needed"),
        ("{}", "grid, search: found neither, needed exactly one of them"),
        (f"grid: {{seed: [1]}}\nsearch: {{trials: 2, {SPACE}}}", "grid, search: found both"),
        ("grid: {seed: [1]}\nworkrs: 2", "workrs: unknown key; allowed here: recipe, grid"),
        ("grid: {seed: [1]}\nworkers: 0", "workers: found 0, needed"),
        ("grid: {seed: [1]}\nmetric: a..b", "metric: found 'a..b', needed"),
        ("grid: {seed: [1]}\nscheduler: tcp://a:1", "scheduler: needs runner: dask"),
        (f"search: {{{SPACE}}}", "search.trials: missing"),
        ("search: {trials: 2, space: {seed: {low: 2, high: 1}}}", "found low 2 and high 1"),
        ("search: {trials: 2, space: {seed: {low: 0, high: 1, log: true}}}", "found low 0"),
        ("search: {trials: 2, space: {seed: {lo: 2, high: 3, low: 1}}}", "lo: unknown key; all"),
        # What the params refuse, of every trial of a grid and every end of a range.
        ("grid: {pretrain.epoch: [1]}", "pretrain.epoch: unknown key; did you mean epochs?"),
        ("grid: {pretrain.epochs: [1, 2, -3]}", "pretrain.epochs: found -3, needed"),
        ("search: {trials: 2, space: {pretrain.epochs: {low: -3, high: 3}}}", "found -3, needed"),
        ("search: {trials: 2, space: {metatrain.learner: [ridge, rigde]}}", "found 'rigde'"),
        ("grid: {seed: [1, 2, 1]}", "grid: found the trial {'seed': 1} twice"),
        ("grid: {evaluate: [1], evaluate.queries: [1]}", "found evaluate and evaluate.queries"),
        ("grid: {evaluate.: [1]}", "found the key 'evaluate.'"),
        ("grid: {seed: [1]}\nrecipe: quikc", "quikc: no such recipe; did you mean quick?"),
    ],
)
def test_a_fault_is_one_line_and_nothing_is_made(project: Path, text: str, told: str) -> None:
    (project / "sweep.yaml").write_text(text)
    before = sorted(project.iterdir())
    with pytest.raises(ParametersError) as error:
        plan_sweep(project, project / "sweep.yaml")
    (line,) = [one for one in str(error.value).splitlines() if "trials: missing" not in one] or [
        str(error.value)
    ]
    assert told in line
    assert sorted(project.iterdir()) == before


def test_the_command_tells_a_fault_in_a_line_and_ends_with_2(project: Path) -> None:
    (project / "sweep.yaml").write_text("grid: {pretrain.epoch: [1]}\n")
    done = subprocess.run(
        [sys.executable, "-m", "flows.cli", "sweep", "sweep.yaml"],
        cwd=project,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"headstart: {project}/sweep.yaml: pretrain.epoch: unknown key")


def test_a_trial_is_named_after_the_file_and_its_overrides(project: Path) -> None:
    plan = planned(project, "grid: {seed: [1, 2], evaluate.queries: [5]}", "my learners.yaml")
    one, same, other = (
        plan.trial(point)
        for point in (
            {"seed": 2, "evaluate.queries": 5},
            {"evaluate.queries": 5, "seed": 2},
            {"seed": 3, "evaluate.queries": 5},
        )
    )
    assert one.folder == same.folder != other.folder
    assert one.folder.parent == project / "runs"
    assert one.folder.name.startswith("my-learners-")
    assert parse_sections(one.params_text, "params")["seed"] == 2
    assert list(one.note.settings) == ["seed=2", "evaluate.queries=5"]


def test_a_recipe_lies_below_every_trial(project: Path) -> None:
    trial = planned(project, "recipe: quick\ngrid: {seed: [5]}").trial({"seed": 5})
    assert trial.note.recipe == "quick"
    params = parse_sections(trial.params_text, "params")
    assert params["seed"] == 5
    assert (
        params["pretrain"]["epochs"]
        != parse_sections((project / "params.yaml").read_text(), "params")["pretrain"]["epochs"]
    )


def test_any_value_reaches_the_params_as_it_was_asked_for(project: Path) -> None:
    values = {
        "metatrain.learner": "cosine",
        "metatrain.learning_rate": 1e-05,
        "pretrain.conv4_widths": [8, 8, 8, 8],
        "metatrain.alone": False,
        "export.name": "2024",
        "prepare.splits": {"base": ["NO"]},
    }
    grid = "\n".join(
        f"  {key}: [{value if not isinstance(value, str) else repr(value)}]"
        for key, value in values.items()
    )
    plan = planned(project, f"grid:\n{grid}\n")
    params = parse_sections(plan.trial(values).params_text, "params")
    assert params["metatrain"]["learner"] == "cosine"
    assert params["metatrain"]["learning_rate"] == 1e-05
    assert params["pretrain"]["conv4_widths"] == [8, 8, 8, 8]
    assert params["metatrain"]["alone"] is False
    assert params["export"]["name"] == "2024"
    assert params["prepare"]["splits"]["base"] == ["NO"]


def test_more_trials_and_workers_leave_it_the_same_search(project: Path) -> None:
    texts = (
        f"search: {{trials: 2, {SPACE}}}",
        f"search: {{trials: 9, {SPACE}}}\nworkers: 4\nrunner: dask",
        f"search: {{trials: 2, sampler: random, {SPACE}}}",
    )
    one, more, other = (planned(project, text) for text in texts)
    assert one.memory == more.memory != other.memory
    assert one.proposed() == []
    one.remember([{"metatrain.learning_rate": 0.01}])
    assert more.proposed() == [{"metatrain.learning_rate": 0.01}]


def test_a_range_is_of_whole_numbers_where_both_ends_are(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text("search: {trials: 1, space: {a: {low: 1, high: 2.5}}}")
    assert read_sweep(tmp_path / "s.yaml").axes["a"] == Range(low=1, high=2.5)

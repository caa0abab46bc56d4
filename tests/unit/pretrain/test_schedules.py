"""Schedules in the stage: what history.csv tells of them, and that they survive an interruption."""

import csv
from collections.abc import Callable
from typing import Any

import pytest

from tasks.artifacts.files import sha256
from tasks.artifacts.layout import METATRAINED, PRETRAINED
from tasks.learners.selection import Selector
from tasks.metatrain.stage import metatrain
from tasks.params import Params
from tasks.pretrain.stage import pretrain
from tasks.pretrain.training import Trainer
from tasks.progress import untracked

Project = Callable[..., Params]


def rates(folder: Any) -> list[float]:
    rows = csv.DictReader((folder / "history.csv").open())
    return [float(row["learning_rate"]) for row in rows if row["learning_rate"]]


def test_exponential_gives_each_epoch_the_tutorials_rate(tiny_project: Project) -> None:
    changes = {"schedule": "exponential", "learning_rate": 0.001, "epochs": 5}
    pretrain(tiny_project(pretrain=changes), untracked)
    assert rates(PRETRAINED) == [0.001 * 0.9**epoch for epoch in range(5)]


def test_exponential_goes_down_every_so_many_batches(tiny_project: Project) -> None:
    changes = {"schedule": "exponential", "learning_rate": 0.001, "exponential_every_batches": 2}
    pretrain(tiny_project(pretrain={**changes, "epochs": 4}), untracked)
    last_batches = [2, 5, 8, 11]  # three an epoch, counted from 0
    assert rates(PRETRAINED) == [0.001 * 0.9 ** (number // 2) for number in last_batches]


def test_exponential_goes_down_at_each_checkpoint_of_metatrain(tiny_project: Project) -> None:
    changes = {"schedule": "exponential", "learning_rate": 0.001, "steps": 6}
    params = tiny_project(metatrain=changes)
    pretrain(params, untracked)
    metatrain(params, untracked)
    assert rates(METATRAINED) == [0.001, 0.001 * 0.9, 0.001 * 0.9**2]


@pytest.fixture
def deaf_ears(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every scoring of validation episodes says the same."""
    monkeypatch.setattr(Selector, "score", lambda self, at, *_, **__: remembered(self, at))


def remembered(selector: Selector, at: int) -> float:
    selector.best_accuracy, selector.best_at = 0.5, at
    return 0.5


PLATEAU = {"schedule": "plateau", "plateau": {"factor": 0.5, "patience": 1}, "learning_rate": 0.01}


@pytest.mark.usefixtures("deaf_ears")
def test_a_plateau_hears_the_validation_episodes_of_pretrain(
    tiny_project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Selector, "restore", lambda *_: None)
    pretrain(tiny_project(pretrain={**PLATEAU, "epochs": 7}), untracked)
    assert rates(PRETRAINED) == [0.01, 0.01, 0.01, 0.005, 0.005, 0.0025, 0.0025]


def test_a_plateau_hears_the_validation_episodes_of_metatrain(
    tiny_project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = tiny_project(metatrain={**PLATEAU, "steps": 10})
    pretrain(params, untracked)
    monkeypatch.setattr(Selector, "score", lambda self, at, *_, **__: remembered(self, at))
    monkeypatch.setattr(Selector, "restore", lambda *_: None)
    metatrain(params, untracked)
    assert rates(METATRAINED) == [0.01, 0.01, 0.01, 0.005, 0.005]


@pytest.mark.parametrize("schedule", ["constant", "exponential", "plateau"])
def test_an_interrupted_training_keeps_its_rates(
    tiny_project: Project, monkeypatch: pytest.MonkeyPatch, schedule: str
) -> None:
    monkeypatch.setattr("tasks.artifacts.checkpoints.SHARE", 1.0)
    patience = {"plateau": {"factor": 0.5, "patience": 0}}
    params = tiny_project(pretrain={"schedule": schedule, "epochs": 6, **patience})
    pretrain(params, untracked)
    through = {path.name: sha256(path) for path in PRETRAINED.iterdir()}
    step, left = Trainer.step, iter(range(11))

    def failing(self: Trainer, *args: Any) -> float:
        if next(left, None) is None:
            raise KeyboardInterrupt
        return step(self, *args)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Trainer, "step", failing)
        pretrain(params, untracked, "key")
    pretrain(params, untracked, "key")
    assert {path.name: sha256(path) for path in PRETRAINED.iterdir()} == through

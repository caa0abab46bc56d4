"""An interrupted training goes on and ends with the bytes of one that ran through."""

import logging
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from tasks.artifacts.checkpoints import FOLDER
from tasks.artifacts.files import sha256
from tasks.artifacts.layout import PRETRAINED
from tasks.params import Params
from tasks.pretrain.stage import pretrain
from tasks.pretrain.training import Trainer, batches
from tasks.progress import untracked

Project = Callable[..., Params]


class PowerCutError(Exception):
    pass


def hashes() -> dict[str, str]:
    return {path.name: sha256(path) for path in sorted(PRETRAINED.iterdir())}


@pytest.fixture
def cut(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], None]]:
    """Makes the power fail in the given step of those to come."""
    step, left = Trainer.step, [-1]

    def failing(self: Trainer, *args: Any) -> float:
        if left[0] == 0:
            raise PowerCutError
        left[0] -= 1
        return step(self, *args)

    monkeypatch.setattr(Trainer, "step", failing)
    yield lambda steps: left.__setitem__(0, steps)


@pytest.fixture
def every_milestone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint at the end of each epoch, however short it is."""
    monkeypatch.setattr("tasks.artifacts.checkpoints.SHARE", 1.0)


def interrupted(params: Params, cut: Callable[[int], None], steps: int) -> None:
    cut(steps)
    with pytest.raises(PowerCutError):
        pretrain(params, untracked, "key")
    cut(-1)


AGAIN = {"generations": 1, "weight": 0.5, "temperature": 4.0}


@pytest.mark.parametrize(
    ("changes", "steps"),  # of three an epoch
    [
        ({}, 4),
        ({"optimizer": "sgd", "schedule": "cosine"}, 4),
        ({"optimizer": "adam", "schedule": "plateau"}, 10),
        ({"policy": "frozen"}, 4),
        ({"policy": "last_block", "mixing": "cutmix"}, 4),
        ({"policy": "gradual", "unfreeze_every_epochs": 1}, 7),
        ({"policy": "discriminative", "mixing": "mixup"}, 4),
        ({"precision": "bfloat16"}, 4),
        ({"distillation": AGAIN}, 4),
        ({"distillation": AGAIN, "mixing": "mixup"}, 16),
    ],
    ids=str,
)
def test_a_resumed_run_ends_with_the_bytes_of_one_that_ran_through(
    tiny_project: Project,
    cut: Callable[[int], None],
    every_milestone: None,
    changes: dict[str, Any],
    steps: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    params = tiny_project(pretrain={"epochs": 4, **changes})
    pretrain(params, untracked)
    through = hashes()
    interrupted(params, cut, steps)
    with caplog.at_level(logging.INFO):
        pretrain(params, untracked, "key")
    assert f"resumed at epoch {1 + steps // 3}" in caplog.text
    assert hashes() == through
    assert not any(FOLDER.iterdir())


def test_a_run_cut_between_two_generations_resumes(
    tiny_project: Project, cut: Callable[[int], None], every_milestone: None
) -> None:
    params = tiny_project(pretrain={"epochs": 2, "distillation": AGAIN})
    pretrain(params, untracked)
    through = hashes()
    interrupted(params, cut, 6)
    pretrain(params, untracked, "key")
    assert hashes() == through


def test_a_run_cut_in_every_epoch_still_ends_with_the_same_bytes(
    tiny_project: Project,
    cut: Callable[[int], None],
    every_milestone: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tasks.artifacts.checkpoints.EVERY_S", 0.0)  # in mid epoch too
    params = tiny_project(pretrain={"epochs": 4})
    pretrain(params, untracked)
    through = hashes()
    for _ in range(5):
        interrupted(params, cut, 2)
    pretrain(params, untracked, "key")
    assert hashes() == through


def test_a_checkpoint_of_other_inputs_is_not_gone_on_from(
    tiny_project: Project, cut: Callable[[int], None], caplog: pytest.LogCaptureFixture
) -> None:
    params = tiny_project(pretrain={"epochs": 3})
    interrupted(params, cut, 4)
    with caplog.at_level(logging.INFO):
        pretrain(params, untracked, "another key")
    assert "resumed" not in caplog.text
    assert "removed" in caplog.text


def test_batches_begin_at_any_number() -> None:
    every = list(batches(10, 4, 3, seed=1))
    for start in range(len(every) + 1):
        rest = list(batches(10, 4, 3, seed=1, start=start))
        assert len(rest) == len(every) - start
        for one, other in zip(rest, every[start:], strict=True):
            assert (one.epoch, one.ends_epoch) == (other.epoch, other.ends_epoch)
            assert np.array_equal(one.images, other.images)

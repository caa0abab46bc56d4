"""Rates that cross-validation finds: what is held out, what goes on, what is told."""

import csv
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tasks.artifacts.checkpoints import FOLDER
from tasks.artifacts.files import sha256
from tasks.artifacts.layout import PRETRAINED
from tasks.errors import ParametersError
from tasks.params import Params
from tasks.pretrain import stage
from tasks.pretrain.cross_validation import find_rates
from tasks.pretrain.folds import deal_folds, held_out
from tasks.pretrain.scouts import Scout
from tasks.pretrain.stage import pretrain
from tasks.pretrain.training import Trainer
from tasks.progress import untracked
from tests.conftest import bars

Project = Callable[..., Params]
EPOCHS, POINTS = 4, 2
LISTENING: dict[str, Any] = {
    "schedule": "cross_validation",
    "epochs": EPOCHS,
    "learning_rate": 0.01,
    "cross_validation": {"folds": 3, "points": POINTS, "factor": 3.0, "episodes": 20},
}


def hashes() -> dict[str, str]:
    return {path.name: sha256(path) for path in sorted(PRETRAINED.iterdir())}


def told() -> list[dict[str, float]]:
    rows = csv.DictReader((PRETRAINED / "rates.csv").open())
    return [{name: float(value) for name, value in row.items()} for row in rows]


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Trainer, NDArray[np.int64]]]:
    """The trainer and the images of every step, in order."""
    steps: list[tuple[Trainer, NDArray[np.int64]]] = []
    step = Trainer.step

    def noted(self: Trainer, batch: Any, number: int) -> float:
        steps.append((self, batch.images))
        return step(self, batch, number)

    monkeypatch.setattr(Trainer, "step", noted)
    return steps


@pytest.fixture
def scouts_of(monkeypatch: pytest.MonkeyPatch) -> Callable[[Params], list[Scout]]:
    """The scouts that stage pretrain would send, before their first step."""

    class SentError(Exception):
        pass

    def make(params: Params) -> list[Scout]:
        def caught(scouts: list[Scout], **_: Any) -> None:
            raise SentError(scouts)

        with monkeypatch.context() as patch:
            patch.setattr(stage, "find_rates", caught)
            with pytest.raises(SentError) as sent:
                pretrain(params, untracked)
        return list(sent.value.args[0])

    return make


def test_every_rate_tried_is_told_and_the_model_trains_at_those_chosen(
    tiny_project: Project,
) -> None:
    pretrain(tiny_project(pretrain=LISTENING), untracked)
    rows = told()
    assert list(rows[0])[:5] == ["segment", "starts_at_epoch", "rate", "score", "chosen"]
    assert [(row["segment"], row["starts_at_epoch"]) for row in rows] == [
        *[(0, 0.0)] * 3,
        *[(1, EPOCHS / POINTS)] * 3,
    ]
    before, chosen = 0.01, []
    for segment in range(POINTS):
        three = [row for row in rows if row["segment"] == segment]
        assert [row["rate"] for row in three] == pytest.approx([3 * before, before, before / 3])
        (won,) = (row for row in three if row["chosen"])
        assert won["score"] == max(row["score"] for row in three)
        for row in three:
            folds = [row[f"fold_{number}"] for number in (1, 2, 3)]
            assert row["score"] == pytest.approx(np.mean(folds))
        before = won["rate"]
        chosen += [before] * (EPOCHS // POINTS)
    history = csv.DictReader((PRETRAINED / "history.csv").open())
    assert [float(row["learning_rate"]) for row in history] == pytest.approx(chosen)


def test_other_schedules_leave_no_table_of_rates(tiny_project: Project) -> None:
    pretrain(tiny_project(), untracked)
    assert not (PRETRAINED / "rates.csv").exists()


def test_no_scout_trains_on_the_classes_that_it_is_scored_on(
    tiny_project: Project,
    scouts_of: Callable[[Params], list[Scout]],
    taken: list[tuple[Trainer, NDArray[np.int64]]],
) -> None:
    scouts = scouts_of(tiny_project(pretrain=LISTENING))
    find_rates(scouts, points=POINTS, factor=3.0, checkpoints=no_checkpoints(), track=untracked)
    held = []
    for scout in scouts:
        base = scout.trainer.part
        seen = {
            int(label)
            for trainer, images in taken
            if trainer is scout.trainer
            for label in base.labels[images]
        }
        scored = {one.name for one in scout.selector.part.classes}
        assert seen and scored.isdisjoint(base.classes[label].name for label in seen)
        held += sorted(scored)
    assert sorted(held) == sorted(one.name for one in base.classes)


def test_the_search_costs_what_is_said(
    tiny_project: Project, taken: list[tuple[Trainer, NDArray[np.int64]]]
) -> None:
    pretrain(tiny_project(pretrain=LISTENING), untracked)
    plain = (6 * 8 // 16) * EPOCHS
    fold = (4 * 8 // 16) * EPOCHS  # a third of the classes is held out
    assert len(taken) == plain + 3 * 3 * fold == plain * (1 + 3 * (3 - 1))


def test_scouts_go_on_from_the_branches_that_won(
    tiny_project: Project, scouts_of: Callable[[Params], list[Scout]]
) -> None:
    params = tiny_project(pretrain=LISTENING)
    scouts = scouts_of(params)
    found = find_rates(
        scouts, points=POINTS, factor=3.0, checkpoints=no_checkpoints(), track=untracked
    )
    for scout, again in zip(scouts, scouts_of(params), strict=True):
        half = again.total_steps // POINTS
        for decision, start in zip(found, (0, half), strict=True):
            list(again.run(start, start + half, 3.0**decision.winner))
        one, other = (each.trainer.encoder.state_dict() for each in (scout, again))
        assert all(torch.equal(one[key], other[key]) for key in one)


def test_the_rate_stays_where_none_is_better(
    tiny_project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Scout, "score", lambda *_: 0.5)
    pretrain(tiny_project(pretrain=LISTENING), untracked)
    assert [row["rate"] for row in told() if row["chosen"]] == pytest.approx([0.01, 0.01])


@pytest.mark.parametrize("step", [30, 60, 75])
def test_an_interrupted_search_or_training_ends_with_the_same_bytes(
    tiny_project: Project,
    taken: list[tuple[Trainer, NDArray[np.int64]]],
    monkeypatch: pytest.MonkeyPatch,
    step: int,
) -> None:
    monkeypatch.setattr("tasks.artifacts.checkpoints.SHARE", 1.0)
    params = tiny_project(pretrain=LISTENING)
    pretrain(params, untracked)
    through = hashes()
    one_step = Trainer.step
    taken.clear()

    def failing(self: Trainer, batch: Any, number: int) -> float:
        if len(taken) == step:
            raise KeyboardInterrupt
        return one_step(self, batch, number)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Trainer, "step", failing)
        pretrain(params, untracked, "key")
    taken.clear()
    pretrain(params, untracked, "key")
    assert hashes() == through
    # Each of the two points takes 36 steps, the training 12, in epochs of 3.
    assert len(taken) == {30: 84, 60: 48, 75: 9}[step]
    assert not any(FOLDER.iterdir())


def test_the_same_seed_tries_the_same_and_another_seed_other_folds(tiny_project: Project) -> None:
    params = tiny_project(pretrain=LISTENING)
    pretrain(params, untracked)
    first = hashes()
    pretrain(params, untracked)
    assert hashes() == first
    pretrain(params.model_copy(update={"seed": 2}), untracked)
    assert hashes()["rates.csv"] != first["rates.csv"]


def test_a_training_shorter_than_its_points_has_a_segment_a_step(tiny_project: Project) -> None:
    points = {"cross_validation": {**LISTENING["cross_validation"], "points": 9}, "epochs": 1}
    pretrain(tiny_project(pretrain={**LISTENING, **points}), untracked)
    assert {row["segment"] for row in told()} == {0, 1}


@pytest.mark.parametrize("policy", ["discriminative", "gradual", "last_block"])
def test_rates_are_found_under_other_policies(tiny_project: Project, policy: str) -> None:
    pretrain(tiny_project(pretrain={**LISTENING, "policy": policy}), untracked)
    assert len(told()) == 3 * POINTS


def test_more_folds_than_classes_can_fill_are_refused(tiny_project: Project) -> None:
    folds = {**LISTENING["cross_validation"], "folds": 4}
    params = tiny_project(pretrain={**LISTENING, "cross_validation": folds})
    with pytest.raises(ParametersError, match=r"folds: found 4, .* there are 6 such classes"):
        pretrain(params, untracked)
    assert not PRETRAINED.exists()


@pytest.mark.parametrize("schedule", ["plateau", "cross_validation"])
def test_a_backbone_that_learns_nothing_is_not_listened_to(
    tiny_project: Project, schedule: str
) -> None:
    with pytest.raises(ParametersError, match=f"{schedule} listens .* frozen it learns nothing"):
        tiny_project(pretrain={**LISTENING, "schedule": schedule, "policy": "frozen"})


def test_classes_that_can_serve_are_dealt_evenly() -> None:
    labels = np.repeat(np.arange(10), [9, 9, 2, 9, 9, 2, 9, 9, 2, 2])
    folds = deal_folds(labels, 10, 3, 6, seed=1)
    assert sorted(np.concatenate(folds)) == [*range(10)]
    assert [int(np.isin(fold, [0, 1, 3, 4, 6, 7]).sum()) for fold in folds] == [2, 2, 2]


def test_a_large_held_out_class_is_drawn_from() -> None:
    part = held_out(bars("base", 3, images=150, side=16), np.array([0, 2]), seed=1)
    assert len(part.images) == 200 and [one.images for one in part.classes] == [100, 100]
    assert [one.name for one in part.classes] == ["base 0", "base 2"]


def no_checkpoints() -> Any:
    from tasks.artifacts.checkpoints import Checkpoints

    return Checkpoints("pretrain_rates", None)

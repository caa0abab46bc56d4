import csv
from collections.abc import Callable

import numpy as np
import pytest
import torch

from tasks.artifacts.files import read_json, sha256
from tasks.artifacts.layout import PREPARED, PRETRAINED
from tasks.backbones.build import read_encoder
from tasks.errors import DataError, ParametersError
from tasks.heads.classifier import read_classifier
from tasks.params import Params
from tasks.pretrain.stage import pretrain
from tasks.pretrain.training import batches
from tasks.progress import untracked

Project = Callable[..., Params]


def hashes() -> dict[str, str]:
    return {path.name: sha256(path) for path in sorted(PRETRAINED.iterdir())}


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tiny_project: Project) -> None:
    params = tiny_project()
    pretrain(params, untracked)
    first = hashes()
    pretrain(params, untracked)
    assert hashes() == first
    pretrain(params.model_copy(update={"seed": 2}), untracked)
    assert hashes()["encoder.safetensors"] != first["encoder.safetensors"]


def test_training_lowers_the_loss_and_keeps_the_best_epoch(tiny_project: Project) -> None:
    pretrain(tiny_project(pretrain={"epochs": 6}), untracked)
    history = list(csv.DictReader((PRETRAINED / "history.csv").open()))
    assert [int(row["epoch"]) for row in history] == [1, 2, 3, 4, 5, 6]
    assert float(history[-1]["loss"]) < float(history[0]["loss"])
    accuracies = [float(row["validation_accuracy"]) for row in history]
    described = read_json(PRETRAINED / "model.json", "pretrain")
    assert described["best_epoch"] == 1 + int(np.argmax(accuracies))
    assert described["validation_accuracy"] == max(accuracies)


@pytest.mark.parametrize("classifier", ["cosine", "linear"])
@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_every_classifier_and_optimizer_trains_and_comes_back(
    tiny_project: Project, classifier: str, optimizer: str
) -> None:
    pretrain(tiny_project(pretrain={"classifier": classifier, "optimizer": optimizer}), untracked)
    logits = read_classifier(PRETRAINED, "pretrain")(
        read_encoder(PRETRAINED, "pretrain")(torch.rand(2, 1, 16, 16))
    )
    assert logits.shape == (2, 6) and torch.isfinite(logits).all()


@pytest.mark.parametrize("schedule", ["constant", "cosine", "one_cycle", "exponential"])
def test_every_schedule_trains(tiny_project: Project, schedule: str) -> None:
    pretrain(tiny_project(pretrain={"schedule": schedule}), untracked)


def test_a_frozen_backbone_stays_as_it_was_born(tiny_project: Project) -> None:
    frozen = tiny_project(pretrain={"policy": "frozen"})
    pretrain(frozen, untracked)
    before = read_encoder(PRETRAINED, "pretrain").state_dict()
    longer = frozen.model_copy(
        update={"pretrain": frozen.pretrain.model_copy(update={"epochs": 4})}
    )
    pretrain(longer, untracked)
    after = read_encoder(PRETRAINED, "pretrain").state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert before["backbone.blocks.0.1.num_batches_tracked"] == 0


def test_resnet18_trains_with_its_own_width(tiny_project: Project) -> None:
    pretrain(
        tiny_project(pretrain={"backbone": "resnet18", "epochs": 1, "policy": "frozen"}),
        untracked,
    )
    assert read_encoder(PRETRAINED, "pretrain").width == 512


def test_a_failed_run_leaves_the_old_model(tiny_project: Project) -> None:
    params = tiny_project()
    pretrain(params, untracked)
    before = hashes()
    (PREPARED / "base.labels.npy").unlink()
    with pytest.raises(DataError, match="base.labels.npy: not found"):
        pretrain(params, untracked)
    assert hashes() == before


def test_episodes_that_cannot_be_drawn_are_refused_before_any_work(tiny_project: Project) -> None:
    params = tiny_project(evaluate={"protocols": [{"domain": "novel", "way": 7, "shot": 1}]})
    with pytest.raises(ParametersError, match=r"protocols\[0\].way: found 7, needed at most 6"):
        pretrain(params, untracked)
    assert not PRETRAINED.exists()


def test_every_epoch_visits_images_once_in_an_order_of_its_own() -> None:
    drawn = list(batches(10, 4, 2, seed=1))
    assert [(one.epoch, one.ends_epoch) for one in drawn] == [
        (0, False),
        (0, True),
        (1, False),
        (1, True),
    ]
    epochs = [np.concatenate([one.images for one in drawn if one.epoch == e]) for e in (0, 1)]
    assert all(len(set(epoch)) == 8 for epoch in epochs)
    assert not np.array_equal(*epochs)
    assert [len(one.images) for one in batches(3, 4, 1, seed=1)] == [3]


def test_building_does_not_touch_the_global_generator(tiny_project: Project) -> None:
    before = torch.random.get_rng_state()
    pretrain(tiny_project(), untracked)
    assert torch.equal(torch.random.get_rng_state(), before)

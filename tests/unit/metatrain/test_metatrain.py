import csv
from collections.abc import Callable

import pytest
import torch

from tasks.artifacts.files import read_json, sha256
from tasks.artifacts.layout import METATRAINED, PRETRAINED
from tasks.backbones.build import EncoderSpec, build, read_encoder
from tasks.errors import DataError
from tasks.learners import selection
from tasks.learners.learner import as_learner, read_learner
from tasks.metatrain.outer_loop import meta_loss
from tasks.metatrain.stage import metatrain
from tasks.params import Params
from tasks.pretrain.stage import pretrain
from tasks.progress import untracked

Project = Callable[..., Params]


def hashes() -> dict[str, str]:
    return {path.name: sha256(path) for path in sorted(METATRAINED.iterdir())}


@pytest.mark.parametrize("learner", ["cosine", "anil"])
@pytest.mark.parametrize("first_order", [False, True])
def test_every_learner_trains_and_repeats_to_the_byte(
    tiny_project: Project, learner: str, first_order: bool
) -> None:
    params = tiny_project(metatrain={"learner": learner, "first_order": first_order})
    pretrain(params, untracked)
    metatrain(params, untracked)
    first = hashes()
    metatrain(params, untracked)
    assert hashes() == first
    as_learner(read_learner(METATRAINED, "metatrain"))


def test_the_start_is_a_checkpoint_so_that_bad_steps_are_not_kept(
    tiny_project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = tiny_project()
    pretrain(params, untracked)
    falling = iter([0.9, 0.8, 0.7])
    monkeypatch.setattr(
        selection,
        "episode_accuracies",
        lambda *_: torch.full((1,), next(falling)),
    )
    metatrain(params, untracked)
    history = list(csv.DictReader((METATRAINED / "history.csv").open()))
    assert [int(row["step"]) for row in history] == [0, 2, 4]
    assert history[0]["loss"] == ""
    assert read_json(METATRAINED / "model.json", "metatrain")["best_step"] == 0
    before, after = (read_encoder(folder, "x").state_dict() for folder in (PRETRAINED, METATRAINED))
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_no_steps_hand_the_pretrained_backbone_on(tiny_project: Project) -> None:
    params = tiny_project(metatrain={"steps": 0})
    pretrain(params, untracked)
    metatrain(params, untracked)
    name = "encoder.safetensors"
    assert sha256(METATRAINED / name) == sha256(PRETRAINED / name)


def test_a_missing_backbone_names_the_stage_that_makes_it(tiny_project: Project) -> None:
    with pytest.raises(DataError, match="stage pretrain makes it"):
        metatrain(tiny_project(), untracked)


@pytest.mark.parametrize("learner", ["cosine", "anil"])
def test_the_meta_gradient_reaches_the_backbone_exactly(learner: str) -> None:
    """Against finite differences in float64, through BatchNorm with running statistics."""
    from tasks.learners.learner import LearnerSpec, build_learner

    torch.manual_seed(0)
    encoder = build(EncoderSpec("conv4", 1, [2, 2, 3, 4])).double().eval()
    adapted = as_learner(build_learner(LearnerSpec(learner, 4, inner_learning_rate=2.0)).double())
    images = torch.rand(2, 3, 3, 1, 16, 16, dtype=torch.float64)
    support, query = images[:, :, :1], images[:, :, 1:]
    weight = encoder.backbone.blocks[2][0].weight
    meta_loss(encoder, adapted, support, query).backward()
    flat = weight.detach().view(-1)
    for index in (0, 7, 20):
        values = []
        for change in (1e-6, -1e-6):
            flat[index] += change
            values.append(meta_loss(encoder, adapted, support, query).item())
            flat[index] -= change
        numeric = (values[0] - values[1]) / 2e-6
        assert weight.grad.view(-1)[index].item() == pytest.approx(numeric, rel=1e-5, abs=1e-9)


def test_one_episode_in_a_meta_batch_is_the_plain_step() -> None:
    torch.manual_seed(0)
    encoder = build(EncoderSpec("conv4", 1, [2, 2, 3, 4])).eval()
    from tasks.learners.cosine import Cosine

    learner = Cosine(10.0)
    images = torch.rand(2, 3, 3, 1, 16, 16)
    support, query = images[:, :, :1], images[:, :, 1:]
    alone = [meta_loss(encoder, learner, support[i : i + 1], query[i : i + 1]) for i in (0, 1)]
    torch.testing.assert_close(meta_loss(encoder, learner, support, query), sum(alone) / 2)

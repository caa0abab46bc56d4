import csv
from collections.abc import Callable
from typing import get_args

import numpy as np
import pytest
import torch

from tasks.artifacts.checkpoints import FOLDER
from tasks.artifacts.files import read_json, sha256
from tasks.artifacts.layout import META_ALONE, METATRAINED, PRETRAINED
from tasks.backbones.build import EncoderSpec, build, read_encoder
from tasks.backbones.encoder import Encoder
from tasks.backbones.scale_and_shift import add_scale_and_shift, merge_scale_and_shift
from tasks.episodes.sampler import Episodes
from tasks.errors import DataError
from tasks.learners import selection
from tasks.learners.gradient import NETWORK, GradientLearner
from tasks.learners.learner import as_learner, build_learner, read_learner
from tasks.learners.spec import LearnerSpec
from tasks.metatrain.build import learner_spec
from tasks.metatrain.meta_gradients import (
    Difference,
    EpisodeImages,
    MetaGradient,
    OneByOne,
    Together,
)
from tasks.metatrain.outer_loop import OuterLoop
from tasks.metatrain.stage import metatrain
from tasks.params import Params
from tasks.params.metatrain import Metatrain
from tasks.pretrain.stage import pretrain
from tasks.progress import untracked

Project = Callable[..., Params]


def hashes() -> dict[str, str]:
    return {
        str(path.relative_to(METATRAINED)): sha256(path)
        for path in sorted(METATRAINED.rglob("*.*"))
    }


LEARNERS = get_args(Metatrain.model_fields["learner"].annotation)


@pytest.mark.parametrize("learner", LEARNERS)
def test_every_learner_trains_and_repeats_to_the_byte(tiny_project: Project, learner: str) -> None:
    params = tiny_project(metatrain={"learner": learner, "inner_steps": 2})
    pretrain(params, untracked)
    metatrain(params, untracked)
    first = hashes()
    metatrain(params, untracked)
    assert hashes() == first
    as_learner(read_learner(METATRAINED, "metatrain"))


def test_the_start_is_a_checkpoint_so_that_bad_steps_are_not_kept(
    tiny_project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = tiny_project(metatrain={"alone": False})
    pretrain(params, untracked)
    falling = iter([0.9, 0.8, 0.7])
    monkeypatch.setattr(selection, "accuracies", lambda *_: torch.full((1,), next(falling)))
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


def task_batch(
    encoder: Encoder, dtype: torch.dtype, episodes: int = 2
) -> tuple[EpisodeImages, Episodes]:
    """Images of three classes as float tensors, which no augmentation touches."""
    generator = torch.Generator().manual_seed(5)
    images = torch.rand(episodes * 9, 1, 16, 16, generator=generator, dtype=dtype)

    class Given(EpisodeImages):
        def __call__(self, episodes: Episodes, number: int) -> tuple[torch.Tensor, torch.Tensor]:
            del number
            return tuple(  # type: ignore[return-value]
                images[torch.from_numpy(one).flatten(1)]
                for one in (episodes.support, episodes.query)
            )

    places = np.arange(episodes * 9).reshape(episodes, 3, 3)
    classes = np.tile(np.arange(3), (episodes, 1))
    drawn = Episodes(classes, places[..., :1], places[..., 1:])
    return Given(None, None, 0), drawn  # type: ignore[arg-type]


def small_encoder(dtype: torch.dtype = torch.float64) -> Encoder:
    torch.manual_seed(0)
    return build(EncoderSpec("conv4", 1, [2, 2, 3, 4])).to(dtype).eval()


def gradient_for(name: str, encoder: Encoder, images: EpisodeImages) -> MetaGradient:
    shapes = {key: list(value.shape) for key, value in encoder.named_parameters()}
    dtype = next(encoder.parameters()).dtype
    learner = build_learner(LearnerSpec(name, 4, 10.0, 2, 2.0, 0.05, network_shapes=shapes)).to(
        dtype
    )
    if isinstance(learner, GradientLearner) and learner.moves_network:
        return OneByOne(encoder, learner, images)
    return Together(encoder, learner, images)


@pytest.mark.parametrize("name", ["cosine", "ridge", "anil", "maml", "meta_sgd"])
def test_the_meta_gradient_reaches_the_backbone_exactly(name: str) -> None:
    """Against finite differences in float64, through BatchNorm with running statistics."""
    encoder = small_encoder()
    images, episodes = task_batch(encoder, torch.float64)
    gradient = gradient_for(name, encoder, images)
    weight = encoder.backbone.blocks[2][0].weight
    gradient(episodes, 0)
    exact = weight.grad.clone()
    moved = weight.detach()
    for index in (0, 7, 20):
        place = np.unravel_index(index, weight.shape)
        values = []
        for change in (1e-6, -1e-6):
            moved[place] += change
            values.append(gradient(episodes, 0))
            moved[place] -= change
        numeric = (values[0] - values[1]) / 2e-6
        assert exact[place].item() == pytest.approx(numeric, rel=1e-5, abs=1e-8)


@pytest.mark.parametrize("name", ["cosine", "anil", "maml"])
def test_a_meta_batch_is_the_mean_of_its_episodes_each_alone(name: str) -> None:
    encoder = small_encoder()
    images, episodes = task_batch(encoder, torch.float64)
    gradient = gradient_for(name, encoder, images)
    weight = encoder.backbone.blocks[0][0].weight
    together = gradient(episodes, 0)
    slope = weight.grad.clone()
    weight.grad = None
    alone = [gradient(episodes.between(index, index + 1), 0) for index in (0, 1)]
    assert together == pytest.approx(sum(alone) / 2)
    torch.testing.assert_close(slope, weight.grad / 2)


def test_reptiles_gradient_is_the_way_back_from_where_the_inner_loop_went() -> None:
    encoder = small_encoder()
    images, episodes = task_batch(encoder, torch.float64, episodes=1)
    shapes = {key: list(value.shape) for key, value in encoder.named_parameters()}
    learner = build_learner(
        LearnerSpec("reptile", 4, 10.0, 3, 2.0, 0.05, network_shapes=shapes)
    ).double()
    assert isinstance(learner, GradientLearner)
    Difference(encoder, learner, images)(episodes, 0)
    support, query = images(episodes, 0)
    truth = torch.cat([torch.arange(3), torch.arange(3).repeat_interleave(2)])
    with torch.no_grad():
        every = torch.cat([support[0], query[0]])
        adapted = learner.adapt_network(encoder, every, truth, torch.arange(3))
    for name, parameter in encoder.named_parameters():
        stepped = parameter - parameter.grad  # one plain step at rate 1
        torch.testing.assert_close(stepped, adapted[NETWORK + name])


def test_scaled_and_shifted_filters_start_as_they_were_and_merge_into_plain_ones() -> None:
    encoder = small_encoder()
    batch = torch.rand(4, 1, 16, 16, dtype=torch.float64)
    before, names = encoder(batch), list(encoder.state_dict())
    weight = encoder.backbone.blocks[1][0].weight.detach().clone()
    add_scale_and_shift(encoder)
    torch.testing.assert_close(encoder(batch), before, rtol=0, atol=0)
    trained = [name for name, one in encoder.named_parameters() if one.requires_grad]
    assert all(name.endswith(("factor", "bias")) for name in trained) and trained
    with torch.no_grad():
        for name, one in encoder.named_parameters():
            if name.endswith("factor"):
                one.mul_(2)
    changed = encoder(batch)
    merge_scale_and_shift(encoder)
    torch.testing.assert_close(encoder(batch), changed)
    assert list(encoder.state_dict()) and set(encoder.state_dict()) == set(names)
    torch.testing.assert_close(encoder.backbone.blocks[1][0].weight, 2 * weight)


def test_a_frozen_backbone_is_handed_on_to_the_byte(tiny_project: Project) -> None:
    params = tiny_project(metatrain={"learner": "projection", "views": 3, "steps": 6})
    pretrain(params, untracked)
    metatrain(params, untracked)
    name = "encoder.safetensors"
    assert sha256(METATRAINED / name) == sha256(PRETRAINED / name)
    assert read_json(METATRAINED / "model.json", "metatrain")["learner"]["name"] == "projection"


def test_a_frozen_backbone_embeds_every_image_once(
    tiny_project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = tiny_project(metatrain={"learner": "projection", "steps": 6, "alone": False})
    pretrain(params, untracked)
    seen = []
    forward = Encoder.forward
    monkeypatch.setattr(
        Encoder, "forward", lambda self, images: seen.append(len(images)) or forward(self, images)
    )
    metatrain(params, untracked)
    assert sum(seen) <= 48 + 48  # base, and the validation images that episodes use


def test_meta_alone_starts_from_a_network_that_saw_nothing(tiny_project: Project) -> None:
    params = tiny_project(metatrain={"steps": 0})
    pretrain(params, untracked)
    metatrain(params, untracked)
    alone = read_encoder(METATRAINED / META_ALONE, "metatrain").state_dict()
    transfer = read_encoder(PRETRAINED, "pretrain").state_dict()
    weight = "backbone.blocks.0.0.weight"
    assert not torch.equal(alone[weight], transfer[weight])
    # Its BatchNorm knows the base images all the same.
    assert alone["backbone.blocks.0.1.running_mean"].abs().max() > 0


@pytest.mark.parametrize("share", [0.25, 0.5])
def test_what_is_kept_lies_between_pretraining_and_meta_training(
    tiny_project: Project, monkeypatch: pytest.MonkeyPatch, share: float
) -> None:
    rising = (torch.full((1,), index / 100) for index in range(100))  # the last step is the best
    monkeypatch.setattr(selection, "accuracies", lambda *_: next(rising))
    params, kept = tiny_project(), {}
    pretrain(params, untracked)
    for far in (1.0, share):
        asked = params.metatrain.model_copy(update={"interpolation": far})
        metatrain(params.model_copy(update={"metatrain": asked}), untracked)
        kept[far] = read_encoder(METATRAINED, "metatrain").state_dict()
        kept[far] |= read_learner(METATRAINED, "metatrain").state_dict()
        kept[far, "alone"] = sha256(METATRAINED / META_ALONE / "encoder.safetensors")
    pretrained = read_encoder(PRETRAINED, "pretrain")
    fresh = build_learner(learner_spec(asked, pretrained))
    start = pretrained.state_dict() | fresh.state_dict()
    assert start.keys() == kept[1.0].keys()
    moved = 0
    for name in [one for one, value in start.items() if value.is_floating_point()]:
        value, far, near = start[name], kept[1.0][name], kept[share][name]
        moved += not torch.equal(value, far)
        torch.testing.assert_close(near, value + share * (far - value), rtol=1e-6, atol=1e-7)
    assert moved > 5
    assert kept[1.0, "alone"] == kept[share, "alone"], "random weights are nothing to stay near to"


class StoppedError(Exception):
    pass


@pytest.mark.parametrize("learner", ["anil", "projection", "mtl", "meta_sgd", "reptile"])
def test_an_interrupted_meta_training_ends_with_the_bytes_of_one_that_ran_through(
    tiny_project: Project, monkeypatch: pytest.MonkeyPatch, learner: str
) -> None:
    params = tiny_project(
        metatrain={"learner": learner, "inner_steps": 2, "steps": 7, "averaging": 0.9}
    )
    pretrain(params, untracked)
    metatrain(params, untracked)
    through = hashes()
    plain = OuterLoop.step
    for stopped_at in (3, 5):

        def step(loop: OuterLoop, drawn: Episodes, number: int, at: int = stopped_at) -> float:
            if number == at:
                raise StoppedError
            return plain(loop, drawn, number)

        monkeypatch.setattr(OuterLoop, "step", step)
        with pytest.raises(StoppedError):
            metatrain(params, untracked, "key")
        assert hashes() == through  # what stood before still stands
    monkeypatch.setattr(OuterLoop, "step", plain)
    metatrain(params, untracked, "key")
    assert hashes() == through
    assert not list(FOLDER.rglob("*.pt"))

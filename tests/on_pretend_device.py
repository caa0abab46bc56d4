"""Networks on a pretended device: the weights of the processor, and no tensor left behind.

`tests/unit/test_device.py` runs this in a process of its own: torch counts its devices at the first
backward pass, and knows of none that is registered later.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from tasks.artifacts.image_store import ImageStore
from tasks.artifacts.layout import METATRAINED, PREPARED, PRETRAINED
from tasks.backbones import encoder
from tasks.device import PROCESSOR, place_of
from tasks.evaluate.arms import Embedded, arms
from tasks.metatrain.stage import metatrain
from tasks.params import Params
from tasks.params.metatrain import Metatrain
from tasks.pretrain.stage import pretrain
from tasks.progress import untracked
from tests.pretend_device import Away, PretendDevice, registered

Project = Callable[..., Params]
SHOW_IMAGES = (
    "backbones.encoder",
    "learners.scoring",
    "learners.selection",
    "metatrain.build",
    "metatrain.meta_gradients",
    "pretrain.views",
)
LEARNERS = get_args(Metatrain.model_fields["learner"].annotation)
# There every operation goes through Python, and a network that adapts takes thousands an episode.
FEW = {"episodes": 10}


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> torch.device:
    """The pretended device, which is what `cuda` then stands for; `PretendDevice` opens it."""
    found = registered()
    for stage in ("pretrain", "metatrain", "evaluate"):
        monkeypatch.setattr(
            f"tasks.{stage}.stage.device_of",
            lambda name, _: found if name == "cuda" else PROCESSOR,
        )
    return found


@pytest.fixture
def in_double(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Images, networks and draws in double precision.

    Some kernels sum in another order there. In single precision that is enough to move a number
    across the kink of a ReLU, behind which the gradient is another one.
    """
    single = encoder.pixels
    for module in SHOW_IMAGES:
        monkeypatch.setattr(f"tasks.{module}.pixels", lambda *given: single(*given).double())
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def on_gpu(params: Params, stage: str) -> Params:
    section = getattr(params, stage).model_copy(update={"device": "cuda"})
    return params.model_copy(update={stage: section})


def weights(folder: Path) -> dict[str, Tensor]:
    """All that was trained, by file and name."""
    return {
        f"{file.relative_to(folder)} {name}": value
        for file in sorted(folder.rglob("*.safetensors"))
        for name, value in load_file(file).items()
    }


def test_the_pretended_device_is_told_from_the_processor(elsewhere: torch.device) -> None:
    with PretendDevice():
        here, there = torch.ones(3), torch.ones(3).to(elsewhere)
        assert isinstance(there, Away)
        assert there.device == elsewhere
        assert torch.equal((there + 1).cpu(), here + 1)
        with pytest.raises(RuntimeError, match="same device"):
            there + here


@pytest.mark.usefixtures("in_double", "elsewhere")
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"policy": "last_block", "mixing": "cutmix"},
        {"mixing": "mixup"},
        {"distillation": {"generations": 1, "weight": 0.5, "temperature": 4.0}},
        {"schedule": "cross_validation", "cross_validation": FEW},
        {"backbone": "resnet18", "optimizer": "sgd", "learning_rate": 0.01},
    ],
    ids=str,
)
def test_pretraining_there_gives_the_weights_of_here(
    tiny_project: Project, changes: dict[str, Any]
) -> None:
    params = tiny_project(pretrain={"epochs": 2, **changes})
    pretrain(params, untracked)
    here = weights(PRETRAINED)
    with PretendDevice():
        pretrain(on_gpu(params, "pretrain"), untracked)
    torch.testing.assert_close(weights(PRETRAINED), here, rtol=1e-9, atol=1e-9)


@pytest.mark.usefixtures("elsewhere")
def test_a_frozen_network_embeds_there_and_its_classifier_gets_the_weights_of_here(
    tiny_project: Project,
) -> None:
    params = tiny_project(pretrain={"epochs": 2, "policy": "frozen"})
    pretrain(params, untracked)
    here = weights(PRETRAINED)
    with PretendDevice():
        pretrain(on_gpu(params, "pretrain"), untracked)
    # Embeddings are kept in single precision.
    torch.testing.assert_close(weights(PRETRAINED), here, rtol=1e-3, atol=1e-4)


@pytest.mark.usefixtures("in_double", "elsewhere")
@pytest.mark.parametrize("learner", LEARNERS)
def test_meta_training_there_gives_the_weights_of_here(tiny_project: Project, learner: str) -> None:
    views = 2 if learner == "projection" else 1
    asked = {"learner": learner, "inner_steps": 2, "views": views, "selection": FEW}
    params = tiny_project(metatrain=asked)
    pretrain(params, untracked)
    metatrain(params, untracked)
    here = weights(METATRAINED)
    with PretendDevice():
        metatrain(on_gpu(params, "metatrain"), untracked)
    torch.testing.assert_close(weights(METATRAINED), here, rtol=1e-9, atol=1e-9)


def test_images_are_embedded_there_and_brought_back(
    tiny_project: Project, elsewhere: torch.device
) -> None:
    params = tiny_project()
    pretrain(params, untracked)
    metatrain(params, untracked)
    trained, part = arms(PRETRAINED, METATRAINED, 1), ImageStore(PREPARED).read("novel")
    with PretendDevice():
        here, there = (
            Embedded(trained, {"novel": part}, on).of("meta", "novel")
            for on in (PROCESSOR, elsewhere)
        )
    assert not isinstance(there, Away)
    assert torch.equal(there, here)
    assert place_of(trained["meta"].encoder) == PROCESSOR

"""What each way of training changes in the model that the stage writes, and what it must not."""

import csv
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tasks.artifacts.files import read_json, sha256
from tasks.artifacts.image_store import ImageStore
from tasks.artifacts.layout import PREPARED, PRETRAINED
from tasks.backbones.build import read_encoder
from tasks.backbones.encoder import Encoder
from tasks.errors import ParametersError
from tasks.params import Params
from tasks.pretrain.stage import pretrain
from tasks.pretrain.trainer import build_trainer
from tasks.pretrain.training import Batch, Trainer
from tasks.progress import untracked
from tests.conftest import TINY, bars, write_params

Project = Callable[..., Params]


def trained(params: Params, **changes: Any) -> dict[str, Tensor]:
    """The encoder's tensors after pretraining with other params."""
    section = type(params.pretrain).model_validate({**params.pretrain.model_dump(), **changes})
    pretrain(params.model_copy(update={"pretrain": section}), untracked)
    return read_encoder(PRETRAINED, "pretrain").state_dict()


def differing(one: dict[str, Tensor], other: dict[str, Tensor]) -> set[str]:
    return {key for key in one if not torch.equal(one[key], other[key])}


def history() -> list[dict[str, float]]:
    with (PRETRAINED / "history.csv").open() as file:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]


def test_last_block_changes_tensors_of_the_last_block_alone(tiny_project: Project) -> None:
    params = tiny_project()
    born = trained(params, policy="frozen")
    changed = differing(born, trained(params, policy="last_block"))
    assert changed == {key for key in born if key.startswith("backbone.blocks.3.")}


def test_gradual_reaches_a_block_more_after_each_wait(tiny_project: Project) -> None:
    params = tiny_project()
    born = trained(params, policy="frozen")
    for epochs, blocks in ((2, ""), (3, "3"), (5, "23")):
        after = trained(params, policy="gradual", epochs=epochs, unfreeze_every_epochs=2)
        # Until the third epoch every state is the one of birth, and the first of equals is kept.
        best = read_json(PRETRAINED / "model.json", "pretrain")["best_epoch"]
        allowed = tuple(f"backbone.blocks.{block}." for block in blocks)
        changed = differing(born, after)
        assert all(key.startswith(allowed) for key in changed)
        assert bool(changed) == (best > 2)


def test_discriminative_without_decay_is_the_full_policy_to_the_bit(tiny_project: Project) -> None:
    params = tiny_project()
    full = trained(params)
    assert not differing(full, trained(params, policy="discriminative", layer_decay=1.0))
    assert differing(full, trained(params, policy="discriminative", layer_decay=0.5))


def test_a_frozen_backbone_sees_each_image_once_whatever_the_epochs(
    tiny_project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = [0]
    forward = Encoder.forward

    def counted(self: Encoder, images: Tensor) -> Tensor:
        seen[0] += len(images)
        return forward(self, images)

    monkeypatch.setattr(Encoder, "forward", counted)
    params = tiny_project()
    store = ImageStore(PREPARED)
    base, validation = (len(store.read(part).images) for part in ("base", "validation"))
    counts = []
    for epochs in (1, 5):
        seen[0] = 0
        trained(params, policy="frozen", epochs=epochs)
        counts.append(seen[0])
    assert counts[0] == counts[1] <= base + validation
    assert read_json(PRETRAINED / "model.json", "pretrain")["best_epoch"] == 5
    rows = history()
    assert len({row["validation_accuracy"] for row in rows}) == 1
    assert rows[-1]["loss"] < rows[0]["loss"]


def test_no_generations_of_distillation_are_the_plain_run(tiny_project: Project) -> None:
    params = tiny_project()
    plain = trained(params)
    told = {"generations": 0, "weight": 0.9, "temperature": 2.0}
    assert not differing(plain, trained(params, distillation=told))


def test_each_generation_starts_anew_and_the_last_is_kept(tiny_project: Project) -> None:
    params = tiny_project()
    plain = trained(params)
    first = history()
    born_again = {"generations": 2, "weight": 0.5, "temperature": 4.0}
    assert differing(plain, trained(params, distillation=born_again))
    rows = history()
    assert rows[:2] == first
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert rows[2]["loss"] > rows[1]["loss"]  # new weights
    assert read_json(PRETRAINED / "model.json", "pretrain")["best_epoch"] in (5, 6)


@pytest.mark.parametrize("mixing", ["mixup", "cutmix"])
def test_mixing_changes_the_model_and_repeats_to_the_byte(
    tiny_project: Project, mixing: str
) -> None:
    params = tiny_project()
    plain = trained(params)
    mixed = trained(params, mixing=mixing)
    first = sha256(PRETRAINED / "encoder.safetensors")
    assert differing(plain, mixed)
    trained(params, mixing=mixing)
    assert sha256(PRETRAINED / "encoder.safetensors") == first


def test_bfloat16_is_close_to_float32_and_writes_float32(tiny_project: Project) -> None:
    params = tiny_project()
    trained(params)
    exact = history()[0]["loss"]
    tensors = trained(params, precision="bfloat16")
    # Three significant digits a product, averaged over an epoch of three steps.
    found = history()[0]["loss"]
    assert found != exact and found == pytest.approx(exact, rel=0.03)
    assert all(t.dtype in (torch.float32, torch.int64) for t in tensors.values())


def test_adam_decays_weights_otherwise_than_adamw(tiny_project: Project) -> None:
    params = tiny_project(pretrain={"weight_decay": 0.1})
    assert differing(trained(params), trained(params, optimizer="adam"))


@pytest.mark.parametrize(
    "changes",
    [{"mixing": "mixup"}, {"distillation": {"generations": 1, "weight": 0.5, "temperature": 4.0}}],
)
def test_frozen_refuses_what_needs_images_anew(
    tiny_project: Project, changes: dict[str, Any]
) -> None:
    with pytest.raises(ParametersError, match="policy: frozen embeds every image once"):
        tiny_project(pretrain={"policy": "frozen", **changes})


def test_dropout_draws_from_the_stream_of_its_step(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    section = write_params(tmp_path, TINY).pretrain

    def trainer() -> Trainer:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            network = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(256, 8))
            encoder = Encoder(network, 8, [0.0], [1.0])
            return build_trainer(section, encoder, nn.Linear(8, 6), bars("base", 6), 1, untracked)

    batch = Batch(0, False, bars("base", 6).labels * 8)
    torch.manual_seed(1)
    first = trainer().step(batch, 3)
    before = torch.random.get_rng_state()
    assert trainer().step(batch, 3) == first
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(2)
    assert trainer().step(batch, 3) == first

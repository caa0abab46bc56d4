"""What stage metatrain does: pretrained backbone -> backbone and learner that adapt."""

import logging
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tasks import optimisation
from tasks.artifacts.checkpoints import Checkpoints
from tasks.artifacts.files import complete_folder, write_csv
from tasks.artifacts.image_store import ImageStore, Part
from tasks.artifacts.layout import META_ALONE, METATRAINED, PREPARED, PRETRAINED
from tasks.artifacts.model_store import read_description, write_model
from tasks.backbones.build import EncoderSpec, build, read_encoder
from tasks.backbones.encoder import Encoder
from tasks.backbones.scale_and_shift import merge_scale_and_shift
from tasks.device import device_of
from tasks.episodes.augmentation import Augmentation
from tasks.launcher import on_ranks
from tasks.learners.selection import validation_selector
from tasks.memory import keep_freed_memory
from tasks.metatrain.build import learner_spec, outer_loop, settle_statistics
from tasks.metatrain.steps import train
from tasks.params import Params
from tasks.params.metatrain import Metatrain
from tasks.progress import Track
from tasks.randomness import entropy
from tasks.ranks.group import Ranks

logger = logging.getLogger(__name__)


def metatrain(params: Params, track: Track, key: str | None = None) -> None:
    """Fine-tune by episodes; keep the checkpoint that serves the validation classes best.

    With `metatrain.alone` the same is done from an untrained backbone, to tell what meta-learning
    does without transfer.

    Args:
        params: all of them.
        track: shows progress.
        key: fingerprint of all inputs. A run that was interrupted goes on where its last
            checkpoint under this key was kept, and ends with the same bits. None keeps none.

    Raises:
        DataError: the image store or the pretrained backbone is missing or damaged.
        ParametersError: the episodes asked for cannot be drawn from the classes there are.
        LostProcessError: of several processes, one was killed again and again.
    """
    on_ranks("metatrain", params.metatrain.processes, track, _metatrain, params, key)


def _metatrain(params: Params, key: str | None, track: Track, ranks: Ranks) -> None:
    device = device_of(params.metatrain.device, "metatrain.device")
    optimisation.deterministic(device)
    keep_freed_memory()
    store = ImageStore(PREPARED)
    params.check_episodes(store.class_sizes())
    encoder = read_encoder(PRETRAINED, "pretrain").to(device)
    description = read_description(PRETRAINED, "pretrain")["encoder"]
    data = _Data(store.read("base"), store.read("validation"), description)
    section = params.metatrain
    stages = {"metatrain": (encoder, section)}
    if section.alone:
        untrained = _untrained(description, data.base, params.seed, device)
        # Random weights know nothing that would be worth staying near to.
        whole = section.model_copy(update={"interpolation": 1.0})
        stages["metatrain-alone"] = untrained, whole
    # Only the first of several ranks writes.
    with complete_folder(METATRAINED) if ranks.first else nullcontext() as folder:
        for name, (start, asked) in stages.items():
            if name == "metatrain-alone":
                logger.info("the same from an untrained backbone, for comparison")
            checkpoints = Checkpoints(name, key, ranks)
            trained = _meta_train(asked, params.seed, start, data, checkpoints, track, ranks)
            if folder is not None:
                trained.write(folder / META_ALONE if name == "metatrain-alone" else folder)
    for name in stages:
        Checkpoints(name, key, ranks).clear()


@dataclass(frozen=True)
class _Data:
    base: Part
    validation: Part
    encoder: Mapping[str, Any]


@dataclass(frozen=True)
class _Trained:
    modules: dict[str, torch.nn.Module]
    description: dict[str, Any]
    history: list[dict[str, float | None]]

    def write(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        write_model(folder, self.modules, self.description)
        write_csv(folder / "history.csv", self.history, list(self.history[0]))


def _meta_train(
    section: Metatrain,
    seed: int,
    encoder: Encoder,
    data: _Data,
    checkpoints: Checkpoints,
    track: Track,
    ranks: Ranks,
) -> _Trained:
    spec = learner_spec(section, encoder)
    loop = outer_loop(section, encoder, spec, data.base, seed, ranks)
    selector = validation_selector(
        data.validation,
        Augmentation(**section.augmentation.model_dump()),
        **section.selection.model_dump(),
        seed=seed,
    )
    selector.ranks = ranks
    selector.frozen = section.freezes_backbone
    history = train(loop, selector, data.base, section, checkpoints, track, seed)
    encoder, learner = loop.kept
    selector.restore(encoder, learner)
    merge_scale_and_shift(encoder)
    logger.info("kept step %d of %d", selector.best_at, section.steps)
    description = {
        "encoder": data.encoder,
        "learner": spec.as_json(),
        "best_step": selector.best_at,
        "validation_accuracy": selector.best_accuracy,
    }
    return _Trained({"encoder": encoder, "learner": learner}, description, history)


def _untrained(
    description: Mapping[str, Any], base: Part, seed: int, device: torch.device
) -> Encoder:
    with torch.random.fork_rng():
        torch.manual_seed(entropy(seed, "metatrain", "alone") % 2**63)
        encoder = build(EncoderSpec(**description)).to(device)
    settle_statistics(encoder, base, seed)
    return encoder

"""What stage pretrain does: image store -> backbone and base classifier."""

import logging

import torch
from torch import nn

from tasks import optimisation
from tasks.artifacts.checkpoints import Checkpoints
from tasks.artifacts.files import complete_folder, write_csv
from tasks.artifacts.image_store import ImageStore, Part
from tasks.artifacts.layout import PREPARED, PRETRAINED
from tasks.artifacts.model_store import write_model
from tasks.backbones.build import EncoderSpec, build, describe
from tasks.backbones.encoder import Encoder
from tasks.backbones.weights import load_weights
from tasks.device import device_of
from tasks.episodes.augmentation import Augmentation
from tasks.heads.classifier import build_classifier
from tasks.launcher import on_ranks
from tasks.learners.selection import validation_selector
from tasks.memory import keep_freed_memory
from tasks.params import Params
from tasks.params.pretrain import Pretrain
from tasks.pretrain.cross_validation import Decision, decision_rows, find_rates
from tasks.pretrain.generations import Trained, train_generations
from tasks.pretrain.scouts import make_scouts
from tasks.pretrain.trainer import build_trainer
from tasks.pretrain.training import Trainer
from tasks.progress import Track
from tasks.randomness import entropy
from tasks.ranks.group import Ranks

logger = logging.getLogger(__name__)


def pretrain(params: Params, track: Track, key: str | None = None) -> None:
    """Train on the base classes; keep the epoch that serves the validation classes best.

    Args:
        params: all of them.
        track: shows progress.
        key: fingerprint of all inputs. A run that was interrupted goes on where its last
            checkpoint under this key was kept, and ends with the same bits. None keeps none.

    Raises:
        DataError: the image store or the ImageNet weights are missing.
        ParametersError: the episodes asked for cannot be drawn from the classes there are.
        LostProcessError: of several processes, one was killed again and again.
    """
    on_ranks("pretrain", params.pretrain.processes, track, _pretrain, params, key)


def _pretrain(params: Params, key: str | None, track: Track, ranks: Ranks) -> None:
    section = params.pretrain
    device = device_of(section.device, "pretrain.device")
    optimisation.deterministic(device)
    keep_freed_memory()
    store = ImageStore(PREPARED)
    params.check_episodes(store.class_sizes())
    base = store.read("base")
    spec = describe(
        section.backbone,
        channels=store.channels,
        conv4_widths=section.conv4_widths,
        conv4_embedding=section.conv4_embedding,
        stored_px=store.side_px,
        input_size_px=section.input_size_px,
        weights=section.weights,
    )

    search = Checkpoints("pretrain_rates", key, ranks)
    decisions = _search(section, spec, base, params.seed, device, search, track, ranks)
    factors = [section.cross_validation.factor**one.winner for one in decisions]

    def start(generation: int) -> Trainer:
        modules = _start(section, spec, len(base.classes), params.seed, device, generation)
        return build_trainer(section, *modules, base, params.seed, track, factors, ranks)

    selector = validation_selector(
        store.read("validation"),
        Augmentation(**section.augmentation.model_dump()),
        **section.selection.model_dump(),
        seed=params.seed,
    )
    selector.ranks = ranks
    checkpoints = Checkpoints("pretrain", key, ranks)
    trained = train_generations(start, selector, checkpoints, section, track)
    logger.info("kept epoch %d of %d", trained.epoch, len(trained.history))
    if ranks.first:
        _write(params, spec, len(base.classes), trained, decisions)
    checkpoints.clear()
    search.clear()


def _write(
    params: Params, spec: EncoderSpec, classes: int, trained: Trained, decisions: list[Decision]
) -> None:
    section = params.pretrain
    description = {
        "encoder": spec.as_json(),
        "weights": section.weights,
        "classifier": {
            "name": section.classifier,
            "dim": trained.encoder.width,
            "classes": classes,
        },
        "best_epoch": trained.epoch,
        "validation_accuracy": trained.accuracy,
    }
    modules = {"encoder": trained.encoder, "classifier": trained.classifier}
    with complete_folder(PRETRAINED) as folder:
        write_model(folder, modules, description)
        write_csv(folder / "history.csv", trained.history, list(trained.history[0]))
        if decisions:
            factor = section.cross_validation.factor
            rows = decision_rows(decisions, section.learning_rate, factor)
            write_csv(folder / "rates.csv", rows, list(rows[0]))


def _search(
    section: Pretrain,
    spec: EncoderSpec,
    base: Part,
    seed: int,
    device: torch.device,
    search: Checkpoints,
    track: Track,
    ranks: Ranks,
) -> list[Decision]:
    """Ask scouts for the rates, where the schedule is to follow them."""
    if section.schedule != "cross_validation":
        return []
    asked = section.cross_validation
    plain = section.model_copy(update={"schedule": "constant"})

    def trainer_of(fold: int) -> Trainer:
        own = entropy(seed, "pretrain", "scout", fold) % 2**63
        return build_trainer(
            plain,
            *_start(section, spec, len(base.classes), own, device, 0),
            base,
            own,
            track,
            ranks=ranks,
        )

    scouts = make_scouts(
        base,
        trainer_of,
        Augmentation(**section.augmentation.model_dump()),
        folds=asked.folds,
        selection=section.selection.model_dump() | {"episodes": asked.episodes},
        batch_size=section.batch_size,
        epochs=section.epochs,
        seed=seed,
    )
    return find_rates(
        scouts, points=asked.points, factor=asked.factor, checkpoints=search, track=track
    )


def _start(
    section: Pretrain,
    spec: EncoderSpec,
    classes: int,
    seed: int,
    device: torch.device,
    generation: int,
) -> tuple[Encoder, nn.Module]:
    later = (generation,) if generation else ()
    with torch.random.fork_rng():
        torch.manual_seed(entropy(seed, "pretrain", "weights", *later) % 2**63)
        encoder = build(spec)
        classifier = build_classifier(section.classifier, encoder.width, classes)
    load_weights(encoder, spec, section.weights, section.weights_sha256)
    return encoder.to(device), classifier.to(device)

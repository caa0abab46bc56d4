"""What stage metatrain does: pretrained backbone -> backbone and learner that adapt."""

import logging

from tasks import optimisation
from tasks.artifacts.files import complete_folder, write_csv
from tasks.artifacts.image_store import ImageStore, Part
from tasks.artifacts.layout import METATRAINED, PREPARED, PRETRAINED
from tasks.artifacts.model_store import read_description, write_model
from tasks.backbones.build import read_encoder
from tasks.backbones.encoder import Encoder
from tasks.episodes.augmentation import Augmentation
from tasks.episodes.sampler import Pool
from tasks.learners.learner import LearnerSpec, build_learner
from tasks.learners.selection import Selector, validation_selector
from tasks.metatrain.outer_loop import OuterLoop
from tasks.params import Params
from tasks.params.metatrain import Metatrain
from tasks.progress import Track

logger = logging.getLogger(__name__)


def metatrain(params: Params, track: Track) -> None:
    """Fine-tune by episodes; keep the checkpoint that serves the validation classes best.

    Raises:
        DataError: the image store or the pretrained backbone is missing or damaged.
        ParametersError: the episodes asked for cannot be drawn from the classes there are.
    """
    section = params.metatrain
    optimisation.deterministic()
    store = ImageStore(PREPARED)
    params.check_episodes(store.class_sizes())
    encoder = read_encoder(PRETRAINED, "pretrain")
    spec = LearnerSpec(
        section.learner,
        encoder.width,
        section.initial_temperature,
        section.inner_steps,
        section.inner_learning_rate,
        section.first_order,
    )
    loop = _outer_loop(section, encoder, spec, store.read("base"), params.seed)
    selector = validation_selector(
        store.read("validation"),
        loop.augmentation,
        **section.selection.model_dump(),
        seed=params.seed,
    )
    history = _train(loop, selector, section, track)
    encoder, learner = loop.averaged
    selector.restore(encoder, learner)
    logger.info("kept step %d of %d", selector.best_at, section.steps)
    description = {
        "encoder": read_description(PRETRAINED, "pretrain")["encoder"],
        "learner": spec.as_json(),
        "best_step": selector.best_at,
        "validation_accuracy": selector.best_accuracy,
    }
    with complete_folder(METATRAINED) as folder:
        write_model(folder, {"encoder": encoder, "learner": learner}, description)
        write_csv(folder / "history.csv", history, list(history[0]))


def _outer_loop(
    section: Metatrain, encoder: Encoder, spec: LearnerSpec, base: Part, seed: int
) -> OuterLoop:
    learner = build_learner(spec)
    optimizer = optimisation.optimizer(
        "adamw",
        [*encoder.parameters(), *learner.parameters()],
        section.learning_rate,
        section.weight_decay,
    )
    return OuterLoop(
        encoder=encoder,
        learner=learner,
        part=base,
        augmentation=Augmentation(**section.augmentation.model_dump()),
        optimizer=optimizer,
        schedule=optimisation.schedule(
            section.schedule,
            optimizer,
            total_steps=max(1, section.steps),
            decay=section.exponential_decay,
            decay_every_steps=(section.exponential_every_batches or section.checkpoint_every_steps),
            plateau_factor=section.plateau.factor,
            plateau_patience=section.plateau.patience,
        ),
        averaging=section.averaging,
        seed=seed,
    )


def _train(
    loop: OuterLoop, selector: Selector, section: Metatrain, track: Track
) -> list[dict[str, float | None]]:
    """All steps, scored at each checkpoint, the start included; returns a row a checkpoint."""
    pool = Pool(loop.part.labels)
    encoder, learner = loop.averaged
    start = selector.score(0, encoder, learner, learner=learner)
    history: list[dict[str, float | None]] = [
        {"step": 0, "loss": None, "validation_accuracy": start, "learning_rate": None}
    ]
    logger.info("before the first step: validation episodes %.2f %%", 100 * start)
    losses: list[float] = []
    for number in track(range(section.steps), "meta-training", section.steps):
        episodes = pool.draw(
            number * section.meta_batch,
            section.meta_batch,
            way=section.way,
            shot=section.shot,
            queries=section.queries,
            seed=loop.seed,
            purpose="metatrain",
        )
        rate = loop.schedule.rate
        losses.append(loop.step(episodes, number))
        step = number + 1
        if step % section.checkpoint_every_steps and step != section.steps:
            continue
        loss = sum(losses) / len(losses)
        losses.clear()
        accuracy = selector.score(step, encoder, learner, learner=learner)
        loop.schedule.listen(accuracy)
        history.append(
            {
                "step": step,
                "loss": loss,
                "validation_accuracy": accuracy,
                "learning_rate": rate,
            }
        )
        logger.info(
            "step %d of %d: loss %.3f, validation episodes %.2f %%",
            step,
            section.steps,
            loss,
            100 * accuracy,
        )
    return history

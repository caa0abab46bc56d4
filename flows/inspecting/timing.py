"""A few real steps of training on random images: how long each takes, and how much memory.

Runs in a process of its own, the only one here that imports torch.
"""

import copy
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from tasks import optimisation
from tasks.artifacts.image_store import ImageClass, Part
from tasks.backbones.build import build, describe
from tasks.backbones.encoder import Encoder, embed
from tasks.episodes.sampler import Pool
from tasks.heads.classifier import build_classifier
from tasks.learners.cosine import Cosine
from tasks.learners.learner import as_learner, build_learner
from tasks.learners.scoring import episode_scores, model_scores
from tasks.metatrain.build import learner_spec, outer_loop
from tasks.params import Params
from tasks.pretrain.trainer import build_trainer
from tasks.pretrain.training import Batch
from tasks.progress import untracked

_STEPS = 20
_BUDGET_S = 2.0  # after it no further step of a kind is begun
_EMBEDDED = 128
_EPISODES = 10
_POOL = 64


@dataclass(frozen=True)
class Timed:
    """What was measured.

    Attributes:
        pretrain_step_s: of one batch.
        metatrain_step_s: of one meta-batch.
        embed_image_s: of one image, in evaluation mode.
        selection_episode_s: of one episode of `pretrain.selection`.
        checkpoint_episode_s: of one episode of `metatrain.selection`.
        protocol_episode_s: of one episode of each of `evaluate.protocols`, by one learner.
        width: length of an embedding.
        peak_bytes: the most memory that the process held.
    """

    pretrain_step_s: float
    metatrain_step_s: float
    embed_image_s: float
    selection_episode_s: float
    checkpoint_episode_s: float
    protocol_episode_s: tuple[float, ...]
    width: int
    peak_bytes: int


def time_steps(params: Params, base_classes: int) -> Timed:
    """Measure on this machine, as it is now.

    Args:
        params: of the run.
        base_classes: how many classes the classifier tells apart.

    Raises:
        HeadstartError: the params name what there is not.
    """
    optimisation.deterministic()
    torch.manual_seed(0)
    generator = np.random.default_rng(0)
    prepare, meta = params.prepare, params.metatrain
    side = (prepare.image_size_px, prepare.image_size_px, prepare.channels)

    def noise(classes: int, images: int) -> Part:
        pixels = generator.integers(0, 256, (classes * images, *side), np.uint8)
        names = tuple(ImageClass(str(index), "", images) for index in range(classes))
        return Part(pixels, np.repeat(np.arange(classes), images), names)

    encoder = build(
        describe(
            params.pretrain.backbone,
            channels=prepare.channels,
            conv4_widths=params.pretrain.conv4_widths,
            conv4_embedding=params.pretrain.conv4_embedding,
            stored_px=prepare.image_size_px,
            input_size_px=params.pretrain.input_size_px,
            weights=params.pretrain.weights,
        )
    )
    batch = noise(1, params.pretrain.batch_size)
    pretrain_step_s = _pretrain_step_s(params, encoder, base_classes, batch)
    encoder.requires_grad_(True)
    learner = build_learner(learner_spec(meta, encoder))
    episode_images = noise(meta.way, meta.shot + meta.queries)
    metatrain_step_s = _metatrain_step_s(params, copy.deepcopy(encoder), episode_images)
    some = noise(1, _EMBEDDED).images
    embed_image_s = _seconds(lambda _: embed(encoder, some)) / _EMBEDDED
    pretrain_selection, selection = params.pretrain.selection, meta.selection
    prototypes = Cosine(initial_temperature=1.0)
    kinds = [
        (prototypes, pretrain_selection.way, pretrain_selection.shot, pretrain_selection.queries),
        (learner, selection.way, selection.shot, selection.queries),
        *(
            (learner, kind.least_way, kind.shot, params.evaluate.queries)
            for kind in params.evaluate.protocols
        ),
    ]
    pool = noise(1, _POOL).images
    episodes = [_episode_s(encoder, module, pool, *asked) for module, *asked in kinds]
    return Timed(
        pretrain_step_s,
        metatrain_step_s,
        embed_image_s,
        episodes[0],
        episodes[1],
        tuple(episodes[2:]),
        encoder.width,
        _peak_bytes(),
    )


def _pretrain_step_s(params: Params, encoder: Encoder, classes: int, images: Part) -> float:
    section = params.pretrain
    classifier = build_classifier(section.classifier, encoder.width, classes)
    # A constant rate: others end after the steps of a training.
    constant = section.model_copy(update={"schedule": "constant"})
    trainer = build_trainer(constant, encoder, classifier, images, 0, untracked)
    # By the last epoch, everything learns that is to.
    batch = Batch(section.epochs - 1, False, np.arange(len(images.images)))
    return _seconds(lambda number: trainer.step(batch, number))


def _metatrain_step_s(params: Params, encoder: Encoder, images: Part) -> float:
    section = params.metatrain.model_copy(update={"schedule": "constant"})
    loop = outer_loop(section, encoder, learner_spec(section, encoder), images, 0)
    episodes = Pool(images.labels).draw(
        0,
        section.meta_batch,
        way=section.way,
        shot=section.shot,
        queries=section.queries,
        seed=0,
        purpose="inspect",
    )
    return _seconds(lambda number: loop.step(episodes, number))


def _episode_s(
    encoder: Encoder,
    module: torch.nn.Module,
    images: NDArray[np.uint8],
    way: int,
    shot: int,
    queries: int,
) -> float:
    labels: NDArray[np.int64] = np.repeat(np.arange(way), shot + queries)
    episodes = Pool(labels).draw(
        0, _EPISODES, way=way, shot=shot, queries=queries, seed=0, purpose="inspect"
    )
    embeddings = torch.randn(len(labels), encoder.width)
    repeated = images[np.arange(len(labels)) % len(images)]
    if not as_learner(module).moves_network:
        scores = partial(episode_scores, as_learner(module.eval()), embeddings)
        return _seconds(lambda _: scores(episodes)) / _EPISODES
    one = episodes.between(0, 1)
    return _seconds(lambda _: model_scores(encoder, module, repeated, embeddings, one))


def _seconds(work: Callable[[int], object]) -> float:
    """Seconds of the fastest of some runs, after a first that does not count.

    The fastest, because other programs only ever make a run slower, and small ones by a lot.
    """
    work(0)
    times: list[float] = []
    while not times or (len(times) < _STEPS and sum(times) < _BUDGET_S):
        started = time.perf_counter()
        work(1 + len(times))
        times.append(time.perf_counter() - started)
    return min(times)


def _peak_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024

"""Answers of every arm to the same episodes of every protocol."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tasks.artifacts.image_store import Part
from tasks.episodes.protocol import draw_protocol
from tasks.episodes.sampler import Episodes
from tasks.evaluate.arms import TITLES, Arm, Embedded
from tasks.evaluate.fitting import Size
from tasks.evaluate.measured import Answers, Measured
from tasks.evaluate.tuning import Tuner
from tasks.learners.learner import as_learner
from tasks.learners.scoring import model_scores
from tasks.params.evaluate import Protocol
from tasks.progress import Track, untracked

_CHUNK_SCORES = 10_000_000  # bounds the memory of scores that are held at a time, 40 MB


def measure(
    kinds: Sequence[Protocol],
    arms: Mapping[str, Arm],
    embedded: Embedded,
    tuner: Tuner | None,
    track: Track,
    *,
    episodes: int,
    queries: int,
    seed: int,
) -> list[Measured]:
    """Run all protocols.

    Args:
        kinds: the protocols.
        arms: what is compared.
        embedded: embeddings of the parts that they name.
        tuner: makes the arm `tuned` from `transfer`; None leaves it out.
        track: shows progress.
        episodes: of each protocol.
        queries: images of a class in an episode.
        seed: `seed` of `params.yaml`.

    Raises:
        DataError: a domain has too few classes, or too few images in them.
    """
    results = []
    for kind in track(kinds, "episodes", len(kinds)):
        part = embedded.parts[kind.domain]
        drawn = draw(kind, part, episodes, queries=queries, seed=seed)
        # What is tuned is tuned to the way of the episodes, once it is known.
        size = Size(drawn.classes.shape[1], kind.shot, queries)
        choice = tuner.choose(size, kind.imbalanced) if tuner else None
        told = {}
        for name in TITLES:
            if name in arms:
                found = arms[name], embedded.of(name, kind.domain)
            elif name == "tuned" and choice:
                transfer = arms["transfer"].encoder
                found = (
                    Arm(transfer, choice.learner, choice.candidate.spec),
                    embedded.of("transfer", kind.domain),
                )
            else:
                continue
            told[name] = answers(*found, part.images, drawn, track)
        results.append(Measured(kind, drawn, told, choice.summary() if choice else None))
    return results


def draw(kind: Protocol, part: Part, episodes: int, *, queries: int, seed: int) -> Episodes:
    """The episodes of a protocol.

    Args:
        kind: the protocol.
        part: the images that they are drawn from.
        episodes: how many.
        queries: images of a class in an episode.
        seed: `seed` of `params.yaml`.

    Raises:
        DataError: the part has too few classes, or too few images in them.
    """
    purpose = f"evaluate {kind.domain}"
    return draw_protocol(kind, part, queries=queries, seed=seed, purpose=purpose, episodes=episodes)


def answers(
    arm: Arm,
    embeddings: Tensor,
    images: NDArray[np.uint8],
    episodes: Episodes,
    track: Track = untracked,
) -> Answers:
    """What an arm says about all queries, some episodes at a time: all classes make many scores.

    Args:
        arm: answers.
        embeddings: by its encoder, of the same images.
        images: that the episodes name.
        episodes: which images.
        track: shows the progress of arms that adapt their network.
    """
    count, way, queries = episodes.query.shape
    moves = as_learner(arm.learner).moves_network
    chunk = max(1, _CHUNK_SCORES // (way * way * queries))
    predicted, confidence = [], []
    for at in range(0, count, chunk):
        scores = model_scores(
            arm.encoder,
            arm.learner,
            images,
            embeddings,
            episodes.between(at, at + chunk),
            track if moves else untracked,
        )
        guess = scores.argmax(dim=-1)
        sure = torch.gather(scores.softmax(dim=-1), -1, guess[..., None])
        predicted.append(guess.numpy())
        confidence.append(sure[..., 0].numpy())
    return Answers(np.concatenate(predicted), np.concatenate(confidence))

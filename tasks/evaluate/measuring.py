"""Answers of every arm to the same episodes of every protocol."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tasks.artifacts.image_store import Part
from tasks.episodes.protocol import draw_protocol
from tasks.episodes.sampler import Episodes
from tasks.evaluate.arms import TITLES, Arm, Embedded
from tasks.evaluate.fan_out import FanOut
from tasks.evaluate.fitting import Size
from tasks.evaluate.measured import Answers, Measured
from tasks.evaluate.run_length import moving, run_length
from tasks.evaluate.tuning import Tuner
from tasks.learners.scoring import model_scores
from tasks.params.evaluate import Protocol


def measure(
    kinds: Sequence[Protocol],
    arms: Mapping[str, Arm],
    embedded: Embedded,
    tuner: Tuner | None,
    fan_out: FanOut,
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
        fan_out: works on the episodes.
        episodes: of each protocol.
        queries: images of a class in an episode.
        seed: `seed` of `params.yaml`.

    Raises:
        DataError: a domain has too few classes, or too few images in them.
    """
    results = []
    for kind in fan_out.track(kinds, "episodes", len(kinds)):
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
                best = replace(arms["transfer"], learner=choice.learner, spec=choice.candidate.spec)
                found = best, embedded.of("transfer", kind.domain)
            else:
                continue
            told[name] = answers(*found, part.images, drawn, fan_out)
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
    fan_out: FanOut | None = None,
) -> Answers:
    """What an arm says about all queries.

    Args:
        arm: answers.
        embeddings: by its encoder, of the same images.
        images: that the episodes name.
        episodes: which images.
        fan_out: works on them; None is this process.
    """
    length, label = run_length(arm, embeddings, episodes), moving(arm)
    told = (fan_out or FanOut()).over(
        episodes, length, _answers, arm, embeddings, images, label=label
    )
    return Answers(*(np.concatenate(columns) for columns in zip(*told, strict=True)))


def _answers(
    arm: Arm, embeddings: Tensor, images: NDArray[np.uint8], episodes: Episodes
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    scores = model_scores(arm.encoder, arm.learner, images, embeddings, episodes)
    guess = scores.argmax(dim=-1)
    sure = torch.gather(scores.softmax(dim=-1), -1, guess[..., None])
    return guess.numpy(), sure[..., 0].numpy()

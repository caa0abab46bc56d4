"""How long adaptation takes on this machine, one episode at a time, as a user of it waits."""

import time
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from tasks.artifacts.image_store import Part
from tasks.backbones.encoder import Encoder, embed
from tasks.episodes.sampler import Episodes, Pool
from tasks.evaluate.adaptation_curve import AdaptationCurve, starts_of
from tasks.evaluate.arms import Arm
from tasks.evaluate.trajectories import STEPS, Start
from tasks.heads.prototype import membership
from tasks.learners.steps_by_scores import steps_by_scores

_REPEATS = 13  # the first warms up and does not count
_RATE = 1.0  # any: a step takes as long at one as at another

Seconds = Mapping[str, NDArray[np.float64]]


def time_curves(
    curves: Sequence[AdaptationCurve],
    arms: Mapping[str, Arm],
    parts: Mapping[str, Part],
    seed: int,
) -> dict[str, Seconds]:
    """Seconds of every start of every curve, by the curve's key; other runs take other seconds.

    Args:
        curves: as measured.
        arms: with the learners that were meta-trained.
        parts: the images of their domains.
        seed: `seed` of `params.yaml`.
    """
    starts = {name: (arms[arm].encoder, start) for name, (arm, start) in starts_of(arms).items()}
    found = {}
    for curve in curves:
        part = parts[curve.domain]
        purpose = f"evaluate curve {curve.domain}"
        drawn = curve.size.draw(Pool(part.labels), _REPEATS, seed=seed, purpose=purpose)
        found[curve.key] = adaptation_seconds(starts, part.images, drawn)
    return found


def adaptation_seconds(
    starts: Mapping[str, tuple[Encoder, Start]],
    images: NDArray[np.uint8],
    episodes: Episodes,
) -> Seconds:
    """Seconds from the support images to a head, embedding them included.

    Args:
        starts: encoder and start of each.
        images: stored images that the episodes name.
        episodes: the first few are timed.

    Returns:
        Start -> seconds at each of `STEPS` `(step,)`, the fastest of some episodes: other programs
        only ever make one slower.
    """
    repeats = min(_REPEATS, len(episodes.support))
    return {
        name: np.min(
            [
                _seconds(encoder, start, images, episodes.between(at, at + 1))
                for at in range(repeats)
            ][1:],
            axis=0,
        )
        for name, (encoder, start) in starts.items()
    }


@torch.no_grad()
def _seconds(
    encoder: Encoder, start: Start, images: NDArray[np.uint8], episode: Episodes
) -> list[float]:
    _, way, shot = episode.support.shape
    classes = torch.arange(way)
    labels = torch.from_numpy(episode.support_labels())
    began = time.perf_counter()
    raw = embed(encoder, images[episode.support.ravel()]).view(1, way * shot, -1)
    features, weight, bias = start.rule(raw, labels, classes)
    member = membership(labels, classes, raw.dtype)
    rates = torch.full((1, STEPS[-1]), _RATE)
    found = []
    for step, _ in enumerate(steps_by_scores(features, member, weight, bias, rates)):
        if step in STEPS:
            found.append(time.perf_counter() - began)
    return found

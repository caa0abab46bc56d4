"""Chooses the best of several states of a model by episodes on the validation classes."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tasks.artifacts.image_store import Part
from tasks.backbones.encoder import Encoder, embed, pixels
from tasks.backbones.kept import embed_kept
from tasks.episodes.augmentation import Augmentation
from tasks.episodes.sampler import Episodes, Pool
from tasks.learners.scoring import accuracies, model_scores
from tasks.randomness import torch_generator
from tasks.ranks.group import ALONE, Ranks

_CHUNK_FLOATS = 2_000_000  # of images varied at a time, 8 MB


@dataclass
class Selector:
    """Scores an encoder with a learner, and remembers the best state it has seen.

    Every state is scored on the same episodes. A later state must be better, not equal, to win.

    Attributes:
        part: the validation classes.
        episodes: drawn from them once.
        best_accuracy: mean accuracy of the best state, 0..1; -1 before the first.
        best_at: what `score` was told about the best state.
        frozen: whether the encoder is always the same, so that images are embedded only once.
        ranks: that share out images and episodes; every one learns the score.
    """

    part: Part
    episodes: Episodes
    frozen: bool = False
    ranks: Ranks = ALONE
    best_accuracy: float = -1.0
    best_at: int = -1
    _best_states: list[dict[str, Any]] = field(default_factory=list)
    _embedded: Tensor | None = None

    def score(self, at: int, encoder: Encoder, *others: nn.Module, learner: nn.Module) -> float:
        """Score a state and keep a copy of it when it is the best yet.

        Args:
            at: number of the epoch or step.
            encoder: embeds the validation images, in evaluation mode.
            others: modules that belong to the state beside the encoder.
            learner: adapts to the episodes.

        Returns:
            Mean accuracy, 0..1.
        """
        embeddings = self._embeddings(encoder)
        own = self.ranks.rows(len(self.episodes.classes))
        episodes = self.episodes.between(own.start, own.stop)
        scores = model_scores(encoder, learner, self.part.images, embeddings, episodes)
        each = self.ranks.joined(accuracies(scores, episodes), len(self.episodes.classes))
        accuracy = each.mean().item()
        if accuracy > self.best_accuracy:
            self.best_accuracy, self.best_at = accuracy, at
            self._best_states = [copy.deepcopy(m.state_dict()) for m in (encoder, *others)]
        return accuracy

    def _embeddings(self, encoder: Encoder) -> Tensor:
        if self._embedded is None or not self.frozen:
            count = len(self.part.images)
            embedding = embed_kept if self.frozen else embed
            own = embedding(encoder, self.part.images[self.ranks.rows(count)])
            self._embedded = self.ranks.joined(own, count)
        return self._embedded

    def state_dict(self) -> dict[str, Any]:
        """All that a later `load_state_dict` needs to go on choosing."""
        return {
            "best_accuracy": self.best_accuracy,
            "best_at": self.best_at,
            "best_states": self._best_states,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        self.best_accuracy, self.best_at = state["best_accuracy"], state["best_at"]
        self._best_states = state["best_states"]

    def restore(self, *modules: nn.Module) -> None:
        """Put the best state back into the modules, in the order that `score` was given."""
        for module, state in zip(modules, self._best_states, strict=True):
            module.load_state_dict(state)


def validation_selector(
    part: Part,
    augmentation: Augmentation,
    *,
    way: int,
    shot: int,
    queries: int,
    episodes: int,
    seed: int,
    within_group: bool = False,
) -> Selector:
    """A selector over seeded episodes of the validation classes, their images varied once.

    Pretrain and metatrain draw from the same streams, so their accuracies can be compared.

    Varied as in training, because that is where states differ: as they are in the store, the
    images of a clean source are told apart by every later epoch alike.

    Args:
        part: the validation classes.
        augmentation: varies each image, the same way for every state.
        way: classes in an episode.
        shot: support images of a class.
        queries: query images of a class.
        episodes: how many.
        seed: `seed` of `params.yaml`.
        within_group: whether all classes of an episode come from one group.

    Raises:
        DataError: the validation classes are too few or too small for such episodes.
    """
    drawn = Pool(part.labels).draw(
        0,
        episodes,
        way=way,
        shot=shot,
        queries=queries,
        seed=seed,
        purpose="selection",
        groups=part.groups if within_group else None,
    )
    used, places = np.unique(np.concatenate([drawn.support, drawn.query], 2), return_inverse=True)
    images = _varied(part.images, used, augmentation, seed)
    episodes_of_used = Episodes(drawn.classes, places[..., :shot].copy(), places[..., shot:].copy())
    return Selector(Part(images, part.labels[used], part.classes), episodes_of_used)


def _varied(
    images: NDArray[np.uint8],
    used: NDArray[np.int64],
    augmentation: Augmentation,
    seed: int,
) -> NDArray[np.uint8]:
    """The images used, each varied once; in chunks, for they may be many and large."""
    generator = torch_generator(seed, "selection", "augmentation")
    chunk = max(1, _CHUNK_FLOATS // images[0].size)
    parts = []
    for start in range(0, len(used), chunk):
        some = pixels(images[used[start : start + chunk]])
        varied = augmentation(some, generator).permute(0, 2, 3, 1)
        parts.append((varied * 255).round().to(torch.uint8).numpy())
    return np.concatenate(parts)

"""Transfer alone at its best: the backbone with the adaptation that validation classes prefer.

What meta-training is ahead of transfer alone could also be had by a better head. So transfer may
choose among heads that need no meta-training, on episodes of validation classes of the same way
and shot; novel classes take no part in the choice.

Source: Chen et al., A Closer Look at Few-shot Classification, 2019 (fine-tuned baselines); Wang et
al., SimpleShot, 2019 (centred cosine); Tian et al., Rethinking Few-Shot Image Classification, 2020
(that a good head on a good embedding is hard to beat).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from tasks.artifacts.image_store import Part
from tasks.episodes.sampler import Episodes, Pool, imbalanced
from tasks.evaluate.arms import Arm
from tasks.evaluate.fan_out import FanOut
from tasks.evaluate.fitting import Size, fitting
from tasks.evaluate.heads import Centre, build_head
from tasks.evaluate.run_length import moving, run_length
from tasks.learners.scoring import accuracies, model_scores
from tasks.learners.spec import LearnerSpec
from tasks.params.evaluate import FineTuning

_PURPOSE = "evaluate tuned"


@dataclass(frozen=True)
class Candidate:
    """One way to adapt, and how the report calls it."""

    title: str
    spec: LearnerSpec


@dataclass(frozen=True)
class Choice:
    """What validation classes preferred.

    Attributes:
        candidate: the best of them, the first of equals.
        learner: built from it; the module is a `Learner`.
        size: of the validation episodes.
        scores: title of each candidate -> mean validation accuracy, 0..1.
    """

    candidate: Candidate
    learner: nn.Module
    size: Size
    scores: dict[str, float]

    def summary(self) -> dict[str, Any]:
        """What `metrics.json` holds."""
        return {
            "chosen": self.candidate.title,
            "learner": self.candidate.spec.name,
            "validation_accuracy": self.scores[self.candidate.title],
            "validation_way": self.size.way,
            "validation_shot": self.size.shot,
            "candidates": self.scores,
        }


def candidates(dim: int, temperature: float, section: FineTuning) -> list[Candidate]:
    """Everything that is tried, the simplest first.

    Args:
        dim: length of an embedding.
        temperature: of cosines and scale of scores; shapes probabilities, and the answers of none
            but those that fine-tune the network.
        section: the grids.
    """
    plain = LearnerSpec("prototype", dim, temperature)
    found = [
        Candidate("prototypes", plain),
        Candidate("cosine", replace(plain, name="cosine")),
        Candidate("centred cosine", replace(plain, name="centred_cosine")),
    ]
    found += [
        Candidate(f"ridge, lambda {one:g}", replace(plain, name="ridge", initial_penalty=one))
        for one in section.penalties
    ]
    found += [
        Candidate(
            f"linear fine-tuning, rate {rate:g}, {steps} steps",
            replace(plain, name="linear_fine_tuning", inner_learning_rate=rate, inner_steps=steps),
        )
        for rate in section.learning_rates
        for steps in section.steps
    ]
    if section.network:
        found += [
            Candidate(
                f"network fine-tuning, rate {rate:g}, {steps} steps",
                replace(
                    plain,
                    name="network_fine_tuning",
                    inner_learning_rate=1.0,
                    network_learning_rate=rate,
                    inner_steps=steps,
                ),
            )
            for rate in section.network_learning_rates
            for steps in section.network_steps
        ]
    return found


@dataclass
class Tuner:
    """Chooses once for each size of episode.

    Attributes:
        transfer: has the backbone.
        validation: the classes that choose.
        embeddings: of their images.
        tried: the candidates.
        centre: mean of base embeddings.
        episodes: how many choose.
        seed: `seed` of `params.yaml`.
        fan_out: works on the episodes.
    """

    transfer: Arm
    validation: Part
    embeddings: Tensor
    tried: Sequence[Candidate]
    centre: Centre
    episodes: int
    seed: int
    fan_out: FanOut = field(default_factory=FanOut)
    _chosen: dict[tuple[Size, bool], Choice] = field(default_factory=dict)

    def choose(self, asked: Size, uneven: bool = False) -> Choice | None:
        """The candidate that serves validation episodes of this size best.

        Args:
            asked: shrinks to what the validation classes carry.
            uneven: whether the classes of an episode differ in shots.

        Returns:
            None where the validation classes carry no episode at all.
        """
        pool = Pool(self.validation.labels)
        size = fitting(pool, asked)
        if size is None:
            return None
        if (size, uneven) not in self._chosen:
            self._chosen[size, uneven] = self._best(pool, size, uneven)
        return self._chosen[size, uneven]

    def _best(self, pool: Pool, size: Size, uneven: bool) -> Choice:
        drawn = size.draw(pool, self.episodes, seed=self.seed, purpose=_PURPOSE)
        if uneven:
            drawn = imbalanced(drawn, 0, seed=self.seed, purpose=_PURPOSE)
        best, scores = None, {}
        for candidate in self.tried:
            learner = build_head(candidate.spec, self.transfer.encoder, self.centre)
            arm = replace(self.transfer, learner=learner, spec=candidate.spec)
            told = self.fan_out.over(
                drawn,
                run_length(arm, self.embeddings, drawn),
                _accuracies,
                *(arm, self.embeddings, self.validation.images),
                label=moving(arm),
            )
            scores[candidate.title] = float(np.concatenate(told).mean())
            if best is None or scores[candidate.title] > scores[best[0].title]:
                best = candidate, learner
        assert best is not None  # there always are prototypes
        return Choice(*best, size, scores)


def _accuracies(
    arm: Arm, embeddings: Tensor, images: NDArray[np.uint8], episodes: Episodes
) -> NDArray[np.float64]:
    found = model_scores(arm.encoder, arm.learner, images, embeddings, episodes)
    return accuracies(found, episodes).numpy()

from dataclasses import replace

import numpy as np
import torch

from tasks.episodes.sampler import Pool, imbalanced
from tasks.learners.learner import as_learner, build_learner
from tasks.learners.scoring import episode_scores
from tasks.learners.spec import LearnerSpec


def test_a_support_image_that_is_left_out_changes_nothing() -> None:
    labels = np.repeat(np.arange(6), 8)
    embeddings = torch.randn(48, 5, generator=torch.Generator().manual_seed(0))
    drawn = Pool(labels).draw(0, 20, way=3, shot=3, queries=2, seed=1, purpose="test")
    uneven = imbalanced(drawn, 0, seed=1, purpose="test")
    assert uneven.present is not None
    elsewhere = np.where(uneven.present, uneven.support, 0)
    for name in ("cosine", "ridge", "anil", "linear_fine_tuning"):
        learner = as_learner(build_learner(LearnerSpec(name, 5)))
        scores = episode_scores(learner, embeddings, uneven)
        assert scores.isfinite().all()
        assert torch.equal(
            scores, episode_scores(learner, embeddings, replace(uneven, support=elsewhere))
        )
        assert not torch.equal(scores, episode_scores(learner, embeddings, drawn))

"""Evaluates 10,000 episodes of 100,000 images in a process of its own, and tells its memory.

python -m tests.benchmarks.many_features
"""

import json

import numpy as np
import psutil
import torch

from tasks.episodes.sampler import Pool
from tasks.learners.prototype import Prototype
from tasks.learners.scoring import episode_accuracies
from tasks.statistics import estimate
from tests.benchmarks.peak import peak_bytes

CLASSES, IMAGES_OF_A_CLASS, DIM = 1000, 100, 512
WAY, SHOT, QUERIES, EPISODES = 5, 5, 15, 10_000


def main() -> None:
    """Print bytes: of the process before, of the features, and of the process at its peak."""
    labels = np.repeat(np.arange(CLASSES), IMAGES_OF_A_CLASS)
    torch.zeros(4, 4) @ torch.zeros(4, 4)  # threads and buffers that every process has
    before = psutil.Process().memory_info().rss
    embeddings = torch.rand(len(labels), DIM, generator=torch.Generator().manual_seed(1))
    episodes = Pool(labels).draw(
        0, EPISODES, way=WAY, shot=SHOT, queries=QUERIES, seed=1, purpose="benchmark"
    )
    found = estimate(episode_accuracies(Prototype(), embeddings, episodes).numpy())
    peak = peak_bytes()
    features = embeddings.element_size() * embeddings.nelement()
    told = {"before": before, "features": features, "peak": peak, "accuracy": found.mean}
    print(json.dumps(told))


if __name__ == "__main__":
    main()

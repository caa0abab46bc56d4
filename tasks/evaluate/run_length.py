"""How many episodes a worker takes at a time: seconds of work, and a bounded memory."""

from torch import Tensor

from tasks.episodes.sampler import Episodes
from tasks.evaluate.arms import Arm
from tasks.learners.closed_form import pays
from tasks.learners.learner import as_learner

_RUN_SCORES = 10_000_000  # 40 MB
_RUN_FLOATS = 8_000_000  # of embeddings, 32 MB
_RUN_NETWORKS = 4  # each episode of which goes through the network many times


def run_length(arm: Arm, embeddings: Tensor, episodes: Episodes) -> int:
    """Episodes that an arm answers at a time.

    Args:
        arm: answers.
        embeddings: of the images, `(image, dim)`.
        episodes: of one size.
    """
    if as_learner(arm.learner).moves_network:
        return _RUN_NETWORKS
    way, queries = (int(one) for one in episodes.query.shape[1:])
    images = way * (int(episodes.support.shape[2]) + queries + 1)
    scores = way * way * queries
    if pays(as_learner(arm.learner), embeddings, episodes):
        return max(1, _RUN_SCORES // scores)  # inner products serve all of them
    return max(1, min(_RUN_SCORES // scores, _RUN_FLOATS // (images * embeddings.shape[1])))


def moving(arm: Arm) -> str | None:
    """What progress is called, for arms slow enough to want it."""
    return "adapting the network" if as_learner(arm.learner).moves_network else None

import numpy as np
import torch
from torch import nn

from tasks.artifacts.image_store import ImageClass, Part
from tasks.backbones.encoder import Encoder
from tasks.episodes.augmentation import Augmentation
from tasks.episodes.sampler import Pool
from tasks.learners import scoring
from tasks.learners.cosine import Cosine
from tasks.learners.scoring import episode_accuracies, episode_scores
from tasks.learners.selection import validation_selector

NOTHING = Augmentation(*[0.0] * 8)


class Brightness(nn.Module):
    """Embeds by mean brightness of the left and right halves, times a weight."""

    def __init__(self) -> None:
        super().__init__()
        self.sign = nn.Parameter(torch.ones(()))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        left, right = images[..., :4].mean((1, 2, 3)), images[..., 4:].mean((1, 2, 3))
        return torch.stack([left, right * self.sign], 1) - 0.5


def part(noise: float) -> Part:
    rng = np.random.default_rng(0)
    corners = [(0, 0), (0, 255), (255, 0), (255, 255)]
    images = np.empty((40, 8, 8, 1), np.uint8)
    for index in range(40):
        left, right = corners[index // 10]
        images[index, :, :4], images[index, :, 4:] = left, right
    grain = rng.normal(0, noise, images.shape)
    images = np.clip(images + grain, 0, 255).astype(np.uint8)
    names = tuple(ImageClass(f"class {index}", "", 10) for index in range(4))
    return Part(images, np.repeat(np.arange(4), 10), names)


def test_scores_do_not_depend_on_how_episodes_are_chunked(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    embeddings = torch.randn(40, 2, generator=torch.Generator().manual_seed(0))
    drawn = Pool(part(0).labels).draw(0, 30, way=3, shot=2, queries=4, seed=1, purpose="test")
    whole = episode_scores(Cosine(10.0), embeddings, drawn)
    monkeypatch.setattr(scoring, "_CHUNK_FLOATS", 100)
    torch.testing.assert_close(episode_scores(Cosine(10.0), embeddings, drawn), whole)
    assert whole.shape == (30, 12, 3)


def test_accuracy_is_that_of_an_episode_worked_by_hand() -> None:
    embeddings = torch.eye(4).repeat_interleave(10, 0)
    drawn = Pool(part(0).labels).draw(0, 5, way=4, shot=1, queries=3, seed=1, purpose="test")
    assert (episode_accuracies(Cosine(10.0), embeddings, drawn) == 1).all()
    wrong = embeddings.clone()
    wrong[drawn.query[0, 0, 0]] = embeddings[drawn.support[0, 1, 0]]
    assert episode_accuracies(Cosine(10.0), wrong, drawn)[0] == 11 / 12


def test_the_best_state_comes_back_and_a_tie_keeps_the_earlier_one() -> None:
    encoder = Encoder(Brightness(), 2, [0.0], [1.0])
    selector = validation_selector(part(20), NOTHING, way=4, shot=1, queries=5, episodes=20, seed=1)
    good = selector.score(1, encoder, learner=Cosine(1.0))
    with torch.no_grad():
        encoder.backbone.sign.zero_()
    assert selector.score(2, encoder, learner=Cosine(1.0)) < good
    with torch.no_grad():
        encoder.backbone.sign.fill_(1.0)
    assert selector.score(3, encoder, learner=Cosine(1.0)) == good
    with torch.no_grad():
        encoder.backbone.sign.zero_()
    selector.restore(encoder)
    assert (selector.best_at, encoder.backbone.sign.item()) == (1, 1.0)

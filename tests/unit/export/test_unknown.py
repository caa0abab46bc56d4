import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from tasks.episodes.sampler import Pool
from tasks.export import unknown
from tasks.export.unknown import Scored, calibrate_unknown, equal_error_threshold
from tasks.learners.cosine import Cosine
from tasks.learners.prototype import Prototype
from tasks.learners.ridge import Ridge
from tasks.progress import untracked


def clusters(
    classes: int, images: int, spread: float, dim: int = 16
) -> tuple[torch.Tensor, np.ndarray]:
    """Embeddings about directions of their classes."""
    rng = np.random.default_rng(classes)
    labels = np.repeat(np.arange(classes), images)
    rows = rng.normal(size=(classes, dim))[labels] + spread * rng.normal(size=(len(labels), dim))
    return torch.tensor(rows, dtype=torch.float32), labels


def calibrated(spread: float = 0.3, learner: nn.Module | None = None, **changes: int):
    settings = {"classes": 12, "images": 12, "episodes": 60, "seed": 1, **changes}
    embeddings, labels = clusters(settings["classes"], settings["images"], spread)
    learner = learner if learner is not None else Cosine(10.0)
    return calibrate_unknown(
        learner,
        embeddings,
        labels,
        seed=settings["seed"],
        track=untracked,
        episodes=settings["episodes"],
    )


@pytest.mark.parametrize("learner", [Cosine(10.0), Prototype(), Ridge(10.0, 0.3)])
def test_classes_far_apart_are_told_from_unknown_ones(learner: nn.Module) -> None:
    found = calibrated(0.2, learner)
    assert found["auroc"] > 0.95
    assert max(found["false_accept"], found["false_reject"]) < 0.1
    assert (found["way"], found["shot"], found["episodes"]) == (5, 5, 60)


def test_classes_that_cannot_be_told_apart_give_a_coin_and_say_so() -> None:
    embeddings, labels = clusters(12, 12, 0.0)
    noise = torch.from_numpy(np.random.default_rng(0).normal(size=embeddings.shape)).float()
    found = calibrate_unknown(Cosine(10.0), noise, labels, seed=1, track=untracked)
    assert found is not None
    assert 0.45 < found["auroc"] < 0.55
    assert abs(found["false_accept"] - 0.5) < 0.05 and abs(found["false_reject"] - 0.5) < 0.05


def test_the_same_seed_gives_the_same_section_and_another_seed_another() -> None:
    assert calibrated() == calibrated()
    assert calibrated() != calibrated(seed=2)


@pytest.mark.parametrize(
    ("classes", "images", "way", "shot"),
    [(4, 10, 2, 5), (7, 10, 3, 5), (30, 10, 5, 5), (30, 9, 5, 1), (4, 2, 2, 1)],
)
def test_way_and_shot_are_what_the_classes_allow(
    classes: int, images: int, way: int, shot: int
) -> None:
    found = calibrated(classes=classes, images=images)
    assert (found["way"], found["shot"]) == (way, shot)


@pytest.mark.parametrize(("classes", "images"), [(3, 20), (20, 1)])
def test_too_few_classes_or_images_give_no_section(classes: int, images: int) -> None:
    assert calibrated(classes=classes, images=images) is None


def test_the_score_of_the_higher_auroc_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    clear, noise = np.tile([1.0, 0.0], (60, 1)), np.random.default_rng(0).random((60, 2))
    for better in ("similarity", "probability"):
        scores = {
            name: clear if name == better else noise for name in ("similarity", "probability")
        }
        monkeypatch.setattr(unknown, "_score", lambda *_, scores=scores: scores)
        found = calibrated()
        assert (found["score"], found["threshold"], found["auroc"]) == (better, 0.5, 1.0)


def test_scores_are_those_that_the_client_computes() -> None:
    embeddings, labels = clusters(6, 4, 1.0)
    drawn = unknown._draw(Pool(labels), 3, 2)
    learner = Prototype()
    scores = unknown._score(learner, embeddings, drawn, untracked)
    unit = embeddings.numpy() / np.linalg.norm(embeddings.numpy(), axis=1, keepdims=True)
    for episode in range(2):
        support, query = drawn.support[episode], drawn.query[episode].ravel()
        assert len(query) == 2 * support.shape[0]
        own = torch.arange(len(support)).repeat_interleave(support.shape[1])
        rule = learner.adapt(embeddings[support.ravel()], own, torch.arange(len(support)))
        shares = (embeddings[query] @ rule[0].T + rule[1]).softmax(dim=1)
        means = unit[support].mean(axis=1)
        cosines = (unit[query] * means[shares.argmax(dim=1)]).sum(axis=1)
        np.testing.assert_allclose(scores["probability"][episode], shares.amax(dim=1), atol=1e-5)
        np.testing.assert_allclose(scores["similarity"][episode], cosines, atol=1e-5)


def test_what_is_told_is_measured_on_episodes_that_chose_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    values = np.repeat([[[1.0, 0.0]], [[0.0, 1.0]]], 30, axis=0).reshape(60, 2)
    monkeypatch.setattr(unknown, "_score", lambda *_: dict.fromkeys(("similarity", "x"), values))
    found = calibrated()
    assert (found["auroc"], found["false_accept"], found["false_reject"]) == (0.0, 1.0, 1.0)


def test_the_words_hold_the_numbers() -> None:
    found = calibrated(0.6)
    for text in (
        f"below {found['threshold']:g} is unknown",
        f"{100 * found['false_accept']:.1f} % of these got an answer",
        f"{100 * found['false_reject']:.1f} % of the enrolled",
    ):
        assert text in found["words"]


values = st.lists(st.integers(0, 12), min_size=1, max_size=30).map(
    lambda each: np.array(each, np.float64) / 12
)


@given(values, values)
def test_auroc_counts_the_pairs(enrolled: np.ndarray, other: np.ndarray) -> None:
    above = enrolled[:, None] > other
    ties = enrolled[:, None] == other
    assert Scored(enrolled, other).auroc() == pytest.approx((above + ties / 2).mean())


@given(values, values)
def test_no_threshold_errs_more_evenly(enrolled: np.ndarray, other: np.ndarray) -> None:
    scored = Scored(enrolled, other)

    def unevenness(threshold: float) -> float:
        return abs(scored.false_accept(threshold) - scored.false_reject(threshold))

    found = equal_error_threshold(scored)
    # Of places between two scores; beyond the first and last, everything gets the same answer.
    every = np.unique(np.concatenate([enrolled, other]))
    for threshold in (every[1:] + every[:-1]) / 2:
        assert unevenness(found) <= unevenness(threshold) + 1e-12

import numpy as np
import pytest
import torch
from torch import Tensor

from tasks.artifacts.image_store import ImageClass, Part
from tasks.backbones.encoder import Encoder
from tasks.episodes.sampler import Episodes
from tasks.errors import ParametersError
from tasks.evaluate.arms import Arm, Embedded
from tasks.evaluate.confusion import hardest_pairs
from tasks.evaluate.fan_out import FanOut
from tasks.evaluate.heads import centre_of
from tasks.evaluate.measured import Answers, Measured
from tasks.evaluate.measuring import answers, draw, measure
from tasks.evaluate.notices import normalisation, notices
from tasks.evaluate.tuning import Candidate, Tuner
from tasks.learners.learner import build_learner
from tasks.learners.spec import LearnerSpec
from tasks.params.evaluate import Protocol

SPEC = LearnerSpec("cosine", 16)


class Corners(torch.nn.Module):
    """A backbone that sees the mean of each of 16 squares."""

    def forward(self, images: Tensor) -> Tensor:
        return torch.nn.functional.adaptive_avg_pool2d(images, 4).flatten(1)


def encoder() -> Encoder:
    return Encoder(Corners(), 16, [0.5], [1.0]).eval()


def part(classes: int, images: int = 8, seed: int = 0, groups: int = 1) -> Part:
    rng = np.random.default_rng(seed)
    centres = rng.integers(0, 200, (classes, 4, 4, 1))
    pixels = np.repeat(centres, images, 0).repeat(4, 1).repeat(4, 2)
    pixels = (pixels + rng.integers(0, 56, pixels.shape)).astype(np.uint8)
    names = tuple(ImageClass(f"{seed} {at}", f"{at % groups}", images) for at in range(classes))
    return Part(pixels, np.repeat(np.arange(classes), images), names)


def protocol(**changes: object) -> Protocol:
    return Protocol(**{"domain": "novel", "way": 3, "shot": 2, **changes})  # type: ignore[arg-type]


def compared() -> dict[str, Arm]:
    return {
        name: Arm(encoder(), build_learner(SPEC), SPEC) for name in ("random", "transfer", "meta")
    }


def test_all_ways_take_every_class_that_has_enough_images() -> None:
    novel = part(7)
    drawn = draw(protocol(way="all"), novel, 20, queries=3, seed=1)
    assert drawn.classes.shape == (20, 7)
    arms = compared()
    embedded = Embedded(arms, {"novel": novel})
    [told] = measure(
        [protocol(way="all")], arms, embedded, None, FanOut(), episodes=20, queries=3, seed=1
    )
    summary = told.summary()
    assert (told.key, summary["way"], summary["all_classes"]) == ("novel_allway_2shot", 7, True)
    assert "tuned" not in summary["accuracy"]
    assert "meta_over_alone" not in summary["gain"]


def test_imbalanced_episodes_are_drawn_and_answered() -> None:
    novel = part(6)
    kind = protocol(shot=4, imbalanced=True)
    drawn = draw(kind, novel, 30, queries=2, seed=1)
    assert drawn.present is not None and drawn.present.any(axis=2).all()
    assert not drawn.present.all()
    arm = compared()["meta"]
    embedded = Embedded({"meta": arm}, {"novel": novel})
    told = answers(arm, embedded.of("meta", "novel"), novel.images, drawn)
    assert np.isfinite(told.confidence).all() and (told.confidence <= 1 + 1e-6).all()
    assert kind.key == "novel_3way_4shot_imbalanced"


def test_answers_in_parts_are_the_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    novel = part(6)
    drawn = draw(protocol(), novel, 30, queries=2, seed=1)
    arm = compared()["meta"]
    embeddings = Embedded({"meta": arm}, {"novel": novel}).of("meta", "novel")
    whole = answers(arm, embeddings, novel.images, drawn)
    monkeypatch.setattr("tasks.evaluate.run_length._RUN_SCORES", 1)
    single = answers(arm, embeddings, novel.images, drawn)
    assert np.array_equal(whole.predicted, single.predicted)
    assert np.allclose(whole.confidence, single.confidence, atol=1e-6)


def test_the_hardest_pair_is_the_planted_one() -> None:
    rng = np.random.default_rng(0)
    classes = np.stack([rng.permutation(6)[:4] for _ in range(200)])
    query = np.arange(200 * 4 * 5).reshape(200, 4, 5)
    predicted = np.repeat(np.arange(4), 5)[None].repeat(200, 0)
    for episode, row in enumerate(classes):
        if {2, 5} <= set(row):
            at = int(np.flatnonzero(row == 2)[0])
            predicted[episode, at * 5 : at * 5 + 4] = np.flatnonzero(row == 5)[0]
        predicted[episode, rng.integers(20)] = rng.integers(4)
    drawn = Episodes(classes, query[..., :1], query)
    told = Answers(predicted, np.ones(predicted.shape, np.float32))
    first, *others = hardest_pairs(
        Measured(protocol(way=4, shot=1), drawn, {"meta": told}, None), "meta"
    )
    assert (first.first, first.second) == (2, 5)
    assert first.rate == pytest.approx(0.4, abs=0.05)
    assert all(one.rate < first.rate / 3 for one in others)
    assert all(answered == 5 for _, answered in first.queries[:1])


def planted(validation_wants_length: bool) -> Part:
    """Classes that differ by direction; or, with the other flag, by length alone."""
    rng = np.random.default_rng(0)
    if validation_wants_length:
        levels = np.linspace(140, 250, 5).astype(np.int64)
        centres = levels[:, None, None, None] * np.ones((1, 4, 4, 1), np.int64)
        noise = rng.integers(-6, 6, (40, 16, 16, 1))
    else:
        shape = rng.integers(0, 2, (5, 4, 4, 1)) * 2 - 1
        centres = 128 + shape * 8
        noise = rng.integers(-3, 3, (40, 16, 16, 1))
    pixels = np.repeat(centres, 8, 0).repeat(4, 1).repeat(4, 2)
    if not validation_wants_length:
        pixels = 128 + (pixels - 128) * rng.integers(1, 15, (40, 1, 1, 1))
    names = tuple(ImageClass(f"{at}", "", 8) for at in range(5))
    return Part(np.clip(pixels + noise, 0, 255).astype(np.uint8), np.repeat(np.arange(5), 8), names)


@pytest.mark.parametrize(("by_length", "best"), [(True, "prototypes"), (False, "cosine")])
def test_tuning_takes_what_validation_prefers_whatever_novel_classes_would(
    by_length: bool, best: str
) -> None:
    validation, novel = planted(by_length), planted(not by_length)
    network = encoder()
    transfer = Arm(network, build_learner(SPEC), SPEC)
    embedded = Embedded({"transfer": transfer}, {"v": validation})
    tried = [
        Candidate("prototypes", LearnerSpec("prototype", 16)),
        Candidate("cosine", LearnerSpec("cosine", 16)),
    ]
    centre = centre_of(validation, 1)
    tuner = Tuner(transfer, validation, embedded.of("transfer", "v"), tried, centre, 60, seed=1)
    arms = compared()
    seen = Embedded(arms, {"novel": novel})
    [told] = measure(
        [protocol(shot=1)], arms, seen, tuner, FanOut(), episodes=40, queries=3, seed=1
    )
    assert told.tuned is not None
    assert told.tuned["chosen"] == best
    assert told.tuned["validation_accuracy"] == max(told.tuned["candidates"].values())
    assert list(told.accuracy) == ["random", "transfer", "tuned", "meta"]
    # Novel classes would have taken the other one.
    assert told.accuracy["tuned"].mean() < 0.9 < told.tuned["validation_accuracy"]


def transductive() -> dict[str, Arm]:
    spec = LearnerSpec("cosine", 16, normalisation="transductive")
    return {"meta": Arm(encoder(), build_learner(spec), spec)}


def test_transductive_models_are_refused_unless_asked_for() -> None:
    with pytest.raises(ParametersError, match=r"evaluate\.transductive: found false"):
        normalisation(transductive(), "learner", allowed=False)
    told = normalisation(transductive(), "learner", allowed=True)
    assert set(told.values()) == {"transductive"}
    assert normalisation(transductive(), "cosine", allowed=False)["test"] == "running"


def test_what_limits_the_figures_is_told_loudly() -> None:
    quiet = {
        "episodes": 600,
        "normalisation": dict.fromkeys(("training", "validation", "test"), "running"),
        "leakage": {"checked": ["base", "novel"], "shared": [], "weights": None},
        "shots_curves": {},
    }
    assert not any(one.loud for one in notices(quiet))
    one = {"first": "base", "second": "novel", "images": 2, "image_classes": ["cat"]}
    shared = {**one, "names": 0, "class_names": []}
    loud = {
        "episodes": 599,
        "normalisation": dict.fromkeys(("training", "validation", "test"), "transductive"),
        "leakage": {
            "checked": [],
            "shared": [shared],
            "weights": "IMAGENET1K_V1",
            "imagenet_class_names": {"novel": ["goldfish"]},
        },
        "shots_curves": {},
    }
    text = " ".join(one.text for one in notices(loud) if one.loud)
    for words in ("TRANSDUCTIVE", "2 images (of classes such as cat)", "goldfish", "599 episodes"):
        assert words in text
    of_no_name = {"shared": [], "weights": "letters.safetensors", "imagenet_class_names": {}}
    limited = {**quiet, "leakage": {"checked": ["base", "novel"], **of_no_name}}
    (told,) = [one.text for one in notices(limited) if one.loud]
    assert "letters.safetensors" in told and "none of them" in told


def test_protocols_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="within_group: false"):
        protocol(way="all", within_group=True)
    with pytest.raises(ValueError, match="shot of at least 2"):
        protocol(shot=1, imbalanced=True)

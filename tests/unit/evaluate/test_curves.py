from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from tasks.artifacts.image_store import ImageClass, Part
from tasks.backbones.build import EncoderSpec, build
from tasks.episodes.sampler import Episodes, Pool
from tasks.evaluate.adaptation_curve import adaptation_curve, starts_of, steps_until
from tasks.evaluate.arms import Arm, Embedded, start_of
from tasks.evaluate.fan_out import FanOut
from tasks.evaluate.fitting import Size, fitting
from tasks.evaluate.shots_curve import shots_curve
from tasks.evaluate.trajectories import STEPS, Start, accuracies_along
from tasks.learners.learner import as_learner, build_learner
from tasks.learners.scoring import episode_accuracies
from tasks.learners.spec import LearnerSpec
from tasks.params.evaluate import Curve, ShotsCurve

DIM = 12
SPEC = LearnerSpec("anil", DIM, initial_temperature=5.0, inner_steps=3, inner_learning_rate=2.0)


def clouds(classes: int = 8, images: int = 10, spread: float = 0.8) -> tuple[Tensor, np.ndarray]:
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(classes, DIM, generator=generator)
    labels = np.repeat(np.arange(classes), images)
    noise = spread * torch.randn(len(labels), DIM, generator=generator)
    return centres[labels] + noise, labels


def drawn(labels: np.ndarray, way: int = 4, shot: int = 2) -> Episodes:
    return Pool(labels).draw(0, 30, way=way, shot=shot, queries=3, seed=1, purpose="test")


def arm(spec: LearnerSpec = SPEC) -> Arm:
    torch.manual_seed(0)
    return Arm(build(EncoderSpec("conv4", 1, (4, 4, 4, DIM))).eval(), build_learner(spec), spec)


def constant(rate: float, steps: int = STEPS[-1]) -> Tensor:
    return torch.full((1, steps), rate)


def test_a_head_from_zero_is_chance_before_its_first_step() -> None:
    embeddings, labels = clouds()
    start = Start(as_learner(arm().learner), None)
    along = accuracies_along(start, embeddings, drawn(labels), constant(1.0))
    assert (along[0, 0] == 1 / 4).all()
    assert along[0, 1].mean() > 0.5


@pytest.mark.parametrize("name", ["anil", "mtl", "maml", "cosine", "ridge", "prototype"])
def test_the_meta_curve_begins_at_the_learner_without_steps(name: str) -> None:
    embeddings, labels = clouds()
    shapes = {key: value.shape for key, value in arm().encoder.named_parameters()}
    one = arm(replace(SPEC, name=name, network_shapes=shapes))
    with torch.no_grad():
        for parameter in one.learner.parameters():
            parameter.mul_(1.3)  # as learned
    episodes = drawn(labels)
    without = start_of(one)
    assert all(
        torch.equal(value, one.learner.state_dict()[key])
        for key, value in without.state_dict().items()
        if value.shape == one.learner.state_dict()[key].shape
    )
    start = Start(as_learner(one.learner), as_learner(without))
    along = accuracies_along(start, embeddings, episodes, constant(1.0))
    told = episode_accuracies(as_learner(without), embeddings, episodes)
    assert torch.equal(along[0, 0], told)


@pytest.mark.parametrize("shot", [1, 5])
def test_the_curve_passes_through_what_the_learner_itself_adapts_to(shot: int) -> None:
    """Five shots make more images than dimensions."""
    embeddings, labels = clouds()
    one = arm(replace(SPEC, name="linear_fine_tuning"))
    episodes = drawn(labels, shot=shot)
    start = Start(as_learner(one.learner), None)
    along = accuracies_along(start, embeddings, episodes, constant(2.0))
    for steps in (1, 3, 10):
        spec = replace(one.spec, inner_steps=steps)
        told = episode_accuracies(as_learner(build_learner(spec)), embeddings, episodes)
        # Ties apart, which rounding may break either way.
        assert (along[0, STEPS.index(steps)] - told).abs().max() <= 1 / 12
        assert along[0, STEPS.index(steps)].mean() == pytest.approx(told.mean().item(), abs=0.005)


def test_chunks_and_other_options_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    embeddings, labels = clouds()
    start = Start(as_learner(arm().learner), None)
    both = torch.cat([constant(0.3), constant(3.0)])
    whole = accuracies_along(start, embeddings, drawn(labels), both)
    monkeypatch.setattr("tasks.evaluate.trajectories._CHUNK_FLOATS", 1)
    assert torch.equal(whole, accuracies_along(start, embeddings, drawn(labels), both))
    assert torch.equal(whole[1:], accuracies_along(start, embeddings, drawn(labels), both[1:]))


def test_steps_until_counts_the_first_listed_step_at_the_target() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.001, (200, 1))
    slow, fast, never = np.full((3, 200, len(STEPS)), 0.5)
    slow[:, STEPS.index(50) :] = 0.9
    fast[:, STEPS.index(2) :] = 0.95
    found = steps_until(
        {"transfer": slow + noise, "meta": fast + noise, "random": never + noise}, rng
    )
    assert found == {
        "transfer": (50.0, 50.0, 50.0),
        "meta": (2.0, 2.0, 2.0),
        "random": (np.inf, np.inf, np.inf),
    }


def part(classes: int, images: int, seed: int) -> Part:
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (classes * images, 16, 16, 1), np.uint8)
    names = tuple(ImageClass(f"{seed} {one}", "", images) for one in range(classes))
    return Part(pixels, np.repeat(np.arange(classes), images), names)


def test_curves_shrink_to_what_the_classes_carry_and_need_no_meta_alone() -> None:
    arms = {name: arm() for name in ("random", "transfer", "meta")}
    assert list(starts_of(arms)) == ["random", "transfer", "transfer_from_prototypes", "meta"]
    assert "alone" in starts_of(arms | {"alone": arm()})
    embedded = Embedded(arms, {"novel": part(4, 5, 1), "validation": part(3, 4, 2)})
    asked = Curve(domain="novel", way=20, shot=1, episodes=30)
    curve = adaptation_curve(asked, "novel", arms, embedded, seed=1)
    assert curve is not None
    assert (curve.size.way, curve.size.shot, curve.size.queries) == (4, 1, 4)
    assert all(one.shape == (30, len(STEPS)) for one in curve.accuracy.values())
    assert (curve.accuracy["transfer"][:, 0] == 1 / 4).all()
    wanted = ShotsCurve(domain="novel", way=3, shots=[1, 2, 20], queries=2, episodes=30)
    shots = shots_curve(wanted, "novel", arms, embedded, FanOut(), seed=1)
    assert shots is not None and shots.shots == (1, 2) and shots.left_out == (20,)


def test_no_episode_at_all_gives_no_curve() -> None:
    assert fitting(Pool(np.array([0, 1, 2])), Size(5, 1, 15)) is None
    assert fitting(Pool(np.array([0, 0, 1, 1])), Size(5, 3, 15)) == Size(2, 1, 1)

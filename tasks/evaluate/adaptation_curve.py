"""Accuracy against gradient steps, from several starts, on the same episodes.

What is adapted is a softmax head over an arm's features, by descent on the whole support. A head
without a meta-training starts at zero, which is chance at step 0; one with it starts where its
learner's inner loop starts. Between them stands transfer from the prototypes, a start that needs no
meta-training either.

No start may lose by a rate that does not suit it: for each number of steps every start gets the
rate of a common grid that serves validation episodes best at that number. A learner with learned
rates may begin with them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tasks.episodes.sampler import Episodes, Pool
from tasks.evaluate.arms import Arm, Embedded, start_of
from tasks.evaluate.fan_out import FanOut
from tasks.evaluate.fitting import Size, fitting
from tasks.evaluate.trajectories import STEPS, Start, accuracies_along, episodes_at_once
from tasks.learners.gradient import BIAS, WEIGHT, GradientLearner
from tasks.learners.learner import as_learner
from tasks.params.evaluate import Curve
from tasks.randomness import numpy_generator
from tasks.statistics import bootstrap_interval, estimate

RATES = (0.3, 1.0, 3.0, 10.0, 30.0)
START_TITLES = {
    "random": "random start",
    "alone": "meta alone",
    "transfer": "transfer alone",
    "transfer_from_prototypes": "transfer from prototypes",
    "meta": "transfer + meta",
}
TARGET = "transfer"  # whose accuracy after the last step all others are to reach
_RATE_EPISODES = 200  # of validation classes, which choose the rates


@dataclass(frozen=True)
class AdaptationCurve:
    """The curves of all starts on one kind of episode.

    Attributes:
        domain: where the classes came from.
        size: of the episodes, shrunk to what the classes carry.
        accuracy: start -> share of right answers `(episode, step)`, 0..1, a column for each of
            `STEPS`.
        rates: start -> the rate that each number of steps was given, in words.
        target: mean accuracy of transfer alone after the last step, 0..1.
        steps_until: start -> the least of `STEPS` that reaches the target, with its interval;
            infinite where none does.
    """

    domain: str
    size: Size
    accuracy: Mapping[str, NDArray[np.float64]]
    rates: Mapping[str, tuple[str, ...]]
    target: float
    steps_until: Mapping[str, tuple[float, float, float]]

    @property
    def key(self) -> str:
        """Name in files, for example `novel_5way_1shot`."""
        return f"{self.domain}_{self.size.way}way_{self.size.shot}shot"

    @property
    def title(self) -> str:
        """How the report calls it."""
        return f"{self.domain}, {self.size.way}-way {self.size.shot}-shot"

    def summary(self) -> dict[str, Any]:
        """What `metrics.json` holds; steps that are never reached are null."""
        episodes = len(self.accuracy[TARGET])
        starts = {}
        for start, values in self.accuracy.items():
            points = [estimate(column) for column in values.T]
            until = [None if one == np.inf else int(one) for one in self.steps_until[start]]
            starts[start] = {
                "accuracy": [one.mean for one in points],
                "interval95": [one.interval95 for one in points],
                "rates": list(self.rates[start]),
                "steps_until_target": dict(zip(("steps", "low", "high"), until, strict=True)),
            }
        return {
            "domain": self.domain,
            "way": self.size.way,
            "shot": self.size.shot,
            "episodes": episodes,
            "steps": list(STEPS),
            "target": self.target,
            "starts": starts,
        }


def starts_of(arms: Mapping[str, Arm]) -> dict[str, tuple[str, Start]]:
    """Start -> the arm whose embeddings it adapts to, and where its head starts."""
    found = {}
    for name in START_TITLES:
        arm = name.partition("_")[0]
        if arm in arms:
            found[name] = arm, _start(arms[arm], name)
    return found


def _start(arm: Arm, name: str) -> Start:
    zero = name in ("random", "transfer")
    return Start(as_learner(arm.learner), None if zero else as_learner(start_of(arm)))


def adaptation_curve(
    asked: Curve,
    domain: str,
    arms: Mapping[str, Arm],
    embedded: Embedded,
    seed: int,
    fan_out: FanOut | None = None,
) -> AdaptationCurve | None:
    """Measure the curves of all starts.

    Args:
        asked: the kind of episode; it shrinks to what the classes carry.
        domain: where its classes come from.
        arms: what is compared, with the learners that were meta-trained.
        embedded: embeddings of the domain and of `validation`.
        seed: `seed` of `params.yaml`.
        fan_out: works on the episodes; None is this process.

    Returns:
        None where the classes carry no episode at all.
    """
    pools = {part: Pool(embedded.parts[part].labels) for part in (domain, "validation")}
    # As many queries as an image store of few images a class still has.
    sizes = {part: fitting(pool, Size(asked.way, asked.shot, 15)) for part, pool in pools.items()}
    size, chosen_by = sizes[domain], sizes["validation"]
    if size is None or chosen_by is None:
        return None
    purpose = f"evaluate curve {domain}"
    drawn = size.draw(pools[domain], asked.episodes, seed=seed, purpose=purpose)
    choosing = chosen_by.draw(pools["validation"], _RATE_EPISODES, seed=seed, purpose="rates")
    accuracy, rates = {}, {}

    def along(name: str, arm: str, part: str, episodes: Episodes, options: Tensor) -> Tensor:
        made = embedded.of(arm, part)
        length = episodes_at_once(made, episodes, options)
        told = (fan_out or FanOut()).over(
            episodes, length, _along, name, arms[arm], made, options, label=f"{domain} {name}"
        )
        return torch.from_numpy(np.concatenate(told, axis=-1))

    for name, (arm, start) in starts_of(arms).items():
        options, words = _options(arms[arm] if start.head else None)
        tried = along(name, arm, "validation", choosing, options)
        best = tried.mean(dim=-1).argmax(dim=0)  # the first of equals
        used = torch.unique(best)
        found = along(name, arm, domain, drawn, options[used])
        place = torch.searchsorted(used, best)
        accuracy[name] = found[place, torch.arange(len(STEPS))].T.numpy()
        rates[name] = tuple(words[int(one)] for one in best)
    until = steps_until(accuracy, numpy_generator(seed, "evaluate", "curve", domain, size.way))
    target = float(accuracy[TARGET][:, -1].mean())
    return AdaptationCurve(domain, size, accuracy, rates, target, until)


def _along(
    name: str, arm: Arm, embeddings: Tensor, rates: Tensor, episodes: Episodes
) -> NDArray[np.float64]:
    """As `accuracies_along` has it, of the start of that name."""
    return accuracies_along(_start(arm, name), embeddings, episodes, rates).numpy()


def steps_until(
    accuracy: Mapping[str, NDArray[np.float64]], generator: np.random.Generator
) -> dict[str, tuple[float, float, float]]:
    """The least of `STEPS` at which each start's mean reaches that of `TARGET` after the last.

    Args:
        accuracy: of each start `(episode, step)`, on the same episodes.
        generator: draws the resamples of episodes; the target is resampled with them.

    Returns:
        Start -> estimate, and both ends of its 95 % interval; infinite where it is never reached.
    """

    def first(means: NDArray[np.float64]) -> float:
        # Means of the same answers may differ by rounding.
        reached = np.flatnonzero(means[:-1] >= means[-1] - 1e-9)
        return float(STEPS[reached[0]]) if len(reached) else np.inf

    found = {}
    for name, values in accuracy.items():
        both = np.column_stack([values, accuracy[TARGET][:, -1]])
        found[name] = (first(both.mean(axis=0)), *bootstrap_interval(both, first, generator))
    return found


def _options(learned: Arm | None) -> tuple[Tensor, list[str]]:
    """Rates of each option and step `(option, step)`, and each option in words."""
    grid = torch.tensor(RATES)[:, None].repeat(1, STEPS[-1])
    words = [f"{rate:g}" for rate in RATES]
    own = _own_rates(learned) if learned else None
    if own is None:
        return grid, words
    begun = grid.clone()
    begun[:, : len(own)] = own[: STEPS[-1]]
    return torch.cat([grid, begun]), [*words, *(f"learned, then {word}" for word in words)]


def _own_rates(arm: Arm) -> Tensor | None:
    """The learned rates of the head; None where it has none that are one number a step."""
    if not isinstance(arm.learner, GradientLearner) or arm.learner.rates.kind == "fixed":
        return None
    rates = arm.learner.rates((WEIGHT, BIAS))
    each = [[torch.as_tensor(one[name]) for name in (WEIGHT, BIAS)] for one in rates]
    plain = each and all(rate.numel() == 1 for step in each for rate in step)
    # Rates of weight and bias differ where each tensor has its own; the weight's serves both.
    return torch.stack([step[0].detach().reshape(()) for step in each]) if plain else None

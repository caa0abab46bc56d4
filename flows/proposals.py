"""Which overrides the trials of a sweep get: every point of a grid, or what Optuna proposes."""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any, Literal

from flows.sweep_file import Range, Search

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

Point = Mapping[str, Any]  # from a key of params.yaml to its value
DIGITS = 4  # of a proposed number, which people are to read


def grid_points(grid: Mapping[str, Sequence[Any]]) -> list[Point]:
    """Every combination; the last key changes fastest."""
    return [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]


def corner_points(space: Mapping[str, Range | Sequence[Any]]) -> list[Point]:
    """Every value at the end of a range and every choice at least once, beside first ones."""
    ends = {
        key: [axis.low, axis.high] if isinstance(axis, Range) else list(axis)
        for key, axis in space.items()
    }
    first = {key: values[0] for key, values in ends.items()}
    others = [{**first, key: value} for key, values in ends.items() for value in values[1:]]
    return [first, *others]


def propose(
    search: Search,
    direction: Literal["maximize", "minimize"],
    number: int,
    tried: Sequence[tuple[Point, float | None]],
) -> Point:
    """The overrides of the next trial.

    They depend on the arguments alone: the sampler of each trial has a seed of its own, so that a
    sweep that was stopped goes on as if it had not been.

    Args:
        search: the space and the sampler.
        direction: maximize or minimize.
        number: of the trial, from 0.
        tried: the trials before it with what they reached; None where that is not known yet, or
            they failed.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction=direction, sampler=_sampler(search, number))
    space = {key: _distribution(axis) for key, axis in search.space.items()}
    study.add_trials([_frozen(point, value, search, space) for point, value in tried])
    asked = study.ask(dict(space))
    return {key: _value(search.space[key], asked.params[key]) for key in space}


def _sampler(search: Search, number: int) -> Any:
    from optuna.samplers import RandomSampler, TPESampler

    seed = (search.seed * 1_000_003 + number) % 2**32
    if search.sampler == "random":
        return RandomSampler(seed=seed)
    # Those that still run or failed count as bad ones, or two would try the same place.
    return TPESampler(seed=seed, constant_liar=True)


def _distribution(axis: Range | Sequence[Any]) -> "BaseDistribution":
    from optuna.distributions import (
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    if not isinstance(axis, Range):
        return CategoricalDistribution(range(len(axis)))  # a choice may be a list
    if isinstance(axis.low, int) and isinstance(axis.high, int):
        return IntDistribution(axis.low, axis.high, log=axis.log)
    return FloatDistribution(axis.low, axis.high, log=axis.log)


def _value(axis: Range | Sequence[Any], proposed: Any) -> Any:
    if not isinstance(axis, Range):
        return axis[proposed]
    if isinstance(proposed, int):
        return proposed
    return min(max(float(f"{proposed:.{DIGITS}g}"), axis.low), axis.high)


def _frozen(
    point: Point, value: float | None, search: Search, space: Mapping[str, "BaseDistribution"]
) -> "FrozenTrial":
    from optuna.trial import TrialState, create_trial

    params = {
        key: point[key] if isinstance(axis, Range) else list(axis).index(point[key])
        for key, axis in search.space.items()
    }
    state = TrialState.RUNNING if value is None else TrialState.COMPLETE
    return create_trial(state=state, params=params, distributions=dict(space), value=value)

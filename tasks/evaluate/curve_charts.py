"""Charts of curves: along steps, seconds, shots and trainings; bands are 95 % intervals."""

from collections.abc import Mapping, Sequence
from itertools import groupby

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
from numpy.typing import NDArray

from tasks.evaluate.adaptation_curve import START_TITLES, AdaptationCurve
from tasks.evaluate.arms import TITLES
from tasks.evaluate.drawing import INK, SOFT, chart, colour, legend_below
from tasks.evaluate.shots_curve import Shots
from tasks.evaluate.trajectories import STEPS
from tasks.statistics import estimate

_THIN = "transfer_from_prototypes"
_LEAST_PERCENT = 0.01  # a logarithm needs one; what lies below is drawn there


def steps_chart(curve: AdaptationCurve) -> str:
    """Wrong answers against gradient steps; where most are right, only that tells starts apart."""
    with chart(3.6) as (drawn, figure, axes):
        axes.axhline(100 * (1 - curve.target), color=SOFT, linewidth=0.8, linestyle="--")
        for start, accuracy in curve.accuracy.items():
            _band(axes, list(STEPS), 1 - accuracy, start)
        axes.set_xscale("symlog", linthresh=1, linscale=0.5)
        axes.set_xticks(STEPS, [str(step) for step in STEPS])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlabel("gradient steps of the head (dashed: transfer alone after 100)")
        _log_errors(axes)
        legend_below(figure, axes)
    return drawn.svg


def seconds_chart(curve: AdaptationCurve, seconds: Mapping[str, NDArray[np.float64]]) -> str:
    """The same against seconds from the support images on."""
    with chart(3.6) as (drawn, figure, axes):
        axes.axhline(100 * (1 - curve.target), color=SOFT, linewidth=0.8, linestyle="--")
        for start, accuracy in curve.accuracy.items():
            _band(axes, (1000 * seconds[start]).tolist(), 1 - accuracy, start)
        axes.set_xscale("log")
        for ticks in (axes.xaxis.set_major_formatter, axes.xaxis.set_minor_formatter):
            ticks(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_locator(LogLocator(subs=(2, 5)))
        axes.set_xlabel("milliseconds an episode, embedding its support included")
        _log_errors(axes)
        legend_below(figure, axes)
    return drawn.svg


def shots_chart(shots: Shots) -> str:
    """Wrong answers against support images a class."""
    with chart(3.4) as (drawn, figure, axes):
        for arm, accuracy in shots.accuracy.items():
            _band(axes, list(shots.shots), 1 - accuracy, arm)
        axes.set_xscale("log")
        axes.set_xticks(shots.shots, [str(one) for one in shots.shots])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlabel("support images a class")
        _log_errors(axes)
        legend_below(figure, axes)
    return drawn.svg


def learning_curve(history: Sequence[Mapping[str, str]], unit: str, kept_at: int) -> str:
    """Loss and validation accuracy along a training; the state that was kept is marked.

    Args:
        history: rows of a stage's `history.csv`.
        unit: `epoch` or `step`, the column that counts.
        kept_at: where the state lies that the stage kept.
    """
    with chart(3.0) as (drawn, _, loss_axes):
        accuracy_axes = loss_axes.twinx()
        at = [int(row[unit]) for row in history]
        losses = [
            (where, float(row["loss"]))
            for where, row in zip(at, history, strict=True)
            if row["loss"]
        ]
        loss_axes.plot([w for w, _ in losses], [loss for _, loss in losses], color=SOFT, marker=".")
        loss_axes.set_ylabel("training loss", color=SOFT)
        percent = [100 * float(row["validation_accuracy"]) for row in history]
        accuracy_axes.plot(at, percent, color=colour("transfer"), marker=".")
        accuracy_axes.set_ylabel("validation episodes, %", color=colour("transfer"))
        accuracy_axes.axvline(kept_at, color=colour("meta"), linewidth=1, linestyle="--")
        loss_axes.set_xlabel(f"{unit} (dashed: the one that was kept)")
    return drawn.svg


def rates_chart(rows: Sequence[Mapping[str, str]]) -> str:
    """What each rate was worth that pretraining tried, segment by segment.

    Args:
        rows: of `rates.csv`: segment, starts_at_epoch, rate, score, chosen.
    """
    with chart(3.0) as (drawn, figure, axes):
        segments = [list(some) for _, some in groupby(rows, key=lambda row: row["segment"])]
        for index, some in enumerate(segments):
            points = sorted(
                (float(row["rate"]), float(row["score"]), row["chosen"]) for row in some
            )
            opacity = 0.35 + 0.65 * (index + 1) / len(segments)
            axes.plot(
                [rate for rate, *_ in points],
                [score for _, score, _ in points],
                color=colour("transfer"),
                alpha=opacity,
                marker=".",
                label=f"from epoch {some[0]['starts_at_epoch']}",
            )
            chosen = [one for one in points if one[2].lower() in ("true", "1", "yes")]
            axes.plot(
                [rate for rate, *_ in chosen],
                [score for _, score, _ in chosen],
                "o",
                color=colour("meta"),
                markerfacecolor="none",
                markersize=9,
            )
        axes.set_xscale("log")
        axes.set_xlabel("learning rate (ringed: chosen)")
        axes.set_ylabel("score")
        axes.tick_params(colors=INK, which="both")
        legend_below(figure, axes, columns=3)
    return drawn.svg


def _log_errors(axes: Axes) -> None:
    axes.set_yscale("log")
    axes.set_ylabel("wrong answers, %")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_locator(LogLocator(subs=(2, 5)))
    axes.yaxis.set_minor_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.grid(axis="y", which="both")


def _band(axes: Axes, at: Sequence[float], shares: NDArray[np.float64], name: str) -> None:
    """A curve of means in percent with its intervals; shares are `(episode, point)`, 0..1."""
    points = [estimate(column) for column in shares.T]
    mean = np.array([one.mean for one in points])
    half = np.array([one.interval95 for one in points])
    low, high = (np.clip(100 * one, _LEAST_PERCENT, 100) for one in (mean - half, mean + half))
    thin = name == _THIN
    axes.plot(
        at,
        np.maximum(100 * mean, _LEAST_PERCENT),
        color=colour(name),
        linewidth=1.2 if thin else 1.6,
        linestyle=":" if thin else "-",
        marker=".",
        markersize=3 if thin else 5,
        label=START_TITLES.get(name) or TITLES[name],
    )
    axes.fill_between(at, low, high, color=colour(name), alpha=0.18, linewidth=0)

"""Charts of what was measured; bars of error are 95 % intervals everywhere."""

from collections.abc import Sequence

import numpy as np

from tasks.evaluate.arms import TITLES
from tasks.evaluate.drawing import INK, LINE, MARKERS, chart, colour, legend_below
from tasks.evaluate.measured import COMPARISONS, Measured

_GAINS = ("meta_over_transfer", "meta_over_tuned", "meta_over_alone")


def accuracy_dots(results: Sequence[Measured]) -> str:
    """Accuracy of each arm on each protocol: a row a protocol."""
    arms = [arm for arm in TITLES if any(arm in one.answers for one in results)]
    with chart(0.9 + 0.55 * len(results)) as (drawn, figure, axes):
        rows = np.arange(len(results))[::-1]
        for index, arm in enumerate(arms):
            told = [
                (row, one.estimates()[arm])
                for row, one in zip(rows, results, strict=True)
                if arm in one.answers
            ]
            offset = 0.13 * ((len(arms) - 1) / 2 - index)
            axes.errorbar(
                [100 * one.mean for _, one in told],
                [row + offset for row, _ in told],
                xerr=[100 * one.interval95 for _, one in told],
                fmt=MARKERS[arm],
                markersize=4,
                color=colour(arm),
                label=TITLES[arm],
            )
        axes.set_yticks(rows, [one.title.replace(" ", "\n", 1) for one in results])
        axes.grid(axis="x")
        axes.set_axisbelow(True)
        axes.set_xlabel("accuracy, %")
        legend_below(figure, axes)
    return drawn.svg


def gain_intervals(results: Sequence[Measured]) -> str:
    """What transfer + meta is ahead of others, paired by episode."""
    with chart(0.9 + 0.5 * len(results)) as (drawn, figure, axes):
        rows = np.arange(len(results))[::-1]
        for index, name in enumerate(_GAINS):
            told = [
                (row, one.gains()[name])
                for row, one in zip(rows, results, strict=True)
                if name in one.gains()
            ]
            if not told:
                continue
            other = COMPARISONS[name][1]
            axes.errorbar(
                [100 * gain.mean for _, gain in told],
                [row + 0.2 * (1 - index) for row, _ in told],
                xerr=[100 * gain.interval95 for _, gain in told],
                fmt=MARKERS[other],
                markersize=4,
                capsize=2,
                color=colour(other),
                label=f"minus {TITLES[other]}",
            )
        axes.axvline(0, color=INK, linewidth=0.8)
        axes.set_yticks(rows, [one.title.replace(" ", "\n", 1) for one in results])
        axes.set_ylim(-0.6, len(results) - 0.4)
        axes.set_xlabel("transfer + meta ahead, percentage points")
        legend_below(figure, axes)
    return drawn.svg


def reliability(measured: Measured) -> str:
    """Share of right answers against the confidence that they were given with."""
    with chart(3.4) as (drawn, figure, axes):
        axes.plot([0, 100], [0, 100], color=LINE, linewidth=1, linestyle="--")
        for arm, told in measured.calibration.items():
            axes.plot(
                100 * told.confidence,
                100 * told.accuracy,
                marker=MARKERS[arm],
                markersize=4,
                linewidth=1.2,
                color=colour(arm),
                label=TITLES[arm],
            )
        axes.set_xlabel("confidence, %")
        axes.set_ylabel("right answers, %")
        axes.grid()
        legend_below(figure, axes)
    return drawn.svg

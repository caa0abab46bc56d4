"""Pictures of the report, as PNG bytes that are the same for the same numbers."""

from collections.abc import Mapping, Sequence
from io import BytesIO

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tasks.evaluate.arms import TITLES
from tasks.evaluate.measuring import Measured
from tasks.evaluate.statistics import estimate, paired_difference

COLOURS = {"random": "#9a9a9a", "transfer": "#3b78b0", "meta": "#d9822b"}
_DPI = 110


def accuracy_bars(results: Sequence[Measured]) -> bytes:
    """Accuracy of each arm on each protocol, with 95 % intervals."""
    figure = Figure(figsize=(9, 3.8), layout="constrained")
    axes = figure.add_subplot()
    width = 0.8 / len(TITLES)
    positions = np.arange(len(results))
    for index, (arm, title) in enumerate(TITLES.items()):
        estimates = [estimate(result.accuracy[arm]) for result in results]
        heights = [100 * one.mean for one in estimates]
        bars = axes.bar(
            positions + (index - 1) * width,
            heights,
            width,
            yerr=[100 * one.interval95 for one in estimates],
            capsize=2,
            color=COLOURS[arm],
            label=title,
        )
        axes.bar_label(bars, [f"{height:.1f}" for height in heights], fontsize=7, padding=1)
    axes.set_xticks(positions, [one.title.replace(" ", "\n", 1) for one in results], fontsize=8)
    axes.set_ylabel("accuracy, %")
    axes.set_ylim(0, 112)
    axes.legend(ncols=len(TITLES), loc="upper center", frameon=False, fontsize=8)
    return _png(figure)


def gain_intervals(results: Sequence[Measured]) -> bytes:
    """What meta-training adds to transfer alone, paired by episode, with 95 % intervals."""
    figure = Figure(figsize=(9, 0.5 + 0.4 * len(results)), layout="constrained")
    axes = figure.add_subplot()
    gains = [paired_difference(one.accuracy["meta"], one.accuracy["transfer"]) for one in results]
    rows = np.arange(len(results))[::-1]
    axes.errorbar(
        [100 * gain.mean for gain in gains],
        rows,
        xerr=[100 * gain.interval95 for gain in gains],
        fmt="o",
        color=COLOURS["meta"],
        capsize=3,
    )
    axes.axvline(0, color="#444444", linewidth=0.8)
    axes.set_yticks(rows, [one.title for one in results])
    axes.set_ylim(-0.6, len(results) - 0.4)
    axes.set_xlabel("transfer + meta minus transfer alone, percentage points")
    return _png(figure)


def learning_curve(history: Sequence[Mapping[str, str]], unit: str, kept_at: int) -> bytes:
    """Loss and validation accuracy along a training; the state that was kept is marked.

    Args:
        history: rows of a stage's `history.csv`.
        unit: `epoch` or `step`, the column that counts.
        kept_at: where the state lies that the stage kept.
    """
    figure = Figure(figsize=(4.4, 3.0), layout="constrained")
    loss_axes = figure.add_subplot()
    accuracy_axes = loss_axes.twinx()
    at = [int(row[unit]) for row in history]
    told = [
        (where, float(row["loss"])) for where, row in zip(at, history, strict=True) if row["loss"]
    ]
    _line(loss_axes, [w for w, _ in told], [loss for _, loss in told], "#777777", "training loss")
    percent = [100 * float(row["validation_accuracy"]) for row in history]
    _line(accuracy_axes, at, percent, COLOURS["transfer"], "validation episodes, %")
    accuracy_axes.axvline(kept_at, color=COLOURS["meta"], linewidth=1, linestyle="--")
    loss_axes.set_xlabel(f"{unit} (dashed: the one that was kept)")
    return _png(figure)


def _line(axes: Axes, x: Sequence[int], y: Sequence[float], colour: str, label: str) -> None:
    axes.plot(x, y, color=colour, marker="o", markersize=3, linewidth=1.5)
    axes.set_ylabel(label, color=colour)


def _png(figure: Figure) -> bytes:
    buffer = BytesIO()
    # Without matplotlib's version in it, equal pictures are equal bytes.
    figure.savefig(buffer, format="png", dpi=_DPI, metadata={"Software": None})
    return buffer.getvalue()

"""Draws what `tests.benchmarks.scale` measured.

python -m tests.benchmarks.scale_chart RECORD/results.json docs/scale.svg
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

SERIES = {
    "images": "images",
    "classes": "classes",
    "steps": "steps of meta-training",
    "episodes": "episodes of a protocol",
    "curve_episodes": "episodes of a curve",
    "way": "ways",
    "shot": "shots",
}
COLUMNS = 4
LEAST_SIZES = 3  # fewer are no growth to look at
COLOURS = {
    "prepare": "#4c78a8",
    "pretrain": "#f58518",
    "metatrain": "#54a24b",
    "evaluate": "#b279a2",
    "export": "#767676",
}
SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "headstart",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
}


def main() -> None:
    """Read the record, draw the picture."""
    record, picture = (Path(one) for one in sys.argv[1:])
    found = json.loads(record.read_text())
    runs = found["runs"]
    drawn = [one for one in SERIES if any(_stages(runs, one))]
    rows = -(-(len(drawn) + 1) // COLUMNS)  # one more for the legend
    with rc_context(SETTINGS):
        figure = Figure(figsize=(2.6 * COLUMNS, 2.4 * rows), layout="constrained")
        panels = figure.subplots(rows, COLUMNS, sharey=True, squeeze=False).flatten()
        named = {}
        for axes, series in zip(panels, drawn, strict=False):
            for stage in _stages(runs, series):
                sizes, seconds = zip(*_points(runs, series, stage), strict=True)
                (named[stage],) = axes.loglog(sizes, seconds, "o", color=COLOURS[stage])
                line = next(
                    one for one in found["fits"] if (one["series"], one["stage"]) == (series, stage)
                )
                along = np.geomspace(min(sizes), max(sizes))
                fitted = line["fixed_s"] + line["s_per_thousand"] * along / 1000
                axes.plot(along, fitted, color=COLOURS[stage], linewidth=0.8)
            sizes = sorted({one[series] for one in runs if one["series"] == series})
            axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
            axes.minorticks_off()
            axes.set_xlabel(SERIES[series])
            axes.grid(alpha=0.3)
        for axes in panels[len(drawn) :]:
            axes.axis("off")
        panels[-1].legend(list(named.values()), list(named), loc="center")
        figure.supylabel("processor seconds")
        figure.savefig(picture, metadata={"Date": None})


def _stages(runs: list[dict[str, Any]], series: str) -> list[str]:
    """The stages that were measured at enough sizes."""
    return [
        stage
        for stage in COLOURS
        if len({size for size, _ in _points(runs, series, stage)}) >= LEAST_SIZES
    ]


def _points(runs: list[dict[str, Any]], series: str, stage: str) -> list[tuple[int, float]]:
    mine = [one for one in runs if (one["series"], one["stage"]) == (series, stage)]
    return sorted((one[series], one["cpu_s"]) for one in mine)


if __name__ == "__main__":
    main()

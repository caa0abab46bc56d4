"""Draws what `tests.benchmarks.scale` measured.

python -m tests.benchmarks.scale_chart RECORD/results.json docs/scale.svg
"""

import json
import sys
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure

SERIES = ("images", "classes", "episodes")
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
    runs = json.loads(record.read_text())["runs"]
    drawn = [one for one in SERIES if any(_stages(runs, one))]
    with rc_context(SETTINGS):
        figure = Figure(figsize=(4.2 * len(drawn), 3), layout="constrained")
        panels = figure.subplots(1, len(drawn), sharey=True, squeeze=False)[0]
        for axes, series in zip(panels, drawn, strict=True):
            for stage in _stages(runs, series):
                mine = _points(runs, series, stage)
                axes.loglog(*zip(*mine, strict=True), "o", color=COLOURS[stage], label=stage)
            axes.set_xlabel(series)
            axes.grid(alpha=0.3)
        panels[0].set_ylabel("processor seconds")
        panels[-1].legend(fontsize=8)
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

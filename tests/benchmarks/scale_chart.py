"""Draws what `tests.benchmarks.scale` measured.

python -m tests.benchmarks.scale_chart RECORD/results.json docs/scale.svg
"""

import json
import sys
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure

PANELS = {
    "images": ("prepare", "pretrain", "evaluate"),
    "classes": ("prepare", "pretrain", "metatrain", "evaluate", "export"),
    "episodes": ("evaluate",),
}
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
    with rc_context(SETTINGS):
        figure = Figure(figsize=(9, 3), layout="constrained")
        for axes, (series, stages) in zip(
            figure.subplots(1, len(PANELS), sharey=True), PANELS.items(), strict=True
        ):
            for stage in stages:
                mine = [one for one in runs if (one["series"], one["stage"]) == (series, stage)]
                points = [one[series] for one in mine], [one["cpu_s"] for one in mine]
                axes.loglog(*points, "o-", color=COLOURS[stage], label=stage, markersize=4)
            axes.set_xlabel(series)
            axes.grid(alpha=0.3)
        figure.axes[0].set_ylabel("processor seconds")
        figure.axes[1].legend(fontsize=8)
        figure.savefig(picture, metadata={"Date": None})


if __name__ == "__main__":
    main()

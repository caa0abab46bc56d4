"""Charts as SVG inside the page: colours follow the page's, light or dark, and type stays type."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# What stands in the file that matplotlib writes, and the page's own colour that takes its place.
_VARIABLES = {
    "#010101": "--ink",
    "#020202": "--soft",
    "#030303": "--line",
    "#0a0a01": "--random",
    "#0a0a02": "--alone",
    "#0a0a03": "--transfer",
    "#0a0a04": "--tuned",
    "#0a0a05": "--meta",
}
_COLOURS = {variable.removeprefix("--"): colour for colour, variable in _VARIABLES.items()}
_COLOURS["transfer_from_prototypes"] = _COLOURS["tuned"]
INK, SOFT, LINE = _COLOURS["ink"], _COLOURS["soft"], _COLOURS["line"]
MARKERS = {"random": "v", "alone": "^", "transfer": "s", "tuned": "D", "meta": "o"}
WIDTH_IN = 4.8  # what still can be read on a telephone

_SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "headstart",  # equal charts are equal bytes
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": LINE,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.labelsize": 9,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": SOFT,
    "ytick.labelcolor": SOFT,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "grid.color": LINE,
    "grid.linewidth": 0.5,
    "legend.frameon": False,
    "legend.fontsize": 8,
}


class Chart:
    """One chart; `svg` once the block that draws it has ended."""

    svg: str = ""


def colour(arm: str) -> str:
    """What stands for the page's colour of an arm or start."""
    return _COLOURS[arm]


@contextmanager
def chart(height_in: float) -> Iterator[tuple[Chart, Figure, Axes]]:
    """Give axes to draw on; the chart holds its SVG when the block ends.

    Args:
        height_in: inches, of a chart that is 4.8 wide.
    """
    with rc_context(_SETTINGS):
        figure = Figure(figsize=(WIDTH_IN, height_in), layout="constrained")
        drawn = Chart()
        yield drawn, figure, figure.add_subplot()
        buffer = StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    drawn.svg = _inline(buffer.getvalue())


def legend_below(figure: Figure, axes: Axes, columns: int = 2) -> None:
    """The legend below the chart, where it hides no curve."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=columns)


def _inline(text: str) -> str:
    """What an HTML page wants of an SVG file."""
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r' xmlns(:xlink)?="[^"]*"', "", text)
    text = re.sub(r'(<svg\b[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg\b[^>]*?) height="[^"]*"', r"\1", text, count=1)
    for sentinel, variable in _VARIABLES.items():
        text = text.replace(sentinel, f"var({variable})")
    return text

"""The picture in a release's summary: candidate and released model, protocol by protocol."""

import base64
from collections.abc import Iterator, Mapping
from io import BytesIO
from typing import Any

from matplotlib.figure import Figure

WIDTH_IN = 7.0
DRAWN = 30  # protocols; the table has them all
CANDIDATE, RELEASED = "#1f5fbf", "#8a8a8a"


def picture(figures: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """The picture as lines of Markdown, with the image inside; none where nothing was measured.

    Prefect's pages show images from addresses and from the text itself, and only the latter needs
    no place where it is kept.
    """
    if figures:
        encoded = base64.b64encode(_draw(list(figures.values())[:DRAWN])).decode()
        yield f"![Accuracy in %, with 95 % intervals](data:image/png;base64,{encoded})"
        yield ""


def without_pictures(markdown: str) -> str:
    """The same text without its pictures, for terminals and short fields."""
    return "\n".join(line for line in markdown.splitlines() if not line.startswith("!["))


def _draw(figures: list[Mapping[str, Any]]) -> bytes:
    compared = any("difference" in one for one in figures)
    figure = Figure(figsize=(WIDTH_IN, 1.1 + 0.34 * len(figures)), layout="constrained")
    left, *right = figure.subplots(1, 2 if compared else 1, sharey=True, squeeze=False)[0]
    rows = range(len(figures))
    for row, one in zip(rows, reversed(figures), strict=True):
        known = {"xerr": 100 * one["interval95"], "fmt": "o", "markersize": 4}
        left.errorbar(100 * one["accuracy"], row, color=CANDIDATE, **known)
        if "difference" in one:
            left.plot(100 * one["released_accuracy"], row, "D", markersize=4, color=RELEASED)
            for axes in right:
                known["xerr"] = 100 * one["difference_interval95"]
                axes.errorbar(100 * one["difference"], row, color=CANDIDATE, **known)
    left.set_yticks(rows, [str(one["name"]) for one in reversed(figures)])
    left.set_ylim(-0.7, len(figures) - 0.3)
    left.set_xlabel("accuracy in %" + (", grey: released" if compared else ""))
    for axes in right:
        axes.axvline(0, color=RELEASED, linewidth=0.8)
        axes.set_xlabel("paired difference in points")
    for axes in (left, *right):
        axes.grid(axis="x", linewidth=0.4)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()

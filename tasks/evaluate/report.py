"""The report: one HTML file with everything inside; opens from disk, asks no network."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined

from tasks.evaluate.arms import TITLES
from tasks.evaluate.episode_sheet import EpisodeSheet


@dataclass(frozen=True)
class Picture:
    """A chart with the words that stand for it where it cannot be seen."""

    png: bytes
    caption: str
    alternative: str

    @property
    def data_uri(self) -> str:
        """The picture as a link that carries its content."""
        return "data:image/png;base64," + b64encode(self.png).decode("ascii")


@dataclass(frozen=True)
class Training:
    """One training stage as the report tells it."""

    title: str
    sentence: str
    curve: Picture


def render_report(
    *,
    metrics: Mapping[str, Any],
    data: Mapping[str, Any],
    pictures: Sequence[Picture],
    trainings: Sequence[Training],
    sheets: Sequence[EpisodeSheet],
) -> str:
    """Fill the template; every name is escaped, whatever it holds.

    Args:
        metrics: what `metrics.json` holds.
        data: manifest of the image store.
        pictures: charts of the results.
        trainings: pretraining and meta-training.
        sheets: episodes to look at.
    """
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string(
        files("tasks.evaluate").joinpath("report.html.j2").read_text(encoding="utf-8")
    )
    return template.render(
        metrics=metrics,
        data=data,
        pictures=pictures,
        trainings=trainings,
        sheets=sheets,
        titles=TITLES,
    )

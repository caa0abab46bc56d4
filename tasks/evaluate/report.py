"""The report: one HTML file with everything inside; opens from disk, asks no network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from tasks.evaluate.adaptation_curve import START_TITLES
from tasks.evaluate.arms import TITLES
from tasks.evaluate.episode_sheet import EpisodeSheet
from tasks.evaluate.notices import Notice
from tasks.evaluate.pair_sheet import ShownPair


@dataclass(frozen=True)
class Picture:
    """A chart with the words that stand for it where it cannot be seen."""

    svg: str
    caption: str
    alternative: str

    @property
    def markup(self) -> Markup:
        """The chart as it goes into the page; names in it were escaped when it was drawn."""
        return Markup(self.svg)


@dataclass(frozen=True)
class Training:
    """One training stage as the report tells it."""

    title: str
    sentence: str
    curves: Sequence[Picture]


@dataclass(frozen=True)
class Pictures:
    """The charts, by section of the report."""

    results: Sequence[Picture]
    adaptation: Sequence[Picture]
    shots: Sequence[Picture]
    reliability: Sequence[Picture]


def render_report(
    *,
    metrics: Mapping[str, Any],
    data: Mapping[str, Any],
    notices: Sequence[Notice],
    pictures: Pictures,
    trainings: Sequence[Training],
    pairs: Mapping[str, Sequence[ShownPair]],
    sheets: Sequence[EpisodeSheet],
) -> str:
    """Fill the template; every name is escaped, whatever it holds.

    Args:
        metrics: what `metrics.json` holds.
        data: manifest of the image store.
        notices: what is to be known before the figures.
        pictures: charts of the results.
        trainings: pretraining and meta-training.
        pairs: title of a protocol -> its hardest pairs.
        sheets: episodes to look at.
    """
    environment = Environment(
        loader=PackageLoader("tasks.evaluate", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = lambda share: f"{100 * share:.2f}"
    environment.filters["points"] = lambda share: f"{100 * share:+.2f}"
    environment.filters["steps"] = _steps
    arms = {
        arm: title
        for arm, title in TITLES.items()
        if any(arm in result["accuracy"] for result in metrics["results"].values())
    }
    return environment.get_template("report.html.j2").render(
        metrics=metrics,
        data=data,
        notices=notices,
        pictures=pictures,
        trainings=trainings,
        pairs=pairs,
        sheets=sheets,
        titles=arms,
        start_titles=START_TITLES,
        headline=headline(metrics),
    )


def headline(metrics: Mapping[str, Any]) -> str:
    """What the first adaptation curve proves, in a sentence; empty without one."""
    curve = next(iter(metrics["adaptation_curves"].values()), None)
    if curve is None:
        return ""
    until = curve["starts"]["meta"]["steps_until_target"]
    plain = curve["starts"]["transfer"]["steps_until_target"]
    prototypes = curve["starts"]["transfer_from_prototypes"]["steps_until_target"]
    last = curve["steps"][-1]
    return (
        f"On {curve['domain']} classes, {curve['way']}-way {curve['shot']}-shot, transfer alone "
        f"stands at {100 * curve['target']:.2f} % after {last} gradient steps. Transfer + meta "
        f"{_reaches(until, last)}; transfer alone itself {_reaches(plain, last)}; the same from "
        f"prototypes, which take no meta-training either, {_reaches(prototypes, last)}."
    )


def _reaches(until: Mapping[str, int | None], last: int) -> str:
    if until["steps"] is None:
        reached = "" if until["low"] is None else f" (95 % interval from {until['low']})"
        return f"does not reach that within {last}{reached}"
    noun = "step" if until["steps"] == 1 else "steps"
    span = f"{_steps(until['low'])} to {_steps(until['high'])}"
    return f"reaches that after {until['steps']} {noun} (95 % interval {span})"


def _steps(count: int | None) -> str:
    return "never" if count is None else str(count)

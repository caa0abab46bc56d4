"""The tables that `dvc plots` draws and programs read."""

from collections.abc import Mapping, Sequence
from typing import Any

from tasks.evaluate.adaptation_curve import START_TITLES
from tasks.evaluate.arms import TITLES
from tasks.evaluate.measured import Measured
from tasks.evaluate.seconds import Seconds
from tasks.evaluate.trajectories import STEPS

ACCURACY = ("measured", "accuracy", "interval95")
CURVES = ("curve", "episodes_of", "start", "at", "accuracy", "interval95")
ADAPTATION = ("steps", *START_TITLES)
SHOTS = ("shots", *(arm for arm in TITLES if arm != "tuned"))
RELIABILITY = ("measured", "confidence", "accuracy", "share")
SECONDS = ("episodes_of", "start", "steps", "seconds")

Row = dict[str, Any]


def accuracy_rows(metrics: Mapping[str, Any]) -> list[Row]:
    """A row for each protocol and arm."""
    return [
        {
            "measured": f"{key} {arm}",
            "accuracy": result["accuracy"][arm],
            "interval95": result["interval95"][arm],
        }
        for key, result in metrics["results"].items()
        for arm in result["accuracy"]
    ]


def curve_rows(metrics: Mapping[str, Any]) -> list[Row]:
    """A row for each point of every curve."""
    rows = []
    for key, curve in metrics["adaptation_curves"].items():
        for start, told in curve["starts"].items():
            rows += _points("adaptation", key, start, curve["steps"], told)
    for key, curve in metrics["shots_curves"].items():
        for arm in curve["accuracy"]:
            told = {name: curve[name][arm] for name in ("accuracy", "interval95")}
            rows += _points("shots", key, arm, curve["shots"], told)
    return rows


def adaptation_rows(metrics: Mapping[str, Any]) -> list[Row]:
    """The first adaptation curve, a column a start; empty for a start that there is not."""
    curve = next(iter(metrics["adaptation_curves"].values()), None)
    if curve is None:
        return []
    columns = {start: told["accuracy"] for start, told in curve["starts"].items()}
    return _wide("steps", curve["steps"], columns, ADAPTATION)


def shots_rows(metrics: Mapping[str, Any]) -> list[Row]:
    """The first shots curve, a column an arm; empty for an arm that there is not."""
    curve = next(iter(metrics["shots_curves"].values()), None)
    return [] if curve is None else _wide("shots", curve["shots"], curve["accuracy"], SHOTS)


def reliability_rows(results: Sequence[Measured]) -> list[Row]:
    """A row for each bin of confidence that holds answers, of each protocol and arm."""
    return [
        dict(zip(RELIABILITY, (f"{result.key} {arm}", *point), strict=True))
        for result in results
        for arm, told in result.calibration.items()
        for point in zip(
            told.confidence.tolist(), told.accuracy.tolist(), told.share.tolist(), strict=True
        )
    ]


def seconds_rows(seconds: Mapping[str, Seconds]) -> list[Row]:
    """A row for each point of the curves against time: the only table that no run repeats."""
    return [
        dict(zip(SECONDS, (key, start, *point), strict=True))
        for key, starts in seconds.items()
        for start, values in starts.items()
        for point in zip(STEPS, values.round(6).tolist(), strict=True)
    ]


def _points(
    curve: str, key: str, start: str, at: Sequence[int], told: Mapping[str, Any]
) -> list[Row]:
    values = (curve, key, start)
    return [
        dict(zip(CURVES, (*values, *point), strict=True))
        for point in zip(at, told["accuracy"], told["interval95"], strict=True)
    ]


def _wide(
    axis: str, at: Sequence[int], columns: Mapping[str, Sequence[float]], names: Sequence[str]
) -> list[Row]:
    return [
        {axis: where, **{name: columns[name][row] if name in columns else "" for name in names[1:]}}
        for row, where in enumerate(at)
    ]
